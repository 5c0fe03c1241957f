//! One exchange turned into one observation; and one signed AWS call.

use std::time::{Duration, Instant, SystemTime};

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use serde_json::Value;
use tokio::time::sleep;

use super::exchange::{Ask, Exchange, Read};
use super::target::{self, ExchangeAttempts, Probe, Reached};
use crate::aws::credentials::Credentials;
use crate::aws::{error_response, sign};
use crate::observation::{Failure, Observation, Outcome, Phase};

/// Waits before a throttled or failing call is tried again, as the AWS SDKs do it (three attempts
/// in all), kept short because the run has a deadline.
const RETRY_AFTER: [Duration; 2] = [Duration::from_millis(250), Duration::from_millis(800)];

/// A service that asks in `Retry-After` for more seconds than these is not asked again: the run
/// would not wait for it.
const MOST_PATIENT_S: u64 = 2;

/// Bytes read of an API's answer. The largest, a batch of ten parameters of 8 KiB, stays below 128
/// KiB.
const API_LIMIT: usize = 1024 * 1024;

/// What an exchange came to: the fact, and the answer to go on with.
pub struct CallResult {
    /// The fact.
    pub observation: Observation,
    /// The answer, if there is one that is of use.
    pub answer: Option<Exchange>,
    /// Headers of a refusal.
    pub refused: HeaderMap,
}

impl CallResult {
    /// A fact without anything to go on with.
    pub fn without_answer(observation: Observation) -> Self {
        Self {
            observation,
            answer: None,
            refused: HeaderMap::new(),
        }
    }

    /// The service's error code; empty if it gave none.
    pub fn code(&self) -> &str {
        self.observation
            .answer
            .as_ref()
            .map(|answer| answer.code.as_str())
            .unwrap_or_default()
    }
}

/// Asks, and turns the answer into an observation of `phase`. `welcome` are the statuses that mean
/// yes.
pub async fn ask(
    probe: &Probe,
    reached: &Reached,
    phase: Phase,
    ask: &Ask,
    welcome: fn(&StatusCode) -> bool,
) -> CallResult {
    let started = Instant::now();
    let mut retries = RETRY_AFTER.iter();
    let mut attempts = 0;
    loop {
        let outcomes = reached.ask(ask).await;
        attempts += outcomes.attempts;
        let mut said = conclude(probe, reached, phase, outcomes, started, welcome);
        let again = matches!(
            said.observation.failure(),
            Some(Failure::Throttled | Failure::ServiceFailure)
        );
        match retries.next() {
            Some(&wait) if again && !asks_for_patience(&said.observation) => sleep(wait).await,
            _ => {
                said.observation.attempts = attempts;
                return said;
            }
        }
    }
}

/// Whether the service wants to be left alone for longer than [`MOST_PATIENT_S`]. A date is always
/// later than that.
fn asks_for_patience(observation: &Observation) -> bool {
    let limit = observation
        .answer
        .as_ref()
        .and_then(|answer| answer.rate_limit.as_ref());
    let after = limit.and_then(|limit| limit.retry_after.as_ref());
    after.is_some_and(|after| {
        after
            .trim()
            .parse()
            .map_or(true, |seconds: u64| seconds > MOST_PATIENT_S)
    })
}

fn conclude(
    probe: &Probe,
    reached: &Reached,
    phase: Phase,
    outcomes: ExchangeAttempts,
    started: Instant,
    welcome: fn(&StatusCode) -> bool,
) -> CallResult {
    let ExchangeAttempts {
        exchanged,
        small_segments_pass,
        through_small,
        peer,
        ..
    } = outcomes;
    let observe = |outcome| {
        target::at(
            probe,
            target::observe(&reached.target, phase, outcome, started),
            peer,
        )
    };
    let mut observation = match exchanged.status {
        Err(failure) => observe(Outcome::Failed { failure }),
        Ok(status) if welcome(&status) => observe(Outcome::Passed),
        Ok(status) => {
            let refusal =
                error_response::read(status.as_u16(), &exchanged.headers, &exchanged.body);
            let mut refused = observe(Outcome::Failed {
                failure: refusal.failure,
            });
            refused.detail.clone_from(&refusal.message);
            refused.answer = Some(crate::observation::Answer {
                code: refusal.code,
                message: refusal.message,
                denial: refusal.denial,
                ..exchanged.answer.clone()
            });
            refused
        }
    };
    observation.small_segments_pass = small_segments_pass;
    if observation.answer.is_none() && exchanged.status.is_ok() {
        observation.answer = Some(exchanged.answer.clone());
    }
    if observation.detail.is_empty() {
        observation.detail.clone_from(&exchanged.detail);
    }
    let last = through_small.unwrap_or(exchanged);
    match last.status {
        Ok(status) if welcome(&status) => CallResult {
            observation,
            answer: Some(last),
            refused: HeaderMap::new(),
        },
        _ => CallResult {
            observation,
            answer: None,
            refused: last.headers,
        },
    }
}

/// These APIs answer a success with a JSON object or with nothing. A 200 with anything else, such
/// as a proxy's page, is not the service's.
fn json_or_nothing(mut said: CallResult) -> CallResult {
    let is_json = |body: &[u8]| {
        body.is_empty() || serde_json::from_slice::<serde_json::Map<String, Value>>(body).is_ok()
    };
    if said
        .answer
        .as_ref()
        .is_some_and(|answer| !is_json(&answer.body))
    {
        said.observation.outcome = Outcome::Failed {
            failure: Failure::UnexpectedAnswer,
        };
        said.observation.detail = "the answer is no JSON: somebody else's".into();
        said.answer = None;
    }
    said
}

/// An AWS API that speaks JSON (AWS JSON 1.0 or 1.1 protocol).
#[derive(Debug, Clone, Copy)]
pub struct JsonApi {
    /// Signing name.
    pub service: &'static str,
    /// `X-Amz-Target` before the dot.
    pub prefix: &'static str,
}

/// Amazon ECR, version 2015-09-21.
pub const ECR: JsonApi = JsonApi {
    service: "ecr",
    prefix: "AmazonEC2ContainerRegistry_V20150921",
};
/// CloudWatch Logs, version 2014-03-28.
pub const LOGS: JsonApi = JsonApi {
    service: "logs",
    prefix: "Logs_20140328",
};
/// Secrets Manager, version 2017-10-17.
pub const SECRETS_MANAGER: JsonApi = JsonApi {
    service: "secretsmanager",
    prefix: "secretsmanager",
};
/// Systems Manager, version 2014-11-06.
pub const SSM: JsonApi = JsonApi {
    service: "ssm",
    prefix: "AmazonSSM",
};

impl JsonApi {
    /// A signed call of `action`. Fails with the signer's words.
    pub fn sign(
        self,
        action: &str,
        input: &Value,
        reached: &Reached,
        region: &str,
        credentials: &Credentials,
    ) -> Result<Ask, String> {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-amz-json-1.1"),
        );
        let target = format!("{}.{action}", self.prefix);
        let value = HeaderValue::from_str(&target).map_err(|error| error.to_string())?;
        headers.insert(HeaderName::from_static("x-amz-target"), value);
        let body = Bytes::from(input.to_string());
        let mut request = hyper::Request::builder()
            .method(Method::POST)
            .uri(format!("https://{}/", reached.authority()))
            .body(body.clone())
            .map_err(|error| error.to_string())?;
        *request.headers_mut() = headers;
        sign::sign(
            &mut request,
            self.service,
            region,
            credentials,
            SystemTime::now(),
        )
        .map_err(|error| error.to_string())?;
        let headers = std::mem::take(request.headers_mut());
        Ok(Ask {
            method: Method::POST,
            path: "/".into(),
            headers,
            body,
            read: Read::All(API_LIMIT),
        })
    }

    /// Calls `action` and turns the answer into an observation of `phase`.
    pub async fn call(
        self,
        action: &str,
        input: Value,
        (probe, reached, phase): (&Probe, &Reached, Phase),
        region: &str,
        credentials: &Credentials,
    ) -> CallResult {
        match self.sign(action, &input, reached, region, credentials) {
            Ok(signed) => {
                json_or_nothing(ask(probe, reached, phase, &signed, StatusCode::is_success).await)
            }
            Err(error) => {
                let outcome = Outcome::Failed {
                    failure: Failure::InvalidSignature,
                };
                let mut observation =
                    target::observe(&reached.target, phase, outcome, Instant::now());
                observation.detail = format!("the request could not be signed: {error}");
                CallResult::without_answer(observation)
            }
        }
    }
}
