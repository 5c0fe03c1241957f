//! `pullprobe fleet`.

pub mod function;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use super::aws::client;
use super::plan_input::environment_region;
use super::probe::{generated_id, runtime};
use super::{Error, note, print, style};
use crate::cli::fleet::{
    BundleArgs, FleetArgs, FleetCommand, FleetPrintArgs, RoleArgs, RunArgs, TargetsArgs,
};
use crate::operator::aws::Client;
use crate::operator::dry_run::AwsCalls;
use crate::operator::fleet::print::{FleetPart, FleetTemplate};
use crate::operator::fleet::role::RoleToAssume;
use crate::operator::fleet::store::{FleetRun, ResultStore};
use crate::operator::fleet::target::{FleetTarget, FleetTargetList};
use crate::operator::fleet::worker::{self, ProbeSpec, TargetOutcome, TargetResult};
use crate::operator::fleet::{self, discover, reduce};
use crate::operator::launch::FunctionSpec;
use crate::operator::launch::function::bundle_binary;
use crate::operator::s3::{Bucket, S3Uri};
use crate::os::Signals;
use crate::render;
use crate::verdict::{INCONCLUSIVE, Status};

/// Runs the command.
pub fn run(args: &FleetArgs) -> Result<u8, Error> {
    match &args.command {
        FleetCommand::Targets(args) => targets(args),
        FleetCommand::Run(args) => run_here(args),
        FleetCommand::Print(args) => print_template(args),
        FleetCommand::Bundle(args) => bundle(args),
    }
}

fn print_template(args: &FleetPrintArgs) -> Result<u8, Error> {
    let template = FleetTemplate {
        part: match (args.spoke, args.on_failure) {
            (true, _) => FleetPart::Spoke,
            (_, true) => FleetPart::FailedStarts,
            _ => FleetPart::Hub,
        },
        name: args.name.clone(),
        code: args.code.clone(),
        carrier: args.carrier,
        max_concurrency: args.max_concurrency,
        tolerated_failures: args.tolerated_failures,
        schedule: args.schedule.clone(),
        dashboard: args.dashboard,
        targets: args.targets,
        subnets: args.subnets,
    };
    print(&fleet::print::print(&template, args.format)?)
}

/// Packs a static binary as the code of the functions.
fn bundle(args: &BundleArgs) -> Result<u8, Error> {
    let file = match &args.binary {
        Some(file) => file.clone(),
        None => std::env::current_exe()
            .map_err(|error| Error::Tool(format!("this binary cannot be found: {error}")))?,
    };
    let failed = |error: io::Error| Error::Usage(format!("{}: {error}", file.display()));
    let zip = bundle_binary(&fs::read(&file).map_err(failed)?, &file)?;
    fs::write(&args.output, &zip)
        .map_err(|error| Error::Tool(format!("--output {}: {error}", args.output.display())))?;
    note(&format!(
        "{} has {} bytes; upload it, such as with aws s3 cp {} s3://BUCKET/pullprobe.zip, and pass that with --code",
        args.output.display(),
        zip.len(),
        args.output.display()
    ));
    Ok(0)
}

/// Reads a list, and notes what is wrong with it. Fails without a target.
fn read_targets(file: &Path) -> Result<FleetTargetList, Error> {
    let failed = |error: io::Error| Error::Usage(format!("{}: {error}", file.display()));
    let list = if file == Path::new("-") {
        FleetTargetList::read(io::stdin().lock())
    } else {
        FleetTargetList::read(BufReader::new(File::open(file).map_err(failed)?))
    };
    let list = list.map_err(failed)?;
    for text in &list.notes {
        note(&format!("{}: {text}", file.display()));
    }
    if list.more_notes > 0 {
        note(&format!(
            "{}: {} more lines",
            file.display(),
            list.more_notes
        ));
    }
    if list.targets.is_empty() {
        return Err(Error::Usage(format!(
            "{} has no target; a line is {{\"account\":\"123456789012\",\"region\":\"eu-west-1\",\"cluster\":\"prod\",\"service\":\"web\"}}, \
             or CSV with the header account,region,cluster,service",
            file.display()
        )));
    }
    Ok(list)
}

async fn role(client: &Client, args: &RoleArgs, run: &str) -> Result<RoleToAssume, Error> {
    let own_account = if args.assume_everywhere {
        None
    } else {
        Some(AwsCalls::new(client.clone(), None).caller_account().await?)
    };
    Ok(RoleToAssume {
        name: args.role_name.clone(),
        external_id: args.external_id.clone(),
        own_account,
        run: run.to_owned(),
    })
}

fn targets(args: &TargetsArgs) -> Result<u8, Error> {
    if let Some(file) = &args.from {
        let list = read_targets(file)?;
        let lines: Vec<String> = list.targets.iter().map(FleetTarget::line).collect();
        print(&lines.join("\n"))?;
        return Ok(if list.rejected > 0 { INCONCLUSIVE } else { 0 });
    }
    runtime()?.block_on(async {
        let client = client(args.regions.first().cloned(), None).await?;
        let accounts = if args.accounts.is_empty() {
            discover::accounts(&client).await?
        } else {
            args.accounts.clone()
        };
        let role = role(&client, &args.role, "targets").await?;
        let places = accounts
            .iter()
            .flat_map(|account| args.regions.iter().map(move |region| (account, region)));
        let (client, role) = (&client, &role);
        let reading = stream::iter(places).map(async |(account, region)| {
            let found = discover::services(client, account, region, role).await;
            (account, region, found)
        });
        // In order, so that the same accounts give the same list.
        let mut reading = std::pin::pin!(reading.buffered(MAX_ACCOUNTS));
        let (mut count, mut failures) = (0, 0);
        while let Some((account, region, found)) = reading.next().await {
            match found {
                Ok(targets) => {
                    count += targets.len();
                    for target in targets {
                        print(&target.line())?;
                    }
                }
                Err(error) => {
                    failures += 1;
                    note(&format!("{account} {region}: not read: {error}"));
                }
            }
        }
        note(&format!("{count} services in {} accounts", accounts.len()));
        Ok(if failures > 0 { INCONCLUSIVE } else { 0 })
    })
}

/// Maximum number of accounts that are read at once.
const MAX_ACCOUNTS: usize = 8;

/// Returns where `--output` says that results go.
async fn open_store(client: &Client, output: &str) -> Result<ResultStore, Error> {
    if !output.starts_with("s3://") {
        return Ok(ResultStore::Directory(output.into()));
    }
    let uri: S3Uri = output
        .parse()
        .map_err(|error| Error::Usage(format!("--output {error}")))?;
    let bucket = Bucket::find(client, &uri.bucket).await?;
    let slash = if uri.key.is_empty() || uri.key.ends_with('/') {
        ""
    } else {
        "/"
    };
    Ok(ResultStore::Bucket(
        Box::new(bucket),
        format!("{}{slash}", uri.key),
    ))
}

fn run_here(args: &RunArgs) -> Result<u8, Error> {
    let list = read_targets(&args.targets)?;
    let id = args.run_id.clone().unwrap_or_else(generated_id);
    let run = FleetRun::new(&id, &Timestamp::now().to_string())?;
    let runtime = runtime()?;
    let code = runtime.block_on(async {
        let client = client(args.region.clone().or(first_region(&list)), None).await?;
        let store = open_store(&client, &args.output).await?;
        let role = role(&client, &args.role, run.id()).await?;
        note(&format!("run {id}: {} targets", list.targets.len()));
        let (stop, stopped) = watch::channel(false);
        stop_on_signal(stop);
        let progress = RefCell::new(AccountProgress::of(&list.targets));
        let (client, run, store, progress) = (&client, &run, &store, &progress);
        let probing = stream::iter(&list.targets).map(async |target| {
            let result = if *stopped.borrow() {
                Ok(not_started(run, target))
            } else {
                let spec = probe_spec(args, role.clone());
                let mut stopped = stopped.clone();
                let stop = async move {
                    let _ = stopped.wait_for(|stopped| *stopped).await;
                };
                Box::pin(worker::probe(client, run, target, &spec, store, stop)).await
            };
            if let Ok(result) = &result {
                progress.borrow_mut().finish(result);
            }
            result
        });
        let mut probing = std::pin::pin!(probing.buffer_unordered(args.concurrency.into()));
        while let Some(result) = probing.next().await {
            let result = result?;
            // Worth a line of its own, and repeated in the summary.
            if result.outcome == TargetOutcome::Throttled {
                worker::store_result(run, &result, store).await?;
            }
        }
        let (summary, output) = reduce::reduce(run, Some(&list.targets), store).await?;
        for missing in &summary.without_report {
            note(&format!(
                "no complete report of {}: {}",
                missing.target, missing.why
            ));
        }
        note(&format!("{} Results: {}", summary.summary, args.output));
        if args.format.is_text() {
            print(&render::comparison::render(&output, style()))?;
        } else {
            print(&output.line())?;
        }
        let is_incomplete =
            list.rejected > 0 && matches!(output.comparison.status, Status::Pass | Status::Warn);
        Ok(if is_incomplete {
            INCONCLUSIVE
        } else {
            summary.exit_code
        })
    });
    runtime.shutdown_background();
    code
}

fn first_region(list: &FleetTargetList) -> Option<crate::endpoints::Region> {
    let first = list.targets.first().map(|target| target.region.clone());
    first.filter(|_| environment_region().is_none())
}

fn probe_spec(args: &RunArgs, role: RoleToAssume) -> ProbeSpec {
    ProbeSpec {
        role,
        carrier: args.carrier,
        function: FunctionSpec {
            role: None,
            agents: args.agent.agents.clone(),
        },
        expect: args.expect,
        end: Instant::now() + args.target_timeout.min(MAX_TARGET_TIMEOUT),
    }
}

/// Maximum time of a target: the credentials of its role are valid for an hour.
const MAX_TARGET_TIMEOUT: Duration = Duration::from_mins(55);

fn not_started(run: &FleetRun, target: &FleetTarget) -> TargetResult {
    let why = "interrupted before it was started";
    TargetResult::without_reports(run, target, TargetOutcome::TimedOut, why)
}

/// Ends all launches at the first signal, and this process at the second.
fn stop_on_signal(stop: watch::Sender<bool>) {
    let Ok(mut signals) = Signals::listen() else {
        return;
    };
    tokio::spawn(async move {
        signals.next().await;
        note(
            "interrupted: stopping all launches; `pullprobe gc` in an account finds what a second signal leaves",
        );
        let _ = stop.send(true);
        signals.next().await;
        std::process::exit(i32::from(INCONCLUSIVE));
    });
}

/// The progress in each account.
struct AccountProgress(BTreeMap<String, AccountCount>);

#[derive(Default)]
struct AccountCount {
    targets: usize,
    done: usize,
    vantages: usize,
    failing: usize,
    without_report: usize,
}

impl AccountProgress {
    fn of(targets: &[FleetTarget]) -> Self {
        let mut accounts: BTreeMap<String, AccountCount> = BTreeMap::new();
        for target in targets {
            accounts.entry(target.account.clone()).or_default().targets += 1;
        }
        Self(accounts)
    }

    /// Counts a result, and writes the line of its account.
    fn finish(&mut self, result: &TargetResult) {
        let Some(count) = self.0.get_mut(&result.target.account) else {
            return;
        };
        count.done += 1;
        count.vantages += result.vantages;
        count.failing += result.failing;
        count.without_report += usize::from(result.is_incomplete());
        let missing = match count.without_report {
            0 => String::new(),
            missing => format!(", {missing} without a complete report"),
        };
        note(&format!(
            "{}: {} of {} targets, {} of {} subnets fail{missing}",
            result.target.account, count.done, count.targets, count.failing, count.vantages
        ));
    }
}
