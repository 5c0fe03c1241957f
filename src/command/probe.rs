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
use super::{Error, note, page, print, style};
#[cfg(feature = "operator")]
use crate::aws::credentials;
use crate::aws::instance_metadata::{self, InstanceLocation};
use crate::cli::{Format, ProbeArgs, TaskArgs};
use crate::dns;
use crate::endpoints::{self, Region, Service, Variant};
use crate::lambda::FunctionContext;
use crate::observation::Dependency;
use crate::os::{self, Signals};
use crate::plan::{Plan, PlanError, PlanInput, Platform, ReachabilityCheck};
use crate::probe::{
    Interruption, LOCAL_FILE_HINT, ObservationLog, ProbeSettings, StubResolver,
    TaskDefinitionLocation, fetch_task_definition,
};
use crate::render;
use crate::report::{Logs, Report};
use crate::run::{self, Environment, OtherCredentials, RunOptions};
use crate::safe_text::{MAX_FOREIGN_CHARS, visible, write_stderr};
use crate::vantage;
use crate::vault::Vault;
use crate::verdict::Status;

/// Runs the probe, prints the report, and returns its exit code.
pub fn run(args: &ProbeArgs) -> Result<u8, Error> {
    page::check(args.format)?;
    os::disable_core_dumps();
    raise_file_limit()?;
    let runtime = runtime()?;
    let deliver_panic = Box::new(|report: &str| {
        let _ = print(report);
    });
    let run = run_probe(args, None, deliver_panic);
    let report = runtime.block_on(with_progress(run, args.deadline))?;
    // The report is complete, so there is no need to wait for peers that have not answered.
    runtime.shutdown_background();
    deliver(&report, of_probe(args.format), args.screen.verbose)
}

/// A shorter run shows nothing before its report.
const SHORT: Duration = Duration::from_secs(2);

/// Waits for a run and writes, on a terminal, that it is still running. A task's log has no reader
/// who waits.
pub(super) async fn with_progress<T>(run: impl Future<Output = T>, limit: Duration) -> T {
    let mut run = std::pin::pin!(run);
    if !std::io::stderr().is_terminal() {
        return run.await;
    }
    let started = Instant::now();
    let mut pause = SHORT;
    loop {
        match tokio::time::timeout(pause, &mut run).await {
            Ok(done) => return done,
            Err(_) => note(&format!(
                "still checking after {} s; the probe gives up on what does not answer after {} s at the latest",
                started.elapsed().as_secs(),
                limit.as_secs()
            )),
        }
        pause = 4 * SHORT;
    }
}

/// Delivers the report of a run that a panic ended.
pub type PanicDelivery = Box<dyn Fn(&str) + Send + Sync>;

/// Runs the probe and returns its report. If a panic ends the run, `deliver_panic` gets the report
/// of the observations so far, and the process exits.
pub(super) async fn run_probe(
    args: &ProbeArgs,
    function: Option<FunctionContext>,
    deliver_panic: PanicDelivery,
) -> Result<Report, Error> {
    let resolvers = resolvers(args)?;
    let roots = Arc::new(roots(args)?);
    // An invalid plan is rejected before anything is sent.
    let plan_from_flag = args
        .plan
        .as_deref()
        .map(|json| parse_plan(json, &args.task))
        .transpose()?;
    let source = plan_input::from_args(&args.task)?;
    let mut deadline = args.deadline;
    let environment: Environment =
        Arc::new(|name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let vault = Arc::<Vault>::default();
    let other = other_credentials(&environment);
    let credentials = run::spawn_credentials_or(&environment, &vault, other);
    let started = Instant::now();
    let lookup = |name: &str| environment(name);
    let (metadata, instance) = tokio::join!(
        vantage::discover(&lookup),
        instance_metadata::locate(&lookup)
    );
    let ip_family = args.task.ip_family.or_else(|| run::ip_family(&metadata));
    let task = TaskArgs {
        ip_family,
        default_region: default_region(&args.task, instance.as_ref()).await,
        ..args.task.clone()
    };
    deadline -= started.elapsed().min(deadline / 2);
    let mut is_named = true;
    let plan = match (plan_from_flag, source) {
        (Some(mut plan), _) => {
            if plan.host.has_unknown_platform {
                plan.platform = Platform::of_this_binary();
            }
            let ip_family = ip_family.unwrap_or(plan.ip_family);
            plan.in_ip_family(ip_family)
                .map_err(|error| Error::Usage(format!("--plan: {error}")))?
        }
        (None, PlanSource::Ready(mut input)) => {
            if function.is_none()
                && matches!(metadata, Ok(None))
                && has_nothing_to_check(&input, &task)
                && let Ok(region) = plan_input::region(&task, &[], &metadata)
            {
                input.connections.extend(registry_names(&region));
                is_named = false;
            }
            plan_input::into_plan(*input, &task, &metadata)?
        }
        (None, PlanSource::Remote(location)) => {
            let region = plan_input::region(&task, &[], &metadata)?;
            let timeout = MAX_READ_TIME.min(deadline / 2);
            let resolver = StubResolver::new(resolvers.clone()).within(timeout / 2);
            let family = ip_family.unwrap_or_default();
            let settings = ProbeSettings::for_fetch(resolver, family, Arc::clone(&vault));
            let credentials = credentials.clone();
            let read = fetch_task_definition(
                &location,
                &region,
                settings,
                roots.clone(),
                credentials,
                timeout * 3 / 4,
            );
            let started = Instant::now();
            let json = read_within(read, timeout, &location, &vault).await?;
            deadline -= started.elapsed().min(deadline / 2);
            // The error quotes the file, which a server sent.
            let say = |text: &str| note(&vault.redact(text));
            plan_input::with_task_definition(&task, Some(&json), &say)
                .and_then(|input| plan_input::into_plan(input, &task, &metadata))
                .map_err(|error| error.without_secrets(&vault))?
        }
    };
    let options = RunOptions {
        plan,
        metadata,
        instance,
        resolvers,
        roots,
        environment,
        credentials,
        deadline,
        run_id: args.run_id.clone().unwrap_or_else(generated_id),
        labels: args.labels(),
        metrics: args.metrics,
        vault,
        observation_log: ObservationLog::default(),
        function,
    };
    report_panics(&options, deliver_panic);
    let mut report = Box::pin(run::run(options, interrupted()))
        .await
        .map_err(Error::Tool)?;
    if !is_named && report.verdict.status == Status::Pass {
        NAMES_ARE_REACHED.clone_into(&mut report.verdict.summary);
    }
    Ok(report)
}

/// Returns the credentials of the AWS CLI's files, outside of a task.
#[cfg(feature = "operator")]
fn other_credentials(environment: &Environment) -> OtherCredentials {
    if credentials::is_in_ecs(&|name: &str| environment(name)) {
        return Box::pin(async { None });
    }
    Box::pin(crate::operator::aws::profile_credentials())
}

/// Returns nothing: the image has no files of the AWS CLI.
#[cfg(not(feature = "operator"))]
fn other_credentials(_: &Environment) -> OtherCredentials {
    Box::pin(async { None })
}

/// Returns the Region of the AWS CLI's files or of the instance, for a run that names none.
async fn default_region(task: &TaskArgs, instance: Option<&InstanceLocation>) -> Option<Region> {
    if task.region.is_some() {
        return None;
    }
    #[cfg(feature = "operator")]
    let of_profile = crate::operator::aws::profile_region().await;
    #[cfg(not(feature = "operator"))]
    let of_profile: Option<Region> = std::future::ready(None).await;
    of_profile.or_else(|| instance?.region.as_ref()?.parse().ok())
}

fn has_nothing_to_check(input: &PlanInput, task: &TaskArgs) -> bool {
    input.is_empty()
        && task.expect_injected.is_empty()
        && !task.enable_execute_command
        && !task.service_connect
}

/// The verdict where no task was named and nothing failed.
const NAMES_ARE_REACHED: &str = "The endpoints from which tasks pull images can be reached from here; pass --image or \
     --task-definition to rehearse a pull.";

/// The account in the name of a registry whose account does not matter: Amazon ECR has one wildcard
/// name for the registries of all accounts.
const ANY_ACCOUNT: &str = "000000000000";

/// Returns the three hosts from which every task that uses Amazon ECR pulls.
fn registry_names(region: &Region) -> [ReachabilityCheck; 3] {
    let variant = Variant::default();
    let check = |dependency, host| ReachabilityCheck {
        dependency,
        host,
        port: 443,
        tcp_only: false,
        subject: "image pull".into(),
    };
    [
        check(
            Dependency::EcrApi,
            endpoints::api_host(Service::EcrApi, region, variant),
        ),
        check(
            Dependency::EcrDkr,
            endpoints::registry_host(ANY_ACCOUNT, region, variant),
        ),
        check(Dependency::S3, endpoints::layer_host(region)),
    ]
}

/// Open files that a run may need at once: connections to every address of every target, with
/// several source ports, and the queries of their names. A lower limit would look like a fault of
/// the network.
const MIN_OPEN_FILES: u64 = 256;

/// Raises the limit of open files as far as this process may. Fails if that is not enough.
pub(super) fn raise_file_limit() -> Result<(), Error> {
    match os::raise_file_limit() {
        Some(limit) if limit < MIN_OPEN_FILES => Err(Error::Tool(format!(
            "this process may open only {limit} files, and the probe needs {MIN_OPEN_FILES} for its connections; raise the limit with ulimit -n, or with ulimits in the container definition"
        ))),
        _ => Ok(()),
    }
}

/// Returns a runtime with one thread: the work is mostly waiting, and threads need memory.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(|error| Error::Tool(format!("cannot start the async runtime: {error}")))
}

/// Returns the format of the probe's report where none is given: a task's output is read by
/// programs.
fn of_probe(format: Format) -> Format {
    if format == Format::Auto && !std::io::stdout().is_terminal() {
        Format::Json
    } else {
        format
    }
}

/// Prints the report in this format and returns its exit code.
pub(super) fn deliver(report: &Report, format: Format, verbose: bool) -> Result<u8, Error> {
    let printed = print(&if let Some(page) = page::of_reports(&[report], format) {
        page
    } else if format.is_text() {
        render::text::render(report, style().with_verbose(verbose))
    } else {
        report.line()
    });
    let code = report.verdict.exit_code;
    match printed {
        // The verdict is known anyway, from CloudWatch Logs or from the exit code itself.
        Err(error) if report.delivery.logs == Logs::Delivered || code != 0 => {
            note(&format!("{error}; the exit code is that of the verdict"));
            Ok(code)
        }
        printed => printed.map(|_| code),
    }
}

/// Makes a panic end the process with exit code 1 and a report of the observations so far, which
/// `deliver_panic` gets.
pub fn report_panics(options: &RunOptions, deliver_panic: PanicDelivery) {
    let (plan, run_id, observation_log, vault, function) = (
        options.plan.clone(),
        options.run_id.clone(),
        options.observation_log.clone(),
        Arc::clone(&options.vault),
        options.function.clone(),
    );
    std::panic::set_hook(Box::new(move |panic| {
        if !vault.is_free() {
            // What it holds cannot be compared, so nothing is shown.
            write_stderr("this is a bug in pullprobe; please report it: the vault failed");
            std::process::exit(1);
        }
        let error = format!("this is a bug in pullprobe; please report it: {panic}");
        let error = vault.redact(&visible(&error, MAX_FOREIGN_CHARS));
        write_stderr(&error);
        let function = function.as_ref();
        let report = run::after_panic(&plan, &run_id, &observation_log, &vault, error, function);
        deliver_panic(&report.line());
        std::process::exit(1);
    }));
}

/// Parses `--plan`. Fails if another flag describes the task too; an empty one counts as unset,
/// because an override cannot unset a variable of the task definition.
fn parse_plan(json: &str, task: &TaskArgs) -> Result<Plan, Error> {
    let conflicting = [
        ("--image", task.images.iter().any(|image| !image.is_empty())),
        ("--task-definition", task.task_definition.is_some()),
        ("--secret", !task.secrets.is_empty()),
        (
            "--log-group",
            task.log_group
                .as_ref()
                .is_some_and(|group| !group.is_empty()),
        ),
        ("--expect-injected", !task.expect_injected.is_empty()),
        ("--enable-execute-command", task.enable_execute_command),
        ("--service-connect", task.service_connect),
    ];
    if let Some((flag, _)) = conflicting.into_iter().find(|(_, is_set)| *is_set) {
        return Err(Error::Usage(format!(
            "{flag} conflicts with --plan; remove one (or unset its environment variable)"
        )));
    }
    Plan::from_json(json).map_err(|error| {
        Error::Usage(match error {
            PlanError::Json(error) => {
                format!("--plan is not the output of `pullprobe plan --format json`: {error}")
            }
            error => format!("--plan: {error}"),
        })
    })
}

/// Maximum time for reading the task definition, of the run's thirty seconds. Unanswered attempts
/// in two Regions take no longer.
const MAX_READ_TIME: Duration = Duration::from_secs(12);

/// Waits for the task definition until the timeout or a signal.
async fn read_within(
    read: impl Future<Output = Result<Vec<u8>, String>>,
    timeout: Duration,
    location: &TaskDefinitionLocation,
    vault: &Vault,
) -> Result<Vec<u8>, Error> {
    let usage = |what: String| {
        let what = vault.redact(&what);
        Error::Usage(format!("--task-definition {location}: {what}"))
    };
    tokio::select! {
        read = tokio::time::timeout(timeout, read) => match read {
            Ok(read) => read.map_err(usage),
            Err(_) => Err(usage(format!("reading it took longer than {} s; {LOCAL_FILE_HINT}", timeout.as_secs_f32()))),
        },
        Interruption(by) = interrupted() => Err(Error::Tool(format!("{by} before the task definition was read"))),
    }
}

fn resolvers(args: &ProbeArgs) -> Result<Vec<SocketAddr>, Error> {
    if let Some(resolver) = args.resolver {
        return Ok(vec![resolver]);
    }
    let usage = |what: &str| {
        Error::Usage(format!(
            "/etc/resolv.conf: {what}; set a resolver with --resolver"
        ))
    };
    let servers = dns::resolvers_of_this_machine().map_err(|error| usage(&error.to_string()))?;
    if servers.is_empty() {
        Err(usage("contains no `nameserver` line"))
    } else {
        Ok(servers)
    }
}

/// Reads the root certificates: Mozilla's, or those of a bundle.
fn roots(args: &ProbeArgs) -> Result<RootCertStore, Error> {
    let from_environment = || std::env::var_os("AWS_CA_BUNDLE").filter(|value| !value.is_empty());
    let from_flag = args.ca_bundle.clone().map(|file| ("--ca-bundle", file));
    let Some((source, file)) =
        from_flag.or_else(|| Some(("AWS_CA_BUNDLE", from_environment()?.into())))
    else {
        return Ok(RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        });
    };
    let usage = |what: String| Error::Usage(format!("{source} {}: {what}", file.display()));
    let pem = fs::read(&file).map_err(|error| usage(error.to_string()))?;
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate =
            certificate.map_err(|error| usage(format!("not valid PEM ({error:?})")))?;
        store.add(certificate).map_err(|error| {
            usage(format!(
                "contains a certificate that cannot be used as a root: {error}"
            ))
        })?;
    }
    if store.is_empty() {
        return Err(usage("contains no PEM `CERTIFICATE` block".into()));
    }
    Ok(store)
}

/// Waits for SIGTERM or SIGINT.
async fn interrupted() -> Interruption {
    match Signals::listen() {
        Ok(mut signals) => Interruption(signals.next().await.into()),
        Err(_) => std::future::pending().await,
    }
}

/// Returns a run ID of time and process ID, in hexadecimal digits, which sorts by time.
pub(crate) fn generated_id() -> String {
    let nanos = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos());
    format!("{:x}-{:x}", nanos >> 20, std::process::id())
}
