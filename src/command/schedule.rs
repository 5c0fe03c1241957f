//! `pullprobe schedule`.

use super::aws::client;
use super::dry_run::DryRun;
use super::launch::target_spec;
use super::probe::runtime;
use super::{Error, print, print_message};
use crate::cli::schedule::{
    CreateArgs, RemoveArgs, ScheduleArgs, ScheduleCommand, ScheduleSetArgs,
};
use crate::endpoints::Region;
use crate::operator::dry_run::AwsCalls;
use crate::operator::schedule::{
    self, AlarmState, KeepReason, ListedSchedule, RemovalReason, Resource, ScheduleChange,
    ScheduleEvent, ScheduleSet, ScheduleSpec,
};

/// Runs the command and prints what was done.
pub fn run(args: &ScheduleArgs) -> Result<u8, Error> {
    runtime()?.block_on(async {
        match &args.command {
            ScheduleCommand::Create(args) => create(args).await,
            ScheduleCommand::Print(args) => {
                let (_, set) = resolve(&args.set, None).await?;
                print(&schedule::print(&set, args.format)?)
            }
            ScheduleCommand::Remove(args) => remove(args).await,
            ScheduleCommand::List { region } => {
                let calls = AwsCalls::new(client(region.clone(), None).await?, None);
                let schedules = schedule::list(&calls).await?;
                if schedules.is_empty() {
                    return print_message("no schedules");
                }
                for row in table(&schedules) {
                    print_message(&row)?;
                }
                Ok(0)
            }
        }
    })
}

impl From<&ScheduleSetArgs> for ScheduleSpec {
    fn from(args: &ScheduleSetArgs) -> Self {
        Self {
            target: target_spec(&args.target),
            name: args.name.clone(),
            interval_minutes: args.every,
            log_group: args.log_group.clone(),
            retention_days: args.retention,
            metrics: args.metrics,
            alarm_actions: args.alarm_actions.clone(),
            dashboard: args.dashboard,
        }
    }
}

async fn resolve(
    args: &ScheduleSetArgs,
    dry_run: Option<&DryRun>,
) -> Result<(AwsCalls, ScheduleSet), Error> {
    let spec = ScheduleSpec::from(args);
    let client = client(spec.target.region.clone(), spec.target.arn()).await?;
    let calls = AwsCalls::new(client, dry_run.map(DryRun::sink));
    let set = schedule::resolve(&calls, &spec).await?;
    for note in &set.notes {
        super::note(note);
    }
    Ok((calls, set))
}

async fn create(args: &CreateArgs) -> Result<u8, Error> {
    let dry_run = DryRun::new(args.dry_run);
    let (calls, set) = resolve(&args.set, dry_run.as_ref()).await?;
    super::note(&format!("it costs {}", set.monthly_cost().describe()));
    let mut show = show_events(calls.is_dry());
    let failures =
        schedule::create(&calls, &set, &args.scheduler_role, args.enable, &mut show).await?;
    let code = result(failures)?;
    if let Some(dry_run) = dry_run {
        return dry_run.print("this command");
    }
    show_next(&set, calls.client().region())?;
    Ok(code)
}

/// Says where the results are read, and what is missing for an alarm to reach a person.
fn show_next(set: &ScheduleSet, region: &Region) -> Result<(), Error> {
    if set.alarm_actions.is_empty() {
        print_message(
            "! the alarms have no action, so they send no message: repeat this command with --alarm-action and the ARN of an \
             Amazon SNS topic",
        )?;
    }
    print_message(&format!(
        "results: pullprobe compare --log-group {} --region {region}\nstates:  pullprobe schedule list --region {region}",
        set.log_group
    ))?;
    Ok(())
}

async fn remove(args: &RemoveArgs) -> Result<u8, Error> {
    let dry_run = DryRun::new(args.dry_run);
    let sink = dry_run.as_ref().map(DryRun::sink);
    let calls = AwsCalls::new(client(args.region.clone(), None).await?, sink);
    let mut show = show_events(calls.is_dry());
    let failures = schedule::remove(&calls, &args.name, args.keep_logs, &mut show).await?;
    let code = result(failures)?;
    dry_run.map_or(Ok(code), |dry_run| dry_run.print("this command"))
}

fn result(failures: usize) -> Result<u8, Error> {
    match failures {
        0 => Ok(0),
        failures => Err(Error::Tool(format!(
            "{failures} failed; fix the errors above and run the command again, which repeats only what is missing"
        ))),
    }
}

/// Prints each event. In a dry run nothing is done.
fn show_events(dry_run: bool) -> impl FnMut(&ScheduleEvent) {
    move |event| {
        if !dry_run {
            let _ = print_message(&line(event));
        }
    }
}

fn line(event: &ScheduleEvent) -> String {
    match event {
        ScheduleEvent::Created(resource) => format!("{}: created", name(resource)),
        ScheduleEvent::Removed(resource) => format!("{}: removed", name(resource)),
        ScheduleEvent::Kept(resource, reason) => {
            let resource = name(resource);
            match reason {
                KeepReason::ForeignAtCreation => format!(
                    "{resource}: already exists and is not managed by this schedule; retention unchanged"
                ),
                KeepReason::ForeignAtRemoval => {
                    format!("{resource}: kept, not created by this schedule")
                }
                KeepReason::Requested => format!("{resource}: kept"),
            }
        }
        ScheduleEvent::Scheduled {
            subnet,
            change,
            rate,
            alarms,
        } => scheduled(subnet, *change, rate, alarms),
        ScheduleEvent::Unscheduled { subnet, reason } => match reason {
            RemovalReason::SetRemoved => format!("{subnet}: schedule removed"),
            RemovalReason::SubnetRemoved => {
                format!(
                    "{subnet}: schedule removed, because the subnet is no longer part of the set"
                )
            }
        },
        ScheduleEvent::AlarmsRemoved(count) => format!("{count} alarms removed"),
        ScheduleEvent::Failed { resource, error } => format!("{}: FAILED: {error}", name(resource)),
        ScheduleEvent::NotRemoved {
            role,
            task_definition,
        } => format!(
            "not removed: the role {}, and the probe's task definition {}, which costs nothing and is reused by launches \
             (`pullprobe gc --task-definitions` deregisters those that no schedule uses)",
            role.as_deref().unwrap_or("of the schedules"),
            task_definition.as_deref().unwrap_or_default(),
        ),
    }
}

fn name(resource: &Resource) -> String {
    match resource {
        Resource::ScheduleGroup(name) => format!("schedule group {name}"),
        Resource::LogGroup(name) => format!("log group {name}"),
        Resource::Schedule(subnet) => subnet.clone(),
        Resource::Alarms => "alarms".into(),
        Resource::Dashboard(name) => format!("dashboard {name}"),
        Resource::StaleAlarms => "alarms of removed subnets".into(),
    }
}

fn scheduled(subnet: &str, change: ScheduleChange, rate: &str, alarms: &AlarmState) -> String {
    let change = match change {
        ScheduleChange::Created => "created",
        ScheduleChange::Updated => "updated",
        ScheduleChange::UpdatedStillDisabled => {
            "updated; still DISABLED, as configured manually (use --enable)"
        }
    };
    match alarms {
        AlarmState::Enabled => format!("{subnet}: {change}, {rate}, with two alarms"),
        AlarmState::ActionsStillDisabled => format!(
            "{subnet}: {change}, {rate}, with two alarms; alarm actions remain disabled, as configured manually (use \
             --enable to re-enable)"
        ),
        AlarmState::Failed(errors) => format!(
            "{subnet}: {change}, but its alarms FAILED: {}",
            errors.join("; ")
        ),
    }
}

const HEADINGS: [&str; 7] = [
    "NAME", "SUBNET", "EVERY", "STATE", "FAILED", "NO DATA", "MADE BY",
];

/// Formats schedules as the lines of a table.
fn table(schedules: &[ListedSchedule]) -> Vec<String> {
    let cells = |schedule: &ListedSchedule| {
        [
            schedule.set.clone(),
            schedule.subnet.clone().unwrap_or_else(|| "none".into()),
            schedule.interval.clone(),
            schedule.state.clone(),
            schedule.failed.clone(),
            schedule.no_data.clone(),
            schedule.made_by.clone(),
        ]
    };
    let rows: Vec<_> = std::iter::once(HEADINGS.map(str::to_owned))
        .chain(schedules.iter().map(cells))
        .collect();
    let mut widths = [0; HEADINGS.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let format_row = |row: &[String; HEADINGS.len()]| {
        let cells = row.iter().zip(widths);
        let cells: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(format_row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_columns_are_aligned() {
        let schedule = |name: &str| ListedSchedule {
            set: name.into(),
            subnet: Some("subnet-1".into()),
            interval: "15 minutes".into(),
            state: "ENABLED".into(),
            failed: "OK".into(),
            no_data: "ALARM".into(),
            made_by: "others".into(),
        };
        let lines = table(&[schedule("a"), schedule("prod.web")]);
        assert_eq!(
            lines,
            [
                "NAME      SUBNET    EVERY       STATE    FAILED  NO DATA  MADE BY",
                "a         subnet-1  15 minutes  ENABLED  OK      ALARM    others",
                "prod.web  subnet-1  15 minutes  ENABLED  OK      ALARM    others",
            ]
        );
    }
}
