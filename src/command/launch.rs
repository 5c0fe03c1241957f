//! `pullprobe launch`.

mod progress;

use std::fs;
use std::io::Write as _;

use super::probe::{for_people, generated_id, runtime};
use super::signals::Signals;
use super::{Error, colour, print};
use crate::cli::launch::LaunchCommand;
use crate::compare::{ComparisonBuilder, ComparisonOutput};
use crate::endpoints::Region;
use crate::operator::aws::{self, Client};
use crate::operator::dry_run::AwsCalls;
use crate::operator::launch::{self, Event, SubnetReport};
use crate::operator::stopped::region_of;
use crate::render;
use crate::verdict::Status;
use progress::Progress;

/// Reports in full on standard output, up to so many subnets; beyond, those that pass have one
/// line.
const IN_FULL: usize = 12;

/// Launches, prints each report as it lands and then the comparison. The exit code is that of the
/// worst subnet.
pub fn run(flags: &LaunchCommand) -> Result<u8, Error> {
    files(flags)?;
    let run_id = flags.run_id.clone().unwrap_or_else(generated_id);
    let runtime = runtime()?;
    let code = runtime.block_on(async {
        let arn = flags.like.as_deref().or_else(|| flags.target.arn());
        let client = client(flags.target.region.clone(), arn).await?;
        let calls = calls(client, flags.dry_run);
        let Some(launch) = launch::prepare(&calls, flags, run_id.clone())
            .await
            .map_err(|error| of_launch(&error))?
        else {
            return Ok(0);
        };
        let subnets = launch.subnets.clone();
        eprintln!(
            "pullprobe: run {run_id}: {} {}, {}",
            subnets.len(),
            if subnets.len() == 1 {
                "subnet"
            } else {
                "subnets"
            },
            launch.definition.rsplit('/').next().unwrap_or_default()
        );
        let mut shown = PlannedCall::new(flags, &subnets);
        let (cluster, region) = (&launch.cluster, calls.client().region());
        let until = interrupted(format!(
            "pullprobe gc --cluster {cluster} --region {region} --run-id {run_id}"
        ));
        let result = launch::run(
            calls.client(),
            launch,
            &mut |event| shown.take(&event),
            until,
        )
        .await;
        shown.progress.end();
        finish(flags, &result.map_err(|error| of_launch(&error))?)
    })?;
    // Whatever still waits for AWS is let go.
    runtime.shutdown_background();
    Ok(code)
}

/// A client in the region that is named, or in that of an ARN.
pub(super) async fn client(region: Option<Region>, arn: Option<&str>) -> Result<Client, Error> {
    let region = region.or_else(|| arn.and_then(region_of));
    Client::load(region).await.map_err(|error| of_call(&error))
}

/// AwsCalls that are made, or in a dry run shown.
pub(super) fn calls(client: Client, dry_run: bool) -> AwsCalls {
    let show: crate::operator::dry_run::CallSink = Box::new(|shown| {
        let _ = print(&shown.line());
    });
    AwsCalls::new(client, dry_run.then_some(show))
}

/// No region and no credentials are the operator's to mend.
pub(super) fn of_call(error: &aws::Error) -> Error {
    match error {
        aws::Error::Setup(text) => Error::Usage(text.clone()),
        other => Error::Tool(other.to_string()),
    }
}

pub(super) fn of_launch(error: &launch::Error) -> Error {
    match error {
        launch::Error::Usage(text) => Error::Usage(text.clone()),
        launch::Error::Call(error) => of_call(error),
    }
}

/// What is shown while it runs.
struct PlannedCall<'a> {
    flags: &'a LaunchCommand,
    progress: Progress,
    in_full: bool,
    notes: std::collections::BTreeSet<String>,
}

impl<'a> PlannedCall<'a> {
    fn new(flags: &'a LaunchCommand, subnets: &[String]) -> Self {
        let progress = Progress::new(subnets);
        Self {
            flags,
            progress,
            in_full: subnets.len() <= IN_FULL,
            notes: std::collections::BTreeSet::new(),
        }
    }

    fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::State(subnet, state) => self.progress.state(*subnet, *state),
            Event::Note(text) => self.note(text),
            Event::SubnetReport(subnet, landed) => {
                self.progress.landed(*subnet, &landed.report.verdict);
                let text = self.text(landed);
                self.progress.aside(|| {
                    let _ = print(&text);
                });
                if let Some(note) = &landed.note {
                    self.note(note);
                }
            }
        }
    }

    /// Each once: five hundred subnets lack the same right.
    fn note(&mut self, text: &str) {
        if self.notes.insert(text.to_owned()) {
            self.progress.aside(|| eprintln!("pullprobe: {text}"));
        }
    }

    fn text(&self, landed: &SubnetReport) -> String {
        if !for_people(self.flags.format) {
            return landed.line.clone();
        }
        let SubnetReport { subnet, report, .. } = landed;
        let zone = report
            .vantage
            .availability_zone
            .as_deref()
            .map(|zone| format!(" ({zone})"))
            .unwrap_or_default();
        if report.verdict.status == Status::Pass && !self.in_full {
            return format!("── {subnet}{zone}: pass");
        }
        format!(
            "── {subnet}{zone}\n{}",
            render::text::render(report, colour())
        )
    }
}

/// Until a person (SIGINT) or a machine (SIGTERM) ends it, from this call on. The second signal
/// does not wait for anything; `gc` is the command that stops what is left then.
fn interrupted(gc: String) -> impl Future<Output = ()> {
    let signals = Signals::listen();
    async move {
        let Ok(mut signals) = signals else {
            return std::future::pending().await;
        };
        signals.next().await;
        tokio::spawn(async move {
            signals.next().await;
            eprintln!("pullprobe: ended at once; this stops the tasks that are left: {gc}");
            std::process::exit(i32::from(crate::verdict::INCONCLUSIVE));
        });
    }
}

/// Files that cannot be written are refused before any task is started.
fn files(flags: &LaunchCommand) -> Result<(), Error> {
    let named = [
        ("html", &flags.html),
        ("json", &flags.json),
        ("junit", &flags.junit),
        ("markdown", &flags.markdown),
    ];
    for (flag, file) in named {
        let Some(file) = file else { continue };
        let opened = fs::OpenOptions::new().create(true).append(true).open(file);
        opened.map_err(|error| Error::Usage(format!("--{flag} {}: {error}", file.display())))?;
    }
    Ok(())
}

/// Writes a comparison in one form.
type Render = fn(&ComparisonOutput) -> String;

/// The comparison, on standard output and into the files.
fn finish(flags: &LaunchCommand, landed: &[SubnetReport]) -> Result<u8, Error> {
    let mut comparison = ComparisonBuilder::default();
    for one in landed {
        // A report of a probe of another version may be one that this one compares no further than
        // its own words.
        if !comparison.add_text(&one.line, &one.subnet) {
            comparison.add(&one.report);
        }
    }
    let compared = comparison.finish();
    for note in comparison.notes() {
        eprintln!("pullprobe: {note}");
    }
    let files: [(_, _, Render); 4] = [
        ("html", &flags.html, render::html::render),
        ("json", &flags.json, ComparisonOutput::line),
        ("junit", &flags.junit, render::junit::render),
        ("markdown", &flags.markdown, render::markdown::render),
    ];
    for (flag, file, render) in files {
        let Some(file) = file else { continue };
        // A job's summary already has what its other steps wrote.
        let mut options = fs::OpenOptions::new();
        let options = if flag == "markdown" {
            options.append(true)
        } else {
            options.write(true).truncate(true)
        };
        let text = render(&compared);
        let written = options
            .create(true)
            .open(file)
            .and_then(|mut file| writeln!(file, "{}", text.trim_end()));
        written.map_err(|error| Error::Tool(format!("--{flag} {}: {error}", file.display())))?;
    }
    let text = if for_people(flags.format) {
        render::comparison::render(&compared, colour())
    } else {
        compared.line()
    };
    print(&text)?;
    Ok(compared.comparison.exit_code)
}
