//! The Amazon ECR API: `GetAuthorizationToken` and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use serde_json::json;

use super::cloud::{Asked, Cloud};
use super::http::{self, Answer};
use super::refusal::Refusal;
use super::scenario::{Operation, host};
use super::signature;
use crate::observation::Dependency;

/// A token lives twelve hours (ECR API reference).
const LIFETIME: SignedDuration = SignedDuration::from_hours(12);

/// The registry's Basic credential: base64 of `AWS:<password>`.
pub(super) fn token() -> String {
    STANDARD.encode(format!(
        "AWS:{}",
        STANDARD.encode(super::image::hex(b"the registry's password"))
    ))
}

pub(super) fn answer(cloud: &Cloud, asked: &Asked) -> Answer {
    match get_authorization_token(cloud, asked) {
        Ok(answer) => answer,
        Err(refusal) => http::json_error(&refusal),
    }
}

fn get_authorization_token(cloud: &Cloud, asked: &Asked) -> Result<Answer, Refusal> {
    signature::check(&asked.headers, "ecr", cloud.now())?;
    let (target, _) = asked.operation()?;
    if target != "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken" {
        return Err(Refusal::json("UnknownOperationException", ""));
    }
    if let Some(refusal) = cloud.refusal(Operation::GetAuthorizationToken) {
        return Err(refusal.clone());
    }
    Ok(http::json(&json!({ "authorizationData": [{
        "authorizationToken": token(),
        "expiresAt": (cloud.now() + LIFETIME).as_second(),
        "proxyEndpoint": format!("https://{}", host(Dependency::EcrDkr)),
    }] })))
}
