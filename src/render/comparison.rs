//! The comparison as text for a terminal: each distinct failure with its remedy, then a matrix with
//! a column for each group of vantages.

use std::fmt::Write as _;

use super::style::{Style, status_word};
use super::text::{headline, list, remedy};
use crate::compare::ComparisonOutput;
use crate::compare::comparison::Comparison;
use crate::compare::fact::FactValue;
use crate::compare::report_view::{ObservationView, ReportView};
use crate::compare::vantage_group::{VantageGroup, group_vantages};
use crate::compare::vantage_values::VantageValues;
use crate::verdict::Status;

/// Maximum number of changes shown. The JSON has all of them.
const MAX_CHANGES: usize = 30;

/// Maximum number of columns of the matrix. The JSON has all groups.
const MAX_GROUPS: usize = 24;

/// Maximum number of other possible causes shown. The JSON has all of them.
const MAX_ALTERNATIVES: usize = 8;

/// Maximum number of vantage names shown for a group.
const MAX_NAMES: usize = 6;

/// Renders a comparison: what fails and what to do, then the matrix.
pub fn render(output: &ComparisonOutput, style: Style) -> String {
    Screen::new(output, style).compare()
}

/// Renders the end of a launch: as a comparison, with what to do as the last lines, which stay on
/// the screen.
pub fn render_launch(output: &ComparisonOutput, style: Style) -> String {
    Screen::new(output, style).launch()
}

/// Renders the output of a quiet launch: the headline and what to do.
pub fn render_quiet(output: &ComparisonOutput, style: Style) -> String {
    Screen::new(output, style).quiet()
}

/// The text of a comparison, part by part.
struct Screen<'a> {
    comparison: &'a Comparison,
    /// Vantages with the same values, the worst group first.
    groups: Vec<VantageGroup<'a>>,
    /// The latest report of each group's first vantage.
    reports: Vec<Option<ReportView<'a>>>,
    style: Style,
    text: String,
}

impl<'a> Screen<'a> {
    fn new(output: &'a ComparisonOutput, style: Style) -> Self {
        let comparison = &output.comparison;
        let groups = group_vantages(comparison);
        let firsts = groups.iter().map(|group| group.first);
        Self {
            comparison,
            reports: firsts.map(|first| output.latest_report(first)).collect(),
            groups,
            style,
            text: String::new(),
        }
    }

    fn compare(mut self) -> String {
        self.headline();
        self.failures(true);
        self.matrix();
        self.alternatives();
        self.changes();
        self.input();
        self.text
    }

    fn launch(mut self) -> String {
        self.headline();
        if self.comparison.status == Status::Pass && !self.style.verbose {
            return self.text;
        }
        self.failures(false);
        self.matrix();
        self.alternatives();
        self.what_to_do();
        self.text
    }

    fn quiet(mut self) -> String {
        self.headline();
        self.what_to_do();
        self.text
    }

    fn headline(&mut self) {
        let sentence = sentence(self.comparison);
        headline(
            &mut self.text,
            self.comparison.status,
            &sentence,
            self.style,
        );
    }

    /// Returns the groups of vantages whose status is not `pass`, each with its report.
    fn failing(&self) -> impl Iterator<Item = (&VantageGroup<'a>, Option<&ReportView<'a>>)> {
        let reports = self.reports.iter().map(Option::as_ref);
        let groups = self.groups.iter().zip(reports);
        groups
            .filter(|(group, _)| group.status != Status::Pass)
            .take(MAX_GROUPS)
    }

    /// Writes a block for each distinct failure, then the groups that pass.
    fn failures(&mut self, with_remedy: bool) {
        let style = self.style;
        let mut text = String::new();
        for (group, report) in self.failing() {
            let mark = style.by_mark(&status_word(group.status));
            let names = style.wrap(&group_names(group, style), 11);
            let names = style.bold(names.trim_start());
            let _ = writeln!(text, "\n{}  {mark}  {names}", group.letter);
            let summary = self
                .comparison
                .vantages
                .get(group.first)
                .map(|vantage| vantage.summary.as_str());
            let _ = writeln!(text, "{}", style.wrap(summary.unwrap_or_default(), 2));
            if let Some(seen) = report.and_then(|report| deciding(report, group.cause)) {
                let _ = writeln!(text, "{}", style.item("✗", &seen, 2));
            }
            if let (true, Some(first)) = (
                with_remedy,
                report.and_then(|report| report.findings.first()),
            ) {
                remedy(
                    &mut text,
                    &first.remedy,
                    first.fix.iter().map(|part| &**part),
                    style,
                );
            }
        }
        for group in self
            .groups
            .iter()
            .filter(|group| group.status == Status::Pass)
        {
            let mark = style.by_mark(&status_word(group.status));
            let names = style.wrap(&group_names(group, style), 11);
            let _ = writeln!(text, "\n{}  {mark}  {}", group.letter, names.trim_start());
        }
        let is_compared = self.groups.len() > 1 || !self.comparison.changes.is_empty();
        if is_compared && self.comparison.status != Status::Pass {
            let _ = writeln!(text, "\n{}", style.wrap(&self.comparison.explanation, 0));
        }
        self.text.push_str(&text);
    }

    fn matrix(&mut self) {
        let (comparison, style) = (self.comparison, self.style);
        let groups = &self.groups;
        let shown = &groups[..groups.len().min(MAX_GROUPS)];
        let mut differing = differing_facts(comparison, groups);
        if let [only] = groups.as_slice()
            && !style.verbose
        {
            differing.retain(|fact| !only.passes(*fact));
        }
        if !differing.is_empty() {
            if style.is_narrow() {
                fact_list(&mut self.text, comparison, shown, &differing, style);
            } else {
                for columns in fitting_columns(comparison, shown, style) {
                    matrix(&mut self.text, comparison, columns, &differing, style);
                }
            }
        }
        if let Some(more @ 1..) = groups.len().checked_sub(MAX_GROUPS) {
            let _ = writeln!(
                self.text,
                "\n  and {more} more vantage groups; see --format html or json"
            );
        }
        let all = comparison.facts.len();
        let others = match all - differing.len() {
            0 => None,
            alike if alike == all => Some(format!("All {all} steps pass everywhere.")),
            1 => Some(format!("The other 1 of {all} steps passes everywhere.")),
            alike => Some(format!("The other {alike} of {all} steps pass everywhere.")),
        };
        if let Some(others) = others {
            let _ = writeln!(self.text, "\n{}", style.wrap(&others, 2));
        }
        if !differing.is_empty() {
            let legend = "✓ works ✗ fails ! some addresses fail – not reached ? not checked · not in the report";
            let _ = writeln!(self.text, "{}", style.wrap(legend, 2));
        }
    }

    /// Writes the causes that cannot be distinguished from the first cause of each failure.
    fn alternatives(&mut self) {
        let mut causes: Vec<String> = Vec::new();
        for (_, report) in self.failing() {
            let findings = report
                .into_iter()
                .flat_map(|report| report.findings.iter().skip(1));
            for other in findings {
                let line = format!(
                    "{} ({}): {}",
                    &*other.cause, &*other.confidence, &*other.remedy
                );
                if !causes.contains(&line) && causes.len() < MAX_ALTERNATIVES {
                    causes.push(line);
                }
            }
        }
        if causes.is_empty() {
            return;
        }
        let heading = self.style.bold("It could also be");
        let _ = writeln!(self.text, "\n{heading}");
        for cause in causes {
            let _ = writeln!(self.text, "{}", self.style.item("·", &cause, 2));
        }
    }

    /// Writes the remedy of each distinct failure.
    fn what_to_do(&mut self) {
        let style = self.style;
        let mut blocks: Vec<(String, Vec<&str>)> = Vec::new();
        for (group, report) in self.failing() {
            let Some(first) = report.and_then(|report| report.findings.first()) else {
                continue;
            };
            let mut block = String::new();
            remedy(
                &mut block,
                &first.remedy,
                first.fix.iter().map(|part| &**part),
                style,
            );
            let more = format!("more: pullprobe causes {}", &*first.cause);
            let _ = writeln!(block, "{}", style.wrap(&more, 2));
            match blocks.iter_mut().find(|(known, _)| *known == block) {
                Some((_, letters)) => letters.push(&group.letter),
                None => blocks.push((block, vec![&group.letter])),
            }
        }
        if blocks.is_empty() {
            return;
        }
        let mut text = format!("\n{}\n", style.bold("What to do"));
        let several = blocks.len() > 1;
        for (block, letters) in &blocks {
            if several {
                let _ = writeln!(text, "  {}", style.bold(&format!("for {}", list(letters))));
            }
            text.push_str(block);
        }
        self.text.push_str(&text);
    }

    fn changes(&mut self) {
        changes(&mut self.text, self.comparison, self.style);
    }

    fn input(&mut self) {
        let _ = writeln!(
            self.text,
            "\n{}",
            self.style.wrap(&input_counts(self.comparison), 0)
        );
    }
}

/// Returns the headline: in how many subnets or other places the task would start, or not.
fn sentence(comparison: &Comparison) -> String {
    let vantages = &comparison.vantages;
    let all = vantages.len();
    let count = vantages
        .iter()
        .filter(|vantage| vantage.status == comparison.status)
        .count();
    let is_subnet = vantages
        .iter()
        .all(|vantage| vantage.name.starts_with("subnet-") || vantage.subnet_cidr.is_some());
    let (one, many) = if is_subnet {
        ("subnet", "subnets")
    } else {
        ("place", "places")
    };
    let places = match (count, all) {
        (_, 0) => return "There is nothing to compare.".to_owned(),
        (1, 1) => format!("the only {one}"),
        (2, 2) => format!("both {many}"),
        (count, all) if count == all => format!("all {all} {many}"),
        (count, all) => format!("{count} of {all} {many}"),
    };
    match comparison.status {
        Status::Pass => format!("The task would start in {places}."),
        Status::Warn => format!("The task would start, with a warning in {places}."),
        Status::Inconclusive => format!("Not everything could be checked in {places}."),
        Status::Fail => format!("The task would not start in {places}."),
    }
}

fn group_names(group: &VantageGroup<'_>, style: Style) -> String {
    let limit = if style.verbose { usize::MAX } else { MAX_NAMES };
    let shown = group.names.iter().take(limit).copied();
    let more = group.names.len().saturating_sub(limit);
    let more = (more > 0).then(|| format!("and {more} more"));
    let shown: Vec<String> = shown.map(str::to_owned).chain(more).collect();
    shown.join(", ")
}

/// Returns the failed observation that the first finding rests on, or the first that failed.
fn deciding(report: &ReportView<'_>, cause: Option<&str>) -> Option<String> {
    cause?;
    let failed = |seen: &&ObservationView<'_>| &*seen.outcome == "failed" && seen.affects_task();
    let first = report.findings.first();
    let of_dependency =
        report.observations.iter().filter(failed).find(|seen| {
            first.is_some_and(|first| first.because.iter().any(|id| **id == *seen.id))
        });
    let seen = of_dependency.or_else(|| report.observations.iter().find(failed))?;
    if seen.witness.is_some() {
        return Some(format!("Amazon ECS reports: {}", &*seen.detail));
    }
    let at = seen
        .peer
        .as_deref()
        .map(|peer| format!(" at {peer}"))
        .unwrap_or_default();
    let owner = seen
        .owner
        .as_deref()
        .map(|owner| format!(" ({owner})"))
        .unwrap_or_default();
    let failure = seen.failure.as_deref().unwrap_or("failed");
    Some(format!(
        "{}/{}{at}{owner}: {failure} after {} ms",
        &*seen.dependency, &*seen.phase, seen.elapsed_ms
    ))
}

/// Writes the matrix as a list, for a terminal that is too narrow for a table.
fn fact_list(
    text: &mut String,
    comparison: &Comparison,
    groups: &[VantageGroup<'_>],
    facts: &[usize],
    style: Style,
) {
    text.push('\n');
    for (n, fact) in facts
        .iter()
        .filter_map(|n| Some((*n, comparison.facts.get(*n)?)))
    {
        let cells: Vec<String> = groups
            .iter()
            .map(|group| format!("{} {}", group.letter, cell_text(group, n)))
            .collect();
        let mark = if is_first_difference(comparison, &fact.fact) {
            "▸"
        } else {
            " "
        };
        let line = format!("{}: {}", fact.fact, cells.join(", "));
        let _ = writeln!(text, "{}", style.item(mark, &line, 0));
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

/// Splits the groups into blocks of columns that fit side by side.
fn fitting_columns<'a, 'g>(
    comparison: &Comparison,
    groups: &'g [VantageGroup<'a>],
    style: Style,
) -> Vec<&'g [VantageGroup<'a>]> {
    let row_head = 2 + fact_width(comparison);
    let (mut blocks, mut from, mut used) = (Vec::new(), 0, row_head);
    for (n, group) in groups.iter().enumerate() {
        let width = column_width(group) + 2;
        if used + width > style.width() && n > from {
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

/// Returns the indices of the facts that differ between groups of vantages; of a single group, all.
pub(super) fn differing_facts(comparison: &Comparison, groups: &[VantageGroup<'_>]) -> Vec<usize> {
    let facts = 0..comparison.facts.len();
    facts.filter(|fact| !passes_alike(groups, *fact)).collect()
}

/// Whether there are several groups and a fact passes with the same value at all of them.
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
    style: Style,
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
        style.bold(heads.trim_end())
    );
    for (n, fact) in facts
        .iter()
        .filter_map(|n| Some((*n, comparison.facts.get(*n)?)))
    {
        let cells: Vec<String> = groups
            .iter()
            .zip(&widths)
            .map(|(group, width)| style.by_mark(&format!("{:width$}", cell_text(group, n))))
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

fn changes(text: &mut String, comparison: &Comparison, style: Style) {
    if comparison.changes.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", style.bold("What changed"));
    let mut vantage = "";
    for change in comparison.changes.iter().take(MAX_CHANGES) {
        if change.vantage != vantage {
            vantage = &change.vantage;
            let _ = writeln!(text, "\n  {vantage}");
        }
        let _ = writeln!(text, "{}", style.item("·", &change.summary, 4));
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
