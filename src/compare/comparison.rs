//! The comparison as it is printed, `pullprobe/comparison/v1`.

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::ser::Formatter;

use super::change::Change;
use super::difference::Difference;
use super::vantage_values::VantageValues;
use crate::safe_text::{escape_json, json_line};
use crate::verdict::Status;

/// Name and version of the comparison's schema.
pub const SCHEMA: &str = "pullprobe/comparison/v1";

/// Several reports side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Comparison {
    /// Always `pullprobe/comparison/v1`.
    pub schema: String,
    /// The worst vantage's status; `inconclusive` without any vantage.
    pub status: Status,
    /// The worst vantage's exit code. A failure is worse than an inconclusive run, which is worse
    /// than a warning; of several failures the lowest code, which is that of the earliest step.
    pub exit_code: u8,
    /// One sentence.
    pub summary: String,
    /// What differs, or why nothing can be compared.
    pub explanation: String,
    /// Where reports come from, the worst first.
    pub vantages: Vec<VantageSummary>,
    /// The matrix, in the order in which a task starts.
    pub facts: Vec<FactRow>,
    /// The first fact that differs between passing and failing vantages.
    pub first_difference: Option<Difference>,
    /// First differing facts of failing vantages that `first_difference` does not explain.
    pub other_differences: Vec<Difference>,
    /// Changes over time at the same vantage.
    pub changes: Vec<Change>,
    /// How many reports were read.
    pub read: InputCounts,
}

/// The latest report of a vantage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VantageSummary {
    /// Unique, and the same from run to run.
    pub name: String,
    /// Status of the report.
    pub status: Status,
    /// Exit code of the probe.
    pub exit_code: u8,
    /// Cause of the first finding.
    pub cause: Option<String>,
    /// Confidence of the first finding.
    pub confidence: Option<String>,
    /// The verdict's sentence.
    pub summary: String,
    /// Availability Zone of the task.
    pub availability_zone: Option<String>,
    /// CIDR block of the task's subnet.
    pub subnet_cidr: Option<String>,
    /// ID of the run.
    pub run_id: String,
    /// Start of the run, RFC 3339.
    pub started_at: String,
    /// Reports from this vantage, including the latest.
    pub reports: u64,
    /// How many of them have the status `fail`.
    pub failed: u64,
}

/// A row of the matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FactRow {
    /// `<dependency>/<phase>`.
    pub fact: String,
    /// Its value by vantage: `passed`, for names with the scope of their addresses; a failure;
    /// `partly` and a failure; `not-reached`; `not-checked`. Vantages whose plan did not include
    /// it are missing.
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, String>"))]
    pub values: VantageValues,
}

/// How much of the input was compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InputCounts {
    /// Reports that were compared.
    pub reports: u64,
    /// Copies of a report that was compared: a run's report is on its standard output and in
    /// CloudWatch Logs.
    pub duplicates: u64,
    /// Lines and log events that are not reports.
    pub others: u64,
    /// Reports that this version cannot read.
    pub unreadable: u64,
    /// Reports that were not compared, because memory is bounded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Comparison {
    /// Returns the vantages in which the task would not start.
    pub fn failing(&self) -> impl Iterator<Item = &VantageSummary> {
        let all = self.vantages.iter();
        all.filter(|vantage| vantage.status == Status::Fail)
    }

    /// Writes what [`Comparison::line`] returns, piece by piece: with 100,000 vantages it has 100
    /// MB.
    pub fn write(&self, out: impl io::Write) -> io::Result<()> {
        let mut serializer = serde_json::Serializer::with_formatter(out, VisibleText);
        Ok(self.serialize(&mut serializer)?)
    }

    /// Returns the comparison as one line of JSON.
    pub fn line(&self) -> String {
        json_line(SCHEMA, self)
    }
}

/// Escapes control and invisible characters, as [`escape_json`] does.
struct VisibleText;

impl Formatter for VisibleText {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let is_plain = fragment.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if is_plain {
            writer.write_all(fragment.as_bytes())
        } else {
            writer.write_all(escape_json(fragment.to_owned()).as_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Comparison;

    #[test]
    fn written_piece_by_piece_it_is_the_same_line() {
        let comparison = Comparison {
            schema: super::SCHEMA.into(),
            status: crate::verdict::Status::Pass,
            exit_code: 0,
            summary: "a \u{202e}b\u{1b}[31m \"c\" \\ \u{7f} ü".into(),
            explanation: "\u{200b}".into(),
            vantages: Vec::new(),
            facts: Vec::new(),
            first_difference: None,
            other_differences: Vec::new(),
            changes: Vec::new(),
            read: super::InputCounts::default(),
        };
        let mut written = Vec::new();
        comparison.write(&mut written).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), comparison.line());
    }

    #[test]
    fn printed_schema_matches_the_code() {
        let current =
            serde_json::to_string_pretty(&schemars::schema_for!(Comparison)).unwrap() + "\n";
        let printed = include_str!("../../schemas/comparison-v1.json");
        if current != printed {
            std::fs::write(
                concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/comparison-v1.json"),
                current,
            )
            .unwrap();
            panic!(
                "schemas/comparison-v1.json was stale and has been rewritten: review and commit it"
            );
        }
    }
}
