//! `fleet`: targets of many accounts and Regions, each probed by a worker that assumes a role
//! there.
//!
//! ```text
//! targets ─▶ [`worker`] for each: [`role`] ─▶ launch ─▶ [`store`]: reports, comparison, result
//!                                                          │
//!            one comparison, page, summary, message ◀── [`reduce`]
//! ```
//!
//! `fleet run` does it on one machine. AWS Step Functions and AWS Lambda do it with the same code,
//! through [`event`] and the templates of [`mod@print`]. [`failed_start`] probes in place of a task
//! that did not start.

pub mod cost;
pub mod discover;
pub mod event;
pub mod failed_start;
pub mod print;
pub mod reduce;
pub mod role;
pub mod store;
pub mod target;
pub mod worker;

use super::aws::{Api, CallError, Client};

/// Publishes a message to a topic of Amazon SNS, in the topic's Region.
pub async fn publish(
    client: &Client,
    topic: &str,
    subject: &str,
    text: &str,
) -> Result<(), CallError> {
    let region = crate::operator::stopped::region_of(topic);
    let client = match region {
        Some(region) => client.in_region(region),
        None => client.clone(),
    };
    // A subject is printable ASCII (SNS API reference, Publish).
    let subject: String = subject
        .chars()
        .filter(|c| c.is_ascii_graphic() || *c == ' ')
        .take(MAX_SUBJECT)
        .collect();
    let text: String = text.chars().take(MAX_MESSAGE_CHARS).collect();
    let fields = [
        ("TopicArn".to_owned(), topic.to_owned()),
        ("Subject".to_owned(), subject),
        ("Message".to_owned(), text),
    ];
    client
        .query_xml(Api::SNS, "Publish", &fields)
        .await
        .map(drop)
}

/// Maximum number of characters of a subject and of a message, which has at most 256 KiB (SNS API
/// reference, Publish).
const MAX_SUBJECT: usize = 100;
const MAX_MESSAGE_CHARS: usize = 60_000;
