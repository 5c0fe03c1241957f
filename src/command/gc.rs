//! `pullprobe gc`.

use std::time::Duration;

use jiff::Timestamp;

use super::launch::{calls, client, of_call};
use super::probe::runtime;
use super::{Error, print};
use crate::cli::launch::GcCommand;
use crate::operator::calls::Calls;
use crate::operator::gc::{self, Leftover};
use crate::operator::launch::DEFAULT_CLUSTER;

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

async fn tasks(calls: &Calls, flags: &GcCommand) -> Result<u8, Error> {
    let cluster = flags.cluster.as_deref().unwrap_or(DEFAULT_CLUSTER);
    let mut found = gc::tasks(calls, cluster, flags.run_id.as_deref()).await.map_err(|error| of_call(&error))?;
    let all = found.len();
    found.retain(|task| flags.older_than.is_none_or(|age| is_older(task, age)));
    let mut failed = None;
    for task in &found {
        match gc::stop(calls, cluster, task).await {
            Ok(()) => {
                let done = if calls.is_dry() { "would stop" } else { "stopped" };
                print(&format!("{done} {} (run {}, {})", task.arn, task.run_id, task.status))?;
            }
            Err(error) => {
                eprintln!("pullprobe: {} could not be stopped: {error}", task.arn);
                failed = Some(error);
            }
        }
    }
    if found.is_empty() {
        let younger = if all == 0 { String::new() } else { format!(", {all} that are younger were left alone") };
        print(&format!("no task of a launch runs in the cluster {cluster}{younger}"))?;
    }
    failed.map_or(Ok(0), |error| Err(of_call(&error)))
}

async fn definitions(calls: &Calls, flags: &GcCommand) -> Result<u8, Error> {
    let found = match gc::definitions(calls).await {
        Ok(found) => found,
        // Nobody asked for them: what is left behind costs nothing.
        Err(error) if !flags.task_definitions => {
            eprintln!("pullprobe: the probe's task definitions could not be listed: {error}");
            return Ok(0);
        }
        Err(error) => return Err(of_call(&error)),
    };
    if flags.task_definitions {
        for arn in &found {
            gc::deregister(calls, arn).await.map_err(|error| of_call(&error))?;
            print(&format!("{} {arn}", if calls.is_dry() { "would deregister" } else { "deregistered" }))?;
        }
    } else if !found.is_empty() {
        let names: Vec<_> = found.iter().map(|arn| arn.rsplit('/').next().unwrap_or(arn)).collect();
        print(&format!("kept for the next launch: {} (--task-definitions deregisters them)", names.join(", ")))?;
    }
    Ok(0)
}

fn is_older(task: &Leftover, age: Duration) -> bool {
    let now = Timestamp::now().as_duration().as_secs_f64();
    task.created_at.is_some_and(|created| now - created > age.as_secs_f64())
}
