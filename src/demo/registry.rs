//! The registry: manifests, and redirects to where the layers are. Answers as in facts: denials,
//! section 3.

use hyper::{Method, StatusCode};
use serde_json::json;

use super::cloud::{Asked, Cloud};
use super::http::{self, Answer, with_header};
use super::refusal::Refusal;
use super::scenario::{ACCOUNT, Operation, host};
use super::{bucket, ecr};
use crate::observation::Dependency;

pub(super) fn answer(cloud: &Cloud, asked: &Asked) -> Answer {
    let answer = if login_accepted(cloud, asked) {
        serve(cloud, asked).unwrap_or_else(|refusal| error(&refusal))
    } else {
        let challenge = format!(
            "Basic realm=\"https://{}/\",service=\"ecr.amazonaws.com\"",
            host(Dependency::EcrDkr)
        );
        let refusal = http::answer(
            StatusCode::UNAUTHORIZED,
            "text/plain; charset=utf-8",
            "Not Authorized\n",
        );
        with_header(refusal, "www-authenticate", &challenge)
    };
    with_header(answer, "docker-distribution-api-version", "registry/2.0")
}

fn login_accepted(cloud: &Cloud, asked: &Asked) -> bool {
    let token = asked
        .header("authorization")
        .and_then(|value| value.strip_prefix("Basic "));
    cloud.setting.contents.token_accepted && token == Some(ecr::token().as_str())
}

fn serve(cloud: &Cloud, asked: &Asked) -> Result<Answer, Refusal> {
    if ![Method::GET, Method::HEAD].contains(&asked.method) {
        return Err(Refusal::registry(
            StatusCode::METHOD_NOT_ALLOWED,
            "UNSUPPORTED",
            "The operation is unsupported.",
        ));
    }
    let path = asked.uri.path();
    if path == "/v2/" {
        return Ok(http::answer(
            StatusCode::OK,
            "text/plain; charset=utf-8",
            "",
        ));
    }
    let unknown = || {
        Refusal::registry(
            StatusCode::NOT_FOUND,
            "NAME_INVALID",
            "Invalid repository name",
        )
    };
    let (repository, rest) = path
        .strip_prefix("/v2/")
        .and_then(split)
        .ok_or_else(unknown)?;
    let (kind, reference) = rest;
    let operation = if kind == "manifests" {
        Operation::BatchGetImage
    } else {
        Operation::GetDownloadUrlForLayer
    };
    if let Some(refusal) = cloud.refusal(operation) {
        return Err(refusal.clone());
    }
    if cloud.setting.contents.repository != Some(repository) {
        let message = format!(
            "The repository with name '{repository}' does not exist in the registry with id '{ACCOUNT}'"
        );
        return Err(Refusal::registry(
            StatusCode::NOT_FOUND,
            "NAME_UNKNOWN",
            message,
        ));
    }
    if kind == "manifests" {
        manifest(cloud, reference)
    } else {
        blob(cloud, reference)
    }
}

/// `team/app/manifests/1.4` as repository, kind and reference.
fn split(path: &str) -> Option<(&str, (&str, &str))> {
    ["manifests", "blobs"].into_iter().find_map(|kind| {
        let (repository, reference) = path.rsplit_once(&format!("/{kind}/"))?;
        Some((repository, (kind, reference)))
    })
}

fn manifest(cloud: &Cloud, reference: &str) -> Result<Answer, Refusal> {
    let digest = if reference == cloud.setting.contents.tag {
        cloud.image.index.as_str()
    } else {
        reference
    };
    let Some(manifest) = cloud.image.manifests.get(digest) else {
        return Err(Refusal::registry(
            StatusCode::NOT_FOUND,
            "MANIFEST_UNKNOWN",
            "Requested image not found",
        ));
    };
    let answer = http::answer(StatusCode::OK, manifest.media_type, manifest.bytes.clone());
    Ok(with_header(answer, "docker-content-digest", digest))
}

fn blob(cloud: &Cloud, digest: &str) -> Result<Answer, Refusal> {
    if !cloud.image.blobs.contains_key(digest) {
        let message = "One or more of the layers does not exist in the registry";
        return Err(Refusal::registry(
            StatusCode::NOT_FOUND,
            "BLOB_UNKNOWN",
            message,
        ));
    }
    let answer = http::answer(
        StatusCode::TEMPORARY_REDIRECT,
        "text/plain; charset=utf-8",
        "",
    );
    Ok(with_header(
        answer,
        "location",
        &bucket::presigned(cloud, digest),
    ))
}

fn error(refusal: &Refusal) -> Answer {
    let body = json!({ "errors": [{ "code": refusal.code, "message": refusal.message }] });
    http::answer(
        refusal.status,
        "application/json; charset=utf-8",
        body.to_string(),
    )
}
