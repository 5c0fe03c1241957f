//! Reports from a log group.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::command::Error;
use crate::command::signals::Signals;
use crate::compare::Comparison;
use crate::operator::aws::{self, Api, Client};
use crate::report;

/// Events of a page. CloudWatch Logs itself ends a page at 1 MB, which is some forty reports.
const PAGE: usize = 1_000;

/// Rows of a query. A report has some 30 KB, so that an answer has half of what a call may return;
/// where they are longer, fewer are asked for. A hundred of the longest fit.
const ROWS: usize = 1_000;
const FEWEST_ROWS: usize = 100;

/// Between two looks at a query. Insights wants up to 15 minutes for one (CloudWatch Logs quotas).
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_QUERY: Duration = Duration::from_mins(15);

/// For stopping a query that nobody waits for any more.
const STOPPING: Duration = Duration::from_secs(10);

/// Which events are wanted.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The log group.
    pub group: &'a str,
    /// From here.
    pub start: Timestamp,
    /// Until here.
    pub end: Timestamp,
    /// Where the log group is looked for.
    pub region: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    events: Vec<Event>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    message: String,
}

/// `FilterLogEvents`, page by page.
pub async fn filter(
    client: &Client,
    wanted: &Wanted<'_>,
    comparison: &mut Comparison,
) -> Result<(), Error> {
    let mut token: Option<String> = None;
    loop {
        let mut input = json!({
            "logGroupName": wanted.group,
            "startTime": wanted.start.as_millisecond(),
            "endTime": wanted.end.as_millisecond(),
            "filterPattern": format!("\"{}\"", report::SCHEMA),
            "limit": PAGE,
        });
        if let Some(token) = &token {
            input["nextToken"] = json!(token);
        }
        let page: Page = client
            .json(Api::LOGS, "FilterLogEvents", &input)
            .await
            .map_err(|error| explain(wanted, &error))?;
        for event in &page.events {
            comparison.add_text(&event.message, wanted.group);
        }
        // A page may be empty and not the last. A token that comes back would never end.
        match page.next_token {
            Some(next) if Some(&next) != token.as_ref() => token = Some(next),
            _ => return Ok(()),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    query_id: String,
}

#[derive(Deserialize)]
struct Results {
    #[serde(default)]
    results: Vec<Vec<Field>>,
    status: String,
}

#[derive(Deserialize)]
struct Field {
    #[serde(default)]
    field: String,
    #[serde(default)]
    value: String,
}

/// CloudWatch Logs Insights, the newest first. A query returns no more rows than it is asked for,
/// so the next one ends where the last row of this one lies, and reaches back only as far as that
/// many rows should: each is billed by what lies in its range. Every query ends earlier than the
/// one before, so that there is a last one.
pub async fn query(
    client: &Client,
    wanted: &Wanted<'_>,
    comparison: &mut Comparison,
) -> Result<(), Error> {
    let start = wanted.start.as_second();
    let mut end = wanted.end.as_second();
    let (mut reach, mut limit) = (end - start, ROWS);
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut signals = Signals::listen()
        .map_err(|error| Error::Tool(format!("signals cannot be listened to: {error}")))?;
    loop {
        let from = start.max(end - reach.max(1));
        let rows = match rows(client, wanted, (from, end), limit, &mut signals).await {
            Err(Unread::TooLong) if limit > FEWEST_ROWS => {
                limit /= 2;
                continue;
            }
            Err(Unread::TooLong) => {
                return Err(Error::Tool(format!(
                    "{}: {limit} rows are too long",
                    wanted.group
                )));
            }
            Err(Unread::Other(error)) => return Err(error),
            Ok(rows) => rows,
        };
        let of = |row: &[Field], name: &str| {
            row.iter()
                .find(|field| field.field == name)
                .map(|field| field.value.clone())
        };
        let mut pointers = BTreeSet::new();
        let mut oldest = end;
        for row in &rows {
            oldest = of(row, "@timestamp")
                .and_then(|time| second(&time))
                .map_or(oldest, |time| oldest.min(time));
            // The ranges share a second.
            let pointer = of(row, "@ptr").unwrap_or_default();
            if !pointer.is_empty() && known.contains(&pointer) {
                continue;
            }
            pointers.insert(pointer);
            comparison.add_text(&of(row, "@message").unwrap_or_default(), wanted.group);
        }
        let full = rows.len() >= limit;
        let next = match (full, oldest < end) {
            (false, _) => from,
            (true, true) => oldest.max(from),
            (true, false) => {
                comparison.skip(&format!(
                    "more than {limit} reports in one second: not all of them were read"
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
        (end, known) = (next, pointers);
    }
}

/// Why a query gave no rows.
enum Unread {
    /// Fewer would fit an answer.
    TooLong,
    /// Nothing more can be done.
    Other(Error),
}

async fn rows(
    client: &Client,
    wanted: &Wanted<'_>,
    (start, end): (i64, i64),
    limit: usize,
    signals: &mut Signals,
) -> Result<Vec<Vec<Field>>, Unread> {
    let query = format!(
        "fields @timestamp, @message | filter @message like \"{}\" | sort @timestamp desc | limit {limit}",
        report::SCHEMA
    );
    let input = json!({ "logGroupName": wanted.group, "startTime": start, "endTime": end, "queryString": query });
    let wrong = |error: &aws::Error| Unread::Other(explain(wanted, error));
    // A signal is remembered meanwhile: a query that was started has to be known to be stopped.
    let Started { query_id } = client
        .json(Api::LOGS, "StartQuery", &input)
        .await
        .map_err(|error| wrong(&error))?;
    let gone = tokio::select! {
        answer = tokio::time::timeout(LONGEST_QUERY, finished(client, &query_id)) => match answer {
            Ok(Ok(Results { status, results })) if status == "Complete" => return Ok(results),
            // It has ended, so there is nothing to stop.
            Ok(Ok(Results { status, .. })) => return Err(Unread::Other(Error::Tool(format!(
                "the query of {} ended as {status}: ask for less time with --since, or leave --insights out",
                wanted.group
            )))),
            Ok(Err(error)) if error.is_too_long() => return Err(Unread::TooLong),
            Ok(Err(error)) => explain(wanted, &error).to_string(),
            Err(_) => "it takes longer than CloudWatch Logs lets any: ask for less time with --since".to_owned(),
        },
        _ = signals.next() => "interrupted".to_owned(),
    };
    let stopping = client.with_tries(2);
    let input = json!({ "queryId": query_id });
    let stop = stopping.json::<serde_json::Value>(Api::LOGS, "StopQuery", &input);
    let stopped = match tokio::time::timeout(STOPPING, stop).await {
        Ok(Ok(_)) => "it was stopped".to_owned(),
        Ok(Err(error)) => {
            format!("it may still run: aws logs stop-query --query-id {query_id} ({error})")
        }
        Err(_) => format!("it may still run: aws logs stop-query --query-id {query_id}"),
    };
    Err(Unread::Other(Error::Tool(format!(
        "the query of {}: {gone}; {stopped}",
        wanted.group
    ))))
}

/// The query's answer, once it has one.
async fn finished(client: &Client, query_id: &str) -> Result<Results, aws::Error> {
    loop {
        let answer: Results = client
            .json(
                Api::LOGS,
                "GetQueryResults",
                &json!({ "queryId": query_id }),
            )
            .await?;
        if !matches!(answer.status.as_str(), "Scheduled" | "Running" | "Unknown") {
            return Ok(answer);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// `2026-11-24 10:48:04.102`, UTC; milliseconds since 1970 from some that stand in for it.
fn second(time: &str) -> Option<i64> {
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

fn explain(wanted: &Wanted<'_>, error: &aws::Error) -> Error {
    if error.code() == "ResourceNotFoundException" {
        return Error::Usage(format!(
            "--log-group {}: there is no such log group in {} in this account: name its region with --region; \
             aws logs describe-log-groups lists those that there are",
            wanted.group, wanted.region
        ));
    }
    Error::Tool(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_insights_are_utc() {
        assert_eq!(second("1970-01-01 00:01:00.500"), Some(60));
        assert_eq!(second("60500"), Some(60));
        assert_eq!(second("soon"), None);
    }
}
