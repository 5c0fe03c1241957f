//! Signs: what a phrase in a message shows about the failure.

use super::refusal::Refusal;

/// What a phrase shows about the failure, whatever the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sign {
    /// A deadline passed without a response.
    TimedOut,
    /// The log driver's helper process hung until it was killed at its deadline.
    HelperKilled,
    /// The request got no response, and the message does not say why.
    NoResponse,
    /// ECS's own wording for no response. Any more precise sign outranks it.
    ConnectionIssue,
    /// The connection was established, and then no more data arrived.
    Stalled,
    /// Data arrived, but too slowly for the deadline of the whole pull.
    TooSlow,
    /// A pull was canceled before its request was answered.
    Canceled,
    /// RST in response to SYN.
    ConnectionRefused,
    /// RST or FIN in the middle of a connection.
    ConnectionReset,
    /// No route, reported by ICMP or the kernel.
    Unreachable,
    /// NXDOMAIN.
    NoSuchName,
    /// The resolver answered with an error, such as SERVFAIL.
    ResolverFailed,
    /// The resolver did not answer. Not a phrase: a lookup that timed out.
    ResolverSilent,
    /// The certificate's issuer is not trusted by the puller.
    UnknownIssuer,
    /// The certificate is for other names.
    WrongName,
    /// The certificate has expired or is not valid yet.
    OutsideValidity,
    /// The TLS handshake began and did not finish.
    HandshakeStalled,
    /// Some other TLS failure.
    TlsFailure,
    /// The peer does not speak TLS.
    NotTls,
    /// The response did not come from the service (a proxy, for example).
    ForeignResponse,
    /// A proxy answered the request for a connection.
    ProxyAnswered,
    /// A service or registry denied the request.
    Denied,
    /// HTTP 403.
    Forbidden,
    /// An unexpected HTTP status, whose number may have been cut off.
    UnexpectedStatus,
    /// The registry rejected the user name and password, or received none.
    LoginFailed,
    /// The registry's own `unauthorized` or `denied`, without a principal or a reason.
    RegistryDenied,
    /// The registry's authorization token has expired.
    RegistryTokenExpired,
    /// The repository does not exist.
    RepositoryMissing,
    /// The repository exists, but not this tag or digest.
    ManifestMissing,
    /// Docker Hub's response for repositories that are missing and for private ones.
    MissingOrPrivate,
    /// An unexpected HTTP status for the image's digest under `/blobs/`. containerd asks there only
    /// after `/manifests/` answered 404 (containerd, `core/remotes/docker/resolver.go`). Not a
    /// phrase.
    DigestRefused,
    /// The received content does not have the requested digest.
    WrongDigest,
    /// Some resource was not found.
    NotFound,
    /// The image is for other platforms.
    WrongPlatform,
    /// The platform cannot execute what was pulled.
    NotExecutable,
    /// The image reference is malformed.
    InvalidReference,
    /// A layer's content does not match its digest.
    CorruptLayer,
    /// The registry limits pulls.
    RateLimited,
    /// An AWS service throttles calls.
    Throttled,
    /// HTTP 5xx.
    ServiceFailure,
    /// All retries failed, and the reason was cut off. Not a phrase: a final error is not retried.
    RetriesExhausted,
    /// No space left on the disk.
    DiskFull,
    /// The secret does not exist.
    SecretMissing,
    /// The secret exists, but not this version.
    VersionMissing,
    /// The secret's JSON does not have this key.
    JsonKeyMissing,
    /// The secret is not JSON of the expected form.
    NotJson,
    /// Go's JSON parser stopped at the first character.
    InvalidJson,
    /// The parameter does not exist.
    ParameterMissing,
    /// `valueFrom` is malformed.
    InvalidValueFrom,
    /// A service rejected the format of the request's input.
    InvalidInput,
    /// AWS KMS cannot use the key: it is disabled, pending deletion or not accessible.
    KmsKeyUnusable,
    /// The log group does not exist.
    LogGroupMissing,
    /// The file system's name or mount target does not respond.
    MountFailed,
    /// The file system denied the mount.
    MountDenied,
    /// The file system has no such directory.
    DirectoryMissing,
    /// The S3 object or bucket does not exist.
    ObjectMissing,
    /// The subnet has no free IP address.
    NoFreeAddress,
    /// The network interface was not ready in time.
    NetworkInterfaceFailed,
    /// EC2 refused to create the network interface.
    NetworkInterfaceNotCreated,
    /// AWS has no capacity.
    CapacityUnavailable,
    /// ECS or EC2 says why it does not place the task.
    NotPlaced(Refusal),
    /// ECS could not assume the role, or its credentials never arrived.
    RoleNotAssumable,
    /// There are no credentials to sign with.
    NoCredentials,
    /// The role's credentials have expired.
    CredentialsExpired,
    /// The service does not know the credentials.
    CredentialsInvalid,
    /// The request's timestamp is too far from the service's clock.
    ClockSkewed,
}
