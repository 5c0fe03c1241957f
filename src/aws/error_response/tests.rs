use std::time::{Duration, Instant};

use hyper::header::{HeaderName, HeaderValue};

use super::*;
use crate::observation::PolicyKind;

fn response(
    status: u16,
    headers: &[(&'static str, &str)],
    body: impl AsRef<[u8]>,
) -> ErrorResponse {
    let pairs = headers.iter().map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        )
    });
    read(status, &pairs.collect(), body.as_ref())
}

#[track_caller]
fn check(status: u16, body: &str, code: &str, message: &str, failure: Failure) {
    let response = response(status, &[], body);
    assert_eq!(
        (&*response.code, &*response.message, response.failure),
        (code, message, failure),
        "{body}"
    );
}

#[test]
fn reads_aws_json() {
    let text = "User: arn:aws:sts::1:assumed-role/r/s is not authorized to perform: ecr:GetAuthorizationToken on \
                resource: * because no VPC endpoint policy allows the ecr:GetAuthorizationToken action";
    let body = format!(
        r#"{{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"{text}"}}"#
    );
    let parsed = response(400, &[("x-amzn-requestid", "3d181671-2223")], body);
    assert_eq!(
        (&*parsed.code, &*parsed.message, &*parsed.request_id),
        ("AccessDeniedException", text, "3d181671-2223")
    );
    assert_eq!(parsed.failure, Failure::Denied);
    assert_eq!(
        parsed.denial.and_then(|denial| denial.policy),
        Some(PolicyKind::VpcEndpoint)
    );

    let parsed = response(
        400,
        &[("x-amzn-errortype", "ThrottlingException:http://internal/")],
        r#"{"message":null}"#,
    );
    assert_eq!(
        (&*parsed.code, parsed.failure),
        ("ThrottlingException", Failure::Throttled)
    );

    check(
        400,
        r#"{"__type":"AccessDeniedException","Message":"Access to KMS is not allowed"}"#,
        "AccessDeniedException",
        "Access to KMS is not allowed",
        Failure::Denied,
    );
    let gone = "You can't perform this operation on the secret because it was marked for deletion.";
    check(
        400,
        &format!(r#"{{"__type":"InvalidRequestException","Message":"{gone}"}}"#),
        "InvalidRequestException",
        gone,
        Failure::NotFound,
    );
}

#[test]
fn reads_the_registry_envelope() {
    let envelope = |code: &str, message: &str| {
        format!(r#"{{"errors":[{{"code":"{code}","message":"{message}","detail":{{"a":[]}}}}]}}"#)
    };
    for (status, code, message, failure) in [
        (
            404,
            "NAME_UNKNOWN",
            "The repository with name 'a' does not exist",
            Failure::NotFound,
        ),
        (
            404,
            "MANIFEST_UNKNOWN",
            "Requested image not found",
            Failure::NotFound,
        ),
        (
            403,
            "DENIED",
            "Your authorization token has expired. Reauthenticate and try again.",
            Failure::ExpiredToken,
        ),
        (
            403,
            "DENIED",
            "Your Authorization Token has expired. Please run",
            Failure::ExpiredToken,
        ),
        (
            403,
            "DENIED",
            "requested access to the resource is denied",
            Failure::Denied,
        ),
        (
            401,
            "UNAUTHORIZED",
            "authentication required",
            Failure::Unauthenticated,
        ),
        (
            429,
            "TOOMANYREQUESTS",
            "You have reached your pull rate limit.",
            Failure::Throttled,
        ),
        (400, "UNKNOWN", "Rate exceeded", Failure::Throttled),
        (400, "UNKNOWN", "", Failure::UnexpectedAnswer),
    ] {
        check(status, &envelope(code, message), code, message, failure);
    }
    check(
        401,
        r#"{"details":"incorrect username or password"}"#,
        "",
        "incorrect username or password",
        Failure::Unauthenticated,
    );
}

#[test]
fn reads_xml() {
    let s3 = |code: &str, message: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
                 <RequestId>835E</RequestId><HostId>pom&amp;/=</HostId></Error>"
        )
    };
    check(
        403,
        &s3("AccessDenied", "Access Denied"),
        "AccessDenied",
        "Access Denied",
        Failure::Denied,
    );
    check(
        403,
        &s3("AccessDenied", "Request has expired"),
        "AccessDenied",
        "Request has expired",
        Failure::ClockSkewed,
    );
    check(
        403,
        &s3("RequestTimeTooSkewed", "The difference"),
        "RequestTimeTooSkewed",
        "The difference",
        Failure::ClockSkewed,
    );
    check(
        503,
        &s3("SlowDown", "Please reduce"),
        "SlowDown",
        "Please reduce",
        Failure::Throttled,
    );
    check(
        404,
        &s3("NoSuchKey", "a &lt; b"),
        "NoSuchKey",
        "a < b",
        Failure::NotFound,
    );
    let denied = response(403, &[], s3("AccessDenied", "Access Denied"));
    assert_eq!((denied.denial, &*denied.request_id), (None, "835E"));
    check(
        403,
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/\"><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code>\
         <Message>The security token included in the request is invalid.</Message></Error></ErrorResponse>",
        "InvalidClientTokenId",
        "The security token included in the request is invalid.",
        Failure::Unauthenticated,
    );
    let ec2 = "<Response><Errors><Error><Code>RequestExpired</Code><Message>m</Message></Error></Errors>\
               <RequestID>ea966190</RequestID></Response>";
    check(400, ec2, "RequestExpired", "m", Failure::ClockSkewed);
    assert_eq!(response(400, &[], ec2).request_id, "ea966190");
    check(
        403,
        "<MissingAuthenticationTokenException>\n  <Message>Missing Authentication Token</Message>\n\
         </MissingAuthenticationTokenException>",
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
        Failure::Unauthenticated,
    );
}

#[test]
fn tells_credential_failures_apart() {
    for (code, message, failure) in [
        (
            "InvalidSignatureException",
            "Signature expired: 20171218T075729Z is now earlier than 20171218T080647Z",
            Failure::ClockSkewed,
        ),
        (
            "InvalidSignatureException",
            "Signature not yet current: 20171218T075729Z is still later",
            Failure::ClockSkewed,
        ),
        (
            "InvalidSignatureException",
            "The request signature we calculated does not match",
            Failure::InvalidSignature,
        ),
        (
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            Failure::Unauthenticated,
        ),
        (
            "ExpiredTokenException",
            "The security token included in the request is expired",
            Failure::ExpiredToken,
        ),
        (
            "ResourceNotFoundException",
            "The specified log group does not exist.",
            Failure::NotFound,
        ),
        ("InternalServerError", "", Failure::ServiceFailure),
        (
            "ValidationException",
            "1 validation error detected",
            Failure::UnexpectedAnswer,
        ),
    ] {
        check(
            400,
            &format!(r#"{{"__type":"{code}","message":"{message}"}}"#),
            code,
            message,
            failure,
        );
    }
}

#[test]
fn reads_plain_text_and_empty_bodies() {
    check(
        401,
        "Not Authorized\n",
        "",
        "Not Authorized",
        Failure::Unauthenticated,
    );
    check(403, "", "", "", Failure::Denied);
    check(404, "", "", "", Failure::NotFound);
    check(502, "", "", "", Failure::ServiceFailure);
    check(200, "", "", "", Failure::UnexpectedAnswer);
    check(400, "<not xml", "", "<not xml", Failure::UnexpectedAnswer);
    check(
        400,
        "{\"message\":",
        "",
        "{\"message\":",
        Failure::UnexpectedAnswer,
    );
}

#[test]
fn a_web_page_is_not_the_services_response() {
    let page = "<!DOCTYPE html>\n<html><head><TITLE lang=en>\nBlocked by\npolicy </TITLE></head><body><p>x</body></html>";
    check(
        403,
        page,
        "",
        "Blocked by policy",
        Failure::UnexpectedAnswer,
    );
    check(
        404,
        "<html><body>nothing",
        "",
        "an HTML page",
        Failure::UnexpectedAnswer,
    );
    check(503, page, "", "Blocked by policy", Failure::ServiceFailure);
    let challenge = response(401, &[("www-authenticate", "Basic realm=\"r\"")], page);
    assert_eq!(challenge.failure, Failure::Unauthenticated);
}

#[test]
fn arbitrary_bytes_are_bounded_in_time_and_length() {
    let started = Instant::now();
    for body in [
        "{".repeat(1 << 20),
        r#"{"errors":["#.repeat(1 << 17),
        "<Error>".repeat(1 << 17),
        "<a>".repeat(1 << 18),
        format!("<Error><Message>{}</Message></Error>", "ä".repeat(9_000)),
        format!("{}é", "x".repeat(MAX_BODY_BYTES - 1)),
        "<title".into(),
        "<html><title>".into(),
        "<!DOCTYPE a [<!ENTITY b \"c\">]><Error><Code>&b;</Code></Error>".into(),
    ] {
        let parsed = response(400, &[], &body);
        assert!(
            parsed.message.chars().count() <= MAX_MESSAGE_CHARS
                && parsed.code.chars().count() <= MAX_CODE_CHARS
        );
        assert_eq!(parsed.failure, Failure::UnexpectedAnswer);
    }
    assert_eq!(
        response(403, &[], b"\xff\xfe\x00garbage").failure,
        Failure::UnexpectedAnswer
    );
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn secrets_are_redacted() {
    let parsed = response(
        403,
        &[],
        r#"{"__type":"InvalidSignatureException","message":"The Canonical String for this request should have been 'POST\n/\n\nhost:h\nx-amz-security-token:IQoJtoken\n' Authorization: Basic QVdTOnNlY3JldA== AKIAIOSFODNN7EXAMPLE"}"#,
    );
    let shown = format!("{parsed:?}");
    for secret in ["IQoJ", "QVdT", "AKIA"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
