//! `pullprobe compare`: reads reports and prints their comparison.

pub(crate) mod input;
mod logs;

use std::fs;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::probe::runtime;
use super::{Error, print, style};
use crate::cli::compare::{CompareArgs, CompareFormat};
use crate::compare::summary::list_names;
use crate::compare::{ComparisonBuilder, ComparisonOutput};
use crate::operator::aws::{CallError, Client};
use crate::operator::fleet::reduce::read_reports;
use crate::operator::fleet::store::{ResultStore, list};
use crate::operator::s3::{Bucket, S3Uri};
use crate::render;
use crate::render::style::Style;

/// How far back a log group is read by default.
const DEFAULT_AGE: Duration = Duration::from_hours(24);

/// Reads the reports and prints their comparison. Returns the exit code of the worst vantage.
pub fn run(flags: &CompareArgs) -> Result<u8, Error> {
    let outputs = output_files(flags)?;
    let mut builder = ComparisonBuilder::default();
    let source = match &flags.log_group {
        Some(group) => read_log_group(group, flags, &mut builder)?,
        None => read_files(flags, &mut builder)?,
    };
    let notes: Vec<&str> = builder.notes().collect();
    let counts = builder.counts();
    if counts.reports == 0 {
        let records = counts.others + counts.unreadable;
        let next = if flags.log_group.is_some() {
            LOG_GROUP_HINT
        } else {
            FILE_HINT
        };
        return Err(no_report(&source, records, &notes, next));
    }
    for note in notes {
        super::note(note);
    }
    let output = builder.finish();
    for (file, format) in outputs {
        fs::write(&file, rendered(&output, format, Style::default()))
            .map_err(|error| Error::Tool(format!("--output {}: {error}", file.display())))?;
    }
    let style = style().with_verbose(flags.screen.verbose);
    match flags.format {
        CompareFormat::Json => print_json(&output)?,
        format => print(&rendered(&output, format, style))?,
    };
    Ok(output.comparison.exit_code)
}

/// Writes the comparison to stdout as one line of JSON. A closed pipe, as of `| head`, is not an
/// error.
fn print_json(output: &ComparisonOutput) -> Result<u8, Error> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    let written = output
        .comparison
        .write(&mut stdout)
        .and_then(|()| writeln!(stdout))
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Tool(format!("stdout: {error}")))
        }
        _ => Ok(0),
    }
}

/// Returns the files to write, each with its format. Refuses unknown formats before any input is
/// read.
fn output_files(flags: &CompareArgs) -> Result<Vec<(PathBuf, CompareFormat)>, Error> {
    let with_format = |file: &PathBuf| match CompareFormat::of_file(file) {
        Some(format) => Ok((file.clone(), format)),
        None => Err(Error::Usage(format!(
            "--output {}: unknown file extension; use .html, .svg, .md, .xml, .json or .txt",
            file.display()
        ))),
    };
    flags.outputs.iter().map(with_format).collect()
}

fn rendered(output: &ComparisonOutput, format: CompareFormat, style: Style) -> String {
    match format {
        CompareFormat::Auto | CompareFormat::Text => render::comparison::render(output, style),
        CompareFormat::Json => output.line(),
        CompareFormat::Markdown => render::markdown::render(output),
        CompareFormat::Junit => render::junit::render(output),
        CompareFormat::Html => render::html::render(output),
        CompareFormat::Svg => render::picture::render(output),
    }
}

/// Returns what was read, for an error message.
fn read_files(flags: &CompareArgs, builder: &mut ComparisonBuilder) -> Result<String, Error> {
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
            "--since, --start and --end require --log-group".into(),
        ));
    }
    for file in files {
        match file.to_str().filter(|file| file.starts_with("s3://")) {
            Some(uri) => read_bucket(uri, builder)?,
            None => input::read(file, builder)?,
        }
    }
    let names: Vec<String> = files
        .iter()
        .map(|file| {
            if file == Path::new("-") {
                "stdin".into()
            } else {
                file.display().to_string()
            }
        })
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Ok(list_names(&names))
}

/// Ends of the keys of objects that have one report in each line.
const REPORT_FILES: [&str; 2] = [".ndjson", ".jsonl"];

/// Reads the object at this URI, or all objects with reports whose keys begin with its key. Memory
/// does not grow with them.
fn read_bucket(uri: &str, builder: &mut ComparisonBuilder) -> Result<(), Error> {
    let uri: S3Uri = uri.parse().map_err(Error::Usage)?;
    runtime()?.block_on(async {
        let client = match Client::load(None).await {
            // The bucket tells its Region.
            Err(CallError::Setup(_)) => Client::load("us-east-1".parse().ok()).await?,
            client => client?,
        };
        let bucket = Bucket::find(&client, &uri.bucket).await?;
        let is_report = |key: &str| {
            key == uri.key || REPORT_FILES.iter().any(|extension| key.ends_with(extension))
        };
        let (keys, others) = list(&bucket, &uri.key, is_report).await?;
        if others > 0 {
            super::note(&format!(
                "{uri}: {others} objects were not read, because their keys do not end in .ndjson or .jsonl"
            ));
        }
        if keys.is_empty() {
            return Err(Error::Usage(format!(
                "{uri} has no object with reports; expected keys that end in .ndjson or .jsonl, as pullprobe fleet stores them"
            )));
        }
        let store = ResultStore::Bucket(Box::new(bucket), String::new());
        Ok(read_reports(&store, keys, builder).await?)
    })
}

/// Returns what was read, for an error message.
fn read_log_group(
    group: &str,
    flags: &CompareArgs,
    builder: &mut ComparisonBuilder,
) -> Result<String, Error> {
    let end = flags.end.unwrap_or_else(Timestamp::now);
    let start = match flags.start {
        Some(start) => start,
        None => end - flags.since.unwrap_or(DEFAULT_AGE),
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
        let query = logs::LogQuery {
            group,
            start,
            end,
            region: client.region().to_string(),
        };
        if flags.insights {
            logs::read_with_insights(&client, &query, builder).await
        } else {
            logs::read_with_filter(&client, &query, builder).await
        }
    };
    runtime()?.block_on(reading)?;
    Ok(format!("log group {group} between {start} and {end}"))
}

const LOG_GROUP_HINT: &str = "Widen the time range with --since, or check that the probe was run \
                              with --log-group and could write to it";

const FILE_HINT: &str = "A report is the output of `pullprobe probe --format json`; save it to a \
                         file, or read the log group with --log-group";

fn no_report(source: &str, records: u64, notes: &[&str], next: &str) -> Error {
    let found = match records {
        0 => "it is empty".to_owned(),
        1 => "the only record is not a pullprobe report".to_owned(),
        many => format!("none of the {many} records is a pullprobe report"),
    };
    let found = [&[found.as_str()], notes].concat().join("; ");
    Error::Usage(format!("no report in {source}: {found}. {next}"))
}
