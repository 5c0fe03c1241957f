//! CloudFormation, SAM and CDK templates: `AWS::ECS::TaskDefinition` with its intrinsic functions
//! resolved where the template has their values (CloudFormation user guide, "Intrinsic function
//! reference" and "Pseudo parameters reference").

use std::cell::Cell;

use serde_json::{Map, Value, json};

use super::{DefinitionName, SourceContext, open_parts, open_value, text_of};
use crate::plan::task_definition::convert_scalars;

/// The type of the resource.
const TASK_DEFINITION: &str = "AWS::ECS::TaskDefinition";

/// Maximum depth of resources that refer to each other.
const MAX_DEPTH: usize = 48;

/// Bytes of values that are resolved for one task definition, with [`VALUE_COST`] for each value: a
/// template of AWS's limit, 1 MB, that resolves each of its values four times. Without it, a
/// resource that refers to itself twice would take 2^48 steps.
const MAX_WORK: usize = 4 * 1024 * 1024;

/// What a value counts, besides its text.
const VALUE_COST: usize = 32;

/// Members of task definitions whose members have names of the user's choice, which keep their
/// capital letters.
const FREE_NAMES: [&str; 6] = [
    "Options",
    "DockerLabels",
    "DriverOpts",
    "Labels",
    "options",
    "dockerLabels",
];

/// Whether the document is one resource, as documentation shows it.
pub(super) fn is_resource(document: &Value) -> bool {
    type_of(document) == TASK_DEFINITION && document.get("Properties").is_some()
}

/// Returns the template in the output of `aws cloudformation get-template`, or around resources
/// that are alone; any other document as it is.
pub(super) fn whole(document: Value) -> Value {
    match document.get("TemplateBody") {
        Some(template @ Value::Object(_)) => return template.clone(),
        Some(Value::String(text)) => {
            let parsed = super::parse_document(text);
            return parsed.unwrap_or(document);
        }
        _ => {}
    }
    if is_resource(&document) {
        return json!({ "Resources": { "TaskDefinition": document } });
    }
    let is_map = document.as_object().is_some_and(|members| {
        !members.contains_key("Resources") && members.values().any(is_resource)
    });
    if is_map {
        json!({ "Resources": document })
    } else {
        document
    }
}

/// Whether a macro makes resources or properties of the template (AWS CloudFormation user guide,
/// "AWS::Include transform" and "Fn::ForEach").
pub(super) fn has_macro(document: &Value) -> bool {
    let text = document.to_string();
    ["\"Fn::ForEach::", "\"Fn::Transform\""]
        .iter()
        .any(|name| text.contains(name))
}

/// Returns the task definitions of a template.
pub(super) fn definitions(document: &Value) -> Vec<DefinitionName> {
    let resources = document.get("Resources").and_then(Value::as_object);
    resources
        .into_iter()
        .flatten()
        .filter(|(_, resource)| type_of(resource) == TASK_DEFINITION)
        .map(|(name, resource)| DefinitionName {
            name: name.clone(),
            family: resource["Properties"]["Family"].as_str().map(str::to_owned),
        })
        .collect()
}

fn type_of(resource: &Value) -> &str {
    resource
        .get("Type")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Returns a task definition as ECS's API names its members. Values that are not in the template
/// are open.
pub(super) fn definition(document: &Value, name: &str, context: &SourceContext<'_>) -> Value {
    let stack = StackValues {
        document,
        context,
        work_left: Cell::new(MAX_WORK),
    };
    let properties = &document["Resources"][name]["Properties"];
    let mut definition = api_names(&stack.resolve(properties, 0));
    convert_scalars(&mut definition);
    if let Some(members) = definition.as_object_mut() {
        // Without it, CloudFormation makes a name from those of the stack and the resource.
        members.entry("family").or_insert_with(|| name.into());
    }
    definition
}

/// Returns properties as ECS's API names them.
pub(super) fn api_names(properties: &Value) -> Value {
    match properties {
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                let value = if FREE_NAMES.contains(&name.as_str()) {
                    value.clone()
                } else {
                    api_names(value)
                };
                (api_name(name), value)
            };
            Value::Object(members.iter().map(member).collect())
        }
        Value::Array(elements) => Value::Array(elements.iter().map(api_names).collect()),
        other => other.clone(),
    }
}

/// Returns the name in ECS's API: the first letter is small. Some names differ
/// (AWS::ECS::TaskDefinition, EFSVolumeConfiguration and AuthorizationConfig).
fn api_name(name: &str) -> String {
    match name {
        "EFSVolumeConfiguration" => return "efsVolumeConfiguration".into(),
        "FSxWindowsFileServerVolumeConfiguration" => {
            return "fsxWindowsFileServerVolumeConfiguration".into();
        }
        "FilesystemId" => return "fileSystemId".into(),
        "IAM" => return "iam".into(),
        _ => {}
    }
    let mut chars = name.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

/// Resolves intrinsic functions.
struct StackValues<'a> {
    document: &'a Value,
    context: &'a SourceContext<'a>,
    work_left: Cell<usize>,
}

impl StackValues<'_> {
    /// Whether another value can be resolved.
    fn has_room(&self, depth: usize) -> bool {
        self.spend(VALUE_COST);
        depth <= MAX_DEPTH && self.work_left.get() > 0
    }

    fn spend(&self, work: usize) {
        self.work_left
            .set(self.work_left.get().saturating_sub(work));
    }

    fn resolve(&self, value: &Value, depth: usize) -> Value {
        if !self.has_room(depth) {
            return open_value("…", "defined in terms of itself, or of too many others");
        }
        let resolved = self.resolve_inside(value, depth);
        self.spend(resolved.as_str().map_or(0, str::len));
        resolved
    }

    fn resolve_inside(&self, value: &Value, depth: usize) -> Value {
        match value {
            Value::Object(members) => {
                if let Some((name, argument)) = single(members)
                    && (name == "Ref" || name.starts_with("Fn::"))
                {
                    return self.call(name, argument, depth + 1);
                }
                let members = members
                    .iter()
                    .map(|(name, value)| (name.clone(), self.resolve(value, depth + 1)));
                Value::Object(members.filter(|(_, value)| !value.is_null()).collect())
            }
            Value::Array(elements) => {
                let elements = elements
                    .iter()
                    .map(|element| self.resolve(element, depth + 1));
                // AWS::NoValue leaves an element out.
                Value::Array(elements.filter(|element| !element.is_null()).collect())
            }
            other => other.clone(),
        }
    }

    fn call(&self, name: &str, argument: &Value, depth: usize) -> Value {
        match name {
            "Ref" => match argument.as_str() {
                Some(name) => self.reference(name, depth),
                None => unsupported("Ref"),
            },
            "Fn::Sub" => self.substitute(argument, depth),
            "Fn::GetAtt" => self.attribute(argument, depth),
            "Fn::Join" => self.join(argument, depth),
            "Fn::Select" => self.select(argument, depth),
            "Fn::Split" => {
                let parts = self.resolve(argument, depth);
                match (parts[0].as_str(), parts[1].as_str()) {
                    (Some(delimiter), Some(text)) if open_parts(&parts[1]).is_none() => {
                        text.split(delimiter).map(Value::from).collect()
                    }
                    _ => open_again(&parts[1], "Fn::Split"),
                }
            }
            "Fn::If" => self.choose(argument, depth),
            "Fn::FindInMap" => self.find_in_map(argument, depth),
            "Fn::ImportValue" => {
                let export = self.resolve(argument, depth);
                let export = text_of(&export);
                self.set(&export).unwrap_or_else(|| {
                    let reason = format!(
                        "an export of another stack, which `aws cloudformation list-exports` shows; pass --set \
                         {export}=VALUE"
                    );
                    open_value(&format!("${{{export}}}"), &reason)
                })
            }
            other => unsupported(other),
        }
    }

    /// Returns the value of `--set`.
    fn set(&self, name: &str) -> Option<Value> {
        let values = self.context.set;
        let (_, value) = values.iter().rev().find(|(known, _)| known == name)?;
        Some(Value::String(value.clone()))
    }

    fn reference(&self, name: &str, depth: usize) -> Value {
        if let Some(value) = self.set(name) {
            return value;
        }
        if name.starts_with("AWS::") {
            return self.pseudo_parameter(name);
        }
        let text = format!("${{{name}}}");
        if let Some(parameter) = self.document["Parameters"].get(name) {
            let kind = type_of(parameter);
            let default = parameter
                .get("Default")
                .filter(|_| !kind.starts_with("AWS::SSM::"));
            return match default {
                Some(Value::String(list))
                    if kind.starts_with("List<") || kind == "CommaDelimitedList" =>
                {
                    list.split(',')
                        .map(|element| Value::from(element.trim()))
                        .collect()
                }
                Some(Value::String(default)) => Value::String(default.clone()),
                Some(default) => Value::String(default.to_string()),
                None if kind.starts_with("AWS::SSM::") => open_value(
                    &text,
                    &format!(
                        "a template parameter whose value is in Parameter Store; pass --set {name}=VALUE"
                    ),
                ),
                None => open_value(
                    &text,
                    &format!("a template parameter without a default; pass --set {name}=VALUE"),
                ),
            };
        }
        self.resource_value(name, None, depth)
    }

    fn pseudo_parameter(&self, name: &str) -> Value {
        let region = self.context.region;
        let partition = region.map(crate::endpoints::Region::partition);
        let known = match name {
            "AWS::NoValue" => return Value::Null,
            "AWS::Region" => region.map(ToString::to_string),
            "AWS::Partition" => partition.map(|partition| partition.name().to_owned()),
            "AWS::URLSuffix" => partition.map(|partition| partition.dns_suffix().to_owned()),
            "AWS::AccountId" => self.context.account.map(str::to_owned),
            _ => None,
        };
        known.map_or_else(
            || {
                let reason = format!("known when the stack is deployed; pass --set {name}=VALUE");
                open_value(&format!("${{{name}}}"), &reason)
            },
            Value::String,
        )
    }

    /// Returns what `Ref` (without an attribute) or `Fn::GetAtt` give for a resource.
    fn resource_value(&self, name: &str, attribute: Option<&str>, depth: usize) -> Value {
        let shown = match attribute {
            Some(attribute) => format!("{name}.{attribute}"),
            None => name.to_owned(),
        };
        if let Some(value) = self.set(&shown) {
            return value;
        }
        let shown = format!("${{{shown}}}");
        let Some(resource) = self.document["Resources"].get(name) else {
            return open_value(&shown, "not in the template");
        };
        let kind = type_of(resource);
        let property = |name: &str| {
            let value = resource["Properties"].get(name)?;
            let value = self.resolve(value, depth + 1);
            (!value.is_null()).then_some(value)
        };
        // What AWS documents as return values of each type.
        let template = match (kind, attribute) {
            ("AWS::Logs::LogGroup", None) => property("LogGroupName"),
            ("AWS::ECR::Repository", None) => property("RepositoryName"),
            ("AWS::ECR::Repository", Some("RepositoryUri")) => self.with_name(
                "${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}/",
                property("RepositoryName"),
            ),
            ("AWS::IAM::Role", None) => property("RoleName"),
            ("AWS::IAM::Role", Some("Arn")) => {
                let path = property("Path").map_or("/".to_owned(), |path| text_of(&path));
                self.with_name(
                    &format!("arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role{path}"),
                    property("RoleName"),
                )
            }
            ("AWS::SecretsManager::Secret", None | Some("Id")) => self.with_name(
                "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:",
                property("Name"),
            ),
            // Both return the ARN of the secret.
            ("AWS::SecretsManager::SecretTargetAttachment", None) => property("SecretId"),
            ("AWS::SSM::Parameter", None) => property("Name"),
            ("AWS::S3::Bucket", None) => property("BucketName"),
            ("AWS::S3::Bucket", Some("Arn")) => {
                self.with_name("arn:${AWS::Partition}:s3:::", property("BucketName"))
            }
            _ => None,
        };
        template.unwrap_or_else(|| {
            let reason = match attribute {
                Some("MasterUserSecret.SecretArn") => {
                    format!("the secret (AWS::SecretsManager::Secret) that {name} ({kind}) creates")
                }
                _ => format!("known when the stack has created {name} ({kind})"),
            };
            open_value(&shown, &reason)
        })
    }

    fn with_name(&self, before: &str, name: Option<Value>) -> Option<Value> {
        let before = self.substitute(&Value::from(before), 0);
        Some(concatenate(&[before, name?], ""))
    }

    fn attribute(&self, argument: &Value, depth: usize) -> Value {
        let resolved = self.resolve(argument, depth);
        let (name, attribute) = match &resolved {
            Value::String(text) => text.split_once('.').unwrap_or((text, "")),
            list => match (list[0].as_str(), list[1].as_str()) {
                (Some(name), Some(attribute)) => (name, attribute),
                _ => return unsupported("Fn::GetAtt"),
            },
        };
        self.resource_value(name, Some(attribute), depth)
    }

    fn substitute(&self, argument: &Value, depth: usize) -> Value {
        let (text, own) = match argument {
            Value::Array(list) => (list.first(), list.get(1)),
            text => (Some(text), None),
        };
        let Some(text) = text.and_then(Value::as_str) else {
            return unsupported("Fn::Sub");
        };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            parts.push(Value::from(&rest[..start]));
            let inside = &rest[start + 2..];
            let Some(end) = inside.find('}') else {
                break;
            };
            let name = inside[..end].trim();
            parts.push(match own.and_then(|own| own.get(name)) {
                Some(value) => self.resolve(value, depth),
                // `${!Literal}` is `${Literal}`.
                None if name.starts_with('!') => Value::from(format!("${{{}}}", &name[1..])),
                None => match name.split_once('.') {
                    Some((resource, attribute)) => {
                        self.resource_value(resource, Some(attribute), depth)
                    }
                    None => self.reference(name, depth),
                },
            });
            rest = &inside[end + 1..];
        }
        parts.push(Value::from(rest));
        concatenate(&parts, "")
    }

    fn join(&self, argument: &Value, depth: usize) -> Value {
        let resolved = self.resolve(argument, depth);
        match (resolved[0].as_str(), &resolved[1]) {
            (Some(delimiter), Value::Array(parts)) => concatenate(parts, delimiter),
            (_, other) => open_again(other, "Fn::Join"),
        }
    }

    fn select(&self, argument: &Value, depth: usize) -> Value {
        let resolved = self.resolve(argument, depth);
        let index = match &resolved[0] {
            Value::String(text) => text.parse().ok(),
            number => number
                .as_u64()
                .and_then(|number| usize::try_from(number).ok()),
        };
        match (index, &resolved[1]) {
            (Some(index), Value::Array(list)) => list
                .get(index)
                .cloned()
                .unwrap_or_else(|| unsupported("Fn::Select")),
            (_, other) => open_again(other, "Fn::Select"),
        }
    }

    fn choose(&self, argument: &Value, depth: usize) -> Value {
        let branch = |n: usize| argument.get(n).map(|branch| self.resolve(branch, depth));
        let (Some(name), Some(yes), Some(no)) = (argument[0].as_str(), branch(1), branch(2)) else {
            return unsupported("Fn::If");
        };
        match self.named_condition(name, depth) {
            Some(true) => yes,
            Some(false) => no,
            None if yes == no => yes,
            None => open_value(
                &format!("!If {name}"),
                &format!(
                    "chosen by the condition {name}, which depends on parameters without a default; pass them with \
                     --set"
                ),
            ),
        }
    }

    fn named_condition(&self, name: &str, depth: usize) -> Option<bool> {
        let condition = self.document["Conditions"].get(name)?;
        self.condition(condition, depth + 1)
    }

    fn condition(&self, condition: &Value, depth: usize) -> Option<bool> {
        if !self.has_room(depth) {
            return None;
        }
        let (name, argument) = single(condition.as_object()?)?;
        let conditions = || -> Vec<_> {
            let list = argument.as_array().into_iter().flatten();
            list.map(|condition| self.condition(condition, depth + 1))
                .collect()
        };
        // One known value can decide.
        let decide = |by: bool| {
            let values = conditions();
            if values.contains(&Some(by)) {
                Some(by)
            } else {
                values
                    .iter()
                    .all(|&value| value == Some(!by))
                    .then_some(!by)
            }
        };
        match name {
            "Condition" => self.named_condition(argument.as_str()?, depth),
            "Fn::Not" => self
                .condition(argument.get(0)?, depth + 1)
                .map(|value| !value),
            "Fn::And" => decide(false),
            "Fn::Or" => decide(true),
            "Fn::Equals" => {
                let sides = self.resolve(argument, depth);
                let is_known = |side: &Value| open_parts(side).is_none() && !side.is_null();
                (sides.as_array()?.len() == 2 && is_known(&sides[0]) && is_known(&sides[1]))
                    .then(|| text_of(&sides[0]) == text_of(&sides[1]))
            }
            _ => None,
        }
    }

    fn find_in_map(&self, argument: &Value, depth: usize) -> Value {
        let resolved = self.resolve(argument, depth);
        let key = |n: usize| match &resolved[n] {
            Value::String(_) | Value::Number(_) => Some(text_of(&resolved[n])),
            _ => None,
        };
        let (Some(map), Some(first), Some(second)) = (key(0), key(1), key(2)) else {
            return unsupported("Fn::FindInMap");
        };
        if let Some(open) = [0, 1, 2]
            .iter()
            .find(|n| open_parts(&resolved[**n]).is_some())
        {
            return open_again(&resolved[*open], "Fn::FindInMap");
        }
        let found = &self.document["Mappings"][map][first][second];
        let default = argument.get(3).and_then(|more| more.get("DefaultValue"));
        match (found, default) {
            (Value::Null, Some(default)) => self.resolve(default, depth),
            (Value::Null, None) => unsupported("Fn::FindInMap"),
            (found, _) => found.clone(),
        }
    }
}

fn single(members: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, value) = members.iter().next()?;
    (members.len() == 1).then_some((name.as_str(), value))
}

/// Returns a value for a function that is not resolved, or that the template uses wrongly.
fn unsupported(name: &str) -> Value {
    open_value(
        &format!("!{}", name.trim_start_matches("Fn::")),
        "an intrinsic function whose value the template does not show",
    )
}

/// Returns the open value that prevents a function's result.
fn open_again(value: &Value, function: &str) -> Value {
    match open_parts(value) {
        Some((text, reason)) => open_value(text, reason),
        None => unsupported(function),
    }
}

/// Joins texts. If one is open, the result is, for the first one's reason.
fn concatenate(parts: &[Value], delimiter: &str) -> Value {
    let open = parts.iter().find_map(open_parts);
    let texts: Vec<_> = parts.iter().map(text_of).collect();
    let text = texts.join(delimiter);
    match open {
        Some((_, reason)) => open_value(&text, reason),
        None => Value::String(text),
    }
}
