//! AwsCalls of the services that do not speak AWS JSON, shown in a dry run like the others.

use hyper::Method;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value, json};

use crate::operator::aws::{Api, Error, encode};
use crate::operator::dry_run::AwsCalls;

/// Subnets that are worked on at the same time. Scheduler takes hundreds of calls a second;
/// PutMetricAlarm as few as three (CloudWatch service quotas), which a handful of callers share by
/// the client's own pauses without giving up.
const AT_ONCE: usize = 8;

/// In a dry run requests are shown in the order in which they would be said.
pub fn at_once(calls: &AwsCalls) -> usize {
    if calls.is_dry() { 1 } else { AT_ONCE }
}

/// A call of EventBridge Scheduler. In a dry run what changes something is shown, and its answer is
/// `null`.
pub async fn scheduler(
    calls: &AwsCalls,
    operation: &str,
    (method, path): (Method, &str),
    body: Option<&Value>,
) -> Result<Value, Error> {
    let reads = method == Method::GET;
    calls.shown(
        Api::SCHEDULER,
        operation,
        &json!({ "method": method.as_str(), "path": path, "body": body }),
        reads,
    );
    if calls.is_dry() && !reads {
        return Ok(Value::Null);
    }
    calls
        .client()
        .rest(Api::SCHEDULER, operation, (method, path), body)
        .await
}

/// All pages of one of Scheduler's lists. `list` is the member that has them.
pub async fn pages(
    calls: &AwsCalls,
    operation: &str,
    path: &str,
    list: &str,
) -> Result<Vec<Value>, Error> {
    let mut found = Vec::new();
    let mut token = String::new();
    for _ in 0..MOST_PAGES {
        let page = scheduler(
            calls,
            operation,
            (Method::GET, &format!("{path}{token}")),
            None,
        )
        .await?;
        found.extend(page[list].as_array().cloned().unwrap_or_default());
        match page["NextToken"].as_str() {
            Some(next) => token = format!("&NextToken={}", encode(next)),
            None => return Ok(found),
        }
    }
    Err(Error::Setup(format!(
        "scheduler:{operation} has more than {MOST_PAGES} pages"
    )))
}

/// A hundred a page: far above the quotas for groups (500) and above what one group of ours has (a
/// subnet each).
const MOST_PAGES: usize = 100;

/// A call of CloudWatch that changes something. `input` is as the API's model has it.
pub async fn change_alarms(calls: &AwsCalls, action: &str, input: &Value) -> Result<(), Error> {
    let mut fields = Vec::new();
    flatten(&mut fields, "", input);
    show(calls, action, &fields, false);
    if calls.is_dry() {
        return Ok(());
    }
    calls
        .client()
        .query::<IgnoredAny>(Api::CLOUDWATCH, action, &fields)
        .await
        .map(|_| ())
}

/// As the Query protocol writes a structure: `Dimensions.member.1.Name` (Smithy, `awsQuery`).
fn flatten(fields: &mut Vec<(String, String)>, name: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            let dot = if name.is_empty() { "" } else { "." };
            members.iter().for_each(|(member, value)| {
                flatten(fields, &format!("{name}{dot}{member}"), value)
            });
        }
        Value::Array(items) => {
            (1..)
                .zip(items)
                .for_each(|(n, item)| flatten(fields, &format!("{name}.member.{n}"), item));
        }
        Value::String(text) => fields.push((name.to_owned(), text.clone())),
        other => fields.push((name.to_owned(), other.to_string())),
    }
}

fn show(calls: &AwsCalls, action: &str, fields: &[(String, String)], sent: bool) {
    let body: Map<String, Value> = fields
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    calls.shown(Api::CLOUDWATCH, action, &Value::Object(body), sent);
}

/// An alarm, as far as it is listed.
#[expect(clippy::struct_field_names, reason = "the API's names")]
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Alarm {
    /// Its whole name.
    pub alarm_name: String,
    /// `OK`, `ALARM`, `INSUFFICIENT_DATA`.
    #[serde(default)]
    pub state_value: String,
    /// Whether it tells anybody: `aws cloudwatch disable-alarm-actions` ends that.
    #[serde(default = "yes")]
    pub actions_enabled: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    describe_alarms_result: Alarms,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Alarms {
    #[serde(default)]
    metric_alarms: Members,
    next_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Members {
    #[serde(default)]
    member: Vec<Alarm>,
}

/// The alarms whose names begin so.
pub async fn alarms(calls: &AwsCalls, prefix: &str) -> Result<Vec<Alarm>, Error> {
    let mut found = Vec::new();
    let mut fields = vec![
        ("AlarmNamePrefix".to_owned(), prefix.to_owned()),
        ("MaxRecords".into(), "100".into()),
    ];
    for _ in 0..MOST_PAGES {
        show(calls, "DescribeAlarms", &fields, true);
        let page: Described = calls
            .client()
            .query(Api::CLOUDWATCH, "DescribeAlarms", &fields)
            .await?;
        found.extend(page.describe_alarms_result.metric_alarms.member);
        fields.truncate(2);
        match page.describe_alarms_result.next_token {
            Some(token) if !token.is_empty() => fields.push(("NextToken".into(), token)),
            _ => return Ok(found),
        }
    }
    Err(Error::Setup(format!(
        "cloudwatch:DescribeAlarms has more than {MOST_PAGES} pages"
    )))
}

/// A call of CloudWatch Logs whose answer has nothing in it.
pub async fn change_logs(calls: &AwsCalls, operation: &str, body: &Value) -> Result<(), Error> {
    calls
        .write::<Empty>(Api::LOGS, operation, body)
        .await
        .map(|_| ())
}

/// CloudWatch Logs answers with an empty body or an empty object.
#[derive(Deserialize)]
struct Empty {}

/// A call of CloudWatch Logs that reads.
pub async fn read_logs<A: DeserializeOwned>(
    calls: &AwsCalls,
    operation: &str,
    body: &Value,
) -> Result<A, Error> {
    calls.read(Api::LOGS, operation, body).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_structure_is_written_as_the_query_protocol_has_it() {
        let mut fields = Vec::new();
        let input = json!({ "A": "x", "D": [{ "Name": "n", "Value": 1 }, { "Name": "m" }], "L": ["y"], "On": true });
        flatten(&mut fields, "", &input);
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            fields,
            [
                "A=x",
                "D.member.1.Name=n",
                "D.member.1.Value=1",
                "D.member.2.Name=m",
                "L.member.1=y",
                "On=true"
            ]
        );
    }
}
