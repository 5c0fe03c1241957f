//! Queries of CloudWatch Logs Insights: the only way to read a log group of the class
//! INFREQUENT_ACCESS, for which `GetLogEvents` and `FilterLogEvents` are refused.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::aws::{Api, CallError, Client};
use super::pause::pause;

/// Interval at which the state of a query is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// A query of one log group.
#[derive(Debug, Clone)]
pub struct InsightsQuery<'a> {
    pub log_group: &'a str,
    /// Seconds since 1970.
    pub start: i64,
    /// Seconds since 1970, included.
    pub end: i64,
    /// In the Logs Insights query language.
    pub text: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartQueryResponse {
    query_id: String,
}

/// Response of `GetQueryResults`.
#[derive(Debug, Deserialize)]
pub struct QueryResults {
    #[serde(default)]
    pub results: Vec<Vec<ResultField>>,
    pub status: String,
}

/// `ResultField`.
#[derive(Debug, Deserialize)]
pub struct ResultField {
    #[serde(default)]
    pub field: String,
    #[serde(default)]
    pub value: String,
}

/// Returns a field of a row.
pub fn field<'a>(row: &'a [ResultField], name: &str) -> Option<&'a str> {
    let field = row.iter().find(|field| field.field == name)?;
    Some(&field.value)
}

/// Starts a query and returns its ID.
pub async fn start(client: &Client, query: &InsightsQuery<'_>) -> Result<String, CallError> {
    let input = json!({ "logGroupName": query.log_group, "startTime": query.start, "endTime": query.end,
        "queryString": query.text });
    let response: StartQueryResponse = client.json(Api::LOGS, "StartQuery", &input).await?;
    Ok(response.query_id)
}

/// Polls a query until it has ended.
pub async fn poll(client: &Client, query_id: &str) -> Result<QueryResults, CallError> {
    let input = json!({ "queryId": query_id });
    loop {
        let output: QueryResults = client.json(Api::LOGS, "GetQueryResults", &input).await?;
        if !matches!(output.status.as_str(), "Scheduled" | "Running" | "Unknown") {
            return Ok(output);
        }
        pause(POLL_INTERVAL, "the query has not ended").await;
    }
}

/// Whether CloudWatch Logs refuses the call for the log group's class, so that only a query can
/// read it: `InvalidOperationException: … not supported for this log class`.
pub fn is_refused_for_class(error: &CallError) -> bool {
    error.code() == "InvalidOperationException"
}
