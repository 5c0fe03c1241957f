//! Finds reports in what log exporters wrap around them: a timestamp or stream name in front, text
//! in a member (`message`, `log`, `@message`, …), arrays of events.

use serde_json::Value;

use super::report_view::SCHEMA_PREFIX;

/// Maximum number of nested envelopes, such as a log event in a subscription message in a queue
/// record.
const MAX_NESTING: usize = 8;

/// Maximum number of brackets in one line of text at which a JSON value is looked for: a prefix may
/// contain brackets too, as in `[2026-11-24] {"schema": …`.
const MAX_VALUE_STARTS: usize = 8;

/// Passes every report in `text` to `on_report`. Returns how many log events were not reports, at
/// least 1 if there was no report at all.
pub fn find_reports(text: &str, on_report: &mut dyn FnMut(&str)) -> usize {
    let mut others = 0;
    let found = find_in_text(text, on_report, Some(&mut others), MAX_NESTING);
    if found == 0 { others.max(1) } else { others }
}

/// Returns how many reports were found.
fn find_in_text(
    text: &str,
    on_report: &mut dyn FnMut(&str),
    others: Option<&mut usize>,
    depth: usize,
) -> usize {
    if depth == 0 || !text.contains(SCHEMA_PREFIX) {
        return 0;
    }
    text.match_indices(['{', '['])
        .take(MAX_VALUE_STARTS)
        .filter_map(|(at, _)| first_value(&text[at..]))
        .find(contains_report)
        .map_or(0, |value| find_in_value(&value, on_report, others, depth))
}

/// Reads the JSON value at the start of `text`, whatever follows it.
fn first_value(text: &str) -> Option<Value> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    values.next().and_then(Result::ok)
}

fn contains_report(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().any(contains_report),
        Value::Array(items) => items.iter().any(contains_report),
        Value::String(text) => text.contains(SCHEMA_PREFIX),
        _ => false,
    }
}

/// Items without a report are counted in the outermost array only, which is the one of events.
fn find_in_value(
    value: &Value,
    on_report: &mut dyn FnMut(&str),
    mut others: Option<&mut usize>,
    depth: usize,
) -> usize {
    match value {
        Value::Object(members) => {
            let schema = members.get("schema").and_then(Value::as_str);
            if schema.is_some_and(|schema| schema.starts_with(SCHEMA_PREFIX)) {
                on_report(&value.to_string());
                return 1;
            }
            members
                .values()
                .map(|member| find_in_value(member, on_report, others.as_deref_mut(), depth))
                .sum()
        }
        Value::Array(items) => {
            let found: Vec<usize> = items
                .iter()
                .map(|item| find_in_value(item, on_report, None, depth))
                .collect();
            if let Some(others) = others {
                *others += found.iter().filter(|found| **found == 0).count();
            }
            found.iter().sum()
        }
        Value::String(text) => find_in_text(text, on_report, None, depth - 1),
        _ => 0,
    }
}
