//! Stories: what a probe observed, and the diagnosis that must follow. Each file in
//! `tests/scenarios/` is one story; whole values are compared.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test panic as the test does"
)]

#[path = "support/scenario/line.rs"]
mod line;
#[path = "support/scenario/reverse.rs"]
mod reverse;
#[path = "support/scenario/story.rs"]
mod story;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pullprobe::cause::Cause;
use pullprobe::diagnose::{Confidence, Diagnosis, Finding, RuledOut, diagnose};
use pullprobe::observation::{Observation, Outcome};
use pullprobe::verdict::Verdict;
use story::Story;

/// Causes that no observation of the probe shows, and where they come from instead.
const NOT_FROM_PROBE: &[(Cause, &str)] = &[
    (Cause::PrivateDnsDisabled, "configuration facts"),
    (Cause::NatGatewayUnhealthy, "configuration facts"),
    (Cause::RouteTableDiffers, "configuration facts"),
    (Cause::VpcBlockPublicAccess, "configuration facts"),
    (
        Cause::InvalidImageReference,
        "the text of a stopped task: a plan rejects such a reference",
    ),
    (
        Cause::InvalidValueFrom,
        "the text of a stopped task: a plan rejects such a valueFrom",
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
fn every_story_has_its_expected_diagnosis() {
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

/// The first line of a report names the failure once: either the failed step says it, or the cause.
/// "Denied, because a policy denies" and "no route, because the route is missing" are the words of AWS
/// and of the kernel for a symptom and its reason.
#[test]
fn summaries_say_nothing_twice() {
    let prefix = |word: &str| -> Option<String> {
        let word: String = word.chars().filter(char::is_ascii_alphabetic).collect();
        (word.len() >= 5).then(|| word[..5].to_lowercase())
    };
    let mut twice = Vec::new();
    for (name, story) in stories() {
        let observations = story.observations();
        let findings = diagnose(&observations).findings;
        let Verdict { summary, .. } = Verdict::over(&observations, &findings);
        let sentence = summary.split(" (").next().unwrap();
        let Some((step, reason)) = sentence.split_once("because ") else {
            continue;
        };
        let reason: BTreeSet<_> = reason.split(' ').filter_map(prefix).collect();
        let failures = observations.iter().filter_map(Observation::failure);
        for failure in failures.filter(|failure| step.contains(failure.predicate())) {
            let words = failure.predicate().split(' ').filter_map(prefix);
            let words = words.filter(|word| !["denie", "route"].contains(&word.as_str()));
            twice.extend(
                words
                    .filter(|word| reason.contains(word))
                    .map(|word| format!("{name}: {word:?} twice: {summary}")),
            );
        }
        if reason.contains("becau") || step.contains("because") {
            twice.push(format!("{name}: a reason of a reason: {summary}"));
        }
    }
    assert!(twice.is_empty(), "{}", twice.join("\n"));
}

fn mistakes(name: &str, story: &Story) -> Vec<String> {
    let (observations, diagnosis) = story.diagnosed();
    let Diagnosis {
        findings,
        ruled_out,
    } = diagnosis;
    let verdict = Verdict::over(&observations, &findings);
    let expect = &story.expect;
    let mut mistakes = Vec::new();
    let mut check = |holds: bool, what: String| {
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
    check(
        found == expect.findings,
        format!("found\n    {found:?}, expected\n    {:?}", expect.findings),
    );
    let ended = (verdict.status.to_string(), verdict.exit_code);
    check(
        ended == (expect.status.clone(), expect.exit),
        format!("verdict {ended:?}: {}", verdict.summary),
    );
    check(
        verdict.summary.contains(&expect.says),
        format!(
            "the summary {:?} does not contain {:?}",
            verdict.summary, expect.says
        ),
    );

    for id in &expect.not_checked {
        let is_not_checked = |seen: &Observation| {
            seen.id.to_string() == *id && matches!(seen.outcome, Outcome::NotChecked { .. })
        };
        check(
            observations.iter().any(is_not_checked),
            format!("{id} must be not-checked"),
        );
    }

    let excluded: BTreeSet<Cause> = ruled_out.iter().map(|excluded| excluded.cause).collect();
    let truth: Vec<Cause> = expect.truth.iter().map(|code| cause(code)).collect();
    for code in &expect.ruled_out {
        check(
            excluded.contains(&cause(code)),
            format!("{code} must be ruled out"),
        );
    }
    for code in &expect.never_ruled_out {
        check(
            !excluded.contains(&cause(code)),
            format!("{code} must not be ruled out"),
        );
    }
    for true_cause in &truth {
        check(
            !excluded.contains(true_cause),
            format!("{true_cause} is true but ruled out"),
        );
        check(
            findings.iter().any(|f| f.cause == *true_cause),
            format!("{true_cause} is true but not found"),
        );
    }
    for finding in &findings {
        let certain = finding.confidence == Confidence::Certain;
        check(
            !certain || truth.contains(&finding.cause),
            format!("{} is certain but not true", finding.cause),
        );
        check(
            !excluded.contains(&finding.cause),
            format!("{} is both found and ruled out", finding.cause),
        );
        check(
            !finding.because.is_empty(),
            format!("{} has no evidence", finding.cause),
        );
    }
    mistakes.extend(evidence_mistakes(
        name,
        &observations,
        &findings,
        &ruled_out,
    ));
    mistakes
}

/// Checks that every finding and every exclusion is based on observations, and permission findings
/// on responses.
fn evidence_mistakes(
    name: &str,
    observations: &[Observation],
    findings: &[Finding],
    ruled_out: &[RuledOut],
) -> Vec<String> {
    let mut mistakes = Vec::new();
    let mut check = |holds: bool, what: String| {
        if !holds {
            mistakes.push(format!("{name}: {what}"));
        }
    };
    let proofs = findings
        .iter()
        .map(|f| (f.cause, &f.because))
        .chain(ruled_out.iter().map(|r| (r.cause, &r.because)));
    for (cause, id) in proofs.flat_map(|(cause, because)| because.iter().map(move |id| (cause, id)))
    {
        check(
            observations.iter().any(|seen| &seen.id == id),
            format!("{cause} is based on {id}, which was not observed"),
        );
    }
    let permission = findings
        .iter()
        .filter(|finding| finding.family == pullprobe::cause::Family::Permission);
    for id in permission.flat_map(|finding| &finding.because) {
        let answered = observations
            .iter()
            .any(|seen| &seen.id == id && seen.phase.is_exchange());
        check(
            answered,
            format!("a permission finding is based on {id}, which is not a response"),
        );
    }
    mistakes
}

#[test]
fn diagnosis_is_independent_of_observation_order() {
    for (name, story) in stories() {
        let mut observations = story.observations();
        let expected = diagnose(&observations);
        observations.reverse();
        let names = |diagnosis: &Diagnosis| -> BTreeSet<_> {
            diagnosis
                .findings
                .iter()
                .map(|finding| (finding.cause, finding.confidence))
                .collect()
        };
        assert_eq!(names(&diagnose(&observations)), names(&expected), "{name}");
        // An old report can be diagnosed again: JSON keeps every fact.
        let json = serde_json::to_string(&story.observations()).unwrap();
        let reread: Vec<Observation> = serde_json::from_str(&json).unwrap();
        assert_eq!(diagnose(&reread), expected, "{name}");
    }
}

#[test]
fn every_diagnosable_cause_has_a_story() {
    let covered: BTreeSet<Cause> = stories()
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
        match NOT_FROM_PROBE.iter().find(|(other, _)| other == cause) {
            Some((_, origin)) => assert!(
                !covered.contains(cause),
                "{cause} has a story, so {origin} is not its only source"
            ),
            None => assert!(
                covered.contains(cause),
                "no story in tests/scenarios has the truth {cause}"
            ),
        }
    }
}

#[test]
fn every_story_has_a_unique_sentence() {
    let mut sentences = BTreeSet::new();
    for (name, story) in stories() {
        assert!(
            story.sentence.ends_with('.') && story.sentence.len() <= 160,
            "{name}: {:?}",
            story.sentence
        );
        assert!(
            sentences.insert(story.sentence),
            "{name}: duplicate sentence"
        );
    }
    assert!(sentences.len() >= 60, "{} stories", sentences.len());
}

/// Checks every phase of every dependency with every failure that the phase can end with.
#[test]
fn every_failure_has_a_cause() {
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
                let observations =
                    story::observations_from(&[&format!("{target} {phase} {failure}")]);
                let findings = diagnose(&observations).findings;
                if !findings.iter().any(|finding| finding.blocking) {
                    unexplained.push(format!("{target} {phase} {failure}"));
                }
            }
        }
    }
    assert!(
        unexplained.is_empty(),
        "{} failures without a cause:\n{}",
        unexplained.len(),
        unexplained.join("\n")
    );
}
