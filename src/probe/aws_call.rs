//! Calls to a connected target, each with its observation; and signed calls to AWS APIs.

use std::time::{Instant, SystemTime};

use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::sleep;

use crate::aws::credentials::Credentials;
pub use crate::aws::json_api::{ECR, JsonApi, LOGS, SECRETS_MANAGER, SSM};
use crate::aws::{error_response, sign, withheld};
use crate::observation::{Answer, Dependency, Failure, Observation, Outcome, Phase, Speaker};
use crate::probe::context::{ProbeContext, observe};
use crate::probe::net::http::{Exchange, HttpRequest, ReadBody};
use crate::probe::speaker::{self, HttpAnswer, Question};
use crate::probe::target::{ConnectedTarget, ExchangeAttempts, RETRY_INTERVALS, TryCount};
use crate::safe_text::SafeText;

/// A call is not retried if `Retry-After` asks for more seconds than this.
const MAX_RETRY_AFTER_SECS: u64 = 2;

/// Maximum number of bytes read of an API's response. The largest, a batch of ten parameters of 8
/// KiB, stays below 128 KiB.
const MAX_API_RESPONSE_BYTES: usize = 1024 * 1024;

/// The result of a call.
pub struct CallResult {
    pub observation: Observation,
    /// The response, if it was accepted.
    pub response: Option<Exchange>,
    /// Headers of a response that was not accepted; empty if there was none.
    pub error_headers: HeaderMap,
}

impl CallResult {
    /// Returns the result of a call without a usable response.
    pub fn without_response(observation: Observation) -> Self {
        Self {
            observation,
            response: None,
            error_headers: HeaderMap::new(),
        }
    }

    /// Returns the service's error code; empty if it sent none.
    pub fn error_code(&self) -> &str {
        self.observation
            .answer
            .as_ref()
            .map(|answer| answer.code.as_str())
            .unwrap_or_default()
    }

    /// Fails the call if an intermediary accepted it: that says nothing about the service.
    pub fn require_service(mut self) -> Self {
        if self.response.is_some() && self.observation.speaker == Some(Speaker::Intermediary) {
            self.observation.reject_foreign_answer();
            self.error_headers = self
                .response
                .take()
                .map(|response| response.headers)
                .unwrap_or_default();
        }
        self
    }
}

/// Which statuses mean success.
pub type Accept = fn(&StatusCode) -> bool;

/// Sends the requests of one phase to a connected target.
#[derive(Clone, Copy)]
pub struct PhaseClient<'a> {
    pub context: &'a ProbeContext,
    pub target: &'a ConnectedTarget,
    pub phase: Phase,
}

impl PhaseClient<'_> {
    /// Sends `request`, retrying throttled and 5xx responses and broken connections. A status that
    /// `accept` rejects becomes a failed observation. The observation is returned, not recorded.
    pub async fn call(self, request: &HttpRequest, accept: Accept) -> CallResult {
        self.hold_secrets(request);
        let started = Instant::now();
        let mut intervals = RETRY_INTERVALS.iter();
        let mut count = TryCount::default();
        loop {
            let exchange = self.target.exchange(request).await;
            let (tries, attempts) = (exchange.tries, exchange.attempts);
            let mut result = self.conclude(exchange, started, accept);
            let is_content = matches!(self.phase, Phase::Blob | Phase::Fetch)
                && result.response.as_ref().is_some_and(Exchange::succeeded);
            // A blob's digest, not its sender, shows whether it is genuine.
            if !is_content {
                result = result.require_service();
            }
            let failure = result.observation.failure();
            let throttled = failure == Some(Failure::Throttled);
            // Throttling is not a malfunction of the service.
            count.add(tries, attempts, failure.filter(|_| !throttled));
            let retryable = matches!(
                failure,
                Some(
                    Failure::Throttled
                        | Failure::ServiceFailure
                        | Failure::Reset
                        | Failure::Refused
                )
            );
            match intervals.next() {
                Some(&interval) if retryable && !wants_longer_wait(&result.observation) => {
                    sleep(interval).await;
                }
                _ => {
                    count.record(&mut result.observation);
                    return result;
                }
            }
        }
    }

    /// Adds the request's credentials to the vault, because a server may repeat them.
    fn hold_secrets(self, request: &HttpRequest) {
        let vault = &self.context.settings.vault;
        let header = |name: &str| request.headers.get(name)?.to_str().ok();
        if let Some(value) = header(AUTHORIZATION.as_str()) {
            vault.add_authorization(value);
        }
        if let Some(token) = header("x-amz-security-token") {
            vault.add(token);
        }
        vault.add_query(&request.path);
    }

    /// Adds the credentials in a redirect to the vault. A registry signs the URLs of layers, and
    /// the host that they lead to may already know the signature and repeat it in its certificate.
    fn hold_location(self, headers: &HeaderMap) {
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        if let Some(location) = location {
            let vault = &self.context.settings.vault;
            vault.add_query(location);
            vault.add_user_info(location);
        }
    }

    /// Whether the response to this call is, or contains, a secret. Its errors are then not quoted.
    fn reads_secrets(self) -> bool {
        self.phase == Phase::Authorize
            || matches!(
                self.target.target.dependency,
                Dependency::SecretsManager | Dependency::Ssm | Dependency::EnvironmentFile
            )
    }

    /// Returns a failed result for a request that could not be signed.
    pub fn unsigned(self, detail: impl Into<SafeText>) -> CallResult {
        let outcome = Outcome::Failed {
            failure: Failure::InvalidSignature,
        };
        let mut observation = observe(&self.target.target, self.phase, outcome, Instant::now());
        observation.detail = detail.into();
        CallResult::without_response(observation)
    }

    fn conclude(self, attempts: ExchangeAttempts, started: Instant, accept: Accept) -> CallResult {
        let ExchangeAttempts {
            exchange,
            small_segments_pass,
            largest_segment,
            over_small_segments,
            peer,
            ..
        } = attempts;
        let observe = |outcome| {
            self.context
                .observe_at(&self.target.target, self.phase, outcome, started, peer)
        };
        self.hold_location(&exchange.headers);
        let mut observation = match exchange.status {
            Err(failure) => observe(Outcome::Failed { failure }),
            Ok(status) if accept(&status) => observe(Outcome::Passed),
            Ok(status) => {
                let mut error =
                    error_response::read(status.as_u16(), &exchange.headers, &exchange.body);
                let mut answer = exchange.answer.clone();
                if self.reads_secrets() {
                    let vault = &self.context.settings.vault;
                    error = error.withhold(&|part| vault.is_known(part));
                    if !withheld::is_request_id(&answer.request_id) {
                        answer.request_id.clear();
                    }
                }
                let mut refused = observe(Outcome::Failed {
                    failure: error.failure,
                });
                refused.detail.clone_from(&error.message);
                refused.answer = Some(Answer {
                    code: error.code,
                    message: error.message,
                    denial: error.denial,
                    ..answer
                });
                refused
            }
        };
        observation.speaker = exchange.status.ok().map(|status| {
            let question = Question {
                dependency: self.target.target.dependency,
                phase: self.phase,
                host: &self.target.target.host,
            };
            let answer = HttpAnswer {
                status,
                headers: &exchange.headers,
                body: &exchange.body,
            };
            speaker::speaker(question, answer)
        });
        observation.small_segments_pass = small_segments_pass;
        observation.largest_segment = largest_segment;
        if observation.answer.is_none() && exchange.status.is_ok() {
            observation.answer = Some(exchange.answer.clone());
        }
        if observation.detail.is_empty() {
            observation.detail.clone_from(&exchange.detail);
        }
        let last = over_small_segments.unwrap_or(exchange);
        match last.status {
            Ok(status) if accept(&status) => CallResult {
                observation,
                response: Some(last),
                error_headers: HeaderMap::new(),
            },
            _ => CallResult {
                observation,
                response: None,
                error_headers: last.headers,
            },
        }
    }
}

/// Whether `Retry-After` asks for more than [`MAX_RETRY_AFTER_SECS`]. A date always does.
fn wants_longer_wait(observation: &Observation) -> bool {
    let limit = observation
        .answer
        .as_ref()
        .and_then(|answer| answer.rate_limit.as_ref());
    let retry_after = limit.and_then(|limit| limit.retry_after.as_ref());
    retry_after.is_some_and(|retry_after| {
        retry_after
            .trim()
            .parse()
            .map_or(true, |seconds: u64| seconds > MAX_RETRY_AFTER_SECS)
    })
}

impl JsonApi {
    /// Calls `action` with `input`, signed for `region`. If signing fails, the result is a failed
    /// observation.
    pub async fn call(
        self,
        client: PhaseClient<'_>,
        action: &str,
        input: &Value,
        region: &str,
        credentials: &Credentials,
    ) -> CallResult {
        let authority = client.target.authority();
        match self.sign(action, input, &authority, region, credentials) {
            Ok(request) => client.call(&request, StatusCode::is_success).await,
            Err(error) => client.unsigned(error),
        }
    }

    /// Returns the signed request for `action`. Fails with a one-line reason if it cannot be
    /// signed.
    fn sign(
        self,
        action: &str,
        input: &Value,
        authority: &str,
        region: &str,
        credentials: &Credentials,
    ) -> Result<HttpRequest, String> {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-amz-json-1.1"),
        );
        let operation = HeaderValue::from_str(&format!("{}.{action}", self.target_prefix));
        headers.insert(
            HeaderName::from_static("x-amz-target"),
            operation.map_err(|error| format!("cannot build the request: {error}"))?,
        );
        let body = Bytes::from(input.to_string());
        let mut request = hyper::Request::builder()
            .method(Method::POST)
            .uri(format!("https://{authority}/"))
            .body(body.clone())
            .map_err(|error| format!("cannot build the request: {error}"))?;
        *request.headers_mut() = headers;
        let now = SystemTime::now();
        sign::sign(&mut request, self.signing_name, region, credentials, now)
            .map_err(|error| error.to_string())?;
        Ok(HttpRequest {
            method: Method::POST,
            path: "/".into(),
            headers: std::mem::take(request.headers_mut()),
            body,
            read_body: ReadBody::Whole(MAX_API_RESPONSE_BYTES),
        })
    }
}

/// Response of GetParameters. Values are not parsed.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetParametersResponse<'a> {
    #[serde(borrow, default)]
    pub parameters: Vec<Parameter<'a>>,
    #[serde(default)]
    pub invalid_parameters: Vec<String>,
}

/// A parameter of a [`GetParametersResponse`].
#[derive(Deserialize)]
pub struct Parameter<'a> {
    #[serde(rename = "Name", default)]
    pub name: String,
    #[serde(rename = "ARN", default)]
    pub arn: String,
    /// The value as JSON, which stays in the response's buffer.
    #[serde(rename = "Value", borrow)]
    pub value: Option<&'a RawValue>,
}
