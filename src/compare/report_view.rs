//! Borrowed view of a report: compares 100,000 reports quickly, including those of an older schema.
//!
//! [`crate::report::Report`] would allocate every string, and would reject a report whose
//! dependencies, phases or failures this version does not know. Here most of a report is skipped,
//! text stays borrowed from its line, and names stay text: unknown ones compare as well as any.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::report;
use crate::safe_text::{escape_lines, visible};
use crate::verdict::{INCONCLUSIVE, Status, WARN};

/// Start of the schema name of a report of any version.
pub const SCHEMA_PREFIX: &str = "pullprobe/report/";

/// Maximum number of characters kept of a name or value from a report: more than AWS allows in any
/// name.
const MAX_TEXT_CHARS: usize = 256;

/// Text of a report, borrowed where it has no escapes. Control and invisible characters are shown
/// as escapes.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);
        let Borrowed(text) = Borrowed::deserialize(deserializer)?;
        Ok(Self(match escape_lines(&text, false) {
            Cow::Borrowed(_) => text,
            Cow::Owned(escaped) => escaped.into(),
        }))
    }
}

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

/// Returns text from a report on one line, cut to [`MAX_TEXT_CHARS`].
pub(super) fn bounded_line(text: &str) -> String {
    let plain = text.len() <= MAX_TEXT_CHARS && text.bytes().all(|byte| byte.is_ascii_graphic());
    if plain {
        text.to_owned()
    } else {
        visible(text, MAX_TEXT_CHARS)
    }
}

/// The members of a report that are compared or shown.
#[derive(Debug, Deserialize)]
pub struct ReportView<'a> {
    /// Name and version of the report's schema.
    #[serde(borrow)]
    pub schema: Text<'a>,
    /// The run that wrote the report.
    #[serde(borrow)]
    pub run: RunView<'a>,
    /// Where the probe ran.
    #[serde(borrow)]
    pub vantage: VantageView<'a>,
    /// Identity that the probe used; `None` without credentials.
    #[serde(borrow, default)]
    pub identity: Option<IdentityView<'a>>,
    /// Status, exit code and summary.
    #[serde(borrow)]
    pub verdict: VerdictView<'a>,
    /// Findings, ranked.
    #[serde(borrow, default)]
    pub findings: Vec<FindingView<'a>>,
    /// Causes that the evidence excludes.
    #[serde(borrow, default)]
    pub ruled_out: Vec<RuledOutView<'a>>,
    /// What the probe observed.
    #[serde(borrow)]
    pub observations: Vec<ObservationView<'a>>,
}

impl<'a> ReportView<'a> {
    /// Returns the observations that a fact, `<dependency>/<phase>`, is made of.
    pub fn observations_of(&self, fact: &str) -> Vec<&ObservationView<'a>> {
        let Some((dependency, phase)) = fact.rsplit_once('/') else {
            return Vec::new();
        };
        self.observations
            .iter()
            .filter(|o| &*o.dependency == dependency && &*o.phase == phase && o.affects_task())
            .collect()
    }
}

/// View of [`report::Run`].
#[derive(Debug, Deserialize)]
pub struct RunView<'a> {
    /// `--run-id`, or generated.
    #[serde(borrow)]
    pub id: Text<'a>,
    /// Version of the probe.
    #[serde(borrow, default)]
    pub version: Text<'a>,
    /// Start of the run, RFC 3339.
    #[serde(borrow, default)]
    pub started_at: Text<'a>,
    /// Time from the start to the verdict.
    #[serde(default)]
    pub elapsed_ms: u64,
    /// Every `--label`.
    #[serde(borrow, default)]
    pub labels: BTreeMap<Text<'a>, Text<'a>>,
    /// Set if evidence was left out to fit one log event.
    #[serde(borrow, default)]
    pub shortened: Option<Text<'a>>,
}

/// View of [`crate::vantage::Vantage`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct VantageView<'a> {
    /// Region from the task's ARN.
    #[serde(borrow)]
    pub region: Option<Text<'a>>,
    /// Availability Zone of the task.
    #[serde(borrow)]
    pub availability_zone: Option<Text<'a>>,
    /// CIDR block of the task's subnet.
    #[serde(borrow)]
    pub subnet_cidr: Option<Text<'a>>,
    /// IP address of the task.
    #[serde(borrow)]
    pub address: Option<Text<'a>>,
    /// ARN of the task.
    #[serde(borrow)]
    pub task_arn: Option<Text<'a>>,
    /// Name of the ECS cluster.
    #[serde(borrow)]
    pub cluster: Option<Text<'a>>,
    /// DNS servers of the subnet.
    #[serde(borrow)]
    pub resolvers: Vec<Text<'a>>,
}

/// View of [`report::Identity`].
#[derive(Debug, Deserialize)]
pub struct IdentityView<'a> {
    /// ARN of the IAM role, if the credentials name it.
    #[serde(borrow, default)]
    pub role_arn: Option<Text<'a>>,
}

/// View of [`crate::verdict::Verdict`].
#[derive(Debug, Deserialize)]
pub struct VerdictView<'a> {
    /// `pass`, `warn`, `inconclusive` or `fail`.
    pub status: Status,
    /// Exit code of the probe.
    pub exit_code: u8,
    /// One sentence.
    #[serde(borrow, default)]
    pub summary: Text<'a>,
}

/// View of [`crate::diagnose::Finding`].
#[derive(Debug, Deserialize)]
pub struct FindingView<'a> {
    /// Cause code.
    #[serde(borrow)]
    pub cause: Text<'a>,
    /// `certain`, `likely` or `possible`.
    #[serde(borrow, default)]
    pub confidence: Text<'a>,
    /// One sentence: what is wrong here.
    #[serde(borrow, default)]
    pub summary: Text<'a>,
    /// What to change.
    #[serde(borrow, default)]
    pub remedy: Text<'a>,
    /// What to copy for it.
    #[serde(borrow, default)]
    pub fix: Vec<Text<'a>>,
    /// The first dependency that it affects.
    #[serde(borrow, default)]
    pub dependency: Text<'a>,
    /// IDs of the observations that it rests on.
    #[serde(borrow, default)]
    pub because: Vec<Text<'a>>,
}

/// View of [`crate::diagnose::RuledOut`].
#[derive(Debug, Deserialize)]
pub struct RuledOutView<'a> {
    /// Cause code.
    #[serde(borrow)]
    pub cause: Text<'a>,
}

/// View of [`crate::observation::Observation`].
#[derive(Debug, Deserialize)]
pub struct ObservationView<'a> {
    /// Unique in its report.
    #[serde(borrow)]
    pub id: Text<'a>,
    /// Dependency of the task, such as `ecr.api`.
    #[serde(borrow)]
    pub dependency: Text<'a>,
    /// Phase, such as `connect`.
    #[serde(borrow)]
    pub phase: Text<'a>,
    /// `passed`, `failed`, `not-reached` or `not-checked`.
    #[serde(borrow)]
    pub outcome: Text<'a>,
    /// Failure, if the outcome is `failed`.
    #[serde(borrow, default)]
    pub failure: Option<Text<'a>>,
    /// The observation that blocked this one, if the outcome is `not-reached`.
    #[serde(borrow, default)]
    pub blocked_by: Option<Text<'a>>,
    /// The reason, if the outcome is `not-checked`.
    #[serde(borrow, default)]
    pub why: Option<Text<'a>>,
    /// Host name that was resolved or contacted.
    #[serde(borrow, default)]
    pub host: Text<'a>,
    /// IP address and port that were dialed.
    #[serde(borrow, default)]
    pub peer: Option<Text<'a>>,
    /// `same-subnet`, `private` or `public`.
    #[serde(borrow, default)]
    pub scope: Option<Text<'a>>,
    /// Owner of a public address, by AWS's published ranges.
    #[serde(borrow, default)]
    pub owner: Option<Text<'a>>,
    /// Image, digest, log group or secret that the phase is about.
    #[serde(borrow, default)]
    pub subject: Option<Text<'a>>,
    /// A one-line, human-readable description.
    #[serde(borrow, default)]
    pub detail: Text<'a>,
    /// Duration of the phase.
    #[serde(default)]
    pub elapsed_ms: u64,
    /// `resolve`: the addresses that the name resolved to.
    #[serde(borrow, default)]
    pub presented: Vec<Text<'a>>,
    /// `handshake`: the presented certificate chain, leaf first.
    #[serde(borrow, default)]
    pub chain: Vec<CertificateView<'a>>,
    /// The source of the observation, if it is not the probe.
    #[serde(borrow, default)]
    pub witness: Option<Text<'a>>,
    /// Set if the result of this target does not affect the task.
    #[serde(borrow, default)]
    pub superseded_by: Option<Text<'a>>,
}

impl ObservationView<'_> {
    /// Returns how long the phase took; `None` where a witness reports it.
    pub fn measured_ms(&self) -> Option<u64> {
        self.witness.is_none().then_some(self.elapsed_ms)
    }

    /// Whether the observation counts: its target was not replaced by a redirect to another one.
    pub fn affects_task(&self) -> bool {
        self.superseded_by.is_none()
    }
}

/// View of [`crate::observation::Certificate`].
#[derive(Debug, Deserialize)]
pub struct CertificateView<'a> {
    /// Distinguished name of the issuer, RFC 4514.
    #[serde(borrow, default)]
    pub issuer: Text<'a>,
}

/// Why a text cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// The text is not a report.
    NotAReport,
    /// A report with a schema that this version does not know.
    UnknownSchema(String),
    /// A report of this version that is incomplete or contradicts itself.
    Invalid(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAReport => f.write_str("not a pullprobe report"),
            Self::UnknownSchema(schema) => write!(
                f,
                "unknown report schema {schema}; use the pullprobe version that wrote the report, or a newer one"
            ),
            Self::Invalid(why) => write!(f, "invalid report: {}", bounded_line(why)),
        }
    }
}

/// The member that distinguishes a report from other JSON.
#[derive(Deserialize)]
struct SchemaMember<'a> {
    #[serde(borrow)]
    schema: Text<'a>,
}

/// Reads a report from `json`, which has to contain nothing else.
pub fn parse(json: &str) -> Result<ReportView<'_>, ReadError> {
    let invalid = match serde_json::from_str::<ReportView<'_>>(json) {
        Ok(mut report) if &*report.schema == report::SCHEMA => {
            if report.verdict.status == Status::Pass {
                fill_in_scopes(&mut report.observations);
            }
            return check_exit_code(report);
        }
        Ok(report) => return Err(other_schema(&report.schema)),
        Err(error) => error,
    };
    match serde_json::from_str::<SchemaMember<'_>>(json) {
        Ok(head) if &*head.schema == report::SCHEMA => Err(ReadError::Invalid(invalid.to_string())),
        Ok(head) => Err(other_schema(&head.schema)),
        Err(error) if error.is_eof() && json.contains(SCHEMA_PREFIX) => {
            Err(ReadError::Invalid("it is truncated".into()))
        }
        Err(_) => Err(ReadError::NotAReport),
    }
}

/// Fills in what a passing report says once: the scope of a target's addresses.
fn fill_in_scopes(observations: &mut [ObservationView<'_>]) {
    let target = |id: &str| id.split('/').next().unwrap_or_default().to_owned();
    let resolves = observations.iter().filter(|o| &*o.phase == "resolve");
    let scopes: BTreeMap<String, Option<Text<'_>>> = resolves
        .map(|resolve| (target(&resolve.id), resolve.scope.clone()))
        .collect();
    for observation in observations {
        if observation.scope.is_none() && observation.peer.is_some() {
            let known = scopes.get(&target(&observation.id));
            observation.scope = known.cloned().flatten();
        }
    }
}

fn other_schema(schema: &str) -> ReadError {
    if schema.starts_with(SCHEMA_PREFIX) {
        ReadError::UnknownSchema(bounded_line(schema))
    } else {
        ReadError::NotAReport
    }
}

/// Rejects a report whose exit code contradicts its status: a deployment gate that trusted a
/// failure with exit code 0 would open.
fn check_exit_code(report: ReportView<'_>) -> Result<ReportView<'_>, ReadError> {
    let VerdictView {
        status, exit_code, ..
    } = report.verdict;
    let consistent = match status {
        Status::Pass => exit_code == 0,
        Status::Warn => exit_code == WARN,
        Status::Inconclusive => exit_code == INCONCLUSIVE,
        Status::Fail => exit_code != 0,
    };
    if consistent {
        Ok(report)
    } else {
        Err(ReadError::Invalid(format!(
            "status {status} contradicts exit code {exit_code}"
        )))
    }
}
