//! `pullprobe schedule`.

use super::launch::{calls, client, of_launch};
use super::probe::runtime;
use super::{Error, print};
use crate::cli::schedule::{Action, Create, Remove, ScheduleCommand, What};
use crate::operator::dry_run::AwsCalls;
use crate::operator::launch;
use crate::operator::schedule::{self, Set};

/// Does it and says what was done.
pub fn run(command: &ScheduleCommand) -> Result<u8, Error> {
    runtime()?.block_on(async {
        match &command.action {
            Action::Create(flags) => create(flags).await,
            Action::Print(flags) => {
                let (_, set) = read(&flags.what, false).await?;
                print(&schedule::print(&set, flags.format).map_err(|error| of_launch(&error))?)
            }
            Action::Remove(flags) => remove(flags).await,
            Action::List { region } => {
                let calls = calls(client(region.clone(), None).await?, false);
                let lines = schedule::list(&calls)
                    .await
                    .map_err(|error| of_launch(&error))?;
                if lines.is_empty() {
                    print("no schedules")
                } else {
                    print(&lines.join("\n"))
                }
            }
        }
    })
}

async fn read(what: &What, dry_run: bool) -> Result<(AwsCalls, Set), Error> {
    let calls = calls(
        client(what.target.region.clone(), what.target.arn()).await?,
        dry_run,
    );
    let set = schedule::read(&calls, what)
        .await
        .map_err(|error| of_launch(&error))?;
    Ok((calls, set))
}

async fn create(flags: &Create) -> Result<u8, Error> {
    let (calls, set) = read(&flags.what, flags.dry_run).await?;
    let mut say = said(flags.dry_run);
    let created =
        schedule::create(&calls, &set, &flags.scheduler_role, flags.enable, &mut say).await;
    complete(created)
}

async fn remove(flags: &Remove) -> Result<u8, Error> {
    let calls = calls(client(flags.region.clone(), None).await?, flags.dry_run);
    let mut say = said(flags.dry_run);
    complete(schedule::remove(&calls, &flags.name, flags.keep_logs, &mut say).await)
}

/// What failed was said where it happened.
fn complete(done: Result<usize, launch::Error>) -> Result<u8, Error> {
    match done {
        Ok(0) => Ok(0),
        Ok(failures) => Err(Error::Tool(format!(
            "not complete, {failures} failed: mend what is said above and repeat the command, it does what is missing"
        ))),
        Err(error) => Err(of_launch(&error)),
    }
}

/// In a dry run the requests are the output, and nothing was done.
fn said(dry_run: bool) -> impl FnMut(String) {
    move |line| {
        if !dry_run {
            let _ = print(&line);
        }
    }
}
