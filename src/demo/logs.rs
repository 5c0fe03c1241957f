//! CloudWatch Logs: `CreateLogStream` and `PutLogEvents`, with the limits of the real service.

use serde_json::{Value, json};

use super::http::{self, HttpResponse};
use super::scenario::Operation;
use super::service_error::ServiceError;
use super::signature;
use super::state::{CloudState, IncomingRequest};

/// Maximum size of a batch: its UTF-8 bytes, plus 26 for each event (API reference,
/// `PutLogEvents`).
const MAX_BATCH: usize = 1_048_576;
/// Maximum size of an event in UTF-8 bytes. AWS raised its limit in 2025; the older limit makes the
/// stricter test.
const MAX_EVENT: usize = 262_144;
/// Bytes that AWS adds to the size of each event.
const EVENT_OVERHEAD: usize = 26;

pub(super) fn respond(state: &CloudState, request: &IncomingRequest) -> HttpResponse {
    serve(state, request).unwrap_or_else(|error| http::json_error(&error))
}

fn serve(state: &CloudState, request: &IncomingRequest) -> Result<HttpResponse, ServiceError> {
    signature::check(&request.headers, "logs", state.now())?;
    let (target, body) = request.operation()?;
    let operation = match target {
        "Logs_20140328.CreateLogStream" => Operation::CreateLogStream,
        "Logs_20140328.PutLogEvents" => Operation::PutLogEvents,
        _ => return Err(ServiceError::json("UnknownOperationException", "")),
    };
    state.authorize(operation)?;
    let text = |name: &str| {
        let missing = || {
            ServiceError::json(
                "InvalidParameterException",
                format!("{name} must not be null"),
            )
        };
        body[name].as_str().map(str::to_owned).ok_or_else(missing)
    };
    let key = (text("logGroupName")?, text("logStreamName")?);
    if !state.scenario.resources.log_groups.contains(key.0.as_str()) {
        return Err(not_found("The specified log group does not exist."));
    }
    let mut streams = state.log_streams();
    if operation == Operation::CreateLogStream {
        if streams.contains_key(&key) {
            let message = "The specified log stream already exists";
            return Err(ServiceError::json(
                "ResourceAlreadyExistsException",
                message,
            ));
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

fn events(events: &Value) -> Result<Vec<String>, ServiceError> {
    let invalid = |message: String| ServiceError::json("InvalidParameterException", message);
    let mut batch = 0;
    let mut messages = Vec::new();
    for event in events.as_array().map(Vec::as_slice).unwrap_or_default() {
        let (Some(message), true) = (event["message"].as_str(), event["timestamp"].is_i64()) else {
            return Err(invalid(
                "1 validation error detected: an event needs a message and a timestamp".into(),
            ));
        };
        let size = message.len() + EVENT_OVERHEAD;
        if size > MAX_EVENT {
            return Err(invalid(format!(
                "Log event too large: {size} bytes exceeds limit of {MAX_EVENT}"
            )));
        }
        batch += size;
        messages.push(message.to_owned());
    }
    if batch > MAX_BATCH {
        return Err(invalid(format!(
            "Upload too large: {batch} bytes exceeds limit of {MAX_BATCH}"
        )));
    }
    if messages.is_empty() {
        return Err(invalid(
            "1 validation error detected: Value at 'logEvents' failed to satisfy constraint".into(),
        ));
    }
    Ok(messages)
}

fn not_found(message: &str) -> ServiceError {
    ServiceError::json("ResourceNotFoundException", message)
}
