//! What a dry run would do, in one sentence for each action.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::Value;

use super::{Error, print, style};
use crate::cli::DryRunArgs;
use crate::operator::dry_run::{CallSink, PlannedCall};
use crate::operator::last_segment;
use crate::operator::price::TASK_MINUTE;

/// Requests that were sent or that would follow.
#[derive(Debug)]
pub struct DryRun {
    calls: Rc<RefCell<Vec<ShownCall>>>,
    shows_bodies: bool,
}

/// A request of a dry run.
#[derive(Debug, Clone)]
struct ShownCall {
    action: String,
    operation: String,
    sent: bool,
    body: Value,
}

impl DryRun {
    /// Returns the dry run that these flags ask for.
    pub fn new(args: DryRunArgs) -> Option<Self> {
        args.dry_run.then(|| Self {
            calls: Rc::default(),
            shows_bodies: args.verbose,
        })
    }

    /// Returns a sink that remembers each request for its sentence, and prints it as a line of JSON
    /// if the flags ask for the bodies.
    pub fn sink(&self) -> CallSink {
        let (calls, shows_bodies) = (Rc::clone(&self.calls), self.shows_bodies);
        Box::new(move |call| {
            calls.borrow_mut().push(ShownCall::from(call));
            if shows_bodies {
                let _ = print(&call.line());
            }
        })
    }

    /// Prints what `command` would do without `--dry-run`.
    pub fn print(&self, command: &str) -> Result<u8, Error> {
        let style = style();
        let mut text = format!("This dry run changed nothing. Without --dry-run, {command}:\n");
        for sentence in self.sentences() {
            text.push_str(&style.item("·", &sentence, 2));
            text.push('\n');
        }
        if !self.shows_bodies {
            text.push_str("Every request with its body: --dry-run --verbose\n");
        }
        print(&text)
    }

    /// Returns what would happen, one sentence for each kind of request, then what was read.
    fn sentences(&self) -> Vec<String> {
        let calls = self.calls.borrow();
        let mut kinds: Vec<(&str, Vec<&ShownCall>)> = Vec::new();
        for call in calls.iter().filter(|call| !call.sent) {
            match kinds.iter_mut().find(|(known, _)| *known == call.operation) {
                Some((_, same)) => same.push(call),
                None => kinds.push((&call.operation, vec![call])),
            }
        }
        let mut sentences: Vec<String> = kinds
            .iter()
            .filter_map(|(_, calls)| sentence(calls))
            .collect();
        let mut reads: Vec<&str> = Vec::new();
        for call in calls.iter().filter(|call| call.sent) {
            if !reads.contains(&call.action.as_str()) {
                reads.push(&call.action);
            }
        }
        if !reads.is_empty() {
            sentences.push(format!("read to prepare this: {}", reads.join(", ")));
        }
        sentences
    }
}

impl From<&PlannedCall<'_>> for ShownCall {
    fn from(call: &PlannedCall<'_>) -> Self {
        Self {
            action: call.api.action(call.operation),
            operation: call.operation.to_owned(),
            sent: call.sent,
            body: call.body.clone(),
        }
    }
}

impl ShownCall {
    /// Returns the names of the schedules, groups, alarms or dashboards that the request changes.
    fn names(&self) -> Vec<&str> {
        let path = self.body["path"].as_str().unwrap_or_default();
        let (path, _) = path.split_once('?').unwrap_or((path, ""));
        let of_path = Some(last_segment(path)).filter(|name| !name.is_empty());
        let fields = self.body.as_object().into_iter().flatten();
        let of_fields = fields
            .filter(|(name, _)| {
                ["AlarmName", "DashboardName"]
                    .iter()
                    .any(|start| name.starts_with(start))
            })
            .filter_map(|(_, value)| value.as_str());
        of_path.into_iter().chain(of_fields).collect()
    }
}

/// Returns what requests of one kind do; `None` for requests that are part of another kind's
/// sentence.
fn sentence(calls: &[&ShownCall]) -> Option<String> {
    let first = calls.first()?;
    let text = |pointer: &str| first.body.pointer(pointer).and_then(Value::as_str);
    let number = |pointer: &str| match first.body.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "?".to_owned(),
    };
    let count = calls.len();
    let counted = |one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let names = || {
        calls
            .iter()
            .flat_map(|call| call.names())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let sentence = match first.operation.as_str() {
        "RegisterTaskDefinition" => format!(
            "registers task definition {} ({} CPU units, {} MB, image {})",
            text("/family").unwrap_or("of the probe"),
            number("/cpu"),
            number("/memory"),
            text("/containerDefinitions/0/image").unwrap_or("of the probe"),
        ),
        "RunTask" => run_task(calls),
        "DeregisterTaskDefinition" => format!(
            "deregisters {}",
            counted("task definition", "task definitions")
        ),
        "CreateRepository" => format!(
            "creates repository {} in Amazon ECR",
            text("/repositoryName").unwrap_or("of the image")
        ),
        "InitiateLayerUpload" => format!(
            "uploads {} of the image, {:.1} MB",
            counted("part", "parts"),
            calls
                .iter()
                .filter_map(|call| call.body["size"].as_f64())
                .sum::<f64>()
                / 1e6
        ),
        "PutImage" => format!(
            "writes {}{}",
            counted("manifest", "manifests"),
            calls
                .iter()
                .find_map(|call| call.body["imageTag"].as_str())
                .map(|tag| format!(", the last one with the tag {tag}"))
                .unwrap_or_default()
        ),
        "CreateRole" => format!(
            "creates role {}",
            text("/RoleName").unwrap_or("of the functions")
        ),
        "PutRolePolicy" => format!(
            "writes policy {} of role {}",
            text("/PolicyName").unwrap_or("of the functions"),
            text("/RoleName").unwrap_or("of the functions")
        ),
        "CreateLogGroup" => format!(
            "creates log group {}",
            text("/logGroupName").unwrap_or("of the reports")
        ),
        "PutRetentionPolicy" => format!(
            "keeps the reports in this log group for {} days",
            number("/retentionInDays")
        ),
        "DeleteLogGroup" => format!(
            "deletes log group {} with its reports",
            text("/logGroupName").unwrap_or("of the reports")
        ),
        "CreateScheduleGroup" => format!("creates schedule group {}", names()),
        "DeleteScheduleGroup" => format!("deletes schedule group {}", names()),
        "CreateSchedule" => format!("creates {}: {}", counted("schedule", "schedules"), names()),
        "UpdateSchedule" => format!("updates {}: {}", counted("schedule", "schedules"), names()),
        "DeleteSchedule" => format!("deletes {}: {}", counted("schedule", "schedules"), names()),
        "PutMetricAlarm" => format!("writes {}: {}", counted("alarm", "alarms"), names()),
        "DeleteAlarms" => format!("deletes alarms {}", names()),
        "PutDashboard" => format!("writes dashboard {}", names()),
        "DeleteDashboards" => format!("deletes dashboard {}", names()),
        "DescribeTasks" => "reads the state of these tasks until they have stopped".to_owned(),
        "GetLogEvents" => format!(
            "reads their reports from log group {}",
            text("/logGroupName").unwrap_or("of the task")
        ),
        "StopTask" => "stops a task that does not start in time".to_owned(),
        "CreateFunction" => format!("creates {} of AWS Lambda", counted("function", "functions")),
        "Invoke" => format!("invokes {}", counted("function", "functions")),
        "UploadLayerPart" | "CompleteLayerUpload" => return None,
        "DeleteFunction" => format!("deletes {}", counted("function", "functions")),
        _ if count > 1 => format!("calls {} ({count} times)", first.action),
        _ => format!("calls {}", first.action),
    };
    Some(sentence)
}

fn run_task(calls: &[&ShownCall]) -> String {
    let subnet = |call: &&ShownCall| {
        let subnets = "/networkConfiguration/awsvpcConfiguration/subnets/0";
        call.body
            .pointer(subnets)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let subnets: Vec<String> = calls.iter().filter_map(subnet).collect();
    let is_on_fargate = calls.iter().any(|call| {
        let body = call.body.to_string();
        body.contains("\"FARGATE")
    });
    let tasks = if calls.len() == 1 { "task" } else { "tasks" };
    let count = u32::try_from(calls.len()).unwrap_or(u32::MAX);
    let cost = if is_on_fargate {
        format!(
            ", about ${:.4} at the list price of US East (N. Virginia)",
            f64::from(count) * TASK_MINUTE
        )
    } else {
        ", on your own instances".to_owned()
    };
    let definition = calls
        .first()
        .and_then(|call| call.body.get("taskDefinition")?.as_str())
        .map(|definition| format!(" of {}", last_segment(definition)))
        .unwrap_or_default();
    let place = if subnets.is_empty() {
        String::new()
    } else {
        format!(" in {}", subnets.join(", "))
    };
    format!("runs {count} {tasks}{definition}{cost}{place}")
}
