//! The state machine: a distributed map over the targets, then the comparison.

use serde_json::{Value, json};

use super::spec::FleetTemplate;
use crate::operator::fleet::event::THROTTLED;
use crate::render::tree::Tree;

/// Maximum time of a worker, in seconds, and the margin in which Lambda ends it (Lambda quotas).
pub const WORKER_SECONDS: u32 = 900;
const STATE_SECONDS: u32 = WORKER_SECONDS + 30;

/// Returns the definition in the Amazon States Language.
///
/// What fails with a target is its result: the worker stores it, and where the worker does not
/// return, the state `Record` does. Only throttling is retried, because a launch that failed would
/// fail again.
pub fn definition(template: &FleetTemplate) -> Tree {
    let invoke = "arn:{{Partition}}:states:::lambda:invoke";
    let probe = json!({
        "Type": "Task",
        "Resource": invoke,
        "Parameters": { "FunctionName": "{{Worker}}", "Payload.$": "$" },
        "OutputPath": "$.Payload",
        "TimeoutSeconds": STATE_SECONDS,
        "Retry": [retry()],
        "Catch": [{ "ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Record" }],
        "End": true,
    });
    let record = json!({
        "Type": "Task",
        "Resource": invoke,
        "Parameters": {
            "FunctionName": "{{Worker}}",
            "Payload": {
                "fleet": "no-result",
                "run.$": "$.run",
                "date.$": "$.date",
                "target.$": "$.target",
                "error.$": "$.error",
            },
        },
        "OutputPath": "$.Payload",
        "TimeoutSeconds": STATE_SECONDS,
        "Retry": [retry()],
        "End": true,
    });
    let reduce = json!({
        "Type": "Task",
        "Resource": invoke,
        "Parameters": {
            "FunctionName": "{{Reducer}}",
            "Payload": {
                "fleet": "reduce",
                "run.$": "$$.Execution.Name",
                "date.$": "$$.Execution.StartTime",
                "targets.$": "$.targets",
            },
        },
        "OutputPath": "$.Payload",
        "TimeoutSeconds": STATE_SECONDS,
        "Retry": [retry()],
        "End": true,
    });
    let map = json!({
        "Type": "Map",
        "Label": "Targets",
        "ItemReader": {
            "Resource": "arn:{{Partition}}:states:::s3:getObject",
            "ReaderConfig": { "InputType": "JSONL" },
            "Parameters": { "Bucket": "{{Bucket}}", "Key.$": "$.targets" },
        },
        "ItemSelector": {
            "fleet": "probe",
            "run.$": "$$.Execution.Name",
            "date.$": "$$.Execution.StartTime",
            "target.$": "$$.Map.Item.Value",
        },
        "ItemProcessor": {
            "ProcessorConfig": { "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" },
            "StartAt": "Probe",
            "States": { "Probe": probe, "Record": record },
        },
        "MaxConcurrency": template.max_concurrency,
        "ToleratedFailurePercentage": template.tolerated_failures,
        "ResultWriter": {
            "Resource": "arn:{{Partition}}:states:::s3:putObject",
            "Parameters": { "Bucket": "{{Bucket}}", "Prefix": "map-runs" },
        },
        "ResultPath": "$.map",
        "Next": "Reduce",
    });
    Tree::from(&json!({
        "Comment": "Written by pullprobe fleet print: probes each target of a list, then compares all reports",
        "StartAt": "ProbeTargets",
        "States": { "ProbeTargets": map, "Reduce": reduce },
    }))
}

/// Retries what was throttled, with full jitter so that the workers do not return together.
fn retry() -> Value {
    json!({
        "ErrorEquals": [THROTTLED, "Lambda.TooManyRequestsException"],
        "IntervalSeconds": 5,
        "MaxAttempts": 5,
        "BackoffRate": 2,
        "MaxDelaySeconds": 120,
        "JitterStrategy": "FULL",
    })
}
