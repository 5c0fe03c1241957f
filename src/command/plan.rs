//! `pullprobe plan`.

use super::plan_input::{self, PlanSource};
use super::{Error, print};
use crate::cli::{PlanArgs, PlanFormat};
use crate::plan::Plan;
use crate::plan::requirements::{PlanPart, Requirements};
use crate::render;

/// Prints the plan and its requirements.
pub fn run(flags: &PlanArgs) -> Result<u8, Error> {
    let mut args = flags.task.clone();
    args.images.extend(flags.image.clone());
    let plan = match plan_input::from_args(&args)? {
        PlanSource::Ready(input) => plan_input::into_plan(*input, &args, &Ok(None))?,
        PlanSource::Remote(location) => {
            return Err(Error::Usage(format!(
                "--task-definition {location}: plan works offline and reads only files; download \
                 the task definition and pass it with --task-definition -"
            )));
        }
    };
    let parts = match flags.format {
        _ if !flags.only.is_empty() => flags.only.clone(),
        PlanFormat::Text if !flags.needs => {
            [&[PlanPart::Contacts], &PlanPart::REQUIREMENTS[..]].concat()
        }
        PlanFormat::Json if !flags.needs => vec![PlanPart::Contacts],
        _ => PlanPart::REQUIREMENTS.to_vec(),
    };
    let requirements = Requirements::of(&plan);
    let text = match flags.format {
        PlanFormat::Text => render::plan::render(&plan, &requirements, &parts),
        PlanFormat::Json => to_json(&plan, &requirements, &parts)?,
        #[cfg(feature = "operator")]
        PlanFormat::Terraform => {
            check_has_resources(&parts)?;
            render::terraform::render(&requirements, &parts)
        }
        #[cfg(feature = "operator")]
        PlanFormat::CloudFormation => {
            check_has_resources(&parts)?;
            render::cloudformation::render(&requirements, &parts)
                .map_err(|error| Error::Usage(error.to_string()))?
        }
    };
    print(&text)
}

/// Returns the JSON of the plan itself, or of its requirements.
fn to_json(plan: &Plan, requirements: &Requirements, parts: &[PlanPart]) -> Result<String, Error> {
    match requirements.to_json(parts) {
        Some(json) => json.map_err(|error| Error::Tool(error.to_string())),
        None if parts == [PlanPart::Contacts] => plan
            .to_json()
            .map_err(|error| Error::Usage(error.to_string())),
        None => Err(Error::Usage(
            "--only contacts cannot be combined with other parts in JSON".into(),
        )),
    }
}

/// Fails if no part can have resources.
#[cfg(feature = "operator")]
fn check_has_resources(parts: &[PlanPart]) -> Result<(), Error> {
    if parts
        .iter()
        .all(|part| matches!(part, PlanPart::Contacts | PlanPart::Notes))
    {
        return Err(Error::Usage(
            "--only contacts and --only notes need --format text or json; they have no resources to create".into(),
        ));
    }
    Ok(())
}
