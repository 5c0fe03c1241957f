//! Reports from a log group.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::command::Error;
use crate::compare::Comparison;
use crate::operator::aws::{self, Api, Client};
use crate::report;

/// Events of a page. CloudWatch Logs itself ends a page at 1 MB, which is some forty reports.
const PAGE: usize = 1_000;

/// Rows of a query. With the longest reports an answer is then a third of what a call may return.
const ROWS: usize = 1_000;

/// Between two looks at a query. Insights wants up to 15 minutes for one (CloudWatch Logs quotas).
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_QUERY: Duration = Duration::from_mins(15);

/// Which events are wanted.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The log group.
    pub group: &'a str,
    /// From here.
    pub start: Timestamp,
    /// Until here.
    pub end: Timestamp,
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
pub async fn filter(client: &Client, wanted: &Wanted<'_>, comparison: &mut Comparison) -> Result<(), Error> {
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
        let page: Page =
            client.json(Api::LOGS, "FilterLogEvents", &input).await.map_err(|error| explain(wanted, &error))?;
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

/// CloudWatch Logs Insights, the newest first. A query returns no more rows than it is asked for, so the next one ends
/// where the last row of this one lies.
pub async fn query(client: &Client, wanted: &Wanted<'_>, comparison: &mut Comparison) -> Result<(), Error> {
    let start = wanted.start.as_second();
    let mut end = wanted.end.as_second();
    let mut known: BTreeSet<String> = BTreeSet::new();
    loop {
        let rows = rows(client, wanted, (start, end)).await?;
        let of =
            |row: &[Field], name: &str| row.iter().find(|field| field.field == name).map(|field| field.value.clone());
        let mut pointers = BTreeSet::new();
        let mut oldest = end;
        for row in &rows {
            oldest = of(row, "@timestamp").and_then(|time| second(&time)).map_or(oldest, |time| oldest.min(time));
            // The ranges share a second.
            let pointer = of(row, "@ptr").unwrap_or_default();
            if !pointer.is_empty() && known.contains(&pointer) {
                continue;
            }
            pointers.insert(pointer);
            comparison.add_text(&of(row, "@message").unwrap_or_default(), wanted.group);
        }
        if rows.len() < ROWS || oldest < start {
            return Ok(());
        }
        if oldest == end {
            comparison.skip(&format!("more than {ROWS} reports in one second: not all of them were read"));
        }
        end = if oldest == end { end - 1 } else { oldest };
        known = pointers;
    }
}

async fn rows(client: &Client, wanted: &Wanted<'_>, (start, end): (i64, i64)) -> Result<Vec<Vec<Field>>, Error> {
    let query = format!(
        "fields @timestamp, @message | filter @message like \"{}\" | sort @timestamp desc | limit {ROWS}",
        report::SCHEMA
    );
    let input = json!({ "logGroupName": wanted.group, "startTime": start, "endTime": end, "queryString": query });
    let wrong = |error: aws::Error| explain(wanted, &error);
    let Started { query_id } = client.json(Api::LOGS, "StartQuery", &input).await.map_err(wrong)?;
    let until = tokio::time::Instant::now() + LONGEST_QUERY;
    loop {
        let input = json!({ "queryId": query_id });
        let answer: Results = client.json(Api::LOGS, "GetQueryResults", &input).await.map_err(wrong)?;
        match answer.status.as_str() {
            "Complete" => return Ok(answer.results),
            "Scheduled" | "Running" | "Unknown" if tokio::time::Instant::now() < until => {
                tokio::time::sleep(PAUSE).await;
            }
            status => {
                return Err(Error::Tool(format!(
                    "the query of {} ended as {status}: ask for less time with --since, or leave --insights out",
                    wanted.group
                )));
            }
        }
    }
}

/// `2026-11-24 10:48:04.102`, UTC; milliseconds since 1970 from some that stand in for it.
fn second(time: &str) -> Option<i64> {
    let millis = time.parse::<i64>().ok().map(|millis| millis.div_euclid(1_000));
    millis.or_else(|| format!("{}Z", time.trim()).parse::<Timestamp>().ok().map(Timestamp::as_second))
}

fn explain(wanted: &Wanted<'_>, error: &aws::Error) -> Error {
    if error.code() == "ResourceNotFoundException" {
        return Error::Usage(format!(
            "--log-group {}: there is no such log group in this region and account; aws logs describe-log-groups lists them",
            wanted.group
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
