//! Reads the file of a task definition in any form that [`crate::template`] knows.

use super::{add_flags, environment_region};
use crate::cli::TaskArgs;
use crate::command::Error;
use crate::endpoints::Region;
use crate::plan::PlanInput;
use crate::template::{TaskFacts, TaskTemplate, TemplateDefinition, TemplatePurpose};

/// Flags of `plan` for templates.
#[derive(Debug, Clone)]
pub(in crate::command) struct TemplateFlags {
    /// Values of placeholders.
    pub set: Vec<(String, String)>,
    /// The task definition in a file with several.
    pub resource: Option<String>,
    pub purpose: TemplatePurpose,
    /// Whether the file's Region comes before the environment's.
    pub file_first: bool,
}

impl Default for TemplateFlags {
    /// The flags as `probe` uses them: it runs in the environment's Region.
    fn default() -> Self {
        Self {
            set: Vec::new(),
            resource: None,
            purpose: TemplatePurpose::Check,
            file_first: false,
        }
    }
}

/// The inputs of one task definition.
pub(in crate::command) struct NamedInput {
    /// Its name in a file with several; else empty.
    pub name: String,
    pub input: PlanInput,
    /// Its Region, if the file or the environment has it.
    pub region: Option<Region>,
}

/// Combines the flags with each task definition of the file. Prints what is left out.
///
/// # Errors
///
/// Fails if a flag or a task definition is not valid.
pub(in crate::command) fn with_definitions(
    args: &TaskArgs,
    definition: Option<&[u8]>,
    flags: &TemplateFlags,
    say: &dyn Fn(&str),
) -> Result<Vec<NamedInput>, Error> {
    let (Some(bytes), Some(source)) = (definition, &args.task_definition) else {
        return Ok(vec![NamedInput {
            name: String::new(),
            input: add_flags(args, PlanInput::default())?,
            region: None,
        }]);
    };
    let label = format!("--task-definition {source}");
    let template = TaskTemplate::parse(bytes, &flags.set)
        .map_err(|error| Error::Usage(error.with_label(&label)))?;
    for name in template.unused() {
        say(&format!(
            "--set {name}: the file has no placeholder of that name, such as ${{{name}}} or <{name}>"
        ));
    }
    let names: Vec<_> = template.names().map(str::to_owned).collect();
    let positions = match &flags.resource {
        None => (0..names.len()).collect(),
        Some(resource) => match template.positions(resource) {
            found if found.len() == 1 => found,
            found => {
                let found = if found.is_empty() {
                    "no"
                } else {
                    "more than one"
                };
                let known = names.join(", ");
                return Err(Error::Usage(format!(
                    "--resource {resource}: the file has {found} task definition of that name; it has {known}"
                )));
            }
        },
    };
    let one = |position: usize| {
        let label = match names[position].as_str() {
            "" => label.clone(),
            name => format!("{label}: {name}"),
        };
        let usage = |message: String| Error::Usage(format!("{label}: {message}"));
        let part = |region: Option<&Region>, account: Option<&str>| {
            let part = template.definition(position, region, account);
            part.map_err(|error| Error::Usage(error.with_label(&label)))
        };
        // The file's own values decide what its functions return.
        let facts = part(args.region.as_ref(), None)?.facts();
        let region = region(args, flags, &facts, say).map_err(usage)?;
        let definition = part(region.as_ref(), facts.account.as_deref())?;
        let (input, notes) = read(args, definition, region.as_ref(), flags.purpose, &label)?;
        for note in notes {
            say(&note);
        }
        Ok(NamedInput {
            name: names[position].clone(),
            input,
            region,
        })
    };
    positions.into_iter().map(one).collect()
}

/// Returns the task's Region: from `--region`, then as the flags say.
fn region(
    args: &TaskArgs,
    flags: &TemplateFlags,
    facts: &TaskFacts,
    say: &dyn Fn(&str),
) -> Result<Option<Region>, String> {
    if let Some(region) = &args.region {
        return Ok(Some(region.clone()));
    }
    let environment = environment_region();
    let environment = environment
        .as_ref()
        .map(|(name, value)| (*name, value.as_str()));
    if !flags.file_first {
        let from_environment = environment.and_then(|(_, value)| value.parse().ok());
        let from_file = || facts.region(None).ok().and_then(|(region, _)| region);
        return Ok(from_environment.or_else(from_file));
    }
    let (region, warning) = facts.region(environment)?;
    if let Some(warning) = warning {
        say(&warning);
    }
    Ok(region)
}

/// Returns the inputs of the task definition and the flags, and notes to print.
fn read(
    args: &TaskArgs,
    mut definition: TemplateDefinition,
    region: Option<&Region>,
    purpose: TemplatePurpose,
    label: &str,
) -> Result<(PlanInput, Vec<String>), Error> {
    let others = definition
        .set_images(&args.images)
        .map_err(|error| Error::Usage(format!("--image: {error}")))?;
    let others = others.into_iter().map(str::to_owned).collect();
    let reading = definition
        .read(region, purpose)
        .map_err(|error| Error::Usage(error.with_label(label)))?;
    let args = TaskArgs {
        images: others,
        ..args.clone()
    };
    Ok((add_flags(&args, reading.input)?, reading.notes))
}
