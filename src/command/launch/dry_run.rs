//! What a dry run of `launch` would do, in one sentence for each action.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::Value;

use crate::operator::dry_run::PlannedCall;
use crate::operator::last_segment;
use crate::operator::price::TASK_MINUTE;

/// Requests that were sent or that would follow.
#[derive(Debug, Clone, Default)]
pub struct DryRun(Rc<RefCell<Vec<ShownCall>>>);

/// A request of a dry run.
#[derive(Debug, Clone)]
struct ShownCall {
    action: String,
    operation: String,
    sent: bool,
    body: Value,
}

impl DryRun {
    /// Remembers a request.
    pub fn add(&self, call: &PlannedCall<'_>) {
        self.0.borrow_mut().push(ShownCall {
            action: format!("{}:{}", call.service, call.operation),
            operation: call.operation.to_owned(),
            sent: call.sent,
            body: call.body.clone(),
        });
    }

    /// Returns what would happen, one sentence for each kind of request, then what was read.
    pub fn sentences(&self) -> Vec<String> {
        let calls = self.0.borrow();
        let mut kinds: Vec<(&str, Vec<&ShownCall>)> = Vec::new();
        for call in calls.iter().filter(|call| !call.sent) {
            match kinds.iter_mut().find(|(known, _)| *known == call.operation) {
                Some((_, same)) => same.push(call),
                None => kinds.push((&call.operation, vec![call])),
            }
        }
        let mut sentences: Vec<String> = kinds.iter().map(|(_, calls)| sentence(calls)).collect();
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

fn sentence(calls: &[&ShownCall]) -> String {
    let Some(first) = calls.first() else {
        return String::new();
    };
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
    match first.operation.as_str() {
        "RegisterTaskDefinition" => format!(
            "registers task definition {} ({} CPU units, {} MB, image {})",
            text("/family").unwrap_or("of the probe"),
            number("/cpu"),
            number("/memory"),
            text("/containerDefinitions/0/image").unwrap_or("of the probe"),
        ),
        "RunTask" => run_task(calls),
        "DescribeTasks" => "reads the state of these tasks until they have stopped".to_owned(),
        "GetLogEvents" => format!(
            "reads their reports from log group {}",
            text("/logGroupName").unwrap_or("of the task")
        ),
        "StopTask" => "stops a task that does not start in time".to_owned(),
        "CreateFunction" => format!("creates {} of AWS Lambda", counted("function", "functions")),
        "Invoke" => format!("invokes {}", counted("function", "functions")),
        "DeleteFunction" => format!("deletes {}", counted("function", "functions")),
        _ if count > 1 => format!("calls {} ({count} times)", first.action),
        _ => format!("calls {}", first.action),
    }
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
