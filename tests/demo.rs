//! Runs the whole probe in each of the demo's subnets: the first finding must be the fault.
#![cfg(feature = "demo")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of a test panic as the test does"
)]

use std::sync::Mutex;
use std::thread;

use pullprobe::cause::{Cause, Family};
use pullprobe::demo::{self, Fault};
use pullprobe::diagnose::{Diagnosis, diagnose};
use pullprobe::explain::ecs_wording::predict;
use pullprobe::explain::explain;
use pullprobe::observation::Outcome;
use pullprobe::render::style::Style;
use pullprobe::render::text::render;
use pullprobe::report::{Logs, Report};
use pullprobe::verdict::{Status, Verdict};

/// Faults with which the task starts anyway.
const WARNINGS: [&str; 3] = [
    "public-answer-where-private-expected",
    "endpoint-address-unreachable",
    "service-slow",
];

/// Most of a run's time is waiting; with more runs, a slow machine would look like a fault.
const MAX_CONCURRENT_RUNS: usize = 8;

/// Parts of access keys, session tokens, the registry's token (base64 of `AWS:`), pre-signed
/// queries, secrets and parameters.
const SECRETS: [&str; 6] = [
    "demo/secret",
    "demo-session-token",
    "QVdTO",
    "X-Amz-",
    "correct horse",
    "battery staple",
];

/// Runs of a fault whose time the machine took away: a slow service does not show among slow ones.
const MAX_STARVED_RUNS: usize = 4;

/// Returns the report of a run, and whether the machine kept the probe from running.
fn observe(fault: Option<&Fault>) -> (Report, bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut report = runtime.block_on(demo::observe(fault)).unwrap();
    // A busy machine makes a run inconclusive, as it should; the fault is judged all the same.
    let mut starved = false;
    for seen in &mut report.observations {
        starved |= seen.starvation.take().is_some();
    }
    Diagnosis {
        findings: report.findings,
        ruled_out: report.ruled_out,
    } = diagnose(&report.observations);
    report.verdict = Verdict::over(&report.observations, &report.findings);
    let leaked = SECRETS
        .into_iter()
        .find(|secret| report.line().contains(secret));
    assert_eq!(leaked, None, "in the report of {fault:?}");
    (report, starved)
}

#[test]
fn healthy_subnet_passes_every_phase_of_its_plan() {
    let (report, _) = observe(None);
    let not_passed: Vec<_> = report
        .observations
        .iter()
        .filter(|seen| seen.outcome != Outcome::Passed)
        .collect();
    assert!(not_passed.is_empty(), "{not_passed:#?}");
    for target in report.plan["targets"].as_array().unwrap() {
        for phase in target["phases"].as_array().unwrap() {
            let id = format!(
                "{}/{}",
                target["key"].as_str().unwrap(),
                phase.as_str().unwrap()
            );
            assert!(
                report
                    .observations
                    .iter()
                    .any(|seen| seen.id.to_string().starts_with(&id)),
                "{id}"
            );
        }
    }
    assert_eq!(
        (report.verdict.status, report.verdict.exit_code),
        (Status::Pass, 0)
    );
    assert!(
        report.run.elapsed_ms < 20_000,
        "the run ended by its time limit"
    );
    assert_eq!(
        (report.findings.len(), report.delivery.logs),
        (0, Logs::Delivered),
        "{}",
        report.delivery.detail
    );
}

#[test]
fn every_fault_is_the_first_finding_and_decides_the_exit_code() {
    let queue = Mutex::new(demo::faults().iter());
    let work = || -> Vec<String> {
        let next = || queue.lock().unwrap().next();
        std::iter::from_fn(next)
            .filter_map(repeated_mistake)
            .collect()
    };
    let mistakes: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..MAX_CONCURRENT_RUNS)
            .map(|_| scope.spawn(work))
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    assert!(
        mistakes.is_empty(),
        "{} of {}:\n{}",
        mistakes.len(),
        demo::faults().len(),
        mistakes.join("\n")
    );
}

/// Returns what is wrong with a run of the fault; a starved run is repeated.
fn repeated_mistake(fault: &Fault) -> Option<String> {
    let mut runs = 0;
    loop {
        runs += 1;
        let (report, starved) = observe(Some(fault));
        let mistake = mistake(fault, &report)?;
        if !starved || runs == MAX_STARVED_RUNS {
            return Some(mistake);
        }
    }
}

fn mistake(fault: &Fault, report: &Report) -> Option<String> {
    let named: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.cause.code())
        .collect();
    let warning = WARNINGS.contains(&fault.cause.code());
    let exit_code = if warning {
        4
    } else {
        fault.cause.family().exit_code()
    };
    let heading = "What to do";
    let is_correct = named.first() == Some(&fault.cause.code())
        && report
            .ruled_out
            .iter()
            .all(|ruled_out| ruled_out.cause != fault.cause)
        && report.verdict.exit_code == exit_code
        && pullprobe::render::text::render(report, Style::default()).contains(heading);
    if let Some(mistake) = message_mistake(fault, report) {
        return Some(mistake);
    }
    let found = format!(
        "found {named:?} and exit code {}, expected {exit_code} under {heading:?}",
        report.verdict.exit_code
    );
    (!is_correct).then(|| format!("{}: {found}", fault.cause))
}

/// Faults of the probe's task role, which ECS does not use, and responses that no AWS service
/// sends: ECS's message is unknown.
const WITHOUT_MESSAGE: [&str; 3] = [
    "no-credentials",
    "credentials-expired",
    "name-points-elsewhere",
];

/// Checks that `explain` finds the fault in the message that ECS would have printed, and that the
/// report quotes this message if it has no gap.
fn message_mistake(fault: &Fault, report: &Report) -> Option<String> {
    let code = fault.cause.code();
    let Some(message) = predict(&report.findings, &report.observations) else {
        let expected = WARNINGS.contains(&code) || WITHOUT_MESSAGE.contains(&code);
        return (!expected).then(|| format!("{}: ECS's message is not known", fault.cause));
    };
    // As copied from a terminal, whose line breaks replace spaces.
    let text = render(report, Style::default()).replace('\n', " ");
    let quoted = text.contains("then stopped with “");
    if quoted != message.is_complete() {
        return Some(format!(
            "{}: quoted: {quoted}: {}",
            fault.cause, message.text
        ));
    }
    let message = message.text;
    // The demo's VPC is 127.0.0.0/16, which `explain` does not know as private.
    let explained = explain(&message.replace("dial tcp 127.0.", "dial tcp 10.0."));
    let named: Vec<_> = explained
        .findings
        .iter()
        .map(|finding| finding.cause)
        .collect();
    // containerd sends HEAD, whose response has no body: only the denial remains.
    let reason_lost = explained
        .findings
        .first()
        .is_some_and(|first| first.cause == Cause::PermissionDenied);
    let found =
        named.contains(&fault.cause) || (reason_lost && fault.cause.family() == Family::Permission);
    (!found).then(|| format!("{}: explain finds {named:?} in: {message}", fault.cause))
}
