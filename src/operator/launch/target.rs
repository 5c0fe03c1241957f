//! Determines what the probe checks and where it runs, from a service, from a task, or from a task
//! definition and subnets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::definition::{self, ProbeDefinition, ProbeHost};
use super::instances::InstanceCapacity;
use super::interface;
use super::request::{Launch, Placement};
use super::revision;
use super::spec::{Architecture, ProbeUse, TargetSpec};
use crate::arn::Arn;
use crate::endpoints::Region;
use crate::observation::Dependency;
use crate::operator::aws::Api;
use crate::operator::dry_run::AwsCalls;
use crate::operator::ecs::{
    AwsVpcConfiguration, CapacityProviderStrategyItem, DescribeServicesRequest,
    DescribeServicesResponse, DescribeTasksRequest, EcsService, ServiceRevision, Task,
    TaskPlacement, TasksResponse, account_of, with_cluster_hint,
};
use crate::operator::error::OperatorError;
use crate::operator::install;
use crate::plan::{
    AwsSidecar, LaunchType, Plan, PlanInput, Platform, Unchecked, container_agent, execute_command,
    guard_duty_data, service_connect, task_definition,
};
use crate::reference::Reference;
use crate::safe_text::write_stderr;
use crate::template::{MAX_FILE, TaskTemplate};

/// The cluster that ECS uses by default.
pub const DEFAULT_CLUSTER: &str = "default";

/// Maximum number of subnets in one launch. A VPC has 200 by default (Amazon VPC quotas).
const MAX_SUBNETS: usize = 1_000;

/// The default of `probe`.
const LOG_STREAM_PREFIX: &str = "pullprobe";

/// Default time from RunTask to the start of the container. ECS itself gives up a pull after about
/// five minutes and reports the reason.
const START_TIMEOUT: Duration = Duration::from_mins(6);

/// The target as its service or task describes it. Flags take precedence.
#[derive(Default)]
struct TargetDetails {
    service: Option<String>,
    definition: Option<String>,
    network: AwsVpcConfiguration,
    placement: TaskPlacement,
    /// The execution role, if the task was run with another one than its definition names.
    role: Option<String>,
    execute_command: bool,
    service_connect: bool,
    /// The container instance of the task.
    container_instance: Option<String>,
    /// The service's current revision, if it uses this task definition.
    revision: Option<ServiceRevision>,
}

/// Reads the service or task and its task definition, and finds the probe's image if one is needed.
/// The caller sets the run ID and labels.
pub async fn resolve(
    calls: &AwsCalls,
    spec: &TargetSpec,
    like: Option<&str>,
    log_group: Option<&str>,
    needs_image: bool,
) -> Result<(Launch, ProbeDefinition), OperatorError> {
    let cluster = spec
        .cluster
        .clone()
        .or_else(|| like.and_then(cluster_of))
        .or_else(|| spec.service.as_deref().and_then(cluster_of))
        .unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
    let mut target = match (like, &spec.service) {
        (Some(task), _) => of_task(calls, &cluster, task, spec.security_groups.is_empty()).await?,
        (None, Some(service)) => {
            let service = describe_service(calls, &cluster, service).await?;
            let mut target = of_service(&service);
            target.revision = revision(calls, spec, &cluster, &service).await;
            target
        }
        (None, None) if spec.task_definition.is_some() => TargetDetails::default(),
        (None, None) => {
            return Err(OperatorError::Usage(
                "nothing to probe: pass --service, --task-definition with --subnets, or --like TASK_ARN"
                    .into(),
            ));
        }
    };
    let (definition, document) = definition_of(calls, spec, &target).await?;
    let placement = probe_placement(calls, spec, &cluster, &target.placement).await?;
    let host = probe_host(&placement.placement);
    if let Placement::Instances(capacity) = &placement.placement {
        target.network = AwsVpcConfiguration::default();
        if spec.subnets.is_empty() {
            let instance = target.container_instance.as_ref();
            target.network.subnets = capacity.subnets(calls, &cluster, instance).await?;
        }
    }
    let subnets = subnets(spec, &target)?;
    // Functions stand in for tasks that run on instances.
    let is_for_instances =
        !needs_image && (!placement.is_targets_own || is_of_instances(&definition));
    if is_for_instances && spec.security_groups.is_empty() {
        return Err(OperatorError::Usage(
            "these tasks run on instances, which pull images through their own network interface; pass the instances' security \
             groups with --security-groups, so that the functions have the same"
                .into(),
        ));
    }
    let role = match execution_role(&target, &definition) {
        Err(_) if host != ProbeHost::Fargate || is_for_instances => None,
        role => Some(role?),
    };
    let architecture = spec
        .probe_architecture
        .or_else(|| architecture_of(&definition, host));
    let of_account = [role.as_deref(), definition["taskDefinitionArn"].as_str()];
    let account = account_of(of_account.into_iter().flatten().next().unwrap_or_default());
    let image_architecture = architecture.unwrap_or(Architecture::X8664);
    let image = if needs_image {
        probe_image(calls, spec, &account, image_architecture).await?
    } else {
        String::new()
    };
    let security_groups = if spec.security_groups.is_empty() {
        &target.network.security_groups
    } else {
        &spec.security_groups
    };
    let assigns_public_ip = target.network.assign_public_ip.as_deref() == Some("ENABLED");
    let launch = Launch {
        plan: plan(calls, spec, &target, &definition, log_group, host)?,
        document,
        cluster,
        service: target.service,
        subnets,
        security_groups: security_groups.clone(),
        assign_public_ip: spec.assign_public_ip || assigns_public_ip,
        platform_version: target
            .placement
            .platform_version
            .filter(|_| spec.subnets.is_empty() || placement.is_targets_own),
        placement: placement.placement,
        probe_image: image.clone(),
        definition: String::new(),
        execution_role: role.clone(),
        run_id: String::new(),
        labels: BTreeMap::new(),
        deadline: spec.deadline,
        timeout: START_TIMEOUT,
    };
    let definition = ProbeDefinition {
        image,
        role,
        architecture: architecture.map(Architecture::name),
        host,
    };
    Ok((launch, definition))
}

fn cluster_of(arn: &str) -> Option<String> {
    let arn: Arn = arn.parse().ok()?;
    arn.cluster_name().map(str::to_owned)
}

fn subnets(spec: &TargetSpec, target: &TargetDetails) -> Result<Vec<String>, OperatorError> {
    let all = if spec.subnets.is_empty() {
        &target.network.subnets
    } else {
        &spec.subnets
    };
    if let Some(other) = all.iter().find(|subnet| !is_id(subnet)) {
        return Err(OperatorError::Usage(format!(
            "{other:?} is not the ID of a subnet, such as subnet-0123456789abcdef0; pass the subnets with --subnets"
        )));
    }
    let mut seen = BTreeSet::new();
    let subnets: Vec<String> = all
        .iter()
        .filter(|subnet| seen.insert(subnet.as_str()))
        .cloned()
        .collect();
    match subnets.len() {
        0 => Err(OperatorError::Usage(
            "no subnets are known: a service without an awsvpc network configuration has none. Pass them with --subnets, and \
             their security groups with --security-groups"
                .into(),
        )),
        n if n > MAX_SUBNETS => Err(OperatorError::Usage(format!(
            "{n} subnets exceed the limit of {MAX_SUBNETS} per launch; pass fewer with --subnets"
        ))),
        _ => Ok(subnets),
    }
}

/// Whether the text has the form of an Amazon EC2 ID. It identifies a vantage in every output.
fn is_id(text: &str) -> bool {
    let is_of_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=MAX_ID_LENGTH).contains(&text.len()) && text.bytes().all(is_of_id)
}

/// Maximum number of characters of an ID. Amazon EC2's have a type and 17 hexadecimal digits.
const MAX_ID_LENGTH: usize = 64;

/// Reads the task definition. Also returns the location from which the probe reads it, if only the
/// probe may.
async fn definition_of(
    calls: &AwsCalls,
    spec: &TargetSpec,
    target: &TargetDetails,
) -> Result<(Value, Option<String>), OperatorError> {
    let document = spec
        .task_definition
        .clone()
        .filter(|location| location.starts_with("s3://") || location.starts_with("ssm:"));
    let definition = match (&spec.task_definition, &target.definition) {
        (Some(location), _) if document.is_none() => read_definition(calls, location).await?,
        (_, Some(arn)) => describe_definition(calls, arn).await?,
        (Some(_), None) => {
            return Err(OperatorError::Usage(
                "a task definition in Amazon S3 or Parameter Store is read only by the probe; add --service, which provides \
                 the role, subnets and log group"
                    .into(),
            ));
        }
        (None, None) => {
            return Err(OperatorError::Usage(
                "the service has no task definition; pass one with --task-definition".into(),
            ));
        }
    };
    Ok((definition, document))
}

/// Whether tasks of this definition run only on instances: Fargate supports no network mode but
/// awsvpc.
fn is_of_instances(definition: &Value) -> bool {
    let mode = definition["networkMode"].as_str();
    mode.is_some_and(|mode| mode != "awsvpc")
}

fn execution_role(target: &TargetDetails, definition: &Value) -> Result<String, OperatorError> {
    let of_definition = || {
        let role = definition["executionRoleArn"].as_str();
        role.filter(|role| !role.is_empty()).map(str::to_owned)
    };
    target.role.clone().or_else(of_definition).ok_or_else(|| {
        OperatorError::Usage(
            "the task definition has no executionRoleArn; without a task execution role, ECS can neither pull images from \
             Amazon ECR nor read secrets, and the probe has no role to test. Add one to the task definition, or to a copy \
             of it in a file, and pass that with --task-definition FILE"
                .into(),
        )
    })
}

/// Returns the service's current revision if the probe runs now and the revision uses the task
/// definition that is probed.
async fn revision(
    calls: &AwsCalls,
    spec: &TargetSpec,
    cluster: &str,
    service: &EcsService,
) -> Option<ServiceRevision> {
    if spec.use_of_probe == ProbeUse::Scheduled || spec.task_definition.is_some() {
        return None;
    }
    let current = revision::current(calls, cluster, service).await?;
    (current.task_definition.as_deref() == service.task_definition()).then_some(current)
}

fn probe_host(placement: &Placement) -> ProbeHost {
    match placement {
        Placement::Fargate | Placement::CapacityProviders(_) => ProbeHost::Fargate,
        Placement::Instances(capacity) if capacity.is_managed => ProbeHost::ManagedInstance,
        Placement::Instances(_) => ProbeHost::Instance,
    }
}

/// Returns the architecture of the tasks; `None` on instances if the task definition leaves it to
/// them.
fn architecture_of(definition: &Value, host: ProbeHost) -> Option<Architecture> {
    match definition["runtimePlatform"]["cpuArchitecture"].as_str() {
        Some("ARM64") => Some(Architecture::Arm64),
        None if host != ProbeHost::Fargate => None,
        _ => Some(Architecture::X8664),
    }
}

/// How the probe's task is placed.
struct ProbePlacement {
    placement: Placement,
    /// Whether the target itself is placed in the same way.
    is_targets_own: bool,
}

/// Returns how the probe is placed: like the target, or on Fargate if the operator wants that or
/// the target's capacity cannot be chosen by subnet.
async fn probe_placement(
    calls: &AwsCalls,
    spec: &TargetSpec,
    cluster: &str,
    target: &TaskPlacement,
) -> Result<ProbePlacement, OperatorError> {
    let is_fargate = |item: &CapacityProviderStrategyItem| {
        matches!(item.capacity_provider.as_str(), "FARGATE" | "FARGATE_SPOT")
    };
    let own = |placement| ProbePlacement {
        placement,
        is_targets_own: true,
    };
    let strategy = &target.capacity_provider_strategy;
    let is_on_instances = match target.launch_type.as_deref() {
        None if strategy.is_empty() => return Ok(own(Placement::Fargate)),
        None if strategy.iter().all(is_fargate) => {
            return Ok(own(Placement::CapacityProviders(strategy.clone())));
        }
        Some("FARGATE") => return Ok(own(Placement::Fargate)),
        Some("EXTERNAL") => false,
        _ => true,
    };
    if is_on_instances && spec.use_of_probe == ProbeUse::Once {
        let capacity = InstanceCapacity::read(calls, cluster, strategy).await;
        return Ok(own(Placement::Instances(capacity)));
    }
    if !spec.subnets.is_empty() {
        return Ok(ProbePlacement {
            placement: Placement::Fargate,
            is_targets_own: false,
        });
    }
    let placement = target.launch_type.as_ref().map_or_else(
        || "a capacity provider of EC2 instances".to_owned(),
        |launch_type| format!("launch type {launch_type}"),
    );
    Err(OperatorError::Usage(format!(
        "these tasks run on {placement}, where the instance pulls images through its own network interface; pass \
         the instances' subnets and security groups with --subnets and --security-groups, and the probe runs \
         there as a Fargate task, or run `pullprobe probe` on an instance"
    )))
}

async fn describe_service(
    calls: &AwsCalls,
    cluster: &str,
    service: &str,
) -> Result<EcsService, OperatorError> {
    let request = DescribeServicesRequest {
        cluster,
        services: [service],
    };
    let response: DescribeServicesResponse = calls
        .read(Api::ECS, "DescribeServices", &request)
        .await
        .map_err(|error| with_cluster_hint(error, cluster, calls.client()))?;
    let region = calls.client().region();
    response
        .services
        .into_iter()
        .next()
        .filter(|service| service.status.as_deref() != Some("INACTIVE"))
        .ok_or_else(|| {
            OperatorError::Usage(format!(
                "Amazon ECS did not find service {service} in cluster {cluster} in {region}; list the services with \
                 `aws ecs list-services --cluster {cluster} --region {region}`"
            ))
        })
}

fn of_service(service: &EcsService) -> TargetDetails {
    TargetDetails {
        service: service.service_name.clone(),
        definition: service.task_definition().map(str::to_owned),
        // Empty for tasks with another network mode; `subnets` then asks for --subnets.
        network: service.network().cloned().unwrap_or_default(),
        placement: service.placement().clone(),
        role: None,
        execute_command: service.enable_execute_command,
        service_connect: service.uses_service_connect(),
        container_instance: None,
        revision: None,
    }
}

/// Reads a task's subnet and task definition. ECS does not report its security groups: unless they
/// are given, they come from its service or its network interface.
async fn of_task(
    calls: &AwsCalls,
    cluster: &str,
    arn: &str,
    needs_security_groups: bool,
) -> Result<TargetDetails, OperatorError> {
    let request = DescribeTasksRequest {
        cluster,
        tasks: &[arn.to_owned()],
        include: &[],
    };
    let response: TasksResponse = calls
        .read(Api::ECS, "DescribeTasks", &request)
        .await
        .map_err(|error| with_cluster_hint(error, cluster, calls.client()))?;
    let Some(task) = response.tasks.first().map(Task::read) else {
        return Err(OperatorError::Usage(format!(
            "Amazon ECS did not find task {arn} in cluster {cluster}; a stopped task can be described for about an hour. \
             Check --cluster and --region, or pass --service, or --task-definition with --subnets and --security-groups"
        )));
    };
    let service = task
        .group
        .as_deref()
        .and_then(|group| group.strip_prefix("service:"));
    let mut target = match service {
        Some(service) => match describe_service(calls, cluster, service).await {
            Ok(service) => of_service(&service),
            // The service may have been deleted in the meantime.
            Err(OperatorError::Usage(_)) => TargetDetails::default(),
            Err(error) => return Err(error),
        },
        None => TargetDetails::default(),
    };
    // A task on an instance may not have its own interface.
    let needs_security_groups = needs_security_groups && task.container_instance_arn.is_none();
    if needs_security_groups && target.network.security_groups.is_empty() {
        target.network = network_of_interface(calls, &task).await?;
    }
    let provider = task.capacity_provider_name.as_deref();
    target.placement.launch_type = task.launch_type.clone().filter(|_| provider.is_none());
    target.placement.capacity_provider_strategy = provider
        .map(|name| CapacityProviderStrategyItem {
            capacity_provider: name.to_owned(),
            weight: Some(1),
            base: None,
        })
        .into_iter()
        .collect();
    target.network.subnets = task
        .network_interface("subnetId")
        .map(str::to_owned)
        .into_iter()
        .collect();
    target
        .placement
        .platform_version
        .clone_from(&task.platform_version);
    target.execute_command = task.enable_execute_command;
    target
        .container_instance
        .clone_from(&task.container_instance_arn);
    target.role.clone_from(&task.overrides.execution_role_arn);
    target.definition.clone_from(&task.task_definition_arn);
    Ok(target)
}

async fn network_of_interface(
    calls: &AwsCalls,
    task: &Task,
) -> Result<AwsVpcConfiguration, OperatorError> {
    let hint = "Amazon ECS does not report the security groups of a standalone task";
    let next_step = "pass them with --security-groups, and add --assign-public-ip if the task had a public IP address";
    match interface::describe(calls, task).await {
        Ok(Some(network)) => Ok(network),
        Ok(None) => Err(OperatorError::Usage(format!(
            "{hint}, and its network interface, which has them, is already deleted; {next_step}"
        ))),
        Err(error) => Err(OperatorError::Usage(format!(
            "{hint}, and its network interface could not be read: {error}. Or {next_step}"
        ))),
    }
}

/// Maximum number of bytes read of a file: one more than the limit, so that a larger file is
/// detected.
const MAX_READ: u64 = MAX_FILE as u64 + 1;

/// Reads a task definition from the file of that name or, if there is none, from ECS.
async fn read_definition(calls: &AwsCalls, location: &str) -> Result<Value, OperatorError> {
    let label = format!("--task-definition {location}");
    let failed = |what: &dyn fmt::Display| OperatorError::Usage(format!("{label}: {what}"));
    let is_arn = location.starts_with("arn:");
    if location != "-" && (is_arn || !Path::new(location).exists()) {
        let is_path = location.contains('/') || Path::new(location).extension().is_some();
        if is_path && !is_arn {
            return Err(failed(&"no such file"));
        }
        return describe_definition(calls, location).await;
    }
    let mut json = Vec::new();
    let read = if location == "-" {
        std::io::stdin()
            .lock()
            .take(MAX_READ)
            .read_to_end(&mut json)
    } else {
        std::fs::File::open(location).and_then(|file| file.take(MAX_READ).read_to_end(&mut json))
    };
    read.map_err(|error| failed(&error))?;
    let template = TaskTemplate::parse(&json, &[])
        .map_err(|error| OperatorError::Usage(error.with_label(&label)))?;
    let names: Vec<_> = template.names().collect();
    if names.len() > 1 {
        return Err(failed(&format_args!(
            "the file has several task definitions ({}); pass a file with one",
            names.join(", ")
        )));
    }
    let region = calls.client().region();
    template
        .definition(0, Some(region), None)
        .and_then(|definition| definition.into_complete(region))
        .map_err(|error| OperatorError::Usage(error.with_label(&label)))
}

async fn describe_definition(calls: &AwsCalls, name: &str) -> Result<Value, OperatorError> {
    let region = calls.client().region();
    definition::describe(calls, name).await?.ok_or_else(|| {
        OperatorError::Usage(format!(
            "{name} is neither a file nor a task definition in {region}; list task definitions with \
             `aws ecs list-task-definitions --region {region}`"
        ))
    })
}

fn plan(
    calls: &AwsCalls,
    spec: &TargetSpec,
    target: &TargetDetails,
    definition: &Value,
    log_group: Option<&str>,
    host: ProbeHost,
) -> Result<Plan, OperatorError> {
    let read = |definition: &Value| {
        task_definition::read(definition.to_string().as_bytes())
            .map_err(|error| OperatorError::Usage(error.with_label("the task definition")))
    };
    let mut input = read(definition)?;
    if let Some(revision) = &target.revision {
        let pinned = read(&revision::pin(definition, revision))?;
        input.images = revision::rows(&input.images, pinned.images);
    }
    input.log_group = log_group.map(str::to_owned);
    input.log_stream_prefix = LOG_STREAM_PREFIX.into();
    input.expect = spec.expect;
    input.full = spec.full;
    let region = calls.client().region().clone();
    if target
        .revision
        .as_ref()
        .is_some_and(|revision| revision.guard_duty_enabled)
    {
        add_guard_duty(&mut input, &region);
    }
    if target.execute_command {
        input
            .connections
            .push(execute_command(&region, input.ip_family));
    }
    if target.service_connect {
        let checks = service_connect(&region).map_err(OperatorError::usage)?;
        input.connections.extend(checks);
    }
    if host != ProbeHost::Fargate {
        on_instance(&mut input, host, definition, &region);
    }
    Plan::new(input, region).map_err(OperatorError::usage)
}

/// Adapts the plan to an instance: adds what its agent contacts, and leaves out what the task
/// contacts through its own interface, which the probe does not have.
fn on_instance(input: &mut PlanInput, host: ProbeHost, definition: &Value, region: &Region) {
    input.host.launch_types = vec![match host {
        ProbeHost::ManagedInstance => LaunchType::ManagedInstances,
        ProbeHost::Fargate | ProbeHost::Instance => LaunchType::Ec2,
    }];
    input.host.has_own_interface = definition["networkMode"] == "awsvpc";
    input.host.uses_instance_role = input.execution_role.is_none();
    if definition["runtimePlatform"]["cpuArchitecture"].is_null() {
        input.platform = None;
    }
    if input.host.has_own_interface {
        let why = "the task contacts it through its own network interface, and the probe runs in the network of the \
                   instance, which pulls; run `pullprobe probe` in a task of the mode awsvpc to check it";
        let unchecked = |dependency, subject| Unchecked {
            dependency,
            subject,
            why: why.to_owned(),
        };
        for check in std::mem::take(&mut input.connections) {
            input
                .unchecked
                .push(unchecked(check.dependency, check.host));
        }
        for volume in std::mem::take(&mut input.file_systems) {
            input.unchecked.push(unchecked(Dependency::Efs, volume.id));
        }
    }
    input
        .connections
        .extend(container_agent(region, input.ip_family));
}

/// Adds the agent that GuardDuty Runtime Monitoring adds to the tasks, and the endpoint to which it
/// reports.
fn add_guard_duty(input: &mut PlanInput, region: &Region) {
    let platform = input
        .platform
        .clone()
        .unwrap_or_else(Platform::of_this_binary);
    match AwsSidecar::GuardDuty.image(region, &platform) {
        Ok(image) => input.images.push(image),
        Err(error) => write_stderr(&format!(
            "pullprobe: GuardDuty adds its agent to these tasks, and its image is not checked: {error}"
        )),
    }
    input.connections.push(guard_duty_data(region));
}

/// Finds the probe's image: the flag, what `install` pushed, or the image of an earlier launch.
async fn probe_image(
    calls: &AwsCalls,
    spec: &TargetSpec,
    account: &str,
    architecture: Architecture,
) -> Result<String, OperatorError> {
    if let Some(image) = &spec.probe_image {
        image
            .parse::<Reference>()
            .map_err(|error| OperatorError::Usage(format!("--probe-image: {error}")))?;
        return Ok(image.clone());
    }
    let region = calls.client().region();
    let expected = install::default_reference(account, region);
    let why = match install::find_installed_image(calls).await {
        Ok(Some(installed)) => {
            let platform = architecture.platform();
            if installed.runs_on(&platform) {
                return Ok(installed.reference);
            }
            return Err(OperatorError::Usage(format!(
                "{} has no image for {platform}, on which these tasks run; {}, push it to another repository with `pullprobe \
                 install --repository NAME --agent {platform}=FILE`, and pass that with --probe-image",
                installed.reference,
                install::how_to_build(&platform)
            )));
        }
        Ok(None) => format!("{expected} is not in Amazon ECR"),
        // The image may also come from an earlier launch.
        Err(error) => {
            let arn = install::repository_arn(account, region);
            let hint = error.denial_hint(&arn).map(|hint| format!(" ({hint})"));
            format!(
                "{expected} could not be looked up: {}{}",
                error.action(),
                hint.unwrap_or_else(|| format!(" failed ({error})"))
            )
        }
    };
    if let Some(registered) = definition::last_registered_image(calls).await {
        write_stderr(&format!(
            "pullprobe: using the probe image {} from task definition {}; pass --probe-image to use another",
            registered.image, registered.task_definition
        ));
        return Ok(registered.image);
    }
    Err(OperatorError::Usage(format!(
        "the probe needs an image in your Amazon ECR registry: {why}, and no earlier launch registered a task definition. {}. If \
         you have the image elsewhere, pass it with --probe-image {expected}",
        install::how_to_install(region)
    )))
}
