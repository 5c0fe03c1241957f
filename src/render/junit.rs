//! The comparison as JUnit XML: a suite for each vantage, a case for each dependency and phase. The
//! message of a failure has the cause and the remedy, because it is what pipelines show.
//!
//! Valid against the schema of Ant's JUnit reports, which requires the most, and that of Jenkins,
//! which allows the least: hence no `testsuites` attributes and times without a zone.

use jiff::Timestamp;
use serde::Serialize;

use super::comparison::input_counts;
use super::replace_control_characters;
use super::result::shown;
use crate::compare::ComparisonOutput;
use crate::compare::comparison::VantageSummary;
use crate::compare::fact::FactValue;
use crate::compare::report_view::{FindingView, ObservationView, ReportView};
use crate::redact::one_line;
use crate::verdict::Status;

/// Maximum number of observations listed for a step that failed. The report has all of them.
const MAX_OBSERVATIONS: usize = 40;

/// Renders a comparison.
pub fn render(output: &ComparisonOutput) -> String {
    let vantages = output.comparison.vantages.iter().enumerate();
    let suites = TestSuites {
        suites: vantages
            .map(|(n, vantage)| suite(output, n, vantage))
            .collect(),
    };
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let mut serializer = quick_xml::se::Serializer::new(&mut xml);
    serializer.indent(' ', 2);
    if let Err(error) = suites.serialize(serializer) {
        return format!(
            "<error>{}</error>\n",
            quick_xml::escape::escape(error.to_string())
        );
    }
    xml.push('\n');
    replace_control_characters(&xml)
}

#[derive(Serialize)]
#[serde(rename = "testsuites")]
struct TestSuites {
    #[serde(rename = "testsuite")]
    suites: Vec<TestSuite>,
}

#[derive(Serialize)]
struct TestSuite {
    #[serde(rename = "@id")]
    id: usize,
    #[serde(rename = "@name")]
    name: String,
    #[serde(rename = "@package")]
    package: &'static str,
    #[serde(rename = "@timestamp")]
    timestamp: String,
    #[serde(rename = "@hostname")]
    hostname: String,
    #[serde(rename = "@tests")]
    tests: usize,
    #[serde(rename = "@failures")]
    failures: usize,
    #[serde(rename = "@errors")]
    errors: usize,
    #[serde(rename = "@skipped")]
    skipped: usize,
    #[serde(rename = "@time")]
    time: String,
    properties: Properties,
    #[serde(rename = "testcase")]
    cases: Vec<TestCase>,
    #[serde(rename = "system-out")]
    stdout: String,
    #[serde(rename = "system-err")]
    stderr: String,
}

#[derive(Serialize)]
struct Properties {
    property: Vec<Property>,
}

#[derive(Serialize)]
struct Property {
    #[serde(rename = "@name")]
    name: &'static str,
    #[serde(rename = "@value")]
    value: String,
}

#[derive(Serialize)]
struct TestCase {
    #[serde(rename = "@classname")]
    classname: String,
    #[serde(rename = "@name")]
    name: String,
    #[serde(rename = "@time")]
    time: String,
    #[serde(rename = "$value", skip_serializing_if = "Option::is_none")]
    result: Option<CaseResult>,
}

/// What a case that did not pass contains.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum CaseResult {
    Failure {
        #[serde(rename = "@type")]
        kind: String,
        #[serde(rename = "@message")]
        message: String,
        #[serde(rename = "$text")]
        details: String,
    },
    Skipped {
        #[serde(rename = "@message")]
        message: &'static str,
    },
}

/// Returns the failure of a step, or of a whole vantage without observations.
fn failure(
    value: &str,
    finding: Option<&FindingView<'_>>,
    observations: &[&ObservationView<'_>],
    vantage: &VantageSummary,
) -> CaseResult {
    let kind = value.split(':').next().unwrap_or(value);
    let message = match finding {
        Some(finding) => {
            let confidence = &*finding.confidence;
            let sure = format!(" ({confidence})");
            let sure = if confidence.is_empty() { "" } else { &sure };
            let sentence = finding.summary.trim_end_matches('.');
            format!(
                "{}{sure}: {sentence}. What to do: {}",
                finding.cause, finding.remedy
            )
        }
        None => vantage.summary.clone(),
    };
    CaseResult::Failure {
        kind: shown(kind),
        message: shown(&one_line(&message)),
        details: failure_details(finding, observations, vantage),
    }
}

/// Returns the finding that a step's failure proves: one that rests on it, or of the same
/// dependency, or else the first, which explains the others.
fn finding_of<'r, 'a>(
    report: &'r ReportView<'a>,
    fact: &str,
    observations: &[&ObservationView<'_>],
) -> Option<&'r FindingView<'a>> {
    let findings = || report.findings.iter();
    let cites = |finding: &&FindingView<'_>| {
        let mut ids = finding.because.iter();
        ids.any(|id| observations.iter().any(|o| o.id == *id))
    };
    let dependency = fact.split('/').next().unwrap_or(fact);
    findings()
        .find(cites)
        .or_else(|| findings().find(|finding| &*finding.dependency == dependency))
        .or_else(|| findings().next())
}

fn suite(output: &ComparisonOutput, id: usize, vantage: &VantageSummary) -> TestSuite {
    let comparison = &output.comparison;
    let report = output.latest_report(id);
    let report = report.as_ref();
    let mut cases: Vec<TestCase> = comparison
        .facts
        .iter()
        .filter_map(|fact| {
            let value = fact.values.get(&vantage.name)?;
            Some(step_case(&fact.fact, value, vantage, report))
        })
        .collect();
    // A suite without a failure would be a success, but a vantage that was never checked is not.
    if !cases.iter().any(TestCase::failed) {
        cases.extend(verdict_case(vantage, report));
    }
    let host = report.and_then(|report| report.vantage.address.as_deref());
    let host = host.filter(|host| !host.is_empty());
    TestSuite {
        id,
        name: token(&vantage.name),
        package: "pullprobe",
        timestamp: timestamp(&vantage.started_at),
        hostname: token(host.unwrap_or("localhost")),
        tests: cases.len(),
        failures: cases.iter().filter(|case| case.failed()).count(),
        errors: 0,
        skipped: cases.iter().filter(|case| case.skipped()).count(),
        time: seconds(report.map_or(0, |report| report.run.elapsed_ms)),
        properties: properties(vantage),
        cases,
        stdout: format!(
            "{}\n{}\n{}",
            vantage.summary,
            comparison.explanation,
            input_counts(comparison)
        ),
        stderr: String::new(),
    }
}

impl TestCase {
    fn failed(&self) -> bool {
        matches!(self.result, Some(CaseResult::Failure { .. }))
    }

    fn skipped(&self) -> bool {
        matches!(self.result, Some(CaseResult::Skipped { .. }))
    }
}

fn step_case(
    fact: &str,
    value: &str,
    vantage: &VantageSummary,
    report: Option<&ReportView<'_>>,
) -> TestCase {
    let observations = report.map(|report| report.observations_of(fact));
    // Without a readable report there are no details.
    let observations = observations.unwrap_or_default();
    let slowest_ms = observations.iter().map(|o| o.elapsed_ms).max().unwrap_or(0);
    TestCase {
        classname: token(&vantage.name),
        name: token(fact),
        time: seconds(slowest_ms),
        result: match FactValue::parse(value) {
            FactValue::Passed(_) => None,
            FactValue::Failed(_) | FactValue::Partly(_) => {
                let finding = report.and_then(|report| finding_of(report, fact, &observations));
                Some(failure(value, finding, &observations, vantage))
            }
            FactValue::NotReached => Some(CaseResult::Skipped {
                message: "not reached: an earlier step failed",
            }),
            FactValue::NotChecked => Some(CaseResult::Skipped {
                message: "not checked",
            }),
        },
    }
}

/// Returns the case that makes a suite fail if no step does.
fn verdict_case(vantage: &VantageSummary, report: Option<&ReportView<'_>>) -> Option<TestCase> {
    let what = match vantage.status {
        Status::Pass | Status::Warn => return None,
        Status::Fail => vantage.cause.as_deref().unwrap_or("unknown"),
        Status::Inconclusive => "inconclusive",
    };
    let finding = report.and_then(|report| report.findings.first());
    Some(TestCase {
        classname: token(&vantage.name),
        name: "verdict".into(),
        time: seconds(0),
        result: Some(failure(what, finding, &[], vantage)),
    })
}

fn failure_details(
    finding: Option<&FindingView<'_>>,
    observations: &[&ObservationView<'_>],
    vantage: &VantageSummary,
) -> String {
    let mut lines: Vec<String> = observations
        .iter()
        .take(MAX_OBSERVATIONS)
        .map(|o| {
            let how = o.failure.as_deref().unwrap_or(&o.outcome);
            let line = match o.measured_ms() {
                Some(elapsed_ms) => format!("{}: {how} after {elapsed_ms} ms {}", o.id, o.detail),
                None => format!("{}: {how}, as Amazon ECS reports: {}", o.id, o.detail),
            };
            shown(line.trim_end())
        })
        .collect();
    if observations.is_empty() {
        lines.push(vantage.summary.clone());
    }
    if let Some(more @ 1..) = observations.len().checked_sub(MAX_OBSERVATIONS) {
        lines.push(format!("and {more} more"));
    }
    if let Some(finding) = finding {
        lines.push(format!("What to do: {}", shown(&finding.remedy)));
        lines.extend(finding.fix.iter().map(|fix| shown(fix)));
    }
    lines.join("\n")
}

fn properties(vantage: &VantageSummary) -> Properties {
    let status = vantage.status.to_string();
    let known = [
        ("run", Some(vantage.run_id.as_str())),
        ("status", Some(status.as_str())),
        ("cause", vantage.cause.as_deref()),
        ("verdict", Some(vantage.summary.as_str())),
        ("availability-zone", vantage.availability_zone.as_deref()),
        ("subnet", vantage.subnet_cidr.as_deref()),
    ];
    let property = known.into_iter().filter_map(|(name, value)| {
        let value = value?.to_owned();
        Some(Property { name, value })
    });
    Properties {
        property: property.collect(),
    }
}

/// Returns an `xs:token` that is not empty.
fn token(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() {
        "unknown".into()
    } else {
        words.join(" ")
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

/// Returns the time in UTC without a zone, as Ant's schema requires.
fn timestamp(text: &str) -> String {
    let time = text.parse::<Timestamp>().unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}
