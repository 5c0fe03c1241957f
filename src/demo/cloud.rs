//! Dispatches each request to its service.

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Request, StatusCode};

use super::http::{self, HttpResponse};
use super::state::{CloudState, IncomingRequest};
use super::{bucket, ecr, image, logs, registry, secrets};
use crate::observation::Dependency;

/// Bytes of the largest request of any operation: `PutLogEvents` takes 1 MiB of events, whose JSON
/// may be twice as long.
const MAX_REQUEST: usize = 4 * 1024 * 1024;

/// Reads `request` and returns the response of `service`.
pub(super) async fn respond(
    state: &CloudState,
    service: Dependency,
    request: Request<Incoming>,
) -> HttpResponse {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MAX_REQUEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return http::response(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", ""),
    };
    let request = IncomingRequest {
        method: head.method,
        uri: head.uri,
        headers: head.headers,
        body,
    };
    let response = match service {
        Dependency::EcrApi => ecr::respond(state, &request),
        Dependency::EcrDkr => registry::respond(state, &request),
        Dependency::S3 => bucket::respond(state, &request),
        Dependency::Logs => logs::respond(state, &request),
        Dependency::SecretsManager => secrets::respond_secrets_manager(state, &request),
        Dependency::Ssm => secrets::respond_parameter_store(state, &request),
        _ => http::response(StatusCode::NOT_FOUND, "text/plain", ""),
    };
    http::with_date(with_request_id(response, service, &request), state.now())
}

/// Adds a request ID, derived from the request so that runs are reproducible: S3's headers, or
/// those of the other services.
fn with_request_id(
    response: HttpResponse,
    service: Dependency,
    request: &IncomingRequest,
) -> HttpResponse {
    let IncomingRequest {
        method, uri, body, ..
    } = request;
    let hex = image::sha256_hex(format!("{method} {uri} {body:?}").as_bytes());
    let id = format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..32]
    );
    if service != Dependency::S3 {
        return http::with_header(response, "x-amzn-requestid", &id);
    }
    let short = hex[..16].to_uppercase();
    let response = http::with_header(response, "x-amz-request-id", &short);
    http::with_header(response, "x-amz-id-2", &hex)
}
