//! A task that failed to start, as EventBridge reports it, and the probe in its place.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hyper::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::worker::{
    INSPECTION_TIMEOUT, PROBE_DEADLINE, START_TIMEOUT, WRITE_TIMEOUT, configuration,
    inspect_failing,
};
use crate::compare::ComparisonBuilder;
use crate::inspect::snapshot::TaskNetwork;
use crate::operator::aws::Client;
use crate::operator::dry_run::AwsCalls;
use crate::operator::ecs::{digest, last_segment};
use crate::operator::error::OperatorError;
use crate::operator::launch::{
    self, CarrierChoice, FAMILY_PREFIX, FunctionSpec, LaunchSpec, ProbeUse, STARTED_BY_PREFIX,
    SubnetReport, TargetSpec,
};
use crate::operator::s3::{Bucket, WriteCondition};
use crate::plan::Expect;
use crate::redact::{one_line, shorten};

/// How long a service is not probed again: a deployment starts a task every few seconds until its
/// circuit breaker ends it.
const PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// Maximum number of characters of the reason that ECS reports.
const MAX_REASON_CHARS: usize = 600;

/// A task that did not start, or a service whose tasks do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedStart {
    pub cluster: String,
    /// ARN of the task; `None` if the event is about a service.
    pub task: Option<String>,
    /// Name of the service, if the task is one of a service.
    pub service: Option<String>,
    /// What is paused: the service, or the family of the task.
    subject: String,
    /// The reason that ECS reports.
    pub reason: String,
}

impl FailedStart {
    /// Reads an event of EventBridge. `None` if it is not about a task that failed to start, or is
    /// about the probe's own.
    pub fn read(event: &Value) -> Option<Self> {
        if event["source"] != "aws.ecs" {
            return None;
        }
        let detail = &event["detail"];
        let text = |name: &str| detail[name].as_str().map(str::to_owned);
        let cluster = text("clusterArn")?;
        match event["detail-type"].as_str()? {
            "ECS Task State Change" if detail["stopCode"] == "TaskFailedToStart" => {
                let group = text("group").unwrap_or_default();
                let started_by = text("startedBy").unwrap_or_default();
                let family = format!("family:{FAMILY_PREFIX}");
                if started_by.starts_with(STARTED_BY_PREFIX) || group.starts_with(&family) {
                    return None;
                }
                let reason = text("stoppedReason").unwrap_or_default();
                Some(Self {
                    service: group.strip_prefix("service:").map(str::to_owned),
                    subject: group,
                    task: Some(text("taskArn")?),
                    cluster,
                    reason: shorten(&one_line(&reason), MAX_REASON_CHARS).to_owned(),
                })
            }
            "ECS Service Action" if detail["eventName"] == "SERVICE_TASK_START_IMPAIRED" => {
                let service = last_segment(event["resources"][0].as_str()?).to_owned();
                Some(Self {
                    cluster,
                    task: None,
                    subject: format!("service:{service}"),
                    service: Some(service),
                    reason: "SERVICE_TASK_START_IMPAIRED: the service cannot start its tasks"
                        .into(),
                })
            }
            _ => None,
        }
    }

    /// Returns the key of the object that says when it was last probed.
    fn claim_key(&self) -> String {
        format!(
            "claims/{}.json",
            digest(&[&self.cluster, &self.subject], 12)
        )
    }
}

/// The verdict on a failed start, as a message and for the log.
#[derive(Debug, Clone)]
pub struct StartVerdict {
    pub subject: String,
    pub text: String,
    /// For the log group: one line of JSON.
    pub line: Value,
}

/// Probes in place of the task, unless its service was probed within the last hour; then returns
/// `None`. `stop` ends the launch early; `end` is when the function ends.
pub async fn probe(
    client: &Client,
    failed: &FailedStart,
    bucket: &Bucket,
    function: FunctionSpec,
    now: Timestamp,
    end: Instant,
    stop: impl Future<Output = ()>,
) -> Result<Option<StartVerdict>, OperatorError> {
    if !claim(failed, bucket, now).await? {
        return Ok(None);
    }
    let run_id = format!(
        "failed-{}",
        digest(&[&failed.claim_key(), &now.to_string()], 6)
    );
    let spec = LaunchSpec {
        target: TargetSpec {
            cluster: Some(failed.cluster.clone()),
            // With a task, its own subnet, security groups and role are used.
            service: failed.service.clone().filter(|_| failed.task.is_none()),
            task_definition: None,
            subnets: Vec::new(),
            security_groups: Vec::new(),
            assign_public_ip: false,
            probe_image: None,
            probe_architecture: None,
            region: Some(client.region().clone()),
            expect: Expect::Any,
            use_of_probe: ProbeUse::Once,
            full: false,
            deadline: PROBE_DEADLINE,
        },
        carrier: CarrierChoice::Auto,
        function,
        like: failed.task.clone(),
        log_group: None,
        timeout: START_TIMEOUT,
        run_id: run_id.clone(),
        labels: BTreeMap::new(),
    };
    let calls = AwsCalls::new(client.clone(), None);
    let Some(prepared) = launch::prepare(&calls, &spec).await? else {
        return Ok(None);
    };
    let (plan, task) = (prepared.0.plan.clone(), TaskNetwork::from(&prepared.0));
    let reports = launch::run(client, prepared, &spec, &mut |_| {}, stop).await?;
    let end = (Instant::now() + INSPECTION_TIMEOUT).min(end - WRITE_TIMEOUT);
    let inspected = inspect_failing(&calls, plan, task, &reports, end).await;
    let mut builder = ComparisonBuilder::default();
    let mut lines = String::new();
    for report in &reports {
        builder.add(&report.report);
        lines += &report.report.line();
        lines.push('\n');
    }
    let key = format!("reports/{run_id}.ndjson");
    let always = WriteCondition::Always;
    bucket
        .put(&key, Bytes::from(lines), "application/x-ndjson", &always)
        .await?;
    let output = builder.finish();
    let who = failed.service.as_ref().map_or_else(
        || failed.subject.clone(),
        |service| format!("service {service}"),
    );
    let in_configuration = match &inspected {
        Ok(inspection) => inspection.as_ref().map(configuration).unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let findings = reports.iter().flat_map(|report| &report.report.findings);
    let causes: Vec<_> = findings.map(|finding| finding.cause.code()).collect();
    let mut text = format!(
        "A task of {who} in {} did not start. Amazon ECS reports: {}\n{}",
        last_segment(&failed.cluster),
        failed.reason,
        findings_text(&reports)
    );
    if let Err(why) = &inspected {
        let _ = writeln!(text, "\n{why}");
    }
    if !in_configuration.is_empty() {
        text.push_str("\nIn the configuration:\n");
    }
    for sentence in &in_configuration {
        let _ = writeln!(text, "- {sentence}");
    }
    let location = format!("s3://{}/{key}", bucket.name());
    let _ = writeln!(text, "\nReports: {location}");
    let line = json!({
        "pullprobe": "failed-start",
        "cluster": failed.cluster,
        "service": failed.service,
        "task": failed.task,
        "reason": failed.reason,
        "status": output.comparison.status,
        "exit_code": output.comparison.exit_code,
        "causes": causes,
        "summary": output.comparison.summary,
        "configuration": in_configuration,
        "reports": location,
    });
    let first = causes.first().copied().unwrap_or("no cause found");
    Ok(Some(StartVerdict {
        subject: format!("pullprobe: {who}: {first}"),
        text,
        line,
    }))
}

/// Returns what the probe found in each subnet, as lines of the message.
fn findings_text(reports: &[SubnetReport]) -> String {
    let mut text = String::new();
    for report in reports {
        let summary = &report.report.verdict.summary;
        let _ = writeln!(text, "\nThe probe in {}: {summary}", report.subnet);
        for finding in &report.report.findings {
            let cause = finding.cause.code();
            let _ = writeln!(
                text,
                "- {cause} ({}): {}",
                finding.confidence, finding.summary
            );
        }
    }
    text
}

/// Claims the service for this hour. Returns `false` if another event did so.
async fn claim(
    failed: &FailedStart,
    bucket: &Bucket,
    now: Timestamp,
) -> Result<bool, OperatorError> {
    let key = failed.claim_key();
    let condition = match bucket.get(&key).await? {
        None => WriteCondition::IsNew,
        Some((body, tag)) => {
            let claim: Value = serde_json::from_slice(&body).unwrap_or_default();
            let at = claim["at"].as_str().and_then(|at| at.parse().ok());
            if at.is_some_and(|at: Timestamp| now.duration_since(at) < PAUSE) {
                return Ok(false);
            }
            WriteCondition::IsUnchanged(tag)
        }
    };
    let body = json!({ "at": now.to_string(), "subject": failed.subject }).to_string();
    let body = Bytes::from(body);
    Ok(bucket
        .put(&key, body, "application/json", &condition)
        .await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(detail: &Value) -> Value {
        json!({ "source": "aws.ecs", "detail-type": "ECS Task State Change", "detail": detail })
    }

    #[test]
    fn event_of_a_failed_task_names_cluster_task_and_service() {
        let detail = json!({
            "clusterArn": "arn:aws:ecs:eu-west-1:123456789012:cluster/prod",
            "taskArn": "arn:aws:ecs:eu-west-1:123456789012:task/prod/1",
            "group": "service:web", "startedBy": "ecs-svc/1", "stopCode": "TaskFailedToStart",
            "stoppedReason": "ResourceInitializationError: …",
        });
        let failed = FailedStart::read(&event(&detail)).unwrap();
        assert_eq!(failed.service.as_deref(), Some("web"));
        assert!(failed.task.as_deref().unwrap().ends_with("/1"));
        // The probe's own tasks, and those that ran.
        for (member, value) in [
            ("startedBy", "pullprobe/run"),
            ("group", "family:pullprobe-0123"),
            ("stopCode", "EssentialContainerExited"),
        ] {
            let mut other = detail.clone();
            other[member] = value.into();
            assert_eq!(FailedStart::read(&event(&other)), None, "{member}");
        }
        let other = FailedStart {
            subject: "service:api".into(),
            ..failed.clone()
        };
        assert_ne!(failed.claim_key(), other.claim_key());
    }

    #[test]
    fn event_of_an_impaired_service_names_the_service() {
        let event = json!({
            "source": "aws.ecs", "detail-type": "ECS Service Action",
            "resources": ["arn:aws:ecs:eu-west-1:123456789012:service/prod/web"],
            "detail": {
                "eventName": "SERVICE_TASK_START_IMPAIRED",
                "clusterArn": "arn:aws:ecs:eu-west-1:123456789012:cluster/prod",
            },
        });
        let failed = FailedStart::read(&event).unwrap();
        assert_eq!(
            (failed.service.as_deref(), failed.task),
            (Some("web"), None)
        );
    }
}
