//! AWS Secrets Manager and Parameter Store, with one secret and one parameter.

use serde_json::{Value, json};

use super::http::{self, HttpResponse};
use super::names::{PARAMETER, SECRET};
use super::scenario::Operation;
use super::service_error::ServiceError;
use super::signature;
use super::state::{CloudState, IncomingRequest};

pub(super) fn respond_secrets_manager(
    state: &CloudState,
    request: &IncomingRequest,
) -> HttpResponse {
    get_secret_value(state, request)
        .map_or_else(|error| http::json_error(&error), |body| http::json(&body))
}

fn get_secret_value(state: &CloudState, request: &IncomingRequest) -> Result<Value, ServiceError> {
    signature::check(&request.headers, "secretsmanager", state.now())?;
    let (target, body) = request.operation()?;
    if target != "secretsmanager.GetSecretValue" {
        return Err(ServiceError::json("UnknownOperationException", ""));
    }
    state.authorize(Operation::GetSecretValue)?;
    let secret = state
        .scenario
        .resources
        .secret
        .filter(|_| body["SecretId"] == SECRET);
    let secret =
        secret.ok_or_else(|| not_found("Secrets Manager can't find the specified secret."))?;
    let label = body["VersionStage"].as_str().unwrap_or("AWSCURRENT");
    if label != "AWSCURRENT" {
        let message = format!(
            "Secrets Manager can't find the specified secret value for staging label: {label}"
        );
        return Err(not_found(&message));
    }
    Ok(
        json!({ "ARN": SECRET, "Name": "app/db", "SecretString": secret, "VersionStages": [label],
        "VersionId": "11111111-2222-3333-4444-555555555555" }),
    )
}

fn not_found(message: &str) -> ServiceError {
    ServiceError::json("ResourceNotFoundException", message)
}

pub(super) fn respond_parameter_store(
    state: &CloudState,
    request: &IncomingRequest,
) -> HttpResponse {
    get_parameters(state, request)
        .map_or_else(|error| http::json_error(&error), |body| http::json(&body))
}

/// A missing parameter does not fail the call (docs/facts/denials.md#2).
fn get_parameters(state: &CloudState, request: &IncomingRequest) -> Result<Value, ServiceError> {
    signature::check(&request.headers, "ssm", state.now())?;
    let (target, body) = request.operation()?;
    if target != "AmazonSSM.GetParameters" {
        return Err(ServiceError::json("UnknownOperationException", ""));
    }
    state.authorize(Operation::GetParameters)?;
    let (mut found, mut invalid) = (Vec::new(), Vec::new());
    for name in body["Names"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
    {
        match state
            .scenario
            .resources
            .parameter
            .filter(|_| name == PARAMETER)
        {
            Some(value) => {
                found.push(json!({ "Name": name, "Type": "String", "Value": value, "Version": 1 }));
            }
            None => invalid.push(name),
        }
    }
    Ok(json!({ "Parameters": found, "InvalidParameters": invalid }))
}
