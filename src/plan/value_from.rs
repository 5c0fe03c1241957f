//! `valueFrom` of a container's secret, in ECS syntax.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::shorten;
use crate::arn::{Arn, InvalidArn};
use crate::endpoints::{InvalidRegion, Region};

/// Maximum length in bytes. The longest secret ID has 2,048 (Secrets Manager API reference,
/// GetSecretValue).
const MAX_LENGTH: usize = 2_048;

/// A reference to a secret or a parameter (ECS developer guide, "Pass sensitive data to a
/// container").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ValueFrom {
    /// Secrets Manager: `arn:…:secret:name[:json-key:version-stage:version-id]`.
    Secret {
        /// ARN without the three optional parts.
        arn: String,
        /// From the ARN.
        region: Region,
        /// Key to read from the secret, which must then be a JSON object.
        json_key: Option<String>,
        /// Staging label, such as `AWSPREVIOUS`.
        version_stage: Option<String>,
        /// ID of the secret's version.
        version_id: Option<String>,
    },
    /// Parameter Store: an ARN, or a name in the task's own Region.
    Parameter {
        /// ARN or name, as in the task definition.
        name: String,
        /// From the ARN.
        region: Option<Region>,
    },
}

/// A `valueFrom` that ECS would reject.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{problem}")]
pub struct InvalidValueFrom {
    /// The text, shortened.
    pub text: String,
    /// The reason.
    pub problem: ValueFromProblem,
}

/// Why ECS would reject a `valueFrom`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ValueFromProblem {
    /// Empty, or longer than 2,048 bytes.
    #[error("expected an ARN or a parameter name of 1 to 2,048 characters")]
    Length,
    /// Neither an ARN nor a parameter name.
    #[error(
        "a parameter name has only letters, digits and _ . - /; for a secret, use its whole ARN"
    )]
    ParameterName,
    /// An ARN without all of its parts.
    #[error("the ARN {0}")]
    Arn(InvalidArn),
    /// An ARN of a service other than Secrets Manager and Systems Manager.
    #[error("ECS reads secrets from secretsmanager and ssm, not from {0}")]
    Service(String),
    /// The ARN's Region is not valid.
    #[error("{0}")]
    Region(InvalidRegion),
    /// A secret's name is followed by some, but not all, of the optional fields.
    #[error(
        "a secret's name is followed by nothing or by all of \
         :json-key:version-stage:version-id, each possibly empty"
    )]
    SecretSuffix,
    /// Neither a secret nor a parameter.
    #[error("the ARN's resource must be secret:NAME or parameter/NAME")]
    Resource,
}

impl ValueFrom {
    /// Returns the name of the secret that Parameter Store reads on the caller's behalf, if this is
    /// a parameter below `/aws/reference/secretsmanager/`. The caller then also needs
    /// `secretsmanager:GetSecretValue` (Systems Manager user guide, "Referencing AWS Secrets
    /// Manager secrets from Parameter Store parameters").
    pub fn secret_behind(&self) -> Option<&str> {
        let Self::Parameter { name, .. } = self else {
            return None;
        };
        let (before, secret) = name.split_once("/aws/reference/secretsmanager/")?;
        (before.is_empty() || before.ends_with(":parameter")).then_some(secret)
    }

    /// Returns the Region of the ARN; `None` for a parameter by name.
    pub fn region(&self) -> Option<&Region> {
        match self {
            Self::Secret { region, .. } => Some(region),
            Self::Parameter { region, .. } => region.as_ref(),
        }
    }
}

impl FromStr for ValueFrom {
    type Err = InvalidValueFrom;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|problem| InvalidValueFrom {
            text: shorten(text),
            problem,
        })
    }
}

fn parse(text: &str) -> Result<ValueFrom, ValueFromProblem> {
    if text.is_empty() || text.len() > MAX_LENGTH {
        return Err(ValueFromProblem::Length);
    }
    if !text.starts_with("arn:") {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
        return if text.chars().all(allowed) {
            Ok(ValueFrom::Parameter {
                name: text.into(),
                region: None,
            })
        } else {
            Err(ValueFromProblem::ParameterName)
        };
    }
    let arn: Arn = text.parse().map_err(ValueFromProblem::Arn)?;
    if !["secretsmanager", "ssm"].contains(&arn.service.as_str()) {
        return Err(ValueFromProblem::Service(arn.service));
    }
    let region: Region = arn.region.parse().map_err(ValueFromProblem::Region)?;
    let fields: Vec<_> = arn.resource.split(':').collect();
    match (arn.service.as_str(), fields.as_slice()) {
        ("secretsmanager", ["secret", name, suffix @ ..])
            if !name.is_empty() && [0, 3].contains(&suffix.len()) =>
        {
            let optional = |n: usize| {
                let part: &&str = suffix.get(n)?;
                (!part.is_empty()).then(|| (*part).to_owned())
            };
            let (json_key, version_stage, version_id) = (optional(0), optional(1), optional(2));
            let resource = format!("secret:{name}");
            Ok(ValueFrom::Secret {
                arn: Arn { resource, ..arn }.to_string(),
                region,
                json_key,
                version_stage,
                version_id,
            })
        }
        ("secretsmanager", ["secret", ..]) => Err(ValueFromProblem::SecretSuffix),
        ("ssm", [parameter]) if parameter.starts_with("parameter/") => Ok(ValueFrom::Parameter {
            name: text.into(),
            region: Some(region),
        }),
        _ => Err(ValueFromProblem::Resource),
    }
}

impl fmt::Display for ValueFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter { name, .. } => f.write_str(name),
            Self::Secret {
                arn,
                json_key: None,
                version_stage: None,
                version_id: None,
                ..
            } => f.write_str(arn),
            Self::Secret {
                arn,
                json_key,
                version_stage,
                version_id,
                ..
            } => {
                // An optional field that is absent is empty in the ARN.
                let [key, stage, id] = [json_key, version_stage, version_id]
                    .map(|field| field.as_deref().unwrap_or_default());
                write!(f, "{arn}:{key}:{stage}:{id}")
            }
        }
    }
}

impl TryFrom<String> for ValueFrom {
    type Error = InvalidValueFrom;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ValueFrom> for String {
    fn from(value: ValueFrom) -> Self {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf";

    #[test]
    fn every_syntax_of_ecs_parses_and_prints_unchanged() {
        for text in [
            SECRET.to_owned(),
            format!("{SECRET}:password::"),
            format!("{SECRET}::AWSPREVIOUS:"),
            format!("{SECRET}:password:AWSCURRENT:11111111-2222-3333-4444-555555555555"),
            "arn:aws:ssm:eu-west-1:123456789012:parameter/app/db".into(),
            "/app/db".into(),
            "db".into(),
        ] {
            assert_eq!(text.parse::<ValueFrom>().unwrap().to_string(), text);
        }
        let read: ValueFrom = format!("{SECRET}:password::").parse().unwrap();
        assert!(
            matches!(read, ValueFrom::Secret { ref arn, ref json_key, version_stage: None, .. }
            if arn == SECRET && json_key.as_deref() == Some("password"))
        );
    }

    #[test]
    fn rejects_what_ecs_rejects_and_names_the_problem() {
        for (text, complaint) in [
            (format!("{SECRET}:password"), "json-key"),
            ("arn:aws:s3:::bucket/key".into(), "not from s3"),
            (
                "arn:aws:ssm:nowhere:123456789012:parameter/x".into(),
                "AWS Region",
            ),
            (
                "arn:aws:dynamodb:eu-west-1:123456789012:table/x".into(),
                "not from dynamodb",
            ),
            (
                "arn:aws:ssm:eu-west-1:123456789012:document/x".into(),
                "parameter/NAME",
            ),
            ("arn:aws".into(), "is not of the form arn:"),
            ("my secret".into(), "whole ARN"),
            (String::new(), "1 to 2,048"),
        ] {
            let error = text.parse::<ValueFrom>().unwrap_err().to_string();
            assert!(error.contains(complaint), "{text}: {error}");
        }
    }
}
