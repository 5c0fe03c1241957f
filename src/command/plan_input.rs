//! Builds a plan from the command line.

#[cfg(feature = "operator")]
pub(super) mod template;

use super::{Error, note};
use crate::cli::{Source, TaskArgs};
use crate::endpoints::{NO_REGION, Region};
#[cfg(not(feature = "operator"))]
use crate::plan::task_definition;
use crate::plan::{
    ImageInput, Plan, PlanInput, Platform, check_log_group_name, execute_command, guard_duty_data,
    service_connect,
};
use crate::probe::TaskDefinitionLocation;
use crate::reference::Registry;
use crate::run::TaskMetadata;

/// Plan inputs from the command line.
pub(super) enum PlanSource {
    /// All inputs except those from the task metadata are known.
    Ready(Box<PlanInput>),
    /// The task definition must be fetched first.
    Remote(TaskDefinitionLocation),
}

/// Reads the flags and a local task definition. Does no network I/O.
///
/// # Errors
///
/// Fails if a flag is not valid, or if the task definition cannot be read or is not valid.
pub(super) fn from_args(args: &TaskArgs) -> Result<PlanSource, Error> {
    let definition = match &args.task_definition {
        None => None,
        Some(Source::Remote(location)) => {
            // Reports errors in the other flags before anything is fetched.
            add_flags(args, PlanInput::default())?;
            return Ok(PlanSource::Remote(location.clone()));
        }
        Some(source) => Some(
            source
                .read()
                .map_err(|error| Error::Usage(format!("--task-definition {source}: {error}")))?,
        ),
    };
    let input = with_task_definition(args, definition.as_deref(), &note)?;
    Ok(PlanSource::Ready(Box::new(input)))
}

/// Combines the flags with a task definition, and says what is left out.
///
/// # Errors
///
/// Fails if a flag or the task definition is not valid.
#[cfg(not(feature = "operator"))]
pub(super) fn with_task_definition(
    args: &TaskArgs,
    definition: Option<&[u8]>,
    _say: &dyn Fn(&str),
) -> Result<PlanInput, Error> {
    let input = match (definition, &args.task_definition) {
        (Some(json), Some(source)) => task_definition::read(json).map_err(|error| {
            Error::Usage(error.with_label(format_args!("--task-definition {source}")))
        })?,
        _ => PlanInput::default(),
    };
    add_flags(args, input)
}

/// Combines the flags with a task definition, and says what is left out.
///
/// # Errors
///
/// Fails if a flag or the task definition is not valid, or if the file has several.
#[cfg(feature = "operator")]
pub(super) fn with_task_definition(
    args: &TaskArgs,
    definition: Option<&[u8]>,
    say: &dyn Fn(&str),
) -> Result<PlanInput, Error> {
    let flags = template::TemplateFlags::default();
    let mut inputs = template::with_definitions(args, definition, &flags, say)?;
    match (inputs.pop(), inputs.as_slice()) {
        (Some(only), []) => Ok(only.input),
        (last, others) => {
            let names: Vec<_> = others
                .iter()
                .chain(&last)
                .map(|one| one.name.as_str())
                .collect();
            Err(Error::Usage(format!(
                "the file has several task definitions ({}); pass one of them, such as the output of `aws ecs \
                 describe-task-definition`",
                names.join(", ")
            )))
        }
    }
}

fn add_flags(args: &TaskArgs, mut input: PlanInput) -> Result<PlanInput, Error> {
    // An environment variable that is set but empty counts as absent.
    for image in args.images.iter().filter(|image| !image.is_empty()) {
        if image.contains('=') && args.task_definition.is_none() {
            return Err(Error::Usage(format!(
                "--image {image}: NAME=REF sets the image of a container; pass --task-definition as well"
            )));
        }
        add_image(&mut input, image)?;
    }
    input.secrets.extend(args.secrets.iter().cloned());
    input.log_group = args.log_group.clone().filter(|group| !group.is_empty());
    if let Some(group) = &input.log_group {
        check_log_group_name(group).map_err(|error| invalid_flag("--log-group", &error))?;
    }
    input.log_stream_prefix.clone_from(&args.log_stream_prefix);
    input.platform = args.platform.clone().or(input.platform);
    input.expect = args.expect;
    input.full = args.full;
    Ok(input)
}

fn add_image(input: &mut PlanInput, image: &str) -> Result<(), Error> {
    let image: ImageInput = image
        .parse()
        .map_err(|error| invalid_flag("--image", &error))?;
    if !input.images.iter().any(|known| known.image == image.image) {
        input.images.push(image);
    }
    Ok(())
}

fn invalid_flag(flag: &str, error: &dyn std::error::Error) -> Error {
    Error::Usage(format!("{flag}: {error}"))
}

/// Returns the plan, with image and Region from the task metadata where the flags omit them.
///
/// # Errors
///
/// Fails if there is nothing to check, if no Region is set, or if the inputs are not valid.
pub(super) fn into_plan(
    mut input: PlanInput,
    args: &TaskArgs,
    metadata: &TaskMetadata,
) -> Result<Plan, Error> {
    let own_image = match metadata {
        Ok(Some(metadata)) => metadata.image.as_deref(),
        _ => None,
    };
    if let Some(image) = own_image
        && input.images.is_empty()
        && args.task_definition.is_none()
    {
        add_image(&mut input, image)?;
    }
    if input.is_empty() && args.expect_injected.is_empty() {
        return Err(nothing_to_check(metadata));
    }
    // Without the flag and metadata, as in most subnets.
    input.ip_family = args.ip_family.unwrap_or_default();
    let region = region(args, &input.images, metadata)?;
    add_aws_additions(args, &region, &mut input)?;
    Plan::new(input, region).map_err(|error| Error::Usage(error.to_string()))
}

/// Adds the containers and hosts that AWS adds to the task.
fn add_aws_additions(args: &TaskArgs, region: &Region, input: &mut PlanInput) -> Result<(), Error> {
    let platform = input
        .platform
        .clone()
        .unwrap_or_else(Platform::of_this_binary);
    for sidecar in &args.expect_injected {
        let image = sidecar.image(region, &platform);
        let image = image.map_err(|error| invalid_flag("--expect-injected", &error))?;
        input.images.push(image);
        input.connections.push(guard_duty_data(region));
    }
    if args.enable_execute_command {
        let check = execute_command(region, input.ip_family);
        input.connections.push(check);
    }
    if args.service_connect {
        let checks = service_connect(region);
        let checks = checks.map_err(|error| invalid_flag("--service-connect", &error))?;
        input.connections.extend(checks);
    }
    Ok(())
}

fn nothing_to_check(metadata: &TaskMetadata) -> Error {
    Error::Usage(match metadata {
        Err(unavailable) => format!(
            "nothing to check: pass --image or --task-definition. The task metadata endpoint did not \
             return this task's own image: {}",
            unavailable.detail
        ),
        Ok(_) => "nothing to check: pass --image (such as \
                  123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1.4) or --task-definition"
            .into(),
    })
}

/// Returns the variable and value of the environment's Region.
pub(super) fn environment_region() -> Option<(&'static str, String)> {
    let names = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter();
    let mut set = names.filter_map(|name| Some((name, std::env::var(name).ok()?)));
    set.find(|(_, value)| !value.is_empty())
}

/// Returns the task's Region: from --region, the environment, the task metadata or the first Amazon
/// ECR image, in this order.
///
/// # Errors
///
/// Fails if none of them names a Region, or if the first that does names one that is not valid.
pub(super) fn region(
    args: &TaskArgs,
    images: &[ImageInput],
    metadata: &TaskMetadata,
) -> Result<Region, Error> {
    if let Some(region) = &args.region {
        return Ok(region.clone());
    }
    let from_environment = environment_region();
    let from_metadata = || match metadata {
        Ok(Some(metadata)) => Some((
            "the task metadata",
            metadata.vantage.region.as_ref()?.to_string(),
        )),
        _ => None,
    };
    if let Some((source, region)) = from_environment.or_else(from_metadata) {
        return region
            .parse()
            .map_err(|error| Error::Usage(format!("{source}: {error}")));
    }
    let from_image = images.iter().find_map(|image| match &image.image.registry {
        Registry::Ecr { region, .. } => Some(region.clone()),
        Registry::Other { .. } => None,
    });
    let default_region = || args.default_region.clone();
    from_image
        .or_else(default_region)
        .ok_or_else(|| Error::Usage(NO_REGION.into()))
}
