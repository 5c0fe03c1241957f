//! The reverse direction: `explain` must find each story's cause in the message that ECS would have
//! printed.
//!
//! The cause is the first finding wherever ECS's wording identifies it. Elsewhere, the cause of the
//! report and the first finding share the wording, and the cause is among the findings.

use pullprobe::cause::{Cause, Family};
use pullprobe::diagnose::{Confidence, diagnose};
use pullprobe::explain::ecs_wording::{Prediction, predict};
use pullprobe::explain::explain;

use super::stories;

/// Causes for which ECS prints the same message, and why.
const SAME_WORDING: &[(&str, &[Cause])] = &[
    (
        "a timeout: every filter and every missing route drops packets silently; only the report has the other \
         addresses and source ports",
        &[
            Cause::NoEgressRoute,
            Cause::InterfaceEndpointMissing,
            Cause::S3GatewayMissing,
            Cause::EndpointSecurityGroup,
            Cause::TaskSecurityGroupEgress,
            Cause::NetworkAcl,
            Cause::EndpointAddressUnreachable,
            Cause::NamePointsElsewhere,
        ],
    ),
    (
        "no route for an IP version: only the report has the IP versions of the task and of the host",
        &[
            Cause::HostWithoutIpv6,
            Cause::NoEgressRoute,
            Cause::EndpointSecurityGroup,
        ],
    ),
    (
        "no response on an established connection: only the report has tried other segment sizes",
        &[
            Cause::ServiceUnresponsive,
            Cause::ServiceSlow,
            Cause::MtuBlackHole,
            Cause::TlsStalled,
        ],
    ),
    (
        "one name does not exist: only the report has queried the others",
        &[Cause::NameNotFound, Cause::PrivateZoneShadowsName],
    ),
    (
        "a certificate outside its validity: only the report has other clocks",
        &[Cause::TlsExpired, Cause::ClockSkew],
    ),
    (
        "a certificate for another name: only the report has compared it with those of other services",
        &[Cause::TlsWrongName, Cause::NamePointsElsewhere],
    ),
    (
        "an untrusted issuer: only the report has the chain, and those of other servers",
        &[Cause::TlsIntercepted, Cause::TlsUntrusted],
    ),
    (
        "no route to host: only the report knows whether the answer came over the network",
        &[
            Cause::ConnectionRefused,
            Cause::NoEgressRoute,
            Cause::InterfaceEndpointMissing,
            Cause::S3GatewayMissing,
            Cause::EndpointSecurityGroup,
        ],
    ),
    (
        "containerd prints `not found` for both: only the report has the error code",
        &[Cause::ImageNotFound, Cause::RepositoryNotFound],
    ),
    (
        "containerd prints only the status 403 of Amazon S3: only the report has the error code",
        &[Cause::S3EndpointPolicyDenies, Cause::LayerUnavailable],
    ),
    (
        "the digest does not match: only the report has fetched the bytes causes",
        &[
            Cause::ConnectionReset,
            Cause::LayerUnavailable,
            Cause::DiskFull,
        ],
    ),
];

/// Stories that ECS would not have met, or whose message is unknown.
const WITHOUT_MESSAGE: &[(&str, &str)] = &[
    ("no-credentials", "only the probe uses the task role"),
    (
        "instance-without-a-profile",
        "an instance without a profile cannot register with ECS",
    ),
    (
        "no-credentials-endpoint-hangs",
        "only the probe uses the task role",
    ),
    (
        "credentials-expired-at-the-source",
        "only the probe uses the task role",
    ),
    (
        "credentials-expired-and-clocks-agree",
        "only the probe uses the task role",
    ),
    (
        "service-takes-no-second-connection",
        "an SDK opens only one connection",
    ),
    (
        "manifest-of-another-digest",
        "containerd's message is unknown",
    ),
    ("answer-too-large", "the SDKs' message is unknown"),
    (
        "answer-of-the-service-not-understood",
        "the code is not known",
    ),
    ("secret-is-binary", "the ECS agent ends at it"),
    ("too-many-layers", "containerd's message is unknown"),
    (
        "splunk-out-of-reach",
        "the splunk log driver's message is unknown",
    ),
];

/// Stories whose message has less information than the report.
const AMBIGUOUS_MESSAGE: &[(&str, &str)] = &[
    (
        "environment-file-list-bucket-denied",
        "the message does not show that ECS never lists a bucket",
    ),
    (
        "environment-file-absent-or-forbidden",
        "the message does not show that an object was requested",
    ),
    (
        "pull-through-upstream-silent",
        "the message names a host and not who redirects there",
    ),
    (
        "pull-through-upstream-without-a-name",
        "the message names a host and not who redirects there",
    ),
    (
        "registry-denies-anonymous-pull",
        "the message does not show whether a login was sent",
    ),
    (
        "host-without-ipv6-or-no-answer",
        "the message does not show that the AAAA query had no answer",
    ),
    (
        "secret-behind-a-parameter-missing",
        "Parameter Store's message calls the secret a parameter",
    ),
    (
        "sinkhole-for-documentation",
        "the message does not show which addresses the other names have",
    ),
    (
        "sinkhole-multicast",
        "the message does not show which addresses the other names have",
    ),
    (
        "sinkhole-of-a-dns-firewall",
        "the message does not show which addresses the other names have",
    ),
    (
        "sinkhole-of-this-host",
        "the message does not show which addresses the other names have",
    ),
];

/// Returns how `explain` misreads the predicted message, if it does.
fn mistake(predicted: &Prediction) -> Option<String> {
    let explained = explain(&predicted.text);
    let causes: Vec<Cause> = explained
        .findings
        .iter()
        .map(|finding| finding.cause)
        .collect();
    let (Some(cause), Some(first)) = (predicted.causes.first(), causes.first()) else {
        return Some("has no finding".into());
    };
    let certain = explained
        .findings
        .iter()
        .find(|finding| finding.confidence == Confidence::Certain);
    // containerd sends HEAD, whose response has no body: only the denial remains.
    let reason_lost = *first == Cause::PermissionDenied && cause.family() == Family::Permission;
    if let Some(wrong) =
        certain.filter(|certain| !reason_lost && !predicted.causes.contains(&certain.cause))
    {
        return Some(format!("is reported as certainly {}", wrong.cause));
    }
    let same_wording = SAME_WORDING
        .iter()
        .any(|(_, causes)| causes.contains(cause) && causes.contains(first));
    let among_findings = causes.contains(cause);
    (first != cause && !reason_lost && !(same_wording && among_findings))
        .then(|| format!("is read as {causes:?}"))
}

#[test]
fn explain_finds_the_cause_in_the_predicted_message() {
    let mut mistakes = Vec::new();
    let (mut firsts, mut all) = (0, 0);
    // A function shows less than a task, and ECS prints nothing about it.
    let of_tasks = stories()
        .into_iter()
        .filter(|(_, story)| story.function.is_none());
    for (name, story) in of_tasks {
        let observations = story.observations();
        let findings = diagnose(&observations).findings;
        let without_message = WITHOUT_MESSAGE.iter().any(|(story, _)| *story == name);
        match predict(&findings, &observations) {
            // The text depends on what the intermediary answers.
            None if findings
                .iter()
                .any(|finding| finding.cause == Cause::AnsweredByIntermediary) => {}
            None if without_message || findings.iter().all(|finding| !finding.blocking) => {}
            None => mistakes.push(format!(
                "{name}: no message is predicted for {:?}",
                findings[0].cause
            )),
            Some(_) if without_message => mistakes.push(format!(
                "{name} has a message: remove it from WITHOUT_MESSAGE"
            )),
            Some(predicted) => {
                all += 1;
                firsts += usize::from(
                    explain(&predicted.text)
                        .findings
                        .first()
                        .map(|first| first.cause)
                        == predicted.causes.first().copied(),
                );
                let mistake = mistake(&predicted)
                    .filter(|_| AMBIGUOUS_MESSAGE.iter().all(|(story, _)| *story != name));
                mistakes.extend(mistake.map(|what| {
                    format!(
                        "{name}: {:?} {what}\n    {}",
                        predicted.causes, predicted.text
                    )
                }));
            }
        }
    }
    println!("explain reports the cause first in {firsts} of {all} stories");
    assert!(
        mistakes.is_empty(),
        "{} mistakes:\n{}",
        mistakes.len(),
        mistakes.join("\n")
    );
    assert!(all > 80 && firsts * 10 >= all * 6, "{firsts} of {all}");
}
