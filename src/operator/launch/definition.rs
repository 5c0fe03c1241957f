//! The probe's own task definition: registered once for each image, role and platform, and used
//! again.

use serde_json::{Value, json};

use crate::operator::aws::{Api, Error};
use crate::operator::dry_run::AwsCalls;
use crate::operator::ecs::{DescribedDefinition, Page, digest};

/// Every family of ours begins so; `gc` knows them by it.
pub const FAMILY: &str = "pullprobe-";

/// The container's name, which is part of the log stream's.
pub const CONTAINER: &str = "pullprobe";

/// What is different from one probe's task definition to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The probe's image.
    pub image: String,
    /// The target's execution role.
    pub role: String,
    /// `X86_64` or `ARM64`.
    pub architecture: &'static str,
}

impl Wanted {
    /// `pullprobe-` and 16 hexadecimal digits: the same for the same image, role and platform.
    pub fn family(&self) -> String {
        format!(
            "{FAMILY}{}",
            digest(&[&self.image, &self.role, self.architecture], 8)
        )
    }

    /// What `RegisterTaskDefinition` takes. No log driver: where the way to CloudWatch Logs is
    /// broken, it would keep the probe from starting. The execution role is the task role too,
    /// because a container never gets the former's credentials, and it is the former whose
    /// permissions are tested.
    pub fn body(&self) -> Value {
        json!({
            "family": self.family(),
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "cpu": "256",
            "memory": "512",
            "runtimePlatform": { "cpuArchitecture": self.architecture, "operatingSystemFamily": "LINUX" },
            "executionRoleArn": self.role,
            "taskRoleArn": self.role,
            "containerDefinitions": [{
                "name": CONTAINER,
                "image": self.image,
                "essential": true,
                "readonlyRootFilesystem": true,
            }],
            "tags": [{ "key": "purpose", "value": "image pull rehearsal" }],
        })
    }

    /// Whether a registered one is this one: a family's name can be taken by anybody.
    fn is(&self, registered: &Value) -> bool {
        let body = self.body();
        let same = |path: &str| registered.pointer(path) == body.pointer(path);
        let one = registered["containerDefinitions"]
            .as_array()
            .is_some_and(|containers| containers.len() == 1);
        let paths = [
            "/executionRoleArn",
            "/taskRoleArn",
            "/networkMode",
            "/runtimePlatform/cpuArchitecture",
            "/containerDefinitions/0/name",
            "/containerDefinitions/0/image",
        ];
        let container = &registered["containerDefinitions"][0];
        let is_empty = |name: &str| {
            let value = &container[name];
            value.is_null() || value.as_array().is_some_and(Vec::is_empty)
        };
        let untouched = [
            "logConfiguration",
            "entryPoint",
            "command",
            "environment",
            "secrets",
        ]
        .into_iter()
        .all(is_empty);
        one && untouched && paths.into_iter().all(same) && registered["status"] != "INACTIVE"
    }

    /// The ARN of the registered one; registers it where there is none. In a dry run that is the
    /// family's name.
    pub async fn ready(&self, calls: &AwsCalls) -> Result<String, Error> {
        let family = self.family();
        if let Some(registered) = describe(calls, &family).await?
            && self.is(&registered)
            && let Some(arn) = registered["taskDefinitionArn"].as_str()
        {
            return Ok(arn.to_owned());
        }
        let answer: Option<DescribedDefinition> = calls
            .write(Api::ECS, "RegisterTaskDefinition", &self.body())
            .await?;
        let arn = answer.and_then(|answer| {
            Some(
                answer.task_definition["taskDefinitionArn"]
                    .as_str()?
                    .to_owned(),
            )
        });
        Ok(arn.unwrap_or(family))
    }
}

/// A task definition; `None` where ECS does not know it, which it calls a `ClientException`.
pub async fn describe(calls: &AwsCalls, name: &str) -> Result<Option<Value>, Error> {
    let body = json!({ "taskDefinition": name });
    match calls
        .read::<DescribedDefinition>(Api::ECS, "DescribeTaskDefinition", &body)
        .await
    {
        Ok(answer) => Ok(Some(answer.task_definition)),
        Err(error) if error.code() == "ClientException" => Ok(None),
        Err(error) => Err(error),
    }
}

/// Families that are looked through for an image: those of the first page or so.
const MOST_FAMILIES: usize = 10;

/// The image of a probe that was registered before, and by which task definition; the latest of
/// several. `None` too where the operator may not look.
pub async fn known_image(calls: &AwsCalls) -> Option<(String, String)> {
    let body =
        json!({ "familyPrefix": "pullprobe", "status": "ACTIVE", "maxResults": MOST_FAMILIES });
    let page: Page = calls
        .read(Api::ECS, "ListTaskDefinitionFamilies", &body)
        .await
        .ok()?;
    let mut found: Option<(f64, String, String)> = None;
    for family in page.families.iter().take(MOST_FAMILIES) {
        let Ok(Some(definition)) = describe(calls, family).await else {
            continue;
        };
        let containers = definition["containerDefinitions"].as_array();
        let ours = containers
            .into_iter()
            .flatten()
            .find(|container| container["name"] == CONTAINER);
        let Some(image) = ours.and_then(|container| container["image"].as_str()) else {
            continue;
        };
        let at = definition["registeredAt"].as_f64().unwrap_or_default();
        if found.as_ref().is_none_or(|(latest, ..)| *latest < at) {
            let name = format!("{family}:{}", definition["revision"]);
            found = Some((at, image.to_owned(), name));
        }
    }
    found.map(|(_, image, name)| (image, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            image: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pullprobe:0.1.0".into(),
            role: "arn:aws:iam::123456789012:role/ecsTaskExecutionRole".into(),
            architecture: "X86_64",
        }
    }

    #[test]
    fn each_image_role_and_platform_has_a_family_of_its_own_and_keeps_it() {
        let family = wanted().family();
        assert_eq!(family, wanted().family());
        assert_eq!(family.len(), FAMILY.len() + 16);
        assert_ne!(
            family,
            Wanted {
                architecture: "ARM64",
                ..wanted()
            }
            .family()
        );
        assert_ne!(
            family,
            Wanted {
                role: "arn:aws:iam::123456789012:role/other".into(),
                ..wanted()
            }
            .family()
        );
    }

    #[test]
    fn only_what_was_registered_by_us_is_used_again() {
        let registered = wanted().body();
        assert!(wanted().is(&registered));
        for (path, value) in [
            (
                "/taskRoleArn",
                json!("arn:aws:iam::123456789012:role/admin"),
            ),
            (
                "/containerDefinitions/0/image",
                json!("elsewhere/pullprobe"),
            ),
            ("/status", json!("INACTIVE")),
        ] {
            let mut other = registered.clone();
            other["status"] = json!("ACTIVE");
            *other.pointer_mut(path).unwrap() = value;
            assert!(!wanted().is(&other), "{path}");
        }
        let mut logging = registered;
        logging["containerDefinitions"][0]["logConfiguration"] = json!({ "logDriver": "awslogs" });
        assert!(!wanted().is(&logging));
    }
}
