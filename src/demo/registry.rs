//! The registry: manifests, and redirects to the layer bucket. Its responses are taken from
//! docs/facts/denials.md#3.

use hyper::{Method, StatusCode};
use serde_json::json;

use super::http::{self, HttpResponse, with_header};
use super::names::{ACCOUNT, host_name};
use super::scenario::Operation;
use super::service_error::ServiceError;
use super::state::{CloudState, IncomingRequest};
use super::{bucket, ecr};
use crate::observation::Dependency;

pub(super) fn respond(state: &CloudState, request: &IncomingRequest) -> HttpResponse {
    let response = if login_accepted(state, request) {
        serve(state, request).unwrap_or_else(|error| json_error(&error))
    } else {
        let challenge = format!(
            "Basic realm=\"https://{}/\",service=\"ecr.amazonaws.com\"",
            host_name(Dependency::EcrDkr)
        );
        let unauthorized = http::response(
            StatusCode::UNAUTHORIZED,
            "text/plain; charset=utf-8",
            "Not Authorized\n",
        );
        with_header(unauthorized, "www-authenticate", &challenge)
    };
    with_header(response, "docker-distribution-api-version", "registry/2.0")
}

fn login_accepted(state: &CloudState, request: &IncomingRequest) -> bool {
    let token = request
        .header("authorization")
        .and_then(|value| value.strip_prefix("Basic "));
    state.scenario.resources.token_accepted && token == Some(ecr::token().as_str())
}

fn serve(state: &CloudState, request: &IncomingRequest) -> Result<HttpResponse, ServiceError> {
    if ![Method::GET, Method::HEAD].contains(&request.method) {
        return Err(ServiceError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "UNSUPPORTED",
            "The operation is unsupported.",
        ));
    }
    let path = request.uri.path();
    if path == "/v2/" {
        return Ok(http::response(
            StatusCode::OK,
            "text/plain; charset=utf-8",
            "",
        ));
    }
    let (repository, object) = path
        .strip_prefix("/v2/")
        .and_then(split_path)
        .ok_or_else(|| {
            ServiceError::new(
                StatusCode::NOT_FOUND,
                "NAME_INVALID",
                "Invalid repository name",
            )
        })?;
    let operation = match object {
        Object::Manifest(_) => Operation::BatchGetImage,
        Object::Blob(_) => Operation::GetDownloadUrlForLayer,
    };
    state.authorize(operation)?;
    if state.scenario.resources.repository != Some(repository) {
        let message = format!(
            "The repository with name '{repository}' does not exist in the registry with id '{ACCOUNT}'"
        );
        return Err(ServiceError::new(
            StatusCode::NOT_FOUND,
            "NAME_UNKNOWN",
            message,
        ));
    }
    match object {
        Object::Manifest(reference) => manifest(state, reference),
        Object::Blob(digest) => redirect_to_blob(state, digest),
    }
}

/// What a path of the registry refers to.
enum Object<'a> {
    /// A manifest, by tag or digest.
    Manifest(&'a str),
    /// A blob, by digest.
    Blob(&'a str),
}

/// Splits `team/app/manifests/1.4` into the repository and the object.
fn split_path(path: &str) -> Option<(&str, Object<'_>)> {
    if let Some((repository, reference)) = path.rsplit_once("/manifests/") {
        return Some((repository, Object::Manifest(reference)));
    }
    let (repository, digest) = path.rsplit_once("/blobs/")?;
    Some((repository, Object::Blob(digest)))
}

fn manifest(state: &CloudState, reference: &str) -> Result<HttpResponse, ServiceError> {
    let digest = if reference == state.scenario.resources.tag {
        state.image.index.as_str()
    } else {
        reference
    };
    let Some(manifest) = state.image.manifests.get(digest) else {
        return Err(ServiceError::new(
            StatusCode::NOT_FOUND,
            "MANIFEST_UNKNOWN",
            "Requested image not found",
        ));
    };
    let response = http::response(StatusCode::OK, manifest.media_type, manifest.bytes.clone());
    Ok(with_header(response, "docker-content-digest", digest))
}

fn redirect_to_blob(state: &CloudState, digest: &str) -> Result<HttpResponse, ServiceError> {
    if !state.image.blobs.contains_key(digest) {
        let message = "One or more of the layers does not exist in the registry";
        return Err(ServiceError::new(
            StatusCode::NOT_FOUND,
            "BLOB_UNKNOWN",
            message,
        ));
    }
    let response = http::response(
        StatusCode::TEMPORARY_REDIRECT,
        "text/plain; charset=utf-8",
        "",
    );
    Ok(with_header(
        response,
        "location",
        &bucket::presigned(state, digest),
    ))
}

fn json_error(error: &ServiceError) -> HttpResponse {
    let body = json!({ "errors": [{ "code": error.code, "message": error.message }] });
    http::response(
        error.status,
        "application/json; charset=utf-8",
        body.to_string(),
    )
}
