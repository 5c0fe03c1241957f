//! `terraform show -json` of a plan or a state: every `aws_ecs_task_definition`, also in modules
//! (Terraform documentation, "JSON Output Format"; AWS provider, `aws_ecs_task_definition`).

use serde_json::{Map, Value};

use super::{DefinitionName, InvalidTemplate, json as lenient, open_value};

/// The type of the resource.
const TASK_DEFINITION: &str = "aws_ecs_task_definition";

/// Whether the document is the JSON of a plan or a state.
pub(super) fn is_terraform(document: &Value) -> bool {
    document.get("planned_values").is_some()
        || (document.get("terraform_version").is_some()
            && (document.get("values").is_some() || document.get("resources").is_some()))
}

/// Returns the task definitions of every module.
pub(super) fn definitions(document: &Value) -> Vec<DefinitionName> {
    resources(document)
        .into_iter()
        .map(|(name, values)| DefinitionName {
            name,
            family: values["family"].as_str().map(str::to_owned),
        })
        .collect()
}

/// Returns the address and values of each resource.
fn resources(document: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for values in ["planned_values", "values"] {
        let mut modules = vec![&document[values]["root_module"]];
        while let Some(module) = modules.pop() {
            let list = |name: &str| module[name].as_array().into_iter().flatten();
            let is_definition = |resource: &&Value| {
                resource["type"] == TASK_DEFINITION && resource["mode"] != "data"
            };
            let with_address =
                |resource: &'_ Value| resource["address"].as_str().map(str::to_owned);
            found.extend(
                list("resources")
                    .filter(is_definition)
                    .filter_map(|resource| Some((with_address(resource)?, &resource["values"]))),
            );
            modules.extend(list("child_modules"));
        }
    }
    // A raw state file has another format.
    for resource in document["resources"].as_array().into_iter().flatten() {
        if resource["type"] != TASK_DEFINITION || resource["mode"] == "data" {
            continue;
        }
        for instance in resource["instances"].as_array().into_iter().flatten() {
            let mut address = format!("{TASK_DEFINITION}.{}", super::text_of(&resource["name"]));
            if let Some(module) = resource["module"].as_str() {
                address = format!("{module}.{address}");
            }
            match &instance["index_key"] {
                Value::Null => {}
                key => address = format!("{address}[{key}]"),
            }
            found.push((address, &instance["attributes"]));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

/// Returns the Region in the configuration of the AWS provider, possibly that of a variable.
pub(super) fn provider_region(document: &Value) -> Option<&str> {
    let provider = &document["configuration"]["provider_config"]["aws"];
    let region = &provider["expressions"]["region"];
    let variable = || {
        let references = region["references"].as_array()?;
        let mut names = references.iter().filter_map(Value::as_str);
        let name = names.find_map(|name| name.strip_prefix("var."))?;
        document["variables"][name]["value"].as_str()
    };
    region["constant_value"].as_str().or_else(variable)
}

/// Returns a task definition with the member names of ECS's API. Values that are known only after
/// apply are open.
///
/// # Errors
///
/// Fails if the containers are known only after apply, or if they cannot be read.
pub(super) fn definition(document: &Value, address: &str) -> Result<Value, InvalidTemplate> {
    let values = resources(document)
        .into_iter()
        .find(|(known, _)| known == address)
        .map_or(&Value::Null, |(_, values)| values);
    let unknown = unknown_after_plan(document, address);
    let containers = match &values["container_definitions"] {
        Value::String(text) => lenient::parse(text).map_err(|problem| {
            InvalidTemplate::Unreadable(format!(
                "container_definitions of {address}: {}",
                problem.in_text(text)
            ))
        })?,
        Value::Array(containers) => Value::Array(containers.clone()),
        _ => {
            let depends = references(document, address);
            let depends = match depends.as_slice() {
                [] => String::new(),
                names => format!(", because it depends on {}", names.join(", ")),
            };
            return Err(InvalidTemplate::Unreadable(format!(
                "container_definitions of {address} is known only after apply{depends}. Apply that first (`terraform \
                 apply -target=…`) and plan again, or pass `terraform show -json` of the state"
            )));
        }
    };
    let mut definition = Map::new();
    definition.insert("containerDefinitions".into(), containers);
    let names = [
        ("family", "family"),
        ("execution_role_arn", "executionRoleArn"),
        ("task_role_arn", "taskRoleArn"),
        ("network_mode", "networkMode"),
        ("cpu", "cpu"),
        ("memory", "memory"),
        ("pid_mode", "pidMode"),
        ("ipc_mode", "ipcMode"),
        ("requires_compatibilities", "requiresCompatibilities"),
        ("arn", "taskDefinitionArn"),
    ];
    for (theirs, ours) in names {
        let value = match &values[theirs] {
            Value::Null if unknown[theirs] == true => after_apply(address, theirs),
            Value::String(text) if text.is_empty() => continue,
            Value::Null => continue,
            value => value.clone(),
        };
        // A plan does not contain the ARNs of resources that it creates.
        if ours != "taskDefinitionArn" || value.as_str().is_some_and(|arn| arn.starts_with("arn:"))
        {
            definition.insert(ours.into(), value);
        }
    }
    if let Some(platform) = block(&values["runtime_platform"]) {
        let platform = camel_case(platform, &Value::Null, address);
        definition.insert("runtimePlatform".into(), platform);
    }
    let volumes = values["volume"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let volumes = volumes.iter().enumerate().map(|(n, volume)| {
        let unknown = &unknown["volume"][n];
        let mut volume = camel_case(volume, unknown, address);
        if let Some(members) = volume.as_object_mut() {
            members.remove("hostPath");
        }
        volume
    });
    definition.insert("volumes".into(), volumes.collect());
    Ok(Value::Object(definition))
}

fn after_apply(address: &str, attribute: &str) -> Value {
    open_value(
        &format!("{address}.{attribute}"),
        "known only after apply; then pass the output of `terraform show -json` for the state",
    )
}

/// Returns which values of a resource are known only after apply.
fn unknown_after_plan<'a>(document: &'a Value, address: &str) -> &'a Value {
    let changes = document["resource_changes"].as_array();
    let mut changes = changes.into_iter().flatten();
    let change = changes.find(|change| change["address"] == address);
    change.map_or(&Value::Null, |change| &change["change"]["after_unknown"])
}

/// Returns the references in `container_definitions`, as written in the configuration.
fn references(document: &Value, address: &str) -> Vec<String> {
    let name = address.rsplit('.').next().unwrap_or(address);
    let name = name.split('[').next().unwrap_or(name);
    let mut modules = vec![&document["configuration"]["root_module"]];
    while let Some(module) = modules.pop() {
        for resource in module["resources"].as_array().into_iter().flatten() {
            if resource["type"] == TASK_DEFINITION && resource["name"] == name {
                let expression = &resource["expressions"]["container_definitions"];
                let references = expression["references"].as_array();
                let names = references.into_iter().flatten().filter_map(Value::as_str);
                return names.take(5).map(str::to_owned).collect();
            }
        }
        let calls = module["module_calls"].as_object();
        modules.extend(calls.into_iter().flatten().map(|(_, call)| &call["module"]));
    }
    Vec::new()
}

/// Returns a block that occurs at most once and is a list in the JSON.
fn block(value: &Value) -> Option<&Value> {
    match value {
        Value::Array(blocks) => blocks.first(),
        Value::Object(_) => Some(value),
        _ => None,
    }
}

/// Returns a block with ECS's names: `efs_volume_configuration` becomes `efsVolumeConfiguration`.
/// Blocks in it occur at most once.
fn camel_case(value: &Value, unknown: &Value, address: &str) -> Value {
    let Value::Object(members) = value else {
        return value.clone();
    };
    let mut renamed = Map::new();
    let names = members.keys().chain(
        unknown
            .as_object()
            .into_iter()
            .flat_map(|unknown| unknown.keys()),
    );
    for name in names {
        let value = match (members.get(name), &unknown[name]) {
            (None | Some(Value::Null), Value::Bool(true)) => after_apply(address, name),
            (None | Some(Value::Null), _) => continue,
            (Some(Value::String(text)), _) if text.is_empty() => continue,
            (Some(Value::Array(blocks)), unknown) => match blocks.first() {
                Some(block @ Value::Object(_)) => camel_case(block, &unknown[0], address),
                Some(_) => Value::Array(blocks.clone()),
                None => continue,
            },
            // Maps keep their names, which are the user's.
            (Some(value), _) => value.clone(),
        };
        renamed.insert(api_name(name), value);
    }
    Value::Object(renamed)
}

fn api_name(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut name, word| {
        let mut chars = word.chars();
        name.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        name.push_str(chars.as_str());
        name
    })
}
