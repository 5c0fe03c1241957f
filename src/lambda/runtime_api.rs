//! The Runtime API: plain HTTP to the address in `AWS_LAMBDA_RUNTIME_API` (Lambda developer guide,
//! "Using the Lambda runtime API for custom runtimes").

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{Method, Request, Response};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::MAX_PAYLOAD;
use crate::agent::exchange;
use crate::dns;

/// Version of the API, which begins every path.
const VERSION: &str = "2018-06-01";

const REQUEST_ID: &str = "lambda-runtime-aws-request-id";
const DEADLINE: &str = "lambda-runtime-deadline-ms";
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";

/// Time limit for delivering a response. The API is on this machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum size of the API's reply in bytes: `{"status":"OK"}`, or an error with two short members.
const MAX_RESPONSE: usize = 64 * 1024;

/// Maximum length of a request ID: a UUID has 36 characters.
const MAX_REQUEST_ID: usize = 128;

/// Why the Runtime API cannot be used. The process ends, and Lambda starts another one.
#[derive(Debug)]
pub struct RuntimeApiError(String);

impl fmt::Display for RuntimeApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Lambda Runtime API {}", self.0)
    }
}

/// An invocation of the function.
#[derive(Debug)]
pub struct Event {
    /// Lambda's ID of the invocation.
    pub request_id: String,
    /// Time until Lambda ends the function; `None` if the header does not give a time in the
    /// future.
    pub deadline: Option<Duration>,
    /// The event, usually JSON.
    pub body: Bytes,
}

/// The Runtime API of this function.
#[derive(Debug, Clone)]
pub struct RuntimeApi {
    authority: String,
    /// Path in the address, which only emulators have.
    base: String,
}

impl RuntimeApi {
    /// Returns the API at an address such as `127.0.0.1:9001`, or `http://127.0.0.1:9177/.rt` of
    /// `cargo lambda watch`.
    pub fn new(address: &str) -> Self {
        let address = address.trim_start_matches("http://");
        let (authority, base) = address.split_once('/').unwrap_or((address, ""));
        let separator = if base.is_empty() { "" } else { "/" };
        Self {
            authority: authority.to_owned(),
            base: format!("{separator}{}", base.trim_end_matches('/')),
        }
    }

    /// Waits for the next invocation, for as long as Lambda keeps the function.
    pub async fn next(&self) -> Result<Event, RuntimeApiError> {
        let response = self
            .send(
                Method::GET,
                "invocation/next",
                None,
                Bytes::new(),
                MAX_PAYLOAD,
            )
            .await?;
        let header = |name: &str| response.headers().get(name)?.to_str().ok();
        let is_id = |id: &&str| {
            (1..=MAX_REQUEST_ID).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let request_id = header(REQUEST_ID)
            .filter(is_id)
            .ok_or_else(|| RuntimeApiError(format!("sent no valid {REQUEST_ID}")))?
            .to_owned();
        // Milliseconds since 1970.
        let since_epoch = header(DEADLINE).and_then(|text| text.parse().ok());
        let deadline = since_epoch.and_then(|millis| {
            let end = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))?;
            end.duration_since(SystemTime::now()).ok()
        });
        Ok(Event {
            request_id,
            deadline,
            body: response.into_body(),
        })
    }

    /// Answers an invocation.
    pub async fn respond(&self, request_id: &str, answer: String) -> Result<(), RuntimeApiError> {
        let path = format!("invocation/{request_id}/response");
        self.answer(&path, None, answer).await
    }

    /// Answers an invocation with an error.
    pub async fn fail(
        &self,
        request_id: &str,
        kind: &str,
        message: &str,
    ) -> Result<(), RuntimeApiError> {
        let path = format!("invocation/{request_id}/error");
        self.answer(&path, Some(kind), error_document(kind, message))
            .await
    }

    /// Reports that the function cannot start.
    pub async fn fail_init(&self, kind: &str, message: &str) -> Result<(), RuntimeApiError> {
        self.answer("init/error", Some(kind), error_document(kind, message))
            .await
    }

    /// Connects without the C library's resolver, which would make the executable two percent
    /// larger.
    async fn connect(&self) -> io::Result<TcpStream> {
        let (host, port) = self
            .authority
            .rsplit_once(':')
            .unwrap_or((&self.authority, ""));
        let port = port.parse().unwrap_or(80);
        let mut last = io::ErrorKind::AddrNotAvailable.into();
        for address in dns::addresses(host).await {
            match TcpStream::connect(SocketAddr::new(address, port)).await {
                Ok(stream) => return Ok(stream),
                Err(err) => last = err,
            }
        }
        Err(last)
    }

    async fn answer(
        &self,
        path: &str,
        error: Option<&str>,
        body: String,
    ) -> Result<(), RuntimeApiError> {
        let sent = self.send(Method::POST, path, error, body.into(), MAX_RESPONSE);
        timeout(ANSWER_TIMEOUT, sent)
            .await
            .unwrap_or_else(|_| Err(RuntimeApiError("did not respond in time".into())))
            .map(drop)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        error: Option<&str>,
        body: Bytes,
        max: usize,
    ) -> Result<Response<Bytes>, RuntimeApiError> {
        let failed = |what: &dyn fmt::Display| {
            RuntimeApiError(format!("at {} failed: {what}", self.authority))
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/{VERSION}/runtime/{path}", self.base))
            .header(HOST, &self.authority);
        if let Some(kind) = error {
            request = request.header(ERROR_TYPE, kind);
        }
        let request = request.body(Full::new(body)).map_err(|err| failed(&err))?;
        let stream = self.connect().await.map_err(|err| failed(&err))?;
        let response = exchange(stream, request, max)
            .await
            .map_err(|err| failed(&err))?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(failed(&format_args!(
                "status {}",
                response.status().as_u16()
            )))
        }
    }
}

/// Returns the error that Lambda shows: `{"errorMessage": …, "errorType": …}`.
fn error_document(kind: &str, message: &str) -> String {
    json!({ "errorMessage": message, "errorType": kind, "stackTrace": [] }).to_string()
}
