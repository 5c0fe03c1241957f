//! Calls of the services that do not speak AWS JSON, shown in a dry run like the others.

use hyper::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::operator::aws::{Api, Error, encode};
use crate::operator::calls::Calls;

/// A call of EventBridge Scheduler. In a dry run what changes something is shown, and its answer is `null`.
pub async fn scheduler(
    calls: &Calls,
    operation: &str,
    (method, path): (Method, &str),
    body: Option<&Value>,
) -> Result<Value, Error> {
    let reads = method == Method::GET;
    calls.shown(Api::SCHEDULER, operation, &json!({ "method": method.as_str(), "path": path, "body": body }), reads);
    if calls.is_dry() && !reads {
        return Ok(Value::Null);
    }
    calls.client().rest(Api::SCHEDULER, operation, (method, path), body).await
}

/// All pages of one of Scheduler's lists. `list` is the member that has them.
pub async fn pages(calls: &Calls, operation: &str, path: &str, list: &str) -> Result<Vec<Value>, Error> {
    let mut found = Vec::new();
    let mut token = String::new();
    for _ in 0..MOST_PAGES {
        let page = scheduler(calls, operation, (Method::GET, &format!("{path}{token}")), None).await?;
        found.extend(page[list].as_array().cloned().unwrap_or_default());
        match page["NextToken"].as_str() {
            Some(next) => token = format!("&NextToken={}", encode(next)),
            None => return Ok(found),
        }
    }
    Err(Error::Setup(format!("scheduler:{operation} has more than {MOST_PAGES} pages")))
}

/// A hundred a page: far above the quotas for groups (500) and above what one group of ours has (a subnet each).
const MOST_PAGES: usize = 100;

/// A call of CloudWatch that changes something.
pub async fn change_alarms(calls: &Calls, action: &str, fields: &[(String, String)]) -> Result<(), Error> {
    show(calls, action, fields, false);
    if calls.is_dry() {
        return Ok(());
    }
    calls.client().query::<serde::de::IgnoredAny>(Api::CLOUDWATCH, action, fields).await.map(|_| ())
}

fn show(calls: &Calls, action: &str, fields: &[(String, String)], sent: bool) {
    let body: Map<String, Value> = fields.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    calls.shown(Api::CLOUDWATCH, action, &Value::Object(body), sent);
}

/// An alarm, as far as it is listed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Alarm {
    /// Its whole name.
    pub alarm_name: String,
    /// `OK`, `ALARM`, `INSUFFICIENT_DATA`.
    #[serde(default)]
    pub state_value: String,
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
pub async fn alarms(calls: &Calls, prefix: &str) -> Result<Vec<Alarm>, Error> {
    let mut found = Vec::new();
    let mut fields = vec![("AlarmNamePrefix".to_owned(), prefix.to_owned()), ("MaxRecords".into(), "100".into())];
    for _ in 0..MOST_PAGES {
        show(calls, "DescribeAlarms", &fields, true);
        let page: Described = calls.client().query(Api::CLOUDWATCH, "DescribeAlarms", &fields).await?;
        found.extend(page.describe_alarms_result.metric_alarms.member);
        fields.truncate(2);
        match page.describe_alarms_result.next_token {
            Some(token) if !token.is_empty() => fields.push(("NextToken".into(), token)),
            _ => return Ok(found),
        }
    }
    Err(Error::Setup(format!("cloudwatch:DescribeAlarms has more than {MOST_PAGES} pages")))
}

/// A call of CloudWatch Logs whose answer has nothing in it.
pub async fn change_logs(calls: &Calls, operation: &str, body: &Value) -> Result<(), Error> {
    calls.write::<Empty>(Api::LOGS, operation, body).await.map(|_| ())
}

/// CloudWatch Logs answers with an empty body or an empty object.
#[derive(Deserialize)]
struct Empty {}

/// A call of CloudWatch Logs that reads.
pub async fn read_logs<A: DeserializeOwned>(calls: &Calls, operation: &str, body: &Value) -> Result<A, Error> {
    calls.read(Api::LOGS, operation, body).await
}
