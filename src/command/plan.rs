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
        // Both together: the parts that both name.
        _ if flags.needs
            && !flags.only.is_empty()
            && flags.only.iter().all(|part| *part == PlanPart::Contacts) =>
        {
            return Err(Error::Usage(
                "--needs leaves the contacts out, and --only contacts prints nothing else; use one"
                    .into(),
            ));
        }
        _ if !flags.only.is_empty() => {
            let mut parts = flags.only.clone();
            parts.retain(|part| !flags.needs || *part != PlanPart::Contacts);
            parts
        }
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
            let template = render::cloudformation::render(&requirements, &parts)
                .map_err(|error| Error::Usage(error.to_string()))?;
            with_size(template)
        }
        #[cfg(feature = "operator")]
        PlanFormat::Svg if !flags.only.is_empty() || flags.needs => {
            return Err(Error::Usage(
                "--format svg draws the whole plan; leave out --only and --needs".into(),
            ));
        }
        #[cfg(feature = "operator")]
        PlanFormat::Svg => render::plan_picture::render(&plan, &requirements),
    };
    print(&text)
}

/// Bytes of a template that CloudFormation takes in a request (AWS CloudFormation user guide,
/// "Understand CloudFormation quotas").
#[cfg(feature = "operator")]
const MAX_TEMPLATE_BODY: usize = 51_200;

/// Returns the template; where it is too large for a request, it says so in its first lines.
#[cfg(feature = "operator")]
fn with_size(template: String) -> String {
    let size = template.len();
    if size <= MAX_TEMPLATE_BODY {
        return template;
    }
    format!(
        "# This template has {size} bytes; CloudFormation takes {MAX_TEMPLATE_BODY} in a request. Upload it to\n\
         # Amazon S3 and pass --template-url, or use `aws cloudformation deploy --s3-bucket BUCKET`.\n{template}"
    )
}

/// Returns the JSON of the plan itself, or of its requirements.
fn to_json(plan: &Plan, requirements: &Requirements, parts: &[PlanPart]) -> Result<String, Error> {
    match requirements.to_json(parts) {
        Some(json) => json.map_err(|error| Error::Tool(error.to_string())),
        None if parts == [PlanPart::Contacts] => {
            let json = plan.to_json().or_else(|too_long| {
                // Only who passes the plan to RunTask is bound by its limit.
                eprintln!("pullprobe: {too_long}");
                plan.to_whole_json()
            });
            json.map_err(|error| Error::Usage(error.to_string()))
        }
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
