//! A report as far as a comparison needs it, borrowed from its line: most of a report is skipped,
//! not stored.
//!
//! Names stay text. A report of a newer version may have dependencies, phases and failures that
//! this one does not know, and those compare as well as any.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::report;

/// What every version of a report calls itself.
pub const MARK: &str = "pullprobe/report/";

/// How deep log exporters wrap: a log event in a subscription's message in a record of a queue.
const DEEPEST: usize = 8;

/// Text of a report, borrowed where it has no escapes.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

/// A report's members that are compared or shown.
#[derive(Debug, Deserialize)]
pub struct Report<'a> {
    /// Which form.
    #[serde(borrow)]
    pub schema: Text<'a>,
    /// Which run.
    #[serde(borrow)]
    pub run: Run<'a>,
    /// From where.
    #[serde(borrow)]
    pub vantage: Vantage<'a>,
    /// As whom.
    #[serde(borrow, default)]
    pub identity: Option<Identity<'a>>,
    /// What it comes to.
    #[serde(borrow)]
    pub verdict: Verdict<'a>,
    /// Causes, ranked.
    #[serde(borrow, default)]
    pub findings: Vec<Finding<'a>>,
    /// What it is not.
    #[serde(borrow, default)]
    pub ruled_out: Vec<RuledOut<'a>>,
    /// What was seen.
    #[serde(borrow)]
    pub observations: Vec<Observation<'a>>,
}

/// Which run.
#[derive(Debug, Deserialize)]
pub struct Run<'a> {
    /// `--run-id`, or generated.
    #[serde(borrow)]
    pub id: Text<'a>,
    /// The probe's version.
    #[serde(borrow, default)]
    pub version: Text<'a>,
    /// RFC 3339.
    #[serde(borrow, default)]
    pub started_at: Text<'a>,
    /// From the start to the verdict.
    #[serde(default)]
    pub elapsed_ms: u64,
    /// `--label`s.
    #[serde(borrow, default)]
    pub labels: std::collections::BTreeMap<Text<'a>, Text<'a>>,
    /// Set when evidence was left out.
    #[serde(borrow, default)]
    pub shortened: Option<Text<'a>>,
}

/// From where.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Vantage<'a> {
    /// From the task's ARN.
    #[serde(borrow)]
    pub region: Option<Text<'a>>,
    /// The zone.
    #[serde(borrow)]
    pub availability_zone: Option<Text<'a>>,
    /// The task's subnet.
    #[serde(borrow)]
    pub subnet_cidr: Option<Text<'a>>,
    /// The task's own address.
    #[serde(borrow)]
    pub address: Option<Text<'a>>,
    /// The task.
    #[serde(borrow)]
    pub task_arn: Option<Text<'a>>,
    /// The cluster's name.
    #[serde(borrow)]
    pub cluster: Option<Text<'a>>,
    /// DNS servers of the subnet.
    #[serde(borrow)]
    pub resolvers: Vec<Text<'a>>,
    /// Operating system and architecture of the probe.
    #[serde(borrow)]
    pub platform: Text<'a>,
}

/// As whom.
#[derive(Debug, Deserialize)]
pub struct Identity<'a> {
    /// The role, where the credentials name it.
    #[serde(borrow, default)]
    pub role_arn: Option<Text<'a>>,
}

/// What it comes to.
#[derive(Debug, Deserialize)]
pub struct Verdict<'a> {
    /// `pass`, `warn`, `inconclusive` or `fail`.
    pub status: crate::verdict::Status,
    /// The probe exited with this.
    pub exit_code: u8,
    /// One sentence.
    #[serde(borrow, default)]
    pub summary: Text<'a>,
}

/// A cause with its proof.
#[derive(Debug, Deserialize)]
pub struct Finding<'a> {
    /// Its code.
    #[serde(borrow)]
    pub cause: Text<'a>,
    /// How sure.
    #[serde(borrow, default)]
    pub confidence: Text<'a>,
    /// What is wrong here.
    #[serde(borrow, default)]
    pub summary: Text<'a>,
    /// What to change.
    #[serde(borrow, default)]
    pub remedy: Text<'a>,
}

/// A cause that is excluded.
#[derive(Debug, Deserialize)]
pub struct RuledOut<'a> {
    /// Its code.
    #[serde(borrow)]
    pub cause: Text<'a>,
}

/// One phase of one target at one address.
#[derive(Debug, Deserialize)]
pub struct Observation<'a> {
    /// Unique in its report.
    #[serde(borrow)]
    pub id: Text<'a>,
    /// What the target is to the task.
    #[serde(borrow)]
    pub dependency: Text<'a>,
    /// The rung.
    #[serde(borrow)]
    pub phase: Text<'a>,
    /// `passed`, `failed`, `not-reached` or `not-checked`.
    #[serde(borrow)]
    pub outcome: Text<'a>,
    /// In which way it failed.
    #[serde(borrow, default)]
    pub failure: Option<Text<'a>>,
    /// What stood in the way.
    #[serde(borrow, default)]
    pub blocked_by: Option<Text<'a>>,
    /// Why it was not checked.
    #[serde(borrow, default)]
    pub why: Option<Text<'a>>,
    /// The name that was asked for.
    #[serde(borrow, default)]
    pub host: Text<'a>,
    /// The address that was dialled.
    #[serde(borrow, default)]
    pub peer: Option<Text<'a>>,
    /// `same-subnet`, `private` or `public`.
    #[serde(borrow, default)]
    pub scope: Option<Text<'a>>,
    /// Who owns a public address.
    #[serde(borrow, default)]
    pub owner: Option<Text<'a>>,
    /// The image, digest, log group or secret.
    #[serde(borrow, default)]
    pub subject: Option<Text<'a>>,
    /// One line for a person.
    #[serde(borrow, default)]
    pub detail: Text<'a>,
    /// How long it took.
    #[serde(default)]
    pub elapsed_ms: u64,
    /// `resolve`: the addresses.
    #[serde(borrow, default)]
    pub presented: Vec<Text<'a>>,
    /// `handshake`: the presented chain, leaf first.
    #[serde(borrow, default)]
    pub chain: Vec<Certificate<'a>>,
    /// Set where what happens to this target does not matter to the task.
    #[serde(borrow, default)]
    pub superseded_by: Option<Text<'a>>,
}

/// One certificate.
#[derive(Debug, Deserialize)]
pub struct Certificate<'a> {
    /// RFC 4514 form.
    #[serde(borrow, default)]
    pub issuer: Text<'a>,
}

/// Why a text is no report that can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// Something else.
    Other,
    /// A report of a form that this version does not know.
    Schema(String),
    /// It calls itself a report, and is not one.
    Broken(String),
}

/// As much of a report as says what it is.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    schema: Text<'a>,
}

/// Reads a report from the whole of `json`.
pub fn report(json: &str) -> Result<Report<'_>, Unread> {
    let broken = match serde_json::from_str::<Report<'_>>(json) {
        Ok(report) if &*report.schema == report::SCHEMA => return consistent(report),
        Ok(report) => return Err(of_schema(&report.schema)),
        Err(error) => error,
    };
    match serde_json::from_str::<Head<'_>>(json) {
        Ok(head) if &*head.schema == report::SCHEMA => Err(Unread::Broken(broken.to_string())),
        Ok(head) => Err(of_schema(&head.schema)),
        Err(error) if error.is_eof() && json.contains(MARK) => {
            Err(Unread::Broken("it is cut off".into()))
        }
        Err(_) => Err(Unread::Other),
    }
}

fn of_schema(schema: &str) -> Unread {
    if schema.starts_with(MARK) {
        Unread::Schema(super::tidy(schema))
    } else {
        Unread::Other
    }
}

/// A gate that trusted a report of a failure with exit code 0 would open.
fn consistent(report: Report<'_>) -> Result<Report<'_>, Unread> {
    use crate::verdict::{INCONCLUSIVE, Status, WARN};
    let Verdict {
        status, exit_code, ..
    } = report.verdict;
    let fits = match status {
        Status::Pass => exit_code == 0,
        Status::Warn => exit_code == WARN,
        Status::Inconclusive => exit_code == INCONCLUSIVE,
        Status::Fail => exit_code != 0,
    };
    if fits {
        Ok(report)
    } else {
        Err(Unread::Broken(format!(
            "its status is {status} and its exit code {exit_code}"
        )))
    }
}

/// Finds the reports in what log exporters make of them, and gives each to `each`: behind a
/// timestamp or a stream's name, as text in a member (`message`, `log`, `@message`, …), in arrays
/// of events. Returns how many events had none.
pub fn unwrap(text: &str, each: &mut dyn FnMut(&str)) -> usize {
    let mut others = 0;
    let found = unwrap_at(text, each, Some(&mut others), DEEPEST);
    if found == 0 { others.max(1) } else { others }
}

/// How many reports were found.
fn unwrap_at(
    text: &str,
    each: &mut dyn FnMut(&str),
    others: Option<&mut usize>,
    depth: usize,
) -> usize {
    if depth == 0 || !text.contains(MARK) {
        return 0;
    }
    // What stands before may have a bracket of its own: `[2026-11-24] {"schema": …`.
    let starts = text.match_indices(['{', '[']).take(DEEPEST);
    let mut values = starts.filter_map(|(at, _)| {
        serde_json::Deserializer::from_str(&text[at..])
            .into_iter::<Value>()
            .next()
            .and_then(Result::ok)
    });
    values
        .find(holds_a_report)
        .map_or(0, |value| walk(&value, each, others, depth))
}

fn holds_a_report(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().any(holds_a_report),
        Value::Array(items) => items.iter().any(holds_a_report),
        Value::String(text) => text.contains(MARK),
        _ => false,
    }
}

/// Items without a report are counted in the outermost array only: that is the one of events.
fn walk(
    value: &Value,
    each: &mut dyn FnMut(&str),
    mut others: Option<&mut usize>,
    depth: usize,
) -> usize {
    match value {
        Value::Object(members) => {
            if members
                .get("schema")
                .and_then(Value::as_str)
                .is_some_and(|schema| schema.starts_with(MARK))
            {
                each(&value.to_string());
                return 1;
            }
            members
                .values()
                .map(|member| walk(member, each, others.as_deref_mut(), depth))
                .sum()
        }
        Value::Array(items) => {
            let found = items
                .iter()
                .map(|item| walk(item, each, None, depth))
                .collect::<Vec<_>>();
            if let Some(others) = others {
                *others += found.iter().filter(|found| **found == 0).count();
            }
            found.iter().sum()
        }
        Value::String(text) => unwrap_at(text, each, None, depth - 1),
        _ => 0,
    }
}
