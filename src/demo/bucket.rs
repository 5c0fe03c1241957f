//! The layer bucket: pre-signed GETs of objects, whole or by range.

use hyper::{Method, StatusCode};

use super::http::{self, HttpResponse, with_header};
use super::image;
use super::names::{ACCOUNT, REGION, host_name};
use super::scenario::Operation;
use super::service_error::ServiceError;
use super::state::{CloudState, IncomingRequest};
use crate::observation::Dependency;

/// Returns the URL that ECR signs for a blob, with its own credentials (docs/facts/denials.md#4).
pub(super) fn presigned(state: &CloudState, digest: &str) -> String {
    let now = state.now();
    let (stamp, day) = (now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d"));
    let path = object_path(digest);
    let signature = signature(&path);
    let token = image::sha256_hex(b"the session token of ECR's own role");
    format!(
        "https://{}:{}{path}?X-Amz-Security-Token={token}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={stamp}\
         &X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Credential=ASIADEMOAAAAAAAAAECR%2F{day}%2F{REGION}%2Fs3\
         %2Faws4_request&X-Amz-Signature={signature}",
        host_name(Dependency::S3),
        state.port,
    )
}

/// Returns the path of a blob, which does not contain its digest.
fn object_path(digest: &str) -> String {
    let hex = image::sha256_hex(digest.as_bytes());
    format!("/9c8e-{}/{}-{}", ACCOUNT, &hex[..8], &hex[8..40])
}

fn signature(path: &str) -> String {
    image::sha256_hex(format!("signed {path}").as_bytes())
}

pub(super) fn respond(state: &CloudState, request: &IncomingRequest) -> HttpResponse {
    get_object(state, request).unwrap_or_else(|error| xml_error(&error))
}

fn get_object(state: &CloudState, request: &IncomingRequest) -> Result<HttpResponse, ServiceError> {
    // A request without a query is not pre-signed.
    let (path, query) = (request.uri.path(), request.uri.query().unwrap_or_default());
    let claimed = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("X-Amz-Signature="));
    if claimed.is_some() && request.headers.contains_key("authorization") {
        return Err(ServiceError::new(
            StatusCode::BAD_REQUEST,
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string \
             parameter or the Authorization header should be specified",
        ));
    }
    state.authorize(Operation::GetObject)?;
    match claimed {
        None => {
            return Err(ServiceError::new(
                StatusCode::FORBIDDEN,
                "AccessDenied",
                "Access Denied",
            ));
        }
        Some(claimed) if claimed != signature(path) => {
            let message = "The request signature we calculated does not match the signature you provided. Check your \
                           key and signing method.";
            return Err(ServiceError::new(
                StatusCode::FORBIDDEN,
                "SignatureDoesNotMatch",
                message,
            ));
        }
        Some(_) => {}
    }
    let blob = state
        .image
        .blobs
        .iter()
        .find(|(digest, _)| object_path(digest) == path)
        .map(|(_, bytes)| bytes);
    let Some(blob) = blob.filter(|_| state.scenario.resources.layers) else {
        return Err(ServiceError::new(
            StatusCode::NOT_FOUND,
            "NoSuchKey",
            "The specified key does not exist.",
        ));
    };
    if ![Method::GET, Method::HEAD].contains(&request.method) {
        let message = "The specified method is not allowed against this resource.";
        return Err(ServiceError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            message,
        ));
    }
    let response = match request
        .header("range")
        .map(|range| byte_range(range, blob.len()))
    {
        None | Some(ByteRange::Invalid) => {
            http::response(StatusCode::OK, "application/octet-stream", blob.clone())
        }
        Some(ByteRange::Satisfiable(first, end)) => {
            let part = http::response(
                StatusCode::PARTIAL_CONTENT,
                "application/octet-stream",
                blob.slice(first..end),
            );
            with_header(
                part,
                "content-range",
                &format!("bytes {first}-{}/{}", end - 1, blob.len()),
            )
        }
        Some(ByteRange::Unsatisfiable) => {
            let message = "The requested range is not satisfiable";
            return Err(ServiceError::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "InvalidRange",
                message,
            ));
        }
    };
    Ok(with_header(response, "accept-ranges", "bytes"))
}

/// What a `Range` header selects.
enum ByteRange {
    /// The first byte, and the one after the last.
    Satisfiable(usize, usize),
    Unsatisfiable,
    /// The server ignores it (RFC 9110 section 14.2).
    Invalid,
}

/// Reads `bytes=a-b` or `bytes=a-` for an object of `length` bytes.
fn byte_range(range: &str, length: usize) -> ByteRange {
    let parts = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'));
    let Some((Ok(first), last)) = parts.map(|(first, last)| (first.parse::<usize>(), last)) else {
        return ByteRange::Invalid;
    };
    let end = match last.parse::<usize>() {
        Ok(last) => last.saturating_add(1).min(length),
        Err(_) if last.is_empty() => length,
        Err(_) => return ByteRange::Invalid,
    };
    if first < end {
        ByteRange::Satisfiable(first, end)
    } else {
        ByteRange::Unsatisfiable
    }
}

fn xml_error(error: &ServiceError) -> HttpResponse {
    let id = &image::sha256_hex(error.message.as_bytes())[..16].to_uppercase();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>\
         <RequestId>{id}</RequestId><HostId>pomMsqh5demo</HostId></Error>",
        error.code,
        error.message.replace('&', "&amp;").replace('<', "&lt;"),
    );
    with_header(
        http::response(error.status, "application/xml", body),
        "x-amz-request-id",
        id,
    )
}
