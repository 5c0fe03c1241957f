//! Signed Amazon S3 requests without a body.

use std::time::SystemTime;

use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper::{Method, Request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::credentials::Credentials;
use super::sign::{self, SigningError};
use crate::endpoints::Region;

/// The characters that are escaped in a key: all except the unreserved ones and `/` (Amazon S3 API
/// reference, `UriEncode`).
const KEY_ENCODE_SET: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// Why a request to Amazon S3 cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum S3RequestError {
    /// The bucket and key do not form a valid URL.
    #[error("invalid URL: {0}")]
    InvalidUrl(#[from] hyper::http::Error),
    /// The signature cannot be calculated.
    #[error(transparent)]
    Unsignable(#[from] SigningError),
}

/// Returns the path of an object at `host`: virtual-hosted style if the bucket's name is part of
/// the host, path style otherwise. An empty key stands for the bucket itself.
pub fn object_path(host: &str, bucket: &str, key: &str) -> String {
    let key = utf8_percent_encode(key, KEY_ENCODE_SET);
    if host.starts_with(&format!("{bucket}.")) {
        format!("/{key}")
    } else {
        format!("/{bucket}/{key}")
    }
}

/// Returns the headers of a signed request for `path` (with its query) at `authority`: `headers`
/// and those of the signature. Fails if the URL is invalid or the request cannot be signed.
pub fn signed_headers(
    method: &Method,
    authority: &str,
    path: &str,
    headers: HeaderMap,
    region: &str,
    credentials: &Credentials,
) -> Result<HeaderMap, S3RequestError> {
    let mut request = Request::builder()
        .method(method.clone())
        .uri(format!("https://{authority}{path}"))
        .body(Bytes::new())?;
    *request.headers_mut() = headers;
    sign::sign(&mut request, "s3", region, credentials, SystemTime::now())?;
    Ok(std::mem::take(request.headers_mut()))
}

/// Returns the Region in `x-amz-bucket-region`, which S3 sends in redirects and in refusals of a
/// signature for another Region.
pub fn bucket_region(headers: &HeaderMap) -> Option<Region> {
    headers
        .get("x-amz-bucket-region")?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_keys_as_s3_signs_them() {
        let path = |key| object_path("bucket.s3.eu-west-1.amazonaws.com", "bucket", key);
        assert_eq!(path("prod/my app+1.env"), "/prod/my%20app%2B1.env");
        assert_eq!(path("a=ä:b,c"), "/a%3D%C3%A4%3Ab%2Cc");
    }

    #[test]
    fn uses_path_style_unless_the_host_names_the_bucket() {
        let path = |bucket| object_path("s3.eu-west-1.amazonaws.com", bucket, "a.env");
        assert_eq!(path("my.bucket"), "/my.bucket/a.env");
        assert_eq!(path("bucket"), "/bucket/a.env");
    }
}
