//! `pullprobe inspect --report`: which subnet a stored report is of, and the join.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::cli::inspect::InspectArgs;
use crate::command::{Error, note};
use crate::compare::log_envelope::find_reports;
use crate::inspect::Inspection;
use crate::inspect::snapshot::{Snapshot, TaskNetwork};
use crate::operator::dry_run::AwsCalls;
use crate::operator::inspect;
use crate::operator::launch::{self, Launch, SERVICE_LABEL, SUBNET_LABEL, TargetSpec};
use crate::plan::Plan;
use crate::report::{Report, SCHEMA};

/// Maximum number of bytes of a file of reports: 500 subnets, the most of one launch, with the
/// largest report each.
const MAX_FILE: u64 = 128 * 1024 * 1024;

/// Reads the reports of a file: one or more lines of JSON, as `probe` and `launch` print them, or
/// one document.
pub fn load(file: &Path) -> Result<Vec<Report>, Error> {
    let usage = |why: &dyn std::fmt::Display| {
        Error::Usage(format!(
            "--report {}: {why}; pass what `pullprobe probe --format json` or `pullprobe launch --format json` printed",
            file.display()
        ))
    };
    let mut text = String::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().take(MAX_FILE).read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|opened| opened.take(MAX_FILE).read_to_string(&mut text))
    };
    read.map_err(|error| usage(&error))?;
    let mut lines = Vec::new();
    for line in text.lines() {
        find_reports(line, &mut |report| lines.push(report.to_owned()));
    }
    if lines.is_empty() {
        find_reports(&text, &mut |report| lines.push(report.to_owned()));
    }
    let mut reports = Vec::new();
    for line in &lines {
        let report: Report = serde_json::from_str(line).map_err(|error| usage(&error))?;
        if report.schema != SCHEMA {
            return Err(usage(&format!(
                "a report is a {:?} and not a {SCHEMA}",
                report.schema
            )));
        }
        reports.push(report);
    }
    if reports.is_empty() {
        return Err(usage(&format!("it has no {SCHEMA}")));
    }
    Ok(reports)
}

/// Returns the plan of a report, unless it was left out.
fn plan_of(report: &Report) -> Option<Plan> {
    serde_json::from_value(report.plan.clone()).ok()
}

/// Reads the configuration around the tasks of the reports.
pub async fn read(
    args: &InspectArgs,
    calls: &AwsCalls,
    spec: &TargetSpec,
    reports: &[Report],
) -> Result<Snapshot, Error> {
    let is_named = args.service.is_some() || args.like.is_some() || args.task_definition.is_some();
    let launch = if is_named {
        let like = args.like.as_deref();
        Some(launch::resolve(calls, spec, like, None, false).await?.0)
    } else if args.subnets.is_empty() {
        of_report(calls, spec, &reports[0]).await
    } else {
        None
    };
    let mut plan = reports
        .iter()
        .find_map(plan_of)
        .or_else(|| launch.as_ref().map(|launch| launch.plan.clone()))
        .ok_or_else(|| {
            Error::Usage(
                "the report has no plan, which says what the task contacts; add --service or --task-definition".into(),
            )
        })?;
    let mut task = match &launch {
        Some(launch) => TaskNetwork::from(launch),
        None => TaskNetwork {
            subnets: args.subnets.clone(),
            security_groups: args.security_groups.clone(),
            assign_public_ip: args.assign_public_ip,
            only_subnets_known: args.security_groups.is_empty(),
            ..TaskNetwork::default()
        },
    };
    if let Some(launch) = launch {
        plan.execution_role = plan.execution_role.or(launch.plan.execution_role);
        plan.account = plan.account.or(launch.plan.account);
    }
    if task.only_subnets_known {
        note(
            "the task's security groups are not known, so filters cannot be judged; add --service, or --security-groups",
        );
    }
    if args.subnets.is_empty() {
        for report in reports {
            for subnet in subnets_named_by(calls, &task, report).await? {
                if !task.subnets.contains(&subnet) {
                    task.subnets.push(subnet);
                }
            }
        }
    }
    Ok(Box::pin(inspect::read(calls, plan, task, args.plan_only)).await?)
}

/// Reads the service or task that a report names.
async fn of_report(calls: &AwsCalls, spec: &TargetSpec, report: &Report) -> Option<Launch> {
    let service = report.run.labels.get(SERVICE_LABEL).cloned();
    let task = report.vantage.task_arn.as_ref().map(ToString::to_string);
    if service.is_none() && task.is_none() {
        return None;
    }
    let like = task.as_deref().filter(|_| service.is_none());
    let cluster = report.vantage.cluster.as_ref().map(ToString::to_string);
    let spec = TargetSpec {
        service: service.clone(),
        cluster: spec.cluster.clone().or(cluster),
        ..spec.clone()
    };
    match launch::resolve(calls, &spec, like, None, false).await {
        Ok((launch, _)) => Some(launch),
        Err(error) => {
            let name = service.or(task).unwrap_or_default();
            note(&format!(
                "{name}, which the report names, was not read: {error}"
            ));
            None
        }
    }
}

/// Returns the subnet that a report names and the task's settings do not, or those with its CIDR
/// block if the settings name none.
async fn subnets_named_by(
    calls: &AwsCalls,
    task: &TaskNetwork,
    report: &Report,
) -> Result<Vec<String>, Error> {
    if let Some(subnet) = report.run.labels.get(SUBNET_LABEL) {
        return Ok(vec![subnet.clone()]);
    }
    let Some(block) = report.vantage.subnet_cidr else {
        return Ok(Vec::new());
    };
    if !task.subnets.is_empty() && !task.only_subnets_known {
        return Ok(Vec::new());
    }
    let zone = report.vantage.availability_zone.as_ref();
    let found = inspect::find_subnets(calls, block, zone.map(AsRef::as_ref)).await?;
    match found.as_slice() {
        [_] => Ok(found),
        [] => Err(Error::Usage(format!(
            "no subnet {block} is visible to this account; name the report's subnet with --subnets"
        ))),
        several => Err(Error::Usage(format!(
            "{} subnets are {block}: {}; name the report's with --subnets",
            several.len(),
            several.join(", ")
        ))),
    }
}

/// Returns the subnet of a report among those of the snapshot.
fn subnet_of<'a>(snapshot: &'a Snapshot, report: &'a Report) -> Result<&'a str, Error> {
    let task = &snapshot.task.subnets;
    let run = &report.run.id;
    let block = report.vantage.subnet_cidr;
    let block_of = |id: &str| {
        let subnet = snapshot.subnet(id)?;
        Some([subnet.cidr, subnet.ipv6_cidr])
    };
    if let Some(label) = report.run.labels.get(SUBNET_LABEL)
        && let Some(subnet) = task.iter().find(|subnet| *subnet == label)
    {
        return Ok(subnet);
    }
    let same_block: Vec<&String> = match block {
        Some(block) => task
            .iter()
            .filter(|id| block_of(id).is_none_or(|blocks| blocks.contains(&Some(block))))
            .collect(),
        None => task.iter().collect(),
    };
    match (same_block.as_slice(), block) {
        ([subnet], _) => Ok(subnet),
        ([], Some(block)) => Err(Error::Usage(format!(
            "the report of run {run} is of the subnet {block}, which is not among {}; pass a report of one of these subnets, or \
             its own subnet with --subnets",
            task.join(", ")
        ))),
        _ => Err(Error::Usage(format!(
            "the report of run {run} does not say which of {} it is of; name one with --subnets",
            task.join(", ")
        ))),
    }
}

/// Joins an inspection with the reports of its subnets.
pub fn join(
    inspection: Inspection,
    snapshot: &Snapshot,
    reports: &[Report],
) -> Result<Inspection, Error> {
    let mut joined = Vec::new();
    for report in reports {
        joined.push(inspect::packets(
            snapshot,
            subnet_of(snapshot, report)?,
            report,
        ));
    }
    Ok(inspection.joined_with(&joined))
}
