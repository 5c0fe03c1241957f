//! The life of one function: made, awaited, invoked, deleted. Whatever happens in between, a
//! function that may exist is deleted.

use std::time::{Duration, Instant};

use hyper::Method;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::request::{
    self, FUNCTIONS, FunctionConfiguration, FunctionError, GetFunctionResponse, call,
    function_path, invoke_path,
};
use super::setup::{FunctionSetup, SubnetFacts};
use super::{FunctionCarrier, FunctionUpdate, Left};
use crate::function_limits::diagnose_in_function;
use crate::observation::{ObservationId, Phase, TargetKey, Witness};
use crate::operator::aws::{Api, CallError, Client};
use crate::operator::ecs::Task;
use crate::operator::launch::collect::{SubnetReport, read_report};
use crate::operator::launch::rate_limiter::{backoff, jitter};
use crate::operator::launch::request::Launch;
use crate::operator::launch::stopped_reason;
use crate::operator::pause::pause;
use crate::probe::{Interruption, add_derived};
use crate::redact::{one_line, redact, shorten};
use crate::report::{Report, SCHEMA};
use crate::vantage::Carrier;

/// Interval of GetFunction, of which Lambda allows 100 a second (Lambda quotas): with the largest
/// number of functions at once 40 a second are sent.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long Lambda may refuse a role that was just made: IAM is eventually consistent.
const ROLE_DELAY: Duration = Duration::from_secs(30);

/// Pause before a call that Lambda refuses for a moment is repeated.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// How long Lambda may refuse to delete a function that it is still changing: it attaches the first
/// one with these security groups in a minute or two.
pub const DELETE_TIMEOUT: Duration = Duration::from_mins(3);

/// Attempts of an invocation that is throttled or not delivered.
const MAX_INVOCATIONS: u32 = 6;

/// Time beyond the function's timeout until Invoke must have answered.
const INVOKE_MARGIN: Duration = Duration::from_secs(15);

/// Longest text of Lambda in a report.
const MAX_REASON: usize = 600;

/// The function of one subnet.
#[derive(Clone, Copy)]
pub struct Carry<'a> {
    pub carrier: &'a FunctionCarrier,
    pub setup: &'a FunctionSetup,
    /// Index of the subnet.
    pub index: usize,
}

/// Why there is no report of the function.
enum NoReport {
    Interrupted,
    Sentence(String),
    /// Lambda refused to make the function, so that there is none.
    NotMade(String),
    /// Lambda could not attach the function.
    NotAttached(FunctionConfiguration),
}

/// Makes the function, gets its report and deletes it.
pub async fn carry(carry: Carry<'_>) -> SubnetReport {
    let Carry {
        carrier,
        setup,
        index,
    } = carry;
    let launch = &carrier.launch;
    let id = &launch.subnets[index];
    let Some(facts) = setup.subnet(id) else {
        return unknown(launch, index, "Amazon EC2 did not describe the subnet");
    };
    if facts.is_ipv6_only {
        return SubnetReport::synthetic(id, not_attachable(launch, setup, facts));
    }
    let Ok(_permit) = carrier.functions.acquire().await else {
        return unknown(launch, index, INTERRUPTED);
    };
    let name = request::name(launch, id);
    let (result, note) = if carry.is_stopped() {
        (Err(NoReport::Interrupted), None)
    } else {
        carrier.set_left(&name, Left::Unfinished);
        let result = carry.run(facts, &name).await;
        let note = if matches!(result, Err(NoReport::NotMade(_))) {
            None
        } else {
            carry.show("deleting");
            carry.delete(&name).await
        };
        carrier.set_left(&name, note.clone().map_or(Left::Nothing, Left::NotDeleted));
        (result, note)
    };
    let report = match result {
        Ok(line) => {
            measured(id, &line).unwrap_or_else(|sentence| unknown(launch, index, &sentence))
        }
        Err(NoReport::Interrupted) => unknown(launch, index, INTERRUPTED),
        Err(NoReport::Sentence(sentence) | NoReport::NotMade(sentence)) => {
            unknown(launch, index, &sentence)
        }
        Err(NoReport::NotAttached(configuration)) => {
            SubnetReport::synthetic(id, not_attached(launch, id, &configuration))
        }
    };
    SubnetReport { note, ..report }
}

const INTERRUPTED: &str = "Interrupted: the function was deleted before it reported";

impl Carry<'_> {
    fn is_stopped(&self) -> bool {
        *self.carrier.stop.borrow()
    }

    /// Completes when the launch is interrupted.
    async fn stopped(&self) {
        let mut stop = self.carrier.stop.clone();
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn show(&self, state: &str) {
        let update = FunctionUpdate::State(self.index, format!("AWS Lambda: {state}"));
        let _ = self.carrier.updates.send(update);
    }

    /// Returns the answer of the function.
    async fn run(&self, facts: &SubnetFacts, name: &str) -> Result<String, NoReport> {
        self.show("creating the function");
        self.create(facts).await?;
        tokio::select! {
            answer = self.use_function(facts, name) => answer,
            () = self.stopped() => Err(NoReport::Interrupted),
        }
    }

    async fn use_function(&self, facts: &SubnetFacts, name: &str) -> Result<String, NoReport> {
        self.wait_until_active(name).await?;
        self.show("running the probe");
        self.invoke(facts, name).await
    }

    /// Calls CreateFunction. A response that was lost leaves a function of this name, which is this
    /// launch's.
    async fn create(&self, facts: &SubnetFacts) -> Result<(), NoReport> {
        let client = &self.carrier.client;
        let began = Instant::now();
        loop {
            let Ok(_permit) = self.carrier.uploads.acquire().await else {
                return Err(NoReport::Interrupted);
            };
            self.carrier.pacer.turn().await;
            let body = request::create(&self.carrier.launch, self.setup, facts, &self.setup.zip);
            let call = call("CreateFunction", Method::POST, FUNCTIONS);
            let created: Result<IgnoredAny, _> = client.rest(Api::LAMBDA, &call, Some(&body)).await;
            match created {
                Ok(_) => return Ok(()),
                Err(error) if error.code() == "ResourceConflictException" => return Ok(()),
                Err(error)
                    if is_role_unknown(&error)
                        && began.elapsed() < ROLE_DELAY
                        && !self.is_stopped() =>
                {
                    self.show("waiting until Lambda can assume the role");
                    pause(RETRY_INTERVAL, "Lambda cannot assume the role yet").await;
                }
                Err(error) => {
                    let sentence = not_done("could not be made", &error);
                    // Without a definite refusal it may have been made.
                    let is_refused = error.failure().is_some() && !error.is_transient();
                    return Err(if is_refused {
                        NoReport::NotMade(sentence)
                    } else {
                        NoReport::Sentence(sentence)
                    });
                }
            }
        }
    }

    /// Waits until Lambda has attached the function to its subnet, which takes a minute or two for
    /// the first one with these security groups.
    async fn wait_until_active(&self, name: &str) -> Result<(), NoReport> {
        let began = Instant::now();
        let path = function_path(name);
        let mut shown = String::new();
        loop {
            let call = call("GetFunction", Method::GET, &path);
            let response: Result<GetFunctionResponse, _> =
                self.carrier.client.rest(Api::LAMBDA, &call, None).await;
            let configuration = match response {
                Ok(response) => response.configuration,
                // It may not be readable yet.
                Err(error)
                    if error.code() == "ResourceNotFoundException"
                        && began.elapsed() < ROLE_DELAY =>
                {
                    FunctionConfiguration::default()
                }
                Err(error) => return Err(failed("could not be read", &error)),
            };
            let state = configuration
                .state
                .clone()
                .unwrap_or_else(|| "Pending".into());
            if state != shown {
                self.show(&state);
                shown.clone_from(&state);
            }
            match state.as_str() {
                // An old function that was never invoked has no state; ours has.
                "Active" | "Inactive" => return Ok(()),
                "Failed" => return Err(NoReport::NotAttached(configuration)),
                _ if began.elapsed() > self.carrier.launch.timeout => {
                    return Err(NoReport::Sentence(format!(
                        "AWS Lambda had not attached the function to the subnet after {} s (state {state}); try again with a \
                         longer --timeout",
                        self.carrier.launch.timeout.as_secs_f32()
                    )));
                }
                _ => pause(POLL_INTERVAL, "the function is not active").await,
            }
        }
    }

    /// Invokes the function and returns its answer, which is a report or an error.
    async fn invoke(&self, facts: &SubnetFacts, name: &str) -> Result<String, NoReport> {
        let launch = &self.carrier.launch;
        let event = request::invocation(launch, self.setup, facts)
            .map_err(|error| NoReport::Sentence(error.to_string()))?;
        let event = json!(event);
        let path = invoke_path(name);
        // This loop repeats the call, so that each attempt is counted.
        let client: Client = self
            .carrier
            .client
            .with_max_attempts(1)
            .with_timeout(request::timeout(launch) + INVOKE_MARGIN);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let sent = Instant::now();
            let call = call("Invoke", Method::POST, &path);
            let answer: Result<Box<RawValue>, CallError> =
                client.rest(Api::LAMBDA, &call, Some(&event)).await;
            match answer {
                Ok(answer) => {
                    if let Ok(mut usage) = self.carrier.usage.lock() {
                        usage.add(sent.elapsed());
                    }
                    return Ok(answer.get().to_owned());
                }
                Err(error) if attempts < MAX_INVOCATIONS && is_temporary(&error) => {
                    let length = backoff(attempts + 2, jitter());
                    pause(length, "the invocation failed").await;
                }
                Err(error) => return Err(failed("could not be invoked", &error)),
            }
        }
    }

    /// Deletes the function. Returns a note if it may be left.
    async fn delete(&self, name: &str) -> Option<String> {
        let began = Instant::now();
        let path = function_path(name);
        loop {
            self.carrier.pacer.turn().await;
            let call = call("DeleteFunction", Method::DELETE, &path);
            let deleted: Result<IgnoredAny, _> =
                self.carrier.client.rest(Api::LAMBDA, &call, None).await;
            match deleted {
                Ok(_) => return None,
                Err(error) if error.code() == "ResourceNotFoundException" => return None,
                Err(error)
                    if error.code() == "ResourceConflictException"
                        && began.elapsed() < DELETE_TIMEOUT =>
                {
                    pause(RETRY_INTERVAL, "the function is still in use").await;
                }
                Err(error) => {
                    return Some(format!(
                        "the function {name} could not be deleted: {error}; `pullprobe gc` tries again"
                    ));
                }
            }
        }
    }
}

fn failed(what: &str, error: &CallError) -> NoReport {
    NoReport::Sentence(not_done(what, error))
}

fn not_done(what: &str, error: &CallError) -> String {
    format!("The function {what}: {error}")
}

/// Whether Lambda cannot assume a role that IAM has. It has no error code for it, only this wording
/// (re:Post, "The role defined for the function cannot be assumed by Lambda").
fn is_role_unknown(error: &CallError) -> bool {
    error.code() == "InvalidParameterValueException"
        && error.to_string().contains("cannot be assumed by Lambda")
}

/// Whether an invocation may succeed in a moment: it was throttled, its network interface is not
/// ready, or Lambda failed (API reference, Invoke).
fn is_temporary(error: &CallError) -> bool {
    error.is_transient()
        || matches!(
            error.code(),
            "ResourceConflictException"
                | "ResourceNotReadyException"
                | "ENINotReadyException"
                | "EC2ThrottledException"
        )
}

/// Reads the function's answer.
fn measured(subnet: &str, answer: &str) -> Result<SubnetReport, String> {
    let document: Value = serde_json::from_str(answer).unwrap_or_default();
    if document["schema"] == SCHEMA {
        let (report, line) = read_report(answer)
            .map_err(|error| format!("The function's report cannot be read: {error}"))?;
        return Ok(SubnetReport {
            line,
            ..SubnetReport::synthetic(subnet, report)
        });
    }
    let error: FunctionError = serde_json::from_value(document).unwrap_or_default();
    let kind = error.error_type.unwrap_or_else(|| "no error type".into());
    let message = error
        .error_message
        .unwrap_or_else(|| "its answer is not a report".into());
    Err(format!(
        "The function ended without a report: {}",
        clean(&format!("{kind}: {message}"))
    ))
}

fn clean(text: &str) -> String {
    redact(&one_line(shorten(text, MAX_REASON)))
}

/// Reports a subnet about which the function says nothing; `sentence` says why.
pub fn unknown(launch: &Launch, subnet: usize, sentence: &str) -> SubnetReport {
    let id = &launch.subnets[subnet];
    SubnetReport::synthetic(id, without_report(launch, id, sentence))
}

fn without_report(launch: &Launch, subnet: &str, sentence: &str) -> Report {
    let report = stopped_reason::unknown(launch, subnet, &Task::default(), sentence);
    of_lambda(report)
}

/// Makes Lambda the witness of a report that was made as if of ECS.
fn of_lambda(mut report: Report) -> Report {
    report.vantage.carrier = Some(Carrier::Lambda);
    for seen in &mut report.observations {
        seen.witness = Some(Witness::Lambda);
        let id = ObservationId::new(TargetKey::function(), Phase::Read);
        for finding in &mut report.findings {
            finding.because = vec![id.clone()];
        }
        seen.id = id;
    }
    report
}

/// Reports a function that Lambda could not attach. Only a subnet without a free address is a fact
/// about the task as well; Lambda's other reasons are about the function.
fn not_attached(launch: &Launch, subnet: &str, configuration: &FunctionConfiguration) -> Report {
    let code = configuration
        .state_reason_code
        .as_deref()
        .unwrap_or_default();
    let reason = configuration
        .state_reason
        .as_deref()
        .unwrap_or("no reason given");
    let reason = clean(&format!("{code}: {reason}"));
    let sentence = format!("AWS Lambda could not attach the function to the subnet ({reason})");
    if code != NO_FREE_ADDRESS {
        return without_report(launch, subnet, &sentence);
    }
    of_lambda(stopped_reason::no_free_address(launch, subnet, &sentence))
}

/// `StateReasonCode` of a subnet without a free address (API reference, GetFunction).
const NO_FREE_ADDRESS: &str = "SubnetOutOfIPAddresses";

/// Reports a subnet to which Lambda attaches no function: nothing of the plan is checked.
fn not_attachable(launch: &Launch, setup: &FunctionSetup, facts: &SubnetFacts) -> Report {
    let unreached = Interruption("an IPv6-only subnet".into());
    let mut observations = add_derived(&launch.plan, Vec::new(), None, Some(&unreached));
    let task = request::task(launch, setup, facts);
    let diagnosis = diagnose_in_function(&mut observations, &task);
    let mut report = without_report(launch, &facts.id, "");
    let (run, mut vantage) = (report.run, report.vantage);
    vantage.availability_zone = facts.availability_zone.as_ref().map(Into::into);
    vantage.ip_family = Some(facts.ip_family());
    report = Report::new(run, vantage, None, observations, diagnosis, report.plan);
    // No function ran.
    for seen in &mut report.observations {
        seen.witness = Some(Witness::Lambda);
    }
    report
}
