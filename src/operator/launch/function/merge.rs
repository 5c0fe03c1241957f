//! One report of one vantage: what Amazon ECS said of the task that did not start, and what the function
//! saw in the same subnet.

use crate::diagnose::{Confidence, Diagnosis, Finding};
use crate::observation::{Observation, ObservationId};
use crate::operator::launch::collect::SubnetReport;
use crate::report::Report;
use crate::verdict::{Status, Verdict};

/// Merges the report about the task into that of the function. Packets refine what the text leaves
/// open; a failure that the function did not meet stands, because the task met it.
pub fn merge(of_ecs: SubnetReport, of_function: SubnetReport) -> SubnetReport {
    if !of_function.report.is_measured() {
        // Why there is no function says nothing about the task.
        let why = &of_function.report.verdict.summary;
        let left = of_function.note.map(|note| format!("; {note}"));
        return SubnetReport {
            note: Some(format!(
                "no function looked in {}: {why}{}",
                of_ecs.subnet,
                left.unwrap_or_default()
            )),
            ..of_ecs
        };
    }
    let (
        SubnetReport {
            report: mut ecs, ..
        },
        SubnetReport {
            report: function, ..
        },
    ) = (of_ecs.clone(), of_function.clone());
    rename_repeated(&mut ecs, &function);
    let mut observations = ecs.observations.clone();
    observations.extend(function.observations.iter().cloned());
    let (diagnosis, verdict) = judge(&ecs, &function);
    let mut vantage = function.vantage;
    vantage.task_arn = ecs.vantage.task_arn;
    vantage.cluster = vantage.cluster.or(ecs.vantage.cluster);
    vantage.availability_zone = vantage.availability_zone.or(ecs.vantage.availability_zone);
    let mut report = Report::with_verdict(
        function.run,
        vantage,
        function.identity,
        observations,
        (diagnosis, verdict),
        function.plan,
    );
    report.delivery = function.delivery;
    SubnetReport {
        note: of_function.note,
        ..SubnetReport::synthetic(&of_ecs.subnet, report)
    }
}

/// Gives ECS's observation another ID where the function has one of the same.
fn rename_repeated(ecs: &mut Report, function: &Report) {
    for seen in &mut ecs.observations {
        if function
            .observations
            .iter()
            .all(|other| other.id != seen.id)
        {
            continue;
        }
        let old = seen.id.clone();
        seen.id.narrow("by-ecs");
        let proofs = ecs
            .findings
            .iter_mut()
            .flat_map(|finding| &mut finding.because);
        for proof in proofs.filter(|proof| **proof == old) {
            proof.clone_from(&seen.id);
        }
    }
}

fn judge(ecs: &Report, function: &Report) -> (Diagnosis, Verdict) {
    let of_function = Diagnosis {
        findings: function.findings.clone(),
        ruled_out: function.ruled_out.clone(),
    };
    let task_failed = ecs.verdict.status == Status::Fail;
    let function_failed = function.verdict.status == Status::Fail;
    match (task_failed, function_failed) {
        // ECS gave no reason, so that what the function met is all that is known.
        (false, true) => (of_function, function.verdict.clone()),
        (true, true) => judge_both(ecs, function, of_function),
        // What the task met, or why it did not start, stays open.
        (_, false) => {
            let mut findings: Vec<Finding> = ecs.findings.iter().map(possible).collect();
            findings.extend(of_function.findings);
            let verdict = Verdict {
                summary: format!(
                    "{}. A function of AWS Lambda in the same subnet did not meet a failure: {}",
                    ecs.verdict.summary.trim_end_matches('.'),
                    function.verdict.summary
                ),
                ..ecs.verdict.clone()
            };
            let diagnosis = Diagnosis {
                findings,
                // What works for a function may not work for the task.
                ruled_out: Vec::new(),
            };
            (diagnosis, verdict)
        }
    }
}

/// Both failed. Where a finding of the function explains what ECS reports, it rests on that as well;
/// otherwise the causes of ECS's text are possible beside it.
fn judge_both(ecs: &Report, function: &Report, mut diagnosis: Diagnosis) -> (Diagnosis, Verdict) {
    let reported: Vec<ObservationId> = ecs
        .observations
        .iter()
        .map(|seen| seen.id.clone())
        .collect();
    let mut is_explained = false;
    for finding in &mut diagnosis.findings {
        if finding.blocking && explains(finding, function, ecs) {
            is_explained = true;
            finding.because.extend(reported.iter().cloned());
        }
    }
    if !is_explained {
        let others = ecs.findings.iter().filter(|finding| {
            let mut known = diagnosis.findings.iter();
            !known.any(|known| known.cause == finding.cause)
        });
        let others: Vec<Finding> = others.map(possible).collect();
        diagnosis
            .ruled_out
            .retain(|excluded| others.iter().all(|other| other.cause != excluded.cause));
        diagnosis.findings.extend(others);
    }
    (diagnosis, function.verdict.clone())
}

/// Whether a finding of the function is about the same dependency as ECS's text, and of a cause or
/// family that the text names.
fn explains(finding: &Finding, function: &Report, ecs: &Report) -> bool {
    let concerns = |reported: &Observation| {
        let mut seen = function.observations.iter();
        seen.any(|seen| {
            seen.dependency == reported.dependency && finding.because.contains(&seen.id)
        })
    };
    let names = |named: &Finding| named.cause == finding.cause || named.family == finding.family;
    ecs.observations.iter().any(concerns) && ecs.findings.iter().any(names)
}

fn possible(finding: &Finding) -> Finding {
    Finding {
        confidence: Confidence::Possible,
        ..finding.clone()
    }
}
