//! `valueFrom` of a container's secret, exactly as ECS takes it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::endpoints::Region;

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
        /// Key of the JSON object that the secret should be.
        json_key: Option<String>,
        /// Staging label.
        version_stage: Option<String>,
        /// Version id.
        version_id: Option<String>,
    },
    /// Parameter Store: an ARN, or a name in the task's own region.
    Parameter {
        /// ARN or name, as it stands in the task definition.
        name: String,
        /// From the ARN.
        region: Option<Region>,
    },
}

impl ValueFrom {
    /// The secret that Parameter Store reads on the caller's behalf: it names one as a parameter of
    /// this path, and the caller needs `secretsmanager:GetSecretValue` as well (Systems Manager
    /// user guide, "Referencing AWS Secrets Manager secrets from Parameter Store parameters").
    pub fn secret_behind(&self) -> Option<&str> {
        let Self::Parameter { name, .. } = self else {
            return None;
        };
        let (before, secret) = name.split_once("/aws/reference/secretsmanager/")?;
        (before.is_empty() || before.ends_with(":parameter")).then_some(secret)
    }

    /// The region that the ARN names.
    pub fn region(&self) -> Option<&Region> {
        match self {
            Self::Secret { region, .. } => Some(region),
            Self::Parameter { region, .. } => region.as_ref(),
        }
    }
}

impl FromStr for ValueFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            Err(format!(
                "secret valueFrom {:?}: {what}",
                text.chars().take(200).collect::<String>()
            ))
        };
        if text.is_empty() || text.len() > 2048 {
            return wrong("an ARN or a parameter name of 1 to 2,048 characters is needed");
        }
        if !text.starts_with("arn:") {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
            return if text.chars().all(plain) {
                Ok(Self::Parameter {
                    name: text.into(),
                    region: None,
                })
            } else {
                wrong(
                    "a parameter's name has letters, digits and _ . - / only; a secret is named by its whole ARN",
                )
            };
        }
        let parts: Vec<_> = text.split(':').collect();
        let &[_, _, service, region, _account, resource, ref rest @ ..] = parts.as_slice() else {
            return wrong("the ARN is cut off: six parts separated by colons are needed");
        };
        if !["secretsmanager", "ssm"].contains(&service) {
            return wrong(&format!(
                "ECS reads secrets from secretsmanager and ssm, not from {service}"
            ));
        }
        let region: Region = match region.parse() {
            Ok(region) => region,
            Err(error) => return wrong(&error),
        };
        let optional = |n: usize| {
            rest.get(n)
                .filter(|part| !part.is_empty())
                .map(|part| (*part).to_owned())
        };
        match (service, resource) {
            ("secretsmanager", "secret") => match rest.len() {
                1 | 4 if !rest[0].is_empty() => Ok(Self::Secret {
                    arn: parts[..7].join(":"),
                    region,
                    json_key: optional(1),
                    version_stage: optional(2),
                    version_id: optional(3),
                }),
                _ => wrong(
                    "after the secret's name come either nothing or all of :json-key:version-stage:version-id, each possibly empty",
                ),
            },
            ("ssm", parameter) if parameter.starts_with("parameter/") && rest.is_empty() => {
                Ok(Self::Parameter {
                    name: text.into(),
                    region: Some(region),
                })
            }
            _ => wrong("the ARN's resource must be secret:NAME or parameter/NAME"),
        }
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
                let part = |part: &Option<String>| part.clone().unwrap_or_default();
                write!(
                    f,
                    "{arn}:{}:{}:{}",
                    part(json_key),
                    part(version_stage),
                    part(version_id)
                )
            }
        }
    }
}

impl TryFrom<String> for ValueFrom {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
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
    fn every_form_that_ecs_takes_reads_and_prints_back() {
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
    fn what_ecs_would_reject_is_refused_with_a_sentence() {
        for (text, complaint) in [
            (format!("{SECRET}:password"), "json-key"),
            ("arn:aws:s3:::bucket/key".into(), "not from s3"),
            (
                "arn:aws:ssm:nowhere:123456789012:parameter/x".into(),
                "region",
            ),
            (
                "arn:aws:dynamodb:eu-west-1:123456789012:table/x".into(),
                "not from dynamodb",
            ),
            (
                "arn:aws:ssm:eu-west-1:123456789012:document/x".into(),
                "parameter/NAME",
            ),
            ("arn:aws".into(), "cut off"),
            ("my secret".into(), "whole ARN"),
            (String::new(), "1 to 2,048"),
        ] {
            let error = text.parse::<ValueFrom>().unwrap_err();
            assert!(error.contains(complaint), "{text}: {error}");
        }
    }
}
