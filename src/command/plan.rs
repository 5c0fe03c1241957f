//! `pullprobe plan`.

use std::fmt::Write as _;
use std::path::Path;

use super::plan_input;
#[cfg(feature = "operator")]
use super::plan_input::template::{NamedInput, TemplateFlags, with_definitions};
use super::{Error, note, print, style};
use crate::cli::{PlanArgs, PlanFormat, Source, TaskArgs};
use crate::plan::Plan;
use crate::plan::requirements::{PlanPart, Requirements};
use crate::render;
#[cfg(feature = "operator")]
use crate::template::TemplatePurpose;

/// Extensions of files that hold a task definition, or are passed for one.
const FILE_EXTENSIONS: [&str; 16] = [
    "json",
    "jsonc",
    "json5",
    "yaml",
    "yml",
    "template",
    "tpl",
    "tftpl",
    "tmpl",
    "j2",
    "tf",
    "hcl",
    "jsonnet",
    "libsonnet",
    "tfstate",
    "txt",
];

/// Prints the plan and its requirements.
pub fn run(flags: &PlanArgs) -> Result<u8, Error> {
    let args = task_args(flags);
    let plans = plans(flags, &args)?;
    if let ([(name, _), ..], false) = (plans.as_slice(), flags.format == PlanFormat::Text)
        && plans.len() > 1
    {
        let names: Vec<_> = plans.iter().map(|(name, _)| name.as_str()).collect();
        return Err(Error::Usage(format!(
            "the file has several task definitions ({}), which only text shows one after the other; choose one, such \
             as with --resource {name}",
            names.join(", ")
        )));
    }
    let mut text = String::new();
    for (name, plan) in &plans {
        if plans.len() > 1 {
            let space = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{space}# {name}\n");
        }
        text.push_str(&rendered(flags, plan)?);
    }
    print(&text)
}

/// Returns the flags with the positional argument among them.
fn task_args(flags: &PlanArgs) -> TaskArgs {
    let mut args = flags.task.clone();
    match &flags.subject {
        Some(subject) if args.task_definition.is_none() && is_file(subject) => {
            args.task_definition = subject.parse().ok();
        }
        Some(image) => args.images.push(image.clone()),
        None => {}
    }
    args
}

/// Whether an argument is a file and not an image: it is `-`, has the extension of a file that can
/// hold a task definition, or is the path of one that exists.
fn is_file(argument: &str) -> bool {
    let path = Path::new(argument);
    let extension = path.extension().and_then(|extension| extension.to_str());
    let is_usual = extension.is_some_and(|extension| FILE_EXTENSIONS.contains(&extension));
    // A file of that name is meant before an image of that name.
    argument == "-" || is_usual || path.is_file()
}

/// Returns each plan with its name in the file.
#[cfg(feature = "operator")]
fn plans(flags: &PlanArgs, args: &TaskArgs) -> Result<Vec<(String, Plan)>, Error> {
    let definition = match &args.task_definition {
        Some(source) => Some(local(source)?),
        None => None,
    };
    // What `probe --plan` takes must be complete; the rest is for readers.
    let is_whole = flags.only.is_empty() || flags.only == [PlanPart::Contacts];
    let is_for_probe = flags.format == PlanFormat::Json && !flags.needs && is_whole;
    let template_flags = TemplateFlags {
        set: flags.set.clone(),
        resource: flags.resource.clone(),
        purpose: if is_for_probe {
            TemplatePurpose::Check
        } else {
            TemplatePurpose::Print
        },
        file_first: true,
    };
    let inputs = with_definitions(args, definition.as_deref(), &template_flags, &note)?;
    let plan = |one: NamedInput| {
        let args = TaskArgs {
            region: args.region.clone().or(one.region),
            ..args.clone()
        };
        let plan = plan_input::into_plan(one.input, &args, &Ok(None))?;
        Ok((one.name, plan))
    };
    inputs.into_iter().map(plan).collect()
}

/// Returns the plan.
#[cfg(not(feature = "operator"))]
fn plans(_: &PlanArgs, args: &TaskArgs) -> Result<Vec<(String, Plan)>, Error> {
    let definition = match &args.task_definition {
        Some(source) => Some(local(source)?),
        None => None,
    };
    let input = plan_input::with_task_definition(args, definition.as_deref(), &note)?;
    let plan = plan_input::into_plan(input, args, &Ok(None))?;
    Ok(vec![(String::new(), plan)])
}

/// Reads a file.
fn local(source: &Source) -> Result<Vec<u8>, Error> {
    if let Source::Remote(location) = source {
        return Err(Error::Usage(format!(
            "--task-definition {location}: plan works offline and reads only files; download the task definition and \
             pass it with --task-definition -"
        )));
    }
    let error = |error| Error::Usage(format!("--task-definition {source}: {error}"));
    source.read().map_err(error)
}

/// Returns the text of a plan.
fn rendered(flags: &PlanArgs, plan: &Plan) -> Result<String, Error> {
    let parts = match flags.format {
        // Both together: the parts that both name.
        _ if flags.needs
            && !flags.only.is_empty()
            && flags.only.iter().all(|part| *part == PlanPart::Contacts) =>
        {
            return Err(Error::Usage(
                "--needs leaves out the contacts, and --only contacts prints nothing else; use one of them"
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
    let requirements = Requirements::of(plan);
    let text = match flags.format {
        PlanFormat::Text => render::plan::render(plan, &requirements, &parts, style()),
        PlanFormat::Json => to_json(plan, &requirements, &parts)?,
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
        PlanFormat::Svg => render::plan_picture::render(plan, &requirements),
    };
    Ok(text)
}

/// Maximum number of bytes of a template that CloudFormation takes in a request (AWS CloudFormation
/// user guide, "Understand CloudFormation quotas").
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
                // The limit applies only to a plan that is passed to RunTask.
                note(&too_long.to_string());
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
