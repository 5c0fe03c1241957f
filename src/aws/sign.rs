//! Signature Version 4 for requests that this crate sends itself.

use std::time::SystemTime;

use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign as calculate,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use super::credentials::Credentials;

/// Error of a request that cannot be signed: it has no host, or characters that are invalid in a
/// header. It contains no secrets.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign the request to {service}: {reason}")]
pub struct SigningError {
    service: String,
    reason: String,
}

/// Signs `request` for `service` in `region`, at the time `now`.
///
/// The signature covers the `Host`, `x-amz-…` and `content-…` headers; a proxy may rewrite the
/// others. The `Host` header is added from the URI, and an earlier signature is replaced. For `s3`,
/// the path is not normalized. Fails if the request has no host, or if a value is invalid in a
/// header.
pub fn sign(
    request: &mut Request<Bytes>,
    service: &str,
    region: &str,
    identity: impl Into<Identity>,
    now: SystemTime,
) -> Result<(), SigningError> {
    let signing_error = |reason: &dyn ToString| SigningError {
        service: service.to_owned(),
        reason: reason.to_string(),
    };
    for old in [
        "authorization",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-content-sha256",
    ] {
        request.headers_mut().remove(old);
    }
    set_host(request).ok_or_else(|| signing_error(&"it has no host"))?;

    let identity = identity.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(now)
        .settings(settings(service))
        .build()
        .map_err(|err| signing_error(&err))?
        .into();

    let uri = request.uri().to_string();
    let body = SignableBody::Bytes(request.body());
    let headers = signed_headers(request.headers());
    let signable = SignableRequest::new(request.method().as_str(), uri, headers, body)
        .map_err(|err| signing_error(&err))?;
    let (instructions, _signature) = calculate(signable, &params)
        .map_err(|err| signing_error(&err))?
        .into_parts();
    // Not `apply_to_request_http1x`, which panics on a token that is invalid in a header.
    for header in instructions.into_parts().0 {
        let mut value = HeaderValue::from_str(header.value()).map_err(|err| signing_error(&err))?;
        value.set_sensitive(header.sensitive() || header.name() == AUTHORIZATION);
        request
            .headers_mut()
            .insert(HeaderName::from_static(header.name()), value);
    }
    Ok(())
}

impl From<&Credentials> for Identity {
    fn from(credentials: &Credentials) -> Self {
        let token = credentials
            .session_token
            .as_ref()
            .map(|token| token.expose_secret().to_owned());
        let (id, secret) = (
            credentials.access_key_id.expose_secret(),
            credentials.secret_access_key.expose_secret(),
        );
        aws_credential_types::Credentials::new(id, secret, token, None, "pullprobe").into()
    }
}

/// Returns the settings for a service. Amazon S3 neither normalizes nor decodes paths before it
/// checks the signature, and requires the digest of the body as a header (Amazon S3 API reference,
/// "Signature calculations for the Authorization header").
fn settings(service: &str) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
    settings
}

/// Adds the `Host` header, without user and default port. Returns `None` if the URI has no host.
fn set_host(request: &mut Request<Bytes>) -> Option<()> {
    if request.headers().contains_key(HOST) {
        return Some(());
    }
    let uri = request.uri();
    let port = uri.port_u16().filter(|&port| {
        port != if uri.scheme_str() == Some("http") {
            80
        } else {
            443
        }
    });
    let host = port.map_or_else(
        || uri.host().map(str::to_owned),
        |port| Some(format!("{}:{port}", uri.host()?)),
    )?;
    let host = HeaderValue::try_from(host).ok()?;
    request.headers_mut().insert(HOST, host);
    Some(())
}

fn signed_headers(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let is_signed =
        |name: &str| name == "host" || name.starts_with("x-amz-") || name.starts_with("content-");
    let text = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    text.filter(move |(name, _)| is_signed(name))
}

#[cfg(test)]
mod tests {
    use hyper::Method;

    use super::*;
    use crate::aws::credentials::CredentialSource;

    fn credentials(token: &str) -> Credentials {
        Credentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: Some(token.into()),
            expires_at: None,
            role_arn: None,
            role_name: None,
            source: CredentialSource::Environment,
            elapsed: std::time::Duration::ZERO,
        }
    }

    /// 2026-11-23T10:00:00Z.
    fn then() -> SystemTime {
        SystemTime::UNIX_EPOCH + std::time::Duration::from_hours(498_730)
    }

    /// The expected values are botocore 1.43.11's: `SigV4Auth` (for `s3` `S3SigV4Auth`) with these
    /// credentials, Region and URL, and `botocore.auth.get_current_datetime` replaced by the time
    /// above.
    #[track_caller]
    fn check(mut request: Request<Bytes>, service: &str, signed_headers: &str, signature: &str) {
        // Twice: the second signature must not cover the first.
        for _ in 0..2 {
            sign(
                &mut request,
                service,
                "eu-west-1",
                &credentials("IQoJb3JpZ2luX2Vj/token+1=="),
                then(),
            )
            .unwrap();
            assert_eq!(
                request.headers()[AUTHORIZATION],
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/eu-west-1/{service}/aws4_request, \
                     SignedHeaders={signed_headers}, Signature={signature}"
                )
            );
            assert_eq!(request.headers()["x-amz-date"], "20261123T100000Z");
            assert!(!format!("{request:?}").contains("IQoJ"));
        }
    }

    fn get(uri: &str) -> Request<Bytes> {
        Request::get(uri)
            .header("accept", "*/*")
            .header("user-agent", "pullprobe")
            .body(Bytes::new())
            .unwrap()
    }

    #[test]
    fn signs_a_json_post_like_botocore() {
        let request = Request::builder()
            .method(Method::POST)
            .uri("https://api.ecr.eu-west-1.amazonaws.com/")
            .header("Content-Type", "application/x-amz-json-1.1")
            .header(
                "X-Amz-Target",
                "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
            )
            .body(Bytes::from_static(br#"{"registryIds":["111122223333"]}"#))
            .unwrap();
        check(
            request,
            "ecr",
            "content-type;host;x-amz-date;x-amz-security-token;x-amz-target",
            "63e1ef0f863520f0e92bfb01d9fb5fe987f10d4c7427737d83e0e466bd5bb357",
        );
    }

    #[test]
    fn signs_paths_and_queries_like_botocore() {
        let headers = "host;x-amz-date;x-amz-security-token";
        check(
            get(
                "https://ec2.eu-west-1.amazonaws.com/?Action=DescribeSubnets&Filter.1.Value.1=a%20b%2Fc%2B%2A&Version=2016-11-15&Empty=",
            ),
            "ec2",
            headers,
            "2b33477b17fdf7f66af0aa47eadd5648c46718840a9b2f6ec6e9a5f45e03c6a4",
        );
        check(
            get("https://scheduler.eu-west-1.amazonaws.com/schedules/pull%20probe?groupName=a"),
            "scheduler",
            headers,
            "07a0fa33c08efc6e46e9b902973c081026dc34dca2f0d708b1cbf125e92e154b",
        );
        check(
            get("https://h.example:8443/a?b=c"),
            "ecr",
            headers,
            "3c9b5b2ef10a1e289337ed6259a18b6f13da4f14b528723fe1fa9ca6c5c1351a",
        );
        // The form that hyper sends.
        let mut origin_form = get("/a?b=c");
        origin_form
            .headers_mut()
            .insert(HOST, HeaderValue::from_static("h.example:8443"));
        check(
            origin_form,
            "ecr",
            headers,
            "3c9b5b2ef10a1e289337ed6259a18b6f13da4f14b528723fe1fa9ca6c5c1351a",
        );
    }

    #[test]
    fn signs_for_s3_like_botocore() {
        check(
            get(
                "https://my-bucket.s3.eu-west-1.amazonaws.com/env//a%20b/../prod.env?versionId=a%2Fb",
            ),
            "s3",
            "host;x-amz-content-sha256;x-amz-date;x-amz-security-token",
            "62ec93b8f00e95b3d68817599d148ace4833198fde48c845f84b3c7b8658694d",
        );
    }

    #[test]
    fn rejects_requests_without_host_and_invalid_tokens() {
        let error = |uri: &str, token: &str| {
            sign(
                &mut get(uri),
                "ecr",
                "eu-west-1",
                &credentials(token),
                then(),
            )
            .unwrap_err()
            .to_string()
        };
        assert_eq!(
            error("/", "t"),
            "cannot sign the request to ecr: it has no host"
        );
        assert!(!error("https://h/", "line\nbreak").contains("break"));
    }
}
