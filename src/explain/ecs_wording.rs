//! The reverse direction: what ECS itself would have said of what a report has seen, and after how
//! long.

use super::Step;
use crate::cause::Cause;
use crate::diagnose::Finding;
use crate::observation::{Denial, Dependency, Failure, Observation, Phase, PolicyKind};

/// How a start would have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// What the report found of the fault that ECS meets first, ranked.
    pub causes: Vec<Cause>,
    /// How long the task would have been pending.
    pub after: &'static str,
    /// The reason that it would have been stopped with, as far as pullprobe knows ECS's words.
    pub text: String,
}

/// Silence is retried: 4 min 49 s were measured, and three to five minutes reported (facts:
/// ecs-start, section 1).
const AFTER_SILENCE: &str = "about 5 minutes";

/// What a service refuses is asked once.
const AFTER_ANSWER: &str = "less than a minute";

/// The fault that ECS meets first, in its words. `None` where the task would start, or where what
/// fails is the probe's own (its metadata, its task role) and ECS would not have met it.
pub fn predict(findings: &[Finding], observations: &[Observation]) -> Option<Prediction> {
    let about = |seen: &Observation| {
        let blocking = findings
            .iter()
            .filter(|finding| finding.blocking && finding.because.contains(&seen.id));
        blocking.map(|finding| finding.cause).collect::<Vec<_>>()
    };
    let failed = observations
        .iter()
        .filter(|seen| seen.failure().is_some() && !about(seen).is_empty());
    let first = failed
        .filter(|seen| step(seen.dependency).is_some())
        .min_by_key(|seen| (step(seen.dependency), seen.phase))?;
    let failure = first.failure()?;
    if about(first).contains(&Cause::RoleNotAssumable) {
        let role = denial(first)
            .and_then(|denial| denial.resource.as_deref())
            .unwrap_or("of this task definition");
        let text = format!(
            "ECS was unable to assume the role '{role}' that was provided for this task. Please verify that the role being \
             passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role."
        );
        return Some(Prediction {
            causes: about(first),
            after: AFTER_ANSWER,
            text,
        });
    }
    let (after, said) = match transport(first, failure) {
        Some(transport) => (AFTER_SILENCE, in_silence(first, &transport)),
        None => (AFTER_ANSWER, in_answer(first, &answer(first, failure)?)),
    };
    // AWS stops at 1,024 characters (facts: ecs-start, section 1).
    let text = crate::redact::shorten(&crate::redact::redact(&said), 1_024).to_owned();
    Some(Prediction {
        causes: about(first),
        after,
        text,
    })
}

/// The step in which ECS meets a role.
fn step(dependency: Dependency) -> Option<Step> {
    match dependency {
        Dependency::SecretsManager | Dependency::Ssm => Some(Step::Secrets),
        Dependency::EcrApi => Some(Step::RegistryAuth),
        Dependency::Logs => Some(Step::LogDriver),
        Dependency::EcrDkr | Dependency::Registry => Some(Step::ImageManifest),
        Dependency::S3 => Some(Step::ImageLayer),
        Dependency::EnvironmentFile => Some(Step::EnvironmentFile),
        Dependency::Efs => Some(Step::FileSystem),
        // The task starts without it, the words are not known, or it is the probe's own.
        _ => None,
    }
}

/// The words of Go for what is below the answer; `None` for an answer.
fn transport(seen: &Observation, failure: Failure) -> Option<String> {
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
        // What takes a first connection and no second: of an SDK's one it would have taken that.
        (Phase::Connect | Phase::Handshake, Failure::Refused) => {
            Some(format!("dial tcp{peer}: connect: connection refused"))
        }
        (_, Failure::Reset) => Some(format!("read tcp{peer}: read: connection reset by peer")),
        (_, Failure::Unreachable) => Some(format!("dial tcp{peer}: connect: no route to host")),
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

/// What a service or registry says, as the SDK or containerd prints it; `None` for what ECS would
/// not have minded.
fn answer(seen: &Observation, failure: Failure) -> Option<String> {
    let said = seen.answer.as_ref();
    let message = said
        .map(|answer| answer.message.as_str())
        .unwrap_or_default();
    let code = said.map(|answer| answer.code.as_str()).unwrap_or_default();
    let subject = seen.subject.as_deref().unwrap_or_default();
    let pull = matches!(
        seen.dependency,
        Dependency::EcrDkr | Dependency::Registry | Dependency::S3
    );
    let written = denial(seen).and_then(sentence).unwrap_or_default();
    let message = if message.is_empty() {
        &written
    } else {
        message
    };
    let status = |status: &str| {
        // containerd asks for a manifest with HEAD, which loses the reason; a layer's URL is
        // printed as the image.
        let url = match seen.dependency {
            Dependency::S3 => "REDACTED".to_owned(),
            _ if is_layer(seen) => format!("https://{}/v2/{subject}/blobs/sha256:", seen.host),
            _ => format!("https://{}/v2/", seen.host),
        };
        Some(format!("unexpected status code {url}: {status}"))
    };
    let api = |code: &str, otherwise: &str| {
        let message = if message.is_empty() {
            otherwise
        } else {
            message
        };
        Some(format!(
            "https response error StatusCode: 400, RequestID: 00000000-0000-0000-0000-000000000000, api error {code}: {message}"
        ))
    };
    // The SDK wants JSON, and an error's code in it (aws-sdk-go-v2, deserializers).
    let strange = "https response error StatusCode: 200, RequestID: , deserialization failed, failed to decode response \
                   body, invalid character '<' looking for beginning of value";
    if !pull
        && code.is_empty()
        && said.is_some_and(|said| !said.message.is_empty() && said.denial.is_none())
    {
        return Some(strange.replace("200", "404"));
    }
    match failure {
        // Amazon S3 says 403 to a signature that it does not take or that is too old, as to all
        // else.
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
        Failure::ClockSkewed => api("InvalidSignatureException", "Signature expired").map(|said| {
            if said.to_lowercase().contains("signature expired") { said } else { format!("{said} (Signature expired)") }
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
        Failure::WrongForm => Some("trying to retrieve secret with value resulted in error: invalid character".into()),
        Failure::WrongPlatform => Some("image Manifest does not contain descriptor matching platform".into()),
        Failure::WrongDigest if seen.dependency == Dependency::S3 => Some("filesystem layer verification failed".into()),
        Failure::ServiceFailure => Some("503 Service Unavailable".into()),
        // containerd parses a manifest as the SDK does.
        Failure::UnexpectedAnswer => Some(strange.into()),
        _ => None,
    }
}

/// Of a layer's bytes, and not of the manifest.
fn is_layer(seen: &Observation) -> bool {
    seen.dependency != Dependency::EnvironmentFile
        && (seen.dependency == Dependency::S3 || matches!(seen.phase, Phase::Blob | Phase::Fetch))
}

fn denial(seen: &Observation) -> Option<&Denial> {
    seen.answer.as_ref()?.denial.as_ref()
}

/// The refusal as AWS words it (facts: denials, section 1), where the service's own words were not
/// kept.
fn sentence(denial: &Denial) -> Option<String> {
    let action = denial.action.as_deref()?;
    let who = denial
        .principal
        .as_deref()
        .unwrap_or("arn:aws:sts::…:assumed-role/…");
    let what = denial.resource.as_deref().unwrap_or("*");
    let kind = match denial.policy {
        None | Some(PolicyKind::KmsKey) => {
            return Some(format!(
                "User: {who} is not authorized to perform: {action} on resource: {what}"
            ));
        }
        Some(PolicyKind::Identity) => "identity-based policy",
        Some(PolicyKind::Resource) => "resource-based policy",
        Some(PolicyKind::VpcEndpoint) => "VPC endpoint policy",
        Some(PolicyKind::PermissionsBoundary) => "permissions boundary",
        Some(PolicyKind::Session) => "session policy",
        Some(PolicyKind::ServiceControl) => "service control policy",
        Some(PolicyKind::ResourceControl) => "resource control policy",
        Some(PolicyKind::RoleTrust) => "role trust policy",
    };
    let reason = if denial.explicit {
        format!("with an explicit deny in a {kind}")
    } else {
        format!("because no {kind} allows the {action} action")
    };
    Some(format!(
        "User: {who} is not authorized to perform: {action} on resource: {what} {reason}"
    ))
}

const UNABLE: &str = "ResourceInitializationError: unable to pull secrets or registry auth:";

/// Fargate's wrappers since 2024 around what has no answer.
fn in_silence(seen: &Observation, transport: &str) -> String {
    let subject = seen.subject.as_deref().unwrap_or_default();
    let host = &seen.host;
    let check = "Check your task network configuration.";
    let sent = format!(
        "https response error StatusCode: 0, RequestID: , request send failed, Post \"https://{host}/\": {transport}"
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
        // A helper process opens the stream, and what hangs is killed without a word of why.
        Dependency::Logs if transport.ends_with("i/o timeout") && seen.phase == Phase::Connect => {
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
             failed to do request: Get {subject}: {transport}"
        ),
        Dependency::EnvironmentFile => format!(
            "ResourceInitializationError: failed to download env files: file download command: non empty error stream: \
             RequestError: send request failed caused by: {transport}"
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
             failed to do request: Head \"https://{host}/v2/\": {transport}"
        ),
    }
}

/// The older wrappers, which refusals kept.
fn in_answer(seen: &Observation, said: &str) -> String {
    let old = format!("{UNABLE} execution resource retrieval failed: unable to retrieve");
    let subject = seen.subject.as_deref().unwrap_or_default();
    match seen.dependency {
        Dependency::SecretsManager => format!(
            "{old} secret from asm: service call has been retried 1 time(s): failed to fetch secret {subject} from \
             secrets manager: operation error Secrets Manager: GetSecretValue, {said}"
        ),
        Dependency::Ssm => {
            format!("{old} secrets from ssm: service call has been retried 1 time(s): {said}")
        }
        Dependency::EcrApi => format!(
            "{old} ecr registry auth: service call has been retried 1 time(s): operation error ECR: \
             GetAuthorizationToken, {said}"
        ),
        Dependency::Logs => format!(
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed \
             to create Cloudwatch log stream: operation error CloudWatch Logs: CreateLogStream, {said}"
        ),
        _ if is_layer(seen) => format!(
            "CannotPullContainerError: ref pull has been retried 1 time(s): failed to copy: httpReadSeeker: failed open: \
             {said}"
        ),
        Dependency::EnvironmentFile => {
            format!("ResourceInitializationError: failed to download env files: {said}")
        }
        Dependency::Efs => format!(
            "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: \
             b'mount.nfs4: access denied by server while mounting 127.0.0.1:/': {said}"
        ),
        _ => format!(
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {subject}: \
             {said}"
        ),
    }
}
