//! `pullprobe plan`.

use std::fmt::Write as _;

use super::wants::{self, Asked};
use super::{Error, print};
use crate::cli::{PlanCommand, PlanFormat};
use crate::plan::{Plan, needs};

/// Prints the plan.
pub fn run(flags: &PlanCommand) -> Result<u8, Error> {
    let mut wants = flags.wants.clone();
    wants.images.extend(flags.image.clone());
    let plan = match wants::read(&wants)? {
        Asked::For(wanted) => wants::complete(*wanted, &wants, &Ok(None))?,
        Asked::ForWhatLiesIn(document) => {
            return Err(Error::Usage(format!(
                "--task-definition {document}: plan works offline and reads files; fetch it first and hand it over with \
                 --task-definition -"
            )));
        }
    };
    let text = match flags.format {
        PlanFormat::Text => describe(&plan),
        PlanFormat::Json => plan.to_json().map_err(Error::Usage)?,
    };
    print(&text)
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
