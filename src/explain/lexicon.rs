//! The phrases that messages of ECS, its agents, containerd, Docker, Go and AWS services consist
//! of, and the single pass over a text that finds them all.
//!
//! A phrase is the smallest part that keeps its meaning wherever it occurs: messages are cut,
//! wrapped and nested, so no entry is a whole message.

use std::sync::LazyLock;

use super::normalize::NormalizedText;
use super::refusal::Refusal;
use super::sign::Sign;
use super::step::Step;

/// Weight of a wrapper that only one step has.
pub(super) const ONLY: u8 = 9;
/// Weight of the part of a wrapper that distinguishes its steps.
pub(super) const PART: u8 = 8;
/// Weight of an operation or resource that only one step requests; hosts and IAM actions weigh
/// nearly as much.
pub(super) const OPERATION: u8 = 7;
/// Weight of a wrapper that occurs mostly, but not only, in one step.
const MOSTLY: u8 = 4;
/// Weight of an error's name: the weakest hint.
pub(super) const NAME: u8 = 2;
/// Weight of a phrase that is unlikely in any other step; it decides where nothing else does.
const DEFAULT: u8 = 1;

/// The step that a phrase points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepHint {
    /// The step.
    pub step: Step,
    /// How strongly, from [`DEFAULT`] to [`ONLY`].
    pub weight: u8,
}

/// An entry of the lexicon.
#[derive(Debug, Clone, Copy)]
struct Phrase {
    text: &'static str,
    step: Option<StepHint>,
    sign: Option<Sign>,
}

const fn at(text: &'static str, step: Step, weight: u8) -> Phrase {
    Phrase {
        text,
        step: Some(StepHint { step, weight }),
        sign: None,
    }
}

const fn shows(text: &'static str, sign: Sign) -> Phrase {
    Phrase {
        text,
        step: None,
        sign: Some(sign),
    }
}

const fn both(text: &'static str, step: Step, weight: u8, sign: Sign) -> Phrase {
    Phrase {
        text,
        step: Some(StepHint { step, weight }),
        sign: Some(sign),
    }
}

const fn refused(text: &'static str, refusal: Refusal) -> Phrase {
    both(text, Step::NetworkInterface, ONLY, Sign::NotPlaced(refusal))
}

/// A phrase found in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// Offset of its first byte in [`NormalizedText::dense`].
    pub at: usize,
    /// Length in bytes there.
    pub len: usize,
    /// The step that it points to.
    pub step: Option<StepHint>,
    /// What it shows.
    pub sign: Option<Sign>,
}

impl Match {
    /// Returns the phrase as it is written in the text.
    pub fn quote<'a>(&self, text: &'a NormalizedText) -> &'a str {
        text.quote(self.at, self.at + self.len)
    }
}

/// The phrases without spaces and in lower case, indexed by [`slot`] of their first two bytes: at
/// most offsets of a text no phrase begins, and two bytes are enough to see that.
static INDEX: LazyLock<Vec<Vec<(String, Phrase)>>> = LazyLock::new(|| {
    let mut index = vec![Vec::new(); usize::from(u16::MAX) / 16 + 1];
    for phrase in PHRASES {
        let dense = dense(phrase);
        if let [first, second, ..] = dense.as_bytes() {
            index[slot(*first, *second)].push((dense, *phrase));
        }
    }
    for slot in &mut index {
        // The longest first: `find the specified secret value` before `find the specified secret`.
        slot.sort_by_key(|(dense, _)| std::cmp::Reverse(dense.len()));
    }
    index
});

fn dense(phrase: &Phrase) -> String {
    phrase.text.replace(' ', "").to_ascii_lowercase()
}

/// Takes 12 bits of two bytes. Phrases may share a slot: the whole phrase is compared afterwards.
fn slot(first: u8, second: u8) -> usize {
    (usize::from(first) & 0x3f) << 6 | (usize::from(second) & 0x3f)
}

/// Finds every phrase of the text, in order.
pub fn find(text: &NormalizedText) -> Vec<Match> {
    let bytes = text.dense.as_bytes();
    let index = &*INDEX;
    let mut matches = Vec::new();
    let mut free = 0;
    for (at, pair) in bytes.windows(2).enumerate() {
        let candidates = &index[slot(pair[0], pair[1])];
        let found = candidates
            .iter()
            .find(|(dense, _)| bytes[at..].starts_with(dense.as_bytes()));
        // Phrases do not overlap: the "access denied" within "pull access denied" is not a match of
        // its own.
        if let Some((dense, phrase)) = found.filter(|_| at >= free) {
            matches.push(Match {
                at,
                len: dense.len(),
                step: phrase.step,
                sign: phrase.sign,
            });
            free = at + dense.len();
        }
    }
    matches
}

/// Every phrase, in the order of the steps. Where one begins with another, the longer comes first.
#[rustfmt::skip]
const PHRASES: &[Phrase] = &[
    // 0. The ECS control plane assumes the roles; the agent waits for their credentials.
    both("unable to assume the role", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    both("unable to assume role", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    both("execution role credentials", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    both("no execution credentials", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    both("execution credentials, but the credentials are empty", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    both("ecr credentials: not found", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    both("registry credentials: not found", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    both("unable to assume the configured", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    // AWS App Runner's access role, with which its build service pulls.
    both("invalid access role in AuthenticationConfiguration", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    both("no role trust policy allows", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    both("deny in the role trust policy", Step::AssumeRole, ONLY, Sign::RoleNotAssumable),
    // 1. Capacity, network interface and its IP address.
    both("create network interface", Step::NetworkInterface, PART, Sign::NetworkInterfaceNotCreated),
    both("network interface provision", Step::NetworkInterface, ONLY, Sign::NetworkInterfaceFailed),
    both("network interface attach", Step::NetworkInterface, ONLY, Sign::NetworkInterfaceFailed),
    both("network interface to attach", Step::NetworkInterface, ONLY, Sign::NetworkInterfaceFailed),
    both("NetworkInterfaceLimitExceeded", Step::NetworkInterface, ONLY, Sign::NetworkInterfaceFailed),
    both("RESOURCE:ENI", Step::NetworkInterface, ONLY, Sign::NetworkInterfaceFailed),
    both("InsufficientFreeAddresses", Step::NetworkInterface, ONLY, Sign::NoFreeAddress),
    both("not have enough free addresses", Step::NetworkInterface, ONLY, Sign::NoFreeAddress),
    both("not have enough IP addresses", Step::NetworkInterface, ONLY, Sign::NoFreeAddress),
    both("capacity is unavailable", Step::NetworkInterface, ONLY, Sign::CapacityUnavailable),
    both("capacity unavailable", Step::NetworkInterface, ONLY, Sign::CapacityUnavailable),
    both("insufficient capacity", Step::NetworkInterface, ONLY, Sign::CapacityUnavailable),
    both("EphemeralStorage provisioning", Step::NetworkInterface, ONLY, Sign::CapacityUnavailable),
    both("RESOURCE:FARGATE", Step::NetworkInterface, ONLY, Sign::CapacityUnavailable),
    both("operations are being throttled", Step::NetworkInterface, MOSTLY, Sign::Throttled),
    // An application may say the same of an account of its own.
    shows("account is currently blocked", Sign::NotPlaced(Refusal::AccountBlocked)),
    refused("not recognized as a valid account", Refusal::AccountBlocked),
    shows("AWS account is blocked", Sign::NotPlaced(Refusal::AccountBlocked)),
    shows("account is currently being verified", Sign::NotPlaced(Refusal::AccountBlocked)),
    shows("PendingVerification", Sign::NotPlaced(Refusal::AccountBlocked)),
    // EC2's own codes, which other tools print as well.
    shows("MaxSpotInstanceCountExceeded", Sign::NotPlaced(Refusal::SpotQuota)),
    shows("VcpuLimitExceeded", Sign::NotPlaced(Refusal::VcpuQuota)),
    shows("InstanceLimitExceeded", Sign::NotPlaced(Refusal::VcpuQuota)),
    refused("reached the limit on the number of", Refusal::FargateQuota),
    refused("configuration is above your limit", Refusal::FargateQuota),
    shows("InsufficientInstanceCapacity", Sign::NotPlaced(Refusal::InstanceShortage)),
    shows("UnfulfillableCapacity", Sign::NotPlaced(Refusal::InstanceTypes)),
    refused("missing an attribute required", Refusal::AttributeMissing),
    refused("missing attributes required", Refusal::AttributeMissing),
    refused("TaskFailedToStart: ATTRIBUTE", Refusal::AttributeMissing),
    refused("encountered error \"ATTRIBUTE", Refusal::AttributeMissing),
    refused("\"reason\":\"ATTRIBUTE", Refusal::AttributeMissing),
    refused("placement constraint unsatisfied", Refusal::ConstraintUnmet),
    refused("placement constraint not satisfied", Refusal::ConstraintUnmet),
    refused("not satisfy the placement constraint", Refusal::ConstraintUnmet),
    refused("using a port required", Refusal::PortTaken),
    refused("RESOURCE:PORTS", Refusal::PortTaken),
    refused("resource type PORTS", Refusal::PortTaken),
    refused("have the agent connected", Refusal::AgentDisconnected),
    refused("TaskFailedToStart: AGENT", Refusal::AgentDisconnected),
    refused("encountered error \"AGENT", Refusal::AgentDisconnected),
    refused("encountered error 'AGENT", Refusal::AgentDisconnected),
    refused("\"reason\":\"AGENT", Refusal::AgentDisconnected),
    refused("insufficient CPU units", Refusal::CpuShortage),
    refused("RESOURCE:CPU", Refusal::CpuShortage),
    refused("insufficient memory available", Refusal::MemoryShortage),
    refused("RESOURCE:MEMORY", Refusal::MemoryShortage),
    refused("RESOURCE:GPU", Refusal::GpuShortage),
    refused("has insufficient GPU", Refusal::GpuShortage),
    refused("no container instances were found in", Refusal::NoInstances),
    refused("EMPTY CAPACITY PROVIDER", Refusal::NoInstances),
    refused("TagPolicyViolation", Refusal::TagPolicy),
    at("failed to launch a task with (error", Step::NetworkInterface, NAME),
    at("tag the network interface", Step::NetworkInterface, PART),
    shows("UnauthorizedOperation", Sign::NotPlaced(Refusal::DeniedByEc2)),
    shows("': AuthFailure", Sign::NotPlaced(Refusal::DeniedByEc2)),
    refused("failed to configure ENI", Refusal::NetworkPlugin),
    refused("failed to setup regular eni", Refusal::NetworkPlugin),
    refused("while attempting to attach network interface", Refusal::NetworkPlugin),
    refused("unable to place a task. Reason: Internal error", Refusal::InternalError),
    refused("no container instance met all", Refusal::NoInstanceFits),
    refused("launch instance(s) for capacity provider", Refusal::NotLaunched),
    // 2. Secrets, including the credentials of private registries.
    at("registry auth from asm", Step::Secrets, PART),
    at("secret from asm", Step::Secrets, PART),
    at("secrets from asm", Step::Secrets, PART),
    at("secrets from ssm", Step::Secrets, PART),
    at("secret from ssm", Step::Secrets, PART),
    at("cannot pull secrets from", Step::Secrets, PART),
    at("failed to fetch secret", Step::Secrets, PART),
    at("unable to retrieve secret", Step::Secrets, MOSTLY),
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
    both("find the specified secret value", Step::Secrets, OPERATION, Sign::VersionMissing),
    both("for staging label", Step::Secrets, OPERATION, Sign::VersionMissing),
    both("find the specified secret", Step::Secrets, OPERATION, Sign::SecretMissing),
    both("secret because it was marked for deletion", Step::Secrets, DEFAULT, Sign::SecretMissing),
    both("not contain json key", Step::Secrets, PART, Sign::JsonKeyMissing),
    both("unmarshal secret value", Step::Secrets, PART, Sign::NotJson),
    both("empty secrets value", Step::Secrets, PART, Sign::NotJson),
    both("AuthorizationData is malformed", Step::Secrets, PART, Sign::NotJson),
    both("trying to retrieve secret with value", Step::Secrets, PART, Sign::NotJson),
    both("invalid ssm parameters", Step::Secrets, PART, Sign::ParameterMissing),
    both("invalid parameters:", Step::Secrets, MOSTLY, Sign::ParameterMissing),
    both("ParameterNotFound", Step::Secrets, OPERATION, Sign::ParameterMissing),
    both("invalid ARN format for the AWS Secrets", Step::Secrets, PART, Sign::InvalidValueFrom),
    both("unexpected ARN format", Step::Secrets, PART, Sign::InvalidValueFrom),
    both("find a secretsmanager secretID", Step::Secrets, PART, Sign::InvalidValueFrom),
    both("access to KMS is not allowed", Step::Secrets, MOSTLY, Sign::Denied),
    both("ciphertext refers to", Step::Secrets, MOSTLY, Sign::Denied),
    both("ciphertext references", Step::Secrets, MOSTLY, Sign::Denied),
    both("decrypt the protected secret text", Step::Secrets, MOSTLY, Sign::KmsKeyUnusable),
    // The errors of Go's JSON parser (encoding/json, scanner.go and decode.go).
    shows("looking for beginning of value", Sign::InvalidJson),
    shows("looking for beginning of object key", Sign::InvalidJson),
    shows("in literal true (expecting", Sign::InvalidJson),
    shows("in literal false (expecting", Sign::InvalidJson),
    shows("in literal null (expecting", Sign::InvalidJson),
    shows("in numeric literal", Sign::InvalidJson),
    shows("in string literal", Sign::InvalidJson),
    shows("in string escape code", Sign::InvalidJson),
    shows("after top-level value", Sign::InvalidJson),
    shows("after object key", Sign::InvalidJson),
    shows("after array element", Sign::InvalidJson),
    shows("unexpected end of JSON input", Sign::InvalidJson),
    shows("json: cannot unmarshal", Sign::InvalidJson),
    shows("into Go value of type", Sign::InvalidJson),
    shows("DecryptionFailure", Sign::KmsKeyUnusable),
    shows("InvalidKeyId", Sign::KmsKeyUnusable),
    shows("KMSInvalidState", Sign::KmsKeyUnusable),
    shows("ValidationException", Sign::InvalidInput),
    shows("InvalidParameterException", Sign::InvalidInput),
    // 3. Authentication to Amazon ECR.
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
    at("from the Amazon ECR repository", Step::ImageManifest, OPERATION),
    at("failed to resolve ref", Step::ImageManifest, OPERATION),
    at("pull image manifest has been", Step::ImageManifest, OPERATION),
    at("inspect image has been", Step::ImageManifest, OPERATION),
    at("failed to resolve reference", Step::ImageManifest, OPERATION),
    at("CannotPullImageManifestError", Step::ImageManifest, OPERATION),
    at("CannotPullContainerError", Step::ImageManifest, NAME),
    at("task can't pull the image", Step::ImageManifest, NAME),
    at("failed to pull image", Step::ImageManifest, NAME),
    both("pull access denied for", Step::ImageManifest, MOSTLY, Sign::MissingOrPrivate),
    at("while pulling image", Step::ImageManifest, NAME),
    // The agent's deadlines for a whole pull. Every other transition is of a container whose image
    // is there (amazon-ecs-agent, agent/engine/errors.go).
    both("could not transition to pulled", Step::ImageManifest, OPERATION, Sign::TooSlow),
    both("could not transition to manifest", Step::ImageManifest, OPERATION, Sign::TooSlow),
    at("could not transition to", Step::ContainerStart, ONLY),
    at("failed to authorize: failed to fetch", Step::ImageManifest, OPERATION),
    both("pull access denied", Step::ImageManifest, MOSTLY, Sign::MissingOrPrivate),
    both("requested access to the resource is denied", Step::ImageManifest, MOSTLY, Sign::MissingOrPrivate),
    both("repository does not exist or may require", Step::ImageManifest, MOSTLY, Sign::MissingOrPrivate),
    both("check whether the image exists", Step::ImageManifest, NAME, Sign::MissingOrPrivate),
    both("does not exist or no pull access", Step::ImageManifest, MOSTLY, Sign::MissingOrPrivate),
    both("name unknown", Step::ImageManifest, MOSTLY, Sign::RepositoryMissing),
    both("NAME_UNKNOWN", Step::ImageManifest, MOSTLY, Sign::RepositoryMissing),
    both("does not exist in the registry", Step::ImageManifest, MOSTLY, Sign::RepositoryMissing),
    both("RepositoryNotFound", Step::ImageManifest, MOSTLY, Sign::RepositoryMissing),
    both("manifest unknown", Step::ImageManifest, MOSTLY, Sign::ManifestMissing),
    both("MANIFEST_UNKNOWN", Step::ImageManifest, MOSTLY, Sign::ManifestMissing),
    both("requested image not found", Step::ImageManifest, MOSTLY, Sign::ManifestMissing),
    both("ImageNotFoundException", Step::ImageManifest, MOSTLY, Sign::ManifestMissing),
    both("ECR image doesn't exist", Step::ImageManifest, ONLY, Sign::ManifestMissing),
    // People write this as well, as a heading.
    both("image not found", Step::ImageManifest, MOSTLY, Sign::NotFound),
    // Docker until 2017.
    both("not found in repository", Step::ImageManifest, NAME, Sign::NotFound),
    both("descriptor matching platform", Step::ImageManifest, ONLY, Sign::WrongPlatform),
    both("no matching manifest for", Step::ImageManifest, ONLY, Sign::WrongPlatform),
    both("no match for platform", Step::ImageManifest, ONLY, Sign::WrongPlatform),
    both("does not match the specified platform", Step::ImageManifest, ONLY, Sign::WrongPlatform),
    both("find a descriptor for platform", Step::ImageManifest, ONLY, Sign::WrongPlatform),
    both("-based image is incompatible with", Step::ImageManifest, ONLY, Sign::WrongPlatform),
    both("operating system \"windows\" cannot be used", Step::ImageManifest, ONLY, Sign::WrongPlatform),
    both("operating system \"linux\" cannot be used", Step::ImageManifest, ONLY, Sign::WrongPlatform),
    both("image operating system", Step::ImageManifest, MOSTLY, Sign::WrongPlatform),
    // These two appear later, at the layers or at the container's start, but the platform is
    // chosen in the manifest.
    both("no processor for media-type", Step::ImageManifest, ONLY, Sign::NotExecutable),
    shows("unsupported media type", Sign::NotExecutable),
    both("mismatched image rootfs", Step::ImageManifest, ONLY, Sign::NotExecutable),
    both("exec format error", Step::ImageManifest, OPERATION, Sign::NotExecutable),
    both("verification failed for digest", Step::ImageManifest, MOSTLY, Sign::WrongDigest),
    both("invalid reference format", Step::ImageManifest, MOSTLY, Sign::InvalidReference),
    both("failed to normalize image reference", Step::ImageManifest, MOSTLY, Sign::InvalidReference),
    both("toomanyrequests", Step::ImageManifest, DEFAULT, Sign::RateLimited),
    both("pull rate limit", Step::ImageManifest, DEFAULT, Sign::RateLimited),
    shows("429 too many requests", Sign::RateLimited),
    both("no basic auth credentials", Step::ImageManifest, DEFAULT, Sign::LoginFailed),
    shows("incorrect username or password", Sign::LoginFailed),
    both("your authorization token has expired", Step::ImageManifest, DEFAULT, Sign::RegistryTokenExpired),
    // 6. Layers.
    at("failed to copy:", Step::ImageLayer, PART),
    at("httpReadSeeker", Step::ImageLayer, PART),
    at("httpReaderSeeker", Step::ImageLayer, PART),
    at("failed to extract layer", Step::ImageLayer, PART),
    at("error pulling image configuration", Step::ImageLayer, PART),
    at("ref pull has been", Step::ImageLayer, MOSTLY),
    at("starport-layer-bucket", Step::ImageLayer, PART),
    // A registry responds in JSON, the storage behind it in XML.
    at("looking for beginning of value: \"<?xml", Step::ImageLayer, OPERATION),
    at("REDACTED ECR URL", Step::ImageLayer, PART),
    both("layer verification failed", Step::ImageLayer, PART, Sign::CorruptLayer),
    both("failed size validation", Step::ImageLayer, PART, Sign::CorruptLayer),
    both("unexpected commit digest", Step::ImageLayer, PART, Sign::CorruptLayer),
    at("failed to register layer", Step::ImageLayer, PART),
    shows("no space left on device", Sign::DiskFull),
    shows("free data blocks which is less than", Sign::DiskFull),
    at("GetImageBlob", Step::ImageLayer, MOSTLY),
    // Steps whose place in the order is not known.
    at("download env file", Step::EnvironmentFile, ONLY),
    at("environment file resource", Step::EnvironmentFile, MOSTLY),
    at("environmentFile", Step::EnvironmentFile, MOSTLY),
    at("s3 client for bucket", Step::EnvironmentFile, PART),
    at("file download command", Step::EnvironmentFile, PART),
    shows("NoSuchKey", Sign::ObjectMissing),
    shows("NoSuchBucket", Sign::ObjectMissing),
    at("EFS utils", Step::FileSystem, ONLY),
    at("set up EFS volumes", Step::FileSystem, ONLY),
    both("stderr: failed to resolve", Step::FileSystem, ONLY, Sign::MountFailed),
    both("failed to resolve \"fs-", Step::FileSystem, ONLY, Sign::MountFailed),
    both("mount target for this file system", Step::FileSystem, MOSTLY, Sign::MountFailed),
    both("mount target ip address", Step::FileSystem, MOSTLY, Sign::MountFailed),
    at("mounting volume failed", Step::FileSystem, ONLY),
    both("mount.nfs4: failed to resolve", Step::FileSystem, ONLY, Sign::MountFailed),
    both("mount attempt", Step::FileSystem, MOSTLY, Sign::MountFailed),
    both("mount.nfs4: connection timed out", Step::FileSystem, ONLY, Sign::MountFailed),
    both("mount system call failed", Step::FileSystem, ONLY, Sign::MountFailed),
    both("access denied by server while mounting", Step::FileSystem, ONLY, Sign::MountDenied),
    both("given by server: no such file", Step::FileSystem, ONLY, Sign::DirectoryMissing),
    // 7. The container itself.
    at("CannotStartContainerError", Step::ContainerStart, NAME + 1),
    at("CannotCreateContainerError", Step::ContainerStart, NAME + 1),
    at("unable to create new container", Step::ContainerStart, ONLY),
    at("ContainerRuntimeError", Step::ContainerStart, NAME + 1),
    at("ContainerRuntimeTimeoutError", Step::ContainerStart, NAME + 1),
    at("CannotInspectContainerError", Step::ContainerStart, NAME + 1),
    at("CannotCreateVolumeError", Step::ContainerStart, NAME + 1),
    // Shared by several steps of a task's start, and by nothing else.
    at("ResourceInitializationError", Step::Unknown, NAME),
    at("pull secrets or registry auth", Step::Unknown, NAME),

    // No response, as Go, its SDKs, containerd and Docker word it.
    shows("i/o timeout", Sign::TimedOut),
    shows("context deadline exceeded", Sign::TimedOut),
    shows("deadline exceeded", Sign::TimedOut),
    shows("request context cancel", Sign::TimedOut),
    shows("context cancelled", Sign::Canceled),
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
    shows("context canceled", Sign::Canceled),
    shows("signal: killed", Sign::HelperKilled),
    shows("request send failed", Sign::NoResponse),
    shows("send request failed", Sign::NoResponse),
    shows("RequestError", Sign::NoResponse),
    shows("failed to do request", Sign::NoResponse),
    shows("dial tcp", Sign::NoResponse),
    shows("connection issue between", Sign::ConnectionIssue),
    shows("check your task network", Sign::ConnectionIssue),
    shows("check your network", Sign::ConnectionIssue),
    shows("connection refused", Sign::ConnectionRefused),
    shows("connection reset", Sign::ConnectionReset),
    shows("broken pipe", Sign::ConnectionReset),
    shows("\": EOF", Sign::ConnectionReset),
    shows("/: EOF", Sign::ConnectionReset),
    shows("unexpected EOF", Sign::ConnectionReset),
    shows("no route to host", Sign::Unreachable),
    shows("network is unreachable", Sign::Unreachable),
    // DNS.
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
    shows("x509:", Sign::TlsFailure),
    shows("failed to verify certificate", Sign::TlsFailure),
    shows("certificate verify failed", Sign::TlsFailure),
    shows("remote error: tls", Sign::TlsFailure),
    shows("first record does not look like a TLS handshake", Sign::NotTls),
    shows("server gave HTTP response to HTTPS client", Sign::NotTls),
    shows("ssl: wrong version number", Sign::NotTls),
    // Responses.
    shows("deserialization failed", Sign::ForeignResponse),
    // A proxy's answer to CONNECT, which Go prints as the reason without the number (net/http,
    // transport.go, `dialConn`).
    shows("\": Forbidden", Sign::ProxyAnswered),
    shows("\": Proxy Authentication Required", Sign::ProxyAnswered),
    shows("\": Service Unavailable", Sign::ProxyAnswered),
    shows("\": Bad Gateway", Sign::ProxyAnswered),
    shows("\": Gateway Timeout", Sign::ProxyAnswered),
    shows("failed to decode response body", Sign::ForeignResponse),
    shows("not authorized to perform", Sign::Denied),
    shows("AccessDenied", Sign::Denied),
    shows("role has the permissions to pull", Sign::Denied),
    shows("403 Forbidden", Sign::Forbidden),
    shows("access forbidden", Sign::Forbidden),
    shows("HTTP 403", Sign::Forbidden),
    shows("Forbidden: Forbidden", Sign::Forbidden),
    shows("unexpected status code", Sign::UnexpectedStatus),
    shows("unexpected status from", Sign::UnexpectedStatus),
    shows("401 Unauthorized", Sign::LoginFailed),
    shows("authentication required", Sign::LoginFailed),
    shows("unauthorized:", Sign::RegistryDenied),
    shows("\": unauthorized", Sign::RegistryDenied),
    shows("denied:", Sign::RegistryDenied),
    shows("parsing HTTP 403", Sign::Forbidden),
    shows("not found", Sign::NotFound),
    shows("ResourceNotFoundException", Sign::NotFound),
    shows("404 Not Found", Sign::NotFound),
    shows("Internal Server Error", Sign::ServiceFailure),
    shows("Bad Gateway", Sign::ServiceFailure),
    shows("Service Unavailable", Sign::ServiceFailure),
    shows("Gateway Time", Sign::ServiceFailure),
    shows("rate exceeded", Sign::Throttled),
    shows("ThrottlingException", Sign::Throttled),
    shows("TooManyRequestsException", Sign::Throttled),
    shows("NoCredentialProviders", Sign::NoCredentials),
    shows("no valid providers in chain", Sign::NoCredentials),
    shows("get identity: get credentials", Sign::NoCredentials),
    shows("failed to refresh cached credentials", Sign::NoCredentials),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_phrases_across_line_breaks() {
        let text = NormalizedText::new(
            "… failed to val\nidate   logger args: dial tcp 10.0.0.1:443: i/o time\nout",
        );
        let matches = find(&text);
        let hint = StepHint {
            step: Step::LogDriver,
            weight: ONLY,
        };
        assert_eq!(matches[0].step, Some(hint));
        assert_eq!(matches[0].quote(&text), "val idate logger args");
        assert_eq!(matches.last().unwrap().sign, Some(Sign::TimedOut));
    }

    #[test]
    fn phrases_are_unique() {
        let mut all: Vec<_> = PHRASES.iter().map(dense).collect();
        all.sort();
        let before = all.len();
        all.dedup();
        assert_eq!(before, all.len());
    }
}
