//! CloudWatch Logs: `CreateLogStream` and `PutLogEvents`, with the limits of the real one.

use serde_json::{Value, json};

use super::cloud::{Asked, Cloud};
use super::http::{self, Answer};
use super::refusal::Refusal;
use super::scenario::Operation;
use super::signature;

/// UTF-8 bytes of a batch, with 26 for each event (API reference, `PutLogEvents`).
const LARGEST_BATCH: usize = 1_048_576;
/// UTF-8 bytes of an event. AWS raised its own limit in 2025; an older one is the safer neighbour.
const LARGEST_EVENT: usize = 262_144;
/// Bytes that AWS adds for each event.
const EVENT_OVERHEAD: usize = 26;

pub(super) fn answer(cloud: &Cloud, asked: &Asked) -> Answer {
    serve(cloud, asked).unwrap_or_else(|refusal| http::json_error(&refusal))
}

fn serve(cloud: &Cloud, asked: &Asked) -> Result<Answer, Refusal> {
    signature::check(&asked.headers, "logs", cloud.now())?;
    let (target, body) = asked.operation()?;
    let operation = match target {
        "Logs_20140328.CreateLogStream" => Operation::CreateLogStream,
        "Logs_20140328.PutLogEvents" => Operation::PutLogEvents,
        _ => return Err(Refusal::json("UnknownOperationException", "")),
    };
    if let Some(refusal) = cloud.refusal(operation) {
        return Err(refusal.clone());
    }
    let text = |name: &str| {
        let missing = || {
            Refusal::json(
                "InvalidParameterException",
                format!("{name} must not be null"),
            )
        };
        body[name].as_str().map(str::to_owned).ok_or_else(missing)
    };
    let key = (text("logGroupName")?, text("logStreamName")?);
    if !cloud.setting.contents.log_groups.contains(key.0.as_str()) {
        return Err(not_found("The specified log group does not exist."));
    }
    let mut streams = cloud.streams();
    if operation == Operation::CreateLogStream {
        if streams.contains_key(&key) {
            let message = "The specified log stream already exists";
            return Err(Refusal::json("ResourceAlreadyExistsException", message));
        }
        streams.insert(key, Vec::new());
        return Ok(http::json(&json!({})));
    }
    let stream = streams
        .get_mut(&key)
        .ok_or_else(|| not_found("The specified log stream does not exist."))?;
    stream.extend(events(&body["logEvents"])?);
    Ok(http::json(
        &json!({ "nextSequenceToken": "49590302640852100000000000000000000000000000000000000000" }),
    ))
}

fn events(events: &Value) -> Result<Vec<String>, Refusal> {
    let invalid = |message: String| Refusal::json("InvalidParameterException", message);
    let mut batch = 0;
    let mut messages = Vec::new();
    for event in events.as_array().map(Vec::as_slice).unwrap_or_default() {
        let (Some(message), true) = (event["message"].as_str(), event["timestamp"].is_i64()) else {
            return Err(invalid(
                "1 validation error detected: an event needs a message and a timestamp".into(),
            ));
        };
        let size = message.len() + EVENT_OVERHEAD;
        if size > LARGEST_EVENT {
            return Err(invalid(format!(
                "Log event too large: {size} bytes exceeds limit of {LARGEST_EVENT}"
            )));
        }
        batch += size;
        messages.push(message.to_owned());
    }
    if batch > LARGEST_BATCH {
        return Err(invalid(format!(
            "Upload too large: {batch} bytes exceeds limit of {LARGEST_BATCH}"
        )));
    }
    if messages.is_empty() {
        return Err(invalid(
            "1 validation error detected: Value at 'logEvents' failed to satisfy constraint".into(),
        ));
    }
    Ok(messages)
}

fn not_found(message: &str) -> Refusal {
    Refusal::json("ResourceNotFoundException", message)
}
