//! Names and types of a task definition's members, by the model of RegisterTaskDefinition in
//! botocore. `model.json` is written from it; a test compares the two.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::error::TaskDefinitionError;
use super::node::{Node, open_parts};

/// Types of the members of each structure. A name that ends in `!` is required; a type is a scalar,
/// the name of a structure, values separated by `|`, or one of these after `[` for a list or `{`
/// for a map.
type Model = BTreeMap<String, BTreeMap<String, String>>;

static MODEL: LazyLock<Model> =
    LazyLock::new(|| serde_json::from_str(include_str!("model.json")).unwrap_or_default());

/// What RegisterTaskDefinition takes.
const REQUEST: &str = "RegisterTaskDefinitionRequest";

/// What DescribeTaskDefinition returns: some members more, which are not checked.
const RESPONSE: &str = "TaskDefinition";

/// Members whose values are checked elsewhere: ECS adds operating systems every few years, and
/// which log drivers there are depends on the launch type.
const OPEN_VALUES: [&str; 2] = ["operatingSystemFamily", "logDriver"];

/// Returns every member that ECS would reject for its name, type or value, and every one that is
/// required and absent. A name that resembles no member is not an error: ECS ignores it.
pub(super) fn check(definition: &Node<'_>) -> Vec<TaskDefinitionError> {
    let mut errors = Vec::new();
    check_structure(definition, REQUEST, &mut errors);
    errors
}

fn check_structure(node: &Node<'_>, structure: &str, errors: &mut Vec<TaskDefinitionError>) {
    let Some(members) = node.value().as_object() else {
        errors.extend(node.mismatch("an object"));
        return;
    };
    let Some(model) = MODEL.get(structure) else {
        return;
    };
    let is_root = structure == REQUEST;
    for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        let member = node.child(name, value);
        let required = format!("{name}!");
        if let Some(kind) = model.get(name).or_else(|| model.get(&required)) {
            if !OPEN_VALUES.contains(&name.as_str()) {
                check_type(&member, kind, errors);
            }
            continue;
        }
        let is_described = MODEL
            .get(RESPONSE)
            .is_some_and(|model| model.contains_key(name));
        if is_root && is_described {
            continue;
        }
        let known = model.keys().map(|known| known.trim_end_matches('!'));
        // An image that is missing has been marked as open.
        let absent = known.filter(|known| members.get(*known).is_none_or(is_absent));
        if let Some(meant) = resembling(name, absent) {
            errors.push(member.error(format_args!(
                "ECS has no member of this name; did you mean {meant}?"
            )));
        }
    }
    let required = model.keys().filter_map(|name| name.strip_suffix('!'));
    // The rules of the whole definition report these.
    for name in required.filter(|_| !is_root) {
        if members.get(name).is_none_or(Value::is_null) {
            errors.push(node.error(format_args!("{name} is missing")));
        }
    }
}

/// Converts numbers to text and back as the types of the members ask for, as CloudFormation does
/// with the properties of a resource: `Cpu: 256` and `Cpu: "256"` are the same to it.
#[cfg(feature = "operator")]
pub fn convert_scalars(definition: &mut Value) {
    match definition {
        Value::Array(containers) => {
            for container in containers {
                convert(container, "ContainerDefinition");
            }
        }
        definition => convert(definition, REQUEST),
    }
}

#[cfg(feature = "operator")]
fn convert(value: &mut Value, kind: &str) {
    if open_parts(value).is_some() {
        return;
    }
    if let Some(kind) = kind.strip_prefix('[') {
        for element in value.as_array_mut().into_iter().flatten() {
            convert(element, kind);
        }
    } else if let Some(kind) = kind.strip_prefix('{') {
        for (_, entry) in value.as_object_mut().into_iter().flatten() {
            convert(entry, kind);
        }
    } else if let Some(model) = MODEL.get(kind) {
        for (name, member) in value.as_object_mut().into_iter().flatten() {
            if let Some(kind) = model.get(name).or_else(|| model.get(&format!("{name}!"))) {
                convert(member, kind);
            }
        }
    } else {
        let converted = match (kind, &*value) {
            ("integer", Value::String(text)) => text.parse::<i64>().ok().map(Value::from),
            ("boolean", Value::String(text)) => {
                text.to_ascii_lowercase().parse().ok().map(Value::Bool)
            }
            ("integer" | "boolean", _) => None,
            (_, Value::Number(number)) => Some(number.to_string().into()),
            (_, Value::Bool(flag)) => Some(flag.to_string().into()),
            _ => None,
        };
        if let Some(converted) = converted {
            *value = converted;
        }
    }
}

fn is_absent(value: &Value) -> bool {
    value.is_null() || open_parts(value).is_some()
}

fn check_type(node: &Node<'_>, kind: &str, errors: &mut Vec<TaskDefinitionError>) {
    let value = node.value();
    if let Some(kind) = kind.strip_prefix('[') {
        match value.as_array() {
            Some(elements) => {
                for (n, element) in elements.iter().enumerate() {
                    check_type(&node.element(n, element), kind, errors);
                }
            }
            None => errors.extend(node.mismatch("an array")),
        }
    } else if let Some(kind) = kind.strip_prefix('{') {
        match value.as_object() {
            Some(entries) => {
                for (name, entry) in entries.iter().filter(|(_, entry)| !entry.is_null()) {
                    check_type(&node.child(name, entry), kind, errors);
                }
            }
            None => errors.extend(node.mismatch("an object")),
        }
    } else if MODEL.contains_key(kind) {
        check_structure(node, kind, errors);
    } else {
        errors.extend(check_scalar(node, kind));
    }
}

fn check_scalar(node: &Node<'_>, kind: &str) -> Option<TaskDefinitionError> {
    let value = node.value();
    match kind {
        "integer" if value.is_i64() => None,
        "integer" => node.mismatch("a whole number"),
        "boolean" if value.is_boolean() => None,
        "boolean" => node.mismatch("true or false"),
        _ if !value.is_string() => node.mismatch("a string"),
        // The one value of an enumeration has no `|`, and no scalar has capital letters.
        values if values.contains('|') || !["string", "timestamp"].contains(&values) => {
            let values: Vec<_> = values.split('|').collect();
            node.text().ok()?;
            node.one_of(&values).err()
        }
        _ => None,
    }
}

/// Returns the known name that `name` is probably meant to be: it differs in capital letters,
/// hyphens and underscores only, or in a few letters.
fn resembling<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| -> Vec<char> {
        let letters = text.chars().filter(|c| !"-_ ".contains(*c));
        letters.flat_map(char::to_lowercase).collect()
    };
    let unknown = plain(name);
    // Longer than any member.
    if unknown.len() > 64 {
        return None;
    }
    // A third of a long name can be wrong; in a short one, a letter makes another word.
    let limit = match unknown.len() {
        0..=3 => 0,
        4..=7 => 1,
        8..=11 => 2,
        _ => 3,
    };
    known
        .map(|known| (distance(&unknown, &plain(known)), known))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, known)| known)
}

/// Returns the number of letters to insert, remove, replace or swap with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, letter) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in b.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(letter != other);
            let mut best = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *other && *letter == b[j - 1] {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_resemble_members_or_are_other_words() {
        let known = MODEL[REQUEST]
            .keys()
            .chain(MODEL["ContainerDefinition"].keys());
        let known: Vec<_> = known.map(|name| name.trim_end_matches('!')).collect();
        for (name, meant) in [
            ("executionRoleARN", Some("executionRoleArn")),
            ("execution_role_arn", Some("executionRoleArn")),
            ("secret", Some("secrets")),
            ("envrionment", Some("environment")),
            ("enviromentFiles", Some("environmentFiles")),
            ("logConfig", None),
            ("requiresCompatabilities", Some("requiresCompatibilities")),
            ("portMapping", Some("portMappings")),
            ("color", None),
            ("$schema", None),
            ("_comment", None),
            ("version", None),
        ] {
            assert_eq!(resembling(name, known.iter().copied()), meant, "{name}");
        }
    }
}
