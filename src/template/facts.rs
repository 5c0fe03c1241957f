//! Region and account that a task definition itself names.

use std::fmt::Write as _;

use serde_json::Value;

use super::{TemplateDefinition, open_parts};
use crate::arn::{Arn, is_account_id};
use crate::endpoints::Region;
use crate::reference::{Reference, Registry};

/// Region and account that a task definition names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFacts {
    /// Region of `taskDefinitionArn`.
    pub arn_region: Option<Region>,
    /// The task's account: that of `taskDefinitionArn`, else that of a role, because ECS passes no
    /// role of another account.
    pub account: Option<String>,
    /// Every other Region that is named, each once, with the member that names it first.
    pub regions: Vec<(Region, String)>,
}

impl TemplateDefinition {
    /// Returns the Region and account that the task definition names.
    pub fn facts(&self) -> TaskFacts {
        let definition = self.inner();
        let mut facts = TaskFacts::default();
        let arn = arn_of(&definition["taskDefinitionArn"]);
        facts.arn_region = arn.as_ref().and_then(|arn| arn.region.parse().ok());
        let roles = ["executionRoleArn", "taskRoleArn"].map(|name| arn_of(&definition[name]));
        let arns = [arn].into_iter().chain(roles).flatten();
        let mut accounts = arns.map(|arn| arn.account);
        facts.account = accounts.find(|account| is_account_id(account));
        if let Some(region) = &self.provider_region {
            facts.name(Some(region.clone()), "the AWS provider");
        }
        let containers = definition["containerDefinitions"].as_array();
        for (n, container) in containers.into_iter().flatten().enumerate() {
            let path = format!("containerDefinitions[{n}]");
            let log = &container["logConfiguration"];
            if let Some(region) = log["options"]["awslogs-region"].as_str() {
                facts.name(region.parse().ok(), "awslogs-region");
            }
            for list in [&container["secrets"], &log["secretOptions"]] {
                for secret in list.as_array().into_iter().flatten() {
                    let region = arn_of(&secret["valueFrom"]).map(|arn| arn.region);
                    facts.name(parsed(region), &format!("a secret of {path}"));
                }
            }
            let login = &container["repositoryCredentials"]["credentialsParameter"];
            let region = arn_of(login).map(|arn| arn.region);
            facts.name(parsed(region), &format!("repositoryCredentials of {path}"));
            facts.name(image_region(&container["image"]), &format!("{path}.image"));
        }
        facts
    }
}

impl TaskFacts {
    fn name(&mut self, region: Option<Region>, member: &str) {
        if let Some(region) = region
            && !self.regions.iter().any(|(known, _)| *known == region)
        {
            self.regions.push((region, member.to_owned()));
        }
    }

    /// Returns the task's Region, and a warning to print: that of `taskDefinitionArn`, then the one
    /// on which the others agree, then that of the environment, as variable and value.
    ///
    /// # Errors
    ///
    /// Fails if the others differ and the environment has none, or one that is not valid.
    pub fn region(
        &self,
        environment: Option<(&str, &str)>,
    ) -> Result<(Option<Region>, Option<String>), String> {
        let own = match (&self.arn_region, self.regions.as_slice()) {
            (Some(region), _) => Some((region, "taskDefinitionArn")),
            (None, [(region, member)]) => Some((region, member.as_str())),
            (None, _) => None,
        };
        if let Some((region, member)) = own {
            let differs = environment.filter(|(_, value)| *value != region.as_str());
            let warning = differs.map(|(variable, value)| {
                format!(
                    "warning: {variable} is {value:?}, but {member} names {region}, and the task definition decides; \
                     pass --region to choose another"
                )
            });
            return Ok((Some(region.clone()), warning));
        }
        let mut named = String::new();
        for (region, member) in &self.regions {
            let separator = if named.is_empty() { "" } else { ", " };
            let _ = write!(named, "{separator}{region} ({member})");
        }
        match environment {
            Some((variable, value)) => {
                let region: Region = value
                    .parse()
                    .map_err(|error| format!("{variable}: {error}"))?;
                let warning = (!named.is_empty()).then(|| {
                    format!(
                        "warning: the task definition names several Regions: {named}; {variable} decides that the task \
                         is in {region}. Pass --region to choose another"
                    )
                });
                Ok((Some(region), warning))
            }
            None if named.is_empty() => Ok((None, None)),
            None => Err(format!(
                "the task definition names several Regions: {named}; pass --region with the one in which the task runs"
            )),
        }
    }
}

fn arn_of(value: &Value) -> Option<Arn> {
    value.as_str()?.parse().ok()
}

fn parsed(region: Option<String>) -> Option<Region> {
    region?.parse().ok()
}

fn image_region(image: &Value) -> Option<Region> {
    let text = image.as_str().filter(|_| open_parts(image).is_none())?;
    // The tag may be a placeholder.
    let (named, _) = super::placeholder::split_tag(text);
    let reference: Reference = named.parse().ok()?;
    match reference.registry {
        Registry::Ecr { region, .. } => Some(region),
        Registry::Other { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(arn: Option<&str>, regions: &[&str]) -> TaskFacts {
        let named = |region: &&str| (region.parse().unwrap(), "awslogs-region".to_owned());
        TaskFacts {
            arn_region: arn.map(|region| region.parse().unwrap()),
            account: None,
            regions: regions.iter().map(named).collect(),
        }
    }

    #[test]
    fn file_takes_precedence_over_environment_and_difference_is_noted() {
        let environment = Some(("AWS_REGION", "eu-west-1"));
        for (arn, regions, environment, region, is_warned) in [
            (
                Some("us-east-1"),
                &["us-west-2"][..],
                environment,
                Some("us-east-1"),
                true,
            ),
            (
                Some("eu-west-1"),
                &["us-west-2"],
                environment,
                Some("eu-west-1"),
                false,
            ),
            (None, &["us-west-2"], environment, Some("us-west-2"), true),
            (None, &["eu-west-1"], environment, Some("eu-west-1"), false),
            (None, &["us-west-2"], None, Some("us-west-2"), false),
            (
                None,
                &["us-west-2", "us-east-1"],
                environment,
                Some("eu-west-1"),
                true,
            ),
            (None, &[], environment, Some("eu-west-1"), false),
            (None, &[], None, None, false),
        ] {
            let (chosen, warning) = facts(arn, regions).region(environment).unwrap();
            assert_eq!(
                chosen.as_ref().map(Region::as_str),
                region,
                "{arn:?} {regions:?}"
            );
            assert_eq!(warning.is_some(), is_warned, "{warning:?}");
        }
        let error = facts(None, &["us-west-2", "us-east-1"])
            .region(None)
            .unwrap_err();
        assert!(
            error.contains("us-west-2") && error.contains("--region"),
            "{error}"
        );
        let error = facts(None, &[])
            .region(Some(("AWS_REGION", "x")))
            .unwrap_err();
        assert!(error.starts_with("AWS_REGION: "), "{error}");
        let (region, warning) = facts(Some("us-east-1"), &[])
            .region(Some(("AWS_REGION", "x")))
            .unwrap();
        assert!(region.is_some() && warning.is_some());
    }
}
