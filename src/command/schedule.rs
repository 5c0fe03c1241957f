//! `pullprobe schedule`.

use super::launch::{calls, client, of_launch};
use super::probe::runtime;
use super::{Error, print};
use crate::cli::schedule::{Action, Create, Remove, ScheduleCommand, What};
use crate::operator::calls::Calls;
use crate::operator::schedule::{self, Set};

/// Does it and says what was done.
pub fn run(command: &ScheduleCommand) -> Result<u8, Error> {
    runtime()?.block_on(async {
        match &command.action {
            Action::Create(flags) => create(flags).await,
            Action::Remove(flags) => remove(flags).await,
            Action::List { region } => {
                let calls = calls(client(region.clone(), None).await?, false);
                let lines = schedule::list(&calls).await.map_err(|error| of_launch(&error))?;
                if lines.is_empty() { print("no schedules") } else { print(&lines.join("\n")) }
            }
        }
    })
}

async fn read(what: &What, dry_run: bool) -> Result<(Calls, Set), Error> {
    let calls = calls(client(what.target.region.clone(), what.target.arn()).await?, dry_run);
    let set = schedule::read(&calls, what).await.map_err(|error| of_launch(&error))?;
    Ok((calls, set))
}

async fn create(flags: &Create) -> Result<u8, Error> {
    let (calls, set) = read(&flags.what, flags.dry_run).await?;
    let mut say = said(flags.dry_run);
    match schedule::create(&calls, &set, &flags.scheduler_role, &mut say).await {
        Ok(0) => Ok(0),
        Ok(failures) => Err(Error::Tool(format!(
            "{failures} of {} subnets are not complete: mend what is said above and repeat the command, it makes what is missing",
            set.launch.subnets.len()
        ))),
        Err(error) => Err(of_launch(&error)),
    }
}

async fn remove(flags: &Remove) -> Result<u8, Error> {
    let calls = calls(client(flags.region.clone(), None).await?, flags.dry_run);
    let mut say = said(flags.dry_run);
    let removed = schedule::remove(&calls, &flags.name, flags.keep_logs, &mut say).await;
    removed.map(|()| 0).map_err(|error| of_launch(&error))
}

/// In a dry run the requests are the output, and nothing was done.
fn said(dry_run: bool) -> impl FnMut(String) {
    move |line| {
        if !dry_run {
            let _ = print(&line);
        }
    }
}
