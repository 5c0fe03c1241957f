//! The Amazon ECR API: `GetAuthorizationToken` only.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use serde_json::json;

use super::http::{self, HttpResponse};
use super::names::host_name;
use super::scenario::Operation;
use super::service_error::ServiceError;
use super::state::{CloudState, IncomingRequest};
use super::{image, signature};
use crate::observation::Dependency;

/// A token is valid for twelve hours (ECR API reference).
const TOKEN_LIFETIME: SignedDuration = SignedDuration::from_hours(12);

/// Returns the registry's Basic credential: base64 of `AWS:<password>`.
pub(super) fn token() -> String {
    STANDARD.encode(format!(
        "AWS:{}",
        STANDARD.encode(image::sha256_hex(b"the registry's password"))
    ))
}

pub(super) fn respond(state: &CloudState, request: &IncomingRequest) -> HttpResponse {
    get_authorization_token(state, request).unwrap_or_else(|error| http::json_error(&error))
}

fn get_authorization_token(
    state: &CloudState,
    request: &IncomingRequest,
) -> Result<HttpResponse, ServiceError> {
    signature::check(&request.headers, "ecr", state.now())?;
    let (target, _) = request.operation()?;
    if target != "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken" {
        return Err(ServiceError::json("UnknownOperationException", ""));
    }
    state.authorize(Operation::GetAuthorizationToken)?;
    Ok(http::json(&json!({ "authorizationData": [{
        "authorizationToken": token(),
        "expiresAt": (state.now() + TOKEN_LIFETIME).as_second(),
        "proxyEndpoint": format!("https://{}", host_name(Dependency::EcrDkr)),
    }] })))
}
