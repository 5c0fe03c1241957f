//! The functions of `fleet print`: the same binary, invoked by the state machine or by EventBridge.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum as _;
use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;

use crate::command::{Error, note, print};
use crate::operator::OperatorError;
use crate::operator::aws::Client;
use crate::operator::fleet;
use crate::operator::fleet::event::{
    BUCKET_VARIABLE, CARRIER_VARIABLE, EXTERNAL_ID_VARIABLE, FleetEvent, FleetStep, NAME_VARIABLE,
    ROLE_VARIABLE, TOPIC_VARIABLE,
};
use crate::operator::fleet::failed_start::{self, FailedStart};
use crate::operator::fleet::reduce;
use crate::operator::fleet::role::{RoleToAssume, SPOKE_ROLE};
use crate::operator::fleet::store::{FleetRun, ResultStore};
use crate::operator::fleet::target::FleetTargetList;
use crate::operator::fleet::worker::{self, ProbeSpec, TargetOutcome, TargetResult};
use crate::operator::launch::function::DELETION_TIMEOUT;
use crate::operator::launch::{CarrierChoice, FunctionSpec};
use crate::operator::s3::Bucket;
use crate::plan::{Expect, Platform};

/// Why an event has no answer.
#[derive(Debug)]
pub enum FleetError {
    /// AWS throttled the worker: the state machine retries it later.
    Throttled(String),
    /// The event, or the function, cannot be used.
    Other(Error),
}

impl<E: Into<Error>> From<E> for FleetError {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// Time of an invocation that is reserved for the answer.
const ANSWER_RESERVE: Duration = Duration::from_secs(5);

/// Time of an invocation if Lambda does not say when it ends.
const DEFAULT_TIME: Duration = Duration::from_mins(10);

/// Answers an event; `left` is the time until Lambda ends the function.
pub async fn answer(event: FleetEvent, left: Option<Duration>) -> Result<String, FleetError> {
    let end = Instant::now() + left.unwrap_or(DEFAULT_TIME).saturating_sub(ANSWER_RESERVE);
    let client = Client::load(None).await?;
    match event {
        FleetEvent::Unrelated => Ok(json!({ "ignored": "not a failed start" }).to_string()),
        FleetEvent::FailedStart(failed) => failed_start(&client, &failed, end).await,
        FleetEvent::Step(FleetStep::Probe { run, date, target }) => {
            let (run, store) = (FleetRun::new(&run, &date)?, store(&client).await?);
            let spec = probe_spec(&run, end);
            let stop = std::future::pending();
            let probed = worker::probe(&client, &run, &target, &spec, &store, stop);
            let result = Box::pin(probed).await?;
            if result.outcome == TargetOutcome::Throttled {
                return Err(FleetError::Throttled(result.summary));
            }
            Ok(result.line())
        }
        FleetEvent::Step(FleetStep::NoResult {
            run,
            date,
            target,
            error,
        }) => {
            let (run, store) = (FleetRun::new(&run, &date)?, store(&client).await?);
            let (outcome, why) = if error.is_throttling() {
                (
                    TargetOutcome::Throttled,
                    "AWS throttled it until the last attempt",
                )
            } else if error.is_timeout() {
                (TargetOutcome::TimedOut, "the worker did not end in time")
            } else {
                (TargetOutcome::Failed, "the worker failed")
            };
            let summary = format!("{why} ({}): {}", error.error, error.cause);
            let result = TargetResult::without_reports(&run, &target, outcome, &summary);
            worker::store_result(&run, &result, &store).await?;
            Ok(result.line())
        }
        FleetEvent::Step(FleetStep::Reduce { run, date, targets }) => {
            let (run, store) = (FleetRun::new(&run, &date)?, store(&client).await?);
            reduce_all(&client, &run, &targets, &store).await
        }
    }
}

/// Compares all reports, writes the metrics to the log, and publishes the message.
async fn reduce_all(
    client: &Client,
    run: &FleetRun,
    targets: &str,
    store: &ResultStore,
) -> Result<String, FleetError> {
    let list = store.get(targets).await?.unwrap_or_default();
    let list = FleetTargetList::read(list.as_slice())
        .map_err(|error| OperatorError::Failed(format!("{targets}: {error}")))?;
    for text in &list.notes {
        note(&format!("{targets}: {text}"));
    }
    let (summary, _) = reduce::reduce(run, Some(&list.targets), store).await?;
    let name = variable(NAME_VARIABLE).unwrap_or_else(|| SPOKE_ROLE.to_owned());
    let metrics = summary.metrics(&name, Timestamp::now().as_millisecond());
    print(&metrics.to_string())?;
    if let Some(topic) = variable(TOPIC_VARIABLE) {
        let (subject, text) = summary.message();
        fleet::publish(client, &topic, &subject, &text).await?;
    }
    // Step Functions passes at most 256 KB on, and the rest is in the store.
    Ok(json!({
        "run": summary.run,
        "summary": summary.summary,
        "exit_code": summary.exit_code,
        "vantages": summary.vantages,
        "failing": summary.failing,
        "no_report": summary.no_report,
        "worst": summary.worst,
        "comparison": summary.comparison,
        "page": summary.page,
    })
    .to_string())
}

/// Probes in place of a task that failed to start, and publishes the verdict.
async fn failed_start(
    client: &Client,
    failed: &FailedStart,
    end: Instant,
) -> Result<String, FleetError> {
    let bucket = Bucket::find(client, &needed(BUCKET_VARIABLE)?).await?;
    // A function may take minutes to delete.
    let last = end - DELETION_TIMEOUT.min(end.duration_since(Instant::now()) / 2);
    let stop = tokio::time::sleep_until(last);
    let function = function_spec();
    let probed = failed_start::probe(
        client,
        failed,
        &bucket,
        function,
        Timestamp::now(),
        end,
        stop,
    );
    let Some(verdict) = Box::pin(probed).await? else {
        let who = failed.service.as_deref().unwrap_or(&failed.cluster);
        return Ok(
            json!({ "ignored": format!("{who} was probed within the last hour") }).to_string(),
        );
    };
    let line = verdict.line.to_string();
    print(&line)?;
    if let Some(topic) = variable(TOPIC_VARIABLE) {
        fleet::publish(client, &topic, &verdict.subject, &verdict.text).await?;
    }
    Ok(line)
}

fn probe_spec(run: &FleetRun, end: Instant) -> ProbeSpec {
    ProbeSpec {
        role: RoleToAssume {
            name: variable(ROLE_VARIABLE).unwrap_or_else(|| SPOKE_ROLE.to_owned()),
            external_id: variable(EXTERNAL_ID_VARIABLE),
            own_account: None,
            run: run.id().to_owned(),
        },
        carrier: variable(CARRIER_VARIABLE)
            .and_then(|name| CarrierChoice::from_str(&name, false).ok())
            .unwrap_or_default(),
        function: function_spec(),
        expect: Expect::Any,
        end,
    }
}

/// Environment variable with a static file for the Lambda carrier, in a build without one.
const AGENT_VARIABLE: &str = "PULLPROBE_FLEET_AGENT";

fn function_spec() -> FunctionSpec {
    let agent = variable(AGENT_VARIABLE);
    FunctionSpec {
        role: None,
        agents: agent
            .map(|file| (Platform::of("linux", "amd64"), PathBuf::from(file)))
            .into_iter()
            .collect(),
    }
}

async fn store(client: &Client) -> Result<ResultStore, Error> {
    let bucket = Bucket::find(client, &needed(BUCKET_VARIABLE)?).await?;
    Ok(ResultStore::Bucket(Box::new(bucket), String::new()))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn needed(name: &str) -> Result<String, Error> {
    variable(name).ok_or_else(|| {
        Error::Usage(format!(
            "the variable {name} is not set; create the function with the template of `pullprobe fleet print`"
        ))
    })
}
