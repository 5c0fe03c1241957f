//! A service's error answer, whatever protocol it speaks.
//!
//! AWS JSON 1.0 and 1.1, the OCI registry envelope, S3's and the Query protocol's XML, plain text,
//! nothing at all, and the HTML page of somebody in between.

use hyper::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::denial;
use crate::observation::{Denial, Failure};
use crate::redact::{one_line, redact, shorten};

/// Bytes of a body that are looked at. Error answers have a few hundred; JSON and XML that are
/// longer are read as text.
const LONGEST_BODY: usize = 64 * 1024;

/// Characters of a message that reach a report: AWS's longest refusals, with three ARNs, stay
/// below.
const LONGEST_MESSAGE: usize = 1_000;

/// Characters of an error code or request id; the longest known have about 80.
const LONGEST_NAME: usize = 128;

/// What a service said no with. Nothing in it is secret: see [`crate::redact`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The service's error code, without namespace; empty if it gave none.
    pub code: String,
    /// The service's words on one line, or the title of an HTML page.
    pub message: String,
    /// For a support case; empty if there is none.
    pub request_id: String,
    /// The message taken apart, if it names action, resource or policy.
    pub denial: Option<Denial>,
    /// What it comes to.
    pub failure: Failure,
}

/// Read an error answer. Total: whatever the bytes are, there is a [`Failure`] for them.
pub fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
    let said = Said::read(body);
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

    let code = name(if said.code.is_empty() {
        header("x-amzn-errortype")
    } else {
        &said.code
    });
    let id = first(&[
        "x-amzn-requestid",
        "x-amz-request-id",
        "x-amzn-request-id",
        "x-request-id",
    ]);
    let message = redact(&one_line(&said.message));
    let denial = denial::parse(&message);
    let form = if headers.contains_key("www-authenticate") {
        Form::Service
    } else {
        said.form
    };
    Refusal {
        failure: classify(status, &code, &message, denial.is_some(), form),
        message: shorten(&message, LONGEST_MESSAGE).to_owned(),
        request_id: name(id.unwrap_or(&said.request_id)),
        code,
        denial,
    }
}

/// `com.amazon.coral.service#AccessDeniedException:http://…` is `AccessDeniedException`.
fn name(text: &str) -> String {
    let bare = text
        .rsplit('#')
        .next()
        .unwrap_or_default()
        .split(':')
        .next()
        .unwrap_or_default();
    redact(shorten(&one_line(bare), LONGEST_NAME))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// What the service itself may have said.
    Service,
    /// A web page or bytes that are no text: somebody else's answer.
    Foreign,
}

struct Said {
    code: String,
    message: String,
    request_id: String,
    form: Form,
}

impl Said {
    fn read(body: &[u8]) -> Self {
        let body = &body[..body.len().min(LONGEST_BODY)];
        let text = match std::str::from_utf8(body) {
            Ok(text) => text,
            // Cut by us in the middle of a character.
            Err(err) if err.error_len().is_none() => {
                str::from_utf8(&body[..err.valid_up_to()]).unwrap_or_default()
            }
            Err(_) => return Self::text(&String::from_utf8_lossy(body), Form::Foreign),
        };
        let text = text.trim_start_matches('\u{feff}').trim();
        let structured = match text.as_bytes().first() {
            Some(b'{') => Self::json(text),
            Some(b'<') if is_html(text) => {
                return Self::text(title(text).unwrap_or("an HTML page"), Form::Foreign);
            }
            Some(b'<') => Self::xml(text),
            _ => None,
        };
        structured.unwrap_or_else(|| Self::text(text, Form::Service))
    }

    fn text(text: &str, form: Form) -> Self {
        Self {
            code: String::new(),
            message: text.to_owned(),
            request_id: String::new(),
            form,
        }
    }

    /// Depth is bounded by `serde_json` itself, at 128.
    fn json(text: &str) -> Option<Self> {
        let whole: Value = serde_json::from_str(text).ok()?;
        let part = whole
            .pointer("/errors/0")
            .or_else(|| whole.get("error"))
            .filter(|part| part.is_object());
        let part = part.unwrap_or(&whole);
        let string = |of: &Value, names: &[&str]| {
            names
                .iter()
                .find_map(|name| of.get(*name)?.as_str())
                .unwrap_or_default()
                .to_owned()
        };
        Some(Self {
            code: string(part, &["__type", "code", "Code"]),
            message: string(
                part,
                &["message", "Message", "errorMessage", "details", "detail"],
            ),
            request_id: string(&whole, &["RequestId", "requestId"]),
            form: Form::Service,
        })
    }

    fn xml(text: &str) -> Option<Self> {
        let document: Document = quick_xml::de::from_str(text).ok()?;
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
            // Where there is no code, the root is named after it:
            // <MissingAuthenticationTokenException>.
            code: error.code.unwrap_or_else(|| root(text).to_owned()),
            message: error.message.unwrap_or_default(),
            request_id: request_id.unwrap_or_default(),
            form: Form::Service,
        })
    }
}

/// S3's `<Error>`, the Query protocol's `<ErrorResponse>` and EC2's `<Response>` at once.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
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

/// Name of the first element.
fn root(xml: &str) -> &str {
    let element = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic());
    let start = xml
        .split('<')
        .find(|rest| element(rest))
        .unwrap_or_default();
    start
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default()
}

fn is_html(text: &str) -> bool {
    // A declaration and a comment may come before; a legitimate error's root does not come that
    // late.
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

/// The order matters: the same code can carry several meanings, and the text is then the more
/// precise.
fn classify(status: u16, code: &str, message: &str, is_denial: bool, form: Form) -> Failure {
    by_text(&message.to_ascii_lowercase())
        .or_else(|| is_denial.then_some(Failure::Denied))
        .or_else(|| by_code(code))
        .unwrap_or_else(|| by_status(status, form))
}

fn by_text(message: &str) -> Option<Failure> {
    const TEXTS: [(&str, Failure); 9] = [
        // InvalidSignatureException, though the signature may well be right.
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
        // Secrets Manager's InvalidRequestException: to whoever reads it, the secret is gone.
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

fn by_status(status: u16, form: Form) -> Failure {
    match (status, form) {
        (429, _) => Failure::Throttled,
        (500.., _) => Failure::ServiceFailure,
        (401, Form::Service) => Failure::Unauthenticated,
        (403, Form::Service) => Failure::Denied,
        (404, Form::Service) => Failure::NotFound,
        _ => Failure::UnexpectedAnswer,
    }
}

#[cfg(test)]
mod tests;
