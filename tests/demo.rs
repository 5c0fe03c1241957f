//! The whole probe in each of the demo's subnets: the report must name the fault that is there, and
//! name it first.
#![cfg(feature = "demo")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot unwrap must stop, in its helpers as well"
)]

use std::sync::Mutex;
use std::thread;

use pullprobe::cause::{Cause, Family};
use pullprobe::demo::{self, Fault};
use pullprobe::explain::explain;
use pullprobe::observation::Outcome;
use pullprobe::render::text::render;
use pullprobe::report::{Logs, Report};
use pullprobe::verdict::Status;

/// Faults with which the task would start all the same.
const WARNINGS: [&str; 3] = [
    "public-answer-where-private-expected",
    "endpoint-address-unreachable",
    "service-slow",
];

/// Most of a fault's time is waiting; more at once would make slowness of the machine a fault of
/// its own.
const AT_ONCE: usize = 8;

/// Keys, session tokens, the registry's token (base64 of `AWS:`), pre-signed queries, secrets and
/// parameters.
const SECRETS: [&str; 6] = [
    "demo/secret",
    "demo-session-token",
    "QVdTO",
    "X-Amz-",
    "correct horse",
    "battery staple",
];

fn observe(fault: Option<&Fault>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let report = runtime.block_on(demo::observe(fault)).unwrap();
    let leaked = SECRETS
        .into_iter()
        .find(|secret| report.line().contains(secret));
    assert_eq!(leaked, None, "in the report of {fault:?}");
    report
}

#[test]
fn a_healthy_subnet_passes_every_phase_of_its_plan() {
    let report = observe(None);
    let not_passed: Vec<_> = report
        .observations
        .iter()
        .filter(|seen| seen.outcome != Outcome::Passed)
        .collect();
    assert!(not_passed.is_empty(), "{not_passed:#?}");
    for target in report.plan["targets"].as_array().unwrap() {
        for phase in target["phases"].as_array().unwrap() {
            let rung = format!(
                "{}/{}",
                target["key"].as_str().unwrap(),
                phase.as_str().unwrap()
            );
            assert!(
                report
                    .observations
                    .iter()
                    .any(|seen| seen.id.to_string().starts_with(&rung)),
                "{rung}"
            );
        }
    }
    assert_eq!(
        (report.verdict.status, report.verdict.exit_code),
        (Status::Pass, 0)
    );
    assert!(
        report.run.elapsed_ms < 20_000,
        "the deadline ended the run, not its being done"
    );
    assert_eq!(
        (report.findings.len(), report.delivery.logs),
        (0, Logs::Delivered),
        "{}",
        report.delivery.detail
    );
}

#[test]
fn every_fault_is_named_first_and_decides_the_exit_code() {
    let queue = Mutex::new(demo::faults().iter());
    let work = || -> Vec<String> {
        let next = || queue.lock().unwrap().next();
        std::iter::from_fn(next)
            .filter_map(|fault| mistake(fault, &observe(Some(fault))))
            .collect()
    };
    let mistakes: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
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
    let right = named.first() == Some(&fault.cause.code())
        && report
            .ruled_out
            .iter()
            .all(|ruled_out| ruled_out.cause != fault.cause)
        && report.verdict.exit_code == exit_code;
    if let Some(forgotten) = forgotten(fault, report) {
        return Some(forgotten);
    }
    let found = format!(
        "found {named:?} and exit code {}, not {exit_code}",
        report.verdict.exit_code
    );
    (!right).then(|| format!("{}: {found}", fault.cause))
}

/// Faults of the probe's own task role, which ECS does not use, and answers that no service of AWS
/// gives: nobody knows what ECS would say.
const WITHOUT_WORDS: [&str; 3] = [
    "no-credentials",
    "credentials-expired",
    "name-points-elsewhere",
];

/// The report's text ends with what ECS itself would have said, and `explain` finds the fault in
/// that again.
fn forgotten(fault: &Fault, report: &Report) -> Option<String> {
    // As somebody copies it: with the terminal's line breaks, which take the place of blanks.
    let text = render(report, false).replace('\n', " ");
    let code = fault.cause.code();
    let Some((_, said)) = text.split_once("then stopped with “") else {
        let expected = WARNINGS.contains(&code) || WITHOUT_WORDS.contains(&code);
        return (!expected).then(|| {
            format!(
                "{}: the text does not say what ECS would have said",
                fault.cause
            )
        });
    };
    let said = said.split_once('”').map_or(said, |(said, _)| said);
    // The demo's VPC is 127.0.0.0/16, which only its own plan calls private.
    let explained = explain(&said.replace("dial tcp 127.0.", "dial tcp 10.0."));
    let named: Vec<_> = explained
        .findings
        .iter()
        .map(|finding| finding.cause)
        .collect();
    // containerd asks with HEAD, and the refusal's reason is lost on the way: then some policy it
    // is.
    let lost = explained
        .findings
        .first()
        .is_some_and(|first| first.cause == Cause::PermissionDenied);
    let again =
        named.contains(&fault.cause) || (lost && fault.cause.family() == Family::Permission);
    (!again).then(|| format!("{}: explain finds {named:?} in: {said}", fault.cause))
}
