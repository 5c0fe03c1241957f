//! `pullprobe gc`.

use std::time::Duration;

use jiff::Timestamp;

use super::launch::{calls, client, of_call};
use super::probe::runtime;
use super::{Error, print};
use crate::cli::launch::GcCommand;
use crate::operator::dry_run::AwsCalls;
use crate::operator::gc::{self, Leftover};
use crate::operator::launch::DEFAULT_CLUSTER;
use crate::operator::schedule;

/// Stops what is left of launches and says what it was.
pub fn run(flags: &GcCommand) -> Result<u8, Error> {
    runtime()?.block_on(async {
        let client = client(flags.region.clone(), flags.cluster.as_deref()).await?;
        let calls = calls(client, flags.dry_run);
        let stopped = tasks(&calls, flags).await;
        let deregistered = definitions(&calls, flags).await;
        stopped.and(deregistered)
    })
}

async fn tasks(calls: &AwsCalls, flags: &GcCommand) -> Result<u8, Error> {
    let cluster = flags.cluster.as_deref().unwrap_or(DEFAULT_CLUSTER);
    let mut found = gc::tasks(calls, cluster, flags.run_id.as_deref())
        .await
        .map_err(|error| of_call(&error))?;
    let now = Timestamp::now().as_duration().as_secs_f64();
    // Who names a run or an age means it. Otherwise nobody's launch is cut short.
    let means_it = flags.run_id.is_some() || flags.older_than.is_some();
    let mut kept = Vec::new();
    found.retain(|task| {
        let why = match flags.older_than {
            Some(age) => (!is_older(task, age, now)).then(|| "it is younger".to_owned()),
            None if means_it => None,
            None => task.is_watched(now),
        };
        kept.extend(
            why.as_ref()
                .map(|why| format!("left alone {}: {why}", described(task))),
        );
        why.is_none()
    });
    let mut failed = None;
    for task in &found {
        match gc::stop(calls, cluster, task).await {
            Ok(()) => {
                let done = if calls.is_dry() {
                    "would stop"
                } else {
                    "stopped"
                };
                print(&format!("{done} {}", described(task)))?;
            }
            Err(error) => {
                eprintln!("pullprobe: {} could not be stopped: {error}", task.arn);
                failed = Some(error);
            }
        }
    }
    for line in &kept {
        print(line)?;
    }
    if !kept.is_empty() {
        print("--run-id RUN stops those of a run all the same, --older-than 1s those of all")?;
    } else if found.is_empty() {
        print(&format!(
            "no task of a launch runs in the cluster {cluster}"
        ))?;
    }
    failed.map_or(Ok(0), |error| Err(of_call(&error)))
}

async fn definitions(calls: &AwsCalls, flags: &GcCommand) -> Result<u8, Error> {
    let found = match gc::definitions(calls).await {
        Ok(found) => found,
        // Nobody asked for them: what is left behind costs nothing.
        Err(error) if !flags.task_definitions => {
            eprintln!("pullprobe: the probe's task definitions could not be listed: {error}");
            return Ok(0);
        }
        Err(error) => return Err(of_call(&error)),
    };
    if flags.task_definitions && !found.is_empty() {
        deregister(calls, &found).await?;
    } else if !found.is_empty() {
        let names: Vec<_> = found
            .iter()
            .map(|arn| arn.rsplit('/').next().unwrap_or(arn))
            .collect();
        print(&format!(
            "kept for the next launch: {} (--task-definitions deregisters them)",
            names.join(", ")
        ))?;
    }
    Ok(0)
}

fn described(task: &Leftover) -> String {
    format!("{} (run {}, {})", task.arn, task.run_id, task.status)
}

/// All but those that schedules run: without them each of their runs would fail. Where that cannot
/// be read, none.
async fn deregister(calls: &AwsCalls, found: &[String]) -> Result<(), Error> {
    let used = schedule::definitions_in_use(calls).await.map_err(|error| {
        let kept = format!(
            "the probe's task definitions are kept, because it cannot be read which of them schedules run: {error}"
        );
        Error::Tool(kept)
    })?;
    for arn in found {
        // A schedule may name the family alone, and then runs its newest.
        let family = arn
            .rsplit_once(':')
            .map_or(arn.as_str(), |(family, _)| family);
        if used.contains(arn) || used.contains(family) {
            print(&format!(
                "kept {arn}: a schedule runs it (`pullprobe schedule list`)"
            ))?;
            continue;
        }
        gc::deregister(calls, arn)
            .await
            .map_err(|error| of_call(&error))?;
        print(&format!(
            "{} {arn}",
            if calls.is_dry() {
                "would deregister"
            } else {
                "deregistered"
            }
        ))?;
    }
    Ok(())
}

fn is_older(task: &Leftover, age: Duration, now: f64) -> bool {
    task.created_at
        .is_some_and(|created| now - created > age.as_secs_f64())
}
