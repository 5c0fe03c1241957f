//! Reads reports from a CloudWatch Logs log group.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::command::Error;
use crate::compare::ComparisonBuilder;
use crate::operator::aws::{Api, CallError, Client};
use crate::operator::log_insights::{
    self, InsightsQuery, QueryResults, ResultField, field, is_refused_for_class,
};
use crate::os::Signals;
use crate::report;

/// Maximum number of events of a page of `FilterLogEvents`. CloudWatch Logs also ends a page at 1
/// MB, which is about forty reports.
const PAGE_EVENTS: usize = 1_000;

/// Maximum and minimum number of rows of an Insights query. A report has about 30 KB, so the
/// maximum is half of what a response may hold; where reports are longer, fewer rows are requested.
/// A hundred of the longest fit.
const MAX_ROWS: usize = 1_000;
const MIN_ROWS: usize = 100;

/// CloudWatch Logs ends a query after 15 minutes (CloudWatch Logs quotas, "Query timeout").
const QUERY_TIMEOUT: Duration = Duration::from_mins(15);

/// Time limit for stopping a query whose result is no longer needed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Which log events to read.
#[derive(Debug, Clone)]
pub struct LogQuery<'a> {
    /// Name of the log group.
    pub group: &'a str,
    /// Start of the time range.
    pub start: Timestamp,
    /// End of the time range.
    pub end: Timestamp,
    /// Region of the log group.
    pub region: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FilterLogEventsPage {
    #[serde(default)]
    events: Vec<LogEvent>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct LogEvent {
    #[serde(default)]
    message: String,
}

/// Reads a log group with `FilterLogEvents`, page by page, or with a query where CloudWatch Logs
/// refuses that for the class of the log group.
pub async fn read_with_filter(
    client: &Client,
    query: &LogQuery<'_>,
    builder: &mut ComparisonBuilder,
) -> Result<(), Error> {
    let mut token: Option<String> = None;
    loop {
        let mut input = json!({
            "logGroupName": query.group,
            "startTime": query.start.as_millisecond(),
            "endTime": query.end.as_millisecond(),
            "filterPattern": format!("\"{}\"", report::SCHEMA),
            "limit": PAGE_EVENTS,
        });
        if let Some(token) = &token {
            input["nextToken"] = json!(token);
        }
        let page: FilterLogEventsPage = match client
            .json(Api::LOGS, "FilterLogEvents", &input)
            .await
        {
            Ok(page) => page,
            Err(error) if is_refused_for_class(&error) => {
                crate::command::note(&format!(
                    "{error}. Log group {} is read with CloudWatch Logs Insights instead, as with \
                         --insights; AWS bills the data that a query scans",
                    query.group
                ));
                return read_with_insights(client, query, builder).await;
            }
            Err(error) => return Err(describe(query, &error)),
        };
        for event in &page.events {
            builder.add_text(&event.message, query.group);
        }
        // An empty page need not be the last. A token that is repeated would never end.
        match page.next_token {
            Some(next) if Some(&next) != token.as_ref() => token = Some(next),
            _ => return Ok(()),
        }
    }
}

/// Reads a log group with CloudWatch Logs Insights, the newest reports first. A query returns at
/// most the requested number of rows, so the next one ends at the last row of this one. It reaches
/// back only as far as that many rows should, because AWS bills the data in the range of each
/// query. Every query ends earlier than the one before, so there is a last one.
pub async fn read_with_insights(
    client: &Client,
    query: &LogQuery<'_>,
    builder: &mut ComparisonBuilder,
) -> Result<(), Error> {
    let start = query.start.as_second();
    let mut end = query.end.as_second();
    let (mut reach, mut limit) = (end - start, MAX_ROWS);
    let mut known_pointers: BTreeSet<String> = BTreeSet::new();
    let mut signals = Signals::listen()
        .map_err(|error| Error::Tool(format!("cannot install signal handlers: {error}")))?;
    loop {
        let from = start.max(end - reach.max(1));
        let rows = match run_query(client, query, (from, end), limit, &mut signals).await {
            Err(QueryError::ResponseTooLarge) if limit > MIN_ROWS => {
                limit /= 2;
                continue;
            }
            Err(QueryError::ResponseTooLarge) => {
                return Err(Error::Tool(format!(
                    "log group {}: the response is too large even with {limit} rows",
                    query.group
                )));
            }
            Err(QueryError::Other(error)) => return Err(error),
            Ok(rows) => rows,
        };
        let mut pointers = BTreeSet::new();
        let mut oldest = end;
        for row in &rows {
            oldest = field(row, "@timestamp")
                .and_then(unix_second)
                .map_or(oldest, |time| oldest.min(time));
            // Successive ranges share a second. Without a pointer a row counts as new: duplicate
            // reports are recognized anyway.
            let pointer = field(row, "@ptr").unwrap_or_default();
            if !pointer.is_empty() && known_pointers.contains(pointer) {
                continue;
            }
            pointers.insert(pointer.to_owned());
            builder.add_text(field(row, "@message").unwrap_or_default(), query.group);
        }
        let full = rows.len() >= limit;
        let next = match (full, oldest < end) {
            (false, _) => from,
            (true, true) => oldest.max(from),
            (true, false) => {
                builder.skip(&format!(
                    "more than {limit} reports in one second; not all of them were read"
                ));
                end - 1
            }
        };
        if next < start || (next == start && !full) || end <= start {
            return Ok(());
        }
        reach = if full {
            end - next
        } else {
            reach.saturating_mul(2)
        };
        (end, known_pointers) = (next, pointers);
    }
}

/// Why a query returned no rows.
enum QueryError {
    /// Fewer rows would fit a response.
    ResponseTooLarge,
    /// A smaller query would not help.
    Other(Error),
}

async fn run_query(
    client: &Client,
    query: &LogQuery<'_>,
    (start, end): (i64, i64),
    limit: usize,
    signals: &mut Signals,
) -> Result<Vec<Vec<ResultField>>, QueryError> {
    let text = format!(
        "fields @timestamp, @message | filter @message like \"{}\" | sort @timestamp desc | limit {limit}",
        report::SCHEMA
    );
    let insights = InsightsQuery {
        log_group: query.group,
        start,
        end,
        text,
    };
    let failed = |error: &CallError| QueryError::Other(describe(query, error));
    // A signal during this call waits: a query can be stopped only once its ID is known.
    let query_id = log_insights::start(client, &insights)
        .await
        .map_err(|error| failed(&error))?;
    let reason = tokio::select! {
        output = tokio::time::timeout(QUERY_TIMEOUT, log_insights::poll(client, &query_id)) => match output {
            Ok(Ok(QueryResults { status, results })) if status == "Complete" => return Ok(results),
            // The query has ended, so there is nothing to stop.
            Ok(Ok(QueryResults { status, .. })) => return Err(QueryError::Other(Error::Tool(format!(
                "the query of log group {} ended with status {status}; narrow it with --since, or omit --insights",
                query.group
            )))),
            Ok(Err(error)) if error.is_too_large() => return Err(QueryError::ResponseTooLarge),
            Ok(Err(error)) => describe(query, &error).to_string(),
            Err(_) => "exceeds the CloudWatch Logs Insights time limit; narrow it with --since".to_owned(),
        },
        _ = signals.next() => "interrupted".to_owned(),
    };
    let stopping = client.with_max_attempts(2);
    let input = json!({ "queryId": query_id });
    let stop = stopping.json::<serde_json::Value>(Api::LOGS, "StopQuery", &input);
    let stopped = match tokio::time::timeout(STOP_TIMEOUT, stop).await {
        Ok(Ok(_)) => "it was stopped".to_owned(),
        Ok(Err(error)) => {
            format!("it may still run: aws logs stop-query --query-id {query_id} ({error})")
        }
        Err(_) => format!("it may still run: aws logs stop-query --query-id {query_id}"),
    };
    Err(QueryError::Other(Error::Tool(format!(
        "the query of log group {}: {reason}; {stopped}",
        query.group
    ))))
}

/// Reads a timestamp of Insights, `2026-11-24 10:48:04.102` in UTC. Emulators of CloudWatch Logs
/// return milliseconds since 1970 instead.
fn unix_second(time: &str) -> Option<i64> {
    let millis = time
        .parse::<i64>()
        .ok()
        .map(|millis| millis.div_euclid(1_000));
    millis.or_else(|| {
        format!("{}Z", time.trim())
            .parse::<Timestamp>()
            .ok()
            .map(Timestamp::as_second)
    })
}

fn describe(query: &LogQuery<'_>, error: &CallError) -> Error {
    if error.code() == "ResourceNotFoundException" {
        return Error::Usage(format!(
            "--log-group {}: no such log group in {} in this account; set its Region with --region, or list the \
             log groups with `aws logs describe-log-groups`",
            query.group, query.region
        ));
    }
    match error {
        CallError::Setup(text) => Error::Usage(text.clone()),
        error => Error::Tool(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insights_timestamps_are_utc() {
        assert_eq!(unix_second("1970-01-01 00:01:00.500"), Some(60));
        assert_eq!(unix_second("60500"), Some(60));
        assert_eq!(unix_second("soon"), None);
    }
}
