//! The flags of `pullprobe compare`.

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
    /// Files with reports: JSON, NDJSON, or what the AWS CLI prints of a log group; `-` reads
    /// stdin, as does no file where stdin is no terminal
    #[arg(value_name = "FILE|-", conflicts_with = "log_group")]
    pub files: Vec<PathBuf>,
    /// Read the reports from this log group, with your own credentials
    #[arg(long, value_name = "NAME")]
    pub log_group: Option<String>,
    /// Region of the log group [default: that of your environment or profile]
    #[arg(long, value_name = "R", requires = "log_group")]
    pub region: Option<Region>,
    /// Reports of the last time, such as 90m, 24h or 7d [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = age, conflicts_with_all = ["start", "end"])]
    pub since: Option<Duration>,
    /// Reports from here on: 2026-11-24T10:00:00Z, or 2026-11-24 for that day's midnight UTC
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub start: Option<Timestamp>,
    /// Reports until here [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub end: Option<Timestamp>,
    /// Read the log group with CloudWatch Logs Insights: faster where it holds much else, and AWS
    /// bills what it scans
    #[arg(long, requires = "log_group")]
    pub insights: bool,
    /// How to print the comparison
    #[arg(long, value_enum, default_value_t)]
    pub format: CompareFormat,
    /// Also write it to FILE, in the format that its name says: .html .md .xml .json .txt
    /// (repeatable)
    #[arg(long = "output", value_name = "FILE")]
    pub outputs: Vec<PathBuf>,
}

const HELP: &str = "\
Exit codes: that of the worst vantage: a failure's (10 to 20; of several the lowest, which is the earliest step), else
3 inconclusive, 4 warn, 0 pass · 2 there is no report in what was given";

/// How a comparison is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// Text on a terminal, else one JSON line
    #[default]
    Auto,
    /// For people
    Text,
    /// One JSON line
    Json,
    /// For $GITHUB_STEP_SUMMARY and merge requests
    Markdown,
    /// XML for test reports: a suite for each vantage, a case for each role and phase
    Junit,
    /// One self-contained page
    Html,
}

impl CompareFormat {
    /// The format that a file's name says.
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

/// CloudWatch Logs keeps events for ten years at most, short of for ever (API reference,
/// PutRetentionPolicy).
const LONGEST_AGE: Duration = Duration::from_hours(24 * 3_653);

fn age(text: &str) -> Result<Duration, String> {
    let wrong = || "a whole number with m, h or d is needed, such as 90m, 24h or 7d".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let minutes = match unit {
        "m" => 1,
        "h" => 60,
        "d" => 24 * 60,
        _ => return Err(wrong()),
    };
    let age = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(minutes * 60))
        .map(Duration::from_secs);
    age.filter(|age| (Duration::from_mins(1)..=LONGEST_AGE).contains(age))
        .ok_or_else(wrong)
}

fn time(text: &str) -> Result<Timestamp, String> {
    let midnight = || {
        TimeZone::UTC
            .to_timestamp(text.parse::<Date>().ok()?.at(0, 0, 0, 0))
            .ok()
    };
    // A time without a zone would be read as its day.
    let day = (text.len() == "2026-11-24".len()).then(midnight).flatten();
    let parsed = text.parse::<Timestamp>().ok().or(day);
    parsed.ok_or_else(|| "a time is needed, such as 2026-11-24T10:00:00Z or 2026-11-24".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_units_and_bounds() {
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
    fn times_are_instants_or_days() {
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
