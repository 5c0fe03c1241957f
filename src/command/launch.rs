//! `pullprobe launch`.

mod progress;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::aws::client;
use super::dry_run::DryRun;
use super::install;
use super::probe::{generated_id, runtime};
use super::{Error, note, print, style};
use crate::cli::DryRunArgs;
use crate::cli::launch::{InspectWhen, LaunchArgs};
use crate::cli::target::TargetArgs;
use crate::compare::{ComparisonBuilder, ComparisonOutput};
use crate::inspect::Inspection;
use crate::inspect::snapshot::TaskNetwork;
use crate::operator::dry_run::AwsCalls;
use crate::operator::inspect;
use crate::operator::install::{
    DEFAULT_REPOSITORY, InstallSpec, RepositoryName, find_installed_image,
};
use crate::operator::last_segment;
use crate::operator::launch::{
    self, CarrierChoice, FunctionSpec, LaunchEvent, LaunchSpec, ProbeUse, SubnetReport, TargetSpec,
};
use crate::os::Signals;
use crate::plan::Plan;
use crate::render;
use crate::verdict::Status;
use progress::Progress;

/// Time limit for reading the configuration: about fifty calls, each of which is retried if it is
/// throttled.
const MAX_INSPECTION_TIME: Duration = Duration::from_mins(1);

/// Launches, prints each report as it arrives and then the comparison. The exit code is that of the
/// worst subnet.
pub fn run(args: &LaunchArgs) -> Result<u8, Error> {
    if args.inspect == InspectWhen::Only {
        check_inspect_only(args)?;
    }
    check_output_files(args)?;
    let mut spec = LaunchSpec::from(args);
    check_carrier(args)?;
    let runtime = runtime()?;
    let code = runtime.block_on(async {
        let arn = spec.like.as_deref().or_else(|| spec.target.arn());
        let client = client(spec.target.region.clone(), arn).await?;
        let is_text = args.format.is_text();
        let dry_run = DryRun::new(DryRunArgs {
            dry_run: args.dry_run,
            verbose: args.screen.verbose || !is_text,
        });
        let calls = AwsCalls::new(client, dry_run.as_ref().map(DryRun::sink));
        if args.inspect == InspectWhen::Only {
            return Box::pin(inspect_only(args, &calls, &spec)).await;
        }
        if args.install {
            spec.target.probe_image = Some(install_if_missing(&calls, args).await?);
        }
        let Some(prepared) = launch::prepare(&calls, &spec).await? else {
            let text = dry_run.filter(|_| is_text);
            return text.map_or(Ok(0), |dry_run| dry_run.print("the launch"));
        };
        let launch = &prepared.0;
        let (subnets, run_id) = (launch.subnets.clone(), &spec.run_id);
        let noun = if subnets.len() == 1 {
            "subnet"
        } else {
            "subnets"
        };
        if !args.quiet {
            note(&format!(
                "run {run_id}: {} {noun}, {}",
                subnets.len(),
                match spec.carrier {
                    CarrierChoice::Lambda => "AWS Lambda functions",
                    _ => last_segment(&launch.definition),
                }
            ));
        }
        let mut output = LaunchOutput::new(args, &subnets);
        let (cluster, region) = (launch.cluster.clone(), calls.client().region());
        let was_interrupted = Arc::new(AtomicBool::new(false));
        let interruption = interrupted(
            format!("pullprobe gc --cluster {cluster} --region {region} --run-id {run_id}"),
            Arc::clone(&was_interrupted),
        );
        let client = match output.progress.notice() {
            Some(notice) => calls.client().with_notice(notice),
            None => calls.client().clone(),
        };
        let (plan, task) = (launch.plan.clone(), TaskNetwork::from(launch));
        let reports = launch::run(
            &client,
            prepared,
            &spec,
            &mut |event| output.show(&event),
            interruption,
        )
        .await;
        output.progress.end();
        let reports = reports?;
        let inspection =
            if args.inspect == InspectWhen::Off || was_interrupted.load(Ordering::Relaxed) {
                None
            } else {
                Box::pin(inspect_failing(&calls, plan, task, &reports)).await
            };
        print_results(args, &reports, inspection.as_ref())
    })?;
    // There is no need to wait for calls that have no response yet.
    runtime.shutdown_background();
    Ok(code)
}

/// Checks that no flag asks for what a launch without a probe does not have.
fn check_inspect_only(args: &LaunchArgs) -> Result<(), Error> {
    let files = [&args.html, &args.json, &args.junit, &args.markdown];
    if files.into_iter().any(Option::is_some) {
        return Err(Error::Usage(
            "--html, --json, --junit and --markdown write a comparison of reports, and --inspect only has none; remove them, or \
             add --format json"
                .into(),
        ));
    }
    if args.dry_run {
        return Err(Error::Usage(
            "--inspect only changes nothing, so there is nothing to leave out; remove --dry-run"
                .into(),
        ));
    }
    Ok(())
}

/// Checks that the flags of a carrier are used with it.
fn check_carrier(args: &LaunchArgs) -> Result<(), Error> {
    let is_fargate = args.carrier == CarrierChoice::Fargate;
    if is_fargate && !args.install && !args.agent.agents.is_empty() {
        return Err(Error::Usage(
            "--agent names a file for --install; add --install".into(),
        ));
    }
    if is_fargate && args.lambda_role.is_some() {
        return Err(Error::Usage(
            "--lambda-role applies to Lambda functions, and --carrier fargate runs none; remove one of them".into(),
        ));
    }
    Ok(())
}

/// Pushes the probe's image if it is not there, and returns its reference.
async fn install_if_missing(calls: &AwsCalls, args: &LaunchArgs) -> Result<String, Error> {
    if let Some(installed) = find_installed_image(calls).await? {
        return Ok(installed.reference);
    }
    let spec = InstallSpec {
        repository: RepositoryName::read(DEFAULT_REPOSITORY)?,
        platforms: Vec::new(),
        agents: args.agent.agents.clone(),
    };
    let files = install::read_files(&spec)?;
    let installation = install::push(calls, &spec, &files).await?;
    note(&format!("{} is in Amazon ECR", installation.reference));
    Ok(installation.reference)
}

impl From<&LaunchArgs> for LaunchSpec {
    fn from(args: &LaunchArgs) -> Self {
        Self {
            target: TargetSpec {
                use_of_probe: ProbeUse::once(args.carrier, &args.target.security_groups),
                ..target_spec(&args.target)
            },
            carrier: args.carrier,
            function: FunctionSpec {
                role: args.lambda_role.clone(),
                agents: args.agent.agents.clone(),
            },
            like: args.like.clone(),
            log_group: args.log_group.clone(),
            timeout: args.timeout,
            run_id: args.run_id.clone().unwrap_or_else(generated_id),
            labels: args.labels.iter().cloned().collect(),
        }
    }
}

/// Converts the flags that `launch` and `schedule` share.
pub(super) fn target_spec(args: &TargetArgs) -> TargetSpec {
    TargetSpec {
        cluster: args.cluster.clone(),
        service: args.service.clone(),
        task_definition: args.task_definition.clone(),
        subnets: args.subnets.clone(),
        security_groups: args.security_groups.clone(),
        assign_public_ip: args.assign_public_ip,
        probe_image: args.probe_image.clone(),
        probe_architecture: args.probe_architecture,
        region: args.region.clone(),
        expect: args.expect,
        use_of_probe: ProbeUse::Scheduled,
        full: args.full,
        deadline: args.deadline,
    }
}

/// Prints progress and reports of a launch.
struct LaunchOutput<'a> {
    args: &'a LaunchArgs,
    progress: Progress,
    notes: BTreeSet<String>,
}

impl<'a> LaunchOutput<'a> {
    fn new(args: &'a LaunchArgs, subnets: &[String]) -> Self {
        Self {
            args,
            progress: Progress::new(subnets, args.quiet),
            notes: BTreeSet::new(),
        }
    }

    fn show(&mut self, event: &LaunchEvent<'_>) {
        match event {
            LaunchEvent::State(subnet, state) => self.progress.set_state(*subnet, *state),
            LaunchEvent::Note(text) => self.note(text),
            LaunchEvent::Report(subnet, report) => {
                self.progress.finish(*subnet, &report.report.verdict);
                if let Some(text) = self.format(report) {
                    self.progress.suspend(|| {
                        let _ = print(&text);
                    });
                }
                if let Some(note) = &report.note {
                    self.note(note);
                }
            }
        }
    }

    /// Prints each note once: the same permission is missing in all of 500 subnets.
    fn note(&mut self, text: &str) {
        if self.notes.insert(text.to_owned()) {
            self.progress.suspend(|| super::note(text));
        }
    }

    /// Returns what is printed of a report on its arrival: in text one line, or all of it.
    fn format(&self, report: &SubnetReport) -> Option<String> {
        if !self.args.format.is_text() {
            return Some(report.line.clone());
        }
        if self.args.quiet {
            return None;
        }
        let SubnetReport { subnet, report, .. } = report;
        let zone = report
            .vantage
            .availability_zone
            .as_deref()
            .map(|zone| format!(" ({zone})"))
            .unwrap_or_default();
        let style = style().with_verbose(self.args.screen.verbose);
        if style.verbose {
            let text = render::text::render(report, style);
            return Some(format!("── {subnet}{zone}\n{text}"));
        }
        Some(render::text::render_line(
            &format!("{subnet}{zone}"),
            report,
            style,
        ))
    }
}

/// Inspects what a launch would probe, and starts nothing.
async fn inspect_only(args: &LaunchArgs, calls: &AwsCalls, spec: &LaunchSpec) -> Result<u8, Error> {
    let (like, log_group) = (spec.like.as_deref(), spec.log_group.as_deref());
    let (launch, _) = launch::resolve(calls, &spec.target, like, log_group, false).await?;
    let task = TaskNetwork::from(&launch);
    let snapshot = Box::pin(inspect::read(calls, launch.plan, task, false)).await?;
    if let Some(problem) = snapshot.problem() {
        return Err(Error::Usage(problem));
    }
    let inspection = Inspection::of(&snapshot);
    let text = if args.format.is_text() {
        render::inspection::render(&inspection, style())
    } else {
        inspection.line()
    };
    print(&text)?;
    Ok(inspection.verdict.exit_code)
}

/// Reads the configuration of the subnets that do not pass, and joins it with their reports. What
/// cannot be read costs no finding.
async fn inspect_failing(
    calls: &AwsCalls,
    plan: Plan,
    task: TaskNetwork,
    reports: &[SubnetReport],
) -> Option<Inspection> {
    let all_pass = |report: &SubnetReport| report.report.verdict.status == Status::Pass;
    if reports.iter().all(all_pass) {
        return None;
    }
    let mut signals = Signals::listen().ok()?;
    let reading = timeout(
        MAX_INSPECTION_TIME,
        Box::pin(inspect::of_failing(calls, plan, task, reports)),
    );
    let without = |why: &dyn std::fmt::Display| {
        note(&format!(
            "the configuration was not read: {why}; the findings rest on packets alone"
        ));
    };
    tokio::select! {
        _ = signals.next() => without(&"interrupted"),
        read = reading => match read {
            Ok(Ok(inspection)) => return inspection,
            Ok(Err(error)) => without(&error),
            Err(_) => without(&"it took longer than a minute"),
        },
    }
    None
}

/// Completes after SIGINT or SIGTERM, which it handles from this call on. A second signal exits at
/// once, with the `gc` command that stops the remaining tasks.
fn interrupted(gc: String, flag: Arc<AtomicBool>) -> impl Future<Output = ()> {
    let signals = Signals::listen();
    async move {
        let Ok(mut signals) = signals else {
            return std::future::pending().await;
        };
        signals.next().await;
        flag.store(true, Ordering::Relaxed);
        tokio::spawn(async move {
            signals.next().await;
            note(&format!(
                "exiting now; to stop the remaining tasks run {gc}"
            ));
            std::process::exit(i32::from(crate::verdict::INCONCLUSIVE));
        });
    }
}

/// Checks, before any task is started, that the output files can be written.
fn check_output_files(args: &LaunchArgs) -> Result<(), Error> {
    let files = [
        ("html", &args.html),
        ("json", &args.json),
        ("junit", &args.junit),
        ("markdown", &args.markdown),
    ];
    for (flag, file) in files {
        let Some(file) = file else { continue };
        let opened = fs::OpenOptions::new().create(true).append(true).open(file);
        opened.map_err(|error| Error::Usage(format!("--{flag} {}: {error}", file.display())))?;
    }
    Ok(())
}

/// Renders a comparison in one format.
type Render = fn(&ComparisonOutput) -> String;

/// Prints the comparison, writes it to the output files, and prints what the configuration adds.
fn print_results(
    args: &LaunchArgs,
    reports: &[SubnetReport],
    inspection: Option<&Inspection>,
) -> Result<u8, Error> {
    let mut builder = ComparisonBuilder::default();
    for report in reports {
        // The parsed report is the fallback for a line that the comparison cannot read.
        if !builder.add_text(&report.line, &report.subnet) {
            builder.add(&report.report);
        }
    }
    let output = builder.finish();
    for note in builder.notes() {
        super::note(note);
    }
    let files: [(_, _, Render); 4] = [
        ("html", &args.html, render::html::render),
        ("json", &args.json, ComparisonOutput::line),
        ("junit", &args.junit, render::junit::render),
        ("markdown", &args.markdown, render::markdown::render),
    ];
    for (flag, file, render) in files {
        let Some(file) = file else { continue };
        // Earlier steps of a job may have written to its summary.
        let mut options = fs::OpenOptions::new();
        let options = if flag == "markdown" {
            options.append(true)
        } else {
            options.write(true).truncate(true)
        };
        let text = render(&output);
        let written = options
            .create(true)
            .open(file)
            .and_then(|mut file| writeln!(file, "{}", text.trim_end()));
        written.map_err(|error| Error::Tool(format!("--{flag} {}: {error}", file.display())))?;
    }
    let is_text = args.format.is_text();
    if let Some(inspection) = inspection.filter(|_| !is_text) {
        print(&inspection.line())?;
    }
    let style = style().with_verbose(args.screen.verbose);
    let text = if !is_text {
        output.line()
    } else if args.quiet {
        render::comparison::render_quiet(&output, style)
    } else {
        "\n".to_owned() + &render::comparison::render_launch(&output, style)
    };
    print(&text)?;
    if let Some(inspection) = inspection.filter(|_| is_text && !args.quiet) {
        print(&format!(
            "\n{}",
            render::inspection::render_joined(inspection, style)
        ))?;
    }
    Ok(output.comparison.exit_code)
}
