//! What a task definition wants to start, as `register-task-definition` takes it or `describe-task-definition` prints it.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{FileSystemWanted, ImageWanted, LogWanted, Platform, Unchecked, Wanted};
use crate::endpoints::Region;
use crate::observation::Role;
use crate::reference::{Reference, Registry};

/// ECS takes task definitions of 64 KiB (service quotas); `describe` adds a few of its own.
const MAX_SIZE: usize = 256 * 1024;

/// ECS takes ten containers (service quotas).
const MAX_CONTAINERS: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskDefinition {
    container_definitions: Vec<Container>,
    runtime_platform: Option<RuntimePlatform>,
    #[serde(default)]
    volumes: Vec<Volume>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuntimePlatform {
    cpu_architecture: Option<String>,
    operating_system_family: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    efs_volume_configuration: Option<Efs>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Efs {
    file_system_id: String,
    root_directory: Option<String>,
    transit_encryption: Option<String>,
    #[serde(default)]
    authorization_config: EfsAuthorization,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EfsAuthorization {
    access_point_id: Option<String>,
    iam: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RepositoryCredentials {
    credentials_parameter: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    image: String,
    #[serde(default)]
    secrets: Vec<Secret>,
    #[serde(default)]
    environment_files: Vec<EnvironmentFile>,
    repository_credentials: Option<RepositoryCredentials>,
    log_configuration: Option<LogConfiguration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    value_from: String,
}

#[derive(Deserialize)]
struct EnvironmentFile {
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogConfiguration {
    log_driver: String,
    #[serde(default)]
    options: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    secret_options: Vec<Secret>,
}

/// Reads a task definition, with or without the outer `taskDefinition`. Fails with one sentence that has the JSON path of
/// what ECS would reject.
pub fn read(json: &str) -> Result<Wanted, String> {
    if json.len() > MAX_SIZE {
        return Err(format!("{} bytes are more than any task definition has ({MAX_SIZE})", json.len()));
    }
    let mut document: Value = serde_json::from_str(json).map_err(|error| format!("not JSON: {error}"))?;
    let inner = document.get_mut("taskDefinition").map(Value::take);
    let definition: TaskDefinition = parse(inner.unwrap_or(document))?;
    let containers = &definition.container_definitions;
    if !(1..=MAX_CONTAINERS).contains(&containers.len()) {
        return Err(format!(
            "containerDefinitions has {} containers; ECS takes 1 to {MAX_CONTAINERS}",
            containers.len()
        ));
    }
    let mut wanted =
        Wanted { platform: definition.runtime_platform.as_ref().map(platform).transpose()?, ..Wanted::default() };
    for (n, container) in containers.iter().enumerate() {
        read_container(container, &format!("containerDefinitions[{n}]"), &mut wanted)?;
    }
    for volume in definition.volumes.into_iter().filter_map(|volume| volume.efs_volume_configuration) {
        let is_on = |switch: Option<&str>| switch == Some("ENABLED");
        wanted.file_systems.push(FileSystemWanted {
            iam: is_on(volume.authorization_config.iam.as_deref()),
            transit_encryption: is_on(volume.transit_encryption.as_deref()),
            id: volume.file_system_id,
            root_directory: volume.root_directory,
            access_point: volume.authorization_config.access_point_id,
        });
    }
    Ok(wanted)
}

fn parse<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| format!("not a task definition: {error}"))
}

fn read_container(container: &Container, path: &str, wanted: &mut Wanted) -> Result<(), String> {
    let image: Reference = container.image.parse().map_err(|error| format!("{path}.image: {error}"))?;
    if container.repository_credentials.is_some() && matches!(image.registry, Registry::Ecr { .. }) {
        return Err(format!("{path}.repositoryCredentials: an Amazon ECR image is pulled as the execution role"));
    }
    let login = container.repository_credentials.as_ref().map(|given| given.credentials_parameter.clone());
    wanted.images.push(ImageWanted { image, login, injected: false });
    for (n, secret) in container.secrets.iter().enumerate() {
        let read = secret.value_from.parse().map_err(|error| format!("{path}.secrets[{n}]: {error}"))?;
        wanted.secrets.push(read);
    }
    wanted.environment_files.extend(container.environment_files.iter().map(|file| file.value.clone()));
    match &container.log_configuration {
        Some(log) => read_log(log, &format!("{path}.logConfiguration"), wanted),
        None => Ok(()),
    }
}

/// Fargate knows three log drivers (ECS developer guide, LogConfiguration); the others are for EC2 instances.
fn read_log(log: &LogConfiguration, path: &str, wanted: &mut Wanted) -> Result<(), String> {
    for (n, secret) in log.secret_options.iter().enumerate() {
        let read = secret.value_from.parse().map_err(|error| format!("{path}.secretOptions[{n}]: {error}"))?;
        wanted.secrets.push(read);
    }
    match log.log_driver.as_str() {
        "awslogs" => {
            let group = log.options.get("awslogs-group");
            let group = group.ok_or_else(|| format!("{path}.options: awslogs needs an awslogs-group"))?;
            let region: Option<Region> = match log.options.get("awslogs-region") {
                Some(region) => {
                    Some(region.parse().map_err(|error| format!("{path}.options.awslogs-region: {error}"))?)
                }
                None => None,
            };
            wanted.logs.push(LogWanted {
                group: group.clone(),
                region,
                stream_prefix: log.options.get("awslogs-stream-prefix").cloned(),
                create_group: log.options.get("awslogs-create-group").is_some_and(|switch| switch == "true"),
            });
            Ok(())
        }
        other @ ("splunk" | "awsfirelens") => {
            let why = format!("the log driver {other} is not rehearsed by this version");
            wanted.unchecked.push(Unchecked { role: Role::Logs, subject: other.to_owned(), why });
            Ok(())
        }
        other => Err(format!("{path}.logDriver: Fargate takes awslogs, splunk and awsfirelens, not {other:?}")),
    }
}

fn platform(runtime: &RuntimePlatform) -> Result<Platform, String> {
    let architecture = match runtime.cpu_architecture.as_deref() {
        None | Some("X86_64") => "amd64",
        Some("ARM64") => "arm64",
        Some(other) => {
            return Err(format!("runtimePlatform.cpuArchitecture: X86_64 or ARM64 is needed, not {other:?}"));
        }
    };
    let os = match runtime.operating_system_family.as_deref() {
        None | Some("LINUX") => "linux",
        Some(other) if other.starts_with("WINDOWS_") => "windows",
        Some(other) => return Err(format!("runtimePlatform.operatingSystemFamily: {other:?} is none that ECS knows")),
    };
    Ok(Platform { os: os.into(), architecture: architecture.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const IMAGE: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1";

    fn container(extra: Value) -> String {
        let mut container = json!({ "name": "app", "image": IMAGE, "essential": true });
        if let (Some(container), Value::Object(extra)) = (container.as_object_mut(), extra) {
            container.extend(extra);
        }
        json!({ "family": "app", "containerDefinitions": [container], "status": "ACTIVE" }).to_string()
    }

    #[test]
    fn images_secrets_log_groups_and_platform_come_from_it_with_or_without_the_outer_object() {
        let bare = json!({ "containerDefinitions": [{ "image": IMAGE, "secrets": [{ "name": "A", "valueFrom": "/app/a" }],
            "logConfiguration": { "logDriver": "awslogs", "options": { "awslogs-group": "/ecs/app", "awslogs-region": "eu-west-1" } } }],
            "runtimePlatform": { "cpuArchitecture": "ARM64" } });
        for document in [bare.clone(), json!({ "taskDefinition": bare, "tags": [] })] {
            let wanted = read(&document.to_string()).unwrap();
            assert_eq!(wanted.images[0].image.to_string(), IMAGE);
            assert_eq!(wanted.secrets[0].to_string(), "/app/a");
            assert_eq!(wanted.logs[0].group, "/ecs/app");
            assert_eq!(wanted.platform.unwrap().to_string(), "linux/arm64");
            assert!(wanted.unchecked.is_empty());
        }
    }

    #[test]
    fn what_is_not_rehearsed_is_said_and_not_left_out() {
        let wanted = read(&container(json!({
            "environmentFiles": [{ "type": "s3", "value": "arn:aws:s3:::bucket/app.env" }],
            "logConfiguration": { "logDriver": "splunk", "secretOptions": [{ "name": "splunk-token", "valueFrom": "/splunk" }] },
        })));
        let wanted = wanted.unwrap();
        let roles: Vec<_> = wanted.unchecked.iter().map(|unchecked| unchecked.role).collect();
        assert_eq!(roles, [Role::Logs]);
        assert_eq!(wanted.environment_files, ["arn:aws:s3:::bucket/app.env"]);
        assert_eq!(wanted.secrets.len(), 1);
    }

    #[test]
    fn what_ecs_would_reject_is_refused_with_its_path() {
        let log = |region: &str| {
            json!({ "logConfiguration": { "logDriver": "awslogs",
                "options": { "awslogs-group": "/ecs/app", "awslogs-region": region } } })
        };
        for (document, path) in [
            (container(json!({ "image": "App" })), "containerDefinitions[0].image"),
            (
                container(json!({ "secrets": [{ "valueFrom": "arn:aws:s3:::b" }] })),
                "containerDefinitions[0].secrets[0]",
            ),
            (container(log("https://logs.eu-west-1.amazonaws.com")), "logConfiguration.options.awslogs-region"),
            (container(json!({ "logConfiguration": { "logDriver": "json-file" } })), "logConfiguration.logDriver"),
            (container(json!({ "repositoryCredentials": { "credentialsParameter": "x" } })), "repositoryCredentials"),
            (json!({ "containerDefinitions": [] }).to_string(), "containerDefinitions"),
            ("{".into(), "not JSON"),
            (json!({ "containerDefinitions": "x" }).to_string(), "not a task definition"),
            (" ".repeat(5_000_000), "more than any task definition"),
        ] {
            let error = read(&document).unwrap_err();
            assert!(error.contains(path), "{error}");
        }
    }
}
