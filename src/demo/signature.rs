//! What a service checks before it reads a request: the access key, the credential scope and the
//! time (Signature Version 4, header form).
//!
//! The signature itself is not recomputed: other tests check the probe's signatures against
//! `moto_server`.

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::names::REGION;
use super::service_error::ServiceError;

/// A temporary access key, as the container credentials endpoint returns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AccessKey {
    pub(super) id: &'static str,
    pub(super) secret: &'static str,
    pub(super) token: &'static str,
}

/// A key that works. IDs of temporary keys begin with ASIA (IAM reference, "Unique identifiers").
pub(super) const VALID: AccessKey = AccessKey {
    id: "ASIADEMOAAAAAAAAVALID",
    secret: "demo/secret/valid",
    token: "demo-session-token-valid",
};
/// An expired key.
pub(super) const EXPIRED: AccessKey = AccessKey {
    id: "ASIADEMOAAAAAAEXPIRED",
    secret: "demo/secret/expired",
    token: "demo-session-token-expired",
};
/// A key that does not exist.
pub(super) const UNKNOWN: AccessKey = AccessKey {
    id: "ASIADEMOAAAAAAUNKNOWN",
    secret: "demo/secret/unknown",
    token: "demo-session-token-unknown",
};

/// How far a request's time may be off (docs/facts/denials.md#5).
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Fails, with AWS's message, unless a valid key signed the request for `service` at `now`.
pub(super) fn check(
    headers: &HeaderMap,
    service: &str,
    now: Timestamp,
) -> Result<(), ServiceError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(authorization) = text(AUTHORIZATION.as_str()) else {
        return Err(ServiceError::json(
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        ));
    };
    let header = AuthorizationHeader::parse(authorization)?;
    let scope: Vec<_> = header.credential.split('/').collect();
    let &[key, day, region, scoped_service, "aws4_request"] = scope.as_slice() else {
        return Err(incomplete("a Credential of five parts"));
    };
    if region != REGION {
        return Err(invalid("Credential should be scoped to a valid region. "));
    }
    if scoped_service != service {
        return Err(invalid(format!(
            "Credential should be scoped to correct service: '{service}'. "
        )));
    }
    let stamp = text("x-amz-date").ok_or_else(|| incomplete("'X-Amz-Date' or a 'Date' header"))?;
    if !stamp.starts_with(day) || !header.signed_headers.split(';').any(|name| name == "host") {
        return Err(incomplete("matching dates and a signed host"));
    }
    check_time(stamp, now)?;
    // A missing token does not match any key.
    let token = text("x-amz-security-token").unwrap_or_default();
    match [VALID, EXPIRED]
        .into_iter()
        .find(|known| (known.id, known.token) == (key, token))
    {
        Some(VALID) => Ok(()),
        Some(_) => Err(ServiceError::json(
            "ExpiredTokenException",
            "The security token included in the request is expired",
        )),
        None => Err(ServiceError::json(
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        )),
    }
}

/// The parts of an `Authorization` header that are checked.
struct AuthorizationHeader<'a> {
    credential: &'a str,
    signed_headers: &'a str,
}

impl<'a> AuthorizationHeader<'a> {
    fn parse(authorization: &'a str) -> Result<Self, ServiceError> {
        let parts = authorization
            .strip_prefix("AWS4-HMAC-SHA256 ")
            .ok_or_else(|| incomplete("AWS4-HMAC-SHA256"))?;
        let part = |name: &str| {
            let found = parts
                .split(',')
                .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
            found
                .filter(|value| !value.is_empty())
                .ok_or_else(|| incomplete(&format!("'{name}' parameter")))
        };
        let (credential, signed_headers, signature) = (
            part("Credential")?,
            part("SignedHeaders")?,
            part("Signature")?,
        );
        if signature.len() != 64 || !signature.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(incomplete("a signature of 64 hexadecimal digits"));
        }
        Ok(Self {
            credential,
            signed_headers,
        })
    }
}

fn check_time(stamp: &str, now: Timestamp) -> Result<(), ServiceError> {
    let sent = DateTime::strptime("%Y%m%dT%H%M%SZ", stamp)
        .and_then(|time| TimeZone::UTC.to_timestamp(time))
        .map_err(|_| incomplete("a readable 'X-Amz-Date'"))?;
    let show = |time: Timestamp| time.strftime("%Y%m%dT%H%M%SZ").to_string();
    let (now_text, earliest, latest) = (show(now), now - MAX_CLOCK_SKEW, now + MAX_CLOCK_SKEW);
    if sent < earliest {
        let earliest = show(earliest);
        return Err(invalid(format!(
            "Signature expired: {stamp} is now earlier than {earliest} ({now_text} - 5 min.)"
        )));
    }
    if sent > latest {
        let latest = show(latest);
        return Err(invalid(format!(
            "Signature not yet current: {stamp} is still later than {latest} ({now_text} + 5 min.)"
        )));
    }
    Ok(())
}

fn incomplete(what: &str) -> ServiceError {
    ServiceError::json(
        "IncompleteSignatureException",
        format!("Authorization header requires {what}."),
    )
}

fn invalid(message: impl Into<String>) -> ServiceError {
    ServiceError::json("InvalidSignatureException", message)
}

#[cfg(test)]
pub(super) mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    /// Returns headers that pass the checks above.
    pub(in super::super) fn signed(key: AccessKey, service: &str, at: Timestamp) -> HeaderMap {
        let (stamp, day) = (
            at.strftime("%Y%m%dT%H%M%SZ").to_string(),
            at.strftime("%Y%m%d").to_string(),
        );
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{day}/{REGION}/{service}/aws4_request, \
             SignedHeaders=host;x-amz-date;x-amz-security-token, Signature={}",
            key.id,
            "0f".repeat(32)
        );
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", authorization.as_str()),
            ("x-amz-date", &stamp),
            ("x-amz-security-token", key.token),
        ] {
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn code(headers: &HeaderMap, now: Timestamp) -> Option<&'static str> {
        check(headers, "ecr", now).err().map(|error| error.code)
    }

    #[test]
    fn rejects_unknown_and_expired_keys_and_wrong_scopes() {
        let now = Timestamp::now();
        assert_eq!(code(&signed(VALID, "ecr", now), now), None);
        assert_eq!(
            code(&signed(EXPIRED, "ecr", now), now),
            Some("ExpiredTokenException")
        );
        assert_eq!(
            code(&signed(UNKNOWN, "ecr", now), now),
            Some("UnrecognizedClientException")
        );
        assert_eq!(
            code(&signed(VALID, "logs", now), now),
            Some("InvalidSignatureException")
        );
        assert_eq!(
            code(&HeaderMap::new(), now),
            Some("MissingAuthenticationTokenException")
        );
    }

    #[test]
    fn rejects_times_more_than_five_minutes_off() {
        let now: Timestamp = "2026-06-05T16:03:19Z".parse().unwrap();
        let late = check(
            &signed(VALID, "ecr", now - SignedDuration::from_secs(311)),
            "ecr",
            now,
        )
        .unwrap_err();
        assert_eq!(
            late.message,
            "Signature expired: 20260605T155808Z is now earlier than 20260605T155819Z (20260605T160319Z - 5 min.)"
        );
        let early = check(
            &signed(VALID, "ecr", now + SignedDuration::from_mins(6)),
            "ecr",
            now,
        )
        .unwrap_err();
        assert!(early.message.starts_with("Signature not yet current"));
    }

    #[test]
    fn rejects_incomplete_authorization_headers() {
        let now = Timestamp::now();
        let whole = signed(VALID, "ecr", now);
        for part in [
            "Credential=",
            "SignedHeaders=",
            "Signature=",
            "AWS4-HMAC-SHA256 ",
            "/aws4_request",
        ] {
            let mut headers = whole.clone();
            let cut = whole["authorization"].to_str().unwrap().replace(part, "");
            headers.insert(AUTHORIZATION, HeaderValue::from_str(&cut).unwrap());
            assert_eq!(
                code(&headers, now),
                Some("IncompleteSignatureException"),
                "{part}"
            );
        }
    }
}
