//! Stories: what a probe saw, and what must follow from it. One file a story in `tests/scenarios/`,
//! whole values compared.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on must stop, in its helpers as well"
)]

#[path = "scenarios/line.rs"]
mod line;
#[path = "scenarios/reverse.rs"]
mod reverse;
#[path = "scenarios/story.rs"]
mod story;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pullprobe::cause::Cause;
use pullprobe::diagnose::{Confidence, Diagnosis, diagnose};
use pullprobe::verdict::Verdict;
use story::Story;

/// Causes that no observation of the probe can lead to, and where they come from instead.
const FROM_ELSEWHERE: &[(Cause, &str)] = &[
    (Cause::PrivateDnsDisabled, "configuration facts"),
    (Cause::PublicIpMissing, "configuration facts"),
    (Cause::NatGatewayUnhealthy, "configuration facts"),
    (Cause::RouteTableDiffers, "configuration facts"),
    (
        Cause::InvalidImageReference,
        "the text of a stopped task: a plan refuses such a reference",
    ),
    (
        Cause::InvalidValueFrom,
        "the text of a stopped task: a plan refuses such a valueFrom",
    ),
    (Cause::DiskFull, "the text of a stopped task"),
    (
        Cause::NetworkInterfaceUnavailable,
        "the text of a stopped task",
    ),
    (Cause::NoFreeAddress, "the text of a stopped task"),
    (Cause::CapacityUnavailable, "the text of a stopped task"),
    (Cause::Unknown, "the text of a stopped task"),
];

fn stories() -> Vec<(String, Story)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let files = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut stories: Vec<_> = files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let story = toml::from_str(&fs::read_to_string(&path).unwrap());
            (
                name.clone(),
                story.unwrap_or_else(|error| panic!("{name}: {error}")),
            )
        })
        .collect();
    stories.sort_by(|a, b| a.0.cmp(&b.0));
    stories
}

fn cause(code: &str) -> Cause {
    code.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_story_ends_as_it_must() {
    let stories = stories();
    let mistakes: Vec<_> = stories
        .iter()
        .flat_map(|(name, story)| mistakes(name, story))
        .collect();
    assert!(
        mistakes.is_empty(),
        "{} mistakes in {} stories:\n{}",
        mistakes.len(),
        stories.len(),
        mistakes.join("\n")
    );
}

fn mistakes(name: &str, story: &Story) -> Vec<String> {
    let observations = story.observations();
    let Diagnosis {
        findings,
        ruled_out,
    } = diagnose(&observations);
    let verdict = Verdict::over(&observations, &findings);
    let expect = &story.expect;
    let mut mistakes = Vec::new();
    let mut demand = |holds: bool, what: String| {
        if !holds {
            mistakes.push(format!("{name}: {what}"));
        }
    };

    let found: Vec<String> = findings
        .iter()
        .map(|finding| {
            format!(
                "{} {}",
                finding.cause,
                format!("{:?}", finding.confidence).to_lowercase()
            )
        })
        .collect();
    demand(
        found == expect.findings,
        format!("findings\n    {found:?}, not\n    {:?}", expect.findings),
    );
    let ended = (verdict.status.to_string(), verdict.exit_code);
    demand(
        ended == (expect.status.clone(), expect.exit),
        format!("verdict {ended:?}: {}", verdict.summary),
    );
    demand(
        verdict.summary.contains(&expect.says),
        format!("the verdict says {:?}", verdict.summary),
    );

    let excluded: BTreeSet<Cause> = ruled_out.iter().map(|excluded| excluded.cause).collect();
    let truth: Vec<Cause> = expect.truth.iter().map(|code| cause(code)).collect();
    for code in &expect.ruled_out {
        demand(
            excluded.contains(&cause(code)),
            format!("{code} is not ruled out"),
        );
    }
    for code in &expect.never_ruled_out {
        demand(
            !excluded.contains(&cause(code)),
            format!("{code} is ruled out"),
        );
    }
    for true_cause in &truth {
        demand(
            !excluded.contains(true_cause),
            format!("{true_cause} is true and ruled out"),
        );
        demand(
            findings.iter().any(|f| f.cause == *true_cause),
            format!("{true_cause} is true and not among the findings"),
        );
    }
    for finding in &findings {
        let certain = finding.confidence == Confidence::Certain;
        demand(
            !certain || truth.contains(&finding.cause),
            format!("{} is certain and not true", finding.cause),
        );
        demand(
            !excluded.contains(&finding.cause),
            format!("{} is found and ruled out", finding.cause),
        );
        demand(
            !finding.because.is_empty(),
            format!("{} rests on nothing", finding.cause),
        );
    }
    let proofs = findings
        .iter()
        .map(|f| (f.cause, &f.because))
        .chain(ruled_out.iter().map(|r| (r.cause, &r.because)));
    for (cause, id) in proofs.flat_map(|(cause, because)| because.iter().map(move |id| (cause, id)))
    {
        demand(
            observations.iter().any(|seen| &seen.id == id),
            format!("{cause} rests on {id}, which nobody saw"),
        );
    }
    let permission = findings
        .iter()
        .filter(|finding| finding.family == pullprobe::cause::Family::Permission);
    for id in permission.flat_map(|finding| &finding.because) {
        let answered = observations
            .iter()
            .any(|seen| &seen.id == id && seen.phase.is_exchange());
        demand(
            answered,
            format!("a permission rests on {id}, which is no answer"),
        );
    }
    mistakes
}

#[test]
fn a_story_is_found_in_any_order_and_twice_the_same() {
    for (name, story) in stories() {
        let mut observations = story.observations();
        let told = diagnose(&observations);
        observations.reverse();
        let names = |diagnosis: &Diagnosis| -> BTreeSet<_> {
            diagnosis
                .findings
                .iter()
                .map(|finding| (finding.cause, finding.confidence))
                .collect()
        };
        assert_eq!(names(&diagnose(&observations)), names(&told), "{name}");
        // An old report can be diagnosed again: nothing is lost on the way through JSON.
        let json = serde_json::to_string(&story.observations()).unwrap();
        let reread: Vec<pullprobe::observation::Observation> = serde_json::from_str(&json).unwrap();
        assert_eq!(diagnose(&reread), told, "{name}");
    }
}

#[test]
fn every_cause_that_a_rule_can_name_has_its_story() {
    let told: BTreeSet<Cause> = stories()
        .iter()
        .flat_map(|(_, story)| {
            story
                .expect
                .truth
                .iter()
                .map(|code| cause(code))
                .collect::<Vec<_>>()
        })
        .collect();
    for cause in Cause::ALL {
        match FROM_ELSEWHERE
            .iter()
            .find(|(elsewhere, _)| elsewhere == cause)
        {
            Some((_, origin)) => assert!(
                !told.contains(cause),
                "{cause} has a story, so it is not only from {origin}"
            ),
            None => assert!(
                told.contains(cause),
                "{cause} is the truth of no story in tests/scenarios"
            ),
        }
    }
}

#[test]
fn every_story_is_one_sentence_and_told_once() {
    let mut sentences = BTreeSet::new();
    for (name, story) in stories() {
        assert!(
            story.sentence.ends_with('.') && story.sentence.len() <= 160,
            "{name}: {:?}",
            story.sentence
        );
        assert!(sentences.insert(story.sentence), "{name} is told twice");
    }
    assert!(sentences.len() >= 60, "{} stories", sentences.len());
}

/// What can fail where: every role's rungs, and every failure that a rung of this kind can end
/// with.
#[test]
fn no_failure_is_left_without_a_cause() {
    let mut unexplained = Vec::new();
    for (target, phases) in [
        (
            "ecr.api",
            &["resolve", "connect", "handshake", "authorize"][..],
        ),
        (
            "ecr.dkr",
            &["resolve", "connect", "handshake", "manifest", "blob"],
        ),
        ("s3", &["resolve", "connect", "handshake", "fetch"]),
        ("logs", &["resolve", "connect", "handshake", "write"]),
        ("secretsmanager", &["read"]),
        ("ssm", &["read"]),
        ("registry", &["authorize", "manifest", "blob", "fetch"]),
        ("efs", &["resolve", "connect", "mount"]),
        (
            "environment-file",
            &["resolve", "connect", "handshake", "fetch"],
        ),
        ("splunk", &["resolve", "connect", "handshake"]),
    ] {
        for phase in phases {
            for failure in story::failures_of(phase) {
                let observations = story::told_in(&[&format!("{target} {phase} {failure}")]);
                let findings = diagnose(&observations).findings;
                if !findings.iter().any(|finding| finding.blocking) {
                    unexplained.push(format!("{target} {phase} {failure}"));
                }
            }
        }
    }
    assert!(
        unexplained.is_empty(),
        "{} failures have no cause:\n{}",
        unexplained.len(),
        unexplained.join("\n")
    );
}
