//! From a stopped task's text to the step, the culprit and the next command. Pure.
//!
//! ```text
//! text ─▶ Plain ─▶ phrases + parts ─▶ Reading ─▶ Explanation
//!         one line  [`words`] [`parts`]  step, sign   proven, findings, next
//! ```
//!
//! The grammar is that of the wrappers: a service event around the name of an error, around the
//! words of a phase, around the error of an SDK, around the words of Go or of a service. Texts are
//! cut anywhere, so every part stands for itself, and no rule knows a whole message. Silence goes
//! before every answer: a timeout is never a permission.

mod app_log;
mod causes;
mod dependencies;
pub mod ecs_wording;
mod fields;
mod lexicon;
mod next;
mod normalize;
mod parsed;
mod precedence;
mod proven_facts;
mod sign;
pub mod tasks;

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::cause::Family;
use crate::diagnose::{Confidence, Finding};
use crate::observation::Dependency;
use crate::redact::{one_line, redact, shorten};
use normalize::Plain;
use parsed::Reading;
use sign::Sign;

/// The name of the explanation's form.
pub const SCHEMA: &str = "pullprobe/explanation/v1";

/// Characters of the text that are echoed.
const LONGEST_ECHO: usize = 4_096;

/// Exit code of a text that is not known.
pub const UNKNOWN: u8 = 3;

/// Where in the order of a start it failed. Declared in that order, as Fargate keeps it (facts:
/// message corpus); where environment files and file systems come in it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// ECS assumes the execution role and the task role.
    AssumeRole,
    /// Network interface, address, place to run.
    NetworkInterface,
    /// Secrets Manager and Parameter Store.
    Secrets,
    /// The token for Amazon ECR.
    RegistryAuth,
    /// The log driver creates its stream.
    LogDriver,
    /// From the image's name to its manifest.
    ImageManifest,
    /// The bytes of the image.
    ImageLayer,
    /// Environment files, from Amazon S3.
    EnvironmentFile,
    /// Amazon EFS.
    FileSystem,
    /// The container's own process.
    ContainerStart,
    /// The text does not say.
    Unknown,
}

impl Step {
    /// The name in explanations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AssumeRole => "assume-role",
            Self::NetworkInterface => "network-interface",
            Self::Secrets => "secrets",
            Self::RegistryAuth => "registry-auth",
            Self::LogDriver => "log-driver",
            Self::ImageManifest => "image-manifest",
            Self::ImageLayer => "image-layer",
            Self::EnvironmentFile => "environment-file",
            Self::FileSystem => "file-system",
            Self::ContainerStart => "container-start",
            Self::Unknown => "unknown",
        }
    }

    /// What it is, for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::AssumeRole => "assuming the task's roles",
            Self::NetworkInterface => "placing the task and its network interface",
            Self::Secrets => "fetching secrets",
            Self::RegistryAuth => "logging in to Amazon ECR",
            Self::LogDriver => "opening the log stream",
            Self::ImageManifest => "reading the image's manifest",
            Self::ImageLayer => "downloading the image's layers",
            Self::EnvironmentFile => "fetching environment files from Amazon S3",
            Self::FileSystem => "mounting the file system",
            Self::ContainerStart => "starting the container",
            Self::Unknown => "an unknown step",
        }
    }

    /// The steps whose order is established.
    const ORDER: [Self; 8] = [
        Self::AssumeRole,
        Self::NetworkInterface,
        Self::Secrets,
        Self::RegistryAuth,
        Self::LogDriver,
        Self::ImageManifest,
        Self::ImageLayer,
        Self::ContainerStart,
    ];

    /// The steps before this one.
    pub fn before(self) -> &'static [Self] {
        let at = Self::ORDER
            .iter()
            .position(|step| *step == self)
            .unwrap_or_default();
        &Self::ORDER[..at]
    }

    /// The steps after this one, less the container itself.
    pub fn after(self) -> &'static [Self] {
        let last = Self::ORDER.len() - 1;
        let at = Self::ORDER
            .iter()
            .position(|step| *step == self)
            .map_or(last, |at| (at + 1).min(last));
        &Self::ORDER[at..last]
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a text says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Explanation {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The text on one line, without anything secret, at most 4,096 characters.
    pub message: String,
    /// The task that it is of, where a task was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
    /// The service that the text or the task names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// ECS's own class of the stop, where a task was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<String>,
    /// When ECS said it, RFC 3339, where a task or an event was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said_at: Option<String>,
    /// Where in ECS's start order it failed.
    pub step: Step,
    /// The family of what the text shows, and of the exit code. A cause behind it may be of
    /// another.
    pub family: Family,
    /// Whose way it is in.
    pub dependency: Option<Dependency>,
    /// The host that was asked.
    pub host: Option<String>,
    /// The address that was dialled.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub peer: Option<IpAddr>,
    /// Who owns it, by AWS's published ranges.
    pub owner: Option<String>,
    /// What the text proves, each with the fragment that proves it.
    pub proven: Vec<String>,
    /// What it may be, ranked, never more certain than the text. `because` holds fragments of the
    /// text.
    pub findings: Vec<Finding<String>>,
    /// Exact commands that tell more.
    pub next: Vec<String>,
    /// Steps that this failure hides, in order.
    pub next_failures: Vec<String>,
}

impl Explanation {
    /// The process exits with this.
    pub fn exit_code(&self) -> u8 {
        self.family.exit_code()
    }

    /// As one line.
    pub fn line(&self) -> String {
        serde_json::to_string(self)
            .unwrap_or_else(|error| format!("{{\"schema\":\"{SCHEMA}\",\"error\":\"{error}\"}}"))
    }
}

/// What is known beside the text, to write commands that can be copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Name or ARN.
    pub cluster: Option<String>,
    /// Name.
    pub service: Option<String>,
    /// ARN.
    pub task_arn: Option<String>,
    /// `TaskFailedToStart` and so on.
    pub stop_code: Option<String>,
    /// RFC 3339.
    pub said_at: Option<String>,
}

/// Explain a text.
pub fn explain(text: &str) -> Explanation {
    explain_with(text, &Known::default())
}

/// Explain a text of which something is known.
pub fn explain_with(text: &str, known: &Known) -> Explanation {
    let whole = one_line(text);
    let message = redact(shorten(&whole, LONGEST_ECHO));
    // What is escaped may hide a secret from the echo, though not from a fragment that is
    // unescaped.
    let clean = message == whole && !text.contains(['&', '\\']);
    let readings = read(Plain::new(text), clean);
    // Of several messages in one text the silent one goes first: what is behind it is not even
    // asked for.
    let is_known = |reading: &&Reading| reading.sign.is_some();
    let is_silent = |reading: &&Reading| {
        precedence::path(reading).is_some() || reading.sign == Some(Sign::Retried)
    };
    let says_where = |reading: &&Reading| reading.step != Step::Unknown;
    let first = readings
        .iter()
        .find(|reading| is_known(reading) && is_silent(reading))
        .or_else(|| readings.iter().find(is_silent))
        .or_else(|| readings.iter().find(is_known))
        .or_else(|| readings.iter().find(says_where))
        .unwrap_or(&readings[0]);
    let service = known
        .service
        .clone()
        .or_else(|| readings.iter().find_map(|r| r.parts.service.clone()));
    let mut explanation = Explanation {
        schema: SCHEMA.to_owned(),
        message,
        task_arn: known.task_arn.clone(),
        service,
        stop_code: known.stop_code.clone(),
        said_at: known.said_at.clone(),
        step: first.step,
        family: first.family(),
        dependency: first.dependency,
        host: first.host.clone(),
        peer: first.peer(),
        owner: first.owner.clone(),
        proven: proven_facts::proven(first),
        findings: causes::findings(first),
        next: Vec::new(),
        next_failures: Vec::new(),
    };
    for other in readings
        .iter()
        .filter(|reading| !std::ptr::eq(*reading, first) && reading.sign.is_some())
    {
        add(&mut explanation, other);
    }
    explanation.next_failures = proven_facts::next_failures(&explanation);
    explanation.next = next::commands(&explanation, first, known);
    explanation
}

/// A second message in the same text, after the first. Which belongs to which is not known, so
/// nothing stays certain.
fn add(explanation: &mut Explanation, other: &Reading) {
    for finding in causes::findings(other) {
        if !explanation
            .findings
            .iter()
            .any(|known| known.cause == finding.cause)
        {
            explanation.findings.push(finding);
            explanation.proven.push(format!(
                "the text holds another message as well, of {}",
                other.step.title()
            ));
        }
    }
    explanation.proven.dedup();
    for finding in &mut explanation.findings {
        finding.confidence = finding.confidence.min(Confidence::Likely);
    }
}

/// Names of errors that ECS begins a reason with, less `Error:`.
const BEGINNINGS: [&str; 11] = [
    "resourceinitialization",
    "cannotpullcontainer",
    "cannotpullecrcontainer",
    "cannotpullimagemanifest",
    "cannotpullcontainerauth",
    "cannotstartcontainer",
    "cannotcreatecontainer",
    "containerruntime",
    "dockertimeout",
    "outofmemory",
    "hostconfig",
];

/// The messages of a text: it is cut where an error's name begins a new one. Never empty.
fn read(plain: Plain, clean: bool) -> Vec<Reading> {
    let dense = plain.dense.as_str();
    let named = dense.match_indices("error:").filter_map(|(end, _)| {
        let name = BEGINNINGS
            .iter()
            .find(|name| dense[..end].ends_with(*name))?;
        Some(end - name.len())
    });
    let events = dense.match_indices("(service").map(|(at, _)| at);
    let mut cuts: Vec<usize> = named.chain(events).collect();
    cuts.sort_unstable();
    cuts.truncate(MOST_MESSAGES);
    // What stands before the first name belongs to it: a service event, a mail's greeting.
    if cuts.len() <= 1 || (cuts.len() == 2 && dense[cuts[0]..].starts_with("(service")) {
        return vec![Reading::of(plain, clean)];
    }
    let mut readings = Vec::new();
    let ends = cuts.iter().skip(1).copied().chain([dense.len()]);
    for (n, (from, to)) in cuts.iter().copied().zip(ends).enumerate() {
        readings.push(Reading::of(
            plain.part(if n == 0 { 0 } else { from }, to),
            clean,
        ));
    }
    readings
}

/// Messages of one text that are read. A pasted list of events has ten or so.
const MOST_MESSAGES: usize = 16;

/// The serde name of a plain enum.
fn kebab(value: impl Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
