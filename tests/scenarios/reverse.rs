//! The reverse direction: what ECS itself would have said of each story, and what `explain` makes
//! of that sentence.
//!
//! The cause comes first again wherever ECS's words can carry it. Where they cannot, the cause of
//! the report and the one that comes first are neighbours that these words cannot tell apart, and
//! the cause is in the list.

use pullprobe::cause::{Cause, Family};
use pullprobe::diagnose::{Confidence, diagnose};
use pullprobe::explain::ecs_wording::{Prediction, predict};
use pullprobe::explain::explain;

use super::stories;

/// What ECS says of these in the same words.
const NEIGHBOURS: &[(&str, &[Cause])] = &[
    (
        "silence at one address, or at none that is named: every filter and every missing way is silent alike, and the \
         report has seen the other addresses and source ports",
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
        "the connection stood, and then nothing: the report has varied the size of what it sent",
        &[
            Cause::ServiceUnresponsive,
            Cause::ServiceSlow,
            Cause::MtuBlackHole,
            Cause::TlsStalled,
        ],
    ),
    (
        "one name is not there: the report has asked for the others",
        &[Cause::NameNotFound, Cause::PrivateZoneShadowsName],
    ),
    (
        "a certificate outside its time: the report has other clocks",
        &[Cause::TlsExpired, Cause::ClockSkew],
    ),
    (
        "a certificate of others: the report has tried it at others",
        &[Cause::TlsWrongName, Cause::NamePointsElsewhere],
    ),
    (
        "containerd says `not found` of both: the report has the code",
        &[Cause::ImageNotFound, Cause::RepositoryNotFound],
    ),
    (
        "Amazon S3 says 403 without words: the report has read them",
        &[Cause::S3EndpointPolicyDenies, Cause::LayerUnavailable],
    ),
    (
        "the bytes are not those of the digest: the report has fetched them again",
        &[
            Cause::ConnectionReset,
            Cause::LayerUnavailable,
            Cause::DiskFull,
        ],
    ),
];

/// Stories that ECS would not have met, or of which it is not known what it would have said.
const WITHOUT_WORDS: &[(&str, &str)] = &[
    ("no-credentials", "the task role is the probe's own"),
    (
        "no-credentials-endpoint-hangs",
        "the task role is the probe's own",
    ),
    (
        "credentials-expired-at-the-source",
        "the task role is the probe's own",
    ),
    (
        "credentials-expired-and-clocks-agree",
        "the task role is the probe's own",
    ),
    (
        "service-takes-no-second-connection",
        "one connection is all that an SDK opens",
    ),
    (
        "manifest-of-another-digest",
        "containerd's words are not known",
    ),
    ("answer-too-large", "the words of SDKs are not known"),
    (
        "splunk-out-of-reach",
        "the words of the splunk log driver are not known",
    ),
];

/// Stories of which ECS's words lose what the report knows.
const LESS_IN_WORDS: &[(&str, &str)] = &[
    (
        "environment-file-not-to-be-listed",
        "that ECS never asks to list a bucket is not in the text",
    ),
    (
        "environment-file-absent-or-forbidden",
        "the text does not say that an object was asked for",
    ),
    (
        "registry-denies-nobody-in-particular",
        "whether a login was presented is not in the text",
    ),
    (
        "secret-behind-a-parameter-missing",
        "Parameter Store calls the secret a parameter",
    ),
];

/// What is wrong about what `explain` makes of a prediction.
fn mistake(told: &Prediction) -> Option<String> {
    let explained = explain(&told.text);
    let again: Vec<Cause> = explained
        .findings
        .iter()
        .map(|finding| finding.cause)
        .collect();
    let (Some(cause), Some(first)) = (told.causes.first(), again.first()) else {
        return Some("is not explained at all".into());
    };
    let certain = explained
        .findings
        .iter()
        .find(|finding| finding.confidence == Confidence::Certain);
    // containerd asks with HEAD, which has no body: that some policy refused is all that is left.
    let lost = *first == Cause::PermissionDenied && cause.family() == Family::Permission;
    if let Some(wrong) = certain.filter(|certain| !lost && !told.causes.contains(&certain.cause)) {
        return Some(format!("is said to be {} for certain", wrong.cause));
    }
    let alike = NEIGHBOURS
        .iter()
        .any(|(_, causes)| causes.contains(cause) && causes.contains(first));
    let again_in_list = again.contains(cause);
    (first != cause && !lost && !(alike && again_in_list)).then(|| format!("becomes {again:?}"))
}

#[test]
fn what_ecs_would_have_said_leads_back_to_the_cause() {
    let mut mistakes = Vec::new();
    let (mut firsts, mut all) = (0, 0);
    for (name, story) in stories() {
        let seen = story.observations();
        let findings = diagnose(&seen).findings;
        let without_words = WITHOUT_WORDS.iter().any(|(story, _)| *story == name);
        match predict(&findings, &seen) {
            None if without_words || findings.iter().all(|finding| !finding.blocking) => {}
            None => mistakes.push(format!(
                "{name}: there are no words for {:?}",
                findings[0].cause
            )),
            Some(_) if without_words => {
                mistakes.push(format!("{name} has words now: take it out of the list"))
            }
            Some(told) => {
                all += 1;
                firsts += usize::from(
                    explain(&told.text)
                        .findings
                        .first()
                        .map(|first| first.cause)
                        == told.causes.first().copied(),
                );
                let mistake = mistake(&told)
                    .filter(|_| LESS_IN_WORDS.iter().all(|(story, _)| *story != name));
                mistakes
                    .extend(mistake.map(|what| {
                        format!("{name}: {:?} {what}\n    {}", told.causes, told.text)
                    }));
            }
        }
    }
    println!("of {all} stories {firsts} come back as the first cause, the others as a neighbour");
    assert!(
        mistakes.is_empty(),
        "{} mistakes:\n{}",
        mistakes.len(),
        mistakes.join("\n")
    );
    assert!(all > 80 && firsts * 10 >= all * 6, "{firsts} of {all}");
}
