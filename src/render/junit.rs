//! The comparison as JUnit's XML: a suite for each vantage, a case for each dependency and phase.
//!
//! Valid against the schema of Ant's JUnit reports, which asks for the most, and that of Jenkins,
//! which allows the least.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::comparison::what_was_read;
use super::escape;
use crate::compare::document::{Compared, Vantage};
use crate::compare::fact::{Kind, kind};
use crate::compare::report_view::{Observation, Report};
use crate::verdict::Status;

/// The XML.
pub fn render(compared: &Compared) -> String {
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    for (n, vantage) in compared.document.vantages.iter().enumerate() {
        suite(&mut xml, compared, n, vantage);
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// How a case ends.
enum End {
    Passed,
    Failure(String),
    Skipped(String),
}

fn suite(xml: &mut String, compared: &Compared, n: usize, vantage: &Vantage) {
    let report = compared.report(n);
    let mut cases: Vec<(&str, End, u64)> = compared
        .document
        .facts
        .iter()
        .filter_map(|fact| {
            let value = fact.values.get(&vantage.name)?;
            let seen = observations(report.as_ref(), &fact.fact);
            let took = seen
                .iter()
                .map(|seen| seen.elapsed_ms)
                .max()
                .unwrap_or_default();
            Some((fact.fact.as_str(), end(value), took))
        })
        .collect();
    // A vantage that was never checked is no success, and a suite without a failure would be one.
    if !cases
        .iter()
        .any(|(_, end, _)| matches!(end, End::Failure(_)))
    {
        cases.extend(verdict(vantage).map(|end| ("verdict", end, 0)));
    }
    let count = |wanted: fn(&End) -> bool| cases.iter().filter(|(_, end, _)| wanted(end)).count();
    let elapsed = report.as_ref().map_or(0, |report| report.run.elapsed_ms);
    let host = report
        .as_ref()
        .and_then(|report| report.vantage.address.as_deref())
        .filter(|host| !host.is_empty());
    let _ = writeln!(
        xml,
        "  <testsuite id=\"{n}\" name=\"{name}\" package=\"pullprobe\" timestamp=\"{timestamp}\" hostname=\"{host}\" \
         tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{time}\">",
        name = token(&vantage.name),
        timestamp = timestamp(&vantage.started_at),
        host = token(host.unwrap_or("localhost")),
        tests = cases.len(),
        failures = count(|end| matches!(end, End::Failure(_))),
        skipped = count(|end| matches!(end, End::Skipped(_))),
        time = seconds(elapsed),
    );
    properties(xml, vantage);
    for (name, end, took) in &cases {
        let head = format!(
            "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\"",
            token(&vantage.name),
            token(name),
            seconds(*took)
        );
        let _ = match end {
            End::Passed => writeln!(xml, "{head}/>"),
            End::Failure(what) => writeln!(
                xml,
                "{head}>\n      <failure type=\"{kind}\" message=\"{what}\">{text}</failure>\n    </testcase>",
                kind = escape(what.split(':').next().unwrap_or_default()),
                what = escape(what),
                text = escape(&details(&observations(report.as_ref(), name), vantage)),
            ),
            End::Skipped(why) => {
                writeln!(
                    xml,
                    "{head}>\n      <skipped message=\"{}\"/>\n    </testcase>",
                    escape(why)
                )
            }
        };
    }
    let _ = writeln!(
        xml,
        "    <system-out>{}</system-out>\n    <system-err></system-err>\n  </testsuite>",
        escape(&format!(
            "{}\n{}\n{}",
            vantage.summary,
            compared.document.explanation,
            what_was_read(&compared.document)
        ))
    );
}

fn end(value: &str) -> End {
    match kind(value) {
        Kind::Passed => End::Passed,
        Kind::Failed | Kind::Partly => End::Failure(value.to_owned()),
        Kind::NotReached => End::Skipped("not reached: something before it failed".into()),
        Kind::NotChecked => End::Skipped("not checked".into()),
    }
}

fn verdict(vantage: &Vantage) -> Option<End> {
    let what = vantage.cause.as_deref().unwrap_or("unknown");
    match vantage.status {
        Status::Pass | Status::Warn => None,
        Status::Fail => Some(End::Failure(format!("{what}: {}", vantage.summary))),
        Status::Inconclusive => Some(End::Failure(format!("inconclusive: {}", vantage.summary))),
    }
}

fn observations<'r, 'a>(report: Option<&'r Report<'a>>, fact: &str) -> Vec<&'r Observation<'a>> {
    let all = report
        .map(|report| report.observations.as_slice())
        .unwrap_or_default();
    let of_fact = |seen: &&Observation<'_>| {
        seen.superseded_by.is_none()
            && fact.split_once('/').is_some_and(|(dependency, phase)| {
                &*seen.dependency == dependency && &*seen.phase == phase
            })
    };
    all.iter().filter(of_fact).collect()
}

fn details(seen: &[&Observation<'_>], vantage: &Vantage) -> String {
    if seen.is_empty() {
        return vantage.summary.clone();
    }
    let line = |seen: &&Observation<'_>| {
        let how = seen.failure.as_deref().unwrap_or(&seen.outcome);
        format!(
            "{}: {how} after {} ms {}",
            seen.id, seen.elapsed_ms, seen.detail
        )
        .trim_end()
        .to_owned()
    };
    seen.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn properties(xml: &mut String, vantage: &Vantage) {
    let known = [
        ("run", Some(vantage.run_id.as_str())),
        (
            "status",
            Some(
                super::comparison::status_word(vantage.status)
                    .trim_start_matches(|c: char| !c.is_ascii_alphabetic()),
            ),
        ),
        ("cause", vantage.cause.as_deref()),
        ("verdict", Some(vantage.summary.as_str())),
        ("availability-zone", vantage.availability_zone.as_deref()),
        ("subnet", vantage.subnet_cidr.as_deref()),
    ];
    xml.push_str("    <properties>\n");
    for (name, value) in known
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    {
        let _ = writeln!(
            xml,
            "      <property name=\"{name}\" value=\"{}\"/>",
            escape(value)
        );
    }
    xml.push_str("    </properties>\n");
}

/// `xs:token` without its length of nothing.
fn token(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() {
        "unknown".into()
    } else {
        escape(&words)
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

/// Ant's schema wants seconds and no zone.
fn timestamp(text: &str) -> String {
    let time = text.parse::<Timestamp>().unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}
