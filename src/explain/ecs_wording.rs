//! The reverse direction: the stopped reason that ECS would have given for the failures of a
//! report, and after how long.

use super::step::Step;
use crate::aws::denial::policy_name;
use crate::cause::Cause;
use crate::diagnose::Finding;
use crate::observation::{Denial, Dependency, Failure, Observation, Phase};
use crate::redact::{redact, shorten};

/// Longest stopped reason that AWS returns, in characters (docs/facts/ecs-start.md#1).
const MAX_REASON_CHARS: usize = 1_024;

/// How a task's start would have failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// Causes of the failure that ECS meets first, ranked.
    pub causes: Vec<Cause>,
    /// How long the task would have been PENDING.
    pub after: &'static str,
    /// The task's stopped reason, as far as ECS's wording is known.
    pub text: String,
}

/// Gaps in a text where a name or an ID is not known.
const GAPS: [&str; 9] = [
    "RequestID: ,",
    "00000000-0000",
    "Get :",
    "ref :",
    "secret from",
    "/v2/",
    "parameters: ,",
    "…",
    "''",
];

impl Prediction {
    /// Whether the text has no gap, so that it can be quoted.
    pub fn is_complete(&self) -> bool {
        GAPS.iter().all(|gap| !self.text.contains(gap)) && !self.text.ends_with([' ', ':'])
    }
}

/// A request without a response is retried: 4 min 49 s were measured, and 3 to 5 minutes reported
/// (docs/facts/ecs-start.md#1).
const AFTER_RETRIES: &str = "about 5 minutes";

/// An error that a service returns is not retried.
const AFTER_RESPONSE: &str = "less than a minute";

/// Returns the failure that ECS meets first, in ECS's wording. `None` if the task would start, or
/// if only the probe's own dependencies fail (its metadata, its task role).
pub fn predict(findings: &[Finding], observations: &[Observation]) -> Option<Prediction> {
    let causes = |seen: &Observation| {
        let blocking = findings
            .iter()
            .filter(|finding| finding.blocking && finding.because.contains(&seen.id));
        blocking.map(|finding| finding.cause).collect::<Vec<_>>()
    };
    let failed = observations
        .iter()
        .filter(|seen| seen.failure().is_some() && !causes(seen).is_empty());
    let first = failed
        .filter(|seen| step_of_dependency(seen.dependency).is_some())
        .min_by_key(|seen| (step_of_dependency(seen.dependency), seen.phase))?;
    let failure = first.failure()?;
    if causes(first).contains(&Cause::RoleNotAssumable) {
        let role = first
            .denial()
            .and_then(|denial| denial.resource.as_deref())
            .unwrap_or("of this task definition");
        let text = format!(
            "ECS was unable to assume the role '{role}' that was provided for this task. Please verify that the role being \
             passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role."
        );
        return Some(Prediction {
            causes: causes(first),
            after: AFTER_RESPONSE,
            text,
        });
    }
    let (after, reason) = match go_error(first, failure) {
        Some(error) => (AFTER_RETRIES, reason_without_response(first, &error)),
        None => (
            AFTER_RESPONSE,
            reason_with_response(first, &service_error(first, failure)?),
        ),
    };
    let text = shorten(&redact(&reason), MAX_REASON_CHARS).to_owned();
    Some(Prediction {
        causes: causes(first),
        after,
        text,
    })
}

/// Returns the step in which ECS contacts a dependency.
fn step_of_dependency(dependency: Dependency) -> Option<Step> {
    match dependency {
        Dependency::SecretsManager | Dependency::Ssm => Some(Step::Secrets),
        Dependency::EcrApi => Some(Step::RegistryAuth),
        Dependency::Logs => Some(Step::LogDriver),
        Dependency::EcrDkr | Dependency::Registry => Some(Step::ImageManifest),
        Dependency::S3 => Some(Step::ImageLayer),
        Dependency::EnvironmentFile => Some(Step::EnvironmentFile),
        Dependency::Efs => Some(Step::FileSystem),
        // The task starts without it, ECS's wording is not known, or only the probe contacts it.
        _ => None,
    }
}

/// Returns Go's error for a failure of DNS, connection or TLS; `None` if there was a response.
fn go_error(seen: &Observation, failure: Failure) -> Option<String> {
    let host = seen.host.trim_end_matches('.');
    let resolver = seen
        .lookups
        .last()
        .map(|lookup| format!(" on {}", lookup.resolver))
        .unwrap_or_default();
    let peer = seen.peer.map(|peer| format!(" {peer}")).unwrap_or_default();
    let x509 = |what: &str| Some(format!("tls: failed to verify certificate: x509: {what}"));
    match (seen.phase, failure) {
        (Phase::Resolve, Failure::Refused | Failure::Unreachable) => Some(format!(
            "dial tcp: lookup {host}{resolver}: read udp: read: connection refused"
        )),
        (Phase::Resolve, Failure::TimedOut) => {
            Some(format!("dial tcp: lookup {host}{resolver}: i/o timeout"))
        }
        // The kernel has no route for the address's IP version (Go's net package).
        (Phase::Connect, Failure::NoAddress) => {
            Some(format!("dial tcp{peer}: connect: network is unreachable"))
        }
        (_, Failure::NoSuchName | Failure::NoAddress) => {
            Some(format!("dial tcp: lookup {host}{resolver}: no such host"))
        }
        (_, Failure::ServerFailure | Failure::QueryRefused) => Some(format!(
            "dial tcp: lookup {host}{resolver}: server misbehaving"
        )),
        (Phase::Handshake, Failure::TimedOut | Failure::Stalled | Failure::TooSlow) => {
            Some("net/http: TLS handshake timeout".into())
        }
        (Phase::Connect, Failure::TimedOut) => Some(format!("dial tcp{peer}: i/o timeout")),
        (_, Failure::TimedOut | Failure::Stalled | Failure::TooSlow) => {
            Some("net/http: timeout awaiting response headers".into())
        }
        // In other phases only the probe's second connection was refused; an SDK opens only one.
        (Phase::Connect | Phase::Handshake, Failure::Refused) => {
            Some(format!("dial tcp{peer}: connect: connection refused"))
        }
        (_, Failure::Reset) => Some(format!("read tcp{peer}: read: connection reset by peer")),
        (_, Failure::Unreachable | Failure::IcmpUnreachable) => {
            Some(format!("dial tcp{peer}: connect: no route to host"))
        }
        (_, Failure::UnknownIssuer) => x509("certificate signed by unknown authority"),
        (_, Failure::WrongName) => {
            let names = seen
                .presented
                .iter()
                .take(3)
                .cloned()
                .collect::<Vec<_>>()
                .join(", ");
            x509(&format!("certificate is valid for {names}, not {host}"))
        }
        (_, Failure::ExpiredCertificate | Failure::NotYetValidCertificate) => {
            x509("certificate has expired or is not yet valid")
        }
        (_, Failure::HandshakeRefused) => Some("remote error: tls: handshake failure".into()),
        (Phase::Handshake, Failure::UnexpectedAnswer) => {
            Some("tls: first record does not look like a TLS handshake".into())
        }
        _ => None,
    }
}

/// Returns the error of a service or registry, as the SDK or containerd prints it; `None` for what
/// does not fail a task's start.
fn service_error(seen: &Observation, failure: Failure) -> Option<String> {
    // What the SDK or containerd makes of another server's answer is not known.
    if !seen.is_of_the_service() {
        return None;
    }
    let response = seen.answer.as_ref();
    // A failure without an error body has neither message nor code; the texts below stand in.
    let message = response
        .map(|answer| answer.message.as_str())
        .unwrap_or_default();
    let code = response
        .map(|answer| answer.code.as_str())
        .unwrap_or_default();
    let subject = seen.subject.as_deref().unwrap_or_default();
    let pull = matches!(
        seen.dependency,
        Dependency::EcrDkr | Dependency::Registry | Dependency::S3
    );
    let composed = seen.denial().and_then(sentence).unwrap_or_default();
    let message = if message.is_empty() {
        &composed
    } else {
        message
    };
    let status = |status: &str| {
        // containerd requests a manifest with HEAD, which loses the reason. Fargate redacts a
        // layer's URL.
        let url = match seen.dependency {
            Dependency::S3 => "REDACTED".to_owned(),
            _ if is_layer(seen) => format!("https://{}/v2/{subject}/blobs/sha256:", seen.host),
            _ => format!("https://{}/v2/", seen.host),
        };
        Some(format!("unexpected status code {url}: {status}"))
    };
    let api = |code: &str, default: &str| {
        let message = if message.is_empty() { default } else { message };
        Some(format!(
            "https response error StatusCode: 400, RequestID: 00000000-0000-0000-0000-000000000000, api error {code}: {message}"
        ))
    };
    // The SDK expects JSON with an error code (aws-sdk-go-v2, deserializers).
    let not_json = "https response error StatusCode: 200, RequestID: , deserialization failed, failed to decode response \
                   body, invalid character '<' looking for beginning of value";
    if !pull
        && code.is_empty()
        && response.is_some_and(|answer| !answer.message.is_empty() && answer.denial.is_none())
    {
        return Some(not_json.replace("200", "404"));
    }
    match failure {
        // Amazon S3 also returns 403 for a wrong or expired signature.
        Failure::Denied if pull => status("403 Forbidden"),
        Failure::InvalidSignature | Failure::ClockSkewed | Failure::ExpiredToken if seen.dependency == Dependency::S3 => {
            status("403 Forbidden")
        }
        Failure::Denied => api("AccessDeniedException", "User is not authorized to perform this action"),
        Failure::Unauthenticated if pull => status("401 Unauthorized"),
        Failure::Unauthenticated => {
            api("UnrecognizedClientException", "The security token included in the request is invalid.")
        }
        Failure::InvalidSignature => api("InvalidSignatureException", "The signature does not match."),
        Failure::ClockSkewed => api("InvalidSignatureException", "Signature expired").map(|error| {
            if error.to_lowercase().contains("signature expired") { error } else { format!("{error} (Signature expired)") }
        }),
        Failure::ExpiredToken => api("ExpiredTokenException", "The security token included in the request is expired"),
        Failure::Throttled if pull && seen.dependency == Dependency::Registry => {
            status("429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit.")
        }
        Failure::Throttled => api("ThrottlingException", "Rate exceeded"),
        Failure::NotFound => match seen.dependency {
            _ if pull && is_layer(seen) => status("404 Not Found"),
            Dependency::EcrDkr | Dependency::Registry => Some(format!("{subject}: not found")),
            Dependency::Ssm => Some(format!("invalid ssm parameters: {subject}")),
            Dependency::Logs => api("ResourceNotFoundException", "The specified log group does not exist."),
            Dependency::SecretsManager if code == "VersionMissing" => Some(
                "ResourceNotFoundException: Secrets Manager can't find the specified secret value for staging label"
                    .into(),
            ),
            Dependency::SecretsManager => {
                api("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
            }
            Dependency::EnvironmentFile => api("NoSuchKey", "The specified key does not exist."),
            _ => None,
        },
        Failure::WrongForm if code == "JsonKeyMissing" => {
            Some("retrieved secret from Secrets Manager did not contain json key".into())
        }
        // ECS's text is not known: its agent exits.
        Failure::WrongForm if code == "SecretBinary" || seen.phase == Phase::Manifest => None,
        Failure::WrongForm => Some("trying to retrieve secret with value resulted in error: invalid character".into()),
        Failure::WrongPlatform => Some("image Manifest does not contain descriptor matching platform".into()),
        Failure::WrongDigest if seen.dependency == Dependency::S3 => Some("filesystem layer verification failed".into()),
        Failure::ServiceFailure => Some("503 Service Unavailable".into()),
        Failure::UnexpectedAnswer if !code.is_empty() => None,
        // containerd parses a manifest as the SDK parses a response.
        Failure::UnexpectedAnswer => Some(not_json.into()),
        _ => None,
    }
}

/// Whether the observation is about a layer's content, not the manifest.
fn is_layer(seen: &Observation) -> bool {
    seen.dependency != Dependency::EnvironmentFile
        && (seen.dependency == Dependency::S3 || matches!(seen.phase, Phase::Blob | Phase::Fetch))
}

/// Composes the authorization error as AWS words it (docs/facts/denials.md#1), for a report that
/// did not keep the service's message.
fn sentence(denial: &Denial) -> Option<String> {
    let action = denial.action.as_deref()?;
    let principal = denial
        .principal
        .as_deref()
        .unwrap_or("arn:aws:sts::…:assumed-role/…");
    let resource = denial.resource.as_deref().unwrap_or("*");
    let reason = match denial.policy.and_then(policy_name) {
        None => String::new(),
        Some(policy) if denial.explicit => format!(" with an explicit deny in a {policy}"),
        Some(policy) => format!(" because no {policy} allows the {action} action"),
    };
    Some(format!(
        "User: {principal} is not authorized to perform: {action} on resource: {resource}{reason}"
    ))
}

const UNABLE: &str = "ResourceInitializationError: unable to pull secrets or registry auth:";

/// Returns the stopped reason for a request without a response, in Fargate's wording since 2024.
fn reason_without_response(seen: &Observation, error: &str) -> String {
    let subject = seen.subject.as_deref().unwrap_or_default();
    let host = &seen.host;
    let check = "Check your task network configuration.";
    let sent = format!(
        "https response error StatusCode: 0, RequestID: , request send failed, Post \"https://{host}/\": {error}"
    );
    match seen.dependency {
        Dependency::SecretsManager => format!(
            "{UNABLE} unable to retrieve secret from asm: There is a connection issue between the task and AWS Secrets \
             Manager. {check} failed to fetch secret {subject} from secrets manager: operation error Secrets Manager: \
             GetSecretValue, {sent}"
        ),
        Dependency::Ssm => format!(
            "{UNABLE} unable to retrieve secrets from ssm: The task cannot pull secrets from AWS Systems Manager. There \
             is a connection issue between the task and AWS Systems Manager Parameter Store. {check} operation error \
             SSM: GetParameters, {sent}"
        ),
        Dependency::EcrApi => format!(
            "{UNABLE} The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task \
             and Amazon ECR. {check} operation error ECR: GetAuthorizationToken, exceeded maximum number of attempts, \
             3, {sent}"
        ),
        // A helper process creates the log stream. If it hangs, it is killed and gives no reason.
        Dependency::Logs if error.ends_with("i/o timeout") && seen.phase == Phase::Connect => {
            "ResourceInitializationError: failed to validate logger args: The task cannot find the Amazon CloudWatch log \
             group defined in the task definition. There is a connection issue between the task and Amazon CloudWatch. \
             Check your network configuration. : signal: killed"
                .into()
        }
        Dependency::Logs => format!(
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed \
             to create Cloudwatch log stream: operation error CloudWatch Logs: CreateLogStream, {sent}"
        ),
        _ if is_layer(seen) => format!(
            "CannotPullContainerError: ref pull has been retried 5 time(s): failed to copy: httpReadSeeker: failed open: \
             failed to do request: Get {subject}: {error}"
        ),
        Dependency::EnvironmentFile => format!(
            "ResourceInitializationError: failed to download env files: file download command: non empty error stream: \
             RequestError: send request failed caused by: {error}"
        ),
        Dependency::Efs => format!(
            "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: {}",
            if seen.phase == Phase::Resolve {
                format!("Failed to resolve \"{host}\" - check that your file system ID is correct")
            } else {
                "b'mount.nfs4: Connection timed out'".to_owned()
            }
        ),
        _ => format!(
            "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref {subject}: \
             failed to do request: Head \"https://{host}/v2/\": {error}"
        ),
    }
}

/// Returns the stopped reason for an error that a service returned; these kept the older wording.
fn reason_with_response(seen: &Observation, error: &str) -> String {
    let old = format!("{UNABLE} execution resource retrieval failed: unable to retrieve");
    let subject = seen.subject.as_deref().unwrap_or_default();
    match seen.dependency {
        Dependency::SecretsManager => format!(
            "{old} secret from asm: service call has been retried 1 time(s): failed to fetch secret {subject} from \
             secrets manager: operation error Secrets Manager: GetSecretValue, {error}"
        ),
        Dependency::Ssm => {
            format!("{old} secrets from ssm: service call has been retried 1 time(s): {error}")
        }
        Dependency::EcrApi => format!(
            "{old} ecr registry auth: service call has been retried 1 time(s): operation error ECR: \
             GetAuthorizationToken, {error}"
        ),
        Dependency::Logs => format!(
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed \
             to create Cloudwatch log stream: operation error CloudWatch Logs: CreateLogStream, {error}"
        ),
        _ if is_layer(seen) => format!(
            "CannotPullContainerError: ref pull has been retried 1 time(s): failed to copy: httpReadSeeker: failed open: \
             {error}"
        ),
        Dependency::EnvironmentFile => {
            format!("ResourceInitializationError: failed to download env files: {error}")
        }
        Dependency::Efs => format!(
            "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: \
             b'mount.nfs4: access denied by server while mounting 127.0.0.1:/': {error}"
        ),
        _ => format!(
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {subject}: \
             {error}"
        ),
    }
}
