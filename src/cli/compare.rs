//! Command line of `pullprobe compare`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};

use crate::endpoints::Region;

/// `pullprobe compare`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct CompareCommand {
    /// Files with reports: JSON, NDJSON, or log events as the AWS CLI prints them; `-` or a pipe
    /// reads stdin
    #[arg(value_name = "FILE|-", conflicts_with = "log_group")]
    pub files: Vec<PathBuf>,
    /// Read the reports from this log group, with your AWS credentials
    #[arg(long, value_name = "NAME")]
    pub log_group: Option<String>,
    /// Region of the log group [default: from your environment or profile]
    #[arg(long, value_name = "R", requires = "log_group")]
    pub region: Option<Region>,
    /// Only reports from the last DURATION, such as 90m, 24h or 7d [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = age, conflicts_with_all = ["start", "end"])]
    pub since: Option<Duration>,
    /// Only reports from this time on: 2026-11-24T10:00:00Z, or 2026-11-24 for midnight UTC
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub start: Option<Timestamp>,
    /// Only reports up to this time [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub end: Option<Timestamp>,
    /// Read the log group with CloudWatch Logs Insights: faster if it contains much else, but AWS
    /// bills the scanned data
    #[arg(long, requires = "log_group")]
    pub insights: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub format: CompareFormat,
    /// Also write the comparison to FILE, format taken from the file extension: .html .md .xml .json
    /// .txt (repeatable)
    #[arg(long = "output", value_name = "FILE")]
    pub outputs: Vec<PathBuf>,
}

const HELP: &str = "\
Exit code: that of the worst vantage: 10 to 20 for a failure (of several the lowest, which is the earliest step), else
3 inconclusive, 4 warning, 0 pass · 2 the input contains no report";

/// Output format of a comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// Text on a terminal, else one JSON line
    #[default]
    Auto,
    /// Human-readable text
    Text,
    /// One JSON line
    Json,
    /// Markdown for $GITHUB_STEP_SUMMARY and merge requests
    Markdown,
    /// JUnit XML: a test suite for each vantage, a test case for each dependency and phase
    Junit,
    /// One self-contained HTML page
    Html,
}

impl CompareFormat {
    /// Returns the format for the extension of a file.
    pub fn of_file(file: &std::path::Path) -> Option<Self> {
        match file.extension()?.to_str()?.to_lowercase().as_str() {
            "html" | "htm" => Some(Self::Html),
            "md" | "markdown" => Some(Self::Markdown),
            "xml" => Some(Self::Junit),
            "json" => Some(Self::Json),
            "txt" | "text" => Some(Self::Text),
            _ => None,
        }
    }
}

/// The longest retention of CloudWatch Logs short of forever, ten years (API reference,
/// PutRetentionPolicy).
const MAX_AGE: Duration = Duration::from_hours(24 * 3_653);

fn age(text: &str) -> Result<Duration, String> {
    let invalid =
        || "expected a whole number followed by m, h or d, such as 90m, 24h or 7d".to_owned();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .ok_or_else(invalid)?;
    let (number, unit) = text.split_at(digits);
    let minutes = match unit {
        "m" => 1,
        "h" => 60,
        "d" => 24 * 60,
        _ => return Err(invalid()),
    };
    let age = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(minutes * 60))
        .map(Duration::from_secs);
    age.filter(|age| (Duration::from_mins(1)..=MAX_AGE).contains(age))
        .ok_or_else(invalid)
}

fn time(text: &str) -> Result<Timestamp, String> {
    let midnight = || {
        TimeZone::UTC
            .to_timestamp(text.parse::<Date>().ok()?.at(0, 0, 0, 0))
            .ok()
    };
    // A time without a zone would otherwise be read as its day.
    let day = (text.len() == "2026-11-24".len()).then(midnight).flatten();
    let parsed = text.parse::<Timestamp>().ok().or(day);
    parsed.ok_or_else(|| "expected a time such as 2026-11-24T10:00:00Z or 2026-11-24".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_requires_a_unit_and_has_bounds() {
        assert_eq!(age("90m"), Ok(Duration::from_mins(90)));
        assert_eq!(age("7d"), Ok(Duration::from_hours(168)));
        for wrong in [
            "",
            "7",
            "d",
            "0h",
            "-1h",
            "1w",
            "99999999999999999999d",
            "99999d",
            "1.5h",
        ] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn time_is_an_instant_or_a_day() {
        assert_eq!(
            time("2026-11-24").unwrap().to_string(),
            "2026-11-24T00:00:00Z"
        );
        assert_eq!(
            time("2026-11-24T10:00:00+01:00").unwrap().to_string(),
            "2026-11-24T09:00:00Z"
        );
        assert!(time("yesterday").is_err() && time("2026-11-24T10:00:00").is_err());
    }
}
