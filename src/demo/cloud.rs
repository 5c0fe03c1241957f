//! What is behind the addresses: the state that the services share, and which of them answers whom.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri};
use jiff::Timestamp;

use super::http::{self, Answer};
use super::image::Image;
use super::refusal::Refusal;
use super::scenario::{Operation, Scenario};
use super::{bucket, ecr, logs, registry, secrets};
use crate::observation::Dependency;

/// The state of the embedded AWS.
#[derive(Debug)]
pub(super) struct Cloud {
    pub(super) setting: Scenario,
    /// The port at which every service answers.
    pub(super) port: u16,
    pub(super) image: Image,
    streams: Mutex<Streams>,
}

/// Log events by stream, streams by `(group, stream)`.
pub(super) type Streams = BTreeMap<(String, String), Vec<String>>;

/// A request that was read whole.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The largest request of any operation: `PutLogEvents` takes 1 MiB of events, whose JSON may be
/// twice as long.
const LARGEST_REQUEST: usize = 4 * 1024 * 1024;

impl Cloud {
    pub(super) fn new(setting: Scenario, port: u16) -> Self {
        let image = Image::new(&setting.contents.architectures);
        Self {
            setting,
            port,
            image,
            streams: Mutex::default(),
        }
    }

    /// AWS's time.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::now() + self.setting.clock_ahead
    }

    /// The refusal that a policy has for this operation.
    pub(super) fn refusal(&self, operation: Operation) -> Option<&Refusal> {
        self.setting.refusals.get(&operation)
    }

    /// The log streams, to read or write.
    pub(super) fn streams(&self) -> std::sync::MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer of `service`.
    pub(super) async fn answer(&self, service: Dependency, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let body = match Limited::new(body, LARGEST_REQUEST).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return http::answer(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", ""),
        };
        let asked = Asked {
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            body,
        };
        let answer = match service {
            Dependency::EcrApi => ecr::answer(self, &asked),
            Dependency::EcrDkr => registry::answer(self, &asked),
            Dependency::S3 => bucket::answer(self, &asked),
            Dependency::Logs => logs::answer(self, &asked),
            Dependency::SecretsManager => secrets::answer_secret(self, &asked),
            Dependency::Ssm => secrets::answer_parameters(self, &asked),
            _ => http::answer(StatusCode::NOT_FOUND, "text/plain", ""),
        };
        http::dated(identified(answer, &asked), self.now())
    }
}

/// Adds a request id, made from the request so that a run can be repeated.
fn identified(answer: Answer, asked: &Asked) -> Answer {
    let hex =
        super::image::hex(format!("{} {} {:?}", asked.method, asked.uri, asked.body).as_bytes());
    let id = format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..32]
    );
    http::with_header(answer, "x-amzn-requestid", &id)
}

impl Asked {
    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The operation that `X-Amz-Target` names, and its parameters. Fails as a JSON service does
    /// where they cannot be read.
    pub(super) fn operation(&self) -> Result<(&str, serde_json::Value), Refusal> {
        let unknown = || Refusal::json("UnknownOperationException", "");
        let target = self.header("x-amz-target").ok_or_else(unknown)?;
        let body = serde_json::from_slice(&self.body)
            .map_err(|_| Refusal::json("SerializationException", ""))?;
        Ok((target, body))
    }
}
