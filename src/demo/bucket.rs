//! The layer bucket: objects behind pre-signed URLs, whole or in ranges.

use hyper::{Method, StatusCode};

use super::cloud::{Asked, Cloud};
use super::http::{self, Answer, with_header};
use super::image;
use super::refusal::Refusal;
use super::scenario::{Operation, REGION, host};
use crate::observation::Dependency;

/// The URL that ECR signs for a blob, with credentials of its own (facts: denials, section 4).
pub(super) fn presigned(cloud: &Cloud, digest: &str) -> String {
    let now = cloud.now();
    let (stamp, day) = (now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d"));
    let path = object(digest);
    let signature = signature(&path);
    let token = image::hex(b"the session token of ECR's own role");
    format!(
        "https://{}:{}{path}?X-Amz-Security-Token={token}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={stamp}\
         &X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Credential=ASIADEMOAAAAAAAAAECR%2F{day}%2F{REGION}%2Fs3\
         %2Faws4_request&X-Amz-Signature={signature}",
        host(Dependency::S3),
        cloud.port,
    )
}

/// Where a blob is: nothing in the name tells the digest.
fn object(digest: &str) -> String {
    let hex = image::hex(digest.as_bytes());
    format!(
        "/9c8e-{}/{}-{}",
        super::scenario::ACCOUNT,
        &hex[..8],
        &hex[8..40]
    )
}

fn signature(path: &str) -> String {
    image::hex(format!("signed {path}").as_bytes())
}

pub(super) fn answer(cloud: &Cloud, asked: &Asked) -> Answer {
    get_object(cloud, asked).unwrap_or_else(|refusal| error(&refusal))
}

fn get_object(cloud: &Cloud, asked: &Asked) -> Result<Answer, Refusal> {
    let (path, query) = (asked.uri.path(), asked.uri.query().unwrap_or_default());
    let claimed = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("X-Amz-Signature="));
    if claimed.is_some() && asked.headers.contains_key("authorization") {
        return Err(refuse(
            StatusCode::BAD_REQUEST,
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string \
             parameter or the Authorization header should be specified",
        ));
    }
    if let Some(refusal) = cloud.refusal(Operation::GetObject) {
        return Err(refusal.clone());
    }
    match claimed {
        None => {
            return Err(refuse(
                StatusCode::FORBIDDEN,
                "AccessDenied",
                "Access Denied",
            ));
        }
        Some(claimed) if claimed != signature(path) => {
            let message = "The request signature we calculated does not match the signature you provided. Check your \
                           key and signing method.";
            return Err(refuse(
                StatusCode::FORBIDDEN,
                "SignatureDoesNotMatch",
                message,
            ));
        }
        Some(_) => {}
    }
    let blob = cloud
        .image
        .blobs
        .iter()
        .find(|(digest, _)| object(digest) == path)
        .map(|(_, bytes)| bytes);
    let Some(blob) = blob.filter(|_| cloud.setting.contents.layers) else {
        return Err(refuse(
            StatusCode::NOT_FOUND,
            "NoSuchKey",
            "The specified key does not exist.",
        ));
    };
    if ![Method::GET, Method::HEAD].contains(&asked.method) {
        let message = "The specified method is not allowed against this resource.";
        return Err(refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            message,
        ));
    }
    let whole = || http::answer(StatusCode::OK, "application/octet-stream", blob.clone());
    let answer = match asked.header("range").map(|range| bounds(range, blob.len())) {
        None | Some(Bounds::Unreadable) => whole(),
        Some(Bounds::Within(first, end)) => {
            let part = http::answer(
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
        Some(Bounds::Outside) => {
            let message = "The requested range is not satisfiable";
            return Err(refuse(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "InvalidRange",
                message,
            ));
        }
    };
    Ok(with_header(answer, "accept-ranges", "bytes"))
}

enum Bounds {
    Within(usize, usize),
    Outside,
    /// To be ignored (RFC 9110 section 14.2).
    Unreadable,
}

/// The first byte and the one after the last of `bytes=a-b` or `bytes=a-`.
fn bounds(range: &str, length: usize) -> Bounds {
    let parts = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'));
    let Some((Ok(first), last)) = parts.map(|(first, last)| (first.parse::<usize>(), last)) else {
        return Bounds::Unreadable;
    };
    let end = match last.parse::<usize>() {
        Ok(last) => last.saturating_add(1).min(length),
        Err(_) if last.is_empty() => length,
        Err(_) => return Bounds::Unreadable,
    };
    if first < end {
        Bounds::Within(first, end)
    } else {
        Bounds::Outside
    }
}

fn refuse(status: StatusCode, code: &'static str, message: &str) -> Refusal {
    Refusal {
        status,
        code,
        message: message.into(),
    }
}

fn error(refusal: &Refusal) -> Answer {
    let id = &image::hex(refusal.message.as_bytes())[..16].to_uppercase();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>\
         <RequestId>{id}</RequestId><HostId>pomMsqh5demo</HostId></Error>",
        refusal.code,
        refusal.message.replace('&', "&amp;").replace('<', "&lt;"),
    );
    with_header(
        http::answer(refusal.status, "application/xml", body),
        "x-amz-request-id",
        id,
    )
}
