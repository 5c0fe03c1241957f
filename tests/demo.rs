//! The whole probe in each of the demo's subnets: the report must name the fault that is there, and name it first.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap must stop, in its helpers as well")]

use std::sync::Mutex;
use std::thread;

use pullprobe::demo::{self, Fault};
use pullprobe::observation::Outcome;
use pullprobe::report::{Logs, Report};
use pullprobe::verdict::Status;

/// Faults with which the task would start all the same.
const WARNINGS: [&str; 3] = ["public-answer-where-private-expected", "endpoint-address-unreachable", "service-slow"];

/// Most of a fault's time is waiting; more at once would make slowness of the machine a fault of its own.
const AT_ONCE: usize = 8;

/// Keys, session tokens, the registry's token (base64 of `AWS:`), pre-signed queries, secrets and parameters.
const SECRETS: [&str; 6] = ["demo/secret", "demo-session-token", "QVdTO", "X-Amz-", "correct horse", "battery staple"];

fn observe(fault: Option<&Fault>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = runtime.block_on(demo::observe(fault)).unwrap();
    let leaked = SECRETS.into_iter().find(|secret| report.line().contains(secret));
    assert_eq!(leaked, None, "in the report of {fault:?}");
    report
}

#[test]
fn a_healthy_subnet_passes_every_phase_of_its_plan() {
    let report = observe(None);
    let not_passed: Vec<_> = report.observations.iter().filter(|seen| seen.outcome != Outcome::Passed).collect();
    assert!(not_passed.is_empty(), "{not_passed:#?}");
    for target in report.plan["targets"].as_array().unwrap() {
        for phase in target["phases"].as_array().unwrap() {
            let rung = format!("{}/{}", target["key"].as_str().unwrap(), phase.as_str().unwrap());
            assert!(report.observations.iter().any(|seen| seen.id.starts_with(&rung)), "{rung}");
        }
    }
    assert_eq!((report.verdict.status, report.verdict.exit_code), (Status::Pass, 0));
    assert!(report.run.elapsed_ms < 20_000, "the deadline ended the run, not its being done");
    assert_eq!((report.findings.len(), report.delivery.logs), (0, Logs::Delivered), "{}", report.delivery.detail);
}

#[test]
fn every_fault_is_named_first_and_decides_the_exit_code() {
    let queue = Mutex::new(demo::faults().iter());
    let work = || -> Vec<String> {
        let next = || queue.lock().unwrap().next();
        std::iter::from_fn(next).filter_map(|fault| mistake(fault, &observe(Some(fault)))).collect()
    };
    let mistakes: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(mistakes.is_empty(), "{} of {}:\n{}", mistakes.len(), demo::faults().len(), mistakes.join("\n"));
}

fn mistake(fault: &Fault, report: &Report) -> Option<String> {
    let named: Vec<_> = report.findings.iter().map(|finding| finding.cause.code()).collect();
    let warning = WARNINGS.contains(&fault.cause.code());
    let exit_code = if warning { 4 } else { fault.cause.family().exit_code() };
    let right = named.first() == Some(&fault.cause.code())
        && report.ruled_out.iter().all(|ruled_out| ruled_out.cause != fault.cause)
        && report.verdict.exit_code == exit_code;
    let found = format!("found {named:?} and exit code {}, not {exit_code}", report.verdict.exit_code);
    (!right).then(|| format!("{}: {found}", fault.cause))
}
