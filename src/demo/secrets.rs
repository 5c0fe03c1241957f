//! Secrets Manager and Parameter Store, with one secret and one parameter.

use serde_json::{Value, json};

use super::cloud::{Asked, Cloud};
use super::http::{self, Answer};
use super::refusal::Refusal;
use super::scenario::{Operation, PARAMETER, SECRET};
use super::signature;

pub(super) fn answer_secret(cloud: &Cloud, asked: &Asked) -> Answer {
    get_secret_value(cloud, asked).map_or_else(
        |refusal| http::json_error(&refusal),
        |body| http::json(&body),
    )
}

fn get_secret_value(cloud: &Cloud, asked: &Asked) -> Result<Value, Refusal> {
    signature::check(&asked.headers, "secretsmanager", cloud.now())?;
    let (target, body) = asked.operation()?;
    if target != "secretsmanager.GetSecretValue" {
        return Err(Refusal::json("UnknownOperationException", ""));
    }
    if let Some(refusal) = cloud.refusal(Operation::GetSecretValue) {
        return Err(refusal.clone());
    }
    let missing = |what: &str| Refusal::json("ResourceNotFoundException", what);
    let secret = cloud
        .setting
        .contents
        .secret
        .filter(|_| body["SecretId"] == SECRET);
    let secret =
        secret.ok_or_else(|| missing("Secrets Manager can't find the specified secret."))?;
    let stage = body["VersionStage"].as_str().unwrap_or("AWSCURRENT");
    if stage != "AWSCURRENT" {
        let message = format!(
            "Secrets Manager can't find the specified secret value for staging label: {stage}"
        );
        return Err(missing(&message));
    }
    Ok(
        json!({ "ARN": SECRET, "Name": "app/db", "SecretString": secret, "VersionStages": [stage],
        "VersionId": "11111111-2222-3333-4444-555555555555" }),
    )
}

pub(super) fn answer_parameters(cloud: &Cloud, asked: &Asked) -> Answer {
    get_parameters(cloud, asked).map_or_else(
        |refusal| http::json_error(&refusal),
        |body| http::json(&body),
    )
}

/// A missing parameter is no error of the call (facts: denials, section 2).
fn get_parameters(cloud: &Cloud, asked: &Asked) -> Result<Value, Refusal> {
    signature::check(&asked.headers, "ssm", cloud.now())?;
    let (target, body) = asked.operation()?;
    if target != "AmazonSSM.GetParameters" {
        return Err(Refusal::json("UnknownOperationException", ""));
    }
    if let Some(refusal) = cloud.refusal(Operation::GetParameters) {
        return Err(refusal.clone());
    }
    let (mut found, mut invalid) = (Vec::new(), Vec::new());
    for name in body["Names"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
    {
        match cloud
            .setting
            .contents
            .parameter
            .filter(|_| name == PARAMETER)
        {
            Some(value) => {
                found.push(json!({ "Name": name, "Type": "String", "Value": value, "Version": 1 }))
            }
            None => invalid.push(name),
        }
    }
    Ok(json!({ "Parameters": found, "InvalidParameters": invalid }))
}
