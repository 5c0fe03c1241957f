//! The comparison as text for a terminal, in 80 columns: what differs, then a matrix with a column
//! for each group of vantages.

use std::fmt::Write as _;

use super::text::{Paint, WIDTH, wrap};
use crate::compare::ComparisonOutput;
use crate::compare::comparison::Comparison;
use crate::compare::fact::FactValue;
use crate::compare::vantage_group::{VantageGroup, group_vantages};
use crate::compare::vantage_values::VantageValues;
use crate::verdict::Status;

/// Changes shown. The JSON has all.
const MAX_CHANGES: usize = 30;

/// Columns of the matrix. The JSON has all.
const MAX_GROUPS: usize = 24;

/// Vantage names shown of a group.
const MAX_NAMES: usize = 6;

/// Renders a comparison. `color` adds ANSI colors; without them the marks carry the meaning.
pub fn render(output: &ComparisonOutput, color: bool) -> String {
    let (comparison, paint) = (&output.comparison, Paint(color));
    let groups = group_vantages(comparison);
    let shown = &groups[..groups.len().min(MAX_GROUPS)];
    let differing: Vec<usize> = differing_facts(comparison, &groups);
    let mut text = String::new();
    headline(&mut text, comparison, paint);
    legend(&mut text, shown, paint);
    for columns in fitting_columns(comparison, shown) {
        matrix(&mut text, comparison, columns, &differing, paint);
    }
    if let Some(more @ 1..) = groups.len().checked_sub(MAX_GROUPS) {
        let _ = writeln!(
            text,
            "\n  and {more} more vantage groups; see --format html or json"
        );
    }
    let all = comparison.facts.len();
    match all - differing.len() {
        0 => {}
        1 => {
            let _ = writeln!(text, "\n  The other 1 of {all} steps passes everywhere.");
        }
        alike => {
            let _ = writeln!(
                text,
                "\n  The other {alike} of {all} steps pass everywhere."
            );
        }
    }
    text.push_str("\n  ✓ works  ✗ fails  ! some addresses fail  – not reached  ? not checked\n");
    changes(&mut text, comparison, paint);
    let _ = writeln!(text, "\n{}", wrap(&input_counts(comparison), 0));
    text
}

/// Returns a status as a mark and a word.
pub(super) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Pass => "✓ pass",
        Status::Warn => "! warn",
        Status::Inconclusive => "? inconclusive",
        Status::Fail => "✗ fail",
    }
}

/// The facts of one dependency.
pub(super) struct FactsOfDependency<'a> {
    /// Name of the dependency.
    pub name: &'a str,
    /// Index of each fact in the comparison, its phase, and its values by vantage.
    pub phases: Vec<(usize, &'a str, &'a VantageValues)>,
}

impl<'a> FactsOfDependency<'a> {
    /// Returns the dependencies of a comparison, in the order of its facts.
    pub fn all(comparison: &'a Comparison) -> Vec<Self> {
        let mut dependencies: Vec<Self> = Vec::new();
        for (n, fact) in comparison.facts.iter().enumerate() {
            let Some((name, phase)) = fact.fact.rsplit_once('/') else {
                continue;
            };
            let phase = (n, phase, &fact.values);
            let mut known = dependencies.iter_mut();
            if let Some(dependency) = known.find(|dependency| dependency.name == name) {
                dependency.phases.push(phase);
            } else {
                let phases = vec![phase];
                dependencies.push(Self { name, phases });
            }
        }
        dependencies
    }

    /// Returns the phases at a vantage, each with its value.
    pub fn values_at(&self, vantage: &str) -> Vec<(&'a str, &'a str)> {
        let phases = self.phases.iter();
        let known =
            phases.filter_map(|(_, phase, values)| Some((*phase, values.get(vantage)?.as_str())));
        known.collect()
    }
}

/// How the value of a fact is shown.
pub(super) struct Cell {
    /// One character, the same in every format.
    pub mark: &'static str,
    /// What the mark does not say.
    pub words: String,
    /// CSS class of the mark, in the HTML page.
    pub class: &'static str,
}

impl Cell {
    /// Returns the cell of a value; `None` is a fact that the vantage's report does not have.
    pub fn new(value: Option<&str>) -> Self {
        let Some(value) = value else {
            return Self::with("·", "no data", "no-data");
        };
        match FactValue::parse(value) {
            FactValue::Passed(scope) => Self::with("✓", scope.unwrap_or("passed"), "passed"),
            FactValue::Failed(_) => Self::with("✗", value, "failed"),
            FactValue::Partly(_) => Self::with("!", value, "partly"),
            FactValue::NotReached => Self::with("–", "not reached", "not-reached"),
            FactValue::NotChecked => Self::with("?", "not checked", "not-checked"),
        }
    }

    fn with(mark: &'static str, words: &str, class: &'static str) -> Self {
        Self {
            mark,
            words: words.to_owned(),
            class,
        }
    }

    fn text(&self) -> String {
        format!("{} {}", self.mark, self.words)
    }
}

fn cell_text(group: &VantageGroup<'_>, fact: usize) -> String {
    Cell::new(group.values.get(fact).copied().flatten()).text()
}

fn paint_by_mark(paint: Paint, text: &str) -> String {
    match text.chars().next() {
        Some('✓') => paint.good(text),
        Some('✗') => paint.bad(text),
        Some('!' | '?') => paint.odd(text),
        _ => text.to_owned(),
    }
}

fn headline(text: &mut String, comparison: &Comparison, paint: Paint) {
    let word = status_word(comparison.status).to_uppercase();
    let word = paint.bold(&paint_by_mark(paint, &word));
    let _ = writeln!(text, "{word} {}\n", comparison.summary);
    let _ = writeln!(text, "{}", wrap(&comparison.explanation, 2));
}

fn legend(text: &mut String, groups: &[VantageGroup<'_>], paint: Paint) {
    text.push('\n');
    for group in groups {
        let confidence = group
            .confidence
            .map(|confidence| format!(" ({confidence})"))
            .unwrap_or_default();
        let cause = group
            .cause
            .map(|cause| format!("  {cause}{confidence}"))
            .unwrap_or_default();
        let count = match group.names.len() {
            1 => String::new(),
            count => format!("  {count} vantages"),
        };
        let letter = paint.bold(&group.letter);
        let word = paint_by_mark(paint, status_word(group.status));
        let _ = writeln!(text, "  {letter}  {word}{cause}{count}");
        for name in group.names.iter().take(MAX_NAMES) {
            let _ = writeln!(text, "       {name}");
        }
        if let Some(more @ 1..) = group.names.len().checked_sub(MAX_NAMES) {
            let _ = writeln!(text, "       and {more} more");
        }
    }
}

/// Splits the groups into blocks of columns that fit side by side.
fn fitting_columns<'a, 'g>(
    comparison: &Comparison,
    groups: &'g [VantageGroup<'a>],
) -> Vec<&'g [VantageGroup<'a>]> {
    let row_head = 2 + fact_width(comparison);
    let (mut blocks, mut from, mut used) = (Vec::new(), 0, row_head);
    for (n, group) in groups.iter().enumerate() {
        let width = column_width(group) + 2;
        if used + width > WIDTH && n > from {
            blocks.push(&groups[from..n]);
            (from, used) = (n, row_head);
        }
        used += width;
    }
    if from < groups.len() {
        blocks.push(&groups[from..]);
    }
    blocks
}

/// Returns the indices of the facts that tell groups of vantages apart.
pub(super) fn differing_facts(comparison: &Comparison, groups: &[VantageGroup<'_>]) -> Vec<usize> {
    let facts = 0..comparison.facts.len();
    facts.filter(|fact| !passes_alike(groups, *fact)).collect()
}

/// Whether a fact has the same passing value at every one of several groups.
fn passes_alike(groups: &[VantageGroup<'_>], fact: usize) -> bool {
    let values: Vec<Option<&str>> = groups
        .iter()
        .filter_map(|group| group.values.get(fact).copied())
        .collect();
    groups.len() > 1
        && values
            .iter()
            .all(|value| value.is_some_and(|value| FactValue::parse(value).passed()))
        && values.windows(2).all(|pair| pair[0] == pair[1])
}

fn fact_width(comparison: &Comparison) -> usize {
    let facts = comparison.facts.iter();
    facts
        .map(|fact| fact.fact.chars().count())
        .max()
        .unwrap_or(0)
}

fn column_width(group: &VantageGroup<'_>) -> usize {
    (0..group.values.len())
        .map(|fact| cell_text(group, fact).chars().count())
        .chain([group.letter.len()])
        .max()
        .unwrap_or(0)
}

fn matrix(
    text: &mut String,
    comparison: &Comparison,
    groups: &[VantageGroup<'_>],
    facts: &[usize],
    paint: Paint,
) {
    let fact_width = fact_width(comparison);
    let widths: Vec<usize> = groups.iter().map(column_width).collect();
    let heads: Vec<String> = groups
        .iter()
        .zip(&widths)
        .map(|(group, width)| format!("{:width$}", group.letter))
        .collect();
    let heads = heads.join("  ");
    let _ = writeln!(
        text,
        "\n  {:fact_width$}  {}",
        "",
        paint.bold(heads.trim_end())
    );
    for (n, fact) in facts
        .iter()
        .filter_map(|n| Some((*n, comparison.facts.get(*n)?)))
    {
        let cells: Vec<String> = groups
            .iter()
            .zip(&widths)
            .map(|(group, width)| paint_by_mark(paint, &format!("{:width$}", cell_text(group, n))))
            .collect();
        let mark = if is_first_difference(comparison, &fact.fact) {
            "▸ "
        } else {
            "  "
        };
        let cells = cells.join("  ");
        let _ = writeln!(
            text,
            "{mark}{:fact_width$}  {}",
            fact.fact,
            cells.trim_end()
        );
    }
}

/// Whether the fact is the first difference.
pub(super) fn is_first_difference(comparison: &Comparison, fact: &str) -> bool {
    let first = comparison.first_difference.as_ref();
    first.is_some_and(|difference| difference.fact == fact)
}

fn changes(text: &mut String, comparison: &Comparison, paint: Paint) {
    if comparison.changes.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", paint.bold("What changed"));
    let mut vantage = "";
    for change in comparison.changes.iter().take(MAX_CHANGES) {
        if change.vantage != vantage {
            vantage = &change.vantage;
            let _ = writeln!(text, "\n  {vantage}");
        }
        let _ = writeln!(text, "{}", wrap(&format!("· {}", change.summary), 4));
    }
    if let Some(more @ 1..) = comparison.changes.len().checked_sub(MAX_CHANGES) {
        let _ = writeln!(text, "\n  and {more} more changes; see --format json");
    }
}

/// Returns a sentence on how much of the input was compared.
pub(super) fn input_counts(comparison: &Comparison) -> String {
    let read = &comparison.read;
    let counts = [
        (read.reports, "report compared", "reports compared"),
        (read.duplicates, "duplicate", "duplicates"),
        (read.unreadable, "unreadable report", "unreadable reports"),
        (read.left_out, "report left out", "reports left out"),
        (read.others, "other log line", "other log lines"),
    ];
    let counts: Vec<String> = counts
        .into_iter()
        .filter(|(n, ..)| *n > 0)
        .map(|(n, one, many)| format!("{n} {}", if n == 1 { one } else { many }))
        .collect();
    format!("Input: {}.", counts.join(", "))
}
