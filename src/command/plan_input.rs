//! From flags to a plan. What the flags say is read before anything is sent.

use super::Error;
use crate::cli::{Source, TaskArgs};
use crate::endpoints::Region;
use crate::plan::{
    ImageInput, Plan, PlanInput, Platform, execute_command, service_connect, task_definition,
    valid_log_group,
};
use crate::probe::TaskDefinitionLocation;
use crate::reference::Registry;
use crate::run::TaskMetadata;

/// What the flags ask for.
pub(super) enum PlanSource {
    /// All of it is known.
    For(Box<PlanInput>),
    /// The task definition has to be asked for.
    ForWhatLiesIn(TaskDefinitionLocation),
}

/// Reads the flags, and the task definition if it lies on this machine. Sends nothing.
pub(super) fn read(wants: &TaskArgs) -> Result<PlanSource, Error> {
    let wrong =
        |source: &Source, what: String| Error::Usage(format!("--task-definition {source}: {what}"));
    let definition = match &wants.task_definition {
        None => None,
        Some(Source::Remote(document)) => {
            // The other flags can be wrong as well, and that is said first.
            add_flags(wants, PlanInput::default())?;
            return Ok(PlanSource::ForWhatLiesIn(document.clone()));
        }
        Some(source) => Some(
            source
                .read()
                .map_err(|error| wrong(source, error.to_string()))?,
        ),
    };
    with_definition(wants, definition.as_deref()).map(|wanted| PlanSource::For(Box::new(wanted)))
}

/// What the flags and this task definition ask for.
pub(super) fn with_definition(
    wants: &TaskArgs,
    definition: Option<&[u8]>,
) -> Result<PlanInput, Error> {
    let wanted = match (definition, &wants.task_definition) {
        (Some(json), Some(source)) => task_definition::read(json).map_err(|error| {
            let space = if error.contains('\n') { "\n" } else { " " };
            Error::Usage(format!("--task-definition {source}:{space}{error}"))
        })?,
        _ => PlanInput::default(),
    };
    add_flags(wants, wanted)
}

fn add_flags(wants: &TaskArgs, mut wanted: PlanInput) -> Result<PlanInput, Error> {
    // A task definition's placeholder that was left empty is no image and no log group.
    for image in wants.images.iter().filter(|image| !image.is_empty()) {
        add_image(&mut wanted, image)?;
    }
    wanted.secrets.extend(wants.secrets.iter().cloned());
    wanted.log_group = wants.log_group.clone().filter(|group| !group.is_empty());
    if let Some(group) = &wanted.log_group {
        valid_log_group(group).map_err(|error| Error::Usage(format!("--log-group: {error}")))?;
    }
    wanted
        .log_stream_prefix
        .clone_from(&wants.log_stream_prefix);
    wanted.platform = wants.platform.clone().or(wanted.platform);
    wanted.expect = wants.expect;
    wanted.full = wants.full;
    Ok(wanted)
}

fn add_image(wanted: &mut PlanInput, image: &str) -> Result<(), Error> {
    let image: ImageInput = image
        .parse()
        .map_err(|error| Error::Usage(format!("--image: {error}")))?;
    if !wanted.images.iter().any(|known| known.image == image.image) {
        wanted.images.push(image);
    }
    Ok(())
}

/// The plan, with image and region from the task metadata where the flags leave them out.
pub(super) fn complete(
    mut wanted: PlanInput,
    wants: &TaskArgs,
    metadata: &TaskMetadata,
) -> Result<Plan, Error> {
    let found = metadata
        .as_ref()
        .ok()
        .and_then(|metadata| metadata.as_ref());
    let image = found.and_then(|metadata| metadata.image.as_deref());
    if let Some(image) =
        image.filter(|_| wanted.images.is_empty() && wants.task_definition.is_none())
    {
        add_image(&mut wanted, image)?;
    }
    if wanted.is_nothing() && wants.expect_injected.is_empty() {
        return Err(nothing_to_check(metadata));
    }
    let region = region(wants, &wanted.images, metadata)?;
    add_what_aws_adds(wants, &region, &mut wanted)?;
    Plan::new(wanted, region).map_err(Error::Usage)
}

fn add_what_aws_adds(
    wants: &TaskArgs,
    region: &Region,
    wanted: &mut PlanInput,
) -> Result<(), Error> {
    let platform = wanted
        .platform
        .clone()
        .unwrap_or_else(Platform::of_this_binary);
    for injected in &wants.expect_injected {
        let image = injected.image(region, &platform);
        wanted
            .images
            .push(image.map_err(|error| Error::Usage(format!("--expect-injected: {error}")))?);
    }
    if wants.enable_execute_command {
        wanted.connections.push(execute_command(region));
    }
    if wants.service_connect {
        let connection = service_connect(region);
        wanted
            .connections
            .push(connection.map_err(|error| Error::Usage(format!("--service-connect: {error}")))?);
    }
    Ok(())
}

fn nothing_to_check(metadata: &TaskMetadata) -> Error {
    Error::Usage(match metadata {
        Err(unavailable) => format!(
            "no --image was given, and the task metadata endpoint does not say this task's own: {}",
            unavailable.detail
        ),
        Ok(_) => "nothing to check: name an image with --image, such as \
                  123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1.4"
            .into(),
    })
}

/// The task's region, from whoever says it first.
pub(super) fn region(
    wants: &TaskArgs,
    images: &[ImageInput],
    metadata: &TaskMetadata,
) -> Result<Region, Error> {
    if let Some(region) = &wants.region {
        return Ok(region.clone());
    }
    let found = metadata
        .as_ref()
        .ok()
        .and_then(|metadata| metadata.as_ref());
    let from_metadata = found.and_then(|metadata| metadata.vantage.region.as_deref());
    let variables = ["AWS_REGION", "AWS_DEFAULT_REGION"];
    let from_environment = variables.into_iter().find_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some((name, value))
    });
    let named = from_environment.or_else(|| Some(("the task metadata", from_metadata?.to_owned())));
    if let Some((source, value)) = named {
        return value
            .parse()
            .map_err(|error| Error::Usage(format!("{source}: {error}")));
    }
    let from_image = images
        .iter()
        .find_map(|wanted| match &wanted.image.registry {
            Registry::Ecr { region, .. } => Some(region.clone()),
            Registry::Other { .. } => None,
        });
    from_image.ok_or_else(|| {
        Error::Usage("no region is known: name it with --region, such as us-east-1".into())
    })
}
