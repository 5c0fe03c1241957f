//! Reads the error response of a service, whatever its protocol.
//!
//! The body may be AWS JSON 1.0 or 1.1, the error envelope of an OCI registry, XML of Amazon S3, of
//! the Query protocol or of EC2, plain text, empty, or the HTML page of a proxy.

use hyper::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::denial;
use crate::observation::{Denial, Failure};
use crate::redact::{redact, shorten};
use crate::safe_text::{SafeText, visible};

/// Maximum number of bytes of a body that are read. Error responses have a few hundred; longer JSON
/// and XML is treated as text.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Maximum number of characters of a message that are kept. AWS's longest authorization errors,
/// with three ARNs, are shorter.
const MAX_MESSAGE_CHARS: usize = 1_000;

/// Maximum number of characters of an error code or request ID; the longest known have about 80.
const MAX_CODE_CHARS: usize = 100;

/// An error response of a service. It contains no secrets: see [`crate::redact`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorResponse {
    /// Error code without its namespace; empty if there is none.
    pub code: SafeText,
    /// Error message on one line, or the title of an HTML page.
    pub message: SafeText,
    /// Request ID for AWS Support; empty if there is none.
    pub request_id: SafeText,
    /// The parsed message, if it is an authorization error.
    pub denial: Option<Denial>,
    /// What the response means.
    pub failure: Failure,
}

/// Reads an error response. Never fails: any bytes result in a [`Failure`].
pub fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> ErrorResponse {
    let error = ErrorBody::read(body);
    // A missing header is treated as an empty one.
    let header = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let first = |names: &[&'static str]| {
        names
            .iter()
            .map(|name| header(*name))
            .find(|value| !value.is_empty())
    };

    let code = bare_name(if error.code.is_empty() {
        header("x-amzn-errortype")
    } else {
        &error.code
    });
    let id = first(&[
        "x-amzn-requestid",
        "x-amz-request-id",
        "x-amzn-request-id",
        "x-request-id",
    ]);
    let message = redact(&visible(&error.message, MAX_BODY_BYTES));
    let denial = denial::parse(&message);
    let sender = if headers.contains_key("www-authenticate") {
        Sender::Service
    } else {
        error.sender
    };
    ErrorResponse {
        failure: classify(status, &code, &message, denial.is_some(), sender),
        message: SafeText::foreign(&message, MAX_MESSAGE_CHARS),
        request_id: bare_name(id.unwrap_or(&error.request_id)).into(),
        code: code.into(),
        denial,
    }
}

/// Returns `AccessDeniedException` for `com.amazon.coral.service#AccessDeniedException:http://…`,
/// and an empty text for anything that is not an identifier.
fn bare_name(text: &str) -> String {
    let bare = text
        .rsplit('#')
        .next()
        .unwrap_or_default()
        .split(':')
        .next()
        .unwrap_or_default();
    let bare = bare.trim();
    let is_identifier = bare.len() <= MAX_CODE_CHARS
        && bare
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if is_identifier {
        redact(bare)
    } else {
        String::new()
    }
}

/// Where a response comes from, judging by the form of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    /// Possibly the service itself.
    Service,
    /// A proxy or another server: the body is a web page or not text.
    Foreign,
}

/// The fields of an error body; empty where they are missing.
struct ErrorBody {
    code: String,
    message: String,
    request_id: String,
    sender: Sender,
}

impl ErrorBody {
    fn read(body: &[u8]) -> Self {
        let body = &body[..body.len().min(MAX_BODY_BYTES)];
        let text = match std::str::from_utf8(body) {
            Ok(text) => text,
            // The limit cut off part of a character.
            Err(err) if err.error_len().is_none() => {
                str::from_utf8(&body[..err.valid_up_to()]).unwrap_or_default()
            }
            Err(_) => return Self::text(&String::from_utf8_lossy(body), Sender::Foreign),
        };
        let text = text.trim_start_matches('\u{feff}').trim();
        let structured = match text.as_bytes().first() {
            Some(b'{') => Self::json(text),
            Some(b'<') if is_html(text) => {
                return Self::text(title(text).unwrap_or("an HTML page"), Sender::Foreign);
            }
            Some(b'<') => Self::xml(text),
            _ => None,
        };
        structured.unwrap_or_else(|| Self::text(text, Sender::Service))
    }

    fn text(text: &str, sender: Sender) -> Self {
        Self {
            code: String::new(),
            message: text.to_owned(),
            request_id: String::new(),
            sender,
        }
    }

    /// Reads AWS JSON or a registry's error envelope. `serde_json` limits the depth to 128.
    fn json(text: &str) -> Option<Self> {
        let whole: Value = serde_json::from_str(text).ok()?;
        let error = whole
            .pointer("/errors/0")
            .or_else(|| whole.get("error"))
            .filter(|error| error.is_object())
            .unwrap_or(&whole);
        let string = |object: &Value, names: &[&str]| {
            names
                .iter()
                .find_map(|name| object.get(*name)?.as_str())
                .unwrap_or_default()
                .to_owned()
        };
        Some(Self {
            code: string(error, &["__type", "code", "Code"]),
            message: string(
                error,
                &["message", "Message", "errorMessage", "details", "detail"],
            ),
            request_id: string(&whole, &["RequestId", "requestId"]),
            sender: Sender::Service,
        })
    }

    fn xml(text: &str) -> Option<Self> {
        let document: XmlDocument = quick_xml::de::from_str(text).ok()?;
        let request_id = document.request_id.clone();
        let inner = document
            .errors
            .and_then(|errors| errors.error)
            .or(document.error);
        let error = inner.unwrap_or(XmlError {
            code: document.code,
            message: document.message,
        });
        Some(Self {
            // Without a `<Code>`, the root element is named after the code:
            // <MissingAuthenticationTokenException>.
            code: error.code.unwrap_or_else(|| root(text).to_owned()),
            message: error.message.unwrap_or_default(),
            request_id: request_id.unwrap_or_default(),
            sender: Sender::Service,
        })
    }
}

/// The union of Amazon S3's `<Error>`, the Query protocol's `<ErrorResponse>` and EC2's
/// `<Response>`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct XmlDocument {
    code: Option<String>,
    message: Option<String>,
    #[serde(alias = "RequestID")]
    request_id: Option<String>,
    error: Option<XmlError>,
    errors: Option<XmlErrors>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct XmlError {
    code: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct XmlErrors {
    error: Option<XmlError>,
}

/// Returns the name of the first element.
fn root(xml: &str) -> &str {
    let is_element = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic());
    let start = xml
        .split('<')
        .find(|rest| is_element(rest))
        .unwrap_or_default();
    start
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default()
}

/// Whether the text is a web page.
pub fn is_html(text: &str) -> bool {
    // A declaration and a comment may precede the root, but not more than this.
    let head = shorten(text, 1_024).to_ascii_lowercase();
    head.contains("<html") || head.contains("<!doctype html")
}

fn title(html: &str) -> Option<&str> {
    let lower = html.to_ascii_lowercase();
    let tag = lower.find("<title")?;
    let start = tag + lower[tag..].find('>')? + 1;
    let end = start + lower[start..].find('<')?;
    Some(html[start..end].trim()).filter(|title| !title.is_empty())
}

/// Derives the failure from the message, else from the code, else from the status: one code can
/// have several meanings, and the message is more precise.
fn classify(status: u16, code: &str, message: &str, is_denial: bool, sender: Sender) -> Failure {
    by_text(&message.to_ascii_lowercase())
        .or_else(|| is_denial.then_some(Failure::Denied))
        .or_else(|| by_code(code))
        .unwrap_or_else(|| by_status(status, sender))
}

fn by_text(message: &str) -> Option<Failure> {
    const TEXTS: [(&str, Failure); 9] = [
        // Sent as InvalidSignatureException, although the signature may be correct.
        ("signature expired", Failure::ClockSkewed),
        ("signature not yet current", Failure::ClockSkewed),
        // S3's AccessDenied for a pre-signed URL.
        ("request has expired", Failure::ClockSkewed),
        // ECR's DENIED for a registry token.
        ("authorization token has expired", Failure::ExpiredToken),
        (
            "security token included in the request is expired",
            Failure::ExpiredToken,
        ),
        ("rate exceeded", Failure::Throttled),
        ("pull rate limit", Failure::Throttled),
        // Secrets Manager's InvalidRequestException: the secret can no longer be read.
        ("marked for deletion", Failure::NotFound),
        ("scheduled for deletion", Failure::NotFound),
    ];
    TEXTS
        .iter()
        .find(|(text, _)| message.contains(text))
        .map(|(_, failure)| *failure)
}

fn by_code(code: &str) -> Option<Failure> {
    let code = code.to_ascii_lowercase();
    let bare = code
        .strip_suffix("exception")
        .or_else(|| code.strip_suffix("fault"))
        .unwrap_or(&code);
    Some(match bare {
        "requesttimetooskewed" | "requestexpired" | "requestinthefuture" => Failure::ClockSkewed,
        "expiredtoken" | "tokenrefreshrequired" => Failure::ExpiredToken,
        "invalidsignature" | "signaturedoesnotmatch" | "incompletesignature" => {
            Failure::InvalidSignature
        }
        "unrecognizedclient"
        | "invalidclienttokenid"
        | "missingauthenticationtoken"
        | "invalidaccesskeyid"
        | "invalidtoken"
        | "authfailure"
        | "unauthorized" => Failure::Unauthenticated,
        "throttling"
        | "throttled"
        | "toomanyrequests"
        | "requestthrottled"
        | "requestlimitexceeded"
        | "slowdown"
        | "bandwidthlimitexceeded"
        | "provisionedthroughputexceeded" => Failure::Throttled,
        "accessdenied"
        | "kmsaccessdenied"
        | "kms.accessdenied"
        | "decryptionfailure"
        | "invalidkeyid"
        | "kmsinvalidstate"
        | "unauthorizedoperation"
        | "authorizationerror"
        | "notauthorized"
        | "denied"
        | "forbidden"
        | "allaccessdisabled" => Failure::Denied,
        "internalfailure"
        | "internalerror"
        | "internalserver"
        | "internalservererror"
        | "internalservice"
        | "serviceunavailable"
        | "server" => Failure::ServiceFailure,
        _ if bare.ends_with("notfound")
            || bare.starts_with("nosuch")
            || bare.ends_with("_unknown") =>
        {
            Failure::NotFound
        }
        _ => return None,
    })
}

fn by_status(status: u16, sender: Sender) -> Failure {
    match (status, sender) {
        (429, _) => Failure::Throttled,
        (500.., _) => Failure::ServiceFailure,
        (401, Sender::Service) => Failure::Unauthenticated,
        (403, Sender::Service) => Failure::Denied,
        (404, Sender::Service) => Failure::NotFound,
        _ => Failure::UnexpectedAnswer,
    }
}

#[cfg(test)]
mod tests;
