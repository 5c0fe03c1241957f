//! `pullprobe plan`, and plans from flags.

use std::fmt::Write as _;

use super::{Error, print};
use crate::cli::{PlanCommand, PlanFormat, Wants};
use crate::endpoints::Region;
use crate::plan::{Plan, Wanted, needs};
use crate::reference::{Reference, Registry};
use crate::run::Discovered;

/// Prints the plan.
pub fn run(flags: &PlanCommand) -> Result<u8, Error> {
    let mut images = flags.wants.images.clone();
    images.extend(flags.image.clone());
    let wants = Wants { images, secrets: flags.wants.secrets.clone(), ..copy(&flags.wants) };
    let plan = from_flags(&wants, &Ok(None))?;
    let text = match flags.format {
        PlanFormat::Text => describe(&plan),
        PlanFormat::Json => serde_json::to_string(&plan).map_err(|error| Error::Tool(error.to_string()))?,
    };
    print(&text)
}

fn copy(wants: &Wants) -> Wants {
    Wants {
        images: Vec::new(),
        secrets: Vec::new(),
        log_group: wants.log_group.clone(),
        log_stream_prefix: wants.log_stream_prefix.clone(),
        region: wants.region.clone(),
        platform: wants.platform.clone(),
        expect: wants.expect,
        full: wants.full,
    }
}

/// A plan from flags, with image and region from the task metadata where the flags leave them out.
pub(super) fn from_flags(wants: &Wants, metadata: &Discovered) -> Result<Plan, Error> {
    let found = metadata.as_ref().ok().and_then(|metadata| metadata.as_ref());
    // A task definition's placeholder that was left empty is no image and no log group.
    let mut images: Vec<String> = wants.images.iter().filter(|image| !image.is_empty()).cloned().collect();
    let log_group = wants.log_group.clone().filter(|group| !group.is_empty());
    if images.is_empty() {
        images.extend(found.and_then(|metadata| metadata.image.clone()));
    }
    if images.is_empty() && log_group.is_none() && wants.secrets.is_empty() {
        return Err(Error::Usage(match metadata {
            Err(unavailable) => format!(
                "no --image was given, and the task metadata endpoint does not say this task's own: {}",
                unavailable.detail
            ),
            Ok(_) => "nothing to check: name an image with --image, such as \
                      123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1.4"
                .into(),
        }));
    }
    let images = images.iter().map(|image| image.parse()).collect::<Result<Vec<Reference>, _>>();
    let images = images.map_err(|error| Error::Usage(format!("--image: {error}")))?;
    let region = match wants.region.clone() {
        Some(region) => region,
        None => region_of(&images, found.and_then(|metadata| metadata.vantage.region.as_deref()))?,
    };
    let wanted = Wanted {
        images,
        secrets: wants.secrets.clone(),
        log_group,
        log_stream_prefix: wants.log_stream_prefix.clone(),
        log_region: None,
        platform: wants.platform.clone(),
        expect: wants.expect,
        full: wants.full,
    };
    Plan::new(wanted, region).map_err(Error::Usage)
}

fn region_of(images: &[Reference], from_metadata: Option<&str>) -> Result<Region, Error> {
    let variables = ["AWS_REGION", "AWS_DEFAULT_REGION"];
    let from_environment = variables.into_iter().find_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some((name, value))
    });
    let named = from_environment.or_else(|| Some(("the task metadata", from_metadata?.to_owned())));
    if let Some((source, value)) = named {
        return value.parse().map_err(|error| Error::Usage(format!("{source}: {error}")));
    }
    let from_image = images.iter().find_map(|image| match &image.registry {
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
