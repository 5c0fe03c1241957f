//! The reverse direction: what ECS itself would have said of what a report has seen, and after how long.

use super::Step;
use crate::diagnose::Finding;
use crate::observation::{Failure, Observation, Phase, Role};

/// How a start would have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// How long the task would have been pending.
    pub after: &'static str,
    /// The reason that it would have been stopped with, as far as pullprobe knows ECS's words.
    pub text: String,
}

/// Silence is retried: 4 min 49 s were measured, and three to five minutes reported (facts: ecs-start, section 1).
const AFTER_SILENCE: &str = "about 5 minutes";

/// What a service refuses is asked once.
const AFTER_ANSWER: &str = "less than a minute";

/// The fault that ECS meets first, in its words. `None` where the task would start, or where what fails is the probe's
/// own (its metadata, its task role) and ECS would not have met it.
pub fn predict(findings: &[Finding], observations: &[Observation]) -> Option<Prediction> {
    let blocking = findings.iter().filter(|finding| finding.blocking);
    let because: Vec<&str> = blocking.flat_map(|finding| &finding.because).map(String::as_str).collect();
    let failed = observations.iter().filter(|seen| because.contains(&seen.id.as_str()) && seen.failure().is_some());
    let first = failed.filter(|seen| step(seen.role).is_some()).min_by_key(|seen| (step(seen.role), seen.phase))?;
    let failure = first.failure()?;
    let (after, said) = match transport(first, failure) {
        Some(transport) => (AFTER_SILENCE, in_silence(first, &transport)),
        None => (AFTER_ANSWER, in_answer(first, &answer(first, failure)?)),
    };
    // AWS stops at 1,024 characters (facts: ecs-start, section 1).
    let text = crate::redact::shorten(&crate::redact::redact(&said), 1_024).to_owned();
    Some(Prediction { after, text })
}

/// The step in which ECS meets a role.
fn step(role: Role) -> Option<Step> {
    match role {
        Role::SecretsManager | Role::Ssm => Some(Step::Secrets),
        Role::EcrApi => Some(Step::RegistryAuth),
        Role::Logs => Some(Step::LogDriver),
        Role::EcrDkr | Role::Registry => Some(Step::ImageManifest),
        Role::S3 => Some(Step::ImageLayer),
        Role::EnvironmentFile => Some(Step::EnvironmentFile),
        Role::Efs => Some(Step::FileSystem),
        // The task starts without it, the words are not known, or it is the probe's own.
        _ => None,
    }
}

/// The words of Go for what is below the answer; `None` for an answer.
fn transport(seen: &Observation, failure: Failure) -> Option<String> {
    let host = seen.host.trim_end_matches('.');
    let resolver = seen.lookups.last().map(|lookup| format!(" on {}", lookup.resolver)).unwrap_or_default();
    let peer = seen.peer.map(|peer| format!(" {peer}")).unwrap_or_default();
    let x509 = |what: &str| Some(format!("tls: failed to verify certificate: x509: {what}"));
    match (seen.phase, failure) {
        (Phase::Resolve, Failure::TimedOut) => Some(format!("dial tcp: lookup {host}{resolver}: i/o timeout")),
        (_, Failure::NoSuchName | Failure::NoAddress) => {
            Some(format!("dial tcp: lookup {host}{resolver}: no such host"))
        }
        (_, Failure::ServerFailure | Failure::QueryRefused) => {
            Some(format!("dial tcp: lookup {host}{resolver}: server misbehaving"))
        }
        (Phase::Handshake, Failure::TimedOut | Failure::Stalled | Failure::TooSlow) => {
            Some("net/http: TLS handshake timeout".into())
        }
        (Phase::Connect, Failure::TimedOut) => Some(format!("dial tcp{peer}: i/o timeout")),
        (_, Failure::TimedOut | Failure::Stalled | Failure::TooSlow) => {
            Some("net/http: timeout awaiting response headers".into())
        }
        (_, Failure::Refused) => Some(format!("dial tcp{peer}: connect: connection refused")),
        (_, Failure::Reset) => Some(format!("read tcp{peer}: read: connection reset by peer")),
        (_, Failure::Unreachable) => Some(format!("dial tcp{peer}: connect: no route to host")),
        (_, Failure::UnknownIssuer) => x509("certificate signed by unknown authority"),
        (_, Failure::WrongName) => {
            let names = seen.presented.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            x509(&format!("certificate is valid for {names}, not {host}"))
        }
        (_, Failure::ExpiredCertificate | Failure::NotYetValidCertificate) => {
            x509("certificate has expired or is not yet valid")
        }
        (_, Failure::HandshakeRefused) => Some("remote error: tls: handshake failure".into()),
        _ => None,
    }
}

/// What a service or registry says, as the SDK or containerd prints it; `None` for what ECS would not have minded.
fn answer(seen: &Observation, failure: Failure) -> Option<String> {
    let said = seen.answer.as_ref();
    let message = said.map(|answer| answer.message.as_str()).unwrap_or_default();
    let code = said.map(|answer| answer.code.as_str()).unwrap_or_default();
    let subject = seen.subject.as_deref().unwrap_or_default();
    let pull = matches!(seen.role, Role::EcrDkr | Role::Registry | Role::S3);
    let status = |status: &str| {
        // containerd asks for a manifest with HEAD, which loses the reason; a layer's URL is printed as the image.
        let url = if seen.role == Role::S3 { "REDACTED".to_owned() } else { format!("https://{}/v2/", seen.host) };
        Some(format!("unexpected status code {url}: {status}"))
    };
    let api = |code: &str, otherwise: &str| {
        let message = if message.is_empty() { otherwise } else { message };
        Some(format!(
            "https response error StatusCode: 400, RequestID: 00000000-0000-0000-0000-000000000000, api error {code}: {message}"
        ))
    };
    match failure {
        Failure::Denied if pull => status("403 Forbidden"),
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
        Failure::Throttled if pull && seen.role == Role::Registry => {
            status("429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit.")
        }
        Failure::Throttled => api("ThrottlingException", "Rate exceeded"),
        Failure::NotFound => match seen.role {
            Role::S3 => status("404 Not Found"),
            Role::EcrDkr | Role::Registry => Some(format!("{subject}: not found")),
            Role::Ssm => Some(format!("invalid ssm parameters: {subject}")),
            Role::Logs => api("ResourceNotFoundException", "The specified log group does not exist."),
            Role::SecretsManager if code == "VersionMissing" => Some(
                "ResourceNotFoundException: Secrets Manager can't find the specified secret value for staging label"
                    .into(),
            ),
            Role::SecretsManager => {
                api("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
            }
            Role::EnvironmentFile => api("NoSuchKey", "The specified key does not exist."),
            _ => None,
        },
        Failure::WrongForm if code == "JsonKeyMissing" => {
            Some("retrieved secret from Secrets Manager did not contain json key".into())
        }
        Failure::WrongForm => Some("trying to retrieve secret with value resulted in error: invalid character".into()),
        Failure::WrongPlatform => Some("image Manifest does not contain descriptor matching platform".into()),
        Failure::WrongDigest if seen.role == Role::S3 => Some("filesystem layer verification failed".into()),
        Failure::ServiceFailure => Some("503 Service Unavailable".into()),
        _ => None,
    }
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
    match seen.role {
        Role::SecretsManager => format!(
            "{UNABLE} unable to retrieve secret from asm: There is a connection issue between the task and AWS Secrets \
             Manager. {check} failed to fetch secret {subject} from secrets manager: operation error Secrets Manager: \
             GetSecretValue, {sent}"
        ),
        Role::Ssm => format!(
            "{UNABLE} unable to retrieve secrets from ssm: The task cannot pull secrets from AWS Systems Manager. There \
             is a connection issue between the task and AWS Systems Manager Parameter Store. {check} operation error \
             SSM: GetParameters, {sent}"
        ),
        Role::EcrApi => format!(
            "{UNABLE} The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task \
             and Amazon ECR. {check} operation error ECR: GetAuthorizationToken, exceeded maximum number of attempts, \
             3, {sent}"
        ),
        // A helper process opens the stream, and what hangs is killed without a word of why.
        Role::Logs if transport.ends_with("i/o timeout") && seen.phase == Phase::Connect => {
            "ResourceInitializationError: failed to validate logger args: The task cannot find the Amazon CloudWatch log \
             group defined in the task definition. There is a connection issue between the task and Amazon CloudWatch. \
             Check your network configuration. : signal: killed"
                .into()
        }
        Role::Logs => format!(
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed \
             to create Cloudwatch log stream: operation error CloudWatch Logs: CreateLogStream, {sent}"
        ),
        Role::S3 => format!(
            "CannotPullContainerError: ref pull has been retried 5 time(s): failed to copy: httpReadSeeker: failed open: \
             failed to do request: Get {subject}: {transport}"
        ),
        Role::EnvironmentFile => format!(
            "ResourceInitializationError: failed to download env files: file download command: non empty error stream: \
             RequestError: send request failed caused by: {transport}"
        ),
        Role::Efs => format!(
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
    match seen.role {
        Role::SecretsManager => format!(
            "{old} secret from asm: service call has been retried 1 time(s): failed to fetch secret {subject} from \
             secrets manager: operation error Secrets Manager: GetSecretValue, {said}"
        ),
        Role::Ssm => format!("{old} secrets from ssm: service call has been retried 1 time(s): {said}"),
        Role::EcrApi => format!(
            "{old} ecr registry auth: service call has been retried 1 time(s): operation error ECR: \
             GetAuthorizationToken, {said}"
        ),
        Role::Logs => format!(
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed \
             to create Cloudwatch log stream: operation error CloudWatch Logs: CreateLogStream, {said}"
        ),
        Role::S3 => format!(
            "CannotPullContainerError: ref pull has been retried 1 time(s): failed to copy: httpReadSeeker: failed open: \
             {said}"
        ),
        Role::EnvironmentFile => format!("ResourceInitializationError: failed to download env files: {said}"),
        Role::Efs => format!(
            "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: \
             b'mount.nfs4: access denied by server while mounting 127.0.0.1:/': {said}"
        ),
        _ => format!(
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {subject}: \
             {said}"
        ),
    }
}
