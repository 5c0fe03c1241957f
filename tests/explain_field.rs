//! Error texts in the form in which people publish them, labeled before `explain` was run on any of
//! them: family, step, dependency, the causes that may come first, and what must not appear.
//! docs/facts/message-corpus.md, section 5, describes them.
//!
//! Some texts want the commands `launch` and `explain --service`, which the image does not have.
#![cfg(feature = "operator")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot unwrap must stop, in its helpers as well"
)]

use pullprobe::cause::{Cause, Family};
use pullprobe::diagnose::Confidence;
use pullprobe::explain::{Explanation, Step, explain_input};
use pullprobe::observation::Dependency;
use pullprobe::render::explanation::render;
use pullprobe::render::style::Style;
use serde::Deserialize;

const FIELD: &str = include_str!("corpus/field.jsonl");

/// Texts with a label of their own.
const MIN_TEXTS: usize = 80;

/// A label. Empty `causes` allow any cause, and none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Labeled {
    message: String,
    step: Vec<Step>,
    family: Vec<Family>,
    causes: Vec<Cause>,
    dependency: Option<Dependency>,
    /// Parts of the output that would mislead.
    #[serde(default)]
    forbidden: Vec<String>,
    /// Parts of the output that the reader needs.
    #[serde(default)]
    wanted: Vec<String>,
    /// Whether the text leaves the cause open.
    #[serde(default)]
    never_certain: bool,
    #[serde(rename = "source")]
    _source: String,
}

fn labeled() -> Vec<Labeled> {
    FIELD
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Returns the explanation that decides the exit code.
fn explained(text: &str) -> Explanation {
    let all = explain_input(text);
    let known = all
        .iter()
        .find(|explanation| explanation.family != Family::Unknown);
    known.unwrap_or(&all[0]).clone()
}

impl Labeled {
    /// Returns what is wrong with the classification.
    fn wrong(&self, explained: &Explanation) -> Vec<String> {
        let mut wrong = Vec::new();
        if !self.step.contains(&explained.step) {
            wrong.push(format!("step {}", explained.step));
        }
        if !self.family.contains(&explained.family) {
            wrong.push(format!("family {}", explained.family));
        }
        let first = explained.findings.first().map(|finding| finding.cause);
        let is_named = match first {
            _ if self.causes.is_empty() => true,
            Some(first) => self.causes.contains(&first),
            None => explained.family == Family::Unknown,
        };
        if !is_named {
            wrong.push(format!("first cause {first:?}"));
        }
        if self.dependency.is_some() && self.dependency != explained.dependency {
            wrong.push(format!("dependency {:?}", explained.dependency));
        }
        wrong
    }

    /// Returns what would mislead a reader, or what the reader misses.
    fn misleading(&self, explained: &Explanation) -> Vec<String> {
        // The rendered text is wrapped; the message is the reader's own.
        let rendered = render(explained, Style::default());
        let text = rendered.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut misleading = Vec::new();
        for part in &self.forbidden {
            if text.contains(part.as_str()) {
                misleading.push(format!("says {part:?}"));
            }
        }
        for part in &self.wanted {
            if !text.contains(part.as_str()) {
                misleading.push(format!("does not say {part:?}"));
            }
        }
        let is_certain = |confidence| confidence == Confidence::Certain;
        let certain = explained
            .findings
            .iter()
            .filter(|finding| is_certain(finding.confidence));
        if certain.clone().count() > 0 && (self.never_certain || explained.findings.len() > 1) {
            misleading.push("is certain".to_owned());
        }
        misleading
    }
}

#[test]
fn explains_field_texts_without_misleading() {
    let labeled = labeled();
    let (mut wrong, mut misleading) = (0, 0);
    for label in &labeled {
        let explained = explained(&label.message);
        let (faults, doubts) = (label.wrong(&explained), label.misleading(&explained));
        wrong += usize::from(!faults.is_empty());
        misleading += usize::from(!doubts.is_empty());
        if !faults.is_empty() || !doubts.is_empty() {
            println!("{faults:?} {doubts:?}\n    {}", label.message);
        }
    }
    println!(
        "{} texts: {wrong} wrong, {misleading} misleading",
        labeled.len()
    );
    assert!(labeled.len() >= MIN_TEXTS);
    assert_eq!((wrong, misleading), (0, 0));
}
