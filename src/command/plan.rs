//! `pullprobe plan`.

use super::plan_input::{self, PlanSource};
use super::{Error, print};
use crate::cli::{PlanCommand, PlanFormat};
use crate::plan::Plan;
use crate::plan::requirements::{Part, Requirements};
use crate::render;

/// Prints the plan, and what it needs.
pub fn run(flags: &PlanCommand) -> Result<u8, Error> {
    let mut wants = flags.wants.clone();
    wants.images.extend(flags.image.clone());
    let plan = match plan_input::read(&wants)? {
        PlanSource::For(wanted) => plan_input::complete(*wanted, &wants, &Ok(None))?,
        PlanSource::ForWhatLiesIn(document) => {
            return Err(Error::Usage(format!(
                "--task-definition {document}: plan works offline and reads files; fetch it first and hand it over with \
                 --task-definition -"
            )));
        }
    };
    let parts = match flags.format {
        _ if !flags.only.is_empty() => flags.only.clone(),
        PlanFormat::Text if !flags.needs => [&[Part::Contacts], &Part::NEEDED[..]].concat(),
        PlanFormat::Json if !flags.needs => vec![Part::Contacts],
        _ => Part::NEEDED.to_vec(),
    };
    let needs = Requirements::of(&plan);
    let text = match flags.format {
        PlanFormat::Text => render::plan::render(&plan, &needs, &parts),
        PlanFormat::Json => json(&plan, &needs, &parts)?,
        #[cfg(feature = "operator")]
        PlanFormat::Terraform => render::terraform::render(&needs, resources(&parts)?),
        #[cfg(feature = "operator")]
        PlanFormat::CloudFormation => {
            render::cloudformation::render(&needs, resources(&parts)?).map_err(Error::Usage)?
        }
    };
    print(&text)
}

/// The plan itself, or what is needed for it.
fn json(plan: &Plan, needs: &Requirements, parts: &[Part]) -> Result<String, Error> {
    match needs.to_json(parts) {
        Some(json) => json.map_err(|error| Error::Tool(error.to_string())),
        None if parts == [Part::Contacts] => plan.to_json().map_err(Error::Usage),
        None => Err(Error::Usage(
            "--only contacts: as JSON they stand alone; ask for the other parts without them"
                .into(),
        )),
    }
}

/// Contacts and notes are nothing that can be set up.
#[cfg(feature = "operator")]
fn resources(parts: &[Part]) -> Result<&[Part], Error> {
    if parts
        .iter()
        .all(|part| matches!(part, Part::Contacts | Part::Notes))
    {
        return Err(Error::Usage(
            "--only contacts and --only notes are text or JSON: there is nothing to set up".into(),
        ));
    }
    Ok(parts)
}
