//! The ID of an observation: the target, the phase, and the subject of the phase.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Dependency, ForEach, Phase};
use crate::safe_text::visible;

/// Names a target in observation IDs: the dependency and, from its second target on, the host
/// (`ecr.dkr`, `registry@ghcr.io`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct TargetKey(String);

impl TargetKey {
    /// Returns the key of a dependency's first target.
    pub fn of(dependency: Dependency) -> Self {
        Self(dependency.name().to_owned())
    }

    /// Returns the key of a further target of a dependency, at this host.
    pub fn at(dependency: Dependency, host: &str) -> Self {
        Self(format!("{dependency}@{host}"))
    }

    /// Returns the key of the task itself, for what ECS reports about it.
    pub fn task() -> Self {
        Self("task".to_owned())
    }

    /// Returns the key of the Lambda function, for what Lambda reports about it.
    pub fn function() -> Self {
        Self("function".to_owned())
    }

    /// Returns the key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for TargetKey {
    type Err = InvalidObservationId;

    /// Reads the target of an ID. Fails if it is empty or contains a slash, which separates the
    /// parts of IDs.
    fn from_str(text: &str) -> Result<Self, InvalidObservationId> {
        if text.is_empty() || text.contains('/') {
            return Err(InvalidObservationId::NoTarget);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Maximum number of characters of a target or subject. The longest, the ARN of a secret with all
/// its parts, has fewer.
const MAX_PART_CHARS: usize = 4_000;

/// Identifies one observation of a report. Prints as `<target>/<phase>[/<subject>]`, such as
/// `s3/connect/198.18.0.10` or `ecr.dkr/manifest/app:1.4`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ObservationId {
    /// The target.
    pub target: TargetKey,
    /// The phase.
    pub phase: Phase,
    /// Address, image, digest, secret and so on, separated by slashes; empty if the phase is tried
    /// once for its target.
    pub subject: String,
}

impl ObservationId {
    /// Returns the ID of a phase that is tried once for its target.
    pub fn new(target: TargetKey, phase: Phase) -> Self {
        Self {
            target,
            phase,
            subject: String::new(),
        }
    }

    /// Returns the ID narrowed to `subject`; see [`Self::narrow`].
    #[must_use]
    pub fn about(mut self, subject: impl fmt::Display) -> Self {
        self.narrow(subject);
        self
    }

    pub(super) fn for_each_name(&mut self, name: ForEach<'_, String>) {
        // The dependency before the `@` is pullprobe's own name.
        if let Some((dependency, host)) = self.target.0.split_once('@') {
            let mut host = host.to_owned();
            name(&mut host);
            self.target.0 = format!("{dependency}@{host}");
        }
        name(&mut self.subject);
    }

    /// Appends `subject` to the ID's subject.
    pub fn narrow(&mut self, subject: impl fmt::Display) {
        use fmt::Write as _;
        if !self.subject.is_empty() {
            self.subject.push('/');
        }
        // Writing to a `String` does not fail.
        let _ = write!(self.subject, "{subject}");
    }
}

impl fmt::Display for ObservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.target, self.phase)?;
        if !self.subject.is_empty() {
            write!(f, "/{}", self.subject)?;
        }
        Ok(())
    }
}

impl From<ObservationId> for String {
    fn from(id: ObservationId) -> Self {
        id.to_string()
    }
}

impl PartialEq<str> for ObservationId {
    fn eq(&self, text: &str) -> bool {
        text.parse().is_ok_and(|id: Self| id == *self)
    }
}

/// IDs sort like their text in reports.
impl Ord for ObservationId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.to_string().cmp(&other.to_string())
    }
}

impl PartialOrd for ObservationId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Why a text is not an observation's ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidObservationId {
    /// There is nothing before the first slash.
    NoTarget,
    /// What follows the first slash is not a phase.
    NoPhase,
}

impl fmt::Display for InvalidObservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoTarget => "an observation ID begins with a target, such as ecr.api/resolve",
            Self::NoPhase => "an observation ID names a phase after its target",
        })
    }
}

impl std::error::Error for InvalidObservationId {}

impl FromStr for ObservationId {
    type Err = InvalidObservationId;

    fn from_str(text: &str) -> Result<Self, InvalidObservationId> {
        let (target, rest) = text.split_once('/').ok_or(InvalidObservationId::NoPhase)?;
        let (phase, subject) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Self {
            target: visible(target, MAX_PART_CHARS).parse()?,
            phase: Phase::named(phase).ok_or(InvalidObservationId::NoPhase)?,
            subject: visible(subject, MAX_PART_CHARS),
        })
    }
}

impl TryFrom<String> for ObservationId {
    type Error = InvalidObservationId;

    fn try_from(text: String) -> Result<Self, InvalidObservationId> {
        text.parse()
    }
}

#[cfg(test)]
impl schemars::JsonSchema for ObservationId {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ObservationId".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_it_was_read() {
        for text in [
            "ecr.api/resolve",
            "s3/connect/198.18.0.10",
            "registry@ghcr.io/manifest/team/app:1.4",
            "environment-file/fetch/bucket/a/b.env",
            "secretsmanager/read/arn:aws:secretsmanager:eu-west-1:1:secret:prod/db",
        ] {
            let id: ObservationId = text.parse().unwrap();
            assert_eq!(id.to_string(), text);
            assert_eq!(id, *text);
        }
    }

    #[test]
    fn is_composed_from_target_phase_and_subject() {
        let target = TargetKey::at(Dependency::Registry, "ghcr.io");
        let id = ObservationId::new(target, Phase::Fetch)
            .about("app:1")
            .about("sha256:ab");
        assert_eq!(id.to_string(), "registry@ghcr.io/fetch/app:1/sha256:ab");
    }

    #[test]
    fn errors_name_the_missing_part() {
        let error = |text: &str| text.parse::<ObservationId>().unwrap_err();
        assert_eq!(error("ecr.api"), InvalidObservationId::NoPhase);
        assert_eq!(error("/resolve"), InvalidObservationId::NoTarget);
        assert_eq!(error("ecr.api/resolved"), InvalidObservationId::NoPhase);
    }
}
