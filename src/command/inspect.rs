//! `pullprobe inspect`.

pub(super) mod stored_report;

use std::fs;
use std::io::Read as _;
use std::path::Path;

use super::aws::client;
use super::probe::runtime;
use super::{Error, print, style};
use crate::cli::inspect::{InspectArgs, InspectFormat};
use crate::inspect::snapshot::{SNAPSHOT_SCHEMA, Snapshot, TaskNetwork};
use crate::inspect::{Inspection, PatchLanguage, joined};
use crate::operator::dry_run::AwsCalls;
use crate::operator::inspect;
use crate::operator::launch::{self, TargetSpec};
use crate::render;
use crate::report::Report;
use crate::safe_text::escape_json;

/// Maximum number of bytes of a snapshot file: one of 5,000 security groups with 60 rules each has
/// 60 MB.
const MAX_SNAPSHOT: u64 = 256 * 1024 * 1024;

/// Reads or loads the configuration, evaluates it and prints the result. Returns the exit code of
/// the verdict.
pub fn run(args: &InspectArgs) -> Result<u8, Error> {
    let reports = match &args.report {
        Some(file) => stored_report::load(file)?,
        None => Vec::new(),
    };
    let mut snapshot = match &args.from {
        Some(file) => load(file)?,
        None => read(args, &reports)?,
    };
    snapshot.network_only |= args.plan_only;
    if let Some(file) = &args.save {
        save(file, &snapshot)?;
    }
    if let Some(problem) = snapshot.problem() {
        return Err(Error::Usage(problem));
    }
    let mut inspection = Inspection::of(&snapshot);
    if !reports.is_empty() {
        inspection = stored_report::join(inspection, &snapshot, &reports)?;
    }
    let text = match (args.patch, args.format) {
        (Some(language), _) => patches(&inspection, language),
        (None, InspectFormat::Json) => inspection.line(),
        (None, InspectFormat::Text) => render::inspection::render(&inspection, style()),
    };
    print(&text)?;
    Ok(inspection.verdict.exit_code)
}

fn read(args: &InspectArgs, reports: &[Report]) -> Result<Snapshot, Error> {
    let mut spec = TargetSpec::from(args);
    let region = reports
        .iter()
        .find_map(|report| report.vantage.region.as_ref());
    let region = region.and_then(|region| region.as_ref().parse().ok());
    spec.region = spec.region.or(region);
    let runtime = runtime()?;
    runtime.block_on(async {
        let arn = args.like.as_deref().or_else(|| spec.arn());
        let client = client(spec.region.clone(), arn).await?;
        let calls = AwsCalls::new(client, None);
        if !reports.is_empty() {
            return Box::pin(stored_report::read(args, &calls, &spec, reports)).await;
        }
        let (launch, _) = launch::resolve(&calls, &spec, args.like.as_deref(), None, false).await?;
        let task = TaskNetwork::from(&launch);
        Ok(Box::pin(inspect::read(&calls, launch.plan, task, args.plan_only)).await?)
    })
}

fn load(file: &Path) -> Result<Snapshot, Error> {
    let usage = |why: &dyn std::fmt::Display| {
        Error::Usage(format!(
            "--from {}: {why}; pass a file that `pullprobe inspect --save` wrote",
            file.display()
        ))
    };
    let mut text = String::new();
    fs::File::open(file)
        .and_then(|opened| opened.take(MAX_SNAPSHOT).read_to_string(&mut text))
        .map_err(|error| usage(&error))?;
    let mut snapshot: Snapshot = serde_json::from_str(&text).map_err(|error| usage(&error))?;
    if snapshot.schema != SNAPSHOT_SCHEMA {
        return Err(usage(&format!(
            "its schema is {:?}, not {SNAPSHOT_SCHEMA}",
            snapshot.schema
        )));
    }
    // It is not part of a plan's JSON.
    if snapshot.plan.account.is_none() {
        snapshot.plan.account = snapshot.task_account();
    }
    Ok(snapshot)
}

fn save(file: &Path, snapshot: &Snapshot) -> Result<(), Error> {
    let failed =
        |why: &dyn std::fmt::Display| Error::Tool(format!("--save {}: {why}", file.display()));
    let text = serde_json::to_string_pretty(snapshot).map_err(|error| failed(&error))?;
    fs::write(file, escape_json(text) + "\n").map_err(|error| failed(&error))
}

/// Returns the patch of each finding, with the finding as a comment.
fn patches(inspection: &Inspection, language: PatchLanguage) -> String {
    let findings = inspection.findings.iter().map(|finding| {
        let title = format!("{}: {}", finding.cause, finding.summary);
        (title, finding.patch.as_ref(), finding.remedy.as_str())
    });
    let text = joined(findings, language);
    if text.is_empty() {
        return format!("# {}\n", inspection.verdict.summary);
    }
    text
}
