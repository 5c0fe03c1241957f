//! For any answer of a server, what is kept of it is bounded, on one line, and has no character that
//! acts or hides; and so has each way in which it is written.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use pullprobe::aws::error_response;
use pullprobe::safe_text::{MAX_FOREIGN_CHARS, escape_json, escape_lines, is_hidden};

const STATUSES: [u16; 8] = [200, 307, 400, 401, 403, 404, 429, 503];
const HEADERS: [&str; 4] = ["x-amzn-errortype", "x-amzn-requestid", "x-amz-request-id", "content-type"];

pub fn check(bytes: &[u8]) {
    let [status, header_length, rest @ ..] = bytes else {
        return;
    };
    let status = STATUSES[usize::from(*status) % STATUSES.len()];
    let (header, body) = rest.split_at(rest.len().min(usize::from(*header_length)));
    let mut headers = HeaderMap::new();
    for name in HEADERS {
        if let Ok(value) = HeaderValue::from_bytes(header) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let response = error_response::read(status, &headers, body);
    let withheld = response.clone().withhold(&|_| false);
    for response in [&response, &withheld] {
        for text in [&response.code, &response.message, &response.request_id] {
            assert!(!text.chars().any(is_hidden), "{text:?}");
            assert!(text.chars().count() <= MAX_FOREIGN_CHARS, "{text:?}");
        }
    }
    let body = String::from_utf8_lossy(body);
    let json = serde_json::to_string(&body).expect("any text is a JSON string");
    let escaped = escape_json(json);
    assert!(!escaped.chars().any(is_hidden), "{escaped:?}");
    assert_eq!(serde_json::from_str::<String>(&escaped).expect("it is JSON"), body);
    let lines = escape_lines(&body, false);
    assert!(!lines.chars().any(|c| !matches!(c, '\n' | '\t') && is_hidden(c)), "{lines:?}");
}
