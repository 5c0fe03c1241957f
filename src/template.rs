//! Files that hold a task definition in one of the common forms: JSON with comments, YAML,
//! an array of containers, a CloudFormation template, Terraform's JSON, each possibly with
//! placeholders. Pure: the caller reads the file.
//!
//! A template is read in steps, because the Region, which decides many values, may be in the file:
//! [`TaskTemplate::parse`], [`TaskTemplate::definition`], [`TemplateDefinition::facts`], and with
//! the Region [`TemplateDefinition::read`].

mod cloudformation;
mod definition;
mod facts;
mod foreign;
mod json;
mod placeholder;
mod syntax;
mod terraform;
mod yaml;

use serde_json::{Value, json as value};

pub use definition::{TemplatePurpose, TemplateReading};
pub use facts::TaskFacts;

use crate::endpoints::Region;
use crate::plan::task_definition::{InvalidTaskDefinition, MAX_SIZE, OPEN, open_parts};
use foreign::ForeignDocument;
use syntax::SyntaxProblem;

/// Maximum number of bytes of a file. Terraform's plans of large stacks have some megabytes;
/// CloudFormation's templates at most one.
pub const MAX_FILE: usize = 16 * 1024 * 1024;

/// Why a template without a task definition of its own is rejected.
const PROCESSED: &str = "a CloudFormation template whose task definition is made while it is deployed, by a macro such as \
                         Fn::ForEach or AWS::Include, or by a condition; pass the output of `aws cloudformation \
                         get-template --template-stage Processed --stack-name NAME`";

/// Why a file is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidTemplate {
    /// ECS would reject the task definition, or the file is empty.
    TaskDefinition(InvalidTaskDefinition),
    /// It has another form, or a mistake. One sentence without a final dot, and possibly the line.
    Unreadable(String),
}

impl InvalidTemplate {
    /// Returns the error with `label` as the name of the file.
    pub fn with_label(&self, label: impl std::fmt::Display) -> String {
        match self {
            Self::TaskDefinition(error) => error.with_label(label),
            Self::Unreadable(message) if message.starts_with("is ") => {
                format!("{label} {message}")
            }
            Self::Unreadable(message) => format!("{label}: {message}"),
        }
    }
}

/// A file in a known form.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskTemplate {
    form: TemplateForm,
    document: Value,
    /// Values of `--set`.
    set: Vec<(String, String)>,
    /// Names of `set` that match no placeholder.
    unused: Vec<String>,
    names: Vec<DefinitionName>,
}

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TemplateForm {
    /// The form of ECS's API.
    Api,
    /// Several in the form of ECS's API.
    ApiList,
    /// The value of `containerDefinitions` alone, or one of its containers.
    Containers,
    /// Properties of a CloudFormation resource, or its containers.
    Properties,
    CloudFormation,
    Terraform,
}

/// The name of a task definition in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DefinitionName {
    /// Logical ID, or address in Terraform; empty where the file is one task definition.
    name: String,
    family: Option<String>,
}

/// Values from outside the file.
struct SourceContext<'a> {
    set: &'a [(String, String)],
    region: Option<&'a Region>,
    account: Option<&'a str>,
}

/// A task definition as ECS's API names its members. Strings that begin with [`OPEN`] stand for
/// values that the file leaves open.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateDefinition {
    document: Value,
    /// Region of Terraform's provider.
    provider_region: Option<Region>,
}

impl TaskTemplate {
    /// Reads a file, with `set` in place of the placeholders that it names.
    ///
    /// # Errors
    ///
    /// Fails if the file is not a task definition in one of the known forms, with what it is
    /// instead.
    pub fn parse(bytes: &[u8], set: &[(String, String)]) -> Result<Self, InvalidTemplate> {
        let text = decode(bytes)?;
        let (text, unused) = placeholder::fill(&text, set);
        let mut document = cloudformation::whole(parse_document(&text)?);
        if let Some(list @ Value::Array(_)) = document.get_mut("taskDefinitions") {
            document = list.take();
        }
        let is_stack =
            |form| matches!(form, TemplateForm::CloudFormation | TemplateForm::Terraform);
        if bytes.len() > MAX_SIZE && !form_of(&document).is_some_and(is_stack) {
            return Err(InvalidTaskDefinition::TooLarge.into());
        }
        let unreadable = |message: &str| Err(InvalidTemplate::Unreadable(message.into()));
        let Some(form) = form_of(&document) else {
            return match foreign::of_value(&document) {
                Some(foreign) => Err(foreign.into()),
                // The reader's error names what is missing.
                None if document.is_object() => Ok(Self::of(TemplateForm::Api, document, set)),
                None => unreadable(
                    "an object with containerDefinitions is expected, or an array of containers; pass the output \
                     of `aws ecs describe-task-definition`",
                ),
            };
        };
        let mut template = Self::of(form, document, set);
        match form {
            TemplateForm::ApiList => template.names = names_of_list(&template.document),
            TemplateForm::CloudFormation => {
                template.names = cloudformation::definitions(&template.document);
            }
            TemplateForm::Terraform => {
                template.names = terraform::definitions(&template.document);
            }
            _ => {}
        }
        if template.names.is_empty() {
            if let Some(foreign) = foreign::of_stack(&template.document) {
                return Err(foreign.into());
            }
            if cloudformation::has_macro(&template.document) {
                return unreadable(PROCESSED);
            }
            return unreadable(if form == TemplateForm::Terraform {
                "Terraform's JSON without an aws_ecs_task_definition; pass the plan or state of the configuration that \
                 has one"
            } else {
                "a CloudFormation template without an AWS::ECS::TaskDefinition; pass the one that has it, such as a \
                 nested stack's"
            });
        }
        let is_used = |name: &&str| form == TemplateForm::CloudFormation && text.contains(*name);
        let unused = unused.into_iter().filter(|name| !is_used(name));
        template.unused = unused.map(str::to_owned).collect();
        Ok(template)
    }

    fn of(form: TemplateForm, document: Value, set: &[(String, String)]) -> Self {
        let only = DefinitionName {
            name: String::new(),
            family: None,
        };
        Self {
            form,
            document,
            set: set.to_vec(),
            unused: Vec::new(),
            names: vec![only],
        }
    }

    /// Returns the names of the task definitions, each once; one empty name if the file is one.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|definition| definition.name.as_str())
    }

    /// Returns the positions of the task definitions that `name` means: its name in the file, the
    /// last part of its address, or its family.
    pub fn positions(&self, name: &str) -> Vec<usize> {
        let is_it = |definition: &DefinitionName| {
            definition.name == name
                || definition.name.rsplit('.').next() == Some(name)
                || definition.family.as_deref() == Some(name)
        };
        let all = self.names.iter().enumerate();
        all.filter(|(_, definition)| is_it(definition))
            .map(|(n, _)| n)
            .collect()
    }

    /// Returns the names that `set` has and the file does not.
    pub fn unused(&self) -> &[String] {
        &self.unused
    }

    /// Returns the task definition at the position, with what `region` and `account` decide.
    ///
    /// # Errors
    ///
    /// Fails if a plan of Terraform does not know the containers.
    pub fn definition(
        &self,
        position: usize,
        region: Option<&Region>,
        account: Option<&str>,
    ) -> Result<TemplateDefinition, InvalidTemplate> {
        let context = SourceContext {
            set: &self.set,
            region,
            account,
        };
        let name = self
            .names
            .get(position)
            .map_or("", |definition| &definition.name);
        let mut provider_region = None;
        let document = match self.form {
            TemplateForm::Api => of_daemon(&self.document),
            TemplateForm::ApiList => of_daemon(&self.document[position]),
            TemplateForm::Containers if self.document.is_object() => {
                of_containers(&Value::Array(vec![self.document.clone()]))
            }
            TemplateForm::Containers => of_containers(&self.document),
            TemplateForm::Properties => {
                let stack = value!({ "Resources": { "": { "Properties": self.document } } });
                let resolved = cloudformation::definition(&stack, "", &context);
                match resolved {
                    containers @ Value::Array(_) => of_containers(&containers),
                    definition => definition,
                }
            }
            TemplateForm::CloudFormation => {
                match cloudformation::definition(&self.document, name, &context) {
                    definition @ Value::Object(_) => definition,
                    _ => return Err(InvalidTemplate::Unreadable(PROCESSED.into())),
                }
            }
            TemplateForm::Terraform => {
                let region = terraform::provider_region(&self.document);
                provider_region = region.and_then(|region| region.parse().ok());
                terraform::definition(&self.document, name)?
            }
        };
        Ok(TemplateDefinition {
            document,
            provider_region,
        })
    }
}

impl TemplateDefinition {
    /// Returns the task definition itself.
    fn inner(&self) -> &Value {
        match &self.document["taskDefinition"] {
            inner @ Value::Object(_) => inner,
            _ => &self.document,
        }
    }

    fn inner_mut(&mut self) -> &mut Value {
        if self.document["taskDefinition"].is_object() {
            &mut self.document["taskDefinition"]
        } else {
            &mut self.document
        }
    }

    /// Returns the task definition, if the file leaves nothing open.
    pub fn into_value(self) -> Value {
        match self.document {
            Value::Object(mut members)
                if members.get("taskDefinition").is_some_and(Value::is_object) =>
            {
                members.remove("taskDefinition").unwrap_or_default()
            }
            document => document,
        }
    }
}

/// Returns a list's task definitions by family; one of several of that family, by its position too.
fn names_of_list(list: &Value) -> Vec<DefinitionName> {
    let all = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let families: Vec<_> = all
        .iter()
        .map(|one| {
            let inner = one.get("taskDefinition").unwrap_or(one);
            inner["family"].as_str().map(str::to_owned)
        })
        .collect();
    let name = |(n, family): (usize, &Option<String>)| {
        let is_only = families.iter().filter(|other| *other == family).count() == 1;
        DefinitionName {
            name: match family {
                Some(family) if is_only => family.clone(),
                Some(family) => format!("{family}[{n}]"),
                None => format!("[{n}]"),
            },
            family: family.clone(),
        }
    };
    families.iter().enumerate().map(name).collect()
}

/// Returns a daemon's task definition as one of ECS Managed Instances, where alone daemons run (ECS
/// API reference, DaemonTaskDefinition); any other as it is.
fn of_daemon(document: &Value) -> Value {
    let inner = match &document["daemonTaskDefinition"] {
        inner @ Value::Object(_) => inner,
        _ if document.get("daemonTaskDefinitionArn").is_some() => document,
        _ => return document.clone(),
    };
    let mut definition = inner.clone();
    definition["requiresCompatibilities"] = value!(["MANAGED_INSTANCES"]);
    if let Some(members) = definition.as_object_mut()
        && let Some(arn) = members.remove("daemonTaskDefinitionArn")
    {
        members.insert("taskDefinitionArn".into(), arn);
    }
    value!({ "taskDefinition": definition })
}

/// Returns containers as a task definition. Its volumes, roles and platform are elsewhere.
fn of_containers(containers: &Value) -> Value {
    let mounts = |container: &Value| {
        let mounts = container["mountPoints"].as_array();
        mounts.is_some_and(|mounts| {
            mounts
                .iter()
                .any(|mount| mount.get("sourceVolume").is_some())
        })
    };
    let has_mounts = containers
        .as_array()
        .is_some_and(|all| all.iter().any(mounts));
    let mut definition = value!({ "containerDefinitions": containers });
    if has_mounts {
        definition["volumes"] =
            open_value("volumes", "not in this file, which has only the containers");
    }
    definition
}

/// Returns the text. PowerShell writes UTF-16 with a byte order mark.
fn decode(bytes: &[u8]) -> Result<String, InvalidTemplate> {
    let invalid = |error| Err(InvalidTemplate::TaskDefinition(error));
    if bytes.len() > MAX_FILE {
        return Err(InvalidTemplate::Unreadable(format!(
            "more than {MAX_FILE} bytes; pass one task definition"
        )));
    }
    let units = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let pairs = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        char::decode_utf16(pairs)
            .collect::<Result<String, _>>()
            .ok()
    };
    let text = match bytes {
        [0xFF, 0xFE, rest @ ..] => units(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => units(rest, u16::from_be_bytes),
        _ => std::str::from_utf8(bytes).ok().map(str::to_owned),
    };
    match text {
        None => invalid(InvalidTaskDefinition::NotUtf8),
        Some(text) => match text.trim_start_matches('\u{feff}') {
            text if text.trim().is_empty() => invalid(InvalidTaskDefinition::Empty),
            text => Ok(text.to_owned()),
        },
    }
}

/// Reads JSON or YAML.
fn parse_document(text: &str) -> Result<Value, InvalidTemplate> {
    if let Some(foreign) = foreign::of_text(text) {
        return Err(foreign.into());
    }
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !(line.is_empty() || line.starts_with(['#', '/', '*'])))
        .unwrap_or_default();
    let is_json = first.starts_with(['{', '[']) || text.trim_start().starts_with("/*");
    if is_json && !first.starts_with("{{") {
        // Most files are plain JSON, which serde_json reads faster. The other parser replaces what
        // would begin an open value.
        let plain = (!text.contains("\\u0000"))
            .then(|| one_or_more(text))
            .flatten();
        return plain.map_or_else(
            || {
                json::parse(text).map_err(|problem| match foreign::of_broken_json(text) {
                    Some(foreign) => foreign.into(),
                    None => unreadable("JSON", text, &problem),
                })
            },
            Ok,
        );
    }
    if let Some(line) = template_directive(text) {
        return Err(InvalidTemplate::Unreadable(format!(
            "a template with directives ({line}); render it first, such as with `helm template` or the tool that \
             deploys it"
        )));
    }
    let documents = yaml::parse(text).map_err(|problem| unreadable("YAML", text, &problem))?;
    let is_api = |document: &&Value| form_of(document) == Some(TemplateForm::Api);
    let definitions: Vec<_> = documents.iter().filter(is_api).cloned().collect();
    if definitions.len() > 1 {
        return Ok(Value::Array(definitions));
    }
    let is_known = |document: &Value| form_of(document).is_some();
    let known = documents.iter().position(is_known).unwrap_or_default();
    match documents.into_iter().nth(known) {
        Some(document @ (Value::Object(_) | Value::Array(_))) => Ok(document),
        _ => Err(InvalidTemplate::Unreadable(
            "neither JSON nor YAML with a task definition; pass the output of `aws ecs describe-task-definition`"
                .into(),
        )),
    }
}

/// Reads a JSON document; of several, one after the other as a loop of commands writes them, the
/// array.
fn one_or_more(text: &str) -> Option<Value> {
    let documents = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut documents = documents.collect::<Result<Vec<_>, _>>().ok()?;
    if documents.len() == 1 {
        return documents.pop();
    }
    let all = Value::Array(documents);
    (form_of(&all) == Some(TemplateForm::ApiList)).then_some(all)
}

fn unreadable(form: &str, text: &str, problem: &SyntaxProblem) -> InvalidTemplate {
    InvalidTemplate::Unreadable(format!("is not valid {form}: {}", problem.in_text(text)))
}

/// Returns the first line that consists of a directive of a template language.
fn template_directive(text: &str) -> Option<&str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| {
        let directive = [
            "{%", "%{", "<%", "{{-", "{{ if", "{{if", "{{ range", "{{range", "{{ end", "{{end",
        ];
        directive.iter().any(|start| line.starts_with(start)) && line.len() < 100
    })
}

fn form_of(document: &Value) -> Option<TemplateForm> {
    if let Value::Array(elements) = document {
        let has = |name: &str| elements.iter().any(|element| element.get(name).is_some());
        let is_api = |element: &Value| form_of_object(element) == Some(TemplateForm::Api);
        return if has("imageUri") || has("taskArn") {
            None
        } else if !elements.is_empty() && elements.iter().all(is_api) {
            Some(TemplateForm::ApiList)
        } else if has("image") || has("logConfiguration") {
            Some(TemplateForm::Containers)
        } else {
            has("Image").then_some(TemplateForm::Properties)
        };
    }
    form_of_object(document)
}

fn form_of_object(document: &Value) -> Option<TemplateForm> {
    let has = |name: &str| document.get(name).is_some_and(|value| !value.is_null());
    let is_object = |name: &str| document.get(name).is_some_and(Value::is_object);
    let is_text = |name: &str| document.get(name).is_some_and(Value::is_string);
    let is_api = ["taskDefinition", "daemonTaskDefinition"]
        .iter()
        .any(|name| is_object(name));
    if has("containerDefinitions") || is_api {
        Some(TemplateForm::Api)
    } else if terraform::is_terraform(document) {
        Some(TemplateForm::Terraform)
    } else if is_object("Resources") || has("AWSTemplateFormatVersion") {
        Some(TemplateForm::CloudFormation)
    } else if has("ContainerDefinitions") {
        Some(TemplateForm::Properties)
    } else if is_text("name") && is_text("image") && !has("services") {
        // One container, of those that Terraform's templates join.
        Some(TemplateForm::Containers)
    } else {
        None
    }
}

/// Returns a value for what the file leaves open; `reason` follows "is".
fn open_value(text: &str, reason: &str) -> Value {
    Value::String(format!("{OPEN}{text}{OPEN}{reason}"))
}

/// Returns a scalar as text; of an open value, its text in the file.
fn text_of(value: &Value) -> String {
    match (open_parts(value), value) {
        (Some((text, _)), _) => text.to_owned(),
        (None, Value::String(text)) => text.clone(),
        (None, Value::Null) => String::new(),
        (None, other) => other.to_string(),
    }
}

impl From<ForeignDocument> for InvalidTemplate {
    fn from(foreign: ForeignDocument) -> Self {
        let ForeignDocument { what, next } = foreign;
        Self::Unreadable(format!("this is {what}, not a task definition; {next}"))
    }
}

impl From<InvalidTaskDefinition> for InvalidTemplate {
    fn from(error: InvalidTaskDefinition) -> Self {
        Self::TaskDefinition(error)
    }
}

#[cfg(test)]
mod tests;
