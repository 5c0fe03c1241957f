//! Merges two reports of one vantage: what Amazon ECS reports about the task that did not start,
//! and what the function observed in the same subnet.

use crate::diagnose::{Confidence, Diagnosis, Finding};
use crate::observation::{Observation, ObservationId};
use crate::operator::launch::collect::SubnetReport;
use crate::report::Report;
use crate::verdict::{Status, Verdict};

/// Merges the report about the task into that of the function. Packets refine what the text leaves
/// open. A failure that only the task met stands, even if the function did not meet it.
pub fn merge(of_ecs: SubnetReport, of_function: SubnetReport) -> SubnetReport {
    if !has_looked(&of_function.report) {
        // The reason for the missing function says nothing about the task.
        let why = &of_function.report.verdict.summary;
        let left = of_function.note.map(|note| format!("; {note}"));
        return SubnetReport {
            note: Some(format!(
                "no function ran in {}: {why}{}",
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

/// Whether any check of the function passed or failed.
fn has_looked(function: &Report) -> bool {
    let mut seen = function.observations.iter();
    seen.any(|seen| seen.witness.is_none() && (seen.passed() || seen.failure().is_some()))
}

/// Gives ECS's observations another ID if the function has one with the same ID.
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
        // ECS gave no reason, so only the function's failure is known.
        (false, true) => (of_function, function.verdict.clone()),
        (true, true) => judge_both(ecs, function, of_function),
        // The function met no failure, so what stopped the task stays open.
        (_, false) => {
            let mut findings = weighed(ecs, function);
            findings.extend(of_function.findings);
            let unchecked = ecs
                .findings
                .iter()
                .find(|finding| !has_passed(finding, ecs, function));
            let of_function = match unchecked {
                Some(finding) => {
                    format!("could not check this for {}", finding.dependency.service())
                }
                None => "found no failure".to_owned(),
            };
            task_first(ecs, function, findings, &of_function)
        }
    }
}

/// Both failed. If a finding of the function explains ECS's report, the finding also rests on that
/// report; otherwise the task's failure comes first, and the function's follows.
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
    if is_explained {
        return (diagnosis, function.verdict.clone());
    }
    let mut findings = weighed(ecs, function);
    let others = diagnosis.findings.into_iter().filter(|finding| {
        let is_same = |known: &Finding| {
            (known.cause, known.dependency) == (finding.cause, finding.dependency)
        };
        !ecs.findings.iter().any(is_same)
    });
    findings.extend(others);
    task_first(ecs, function, findings, "found another failure")
}

/// Returns the verdict on the task, followed by the function's result.
fn task_first(
    ecs: &Report,
    function: &Report,
    findings: Vec<Finding>,
    of_function: &str,
) -> (Diagnosis, Verdict) {
    let verdict = Verdict {
        summary: format!(
            "{}. An AWS Lambda function in the same subnet {of_function}: {}",
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

/// Whether a finding of the function concerns the same dependency as ECS's text, and has a cause or
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

/// Returns ECS's findings. A finding is only possible if the function passed the check that the
/// task failed.
fn weighed(ecs: &Report, function: &Report) -> Vec<Finding> {
    let weigh = |finding: &Finding| Finding {
        confidence: if has_passed(finding, ecs, function) {
            Confidence::Possible
        } else {
            finding.confidence
        },
        ..finding.clone()
    };
    ecs.findings.iter().map(weigh).collect()
}

/// Whether the function passed a check of the finding's dependency, at the phase of ECS's text or a
/// later one: that a name resolves says nothing about a connection.
fn has_passed(finding: &Finding, ecs: &Report, function: &Report) -> bool {
    let phase = ecs
        .observations
        .iter()
        .filter(|seen| finding.because.contains(&seen.id))
        .map(|seen| seen.phase)
        .max();
    function.observations.iter().any(|seen| {
        seen.witness.is_none()
            && seen.passed()
            && seen.dependency == finding.dependency
            && phase.is_none_or(|phase| seen.phase >= phase)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Cause;
    use crate::diagnose::{RuledOut, diagnose};
    use crate::observation::{Dependency, Failure, Outcome, Phase, TargetKey, Witness};
    use crate::operator::launch::request::sample_launch;
    use crate::operator::launch::stopped_reason;

    const NO_ROUTE: &str = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource \
        retrieval failed: unable to retrieve ecr registry auth: service call has been retried 3 time(s): RequestError: send \
        request failed caused by: Post \"https://api.ecr.us-east-1.amazonaws.com/\": dial tcp 10.0.9.9:443: i/o timeout";

    fn of_ecs() -> SubnetReport {
        let mut report = stopped_reason::not_started(&sample_launch(1), "subnet-a", NO_ROUTE);
        // As if the text proved its cause.
        report.findings[0].confidence = Confidence::Certain;
        assert_eq!(report.verdict.status, Status::Fail, "{report:?}");
        SubnetReport::synthetic("subnet-a", report)
    }

    fn of_function(seen: &[(Dependency, Phase, Outcome)]) -> SubnetReport {
        let observe = |(dependency, phase, outcome): &(Dependency, Phase, Outcome)| {
            let target = TargetKey::of(*dependency);
            Observation::new(target, *dependency, *phase, outcome.clone())
        };
        let observations: Vec<_> = seen.iter().map(observe).collect();
        let base = of_ecs().report;
        let diagnosis = diagnose(&observations);
        let report = Report::new(
            base.run,
            base.vantage,
            None,
            observations,
            diagnosis,
            base.plan,
        );
        SubnetReport::synthetic("subnet-a", report)
    }

    fn not_checked() -> Outcome {
        Outcome::NotChecked {
            why: "a reason".into(),
        }
    }

    fn confidences(report: &Report) -> Vec<Confidence> {
        report
            .findings
            .iter()
            .map(|finding| finding.confidence)
            .collect()
    }

    #[test]
    fn only_what_the_function_passed_weakens_what_the_task_met() {
        let own = confidences(&of_ecs().report);
        let resolved = (Dependency::EcrApi, Phase::Resolve, Outcome::Passed);
        let unchecked = (Dependency::EcrApi, Phase::Connect, not_checked());
        let other = (Dependency::Logs, Phase::Connect, Outcome::Passed);
        let report = merge(of_ecs(), of_function(&[resolved.clone(), unchecked, other])).report;
        assert_eq!(confidences(&report), own);
        assert!(
            report
                .verdict
                .summary
                .contains("could not check this for the Amazon ECR API"),
            "{}",
            report.verdict.summary
        );

        let passed = (Dependency::EcrApi, Phase::Connect, Outcome::Passed);
        let mut function = of_function(&[resolved, passed]);
        function.report.ruled_out = vec![RuledOut {
            cause: Cause::InterfaceEndpointMissing,
            because: Vec::new(),
        }];
        let report = merge(of_ecs(), function).report;
        assert_eq!(report.ruled_out, [], "it may be otherwise for the task");
        assert!(
            confidences(&report)
                .iter()
                .all(|confidence| *confidence == Confidence::Possible)
        );
        assert!(report.verdict.summary.contains("found no failure"));
    }

    #[test]
    fn function_that_checked_nothing_changes_nothing() {
        let unchecked = (Dependency::EcrApi, Phase::Connect, not_checked());
        let of_ecs = of_ecs();
        let merged = merge(of_ecs.clone(), of_function(&[unchecked]));
        assert_eq!(merged.report, of_ecs.report);
        assert!(merged.note.unwrap().contains("no function ran"));
    }

    #[test]
    fn different_failure_of_the_function_follows_that_of_the_task() {
        let failed = Outcome::Failed {
            failure: Failure::NoSuchName,
        };
        let report = merge(
            of_ecs(),
            of_function(&[(Dependency::Logs, Phase::Resolve, failed)]),
        )
        .report;
        let ecs = of_ecs().report;
        assert_eq!(report.verdict.exit_code, ecs.verdict.exit_code);
        assert!(
            report
                .verdict
                .summary
                .starts_with(ecs.verdict.summary.trim_end_matches('.'))
        );
        assert!(report.verdict.summary.contains("another failure"));
        assert_eq!(report.findings[0].cause, ecs.findings[0].cause);
        assert_eq!(
            confidences(&report)[..ecs.findings.len()],
            confidences(&ecs)[..]
        );
        let causes: Vec<Cause> = report
            .findings
            .iter()
            .map(|finding| finding.cause)
            .collect();
        assert!(causes.contains(&Cause::NameNotFound), "{causes:?}");
        assert!(report.ruled_out.is_empty());
        assert!(
            report
                .observations
                .iter()
                .any(|seen| seen.witness == Some(Witness::Ecs))
        );
    }
}
