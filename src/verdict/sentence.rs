//! The sentence of a failing verdict: what fails first, then why.

use super::{clause, failed_step, restates, step};
use crate::arn::Arn;
use crate::cause::{Cause, Family};
use crate::diagnose::{Confidence, DeniedCall, Finding};
use crate::observation::{Dependency, Failure, Observation, Phase};
use crate::reference::{Reference, Registry};

/// Returns what is wrong with what, that the task would not start, and why, in one sentence.
pub(super) fn of(first: &Finding, seen: &Observation) -> String {
    // Only the probe lacks them: ECS uses the task execution role.
    if first.cause == Cause::NoCredentials {
        return first.cause.summary().to_owned();
    }
    if first.confidence == Confidence::Certain
        && let Some(missing) = missing(first, seen)
    {
        return format!("{missing}, so the task would not start.");
    }
    let because = match first.confidence {
        Confidence::Certain => "because",
        Confidence::Likely => "most likely because",
        Confidence::Possible => "possibly because",
    };
    if first.cause == Cause::KmsKeyDenies
        && first.confidence == Confidence::Certain
        && let Some(subject) = seen.subject.as_deref()
    {
        return format!(
            "The role cannot decrypt {} with its AWS KMS key, so the task would not start.",
            secret(subject)
        );
    }
    if let Some(denied) = denied(first, seen) {
        let reason = clause(first.cause.summary());
        return format!("{denied}, so the task would not start, {because} {reason}.");
    }
    let reason = clause(&first.summary);
    if matches!(
        first.family,
        Family::Network | Family::Resolve | Family::Tls
    ) && !seen.host.is_empty()
    {
        let service = seen.dependency.service();
        let subject = match seen.phase {
            Phase::Resolve => format!("The subnet cannot resolve the name of {service}"),
            Phase::Connect => format!("The subnet cannot reach {service}"),
            Phase::Handshake => format!("The subnet cannot open a TLS connection to {service}"),
            _ => format!("The subnet does not get the answer of {service}"),
        };
        let how = seen
            .failure()
            .filter(|failure| !restates(first.cause, *failure));
        let how = how.map_or(String::new(), |failure| {
            format!(": {} {}", attempt(seen), failure.predicate())
        });
        return format!("{subject}, so the task would not start{how}, {because} {reason}.");
    }
    let step = if seen
        .failure()
        .is_some_and(|failure| restates(first.cause, failure))
    {
        format!("{} failed", step(seen))
    } else {
        failed_step(seen)
    };
    format!(
        "{}, so the task would not start, {because} {reason}.",
        capitalized(&step)
    )
}

/// Returns the subject of "timed out": the phase without the service, which is named before it.
fn attempt(seen: &Observation) -> &'static str {
    match seen.phase {
        Phase::Resolve => "the DNS lookup",
        Phase::Connect => "the connection",
        Phase::Handshake => "the TLS handshake",
        _ => "the request",
    }
}

/// Returns what does not exist, or not in the form that the task needs.
fn missing(first: &Finding, seen: &Observation) -> Option<String> {
    let subject = seen
        .subject
        .as_deref()
        .filter(|subject| !subject.is_empty());
    let detail = match seen.detail.as_str().trim_end_matches('.') {
        "" => String::new(),
        detail => format!(" ({detail})"),
    };
    Some(match first.cause {
        Cause::ImageNotFound => {
            let image = image(subject?, seen)?;
            format!("Image {} is not in {}", name(&image), repository(&image))
        }
        Cause::RepositoryNotFound => {
            let image = image(subject?, seen)?;
            capitalized(&format!("{} does not exist", repository(&image)))
        }
        Cause::PlatformMismatch => {
            let image: Reference = subject?.parse().ok()?;
            let wanted = seen.expected.first()?;
            format!("Image {} is not built for {wanted}{detail}", name(&image))
        }
        Cause::SecretNotFound => format!(
            "Secret {} does not exist{}",
            secret(subject?),
            place(subject?)
        ),
        Cause::SecretJsonKeyMissing => {
            format!(
                "Secret {} lacks the JSON key that the task definition names{detail}",
                secret(subject?)
            )
        }
        Cause::SecretNotJson => format!(
            "Secret {} is not JSON, and the task definition names a JSON key{detail}",
            secret(subject?)
        ),
        Cause::SecretIsBinary => format!(
            "Secret {} is binary, which ECS does not pass on{detail}",
            secret(subject?)
        ),
        Cause::SecretVersionMissing => {
            format!(
                "Secret {} has no version of that stage or ID{detail}",
                secret(subject?)
            )
        }
        Cause::ParameterNotFound => format!(
            "Parameter {} does not exist{}",
            secret(subject?),
            place(subject?)
        ),
        Cause::LogGroupMissing => {
            let group = subject?.split(':').next()?;
            format!("Log group {group} does not exist")
        }
        Cause::EnvironmentFileMissing => format!("Environment file {} does not exist", subject?),
        _ => return None,
    })
}

/// Returns the image, if it is one of the registry that answered.
fn image(subject: &str, seen: &Observation) -> Option<Reference> {
    let image: Reference = subject.parse().ok()?;
    (image.host() == seen.host).then_some(image)
}

/// Returns an image without its registry: `team/app:1.4`.
fn name(image: &Reference) -> String {
    let tag = image.tag.as_ref().map(|tag| format!(":{tag}"));
    let digest = image.digest.as_ref().map(|digest| format!("@{digest}"));
    let version = match (tag, digest) {
        (None, None) => ":latest".to_owned(),
        (tag, digest) => tag.unwrap_or_default() + &digest.unwrap_or_default(),
    };
    format!("{}{version}", image.repository)
}

fn repository(image: &Reference) -> String {
    match &image.registry {
        Registry::Ecr {
            account, region, ..
        } => format!(
            "Amazon ECR repository {} of account {account} in {region}",
            image.repository
        ),
        Registry::Other { host, .. } => {
            format!("repository {} of registry {host}", image.repository)
        }
    }
}

/// Returns the name of a secret or parameter that an ARN or `valueFrom` names.
fn secret(subject: &str) -> &str {
    let id = subject.splitn(7, ':').nth(6);
    match id {
        Some(id) if subject.contains(":secretsmanager:") => id.split(':').next().unwrap_or(id),
        _ => subject
            .rsplit_once(":parameter")
            .map_or(subject, |(_, name)| name),
    }
}

/// Returns where an ARN says the resource is.
fn place(subject: &str) -> String {
    match subject.parse::<Arn>() {
        Ok(arn) if !arn.account.is_empty() => {
            format!(" in account {} in {}", arn.account, arn.region)
        }
        _ => String::new(),
    }
}

/// Returns who may not do what, for a request that a policy denies.
fn denied(first: &Finding, seen: &Observation) -> Option<String> {
    if first.family != Family::Permission || seen.failure() != Some(Failure::Denied) {
        return None;
    }
    if seen.dependency == Dependency::S3 {
        return Some("Amazon S3 denies the subnet the image layers".to_owned());
    }
    let call = DeniedCall::of(seen)?;
    let role = call
        .role_name()
        .map_or("The role".to_owned(), |name| format!("Role {name}"));
    let on = match call.resource.as_str() {
        "*" => String::new(),
        resource => format!(" on {resource}"),
    };
    Some(format!("{role} may not call {}{on}", call.action))
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(chars).collect()
    })
}
