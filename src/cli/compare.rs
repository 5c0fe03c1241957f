//! The flags of `pullprobe compare`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};

use super::ScreenArgs;
use super::duration::age;
use crate::endpoints::Region;

/// `pullprobe compare`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct CompareArgs {
    /// Files with reports: JSON, NDJSON, or output of the AWS CLI for a log group; `-` or a pipe
    /// reads stdin, and s3://BUCKET/PREFIX every object whose key ends in .ndjson or .jsonl
    #[arg(value_name = "FILE|-|S3_URI", conflicts_with = "log_group")]
    pub files: Vec<PathBuf>,
    /// Read the reports from this log group, with your AWS credentials
    #[arg(long, value_name = "NAME")]
    pub log_group: Option<String>,
    /// Region of the log group [default: from your environment or profile]
    #[arg(long, value_name = "REGION", requires = "log_group")]
    pub region: Option<Region>,
    /// Only reports from the last DURATION, such as 90m, 24h or 7d [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = age, conflicts_with_all = ["start", "end"])]
    pub since: Option<Duration>,
    /// Only reports from TIME on, such as 2026-11-24T10:00:00Z, or 2026-11-24 for midnight UTC
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub start: Option<Timestamp>,
    /// Only reports until TIME [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub end: Option<Timestamp>,
    /// Read the log group with CloudWatch Logs Insights: faster if the log group has many other
    /// events, but AWS charges for the scanned data
    #[arg(long, requires = "log_group")]
    pub insights: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub format: CompareFormat,
    #[command(flatten)]
    pub screen: ScreenArgs,
    /// Also write the comparison to FILE, in the format of its extension: .html, .svg, .md, .xml,
    /// .json or .txt (repeatable)
    #[arg(long = "output", value_name = "FILE")]
    pub outputs: Vec<PathBuf>,
}

const HELP: &str = "\
Exit codes: those of the worst vantage: 10 to 20 for a failure (of several, the lowest, which is the earliest
step); otherwise 3 inconclusive, 4 warn, 0 pass · 2 no report in the input";

/// How a comparison is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// Text, also into a pipe
    #[default]
    Auto,
    /// Human-readable text
    Text,
    /// One line of JSON
    Json,
    /// Markdown, such as for $GITHUB_STEP_SUMMARY or a merge request
    Markdown,
    /// JUnit XML: a suite for each vantage, a case for each dependency and phase
    Junit,
    /// Self-contained HTML page
    Html,
    /// Picture of the VPC, in SVG: subnets by zone, the path to each service, and the hop that
    /// fails
    Svg,
}

impl CompareFormat {
    /// Returns the format of a file extension.
    pub fn of_file(file: &std::path::Path) -> Option<Self> {
        match file.extension()?.to_str()?.to_lowercase().as_str() {
            "html" | "htm" => Some(Self::Html),
            "svg" => Some(Self::Svg),
            "md" | "markdown" => Some(Self::Markdown),
            "xml" => Some(Self::Junit),
            "json" => Some(Self::Json),
            "txt" | "text" => Some(Self::Text),
            _ => None,
        }
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    let midnight = || {
        TimeZone::UTC
            .to_timestamp(text.parse::<Date>().ok()?.at(0, 0, 0, 0))
            .ok()
    };
    // Only a date: a time without an offset would be read as its date.
    let day = (text.len() == "2026-11-24".len()).then(midnight).flatten();
    let parsed = text.parse::<Timestamp>().ok().or(day);
    parsed.ok_or_else(|| "expected a time such as 2026-11-24T10:00:00Z or 2026-11-24".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_timestamps_or_dates() {
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
