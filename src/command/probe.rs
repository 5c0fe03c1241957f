//! `pullprobe probe`.

use std::fs;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::plan_input::{self, PlanSource};
use super::signals::Signals;
use super::{Error, colour, print};
use crate::cli::{Format, Probe, TaskArgs};
use crate::dns;
use crate::plan::Plan;
use crate::probe::{
    Interruption, LOCAL_FILE_HINT, ObservationLog, ProbeSettings, StubResolver,
    TaskDefinitionLocation, fetch_task_definition,
};
use crate::render;
use crate::report::Report;
use crate::run::{self, Environment, RunOptions};
use crate::vantage;

/// Reads the flags, probes, prints the report, and returns its exit code.
pub fn run(flags: &Probe) -> Result<u8, Error> {
    leave_no_core();
    let resolvers = resolvers(flags)?;
    let roots = Arc::new(roots(flags)?);
    // Whatever is wrong with it is said before anything is sent.
    let given = flags
        .plan
        .as_deref()
        .map(|json| plan_in(json, &flags.wants))
        .transpose()?;
    let asked = plan_input::from_args(&flags.wants)?;
    let runtime = runtime()?;
    let report = runtime.block_on(async {
        let mut deadline = flags.deadline;
        let environment: Environment =
            Arc::new(|name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()));
        let credentials = run::spawn_credentials(&environment);
        let metadata = vantage::discover(&|name: &str| environment(name)).await;
        let plan = match (given, asked) {
            (Some(plan), _) => plan,
            (None, PlanSource::Ready(input)) => {
                plan_input::into_plan(*input, &flags.wants, &metadata)?
            }
            (None, PlanSource::Remote(document)) => {
                let region = plan_input::region(&flags.wants, &[], &metadata)?;
                let settings = ProbeSettings::for_fetch(StubResolver::new(resolvers.clone()));
                let within = LONGEST_READ.min(deadline / 2);
                let credentials = credentials.clone();
                let read = fetch_task_definition(
                    &document,
                    &region,
                    settings,
                    roots.clone(),
                    credentials,
                    within * 3 / 4,
                );
                let started = Instant::now();
                let json = in_time(read, within, &document).await?;
                deadline -= started.elapsed().min(deadline / 2);
                let input = plan_input::with_task_definition(&flags.wants, Some(&json))?;
                plan_input::into_plan(input, &flags.wants, &metadata)?
            }
        };
        let options = RunOptions {
            plan,
            metadata,
            resolvers,
            roots,
            environment,
            credentials,
            deadline,
            run_id: flags.run_id.clone().unwrap_or_else(generated_id),
            labels: flags.labels(),
            observation_log: ObservationLog::default(),
        };
        report_panics(&options);
        Box::pin(run::run(options, interrupted()))
            .await
            .map_err(Error::Tool)
    })?;
    // Whatever still waits for a silent peer is let go: the report is complete.
    runtime.shutdown_background();
    deliver(&report, flags.format)
}

/// Secrets are read into this process: whatever ends it must not write its memory to a disk. Where
/// the kernel knows no such wish, it is not told.
fn leave_no_core() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let _ = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    );
    // The limit does not hold for a kernel that hands cores to a program (core(5)).
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// One thread: the work is waiting, and threads cost memory.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(|error| Error::Tool(format!("the runtime could not start: {error}")))
}

/// Whether people read what is printed.
pub(super) fn for_people(format: Format) -> bool {
    match format {
        Format::Text => true,
        Format::Json => false,
        Format::Auto => std::io::stdout().is_terminal(),
    }
}

/// Prints the report as asked and returns its exit code.
pub(super) fn deliver(report: &Report, format: Format) -> Result<u8, Error> {
    print(&if for_people(format) {
        render::text::render(report, colour())
    } else {
        report.line()
    })?;
    Ok(report.verdict.exit_code)
}

/// From here on a bug of ours ends the process with exit code 1 and a report of what was seen.
pub fn report_panics(options: &RunOptions) {
    let (plan, run_id, observation_log) = (
        options.plan.clone(),
        options.run_id.clone(),
        options.observation_log.clone(),
    );
    std::panic::set_hook(Box::new(move |panic| {
        let error = format!("pullprobe itself is broken, please report this: {panic}");
        eprintln!("{error}");
        let _ = print(&run::after_panic(&plan, &run_id, &observation_log, error).line());
        std::process::exit(1);
    }));
}

/// Flags that come from a task definition's environment cannot be unset by an override, only
/// emptied.
fn plan_in(json: &str, wants: &TaskArgs) -> Result<Plan, Error> {
    let besides = [
        (
            "--image",
            wants.images.iter().any(|image| !image.is_empty()),
        ),
        ("--task-definition", wants.task_definition.is_some()),
        ("--secret", !wants.secrets.is_empty()),
        (
            "--log-group",
            wants
                .log_group
                .as_ref()
                .is_some_and(|group| !group.is_empty()),
        ),
        ("--expect-injected", !wants.expect_injected.is_empty()),
        ("--enable-execute-command", wants.enable_execute_command),
        ("--service-connect", wants.service_connect),
    ];
    if let Some((flag, _)) = besides.into_iter().find(|(_, given)| *given) {
        return Err(Error::Usage(format!(
            "--plan says all that {flag} says: leave one of them out, or empty it in the environment"
        )));
    }
    Plan::from_json(json).map_err(|error| Error::Usage(format!("--plan: {error}")))
}

/// Of the run's thirty seconds, for the task definition. Silence at every rung of two regions does
/// not take longer.
const LONGEST_READ: Duration = Duration::from_secs(12);

/// Ends with the task definition, the deadline, or a signal.
async fn in_time(
    read: impl Future<Output = Result<Vec<u8>, String>>,
    deadline: Duration,
    document: &TaskDefinitionLocation,
) -> Result<Vec<u8>, Error> {
    let wrong = |what: String| Error::Usage(format!("--task-definition {document}: {what}"));
    tokio::select! {
        read = tokio::time::timeout(deadline, read) => match read {
            Ok(read) => read.map_err(wrong),
            Err(_) => Err(wrong(format!("it was not read within {} s; {LOCAL_FILE_HINT}", deadline.as_secs_f32()))),
        },
        Interruption(by) = interrupted() => Err(Error::Tool(format!("{by} before the task definition was read"))),
    }
}

fn resolvers(flags: &Probe) -> Result<Vec<SocketAddr>, Error> {
    if let Some(resolver) = flags.resolver {
        return Ok(vec![resolver]);
    }
    let wrong = |what: &str| {
        Error::Usage(format!(
            "/etc/resolv.conf: {what}; name a resolver with --resolver"
        ))
    };
    let servers = dns::resolvers_of_this_machine().map_err(|error| wrong(&error.to_string()))?;
    if servers.is_empty() {
        Err(wrong("there is no nameserver in it"))
    } else {
        Ok(servers)
    }
}

/// Mozilla's roots, or those of the bundle.
fn roots(flags: &Probe) -> Result<RootCertStore, Error> {
    let from_environment = || std::env::var_os("AWS_CA_BUNDLE").filter(|value| !value.is_empty());
    let named = flags.ca_bundle.clone().map(|file| ("--ca-bundle", file));
    let Some((source, file)) =
        named.or_else(|| Some(("AWS_CA_BUNDLE", from_environment()?.into())))
    else {
        return Ok(RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        });
    };
    let wrong = |what: String| Error::Usage(format!("{source} {}: {what}", file.display()));
    let pem = fs::read(&file).map_err(|error| wrong(error.to_string()))?;
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(format!("not PEM: {error:?}")))?;
        store
            .add(certificate)
            .map_err(|error| wrong(format!("a certificate in it cannot be a root: {error}")))?;
    }
    if store.is_empty() {
        return Err(wrong(
            "there is no certificate in it; PEM blocks of CERTIFICATE are needed".into(),
        ));
    }
    Ok(store)
}

/// Until ECS (SIGTERM) or a person (SIGINT) ends the run.
async fn interrupted() -> Interruption {
    match Signals::listen() {
        Ok(mut signals) => Interruption(signals.next().await.to_owned()),
        Err(_) => std::future::pending().await,
    }
}

/// Time and process, in hex: unique enough to tell two runs apart, and it sorts by time.
pub(crate) fn generated_id() -> String {
    let nanos = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos());
    format!("{:x}-{:x}", nanos >> 20, std::process::id())
}
