//! A list of targets: services, or subnets, of accounts and Regions. Each line is one target, as
//! JSON or as CSV with a header.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, BufRead, Read as _};

use serde::{Deserialize, Serialize};

use crate::arn::is_account_id;
use crate::endpoints::{Partition, Region};
use crate::ip_owner::{RANGES_DATE, ranges_of};
use crate::operator::ecs::digest;
use crate::redact::shorten;

/// Maximum number of bytes of a line: a thousand subnets have about 25 KB.
const MAX_LINE: u64 = 64 * 1024;

/// Maximum number of targets of a list: more than the services of any organization.
const MAX_TARGETS: usize = 200_000;

/// Maximum number of notes about lines. Further ones are only counted.
const MAX_NOTES: usize = 20;

/// Maximum number of characters of a note about a line.
const MAX_MISTAKE_CHARS: usize = 300;

/// What one worker probes: a service, or the subnets of a task definition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetTarget {
    pub account: String,
    pub region: Region,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// ARN or `FAMILY:REVISION`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_definition: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<String>,
}

impl FleetTarget {
    /// Returns a short ID that depends on nothing else.
    pub fn id(&self) -> String {
        digest(&[&self.line()], 6)
    }

    /// Returns the target as a line of JSON.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Returns the target in words.
    pub fn describe(&self) -> String {
        let mut text = format!("{} {}", self.account, self.region);
        if let Some(cluster) = &self.cluster {
            let _ = write!(text, " {cluster}");
        }
        let what = self.service.as_ref().or(self.task_definition.as_ref());
        if let Some(what) = what {
            let _ = write!(text, "/{what}");
        }
        text
    }

    /// Returns what is wrong with it, as the end of a sentence.
    fn mistake(&self) -> Option<String> {
        let account = &self.account;
        if !is_account_id(account) {
            return Some(format!(
                "the account {account:?} is not valid; an account ID has 12 digits, and a spreadsheet may have removed zeros at its start"
            ));
        }
        if self.service.is_none() && (self.task_definition.is_none() || self.subnets.is_empty()) {
            return Some(
                "it has nothing to probe; add a service, or a task_definition with subnets".into(),
            );
        }
        None
    }

    /// Whether AWS listed the Region when the table of address ranges was made.
    fn has_listed_region(&self) -> bool {
        self.region.partition() != Partition::Aws
            || ranges_of(&format!("S3 {}", self.region)).next().is_some()
    }
}

/// A list as it was read.
#[derive(Debug, Default)]
pub struct FleetTargetList {
    pub targets: Vec<FleetTarget>,
    /// Lines that are not targets.
    pub rejected: u64,
    /// Sentences about lines, with their numbers.
    pub notes: Vec<String>,
    /// Notes that are not in `notes`.
    pub more_notes: u64,
}

impl FleetTargetList {
    /// Reads a list, line by line. A line that is not a target is noted, and the others are used.
    ///
    /// Fails if the list cannot be read.
    pub fn read(mut reader: impl BufRead) -> io::Result<Self> {
        let mut list = Self::default();
        let mut known = BTreeSet::new();
        let mut header: Option<Vec<String>> = None;
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            if (&mut reader)
                .take(MAX_LINE + 1)
                .read_until(b'\n', &mut line)?
                == 0
            {
                break;
            }
            if line.len() as u64 > MAX_LINE {
                list.reject(number, "it has more than 64 KiB; a line is one target");
                if !line.ends_with(b"\n") {
                    reader.skip_until(b'\n')?;
                }
                continue;
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_start_matches('\u{feff}').trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let is_json = text.starts_with('{');
            if !is_json && header.is_none() {
                match read_header(text) {
                    Ok(columns) => header = Some(columns),
                    Err(mistake) => list.reject(number, &mistake),
                }
                continue;
            }
            let parsed = if is_json {
                serde_json::from_str(text).map_err(|error| error.to_string())
            } else {
                read_row(text, header.as_deref().unwrap_or_default())
            };
            let parsed = parsed.and_then(|target: FleetTarget| match target.mistake() {
                Some(mistake) => Err(mistake),
                None => Ok(target),
            });
            match parsed {
                Err(mistake) => list.reject(number, &mistake),
                Ok(target) if known.contains(&target) => {
                    let what = target.describe();
                    list.note(
                        number,
                        &format!("{what} is in the list already; it is probed once"),
                    );
                }
                Ok(_) if list.targets.len() >= MAX_TARGETS => {
                    let why = format!("the list has more than {MAX_TARGETS} targets; split it");
                    list.reject(number, &why);
                }
                Ok(target) => {
                    if !target.has_listed_region() {
                        let region = &target.region;
                        list.note(number, &format!(
                            "{region} is not among the Regions that AWS listed on {RANGES_DATE}; it is tried anyway"
                        ));
                    }
                    known.insert(target.clone());
                    list.targets.push(target);
                }
            }
        }
        Ok(list)
    }

    fn reject(&mut self, line: u64, why: &str) {
        self.rejected += 1;
        self.note(line, &format!("not probed: {why}"));
    }

    fn note(&mut self, line: u64, what: &str) {
        if self.notes.len() < MAX_NOTES {
            let what = shorten(what, MAX_MISTAKE_CHARS);
            self.notes.push(format!("line {line}: {what}"));
        } else {
            self.more_notes += 1;
        }
    }
}

/// The columns of a CSV file, which are the members of a target.
const COLUMNS: [&str; 7] = [
    "account",
    "region",
    "cluster",
    "service",
    "task_definition",
    "subnets",
    "security_groups",
];

fn read_header(text: &str) -> Result<Vec<String>, String> {
    let columns: Vec<String> = fields(text)
        .iter()
        .map(|name| name.trim().to_lowercase().replace(['-', ' '], "_"))
        .collect();
    let unknown = columns
        .iter()
        .find(|name| !COLUMNS.contains(&name.as_str()));
    if let Some(unknown) = unknown {
        return Err(format!(
            "the column {unknown:?} is not known; the first line names the columns, of {}",
            COLUMNS.join(", ")
        ));
    }
    match ["account", "region"]
        .iter()
        .find(|needed| !columns.iter().any(|name| name == *needed))
    {
        Some(missing) => Err(format!("the column {missing} is missing")),
        None => Ok(columns),
    }
}

fn read_row(text: &str, columns: &[String]) -> Result<FleetTarget, String> {
    let values = fields(text);
    if values.len() > columns.len() {
        return Err(format!(
            "it has {} values for {} columns; separate several subnets with spaces or quote them",
            values.len(),
            columns.len()
        ));
    }
    let value = |name: &str| {
        let at = columns.iter().position(|column| column == name)?;
        values
            .get(at)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    };
    let list = |name: &str| {
        let value = value(name).unwrap_or_default();
        let parts = value.split(|c: char| c.is_whitespace() || ",;".contains(c));
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let region = value("region").unwrap_or_default();
    Ok(FleetTarget {
        account: value("account").unwrap_or_default(),
        region: region
            .parse()
            .map_err(|error: crate::endpoints::InvalidRegion| error.to_string())?,
        cluster: value("cluster"),
        service: value("service"),
        task_definition: value("task_definition"),
        subnets: list("subnets"),
        security_groups: list("security_groups"),
    })
}

/// Splits a line of CSV (RFC 4180). A value with a line break is not among them.
fn fields(text: &str) -> Vec<String> {
    let (mut fields, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> FleetTargetList {
        FleetTargetList::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn csv_and_json_lines_are_the_same_targets() {
        let csv = read(
            "account,region,cluster,service,subnets\n\
             123456789012,eu-west-1,prod,web,\n\
             123456789012,eu-west-1,prod,api,\"subnet-1, subnet-2\"\n",
        );
        let lines: Vec<String> = csv.targets.iter().map(FleetTarget::line).collect();
        let json = read(&lines.join("\n"));
        assert_eq!((csv.rejected, csv.notes.len()), (0, 0));
        assert_eq!(csv.targets, json.targets);
        assert_eq!(csv.targets[1].subnets, ["subnet-1", "subnet-2"]);
        assert_ne!(csv.targets[0].id(), csv.targets[1].id());
    }

    #[test]
    fn bad_line_is_noted_and_the_others_are_read() {
        let good = r#"{"account":"123456789012","region":"eu-west-1","service":"web"}"#;
        let long = "x".repeat(3 * 64 * 1024);
        for (bad, rejected, word) in [
            (
                r#"{"account":"123456789012","region":"eu-wset-1","service":"a"}"#,
                1,
                "not an AWS Region",
            ),
            (
                r#"{"account":"123456789012","region":"eu-west-9","service":"a"}"#,
                0,
                "eu-west-9",
            ),
            (
                r#"{"account":"1234","region":"eu-west-1","service":"a"}"#,
                1,
                "12 digits",
            ),
            (
                r#"{"account":"123456789012","region":"eu-west-1"}"#,
                1,
                "nothing to probe",
            ),
            (
                r#"{"account":"123456789012","region":"eu-west-1","servcie":"a"}"#,
                1,
                "servcie",
            ),
            (good, 0, "already"),
            (&long, 1, "64 KiB"),
            ("{", 1, "EOF"),
        ] {
            let list = read(&format!(
                "{good}\n{bad}\n{}\n",
                good.replace("web", "other")
            ));
            assert_eq!(
                (list.rejected, list.notes.len()),
                (rejected, 1),
                "{bad:.60}"
            );
            assert!(
                list.notes[0].contains("line 2") && list.notes[0].contains(word),
                "{:?}",
                list.notes
            );
            assert!(list.targets.len() >= 2);
        }
    }

    #[test]
    fn header_with_a_typo_is_named() {
        let list = read("account,regoin,service\n123456789012,eu-west-1,web\n");
        assert!(
            list.targets.is_empty() && list.notes[0].contains("regoin"),
            "{list:?}"
        );
    }

    #[test]
    fn notes_are_bounded() {
        let list = read(&"{}\n".repeat(1_000));
        assert_eq!(
            (list.rejected, list.notes.len(), list.more_notes),
            (1_000, 20, 980)
        );
    }
}
