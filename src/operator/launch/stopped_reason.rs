//! Builds the report for a probe that did not deliver one, from what Amazon ECS reports about its
//! task: observations with the witness `ecs`, diagnosed by the same rules.
//!
//! A missing report is a result, too. [`crate::explain`] reads the stopped reason, an exit code
//! names only a family, and a task that never started is never a success.

mod observe;

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::Value;

use super::instances;
use super::request::Launch;
use crate::cause::{Cause, Family};
use crate::diagnose::{Confidence, Diagnosis, Finding, diagnose};
use crate::explain::tasks::EcsMessage;
use crate::explain::{self, Explanation, MessageContext, Step};
use crate::observation::{
    Dependency, Failure, Observation, ObservationId, Outcome, Phase, TargetKey,
};
use crate::operator::ecs::{Task, last_segment};
use crate::redact::{one_line, redact, shorten};
use crate::reference::Reference;
use crate::report::{Delivery, Logs, Report, Run};
use crate::safe_text::{SafeText, safe_text};
use crate::vantage::{Carrier, Vantage};
use crate::verdict::{INCONCLUSIVE, Status, Verdict, WARN};

/// Reports a task that stopped before its container ran, from the reasons that ECS gives for the
/// task and its containers.
pub fn never_started(launch: &Launch, subnet: &str, task: &Task, document: &Value) -> Report {
    // Empty if ECS gives no reason, which the report then states.
    let message: EcsMessage = explain::tasks::messages(&document.to_string())
        .unwrap_or_default()
        .into_iter()
        .next()
        .unwrap_or_default();
    from_text(launch, subnet, task, &message.text, &message.context)
}

/// Whether the report of a task that never started is about the network, DNS or TLS.
pub fn is_of_the_path(report: &Report) -> bool {
    report.findings.first().is_some_and(|finding| {
        matches!(
            finding.family,
            Family::Network | Family::Resolve | Family::Tls
        )
    })
}

/// Reports a subnet without a free address; `sentence` says which service found that.
pub fn no_free_address(launch: &Launch, subnet: &str, sentence: &str) -> Report {
    let cause = Cause::NoFreeAddress;
    let mut report = unknown(launch, subnet, &Task::default(), sentence);
    let because = report.observations.iter().map(|seen| seen.id.clone());
    report.findings = vec![Finding {
        cause,
        family: cause.family(),
        dependency: Dependency::Metadata,
        confidence: Confidence::Likely,
        blocking: true,
        tries: None,
        summary: cause.summary().to_owned(),
        remedy: cause.remedy().to_owned(),
        fix: Vec::new(),
        because: because.collect(),
    }];
    for seen in &mut report.observations {
        seen.outcome = Outcome::Failed {
            failure: Failure::UnexpectedAnswer,
        };
        seen.detail = SafeText::from(&sentence.to_owned());
    }
    report.verdict = Verdict {
        status: Status::Fail,
        exit_code: cause.family().exit_code(),
        summary: format!(
            "The task would not start, most likely because {}; {sentence}",
            cause.summary().trim_end_matches('.')
        ),
    };
    report
}

/// Reports a subnet in which `RunTask` started no task.
pub fn not_started(launch: &Launch, subnet: &str, reason: &str) -> Report {
    // The placement constraint is the probe's own, so it shows nothing about the service.
    if launch.placement.carrier() == Carrier::Ec2 && instances::is_without_instance(reason) {
        let sentence = format!(
            "The probe did not start: no container instance that these tasks can run on is in this subnet. {} (Amazon ECS \
             reports: {})",
            instances::no_instance_hint(last_segment(&launch.cluster)),
            redact(&one_line(shorten(reason, 300)))
        );
        return unknown(launch, subnet, &Task::default(), &sentence);
    }
    let context = MessageContext {
        cluster: Some(launch.cluster.clone()),
        ..MessageContext::default()
    };
    from_text(launch, subnet, &Task::default(), reason, &context)
}

fn from_text(
    launch: &Launch,
    subnet: &str,
    task: &Task,
    text: &str,
    context: &MessageContext,
) -> Report {
    let explanation = explain::explain_with(text, context);
    let message = shorten(&explanation.message, 600);
    if explanation.family == Family::Unknown || explanation.findings.is_empty() {
        let code = task
            .stop_code
            .as_deref()
            .map(|code| format!("{code}: "))
            .unwrap_or_default();
        let message = if message.is_empty() {
            "no reason given"
        } else {
            message
        };
        let sentence = format!("The probe did not start. Amazon ECS reports: {code}{message}");
        return unknown(launch, subnet, task, &sentence);
    }
    if concerns_probe_image(launch, &explanation) {
        let sentence = format!(
            "The probe could not be started, so nothing is known about this subnet. Its own image, {}, could not be used: \
             push it with `pullprobe install`, or name another with --probe-image (Amazon ECS reports: {message})",
            launch.probe_image
        );
        return unknown(launch, subnet, task, &sentence);
    }
    let observation = observe::observe(&explanation, address(task));
    let diagnosis = merge_diagnosis(&explanation, &observation);
    let first = &diagnosis.findings[0];
    let lead = match first.confidence {
        Confidence::Certain => "The probe did not start, and the task would not either",
        Confidence::Likely => {
            "The probe did not start, and neither would the task, most likely because"
        }
        Confidence::Possible => {
            "The probe did not start, and neither would the task, possibly because"
        }
    };
    let summary = format!(
        "{lead}: {} [{}; Amazon ECS reports: {message}]",
        first.summary.trim_end_matches('.'),
        explanation.step.title()
    );
    let verdict = Verdict {
        status: Status::Fail,
        exit_code: first.family.exit_code(),
        summary,
    };
    let diagnosed = Diagnosed { diagnosis, verdict };
    report(launch, subnet, task, vec![observation], diagnosed)
}

/// Whether the probe's own image is missing or refused: its repository, tag, platform or
/// permissions. DNS, network, role and endpoints are the same for the task, and so are the layer
/// bucket, the image that AWS injects, and the rate limit of a registry that both use.
fn concerns_probe_image(launch: &Launch, explanation: &Explanation) -> bool {
    let needs_token = launch.plan.images.iter().any(|image| image.token.is_some());
    let is_pull = match explanation.step {
        Step::ImageManifest | Step::ImageLayer => true,
        // The token is Amazon ECR's, which the task may not need.
        Step::RegistryAuth => !needs_token,
        _ => false,
    };
    let registry = launch.probe_image.parse::<Reference>();
    let registry = registry.map(|image| image.host()).unwrap_or_default();
    let is_injected = explanation.dependency == Some(Dependency::EcrDkr)
        && explanation
            .host
            .as_ref()
            .is_some_and(|host| *host != registry);
    let is_bucket = explanation.dependency == Some(Dependency::S3);
    let shares_registry = || {
        let mut images = launch.plan.images.iter();
        images.any(|planned| planned.reference.host() == registry)
    };
    match explanation.family {
        _ if is_injected => false,
        Family::Image => true,
        Family::Permission | Family::Credentials => is_pull && !is_bucket,
        Family::Limit => is_pull && !is_bucket && !shares_registry(),
        _ => false,
    }
}

/// Adds the rules' findings to those of the text. Added findings are at most possible, because a
/// text shows one step and the rules assume that all of them were checked. For the same reason
/// nothing is ruled out.
fn merge_diagnosis(explanation: &Explanation, observation: &Observation) -> Diagnosis {
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

/// Reports a probe that ended and whose report is missing, from its exit code.
pub fn exited(
    launch: &Launch,
    subnet: &str,
    task: &Task,
    code: i64,
    missing: &MissingReport,
) -> Report {
    let mut ended = Observation::reported_by_ecs(
        TargetKey::task(),
        Dependency::Metadata,
        Phase::Read,
        Outcome::Passed,
    );
    ended.id.narrow("exit-code");
    ended.detail = safe_text!["the container exited with code ", code.to_string()];
    let why: SafeText = missing.to_string().into();
    let log = Observation::reported_by_ecs(
        TargetKey::of(Dependency::Logs),
        Dependency::Logs,
        Phase::Write,
        Outcome::NotChecked { why: why.clone() },
    );
    let mut findings = Vec::new();
    let (status, exit_code, lead) = match (code, family_of(code)) {
        (0, _) => (
            Status::Pass,
            0,
            "Everything that the task needs to start works from here".to_owned(),
        ),
        (3, _) => (
            Status::Inconclusive,
            INCONCLUSIVE,
            "Not everything could be checked".to_owned(),
        ),
        (4, _) => (
            Status::Warn,
            WARN,
            "The task would start, but something is wrong".to_owned(),
        ),
        (_, Some(family)) => {
            // An exit code shows that something failed, but not how.
            ended.outcome = Outcome::Failed {
                failure: Failure::UnexpectedAnswer,
            };
            findings = if missing.may_be_delivered() {
                vec![unread_finding(family, &ended.id)]
            } else {
                candidates(family, missing, &[ended.id.clone(), log.id.clone()])
            };
            let lead = format!(
                "The task would not start: the first failure belongs to the family {}",
                family.name()
            );
            (Status::Fail, family.exit_code(), lead)
        }
        _ => (
            Status::Inconclusive,
            INCONCLUSIVE,
            format!("No result: {}", describe_exit_code(code)),
        ),
    };
    // Such as `OutOfMemoryError: Container killed due to memory usage`.
    let reason = task
        .containers
        .iter()
        .find_map(|container| container.reason.as_deref())
        .map(|reason| {
            format!(
                " (Amazon ECS reports: {})",
                redact(&one_line(shorten(reason, 300)))
            )
        })
        .unwrap_or_default();
    let source = if i64::from(exit_code) == code {
        format!(", according to the probe's exit code {code}")
    } else {
        String::new()
    };
    // What the operator can fix comes first.
    let summary = if missing.may_be_delivered() {
        format!("{why}. {lead}{source}{reason}")
    } else {
        format!("{lead}{source}{reason}; {why}")
    };
    let verdict = Verdict {
        status,
        exit_code,
        summary,
    };
    let diagnosis = Diagnosis {
        findings,
        ruled_out: Vec::new(),
    };
    let diagnosed = Diagnosed { diagnosis, verdict };
    // Whether the probe reached the log group is not known if the log group could not be read.
    let observations = if missing.may_be_delivered() {
        vec![ended]
    } else {
        vec![log, ended]
    };
    let mut report = report(launch, subnet, task, observations, diagnosed);
    report.delivery = Delivery {
        logs: missing.delivery(),
        detail: why,
    };
    report
}

fn family_of(exit_code: i64) -> Option<Family> {
    Cause::ALL
        .iter()
        .map(|cause| cause.family())
        .filter(|family| *family != Family::Unknown)
        .find(|family| i64::from(family.exit_code()) == exit_code)
}

/// Describes an exit code that is not a verdict.
fn describe_exit_code(code: i64) -> String {
    match code {
        1 => "the probe itself failed (exit code 1)".into(),
        2 => "the probe rejected its arguments (exit code 2); it may be a different version".into(),
        137 => "the probe was killed (exit code 137)".into(),
        139 => "the probe crashed (exit code 139)".into(),
        143 => "the probe was stopped (exit code 143)".into(),
        255 => "the container could not run the probe (exit code 255)".into(),
        other => format!("unexpected container exit code {other}"),
    }
}

/// Returns a finding for each cause of the family that stops a task. An exit code cannot
/// distinguish them, so each is at most possible, unless there is only one. If no report reached
/// the log group, the fault is most probably on the path to CloudWatch Logs.
fn candidates(family: Family, missing: &MissingReport, because: &[ObservationId]) -> Vec<Finding> {
    let causes: Vec<Cause> = Cause::ALL
        .iter()
        .copied()
        .filter(|cause| cause.family() == family && !NEVER_FROM_PROBE.contains(cause))
        .collect();
    let confidence = if causes.len() == 1 {
        Confidence::Likely
    } else {
        Confidence::Possible
    };
    let of_other_families = SAME_SYMPTOM
        .iter()
        .filter(|(symptom, _)| *symptom == family)
        .map(|(_, cause)| *cause);
    let causes = causes.into_iter().chain(of_other_families);
    let dependency = if matches!(missing, MissingReport::NotDelivered(_)) {
        Dependency::Logs
    } else {
        Dependency::Metadata
    };
    let finding = |cause: Cause| Finding {
        cause,
        family: cause.family(),
        dependency,
        confidence,
        blocking: true,
        tries: None,
        summary: cause.summary().to_owned(),
        remedy: cause.remedy().to_owned(),
        fix: Vec::new(),
        because: because.to_vec(),
    };
    causes.map(finding).collect()
}

/// Returns the finding for a report that may exist but could not be read: the report names the
/// cause.
fn unread_finding(family: Family, because: &ObservationId) -> Finding {
    Finding {
        tries: None,
        cause: Cause::Unknown,
        family,
        dependency: Dependency::Metadata,
        confidence: Confidence::Possible,
        blocking: true,
        summary: format!(
            "the probe found a failure of the family {}; its report, which names the cause, could not be read",
            family.name()
        ),
        remedy: "Get permission to read the log group and launch again, or ask for the report from someone who has that permission"
            .to_owned(),
        fix: Vec::new(),
        because: vec![because.clone()],
    }
}

/// Causes of other families with the symptom of this family: blocked packets to a custom resolver
/// look like a silent resolver, and a wrong address in DNS looks like a silent path.
const SAME_SYMPTOM: [(Family, Cause); 3] = [
    (Family::Resolve, Cause::TaskSecurityGroupEgress),
    (Family::Resolve, Cause::NetworkAcl),
    (Family::Network, Cause::NamePointsElsewhere),
];

/// Causes that are never a probe's first finding: only the configuration or ECS shows them, or the
/// task starts despite them.
const NEVER_FROM_PROBE: [Cause; 6] = [
    Cause::PrivateDnsDisabled,
    Cause::PublicIpMissing,
    Cause::NatGatewayUnhealthy,
    Cause::RouteTableDiffers,
    Cause::ServiceSlow,
    Cause::PublicAnswerWherePrivateExpected,
];

/// Why a probe's report is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MissingReport {
    /// The task definition has no log group.
    NoLogGroup,
    /// There is no report in this log group.
    NotDelivered(String),
    /// There is a report, but it is incomplete or contradicts this task's exit code.
    Mismatch(String),
    /// The operator could not read the log group, for this reason.
    ReadFailed(String),
}

impl MissingReport {
    /// Whether the log group may contain the report nevertheless.
    fn may_be_delivered(&self) -> bool {
        matches!(self, Self::ReadFailed(_))
    }

    fn delivery(&self) -> Logs {
        match self {
            Self::NoLogGroup => Logs::NotAsked,
            Self::ReadFailed(_) => Logs::Unknown,
            Self::NotDelivered(_) | Self::Mismatch(_) => Logs::Failed,
        }
    }
}

impl fmt::Display for MissingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLogGroup => f.write_str(
                "the task definition has no log group for its report (set one with --log-group)",
            ),
            Self::NotDelivered(log_group) => write!(f, "its report did not reach {log_group}"),
            Self::Mismatch(what) => f.write_str(what),
            Self::ReadFailed(why) => write!(f, "The probe's report could not be read: {why}"),
        }
    }
}

/// Reports a task without a result; `sentence` says why.
pub fn unknown(launch: &Launch, subnet: &str, task: &Task, sentence: &str) -> Report {
    let sentence = redact(&one_line(sentence));
    let observation = Observation::reported_by_ecs(
        TargetKey::task(),
        Dependency::Metadata,
        Phase::Read,
        Outcome::NotChecked {
            why: (&sentence).into(),
        },
    );
    let verdict = Verdict {
        status: Status::Inconclusive,
        exit_code: INCONCLUSIVE,
        summary: sentence,
    };
    let diagnosed = Diagnosed {
        diagnosis: Diagnosis::default(),
        verdict,
    };
    report(launch, subnet, task, vec![observation], diagnosed)
}

/// Findings, and the verdict on them.
struct Diagnosed {
    diagnosis: Diagnosis,
    verdict: Verdict,
}

fn report(
    launch: &Launch,
    subnet: &str,
    task: &Task,
    observations: Vec<Observation>,
    diagnosed: Diagnosed,
) -> Report {
    let mut run = Run {
        id: (&launch.run_id).into(),
        version: env!("CARGO_PKG_VERSION").into(),
        started_at: started_at(task).to_string(),
        elapsed_ms: 0,
        labels: launch.labels(subnet),
        address_ranges: crate::ip_owner::RANGES_DATE.into(),
        internal_error: None,
        shortened: None,
    };
    // Escapes control and invisible characters in labels.
    run.for_each_text(&mut |_| {});
    let vantage = Vantage {
        region: Some(launch.plan.region.to_string().into()),
        availability_zone: task.availability_zone.as_ref().map(Into::into),
        address: address(task),
        task_arn: Some((&task.task_arn).into()).filter(|arn: &SafeText| !arn.is_empty()),
        platform: launch.plan.platform.to_string().into(),
        cluster: Some(last_segment(&launch.cluster).to_owned().into()),
        carrier: Some(launch.placement.carrier()),
        ..Vantage::default()
    };
    // A plan is always valid JSON.
    let plan = serde_json::to_value(&launch.plan).unwrap_or_default();
    let judged = (diagnosed.diagnosis, diagnosed.verdict);
    Report::with_verdict(run, vantage, None, observations, judged, plan)
}

fn address(task: &Task) -> Option<IpAddr> {
    task.network_interface("privateIPv4Address")
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
