//! The probe as a function of AWS Lambda: one invocation, one run, and the report is the answer.

use std::thread;
use std::time::Duration;

use clap::Parser as _;

#[cfg(feature = "operator")]
use super::fleet::{self, function::FleetError};
use super::probe::{raise_file_limit, run_probe, runtime};
use super::{Error, note};
use crate::cli::{Cli, Command, ProbeArgs};
use crate::lambda::{Event, FunctionContext, Invocation, RuntimeApi, RuntimeApiError};
#[cfg(feature = "operator")]
use crate::operator::fleet::event::{FleetEvent, THROTTLED};
use crate::os;
use crate::vantage::RUNTIME_API_VARIABLE;

/// Time of an invocation that is reserved for the answer. Lambda ends the function at its deadline,
/// whatever it is doing.
const ANSWER_RESERVE: Duration = Duration::from_millis(500);

/// `errorType` of what Lambda shows.
const INVALID_EVENT: &str = "Pullprobe.InvalidEvent";
const RUN_FAILED: &str = "Pullprobe.RunFailed";
const INIT_FAILED: &str = "Pullprobe.InitFailed";

/// Returns the address of the Runtime API if Lambda started this process: as `bootstrap`, without
/// arguments.
pub fn runtime_api() -> Option<String> {
    let address = std::env::var(RUNTIME_API_VARIABLE).ok()?;
    (!address.is_empty() && std::env::args_os().len() <= 1).then_some(address)
}

/// Answers invocations for as long as Lambda keeps the process. Nothing is kept from one to the
/// next.
pub fn serve(address: &str) -> Result<u8, Error> {
    let api = RuntimeApi::new(address);
    os::disable_core_dumps();
    if let Err(error) = raise_file_limit() {
        let told = runtime()?.block_on(api.fail_init(INIT_FAILED, &error.to_string()));
        return Err(told.err().map_or(error, Error::from));
    }
    loop {
        // A runtime of its own ends what a run has left behind.
        let runtime = runtime()?;
        let served = runtime.block_on(serve_next(&api));
        runtime.shutdown_background();
        served?;
    }
}

async fn serve_next(api: &RuntimeApi) -> Result<(), Error> {
    let event = api.next().await?;
    #[cfg(feature = "operator")]
    if let Some(fleet_event) = FleetEvent::read(&event.body) {
        return serve_fleet(api, &event, fleet_event).await;
    }
    match answer(api, &event).await {
        Ok(report) => api.respond(&event.request_id, report).await?,
        Err(error) => {
            let kind = match error {
                Error::Usage(_) => INVALID_EVENT,
                Error::Tool(_) => RUN_FAILED,
            };
            note(&error.to_string());
            api.fail(&event.request_id, kind, &error.to_string())
                .await?;
        }
    }
    Ok(())
}

/// Answers an event of a fleet.
#[cfg(feature = "operator")]
async fn serve_fleet(
    api: &RuntimeApi,
    event: &Event,
    fleet_event: Result<FleetEvent, serde_json::Error>,
) -> Result<(), Error> {
    let answered = match fleet_event {
        Ok(fleet_event) => Box::pin(fleet::function::answer(fleet_event, event.deadline)).await,
        Err(error) => Err(FleetError::Other(Error::Usage(format!(
            "the event is not one of `pullprobe fleet print`: {error}"
        )))),
    };
    let (kind, message) = match answered {
        Ok(answer) => return Ok(api.respond(&event.request_id, answer).await?),
        Err(FleetError::Throttled(message)) => (THROTTLED, message),
        Err(FleetError::Other(error)) => match &error {
            Error::Usage(_) => (INVALID_EVENT, error.to_string()),
            Error::Tool(_) => (RUN_FAILED, error.to_string()),
        },
    };
    note(&message);
    Ok(api.fail(&event.request_id, kind, &message).await?)
}

/// Runs the probe as the event asks, and returns the line of its report.
async fn answer(api: &RuntimeApi, event: &Event) -> Result<String, Error> {
    let invocation: Invocation = serde_json::from_slice(&event.body).map_err(|error| {
        Error::Usage(format!(
            "the event is not what `pullprobe launch --carrier lambda` sends, such as {{\"arguments\": [\"--image\", \"IMAGE\"]}}: {error}"
        ))
    })?;
    let mut args = probe_args(&invocation.arguments)?;
    if let Some(left) = event.deadline {
        args.deadline = args.deadline.min(left.saturating_sub(ANSWER_RESERVE));
    }
    let context = FunctionContext {
        request_id: event.request_id.clone(),
        subnet: invocation.subnet,
        task: invocation.task,
    };
    let (api, request_id) = (api.clone(), event.request_id.clone());
    let deliver_panic = Box::new(move |report: &str| {
        // A panic interrupts the runtime of this thread.
        let (api, request_id, report) = (api.clone(), request_id.clone(), report.to_owned());
        let _ = thread::spawn(move || {
            let answer = api.respond(&request_id, report);
            runtime().map(|runtime| runtime.block_on(answer))
        })
        .join();
    });
    let report = Box::pin(run_probe(&args, Some(context), deliver_panic)).await?;
    Ok(report.line())
}

fn probe_args(arguments: &[String]) -> Result<ProbeArgs, Error> {
    let all = ["pullprobe", "probe"]
        .into_iter()
        .chain(arguments.iter().map(String::as_str));
    match Cli::try_parse_from(all) {
        Ok(Cli {
            command: Command::Probe(args),
            ..
        }) => Ok(*args),
        Ok(_) => Err(Error::Usage(
            "the arguments are not those of `pullprobe probe`".into(),
        )),
        Err(error) => Err(Error::Usage(error.to_string())),
    }
}

impl From<RuntimeApiError> for Error {
    fn from(error: RuntimeApiError) -> Self {
        Self::Tool(error.to_string())
    }
}
