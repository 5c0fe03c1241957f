//! `pullprobe compare`.

mod input;
mod logs;

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::probe::runtime;
use super::{Error, colour, print};
use crate::cli::compare::{CompareCommand, CompareFormat};
use crate::compare::{Compared, Comparison};
use crate::operator::aws::Client;
use crate::render;

/// How far back a log group is read where nobody says.
const A_DAY: Duration = Duration::from_hours(24);

/// Prints what the reports come to. The exit code is that of the worst vantage.
pub fn run(flags: &CompareCommand) -> Result<u8, Error> {
    let outputs = outputs(flags)?;
    let mut comparison = Comparison::default();
    let source = match &flags.log_group {
        Some(group) => from_logs(group, flags, &mut comparison)?,
        None => from_files(flags, &mut comparison)?,
    };
    let tally = comparison.tally().clone();
    let notes: Vec<&str> = comparison.notes().collect();
    if tally.reports == 0 {
        return Err(nothing(
            &source,
            tally.others + tally.unreadable,
            &notes,
            flags.log_group.is_some(),
        ));
    }
    for note in notes {
        eprintln!("pullprobe: {note}");
    }
    let compared = comparison.finish();
    for (file, format) in outputs {
        fs::write(&file, rendered(&compared, format))
            .map_err(|error| Error::Tool(format!("--output {}: {error}", file.display())))?;
    }
    print(&rendered(&compared, flags.format))?;
    Ok(compared.document.exit_code)
}

/// The files to write, refused before anything is read.
fn outputs(flags: &CompareCommand) -> Result<Vec<(PathBuf, CompareFormat)>, Error> {
    let format = |file: &PathBuf| match CompareFormat::of_file(file) {
        Some(format) => Ok((file.clone(), format)),
        None => Err(Error::Usage(format!(
            "--output {}: its name says no format; end it with .html, .md, .xml, .json or .txt",
            file.display()
        ))),
    };
    flags.outputs.iter().map(format).collect()
}

fn rendered(compared: &Compared, format: CompareFormat) -> String {
    match format {
        CompareFormat::Auto if io::stdout().is_terminal() => {
            render::comparison::render(compared, colour())
        }
        CompareFormat::Text => render::comparison::render(compared, false),
        CompareFormat::Auto | CompareFormat::Json => compared.line(),
        CompareFormat::Markdown => render::markdown::render(compared),
        CompareFormat::Junit => render::junit::render(compared),
        CompareFormat::Html => render::html::render(compared),
    }
}

fn from_files(flags: &CompareCommand, comparison: &mut Comparison) -> Result<String, Error> {
    let stdin = [PathBuf::from("-")];
    let files = match flags.files.as_slice() {
        [] if io::stdin().is_terminal() => {
            return Err(Error::Usage(
                "nothing to compare: name files with reports, pipe them in, or read a log group with --log-group"
                    .into(),
            ));
        }
        [] => &stdin,
        files => files,
    };
    if flags.since.is_some() || flags.start.is_some() || flags.end.is_some() {
        return Err(Error::Usage(
            "--since, --start and --end are for --log-group; files are read whole".into(),
        ));
    }
    for file in files {
        input::read(file, comparison)?;
    }
    let named: Vec<_> = files
        .iter()
        .map(|file| {
            if file == Path::new("-") {
                "stdin".into()
            } else {
                file.display().to_string()
            }
        })
        .collect();
    Ok(crate::compare::document::listed(
        &named.iter().map(String::as_str).collect::<Vec<_>>(),
    ))
}

fn from_logs(
    group: &str,
    flags: &CompareCommand,
    comparison: &mut Comparison,
) -> Result<String, Error> {
    let now = Timestamp::now();
    let end = flags.end.unwrap_or(now);
    let start = match flags.start {
        Some(start) => start,
        None => end - flags.since.unwrap_or(A_DAY),
    };
    if start >= end {
        return Err(Error::Usage(format!(
            "--start {start} is not before the end, {end}"
        )));
    }
    let region = flags.region.clone();
    let reading = async {
        let client = Client::load(region)
            .await
            .map_err(|error| Error::Usage(error.to_string()))?;
        let wanted = logs::Wanted {
            group,
            start,
            end,
            region: client.region().to_string(),
        };
        if flags.insights {
            logs::query(&client, &wanted, comparison).await
        } else {
            logs::filter(&client, &wanted, comparison).await
        }
    };
    runtime()?.block_on(reading)?;
    Ok(format!("log group {group} between {start} and {end}"))
}

fn nothing(source: &str, read: u64, notes: &[&str], from_logs: bool) -> Error {
    let read = match read {
        0 => "it is empty".to_owned(),
        1 => "the one thing in it is none".to_owned(),
        many => format!("{many} things were read and none is one"),
    };
    let notes = [&[read.as_str()], notes].concat().join("; ");
    let next = if from_logs {
        "widen the time with --since, or check that the probe was run with --log-group and could write there"
    } else {
        "a report is what `pullprobe probe --format json` prints: save it, or read the log group with --log-group"
    };
    Error::Usage(format!("no report in {source}: {notes}. {next}"))
}
