//! The phrases that the texts of ECS, its agents, containerd, Docker, Go and AWS services are made of.
//!
//! A phrase is the smallest part that keeps its meaning wherever it stands: texts are cut, wrapped and wrapped into each
//! other, so none of these is a whole message.

use super::Step;
use super::words::Sign;

/// A wrapper that only one step has.
pub(super) const ONLY: u8 = 9;
/// The part of a wrapper that tells its steps apart.
const PART: u8 = 8;
/// The operation or the thing that only one step asks for; hosts and actions weigh as much.
pub(super) const OPERATION: u8 = 7;
/// A wrapper that is mostly, but not only, of one step.
const MOSTLY: u8 = 4;
/// The name of an error: the coarsest.
const NAME: u8 = 2;
/// What can hardly be in another step, where nothing else says.
const DEFAULT: u8 = 1;

/// A phrase, the step that it stands for with its weight, and what it shows.
pub(super) type Row = (&'static str, Option<(Step, u8)>, Option<Sign>);

const fn at(phrase: &'static str, step: Step, weight: u8) -> Row {
    (phrase, Some((step, weight)), None)
}

const fn shows(phrase: &'static str, sign: Sign) -> Row {
    (phrase, None, Some(sign))
}

const fn both(phrase: &'static str, step: Step, weight: u8, sign: Sign) -> Row {
    (phrase, Some((step, weight)), Some(sign))
}

/// Every phrase, the longer before the shorter where one begins with the other.
#[rustfmt::skip]
pub(super) const PHRASES: &[Row] = &[
    // 0. The control plane assumes the roles; the agent waits for their credentials.
    both("unable to assume the role", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    both("unable to assume role", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    both("execution role credentials", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    both("no execution credentials", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    both("execution credentials, but the credentials are empty", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    both("ecr credentials: not found", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    both("registry credentials: not found", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    both("no role trust policy allows", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    both("deny in the role trust policy", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    // 1. Network interface, address, place.
    both("create network interface", Step::NetworkInterface, PART, Sign::InterfaceNotCreated),
    both("network interface provision", Step::NetworkInterface, ONLY, Sign::NetworkInterface),
    both("network interface attach", Step::NetworkInterface, ONLY, Sign::NetworkInterface),
    both("network interface to attach", Step::NetworkInterface, ONLY, Sign::NetworkInterface),
    both("NetworkInterfaceLimitExceeded", Step::NetworkInterface, ONLY, Sign::NetworkInterface),
    both("RESOURCE:ENI", Step::NetworkInterface, ONLY, Sign::NetworkInterface),
    both("InsufficientFreeAddresses", Step::NetworkInterface, ONLY, Sign::NoFreeAddress),
    both("not have enough free addresses", Step::NetworkInterface, ONLY, Sign::NoFreeAddress),
    both("not have enough IP addresses", Step::NetworkInterface, ONLY, Sign::NoFreeAddress),
    both("capacity is unavailable", Step::NetworkInterface, ONLY, Sign::Capacity),
    both("capacity unavailable", Step::NetworkInterface, ONLY, Sign::Capacity),
    both("insufficient capacity", Step::NetworkInterface, ONLY, Sign::Capacity),
    both("EphemeralStorage provisioning", Step::NetworkInterface, ONLY, Sign::Capacity),
    both("no container instance met all", Step::NetworkInterface, ONLY, Sign::Capacity),
    // 2. Secrets, among them those that log in to a private registry.
    at("registry auth from asm", Step::Secrets, PART),
    at("secret from asm", Step::Secrets, PART),
    at("secrets from asm", Step::Secrets, PART),
    at("secrets from ssm", Step::Secrets, PART),
    at("secret from ssm", Step::Secrets, PART),
    at("cannot pull secrets from", Step::Secrets, PART),
    at("failed to fetch secret", Step::Secrets, PART),
    at("fetching secret data from", Step::Secrets, PART),
    at("asm fetching", Step::Secrets, PART),
    at("asm secret resource", Step::Secrets, MOSTLY),
    at("ssm secret resource", Step::Secrets, MOSTLY),
    at("operation error Secrets Manager", Step::Secrets, OPERATION),
    at("operation error SSM: GetParameter", Step::Secrets, OPERATION),
    at("calling the GetSecretValue", Step::Secrets, OPERATION),
    at("calling the GetParameter", Step::Secrets, OPERATION),
    at("calling the Decrypt", Step::Secrets, OPERATION),
    at("and AWS Secrets Manager", Step::Secrets, MOSTLY),
    at("Parameter Store", Step::Secrets, MOSTLY),
    at("AWS Systems Manager", Step::Secrets, MOSTLY),
    both("retrieve the secret with ARN", Step::Secrets, PART, Sign::SecretMissing),
    both("find the specified secret value", Step::Secrets, PART, Sign::VersionMissing),
    both("for staging label", Step::Secrets, PART, Sign::VersionMissing),
    both("find the specified secret", Step::Secrets, PART, Sign::SecretMissing),
    both("marked for deletion", Step::Secrets, DEFAULT, Sign::SecretMissing),
    both("not contain json key", Step::Secrets, PART, Sign::JsonKeyMissing),
    both("unmarshal secret value", Step::Secrets, PART, Sign::NotJson),
    both("empty secrets value", Step::Secrets, PART, Sign::NotJson),
    both("AuthorizationData is malformed", Step::Secrets, PART, Sign::NotJson),
    both("trying to retrieve secret with value", Step::Secrets, PART, Sign::NotJson),
    both("invalid ssm parameters", Step::Secrets, PART, Sign::ParameterMissing),
    both("invalid parameters:", Step::Secrets, MOSTLY, Sign::ParameterMissing),
    both("ParameterNotFound", Step::Secrets, PART, Sign::ParameterMissing),
    both("invalid ARN format for the AWS Secrets", Step::Secrets, PART, Sign::BadValueFrom),
    both("find a secretsmanager secretID", Step::Secrets, PART, Sign::BadValueFrom),
    both("access to KMS is not allowed", Step::Secrets, MOSTLY, Sign::Denied),
    both("ciphertext refers to", Step::Secrets, MOSTLY, Sign::Denied),
    both("ciphertext references", Step::Secrets, MOSTLY, Sign::Denied),
    // 3. Registry login.
    at("ecr registry auth", Step::RegistryAuth, PART),
    at("registry auth from Amazon ECR", Step::RegistryAuth, PART),
    at("task and Amazon ECR", Step::RegistryAuth, MOSTLY),
    at("operation error ECR: GetAuthorizationToken", Step::RegistryAuth, OPERATION),
    at("GetAuthorizationToken", Step::RegistryAuth, MOSTLY),
    at("ecr auth:", Step::RegistryAuth, OPERATION),
    at("CannotPullECRContainerError:", Step::RegistryAuth, NAME + 1),
    // 4. Log driver.
    at("validate logger args", Step::LogDriver, ONLY),
    at("initialize logging driver", Step::LogDriver, ONLY),
    at("create Cloudwatch log", Step::LogDriver, ONLY),
    at("create log stream", Step::LogDriver, OPERATION),
    at("operation error CloudWatch Logs", Step::LogDriver, OPERATION),
    at("awslogs driver", Step::LogDriver, OPERATION),
    both("log group does not exist", Step::LogDriver, OPERATION, Sign::LogGroupMissing),
    both("task and Amazon CloudWatch", Step::LogDriver, PART, Sign::ConnectionIssue),
    // 5. Manifest.
    at("failed to resolve ref", Step::ImageManifest, OPERATION),
    at("pull image manifest has been", Step::ImageManifest, OPERATION),
    at("inspect image has been", Step::ImageManifest, OPERATION),
    at("failed to resolve reference", Step::ImageManifest, OPERATION),
    at("CannotPullImageManifestError", Step::ImageManifest, OPERATION),
    at("CannotPullContainerError", Step::ImageManifest, NAME),
    at("task can't pull the image", Step::ImageManifest, NAME),
    at("failed to pull image", Step::ImageManifest, NAME),
    at("pull access denied for", Step::ImageManifest, MOSTLY),
    at("while pulling image", Step::ImageManifest, NAME),
    both("could not transition to", Step::ImageManifest, DEFAULT, Sign::TooSlow),
    both("requested access to the resource is denied", Step::ImageManifest, MOSTLY, Sign::MissingOrPrivate),
    both("repository does not exist or may require", Step::ImageManifest, MOSTLY, Sign::MissingOrPrivate),
    both("check whether the image exists", Step::ImageManifest, NAME, Sign::MissingOrPrivate),
    both("name unknown", Step::ImageManifest, MOSTLY, Sign::RepositoryMissing),
    both("NAME_UNKNOWN", Step::ImageManifest, MOSTLY, Sign::RepositoryMissing),
    both("does not exist in the registry", Step::ImageManifest, MOSTLY, Sign::RepositoryMissing),
    both("RepositoryNotFound", Step::ImageManifest, MOSTLY, Sign::RepositoryMissing),
    both("manifest unknown", Step::ImageManifest, MOSTLY, Sign::ManifestMissing),
    both("MANIFEST_UNKNOWN", Step::ImageManifest, MOSTLY, Sign::ManifestMissing),
    both("requested image not found", Step::ImageManifest, MOSTLY, Sign::ManifestMissing),
    both("ImageNotFound", Step::ImageManifest, MOSTLY, Sign::ManifestMissing),
    both("descriptor matching platform", Step::ImageManifest, ONLY, Sign::WrongPlatform),
    both("no matching manifest for", Step::ImageManifest, ONLY, Sign::WrongPlatform),
    both("no match for platform", Step::ImageManifest, ONLY, Sign::WrongPlatform),
    both("does not match the specified platform", Step::ImageManifest, ONLY, Sign::WrongPlatform),
    // These two show later, at the layers or at the start, but the platform is chosen in the manifest.
    both("no processor for media-type", Step::ImageManifest, ONLY, Sign::WrongPlatform),
    both("exec format error", Step::ImageManifest, ONLY, Sign::WrongPlatform),
    both("invalid reference format", Step::ImageManifest, MOSTLY, Sign::BadReference),
    both("toomanyrequests", Step::ImageManifest, DEFAULT, Sign::RateLimited),
    both("pull rate limit", Step::ImageManifest, DEFAULT, Sign::RateLimited),
    both("429 too many requests", Step::ImageManifest, DEFAULT, Sign::RateLimited),
    both("no basic auth credentials", Step::ImageManifest, DEFAULT, Sign::LoginFailed),
    both("incorrect username or password", Step::ImageManifest, DEFAULT, Sign::LoginFailed),
    both("authorization token has expired", Step::ImageManifest, DEFAULT, Sign::RegistryTokenExpired),
    // 6. Layers.
    at("failed to copy:", Step::ImageLayer, PART),
    at("httpReadSeeker", Step::ImageLayer, PART),
    at("httpReaderSeeker", Step::ImageLayer, PART),
    at("failed to extract layer", Step::ImageLayer, PART),
    at("error pulling image configuration", Step::ImageLayer, PART),
    at("ref pull has been", Step::ImageLayer, MOSTLY),
    at("starport-layer-bucket", Step::ImageLayer, PART),
    at("REDACTED ECR URL", Step::ImageLayer, PART),
    both("layer verification failed", Step::ImageLayer, PART, Sign::DamagedLayer),
    both("failed size validation", Step::ImageLayer, PART, Sign::DamagedLayer),
    both("unexpected commit digest", Step::ImageLayer, PART, Sign::DamagedLayer),
    both("no space left on device", Step::ImageLayer, DEFAULT, Sign::DiskFull),
    at("GetImageBlob", Step::ImageLayer, MOSTLY),
    // Elsewhere: their order among the others is not known.
    at("download env file", Step::EnvironmentFile, ONLY),
    at("environment file resource", Step::EnvironmentFile, MOSTLY),
    at("environmentFile", Step::EnvironmentFile, MOSTLY),
    at("file download command", Step::EnvironmentFile, PART),
    both("NoSuchKey", Step::EnvironmentFile, DEFAULT, Sign::ObjectMissing),
    both("NoSuchBucket", Step::EnvironmentFile, DEFAULT, Sign::ObjectMissing),
    at("EFS utils", Step::FileSystem, ONLY),
    at("set up EFS volumes", Step::FileSystem, ONLY),
    both("failed to resolve \"fs-", Step::FileSystem, ONLY, Sign::MountFailed),
    both("mount target", Step::FileSystem, MOSTLY, Sign::MountFailed),
    both("mount attempt", Step::FileSystem, MOSTLY, Sign::MountFailed),
    both("mount.nfs4: connection timed out", Step::FileSystem, ONLY, Sign::MountFailed),
    both("mount system call failed", Step::FileSystem, ONLY, Sign::MountFailed),
    both("access denied by server while mounting", Step::FileSystem, ONLY, Sign::MountDenied),
    // 7. The container itself.
    at("CannotStartContainerError", Step::ContainerStart, NAME + 1),
    at("CannotCreateContainerError", Step::ContainerStart, NAME + 1),

    // Silence, in the words of Go, its SDKs, containerd and Docker.
    shows("i/o timeout", Sign::TimedOut),
    shows("context deadline exceeded", Sign::TimedOut),
    shows("deadline exceeded", Sign::TimedOut),
    shows("request context cancel", Sign::TimedOut),
    shows("RequestCanceled", Sign::TimedOut),
    shows("request canceled while waiting", Sign::TimedOut),
    shows("Client.Timeout", Sign::TimedOut),
    shows("connection timed out", Sign::TimedOut),
    shows("operation timed out", Sign::TimedOut),
    shows("timed out after", Sign::TimedOut),
    shows("connect timeout", Sign::TimedOut),
    shows("connect: timeout", Sign::TimedOut),
    shows("timeout awaiting response headers", Sign::Stalled),
    shows("inactivity time exceeded", Sign::Stalled),
    shows("signal: killed", Sign::Killed),
    shows("request send failed", Sign::NoAnswer),
    shows("send request failed", Sign::NoAnswer),
    shows("RequestError", Sign::NoAnswer),
    shows("failed to do request", Sign::NoAnswer),
    shows("dial tcp", Sign::NoAnswer),
    shows("connection issue between", Sign::ConnectionIssue),
    shows("check your task network", Sign::ConnectionIssue),
    shows("check your network", Sign::ConnectionIssue),
    shows("connection refused", Sign::Refused),
    shows("connection reset", Sign::Reset),
    shows("broken pipe", Sign::Reset),
    shows("unexpected EOF", Sign::Reset),
    shows("no route to host", Sign::Unreachable),
    shows("network is unreachable", Sign::Unreachable),
    // Names.
    shows("no such host", Sign::NoSuchName),
    shows("NXDOMAIN", Sign::NoSuchName),
    shows("name or service not known", Sign::NoSuchName),
    shows("could not resolve host", Sign::NoSuchName),
    shows("server misbehaving", Sign::ResolverFailed),
    shows("failure in name resolution", Sign::ResolverFailed),
    shows("SERVFAIL", Sign::ResolverFailed),
    // TLS.
    shows("unknown authority", Sign::UnknownIssuer),
    shows("self-signed certificate", Sign::UnknownIssuer),
    shows("self signed certificate", Sign::UnknownIssuer),
    shows("unable to get local issuer", Sign::UnknownIssuer),
    shows("certificate is not trusted", Sign::UnknownIssuer),
    shows("certificate is valid for", Sign::WrongName),
    shows("certificate is not valid for any names", Sign::WrongName),
    shows("doesn't contain any IP SANs", Sign::WrongName),
    shows("has expired or is not yet valid", Sign::OutsideValidity),
    shows("TLS handshake timeout", Sign::HandshakeStalled),
    shows("x509:", Sign::Tls),
    shows("failed to verify certificate", Sign::Tls),
    shows("certificate verify failed", Sign::Tls),
    shows("remote error: tls", Sign::Tls),
    shows("first record does not look like a TLS handshake", Sign::Tls),
    shows("server gave HTTP response to HTTPS client", Sign::Tls),
    // Answers.
    shows("not authorized to perform", Sign::Denied),
    shows("AccessDenied", Sign::Denied),
    shows("role has the permissions to pull", Sign::Denied),
    shows("403 Forbidden", Sign::Forbidden),
    shows("HTTP 403", Sign::Forbidden),
    shows("Forbidden: Forbidden", Sign::Forbidden),
    shows("unexpected status code", Sign::UnexpectedStatus),
    shows("unexpected status from", Sign::UnexpectedStatus),
    shows("401 Unauthorized", Sign::LoginFailed),
    shows("authentication required", Sign::LoginFailed),
    shows("not found", Sign::NotFound),
    shows("ResourceNotFoundException", Sign::NotFound),
    shows("404 Not Found", Sign::NotFound),
    shows("500 Internal Server Error", Sign::ServiceFailure),
    shows("502 Bad Gateway", Sign::ServiceFailure),
    shows("503 Service Unavailable", Sign::ServiceFailure),
    shows("504 Gateway Time", Sign::ServiceFailure),
    shows("rate exceeded", Sign::Throttled),
    shows("ThrottlingException", Sign::Throttled),
    shows("TooManyRequestsException", Sign::Throttled),
    shows("ExpiredToken", Sign::CredentialsExpired),
    shows("security token included in the request is expired", Sign::CredentialsExpired),
    shows("security token included in the request is invalid", Sign::CredentialsInvalid),
    shows("UnrecognizedClient", Sign::CredentialsInvalid),
    shows("InvalidClientTokenId", Sign::CredentialsInvalid),
    shows("InvalidSignature", Sign::CredentialsInvalid),
    shows("signature expired", Sign::ClockSkewed),
    shows("signature not yet current", Sign::ClockSkewed),
    shows("RequestTimeTooSkewed", Sign::ClockSkewed),
    shows("RequestExpired", Sign::ClockSkewed),
];
