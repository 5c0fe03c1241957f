//! What the services share: the scenario, the image, the log streams, and a request that was read.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::body::Bytes;
use hyper::{HeaderMap, Method, Uri};
use jiff::Timestamp;

use super::image::DemoImage;
use super::scenario::{Operation, Scenario};
use super::service_error::ServiceError;

/// The state of the embedded AWS.
#[derive(Debug)]
pub(super) struct CloudState {
    pub(super) scenario: Scenario,
    /// The port on which every service listens.
    pub(super) port: u16,
    pub(super) image: DemoImage,
    log_streams: Mutex<LogStreams>,
}

/// Messages by `(log group, log stream)`.
pub(super) type LogStreams = BTreeMap<(String, String), Vec<String>>;

/// A request whose body was read completely.
pub(super) struct IncomingRequest {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl CloudState {
    pub(super) fn new(scenario: Scenario, port: u16) -> Self {
        let image = DemoImage::new(&scenario.resources.architectures);
        Self {
            scenario,
            port,
            image,
            log_streams: Mutex::default(),
        }
    }

    /// Returns the time of AWS's clocks.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::now() + self.scenario.clock_ahead
    }

    /// Fails if the scenario denies `operation`.
    pub(super) fn authorize(&self, operation: Operation) -> Result<(), ServiceError> {
        match self.scenario.denials.get(&operation) {
            Some(denial) => Err(denial.clone()),
            None => Ok(()),
        }
    }

    /// Returns the log streams, to read or write.
    pub(super) fn log_streams(&self) -> MutexGuard<'_, LogStreams> {
        self.log_streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl IncomingRequest {
    /// Returns a header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the operation in `X-Amz-Target` and its parameters. Fails as a JSON service does if
    /// they cannot be read.
    pub(super) fn operation(&self) -> Result<(&str, serde_json::Value), ServiceError> {
        let target = self
            .header("x-amz-target")
            .ok_or_else(|| ServiceError::json("UnknownOperationException", ""))?;
        let body = serde_json::from_slice(&self.body)
            .map_err(|_| ServiceError::json("SerializationException", ""))?;
        Ok((target, body))
    }
}
