//! Reports of probes that could not tell it themselves: what Amazon ECS says of them, as
//! observations with the witness `ecs`, through the same rules.
//!
//! No report is a result too. How sure it is depends on what there is: a stopped task's reason is
//! read by [`crate::explain`], an exit code names a family and no more, and a task that never
//! started is never a success.

mod seen;

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::Value;

use super::request::Launch;
use crate::cause::{Cause, Family};
use crate::diagnose::{Confidence, Diagnosis, Finding, diagnose};
use crate::explain::{self, Explanation, MessageContext};
use crate::observation::{
    Dependency, Observation, ObservationId, Outcome, Phase, TargetKey, Witness,
};
use crate::operator::ecs::Task;
use crate::redact::{one_line, redact, shorten};
use crate::report::{Delivery, Logs, Report, Run};
use crate::vantage::Vantage;
use crate::verdict::{INCONCLUSIVE, Status, Verdict, WARN};

/// A task that stopped before its container ran: the stop's reason and the containers'.
pub fn never_started(launch: &Launch, subnet: &str, task: &Task, document: &Value) -> Report {
    let told = explain::tasks::messages(&document.to_string())
        .unwrap_or_default()
        .into_iter()
        .next();
    let told = told.unwrap_or_default();
    of_text(launch, subnet, task, &told.text, &told.context)
}

/// A task that `RunTask` did not start, for this reason.
pub fn refused(launch: &Launch, subnet: &str, reason: &str) -> Report {
    let known = MessageContext {
        cluster: Some(launch.cluster.clone()),
        ..MessageContext::default()
    };
    of_text(launch, subnet, &Task::default(), reason, &known)
}

fn of_text(
    launch: &Launch,
    subnet: &str,
    task: &Task,
    text: &str,
    known: &MessageContext,
) -> Report {
    let explanation = explain::explain_with(text, known);
    let said = shorten(&explanation.message, 600).to_owned();
    if explanation.family == Family::Unknown || explanation.findings.is_empty() {
        let code = task
            .stop_code
            .as_deref()
            .map(|code| format!("{code}: "))
            .unwrap_or_default();
        let said = if said.is_empty() {
            "it gives no reason".to_owned()
        } else {
            said
        };
        return gave_up(
            launch,
            subnet,
            task,
            &format!("The probe did not start. Amazon ECS says: {code}{said}"),
        );
    }
    let observation = seen::observe(&explanation, address(task));
    let diagnosis = merged(&explanation, &observation);
    let first = &diagnosis.findings[0];
    let lead = if is_of_the_probe_alone(&explanation) {
        "The probe did not start, for a fault of its own image, which says nothing of the task's images"
    } else {
        match first.confidence {
            Confidence::Certain => "The probe did not start, and the task would not either",
            Confidence::Likely => {
                "The probe did not start, as the task would not, most likely because"
            }
            Confidence::Possible => {
                "The probe did not start, as the task would not, possibly because"
            }
        }
    };
    let summary = format!(
        "{lead}: {} [{}; Amazon ECS says: {said}]",
        first.summary.trim_end_matches('.'),
        explanation.step.title()
    );
    let verdict = Verdict {
        status: Status::Fail,
        exit_code: first.family.exit_code(),
        summary,
    };
    report(
        launch,
        subnet,
        task,
        vec![observation],
        (diagnosis, verdict),
    )
}

/// Of the probe's repository, tag and platform the task knows nothing. Names, network, role and
/// endpoints are both's.
fn is_of_the_probe_alone(explanation: &Explanation) -> bool {
    explanation.family == Family::Image
}

/// The text's own findings, and what the rules allow beside them: nothing of that more than
/// possible, for a text shows one step and the rules are made for all of them. Nothing is ruled out
/// by one step either.
fn merged(explanation: &Explanation, observation: &Observation) -> Diagnosis {
    let because = vec![observation.id.clone()];
    let mut findings: Vec<Finding> = explanation
        .findings
        .iter()
        .map(|finding| finding.clone().resting_on(because.clone()))
        .collect();
    for finding in &mut findings {
        finding.blocking = true;
    }
    for mut finding in diagnose(std::slice::from_ref(observation)).findings {
        if !findings.iter().any(|known| known.cause == finding.cause) {
            finding.confidence = Confidence::Possible;
            findings.push(finding);
        }
    }
    if findings.len() > 1 {
        for finding in &mut findings {
            finding.confidence = finding.confidence.min(Confidence::Likely);
        }
    }
    Diagnosis {
        findings,
        ruled_out: Vec::new(),
    }
}

/// A probe that ended and whose report cannot be read: `no_log` says why.
pub fn exited(launch: &Launch, subnet: &str, task: &Task, code: i64, no_log: &NoLog) -> Report {
    let missing = no_log.to_string();
    let mut ended = Observation::new(
        TargetKey::task(),
        Dependency::Metadata,
        Phase::Read,
        Outcome::Passed,
    );
    ended.id.narrow("exit-code");
    ended.witness = Some(Witness::Ecs);
    ended.detail = format!("the container exited with {code}");
    let mut log = Observation::new(
        TargetKey::of(Dependency::Logs),
        Dependency::Logs,
        Phase::Write,
        Outcome::NotChecked {
            why: missing.clone(),
        },
    );
    log.witness = Some(Witness::Ecs);
    let families = Cause::ALL
        .iter()
        .map(|cause| cause.family())
        .filter(|family| *family != Family::Unknown);
    let family = families
        .into_iter()
        .find(|family| i64::from(family.exit_code()) == code);
    let (status, exit_code, findings, lead) = match (code, family) {
        (0, _) => (
            Status::Pass,
            0,
            Vec::new(),
            "Everything that the task needs to start works from here".to_owned(),
        ),
        (3, _) => (
            Status::Inconclusive,
            INCONCLUSIVE,
            Vec::new(),
            "Not everything could be checked".to_owned(),
        ),
        (4, _) => (
            Status::Warn,
            WARN,
            Vec::new(),
            "The task would start, but something is wrong".to_owned(),
        ),
        (_, Some(family)) => {
            ended.outcome = Outcome::Failed {
                failure: seen::failure_of(family),
            };
            let findings = candidates(family, no_log, &[ended.id.clone(), log.id.clone()]);
            let what = format!(
                "The task would not start: the first fault is of the family {}",
                family.name()
            );
            (Status::Fail, family.exit_code(), findings, what)
        }
        _ => {
            let why = match code {
                1 => "the probe itself failed (exit code 1)".to_owned(),
                2 => "the probe did not understand what it was told (exit code 2: another version of it?)".to_owned(),
                137 => "the probe was killed (exit code 137)".to_owned(),
                139 => "the probe crashed (exit code 139)".to_owned(),
                143 => "the probe was stopped (exit code 143)".to_owned(),
                255 => "the container could not run the probe (exit code 255)".to_owned(),
                other => format!("the container exited with {other}, which no probe does"),
            };
            (
                Status::Inconclusive,
                INCONCLUSIVE,
                Vec::new(),
                format!("Nothing is known, because {why}"),
            )
        }
    };
    // `OutOfMemoryError: Container killed due to memory usage`
    let reason = task
        .containers
        .iter()
        .find_map(|container| container.reason.as_deref());
    let reason = reason.map(|reason| {
        format!(
            " (Amazon ECS says: {})",
            redact(&one_line(shorten(reason, 300)))
        )
    });
    let reason = reason.unwrap_or_default();
    let summary = format!("{lead}, as the probe's exit code {code} says{reason}; {missing}");
    let verdict = Verdict {
        status,
        exit_code,
        summary,
    };
    let mut report = report(
        launch,
        subnet,
        task,
        vec![log, ended],
        (
            Diagnosis {
                findings,
                ruled_out: Vec::new(),
            },
            verdict,
        ),
    );
    report.delivery = Delivery {
        logs: no_log.delivery(),
        detail: missing,
    };
    report
}

/// Every cause of the family that stops a task. An exit code cannot tell them apart, so none is
/// more than possible, except where there is only one. Nothing is more common at a log group that
/// got no report than what keeps the logs endpoint away.
fn candidates(family: Family, no_log: &NoLog, because: &[ObservationId]) -> Vec<Finding> {
    let causes: Vec<Cause> = Cause::ALL
        .iter()
        .copied()
        .filter(|cause| cause.family() == family && !NEVER_FROM_A_PROBE.contains(cause))
        .collect();
    let confidence = if causes.len() == 1 {
        Confidence::Likely
    } else {
        Confidence::Possible
    };
    let look_alike = LOOK_ALIKE
        .iter()
        .filter(|(of, _)| *of == family)
        .map(|(_, cause)| *cause);
    let causes = causes.into_iter().chain(look_alike);
    let dependency = if matches!(no_log, NoLog::Absent(_)) {
        Dependency::Logs
    } else {
        Dependency::Metadata
    };
    let about = |cause: Cause| Finding {
        cause,
        family: cause.family(),
        dependency,
        confidence,
        blocking: true,
        summary: cause.summary().to_owned(),
        remedy: cause.remedy().to_owned(),
        because: because.to_vec(),
    };
    causes.map(about).collect()
}

/// Causes of another family that a probe's first finding can stand before: a filter before a
/// resolver of one's own is a resolver that is silent, and an address that nobody has is a path
/// that is.
const LOOK_ALIKE: [(Family, Cause); 3] = [
    (Family::Resolve, Cause::TaskSecurityGroupEgress),
    (Family::Resolve, Cause::NetworkAcl),
    (Family::Network, Cause::NamePointsElsewhere),
];

/// What is told from configuration or by ECS alone, and what a task starts in spite of: no probe
/// ends with these as its first finding.
const NEVER_FROM_A_PROBE: [Cause; 6] = [
    Cause::PrivateDnsDisabled,
    Cause::PublicIpMissing,
    Cause::NatGatewayUnhealthy,
    Cause::RouteTableDiffers,
    Cause::ServiceSlow,
    Cause::PublicAnswerWherePrivateExpected,
];

/// Why there is no report to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoLog {
    /// The task logs to no log group.
    NotAsked,
    /// The log group has none.
    Absent(String),
    /// What lies there is not the report that this exit code is of.
    Other(String),
    /// It could not be looked for.
    Unread(String),
}

impl NoLog {
    fn delivery(&self) -> Logs {
        if *self == Self::NotAsked {
            Logs::NotAsked
        } else {
            Logs::Failed
        }
    }
}

impl std::fmt::Display for NoLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAsked => {
                f.write_str("the task definition has no log group to read its report from (--log-group names one)")
            }
            Self::Absent(place) => write!(f, "its report did not reach {place}"),
            Self::Other(what) => f.write_str(what),
            Self::Unread(why) => write!(f, "its report could not be read: {why}"),
        }
    }
}

/// A report of a task of which nothing more is known than `sentence`.
pub fn gave_up(launch: &Launch, subnet: &str, task: &Task, sentence: &str) -> Report {
    let sentence = redact(&one_line(sentence));
    let mut unknown = Observation::new(
        TargetKey::task(),
        Dependency::Metadata,
        Phase::Read,
        Outcome::NotChecked {
            why: sentence.clone(),
        },
    );
    unknown.witness = Some(Witness::Ecs);
    let verdict = Verdict {
        status: Status::Inconclusive,
        exit_code: INCONCLUSIVE,
        summary: sentence,
    };
    report(
        launch,
        subnet,
        task,
        vec![unknown],
        (Diagnosis::default(), verdict),
    )
}

fn report(
    launch: &Launch,
    subnet: &str,
    task: &Task,
    observations: Vec<Observation>,
    judged: (Diagnosis, Verdict),
) -> Report {
    let run = Run {
        id: launch.run_id.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        started_at: started_at(task).to_string(),
        elapsed_ms: 0,
        labels: launch.labels(subnet),
        address_ranges: crate::ip_owner::RANGES_DATE.into(),
        internal_error: None,
        shortened: None,
    };
    let vantage = Vantage {
        region: Some(launch.plan.region.to_string()),
        availability_zone: task.availability_zone.clone(),
        address: address(task),
        task_arn: Some(task.task_arn.clone()).filter(|arn| !arn.is_empty()),
        platform: launch.plan.platform.to_string(),
        cluster: Some(
            launch
                .cluster
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned(),
        ),
        ..Vantage::default()
    };
    let plan = serde_json::to_value(&launch.plan).unwrap_or_default();
    Report::with_verdict(run, vantage, None, observations, judged, plan)
}

fn address(task: &Task) -> Option<IpAddr> {
    task.interface("privateIPv4Address")
        .and_then(|address| address.parse().ok())
}

fn started_at(task: &Task) -> Timestamp {
    let seconds = task
        .started_at
        .or(task.created_at)
        .and_then(|time| jiff::SignedDuration::try_from_secs_f64(time).ok());
    seconds
        .and_then(|since| Timestamp::from_duration(since).ok())
        .unwrap_or_else(Timestamp::now)
}

#[cfg(test)]
mod tests;
