//! The comparison as Markdown for `$GITHUB_STEP_SUMMARY` and merge requests: the sentence and the
//! remedy, what differs and a matrix; the rest folded.

use std::fmt::Write as _;

use super::comparison::{Cell, differing_facts, input_counts, is_first_difference};
use super::result::{self, MAX_FIXES, MAX_RESULTS, shown};
use super::style::{status_mark, status_word};
use crate::compare::ComparisonOutput;
use crate::compare::comparison::Comparison;
use crate::compare::report_view::ReportView;
use crate::compare::summary::{list_names, names_by_value};
use crate::compare::vantage_group::{VantageGroup, group_vantages};

/// GitHub does not show a step summary of more than 1 MiB (GitHub Actions: "Adding a job summary"),
/// and other steps may have written to it before.
const MAX_BYTES: usize = 900 * 1024;

/// Room for a sentence on what was left out, and the end of a list.
const CUT_BYTES: usize = 200;

/// Maximum number of columns of a table. The JSON has all groups.
const MAX_GROUPS: usize = 12;

/// Maximum number of changes shown. The JSON has all of them.
const MAX_CHANGES: usize = 100;

/// Renders a comparison.
pub fn render(output: &ComparisonOutput) -> String {
    let comparison = &output.comparison;
    let groups = group_vantages(comparison);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "## {} pullprobe: {}\n",
        status_mark(comparison.status),
        inline(&result::headline(comparison))
    );
    heading(&mut text, output);
    results(&mut text, output);
    // A single report has no difference to explain.
    if comparison.vantages.len() > 1 || comparison.first_difference.is_some() {
        let _ = writeln!(text, "{}\n", inline(&comparison.explanation));
    }
    difference(&mut text, comparison);
    matrix(&mut text, comparison, &groups);
    changes(&mut text, comparison);
    let footer = format!("{}\n", inline(&input_counts(comparison)));
    let limit = MAX_BYTES - footer.len() - CUT_BYTES;
    truncate(&mut text, limit);
    for group in &groups {
        let details = details(output, group);
        if text.len() + details.len() > limit {
            text.push_str(
                "Other vantages are left out to fit a step summary; `--format html` shows all.\n\n",
            );
            break;
        }
        text.push_str(&details);
    }
    text + &footer
}

/// Writes where and when the reports are from.
fn heading(text: &mut String, output: &ComparisonOutput) {
    let facts: Vec<String> = result::heading(output)
        .into_iter()
        .map(|(name, value)| match name {
            "time" => inline(&value),
            name => format!("{name} **{}**", inline(&value)),
        })
        .collect();
    if !facts.is_empty() {
        let _ = writeln!(text, "{}\n", facts.join(" · "));
    }
}

/// Writes each distinct result that is not a pass, with what to do.
fn results(text: &mut String, output: &ComparisonOutput) {
    let comparison = &output.comparison;
    let (results, rest) = result::results(output);
    let headline = result::headline(comparison);
    for same in results.iter().take(MAX_RESULTS) {
        let Some(vantage) = comparison.vantages.get(same.first) else {
            continue;
        };
        let (status, names) = (status_word(same.status), inline(&list_names(&same.names)));
        let sentence = if vantage.summary == headline {
            String::new()
        } else {
            format!(": {}", inline(&vantage.summary))
        };
        let _ = writeln!(text, "**{status}** at {names}{sentence}\n");
        let report = output.latest_report(same.first);
        let Some(finding) = report.as_ref().and_then(|report| report.findings.first()) else {
            continue;
        };
        let _ = writeln!(text, "**What to do:** {}\n", inline(&finding.remedy));
        for fix in finding.fix.iter().take(MAX_FIXES) {
            let _ = writeln!(text, "{}\n", block(fix));
        }
    }
    if let Some(more @ 1..) = results.len().checked_sub(MAX_RESULTS) {
        let _ = writeln!(text, "{more} more results are below.\n");
    }
    if let Some(rest) = rest {
        let _ = writeln!(text, "{}\n", inline(&rest));
    }
}

/// Returns lines to copy as a `pre` element, escaped as in a sentence: in a code fence, the text
/// could close the fence. Empty lines, which would end the element, are left out.
fn block(lines: &str) -> String {
    let lines = lines.lines().filter(|line| !line.trim().is_empty());
    let lines: Vec<String> = lines
        .map(|line| {
            let indent = line.len() - line.trim_start().len();
            format!("{}{}", &line[..indent], inline(line))
        })
        .collect();
    format!("<pre>{}</pre>", shown(&lines.join("\n")))
}

/// Cuts what comes before the details: a few kilobytes, unless names are hostile.
fn truncate(text: &mut String, limit: usize) {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(MAX_BYTES / 2));
        text.push_str("\n\n…\n\n");
    }
}

/// Escapes text so that Markdown and HTML show it as it is.
fn inline(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let text = crate::redact::one_line(&shown(text));
    for (at, c) in text.char_indices() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '@' | '$' => {
                let _ = write!(safe, "&#{};", u32::from(c));
            }
            // A bare URL would become a link.
            ':' if text[at..].starts_with("://") => safe.push_str("&#58;"),
            '.' if text[..at].ends_with("www") => safe.push_str("&#46;"),
            c => safe.push(c),
        }
    }
    safe
}

fn difference(text: &mut String, comparison: &Comparison) {
    let Some(difference) = &comparison.first_difference else {
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
        for (value, names) in names_by_value(values) {
            let (value, names) = (cell(Some(value)), inline(&list_names(&names)));
            let _ = writeln!(text, "| {side} | {value} | {names} |");
        }
    }
    text.push('\n');
}

fn cell(value: Option<&str>) -> String {
    let cell = Cell::new(value);
    // The mark is not escaped: an exclamation mark before a space does not begin an image.
    format!("{} {}", cell.mark, inline(&cell.words))
}

/// Writes the steps that differ, and the whole matrix folded.
fn matrix(text: &mut String, comparison: &Comparison, groups: &[VantageGroup<'_>]) {
    let mut differing = differing_facts(comparison, groups);
    if let [only] = groups {
        differing.retain(|fact| !only.passes(*fact));
    }
    if !differing.is_empty() {
        table(text, comparison, groups, &differing);
    }
    let all: Vec<usize> = (0..comparison.facts.len()).collect();
    if differing.len() < all.len() {
        let _ = writeln!(
            text,
            "<details><summary>All {} steps</summary>\n",
            all.len()
        );
        table(text, comparison, groups, &all);
        text.push_str("</details>\n\n");
    }
    if let Some(more @ 1..) = groups.len().checked_sub(MAX_GROUPS) {
        let _ = writeln!(
            text,
            "{more} more vantage groups are not shown in this table.\n"
        );
    }
}

fn table(text: &mut String, comparison: &Comparison, groups: &[VantageGroup<'_>], facts: &[usize]) {
    let groups = &groups[..groups.len().min(MAX_GROUPS)];
    row(text, "", groups.iter().map(title));
    let _ = writeln!(text, "| --- |{}", " --- |".repeat(groups.len()));
    row(text, "verdict ", groups.iter().map(verdict));
    for (n, fact) in facts
        .iter()
        .filter_map(|n| Some((*n, comparison.facts.get(*n)?)))
    {
        let name = inline(&fact.fact);
        let name = if is_first_difference(comparison, &fact.fact) {
            format!("**{name}** ◂ ")
        } else {
            format!("{name} ")
        };
        let values = groups
            .iter()
            .map(|group| cell(group.values.get(n).copied().flatten()));
        row(text, &name, values);
    }
    text.push('\n');
}

fn row(text: &mut String, head: &str, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.collect();
    let _ = writeln!(text, "| {head}| {} |", cells.join(" | "));
}

fn title(group: &VantageGroup<'_>) -> String {
    format!("{} {}", group.letter, inline(&list_names(&group.names)))
}

fn verdict(group: &VantageGroup<'_>) -> String {
    let cause = group.cause.map(|cause| format!(" {}", inline(cause)));
    let cause = cause.unwrap_or_default();
    format!("**{}**{cause}", status_word(group.status))
}

fn changes(text: &mut String, comparison: &Comparison) {
    let changes = &comparison.changes;
    if changes.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "<details><summary>What changed ({})</summary>\n",
        changes.len()
    );
    for change in changes.iter().take(MAX_CHANGES) {
        let (vantage, summary) = (inline(&change.vantage), inline(&change.summary));
        let _ = writeln!(text, "- {vantage}: {summary}");
    }
    text.push_str("\n</details>\n\n");
}

/// Returns the findings of a group's first vantage, folded; empty if there are none.
fn details(output: &ComparisonOutput, group: &VantageGroup<'_>) -> String {
    let mut text = String::new();
    let report = output.latest_report(group.first);
    let Some(report) = report.filter(|report| !report.findings.is_empty()) else {
        return text;
    };
    let (title, status) = (title(group), status_word(group.status));
    let _ = writeln!(
        text,
        "<details><summary>{title}: {status}</summary>\n\n{}\n",
        inline(&report.verdict.summary)
    );
    findings(&mut text, &report);
    text.push_str("</details>\n\n");
    text
}

fn findings(text: &mut String, report: &ReportView<'_>) {
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
