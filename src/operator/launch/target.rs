//! What is to be probed, and from where: from a service, a task, or a task definition and subnets.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::definition::{self, Wanted as WantedDefinition};
use super::interface;
use super::request::{Launch, Provider};
use super::{Error, MOST_SUBNETS};
use crate::cli::target::{Architecture, Target};
use crate::operator::aws::Api;
use crate::operator::dry_run::AwsCalls;
use crate::operator::ecs::{
    Awsvpc, Placed, Service, Services, Task, Tasks, account_of, cluster_of,
};
use crate::plan::{Plan, execute_command, service_connect, task_definition};

/// The cluster that ECS takes where none is named.
pub const DEFAULT_CLUSTER: &str = "default";

/// As `probe` has it by default.
const LOG_STREAM_PREFIX: &str = "pullprobe";

/// What the target says of itself, before the flags have their word.
#[derive(Default)]
struct Found {
    service: Option<String>,
    definition: Option<String>,
    network: Awsvpc,
    placed: Placed,
    /// Of a task that was run with another one than its definition names.
    role: Option<String>,
    executes_commands: bool,
    connects: bool,
}

/// Until the probe's container must have started. ECS itself gives up a pull after about five
/// minutes and says why.
const TIMEOUT: Duration = Duration::from_mins(6);

/// Reads service, or task, and task definition, and finds the probe's image. Run id and labels are
/// the caller's to set.
pub async fn resolve(
    calls: &AwsCalls,
    flags: &Target,
    task: Option<&str>,
    log_group: Option<&str>,
) -> Result<(Launch, WantedDefinition), Error> {
    let named = [task, flags.service.as_deref()]
        .into_iter()
        .flatten()
        .find_map(cluster_of);
    let cluster = flags.cluster.clone().or_else(|| named.map(str::to_owned));
    let cluster = cluster.unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
    let found = match (task, &flags.service) {
        (Some(task), _) => like(calls, &cluster, task, flags.security_groups.is_empty()).await?,
        (None, Some(service)) => of_service(&described(calls, &cluster, service).await?),
        (None, None) if flags.task_definition.is_some() => Found::default(),
        (None, None) => {
            return Err(Error::Usage(
                "say what is to be probed: --service S, --task-definition FILE|ARN with --subnets, or --like TASK_ARN"
                    .into(),
            ));
        }
    };
    let document = flags
        .task_definition
        .clone()
        .filter(|named| named.starts_with("s3://") || named.starts_with("ssm:"));
    let definition = match (
        flags
            .task_definition
            .as_ref()
            .filter(|_| document.is_none()),
        &found.definition,
    ) {
        (None, None) if document.is_some() => {
            return Err(Error::Usage(
                "what lies in Amazon S3 or Parameter Store is read by the probe alone: --service or --like has to say role, \
                 subnets and log group"
                    .into(),
            ));
        }
        (Some(named), _) => read_definition(calls, named).await?,
        (None, Some(arn)) => fetch_definition(calls, arn).await?,
        (None, None) => {
            return Err(Error::Usage(
                "the service has no task definition: name one with --task-definition".into(),
            ));
        }
    };
    let provider = provider(&found.placed, !flags.subnets.is_empty())?;
    let subnets = subnets(flags, &found)?;
    let role = found
        .role
        .clone()
        .or_else(|| Some(definition["executionRoleArn"].as_str()?.to_owned()));
    let role = role.ok_or_else(|| {
        Error::Usage(
            "the task definition names no executionRoleArn: without one ECS can fetch neither images from Amazon ECR nor \
             secrets, and the probe has no role to try it with. Name it there, or copy the task definition to a file \
             with it and use --task-definition FILE"
                .into(),
        )
    })?;
    let image = probe_image(calls, flags, account_of(&role)).await?;
    let architecture = flags.probe_architecture.map(Architecture::name);
    let architecture = architecture.unwrap_or(
        match definition["runtimePlatform"]["cpuArchitecture"].as_str() {
            Some("ARM64") => "ARM64",
            _ => "X86_64",
        },
    );
    let assigned = found.network.assign_public_ip.as_deref() == Some("ENABLED");
    let groups = if flags.security_groups.is_empty() {
        &found.network.security_groups
    } else {
        &flags.security_groups
    };
    let launch = Launch {
        plan: plan(calls, flags, &found, &definition, log_group)?,
        document,
        cluster,
        service: found.service,
        subnets,
        security_groups: groups.clone(),
        assign_public_ip: flags.assign_public_ip || assigned,
        platform_version: found
            .placed
            .platform_version
            .filter(|_| flags.subnets.is_empty() || provider.1),
        provider: provider.0,
        definition: String::new(),
        run_id: String::new(),
        labels: BTreeMap::new(),
        deadline: flags.deadline,
        timeout: TIMEOUT,
    };
    Ok((
        launch,
        WantedDefinition {
            image,
            role,
            architecture,
        },
    ))
}

fn subnets(flags: &Target, found: &Found) -> Result<Vec<String>, Error> {
    let named = if flags.subnets.is_empty() {
        &found.network.subnets
    } else {
        &flags.subnets
    };
    let mut known = BTreeSet::new();
    let subnets: Vec<String> = named
        .iter()
        .filter(|subnet| known.insert(subnet.as_str()))
        .cloned()
        .collect();
    match subnets.len() {
        0 => Err(Error::Usage(
            "no subnet is known: name those that the task is to run in with --subnets, and its --security-groups"
                .into(),
        )),
        n if n > MOST_SUBNETS => Err(Error::Usage(format!(
            "{n} subnets are more than the {MOST_SUBNETS} of one launch: split them with --subnets"
        ))),
        _ => Ok(subnets),
    }
}

/// How the probe is placed, and whether that is as the target itself is.
fn provider(placed: &Placed, subnets_are_named: bool) -> Result<(Provider, bool), Error> {
    let is_fargate = |provider: &Value| {
        let name = provider["capacityProvider"].as_str().unwrap_or_default();
        matches!(name, "FARGATE" | "FARGATE_SPOT")
    };
    let strategy = &placed.capacity_provider_strategy;
    match placed.launch_type.as_deref() {
        None if !strategy.is_empty() && strategy.iter().all(is_fargate) => {
            Ok((Provider::Strategy(strategy.clone()), true))
        }
        Some("FARGATE") => Ok((Provider::Fargate, true)),
        None if strategy.is_empty() => Ok((Provider::Fargate, true)),
        _ if subnets_are_named => Ok((Provider::Fargate, false)),
        other => {
            let on = other.map_or_else(
                || "a capacity provider of instances".to_owned(),
                |name| format!("launch type {name}"),
            );
            Err(Error::Usage(format!(
                "these tasks run on {on}, where the instance pulls images over its own network interface. Name the \
                 instances' subnets and security groups with --subnets and --security-groups: the probe then looks from \
                 there, as a task of Fargate"
            )))
        }
    }
}

async fn described(calls: &AwsCalls, cluster: &str, service: &str) -> Result<Service, Error> {
    let body = json!({ "cluster": cluster, "services": [service] });
    let answer: Services = calls
        .read(Api::ECS, "DescribeServices", &body)
        .await
        .map_err(|error| cluster_hint(error, cluster))?;
    let found = answer
        .services
        .into_iter()
        .next()
        .filter(|service| service.status.as_deref() != Some("INACTIVE"));
    let region = calls.client().region();
    found.ok_or_else(|| {
        Error::Usage(format!(
            "there is no service {service} in the cluster {cluster} in {region}: \
             `aws ecs list-services --cluster {cluster} --region {region}` names them"
        ))
    })
}

/// The cluster is what people most often get wrong, or the region.
fn cluster_hint(error: crate::operator::aws::Error, cluster: &str) -> Error {
    match error.code() {
        "ClusterNotFoundException" => Error::Usage(format!(
            "there is no cluster {cluster} in this region: check --cluster and --region (`aws ecs list-clusters`)"
        )),
        _ => error.into(),
    }
}

fn of_service(service: &Service) -> Found {
    Found {
        service: service.service_name.clone(),
        definition: service.definition().map(str::to_owned),
        network: service.network().cloned().unwrap_or_default(),
        placed: service.placed().clone(),
        role: None,
        executes_commands: service.enable_execute_command,
        connects: service.connects(),
    }
}

/// A task's own subnet and task definition. ECS does not say its security groups: those are its
/// service's, or its network interface's, if they are not named.
async fn like(calls: &AwsCalls, cluster: &str, arn: &str, unnamed: bool) -> Result<Found, Error> {
    let body = json!({ "cluster": cluster, "tasks": [arn] });
    let answer: Tasks = calls
        .read(Api::ECS, "DescribeTasks", &body)
        .await
        .map_err(|error| cluster_hint(error, cluster))?;
    let Some(task) = answer.tasks.first().map(Task::read) else {
        return Err(Error::Usage(format!(
            "Amazon ECS does not know the task {arn} in the cluster {cluster}, or not any more: a stopped task can be \
             described for about an hour. Use --service, or --task-definition with --subnets and --security-groups; or \
             check --cluster and --region"
        )));
    };
    let mut found = match task
        .group
        .as_deref()
        .and_then(|group| group.strip_prefix("service:"))
    {
        Some(service) => match described(calls, cluster, service).await {
            Ok(service) => of_service(&service),
            Err(Error::Usage(_)) => Found::default(),
            Err(error) => return Err(error),
        },
        None => Found::default(),
    };
    if unnamed && found.network.security_groups.is_empty() {
        let hint =
            "Amazon ECS does not say in which security groups a task is that no service started";
        let next = "name them with --security-groups, and add --assign-public-ip if it had a public address";
        let interface = interface::of_task(calls, &task).await;
        let interface =
            interface.map_err(|error| Error::Usage(format!("{hint}. {error}. Or {next}")))?;
        found.network = interface.ok_or_else(|| {
            Error::Usage(format!(
                "{hint}, and its network interface, which would, is gone with it: {next}"
            ))
        })?;
    }
    let strategy = task
        .capacity_provider_name
        .as_deref()
        .map(|name| json!({ "capacityProvider": name, "weight": 1 }));
    found.network.subnets = task
        .interface("subnetId")
        .map(str::to_owned)
        .into_iter()
        .collect();
    found.placed.launch_type = task.launch_type.clone().filter(|_| strategy.is_none());
    found.placed.capacity_provider_strategy = strategy.into_iter().collect();
    found
        .placed
        .platform_version
        .clone_from(&task.platform_version);
    found.executes_commands = task.enable_execute_command;
    found.role.clone_from(&task.overrides.execution_role_arn);
    found.definition.clone_from(&task.task_definition_arn);
    Ok(found)
}

/// Bytes read of a file: one more than the largest task definition, so that it can be said that it
/// is too large.
const LONGEST_FILE: u64 = task_definition::MAX_SIZE as u64 + 1;

/// From a file, where there is one of that name, or from ECS.
async fn read_definition(calls: &AwsCalls, named: &str) -> Result<Value, Error> {
    let wrong =
        |what: &dyn std::fmt::Display| Error::Usage(format!("--task-definition {named}: {what}"));
    let is_file = named == "-" || (!named.starts_with("arn:") && Path::new(named).exists());
    if !is_file {
        if !named.starts_with("arn:")
            && (named.contains('/') || Path::new(named).extension().is_some())
        {
            return Err(wrong(&"there is no such file"));
        }
        return fetch_definition(calls, named).await;
    }
    let mut json = Vec::new();
    let read = if named == "-" {
        std::io::stdin()
            .lock()
            .take(LONGEST_FILE)
            .read_to_end(&mut json)
    } else {
        std::fs::File::open(named).and_then(|file| file.take(LONGEST_FILE).read_to_end(&mut json))
    };
    read.map_err(|error| wrong(&error))?;
    // Said first, and in its own words.
    task_definition::read(&json).map_err(|error| wrong(&error))?;
    let json = String::from_utf8_lossy(&json);
    let document = serde_json::from_str(json.trim_start_matches('\u{feff}'));
    let mut document: Value = document.map_err(|error| wrong(&error))?;
    let inner = document
        .get_mut("taskDefinition")
        .map(Value::take)
        .filter(Value::is_object);
    Ok(inner.unwrap_or(document))
}

async fn fetch_definition(calls: &AwsCalls, name: &str) -> Result<Value, Error> {
    let region = calls.client().region();
    definition::describe(calls, name).await?.ok_or_else(|| {
        Error::Usage(format!(
            "there is neither a file nor, in {region}, a task definition {name}: `aws ecs list-task-definitions`"
        ))
    })
}

fn plan(
    calls: &AwsCalls,
    flags: &Target,
    found: &Found,
    definition: &Value,
    log_group: Option<&str>,
) -> Result<Plan, Error> {
    let wanted = task_definition::read(definition.to_string().as_bytes());
    let mut wanted = wanted
        .map_err(|error| Error::Usage(error.with_label("the task definition cannot be probed")))?;
    wanted.log_group = log_group.map(str::to_owned);
    wanted.log_stream_prefix = LOG_STREAM_PREFIX.into();
    wanted.expect = flags.expect;
    wanted.full = flags.full;
    let region = calls.client().region().clone();
    if found.executes_commands {
        wanted.connections.push(execute_command(&region));
    }
    if found.connects {
        wanted
            .connections
            .push(service_connect(&region).map_err(|error| Error::Usage(error.to_string()))?);
    }
    Plan::new(wanted, region).map_err(|error| Error::Usage(error.to_string()))
}

async fn probe_image(calls: &AwsCalls, flags: &Target, account: &str) -> Result<String, Error> {
    if let Some(image) = &flags.probe_image {
        image
            .parse::<crate::reference::Reference>()
            .map_err(|error| Error::Usage(format!("--probe-image: {error}")))?;
        return Ok(image.clone());
    }
    if let Some((image, from)) = definition::known_image(calls).await {
        eprintln!(
            "pullprobe: the probe's image is {image}, as in the task definition {from}; --probe-image names another"
        );
        return Ok(image);
    }
    let region = calls.client().region();
    let registry = format!(
        "{account}.dkr.ecr.{region}.{}",
        region.partition().dns_suffix()
    );
    let image = format!("{registry}/pullprobe:{}", env!("CARGO_PKG_VERSION"));
    Err(Error::Usage(format!(
        "--probe-image is missing, and no task definition of an earlier launch names it. Put the probe into your own ECR \
         once, from a checkout of pullprobe (docker takes the same arguments as buildah):\n\n    \
         cargo static --target x86_64-unknown-linux-gnu\n    \
         buildah build --tag {image} .\n    \
         aws ecr create-repository --region {region} --repository-name pullprobe\n    \
         aws ecr get-login-password --region {region} | buildah login --username AWS --password-stdin {registry}\n    \
         buildah push {image}\n\nand add\n\n    --probe-image {image}"
    )))
}
