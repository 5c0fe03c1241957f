//! `pullprobe plan`, and plans from flags.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::{Error, print};
use crate::cli::{PlanCommand, PlanFormat, Wants};
use crate::endpoints::Region;
use crate::plan::{
    ImageWanted, Plan, Platform, Wanted, execute_command, needs, service_connect, task_definition, valid_log_group,
};
use crate::reference::Registry;
use crate::run::Discovered;

/// Prints the plan.
pub fn run(flags: &PlanCommand) -> Result<u8, Error> {
    let mut wants = flags.wants.clone();
    wants.images.extend(flags.image.clone());
    let plan = from_flags(&wants, &Ok(None))?;
    let text = match flags.format {
        PlanFormat::Text => describe(&plan),
        PlanFormat::Json => plan.to_json().map_err(Error::Usage)?,
    };
    print(&text)
}

/// A plan from flags, with image and region from the task metadata where the flags leave them out.
pub(super) fn from_flags(wants: &Wants, metadata: &Discovered) -> Result<Plan, Error> {
    let found = metadata.as_ref().ok().and_then(|metadata| metadata.as_ref());
    let mut wanted = match &wants.task_definition {
        Some(file) => read_task_definition(file)?,
        None => Wanted::default(),
    };
    // A task definition's placeholder that was left empty is no image and no log group.
    let mut images: Vec<String> = wants.images.iter().filter(|image| !image.is_empty()).cloned().collect();
    if images.is_empty() && wants.task_definition.is_none() {
        images.extend(found.and_then(|metadata| metadata.image.clone()));
    }
    for image in &images {
        let image: ImageWanted = image.parse().map_err(|error| Error::Usage(format!("--image: {error}")))?;
        if !wanted.images.iter().any(|known| known.image == image.image) {
            wanted.images.push(image);
        }
    }
    wanted.secrets.extend(wants.secrets.iter().cloned());
    wanted.log_group = wants.log_group.clone().filter(|group| !group.is_empty());
    if let Some(group) = &wanted.log_group {
        valid_log_group(group).map_err(|error| Error::Usage(format!("--log-group: {error}")))?;
    }
    wanted.log_stream_prefix.clone_from(&wants.log_stream_prefix);
    wanted.platform = wants.platform.clone().or(wanted.platform);
    wanted.expect = wants.expect;
    wanted.full = wants.full;
    if wanted.is_nothing() && wants.expect_injected.is_empty() {
        return Err(nothing_to_check(metadata));
    }
    let region = match wants.region.clone() {
        Some(region) => region,
        None => region_of(&wanted.images, found.and_then(|metadata| metadata.vantage.region.as_deref()))?,
    };
    add_what_aws_adds(wants, &region, &mut wanted)?;
    Plan::new(wanted, region).map_err(Error::Usage)
}

fn add_what_aws_adds(wants: &Wants, region: &Region, wanted: &mut Wanted) -> Result<(), Error> {
    let platform = wanted.platform.clone().unwrap_or_else(Platform::of_this_binary);
    for injected in &wants.expect_injected {
        let image = injected.image(region, &platform);
        wanted.images.push(image.map_err(|error| Error::Usage(format!("--expect-injected: {error}")))?);
    }
    if wants.enable_execute_command {
        wanted.connections.push(execute_command(region));
    }
    if wants.service_connect {
        let connection = service_connect(region);
        wanted.connections.push(connection.map_err(|error| Error::Usage(format!("--service-connect: {error}")))?);
    }
    Ok(())
}

fn nothing_to_check(metadata: &Discovered) -> Error {
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

/// Bytes read of a task definition: one more than the largest, so that the reader can say that it is too large.
const LONGEST_FILE: u64 = task_definition::MAX_SIZE as u64 + 1;

fn read_task_definition(file: &Path) -> Result<Wanted, Error> {
    let wrong = |what: String| Error::Usage(format!("--task-definition {}: {what}", file.display()));
    let mut json = Vec::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().take(LONGEST_FILE).read_to_end(&mut json)
    } else {
        File::open(file).and_then(|file| file.take(LONGEST_FILE).read_to_end(&mut json))
    };
    read.map_err(|error| wrong(error.to_string()))?;
    task_definition::read(&json).map_err(wrong)
}

fn region_of(images: &[ImageWanted], from_metadata: Option<&str>) -> Result<Region, Error> {
    let variables = ["AWS_REGION", "AWS_DEFAULT_REGION"];
    let from_environment = variables.into_iter().find_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some((name, value))
    });
    let named = from_environment.or_else(|| Some(("the task metadata", from_metadata?.to_owned())));
    if let Some((source, value)) = named {
        return value.parse().map_err(|error| Error::Usage(format!("{source}: {error}")));
    }
    let from_image = images.iter().find_map(|wanted| match &wanted.image.registry {
        Registry::Ecr { region, .. } => Some(region.clone()),
        Registry::Other { .. } => None,
    });
    from_image.ok_or_else(|| Error::Usage("no region is known: name it with --region, such as us-east-1".into()))
}

fn describe(plan: &Plan) -> String {
    let mut text = format!("Contacts (region {}, platform {}):\n\n{plan}", plan.region, plan.platform);
    let (endpoints, beyond) = needs::vpc_endpoints(plan);
    text += "\nVPC endpoints that a subnet without a way to the internet needs:\n\n";
    for endpoint in &endpoints {
        let dns = if endpoint.private_dns { "private DNS on" } else { "in the subnet's route table" };
        let _ = writeln!(text, "{:<10} {:<44} {dns}", endpoint.kind, endpoint.service);
    }
    if endpoints.is_empty() {
        text += "none\n";
    }
    for target in beyond {
        let _ =
            writeln!(text, "no VPC endpoint of this region leads to {}: it needs a way to the internet", target.host);
    }
    let policy = needs::execution_role_policy(plan);
    text += "\nThe execution role needs at least:\n\n";
    text += &serde_json::to_string_pretty(&policy).unwrap_or_default();
    text
}
