//! What a message proves, each statement with the fragment that proves it.

use super::ending::Ending;
use super::explanation::Explanation;
use super::fields::{DnsLookup, is_link_local, is_of_host};
use super::lexicon::Match;
use super::parsed::ParsedMessage;
use super::sign::Sign;
use super::step::Step;
use crate::aws::denial::policy_name;
use crate::cause::Family;
use crate::ip_owner::RANGES_DATE;
use crate::observation::{Denial, Dependency, Scope};
use crate::redact::shorten;
use crate::safe_text::SafeText;

/// Maximum number of characters of a quoted fragment: enough to find it again in the message.
const MAX_QUOTE_CHARS: usize = 160;

/// Parts of messages that Fargate and containerd write and the agent of an EC2 instance does not,
/// in the form of [`NormalizedText::dense`](super::normalize::NormalizedText).
const FARGATE_WORDING: [&str; 5] = [
    "resourceinitializationerror:unable",
    "resourceinitializationerror:failed",
    "beenretried",
    "thetaskcannot",
    "httpread",
];

/// Returns every proven statement, in the order of a task's start. `container` is known from the
/// document around the message.
pub fn proven(
    message: &ParsedMessage,
    ending: Option<(Ending, &str)>,
    container: Option<&str>,
) -> Vec<String> {
    let mut proven = Vec::new();
    prove_container(message, container, &mut proven);
    prove_ending(message, ending, &mut proven);
    prove_step(message, &mut proven);
    prove_name(message, &mut proven);
    prove_address(message, &mut proven);
    prove_connection(message, &mut proven);
    prove_response(message, &mut proven);
    proven
}

/// Formats `statement: “fragment”`.
fn with_quote(message: &ParsedMessage, statement: &str, fragment: &str) -> String {
    let fragment = message.redacted(shorten(fragment, MAX_QUOTE_CHARS));
    if fragment.is_empty() {
        statement.to_owned()
    } else {
        format!("{statement}: “{fragment}”")
    }
}

fn quoted_host(message: &ParsedMessage) -> Option<&str> {
    let host = message.fields.host.as_ref()?;
    Some(host.quote(&message.text))
}

/// Name of the container that Amazon GuardDuty adds to tasks, and its repository.
const GUARDDUTY_AGENT: &str = "aws-guardduty-agent";

fn prove_ending(message: &ParsedMessage, ending: Option<(Ending, &str)>, proven: &mut Vec<String>) {
    if let Some((ending, phrase)) = ending {
        let statement = match ending {
            Ending::AfterStart => "the task had started, so no step of its start failed",
            Ending::Deployment => "a deployment failed; see the reasons of its tasks",
            Ending::StoppedOnPurpose => "the task was stopped, and the text names no failure",
        };
        proven.push(with_quote(message, statement, phrase));
    }
}

fn prove_container(message: &ParsedMessage, known: Option<&str>, proven: &mut Vec<String>) {
    let container = known.or(message.fields.container.as_deref());
    if let Some(container) = container {
        proven.push(with_quote(message, "the container that failed", container));
    }
    let image = message.fields.image.as_deref().unwrap_or_default();
    if image.contains(GUARDDUTY_AGENT)
        || container.is_some_and(|name| name.starts_with(GUARDDUTY_AGENT))
    {
        proven.push(format!(
            "Amazon GuardDuty adds the container {GUARDDUTY_AGENT} to the task; the task's own \
             containers do not depend on it"
        ));
    }
    if let Some(image) = message
        .docker_hub_image()
        .filter(|_| message.sign.is_some())
    {
        let repository = &image.repository;
        let named = message.fields.image.as_deref().unwrap_or_default();
        proven.push(if named.starts_with("docker.io/") {
            format!(
                "Docker Hub was queried for docker.io/{repository}, as for every image whose name has no \
                 registry"
            )
        } else {
            format!(
                "the image names no registry, so Docker Hub was queried for docker.io/{repository}"
            )
        });
    }
}

fn prove_step(message: &ParsedMessage, proven: &mut Vec<String>) {
    let step = message.step;
    if step == Step::Unknown {
        return;
    }
    let weight = |found: &Match| {
        let hint = found.step.filter(|hint| hint.step == step)?;
        Some((hint.weight, std::cmp::Reverse(found.at)))
    };
    let strongest = message
        .matches
        .iter()
        .filter(|found| weight(found).is_some())
        .max_by_key(|found| weight(found));
    let fragment = strongest
        .map(|found| found.quote(&message.text))
        .or_else(|| quoted_host(message))
        .unwrap_or_default();
    let statement = format!("the start got as far as {}", step.title());
    proven.push(with_quote(message, &statement, fragment));
    let earlier = step.before();
    // The order is Fargate's; the agent of an EC2 instance starts the log driver after the pull.
    let is_worded_by_fargate = FARGATE_WORDING
        .iter()
        .any(|part| message.text.dense.contains(part));
    if !earlier.is_empty() && is_worded_by_fargate && !message.text.dense.contains("daemon") {
        let titles: Vec<_> = earlier.iter().map(|step| step.title()).collect();
        proven.push(format!(
            "on Fargate, these steps come first, so they succeeded or were not needed: {}",
            titles.join("; ")
        ));
    }
}

fn prove_name(message: &ParsedMessage, proven: &mut Vec<String>) {
    if let Some(lookup) = &message.fields.lookup {
        let quote = lookup.quote(&message.text);
        let DnsLookup { resolver, .. } = &lookup.value;
        let resolver =
            resolver.map_or("the resolver".to_owned(), |ip| format!("the resolver {ip}"));
        let statement = match message.sign {
            Some(Sign::NoSuchName) => format!("{resolver} answered that the name does not exist"),
            Some(Sign::ResolverFailed) => {
                format!("{resolver} answered with an error, such as SERVFAIL")
            }
            _ => format!("{resolver} did not answer the query for the name"),
        };
        proven.push(with_quote(message, &statement, quote));
    } else if let Some(phrase) = [Sign::NoSuchName, Sign::ResolverFailed]
        .iter()
        .find_map(|sign| message.phrase(*sign))
    {
        proven.push(with_quote(message, "a host name did not resolve", phrase));
    }
    if let Some(error) = &message.ecr_host_error {
        proven.push(with_quote(
            message,
            &format!("not an Amazon ECR registry host ({error})"),
            quoted_host(message).unwrap_or_default(),
        ));
    }
}

fn prove_address(message: &ParsedMessage, proven: &mut Vec<String>) {
    let Some(dial) = &message.fields.dial else {
        return;
    };
    let can_have_endpoint = message
        .dependency
        .is_some_and(Dependency::has_interface_endpoint);
    if is_of_host(dial.value) {
        let statement = if is_link_local(dial.value) {
            "the address is link-local: the ECS agent or the instance itself answers there, so \
             routes and VPC endpoints do not matter"
        } else {
            "the address is that of the host itself, so routes and VPC endpoints do not matter"
        };
        proven.push(with_quote(message, statement, dial.quote(&message.text)));
        return;
    }
    let is_public = message.scope() == Some(Scope::Public);
    // `dial tcp` of an address that the text has in place of a name proves no lookup.
    let is_name = message.fields.host.is_some();
    let statement = if !is_name && is_public {
        "the request went to a public address"
    } else if !is_name {
        "the request went to a private address"
    } else if is_public {
        "the host name resolved to a public address"
    } else if can_have_endpoint {
        "the host name resolved to a private address, so an interface VPC endpoint or a private \
         hosted zone provides it"
    } else {
        "the host name resolved to a private address"
    };
    proven.push(with_quote(message, statement, dial.quote(&message.text)));
    let address = dial.value.to_string();
    if let Some(owner) = &message.owner {
        let meaning = if message.step == Step::ImageLayer && owner.starts_with("S3 ") {
            " (the layers, not the registry)"
        } else {
            ""
        };
        let statement = format!("AWS lists the address in its range {owner}{meaning}");
        proven.push(with_quote(message, &statement, &address));
    } else if is_public && can_have_endpoint {
        let statement =
            format!("the address is not in the IP ranges that AWS had published by {RANGES_DATE}");
        proven.push(with_quote(message, &statement, &address));
    }
    let is_of_aws = message
        .host
        .as_deref()
        .is_some_and(|host| host.contains(".amazonaws.com"));
    if is_public && is_of_aws && dial.value.is_ipv4() && message.is_path_failure() {
        proven.push(
            "this is the IPv4 name and address of the service: a route for IPv6 alone does not \
             carry the request"
                .into(),
        );
    }
    let printed = message.fields.host.as_ref().map(|host| &host.value);
    if message.host.is_some() && message.host.as_ref() != printed {
        proven.push("Fargate prints the image name in place of the layer's URL".into());
    }
}

fn prove_connection(message: &ParsedMessage, proven: &mut Vec<String>) {
    let no_response = matches!(
        message.sign,
        Some(
            Sign::TimedOut
                | Sign::NoResponse
                | Sign::ConnectionIssue
                | Sign::HelperKilled
                | Sign::RetriesExhausted
        )
    );
    if let Some(status) = message
        .fields
        .status
        .as_ref()
        .filter(|status| status.value == 0)
    {
        proven.push(with_quote(
            message,
            "no HTTP response was received",
            status.quote(&message.text),
        ));
    }
    let phrase = message
        .sign
        .and_then(|sign| message.phrase(sign))
        .unwrap_or_default();
    let statement = match message.sign {
        Some(Sign::HelperKilled) if message.step == Step::LogDriver => Some(
            "the log driver's helper process hung until it was killed; a missing log group fails at once",
        ),
        Some(Sign::HelperKilled) => Some("a helper process of ECS hung until it was killed"),
        Some(Sign::ConnectionIssue) => Some("ECS reports a connection issue"),
        Some(Sign::ProxyAnswered) => Some("a proxy answered, not the service"),
        Some(Sign::ConnectionRefused) => {
            Some("the address is reachable and refuses the connection")
        }
        Some(Sign::ConnectionReset) => {
            Some("the connection was closed by the peer or by a device on the path")
        }
        Some(Sign::Stalled) => {
            Some("the connection was established, and then no more data arrived")
        }
        _ if message.family() == Family::Tls => {
            Some("the name resolved and TCP connected, so TLS is what fails")
        }
        _ if no_response && !phrase.is_empty() => Some("no response arrived in time"),
        _ => None,
    };
    proven.extend(statement.map(|statement| with_quote(message, statement, phrase)));
    if let Some(attempts) = message
        .fields
        .attempts
        .as_ref()
        .filter(|attempts| attempts.value > 1 && no_response)
    {
        proven.push(with_quote(
            message,
            "the request was retried, and the message contains no response from the service",
            attempts.quote(&message.text),
        ));
    }
}

fn prove_response(message: &ParsedMessage, proven: &mut Vec<String>) {
    let fields = &message.fields;
    let is_path_family = matches!(
        message.family(),
        Family::Network | Family::Resolve | Family::Tls
    );
    if fields.is_service_response() && !is_path_family {
        let status = fields
            .status
            .as_ref()
            .map(|field| field.quote(&message.text));
        let id = fields
            .request_id
            .as_ref()
            .map(|field| field.quote(&message.text));
        proven.push(with_quote(
            message,
            "the service responded, so DNS, the connection and TLS work",
            status.or(id).unwrap_or_default(),
        ));
    }
    let once = fields.attempts.as_ref().filter(|field| field.value == 1);
    if let Some(once) = once.filter(|_| message.family() == Family::Unknown) {
        proven.push(with_quote(
            message,
            "only one attempt was made, which suggests that the service responded",
            once.quote(&message.text),
        ));
    }
    if let Some(denial) = fields
        .denial
        .as_ref()
        .filter(|_| message.sign == Some(Sign::Denied))
    {
        proven.push(message.redacted(&format!("the request was denied: {}", describe(denial))));
    } else if !is_path_family {
        let wording = message
            .sign
            .and_then(|sign| message.phrase(sign))
            .map(|phrase| with_quote(message, "the message says", phrase));
        // The step's phrase may be the same one, which is already quoted.
        let is_new = |wording: &String| {
            wording
                .split_once('“')
                .is_none_or(|(_, end)| !proven.iter().any(|statement| statement.ends_with(end)))
        };
        let wording = wording.filter(is_new);
        proven.extend(wording);
    }
}

/// Lists the parts of an authorization error that the message contains.
fn describe(denial: &Denial) -> String {
    let part = |name: &str, value: &Option<SafeText>| {
        value.as_ref().map(|value| format!("{name} {value}"))
    };
    let parts = [
        part("action", &denial.action),
        part("resource", &denial.resource),
        part("principal", &denial.principal),
        denial.policy.map(|policy| match policy_name(policy) {
            // Text that comes from AWS KMS does not tell a key policy from an IAM policy.
            None => "by AWS KMS".to_owned(),
            Some(name) if denial.explicit => format!("explicit deny in the {name}"),
            Some(name) => format!("no {name} allows it"),
        }),
        part("policy ARN", &denial.policy_arn),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        "by AWS KMS".to_owned()
    } else {
        parts.join(", ")
    }
}

/// Returns the later steps, which may also fail once this failure is fixed.
pub fn next_failures(explanation: &Explanation) -> Vec<String> {
    let later = explanation.step.after().iter().map(|step| match step {
        Step::ImageLayer if explanation.dependency != Some(Dependency::Registry) => format!(
            "{step}: {}, which Amazon ECR stores in Amazon S3",
            step.title()
        ),
        _ => format!("{step}: {}", step.title()),
    });
    later.collect()
}
