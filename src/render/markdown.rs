//! The comparison for `$GITHUB_STEP_SUMMARY` and merge requests: what differs and a matrix, the
//! rest folded.

use std::fmt::Write as _;

use super::comparison::{cell, same_everywhere, status_word, what_was_read};
use crate::compare::document::{Compared, Document, by_value, listed};
use crate::compare::group::{Group, groups};
use crate::compare::report_view::Report;

/// GitHub shows no step summary above 1 MiB (GitHub Actions: "Adding a job summary"), and others
/// may have written to it before.
const LONGEST: usize = 900 * 1024;

/// Sorts of vantages in one table, and changes. The JSON has all.
const COLUMNS: usize = 12;
const CHANGES: usize = 100;

/// The Markdown.
pub fn render(compared: &Compared) -> String {
    let document = &compared.document;
    let groups = groups(document);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "## {} pullprobe: {}\n",
        mark(status_word(document.status)),
        inline(&document.summary)
    );
    let _ = writeln!(text, "{}\n", inline(&document.explanation));
    difference(&mut text, document);
    matrix(&mut text, document, &groups);
    let end = format!("{}\n", inline(&what_was_read(document)));
    let room = LONGEST - end.len();
    changes(&mut text, document);
    cut(&mut text, room);
    for group in &groups {
        let mut details = String::new();
        details_of(&mut details, compared, group);
        if text.len() + details.len() > room - 200 {
            text.push_str("The other vantages are left out to fit a step summary; `--format html` has all.\n\n");
            break;
        }
        text.push_str(&details);
    }
    text + &end
}

/// What comes before the details is some kilobytes, unless names are hostile.
fn cut(text: &mut String, room: usize) {
    if text.len() > room - 200 {
        let mut end = room / 2;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("\n\n…\n\n");
    }
}

/// The first character of a status word or cell.
fn mark(word: &str) -> &str {
    word.split(' ').next().unwrap_or_default()
}

/// Text that Markdown and HTML take as text.
fn inline(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let text = crate::redact::one_line(text);
    for (at, c) in text.char_indices() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '@' | '$' => {
                let _ = write!(safe, "&#{};", u32::from(c));
            }
            // A bare address would become a link.
            ':' if text[at..].starts_with("://") => safe.push_str("&#58;"),
            '.' if text[..at].ends_with("www") => safe.push_str("&#46;"),
            c => safe.push(c),
        }
    }
    safe
}

fn difference(text: &mut String, document: &Document) {
    let Some(difference) = &document.first_difference else {
        return;
    };
    let _ = writeln!(
        text,
        "| first difference | {} | where |\n| --- | --- | --- |",
        inline(&difference.fact)
    );
    for (side, values) in [
        ("passing", &difference.passing),
        ("failing", &difference.failing),
    ] {
        for (value, names) in by_value(values) {
            let _ = writeln!(
                text,
                "| {side} | {} | {} |",
                inline_cell(Some(value)),
                inline(&listed(&names))
            );
        }
    }
    text.push('\n');
}

fn inline_cell(value: Option<&str>) -> String {
    let cell = cell(value);
    let (mark, words) = cell.split_once(' ').unwrap_or((&cell, ""));
    // An exclamation mark alone is safe; before a bracket it would be an image.
    format!("{mark} {}", inline(words))
}

/// The steps that tell vantages apart, and the whole matrix folded.
fn matrix(text: &mut String, document: &Document, groups: &[Group<'_>]) {
    let all: Vec<usize> = (0..document.facts.len()).collect();
    let telling: Vec<usize> = all
        .iter()
        .copied()
        .filter(|n| !same_everywhere(groups, *n))
        .collect();
    table(text, document, groups, &telling);
    if telling.len() < all.len() {
        let _ = writeln!(
            text,
            "<details><summary>All {} steps</summary>\n",
            all.len()
        );
        table(text, document, groups, &all);
        text.push_str("</details>\n\n");
    }
    if let Some(more @ 1..) = groups.len().checked_sub(COLUMNS) {
        let _ = writeln!(
            text,
            "{more} more sorts of vantages are not in this table.\n"
        );
    }
}

fn table(text: &mut String, document: &Document, groups: &[Group<'_>], facts: &[usize]) {
    let shown = &groups[..groups.len().min(COLUMNS)];
    let heads: Vec<String> = shown
        .iter()
        .map(|group| format!("{} {}", group.letter, inline(&listed(&group.names))))
        .collect();
    let _ = writeln!(
        text,
        "| | {} |\n| --- |{}",
        heads.join(" | "),
        " --- |".repeat(shown.len())
    );
    let statuses = shown.iter().map(|group| {
        let cause = group
            .cause
            .map(|cause| format!(" {}", inline(cause)))
            .unwrap_or_default();
        format!("**{}**{cause}", status_word(group.status))
    });
    let _ = writeln!(
        text,
        "| verdict | {} |",
        statuses.collect::<Vec<_>>().join(" | ")
    );
    for (n, fact) in facts
        .iter()
        .filter_map(|n| Some((*n, document.facts.get(*n)?)))
    {
        let first = document
            .first_difference
            .as_ref()
            .is_some_and(|difference| difference.fact == fact.fact);
        let name = if first {
            format!("**{}** ◂", inline(&fact.fact))
        } else {
            inline(&fact.fact)
        };
        let cells = shown
            .iter()
            .map(|group| inline_cell(group.values.get(n).copied().flatten()));
        let _ = writeln!(
            text,
            "| {name} | {} |",
            cells.collect::<Vec<_>>().join(" | ")
        );
    }
    text.push('\n');
}

fn changes(text: &mut String, document: &Document) {
    if document.changes.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "<details><summary>What changed ({})</summary>\n",
        document.changes.len()
    );
    for change in document.changes.iter().take(CHANGES) {
        let _ = writeln!(
            text,
            "- {}: {}",
            inline(&change.vantage),
            inline(&change.summary)
        );
    }
    text.push_str("\n</details>\n\n");
}

fn details_of(text: &mut String, compared: &Compared, group: &Group<'_>) {
    let Some(report) = group
        .members
        .first()
        .and_then(|first| compared.report(*first))
    else {
        return;
    };
    if report.findings.is_empty() {
        return;
    }
    let whose = format!("{} {}", group.letter, listed(&group.names));
    let _ = writeln!(
        text,
        "<details><summary>{}: {}</summary>\n",
        inline(&whose),
        status_word(group.status)
    );
    let _ = writeln!(text, "{}\n", inline(&report.verdict.summary));
    findings(text, &report);
    text.push_str("</details>\n\n");
}

fn findings(text: &mut String, report: &Report<'_>) {
    for (n, finding) in report.findings.iter().enumerate() {
        let _ = writeln!(
            text,
            "{}. **{}** ({}): {} → {}",
            n + 1,
            inline(&finding.cause),
            inline(&finding.confidence),
            inline(&finding.summary),
            inline(&finding.remedy)
        );
    }
    text.push('\n');
}
