//! The worker: one target in, its reports and their comparison to the store, a small result back.
//!
//! `fleet run` calls it for each target of a list, and Step Functions for each item of a map,
//! through a function of AWS Lambda. A failure of a target is its result and not an error.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::role::RoleToAssume;
use super::store::{FleetRun, ResultStore};
use super::target::FleetTarget;
use crate::compare::ComparisonBuilder;
use crate::inspect::Inspection;
use crate::inspect::snapshot::TaskNetwork;
use crate::operator::aws::{CallError, Client};
use crate::operator::dry_run::AwsCalls;
use crate::operator::error::OperatorError;
use crate::operator::inspect;
use crate::operator::launch::function::DELETION_TIMEOUT;
use crate::operator::launch::{
    self, CarrierChoice, FunctionSpec, LaunchEvent, LaunchSpec, ProbeUse, SubnetReport, TargetSpec,
};
use crate::plan::{Expect, Plan};
use crate::redact::{one_line, shorten};
use crate::report::FLEET_LABEL;
use crate::verdict::INCONCLUSIVE;

/// Name and version of a result.
pub const RESULT_SCHEMA: &str = "pullprobe/fleet-result/v1";

/// Time that an interrupted launch needs: tasks are stopped within 45 s, and their reports are
/// read.
const STOP_TIMEOUT: Duration = Duration::from_mins(1);

/// What an inspection leaves of the time of a launch, so that its end is not that of the launch.
const INSPECTION_MARGIN: Duration = Duration::from_secs(5);

/// Time for the store, after the launch.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// Maximum number of notes of a launch in a result, and of characters of each text in it: Step
/// Functions passes at most 256 KB on (Step Functions quotas).
const MAX_NOTES: usize = 10;
const MAX_TEXT_CHARS: usize = 600;

/// Time for the configuration of subnets that do not pass, which some fifty calls read, each tried
/// again where it is throttled.
pub const INSPECTION_TIMEOUT: Duration = Duration::from_mins(1);

/// Sentences about the configuration in a result.
pub const MAX_CONFIGURATION: usize = 5;

/// Time limit of a probe's run.
pub const PROBE_DEADLINE: Duration = Duration::from_secs(30);

/// From RunTask to the start of the container: less than `launch` waits, so that a function can
/// follow within the time of a worker.
pub const START_TIMEOUT: Duration = Duration::from_mins(4);

/// How a target is probed.
#[derive(Debug, Clone)]
pub struct ProbeSpec {
    pub role: RoleToAssume,
    pub carrier: CarrierChoice,
    pub function: FunctionSpec,
    pub expect: Expect,
    /// When the worker must have ended.
    pub end: Instant,
}

/// What happened to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetOutcome {
    /// There is a report of every subnet.
    Probed,
    /// The role of its account may not be assumed.
    RoleNotAssumed,
    /// AWS throttled a call until the last attempt.
    Throttled,
    /// The worker ran out of time.
    TimedOut,
    /// It could not be probed, as the summary says.
    Failed,
}

/// The result of a target: `pullprobe/fleet-result/v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetResult {
    pub schema: String,
    pub run: String,
    pub date: String,
    pub target: FleetTarget,
    pub outcome: TargetOutcome,
    pub exit_code: u8,
    /// One sentence.
    pub summary: String,
    /// Subnets with a report.
    pub vantages: usize,
    /// Those in which the task would not start.
    pub failing: usize,
    /// Subnets by cause of the first finding.
    pub causes: BTreeMap<String, usize>,
    /// Where the reports are.
    pub reports: Option<String>,
    /// Where their comparison is.
    pub comparison: Option<String>,
    /// Where the inspection of the configuration is, if a subnet does not pass.
    #[serde(default)]
    pub inspection: Option<String>,
    /// What is wrong in the configuration, and what to change.
    #[serde(default)]
    pub configuration: Vec<String>,
    /// Notes of the launch.
    pub notes: Vec<String>,
}

impl TargetResult {
    /// Returns the result of a target without reports.
    pub fn without_reports(
        run: &FleetRun,
        target: &FleetTarget,
        outcome: TargetOutcome,
        summary: &str,
    ) -> Self {
        Self {
            schema: RESULT_SCHEMA.to_owned(),
            run: run.id().to_owned(),
            date: run.date().to_owned(),
            target: target.clone(),
            outcome,
            exit_code: INCONCLUSIVE,
            summary: shorten(&one_line(summary), MAX_TEXT_CHARS).to_owned(),
            vantages: 0,
            failing: 0,
            causes: BTreeMap::new(),
            reports: None,
            comparison: None,
            inspection: None,
            configuration: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Returns the result as a line of JSON.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether the target, or one of its subnets, has no report.
    pub fn is_incomplete(&self) -> bool {
        self.outcome != TargetOutcome::Probed
    }
}

/// Probes a target, unless it was probed in this run before, and stores what was found. Fails only
/// if the store does. `stop` ends the launch early.
pub async fn probe(
    client: &Client,
    run: &FleetRun,
    target: &FleetTarget,
    spec: &ProbeSpec,
    store: &ResultStore,
    stop: impl Future<Output = ()>,
) -> Result<TargetResult, OperatorError> {
    let key = run.target_key("results", target, "json");
    if let Some(known) = store.get(&key).await?
        && let Ok(result) = serde_json::from_slice::<TargetResult>(&known)
    {
        return Ok(result);
    }
    let result = match launch_as_role(client, run, target, spec, stop).await {
        Ok(launched) => store_reports(run, target, launched, store).await?,
        Err((outcome, summary)) => TargetResult::without_reports(run, target, outcome, &summary),
    };
    // What is throttled may be repeated.
    if result.outcome != TargetOutcome::Throttled {
        store_result(run, &result, store).await?;
    }
    Ok(result)
}

/// Stores the result of a target.
pub async fn store_result(
    run: &FleetRun,
    result: &TargetResult,
    store: &ResultStore,
) -> Result<(), OperatorError> {
    let key = run.target_key("results", &result.target, "json");
    store
        .put(&key, result.line() + "\n", "application/json")
        .await
}

/// What a launch returned.
struct Launched {
    reports: Vec<SubnetReport>,
    inspection: Option<Inspection>,
    notes: Vec<String>,
    was_stopped: bool,
}

/// Why a target has no report.
type NotProbed = (TargetOutcome, String);

async fn launch_as_role(
    client: &Client,
    run: &FleetRun,
    target: &FleetTarget,
    spec: &ProbeSpec,
    stop: impl Future<Output = ()>,
) -> Result<Launched, NotProbed> {
    let last = spec.end - WRITE_TIMEOUT;
    // Only a function may take minutes to delete.
    let needed = if spec.carrier == CarrierChoice::Fargate {
        STOP_TIMEOUT
    } else {
        STOP_TIMEOUT + DELETION_TIMEOUT
    };
    let launch = async {
        let (account, region) = (&target.account, &target.region);
        let client = spec.role.client_for(client, account, region).await;
        let client = client.map_err(|error| not_assumed(target, spec, &error))?;
        let launch = launch_spec(run, target, spec);
        let calls = AwsCalls::new(client, None);
        let prepared = launch::prepare(&calls, &launch)
            .await
            .map_err(|error| not_probed(&error))?;
        let Some(prepared) = prepared else {
            return Err((TargetOutcome::Failed, "nothing was started".to_owned()));
        };
        let (was_stopped, mut notes) = (Cell::new(false), Vec::new());
        let interruption = async {
            tokio::select! {
                () = sleep_until(last - needed) => {}
                () = stop => {}
            }
            was_stopped.set(true);
        };
        let add_note = |notes: &mut Vec<String>, note: &str| {
            if notes.len() < MAX_NOTES {
                notes.push(shorten(&one_line(note), MAX_TEXT_CHARS).to_owned());
            }
        };
        let mut on_event = |event: LaunchEvent<'_>| {
            if let LaunchEvent::Note(note) = event {
                add_note(&mut notes, note);
            }
        };
        let (plan, task) = (prepared.0.plan.clone(), TaskNetwork::from(&prepared.0));
        let reports = launch::run(
            calls.client(),
            prepared,
            &launch,
            &mut on_event,
            interruption,
        )
        .await;
        let reports = reports.map_err(|error| not_probed(&error))?;
        let mut inspection = None;
        if !was_stopped.get() {
            let end = (Instant::now() + INSPECTION_TIMEOUT).min(last - INSPECTION_MARGIN);
            match inspect_failing(&calls, plan, task, &reports, end).await {
                Ok(found) => inspection = found,
                Err(why) => add_note(&mut notes, &why),
            }
        }
        Ok(Launched {
            reports,
            inspection,
            notes,
            was_stopped: was_stopped.get(),
        })
    };
    // A launch stops by itself before; this bounds the calls that prepare it.
    let launched = timeout_at(last, Box::pin(launch)).await;
    launched.unwrap_or_else(|_| {
        Err((
            TargetOutcome::TimedOut,
            "the time ran out before the launch had begun or ended; `pullprobe gc` stops the tasks that it may have left".into(),
        ))
    })
}

/// Reads the configuration of the subnets that do not pass, until `end`. What cannot be read costs
/// no finding. Fails with a note.
pub async fn inspect_failing(
    calls: &AwsCalls,
    plan: Plan,
    task: TaskNetwork,
    reports: &[SubnetReport],
    end: Instant,
) -> Result<Option<Inspection>, String> {
    let reading = Box::pin(inspect::of_failing(calls, plan, task, reports));
    let why = match timeout_at(end, reading).await {
        Ok(Ok(inspection)) => return Ok(inspection),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the time was over".to_owned(),
    };
    Err(format!(
        "the configuration was not read: {why}; the findings rest on packets alone"
    ))
}

/// Returns what an inspection found, in sentences.
pub fn configuration(inspection: &Inspection) -> Vec<String> {
    let findings = inspection.findings.iter().take(MAX_CONFIGURATION);
    let sentences = findings.map(|finding| {
        let text = format!(
            "{} ({}): {} {}",
            finding.cause, finding.confidence, finding.summary, finding.remedy
        );
        shorten(&one_line(&text), MAX_TEXT_CHARS).to_owned()
    });
    sentences.collect()
}

fn launch_spec(run: &FleetRun, target: &FleetTarget, spec: &ProbeSpec) -> LaunchSpec {
    LaunchSpec {
        target: TargetSpec {
            cluster: target.cluster.clone(),
            service: target.service.clone(),
            task_definition: target.task_definition.clone(),
            subnets: target.subnets.clone(),
            security_groups: target.security_groups.clone(),
            assign_public_ip: false,
            probe_image: None,
            probe_architecture: None,
            region: Some(target.region.clone()),
            expect: spec.expect,
            use_of_probe: ProbeUse::once(spec.carrier, &target.security_groups),
            full: false,
            deadline: PROBE_DEADLINE,
        },
        carrier: spec.carrier,
        function: spec.function.clone(),
        like: None,
        log_group: None,
        timeout: START_TIMEOUT,
        run_id: format!("{}.{}", run.id(), target.id()),
        labels: BTreeMap::from([
            ("account".to_owned(), target.account.clone()),
            (FLEET_LABEL.to_owned(), run.id().to_owned()),
        ]),
    }
}

fn not_assumed(target: &FleetTarget, spec: &ProbeSpec, error: &CallError) -> NotProbed {
    let arn = spec
        .role
        .arn(&target.account, target.region.partition().name());
    match classify(error) {
        TargetOutcome::Failed if error.failure().is_some() => (
            TargetOutcome::RoleNotAssumed,
            format!(
                "the role {arn} could not be assumed ({error}); create it with the template of `pullprobe fleet print --spoke` in that account, and check that both have the same external ID"
            ),
        ),
        outcome => (
            outcome,
            format!("the role {arn} could not be assumed: {error}"),
        ),
    }
}

fn not_probed(error: &OperatorError) -> NotProbed {
    let outcome = match error {
        OperatorError::Call(error) => classify(error),
        OperatorError::Usage(_) | OperatorError::Failed(_) => TargetOutcome::Failed,
    };
    (outcome, error.to_string())
}

fn classify(error: &CallError) -> TargetOutcome {
    if error.is_throttling() {
        TargetOutcome::Throttled
    } else {
        TargetOutcome::Failed
    }
}

/// Stores the reports of a target and their comparison.
async fn store_reports(
    run: &FleetRun,
    target: &FleetTarget,
    launched: Launched,
    store: &ResultStore,
) -> Result<TargetResult, OperatorError> {
    let mut builder = ComparisonBuilder::default();
    let mut lines = String::new();
    for report in &launched.reports {
        // The parsed report is the fallback for a line that the comparison cannot read.
        if builder.add_text(&report.line, &report.subnet) {
            lines.push_str(report.line.trim_end());
        } else {
            builder.add(&report.report);
            lines.push_str(&report.report.line());
        }
        lines.push('\n');
    }
    let output = builder.finish();
    let comparison = &output.comparison;
    let mut causes = BTreeMap::new();
    for cause in comparison
        .vantages
        .iter()
        .filter_map(|at| at.cause.as_ref())
    {
        *causes.entry(cause.clone()).or_default() += 1;
    }
    let reports_key = run.target_key("reports", target, "ndjson");
    let comparison_key = run.target_key("comparisons", target, "json");
    store
        .put(&reports_key, lines, "application/x-ndjson")
        .await?;
    let line = output.line() + "\n";
    store.put(&comparison_key, line, "application/json").await?;
    let mut inspection = None;
    if let Some(found) = &launched.inspection {
        let key = run.target_key("inspections", target, "json");
        let line = found.line() + "\n";
        store.put(&key, line, "application/json").await?;
        inspection = Some(store.location(&key));
    }
    let (outcome, summary) = if launched.was_stopped {
        let summary = format!(
            "{} The launch was stopped before its end, because the time ran out.",
            comparison.summary
        );
        (TargetOutcome::TimedOut, summary)
    } else {
        (TargetOutcome::Probed, comparison.summary.clone())
    };
    Ok(TargetResult {
        exit_code: comparison.exit_code,
        vantages: comparison.vantages.len(),
        failing: comparison.failing().count(),
        causes,
        reports: Some(store.location(&reports_key)),
        comparison: Some(store.location(&comparison_key)),
        inspection,
        configuration: launched
            .inspection
            .as_ref()
            .map(configuration)
            .unwrap_or_default(),
        notes: launched.notes,
        ..TargetResult::without_reports(run, target, outcome, &summary)
    })
}
