//! The comparison for a person at a terminal, in 80 columns: what differs, then a matrix with a
//! column for each sort of vantage.

use std::fmt::Write as _;

use super::text::{Paint, WIDTH, wrap};
use crate::compare::document::{Compared, Document};
use crate::compare::fact::{Kind, kind};
use crate::compare::group::{Group, groups};
use crate::verdict::Status;

/// Changes shown. The JSON has all.
const CHANGES: usize = 30;

/// Sorts of vantages shown in the matrix. The JSON has all.
const COLUMNS: usize = 24;

/// The comparison as text. `colour` adds ANSI colours; without them the marks alone carry the
/// meaning.
pub fn render(compared: &Compared, colour: bool) -> String {
    let (document, paint) = (&compared.document, Paint(colour));
    let groups = groups(document);
    let mut text = String::new();
    headline(&mut text, document, paint);
    legend(&mut text, &groups, paint);
    for columns in fitting(document, &groups[..groups.len().min(COLUMNS)]) {
        matrix(&mut text, document, columns, &groups, paint);
    }
    if let Some(more @ 1..) = groups.len().checked_sub(COLUMNS) {
        let _ = writeln!(
            text,
            "\n  and {more} more sorts of vantages: see --format html or json"
        );
    }
    let alike = (0..document.facts.len())
        .filter(|n| same_everywhere(&groups, *n))
        .count();
    if alike > 0 {
        let _ = writeln!(
            text,
            "\n  The other {alike} of {} steps pass everywhere alike.",
            document.facts.len()
        );
    }
    text.push_str("\n  ✓ works  ✗ fails  ! some addresses fail  – not reached  ? not checked\n");
    changes(&mut text, document, paint);
    read(&mut text, document);
    text
}

/// A status in a mark and a word.
pub(super) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Pass => "✓ pass",
        Status::Warn => "! warn",
        Status::Inconclusive => "? inconclusive",
        Status::Fail => "✗ fail",
    }
}

/// A value as a cell: a mark, and words where the mark does not say all.
pub(super) fn cell(value: Option<&str>) -> String {
    let Some(value) = value else {
        return "· not asked".into();
    };
    match kind(value) {
        Kind::Passed => match value
            .strip_prefix("passed (")
            .and_then(|rest| rest.strip_suffix(')'))
        {
            Some(place) => format!("✓ {place}"),
            None => "✓ passed".into(),
        },
        Kind::Failed => format!("✗ {value}"),
        Kind::Partly => format!("! {value}"),
        Kind::NotReached => "– not reached".into(),
        Kind::NotChecked => "? not checked".into(),
    }
}

fn painted(paint: Paint, text: &str) -> String {
    match text.chars().next() {
        Some('✓') => paint.good(text),
        Some('✗') => paint.bad(text),
        Some('!' | '?') => paint.odd(text),
        _ => text.to_owned(),
    }
}

fn headline(text: &mut String, document: &Document, paint: Paint) {
    let word = status_word(document.status).to_uppercase();
    let _ = writeln!(
        text,
        "{} {}\n",
        paint.bold(&painted(paint, &word)),
        document.summary
    );
    let _ = writeln!(text, "{}", wrap(&document.explanation, 2));
}

/// Names of one sort that the legend shows.
const NAMED: usize = 6;

fn legend(text: &mut String, groups: &[Group<'_>], paint: Paint) {
    text.push('\n');
    for group in groups.iter().take(COLUMNS) {
        let sure = group
            .confidence
            .map(|sure| format!(" ({sure})"))
            .unwrap_or_default();
        let cause = group
            .cause
            .map(|cause| format!("  {cause}{sure}"))
            .unwrap_or_default();
        let count = if group.names.len() > 1 {
            format!("  {} vantages", group.names.len())
        } else {
            String::new()
        };
        let word = painted(paint, status_word(group.status));
        let _ = writeln!(
            text,
            "  {}  {word}{cause}{count}",
            paint.bold(&group.letter)
        );
        for name in group.names.iter().take(NAMED) {
            let _ = writeln!(text, "       {name}");
        }
        if let Some(more @ 1..) = group.names.len().checked_sub(NAMED) {
            let _ = writeln!(text, "       and {more} more");
        }
    }
}

/// The columns that fit beside each other, block by block.
fn fitting<'a, 'g>(document: &Document, groups: &'g [Group<'a>]) -> Vec<&'g [Group<'a>]> {
    let (mut blocks, mut from, mut used) = (Vec::new(), 0, first_column(document));
    for (n, group) in groups.iter().enumerate() {
        let width = width(group) + 2;
        if used + width > WIDTH && n > from {
            blocks.push(&groups[from..n]);
            (from, used) = (n, first_column(document));
        }
        used += width;
    }
    if from < groups.len() {
        blocks.push(&groups[from..]);
    }
    blocks
}

/// A step that passes alike from every sort of vantage tells them not apart.
pub(super) fn same_everywhere(groups: &[Group<'_>], fact: usize) -> bool {
    let values: Vec<_> = groups
        .iter()
        .filter_map(|group| group.values.get(fact))
        .collect();
    let passed = |value: Option<&str>| value.is_some_and(|value| kind(value) == Kind::Passed);
    groups.len() > 1
        && values.iter().all(|value| passed(**value))
        && values.windows(2).all(|pair| pair[0] == pair[1])
}

fn first_column(document: &Document) -> usize {
    2 + document
        .facts
        .iter()
        .map(|fact| fact.fact.chars().count())
        .max()
        .unwrap_or_default()
}

fn width(group: &Group<'_>) -> usize {
    let cells = group
        .values
        .iter()
        .map(|value| cell(*value).chars().count());
    cells.chain([group.letter.len()]).max().unwrap_or_default()
}

fn matrix(
    text: &mut String,
    document: &Document,
    groups: &[Group<'_>],
    all: &[Group<'_>],
    paint: Paint,
) {
    let first = first_column(document) - 2;
    let heads: Vec<String> = groups
        .iter()
        .map(|group| format!("{:1$}", group.letter, width(group)))
        .collect();
    let _ = writeln!(
        text,
        "\n  {:first$}  {}",
        "",
        paint.bold(heads.join("  ").trim_end())
    );
    for (n, fact) in document
        .facts
        .iter()
        .enumerate()
        .filter(|(n, _)| !same_everywhere(all, *n))
    {
        let cells: Vec<String> = groups
            .iter()
            .map(|group| {
                painted(
                    paint,
                    &format!(
                        "{:1$}",
                        cell(group.values.get(n).copied().flatten()),
                        width(group)
                    ),
                )
            })
            .collect();
        let mark = document
            .first_difference
            .as_ref()
            .is_some_and(|difference| difference.fact == fact.fact);
        let mark = if mark { "▸ " } else { "  " };
        let _ = writeln!(
            text,
            "{mark}{:first$}  {}",
            fact.fact,
            cells.join("  ").trim_end()
        );
    }
}

fn changes(text: &mut String, document: &Document, paint: Paint) {
    if document.changes.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", paint.bold("What changed"));
    let mut vantage = "";
    for change in document.changes.iter().take(CHANGES) {
        if change.vantage != vantage {
            vantage = &change.vantage;
            let _ = writeln!(text, "\n  {vantage}");
        }
        let _ = writeln!(text, "{}", wrap(&format!("· {}", change.summary), 4));
    }
    if let Some(more @ 1..) = document.changes.len().checked_sub(CHANGES) {
        let _ = writeln!(text, "\n  and {more} more changes: see --format json");
    }
}

fn read(text: &mut String, document: &Document) {
    let _ = writeln!(text, "\n{}", wrap(&what_was_read(document), 0));
}

/// What the comparison rests on.
pub(super) fn what_was_read(document: &Document) -> String {
    let read = &document.read;
    let count = |n: u64, one: &str, many: &str| match n {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{n} {many}")),
    };
    let parts = [
        count(read.reports, "report compared", "reports compared"),
        count(
            read.duplicates,
            "of a run that was there already",
            "of runs that were there already",
        ),
        count(
            read.unreadable,
            "report that cannot be read",
            "reports that cannot be read",
        ),
        count(
            read.others,
            "line or event that is no report",
            "lines or events that are no report",
        ),
    ];
    format!(
        "Read: {}.",
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    )
}
