//! `pullprobe gc`.

use jiff::Timestamp;

use super::aws::client;
use super::dry_run::DryRun;
use super::probe::runtime;
use super::{Error, print_message};
use crate::cli::launch::GcArgs;
use crate::observation::Failure;
use crate::operator::dry_run::AwsCalls;
use crate::operator::gc::{self, ProbeTask};
use crate::operator::launch::DEFAULT_CLUSTER;
use crate::operator::schedule;
use crate::operator::{last_segment, with_cluster_hint};

/// Stops orphaned tasks of launches, deletes their functions, deregisters task definitions if
/// requested, and prints all of it.
pub fn run(args: &GcArgs) -> Result<u8, Error> {
    runtime()?.block_on(async {
        let client = client(args.region.clone(), args.cluster.as_deref()).await?;
        let dry_run = DryRun::new(args.dry_run);
        let calls = AwsCalls::new(client, dry_run.as_ref().map(DryRun::sink));
        let tasks = stop_tasks(&calls, args).await;
        if let Err(Error::Usage(_)) = tasks {
            // The other calls would fail in the same way.
            return tasks;
        }
        let functions = delete_functions(&calls, args).await;
        let definitions = deregister_or_list_definitions(&calls, args).await;
        tasks.and(functions).and(definitions)
    })
}

async fn stop_tasks(calls: &AwsCalls, args: &GcArgs) -> Result<u8, Error> {
    let cluster = args.cluster.as_deref().unwrap_or(DEFAULT_CLUSTER);
    let now = Timestamp::now().as_duration().as_secs_f64();
    let (mut stop, mut kept) = (Vec::new(), Vec::new());
    let tasks = gc::tasks(calls, cluster, args.run_id.as_deref()).await;
    let tasks = tasks.map_err(|error| with_cluster_hint(error, cluster, calls.client()))?;
    for task in tasks {
        match reason_to_keep(&task, args, now) {
            Some(reason) => kept.push(format!("left alone {}: {reason}", describe(&task))),
            None => stop.push(task),
        }
    }
    let mut failed = None;
    for task in &stop {
        match gc::stop(calls, cluster, task).await {
            Ok(()) => {
                let done = if calls.is_dry() {
                    "would stop"
                } else {
                    "stopped"
                };
                print_message(&format!("{done} {}", describe(task)))?;
            }
            Err(error) => {
                super::note(&format!("{} could not be stopped: {error}", task.arn));
                failed = Some(error);
            }
        }
    }
    for line in &kept {
        print_message(line)?;
    }
    if !kept.is_empty() {
        print_message(
            "use --run-id RUN to stop one run anyway, or --older-than 1s to stop all of them",
        )?;
    } else if stop.is_empty() {
        print_message(&format!("no launch tasks are running in cluster {cluster}"))?;
    }
    failed.map_or(Ok(0), |error| Err(error.into()))
}

/// Deletes orphaned functions. Without the permission to list them this is only a note: an operator
/// who never launched one does not have it.
async fn delete_functions(calls: &AwsCalls, args: &GcArgs) -> Result<u8, Error> {
    let functions = match gc::functions(calls, args.run_id.as_deref()).await {
        Ok(functions) => functions,
        Err(error) if error.failure() == Some(Failure::Denied) => {
            super::note(&format!(
                "Lambda functions left behind, if there are any, could not be listed: {error}"
            ));
            return Ok(0);
        }
        Err(error) => return Err(error.into()),
    };
    let now = Timestamp::now().as_duration().as_secs_f64();
    let mut failed = None;
    for function in functions {
        let watched = function.watched_by(now);
        let name = format!("the function {} (run {})", function.name, function.run_id);
        if let Some(reason) = kept_because(function.created_at, watched, args, now) {
            print_message(&format!("left alone {name}: {reason}"))?;
            continue;
        }
        match gc::delete_function(calls, &function).await {
            Ok(()) => {
                let done = if calls.is_dry() {
                    "would delete"
                } else {
                    "deleted"
                };
                print_message(&format!("{done} {name}"))?;
            }
            Err(error) => {
                super::note(&format!("{name} could not be deleted: {error}"));
                failed = Some(error);
            }
        }
    }
    failed.map_or(Ok(0), |error| Err(error.into()))
}

/// Returns why a task is not stopped. A run or an age that the operator gives takes precedence over
/// a launch that still watches the task.
fn reason_to_keep(task: &ProbeTask, args: &GcArgs, now: f64) -> Option<String> {
    kept_because(task.created_at, task.watched_by(now), args, now)
}

fn kept_because(
    created_at: Option<f64>,
    watched: Option<String>,
    args: &GcArgs,
    now: f64,
) -> Option<String> {
    match args.older_than {
        Some(age) => {
            let is_older = created_at.is_some_and(|created| now - created > age.as_secs_f64());
            (!is_older).then(|| "it is younger than --older-than".to_owned())
        }
        None if args.run_id.is_some() => None,
        None => watched,
    }
}

fn describe(task: &ProbeTask) -> String {
    format!("{} (run {}, {})", task.arn, task.run_id, task.status)
}

async fn deregister_or_list_definitions(calls: &AwsCalls, args: &GcArgs) -> Result<u8, Error> {
    let definitions = match gc::definitions(calls).await {
        Ok(definitions) => definitions,
        // The operator did not request this, and they cost nothing.
        Err(error) if !args.task_definitions => {
            super::note(&format!(
                "the probe's task definitions could not be listed: {error}"
            ));
            return Ok(0);
        }
        Err(error) => return Err(error.into()),
    };
    if definitions.is_empty() {
        return Ok(0);
    }
    if args.task_definitions {
        return deregister(calls, &definitions).await;
    }
    let names: Vec<_> = definitions.iter().map(|arn| last_segment(arn)).collect();
    print_message(&format!(
        "kept for the next launch: {} (use --task-definitions to deregister them)",
        names.join(", ")
    ))
}

/// Deregisters all task definitions but those that schedules use, whose runs would fail. If the
/// schedules cannot be read, deregisters none.
async fn deregister(calls: &AwsCalls, definitions: &[String]) -> Result<u8, Error> {
    let used = schedule::definitions_in_use(calls).await.map_err(|error| {
        Error::Tool(format!(
            "the probe's task definitions are kept, because the schedules that may use them could not be read: {error}"
        ))
    })?;
    for arn in definitions {
        // A schedule may name only the family, and then runs its latest revision.
        let family = arn
            .rsplit_once(':')
            .map_or(arn.as_str(), |(family, _)| family);
        if used.contains(arn) || used.contains(family) {
            print_message(&format!(
                "kept {arn}: used by a schedule (`pullprobe schedule list`)"
            ))?;
            continue;
        }
        gc::deregister(calls, arn).await?;
        let done = if calls.is_dry() {
            "would deregister"
        } else {
            "deregistered"
        };
        print_message(&format!("{done} {arn}"))?;
    }
    Ok(0)
}
