//! The comparison as one HTML page: no script, font or image from elsewhere. Its content security
//! policy forbids everything that it does not need, so a hostile report can only show text.

mod path;
mod vantage;

use maud::{Markup, PreEscaped, html};

use super::comparison::{Cell, input_counts, status_word};
use super::replace_control_characters;
use crate::compare::ComparisonOutput;
use crate::compare::comparison::Comparison;
use crate::compare::difference::Difference;
use crate::compare::summary::names_by_value;
use crate::compare::vantage_group::group_vantages;
use crate::verdict::Status;

const STYLE: &str = include_str!("html/style.css");

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
                                       img-src data:; base-uri 'none'; form-action 'none'";

/// Vantages that each get a row. Of more, those that are alike share one.
const MAX_SINGLE_ROWS: usize = 40;

/// Rows with details. The JSON has all.
const MAX_ROWS: usize = 200;

/// Bytes of a name that fits beside the matrix and on a phone without a line break.
const MAX_UNBROKEN_NAME: usize = 30;

/// Names shown before the rest is folded.
const MAX_NAMES: usize = 8;

/// A row of the matrix: vantages that are alike, shown by the first.
struct Row<'a> {
    names: Vec<&'a str>,
    /// Index of the first vantage in the comparison.
    first: usize,
}

/// Names that are folded: a page of 100,000 vantages has to open.
const MAX_FOLDED_NAMES: usize = 1_000;

/// Renders a comparison.
pub fn render(output: &ComparisonOutput) -> String {
    let comparison = &output.comparison;
    let rows = rows(comparison);
    let page = html! {
        (PreEscaped("<!doctype html>\n"))
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(CONTENT_SECURITY_POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href="data:,";
                title { "pullprobe: " (comparison.summary) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (header(comparison))
                main {
                    (differences(comparison))
                    (matrix(comparison, &rows))
                    (changes(comparison))
                    section aria-labelledby="vantages" {
                        h2 id="vantages" { "Vantages in detail" }
                        @for row in rows.iter().take(MAX_ROWS) {
                            (vantage::details(output, row))
                        }
                    }
                }
                footer { p { (input_counts(comparison)) } }
            }
        }
        "\n"
    };
    replace_control_characters(&page.into_string())
}

fn rows(comparison: &Comparison) -> Vec<Row<'_>> {
    if comparison.vantages.len() <= MAX_SINGLE_ROWS {
        let vantages = comparison.vantages.iter().enumerate();
        return vantages
            .map(|(first, vantage)| Row {
                names: vec![&vantage.name],
                first,
            })
            .collect();
    }
    group_vantages(comparison)
        .into_iter()
        .map(|group| Row {
            first: group.first,
            names: group.names,
        })
        .collect()
}

fn header(comparison: &Comparison) -> Markup {
    html! {
        header {
            p.brand { "pullprobe · comparison" }
            h1 { (badge(comparison.status)) " " (comparison.summary) }
            // Otherwise the cards of the differences show it.
            @if comparison.first_difference.is_none() {
                p.lead { (isolated(&comparison.explanation)) }
            }
        }
    }
}

/// A status as a mark and a word.
fn badge(status: Status) -> Markup {
    html! { span class={ "badge " (status) } { (status_word(status)) } }
}

/// Text from a report. `bdi` keeps right-to-left characters in it from reordering the text around.
fn isolated(text: &str) -> Markup {
    html! { bdi.short[text.len() <= MAX_UNBROKEN_NAME] { (text) } }
}

/// Names separated by commas, most of many folded.
fn name_list(names: &[&str]) -> Markup {
    let (shown, folded) = names.split_at(names.len().min(MAX_NAMES));
    html! {
        (comma_separated(shown))
        @if !folded.is_empty() {
            " "
            details.more {
                summary { "and " (folded.len()) " more" }
                (comma_separated(&folded[..folded.len().min(MAX_FOLDED_NAMES)]))
                @if let Some(more @ 1..) = folded.len().checked_sub(MAX_FOLDED_NAMES) {
                    " and " (more) " more, which " code { "--format json" } " lists"
                }
            }
        }
    }
}

fn comma_separated(names: &[&str]) -> Markup {
    html! {
        @for (n, name) in names.iter().enumerate() {
            @if n > 0 { ", " }
            (isolated(name))
        }
    }
}

fn differences(comparison: &Comparison) -> Markup {
    let Some(first) = &comparison.first_difference else {
        return Markup::default();
    };
    let others = &comparison.other_differences;
    let unexplained = unexplained(comparison);
    html! {
        section aria-labelledby="difference" {
            h2 id="difference" { "The first difference" }
            (difference_card(first))
            @if !others.is_empty() {
                h3 { "Vantages that first differ elsewhere" }
                @for other in others { (difference_card(other)) }
            }
            @if !unexplained.is_empty() {
                p { "No differing fact explains the result at " (name_list(&unexplained)) "." }
            }
        }
    }
}

fn difference_card(difference: &Difference) -> Markup {
    let sides = [
        ("where it passes", &difference.passing),
        ("where it fails", &difference.failing),
    ];
    html! {
        div.card {
            p.fact { (difference.fact) }
            dl.sides {
                @for (title, values) in sides {
                    @for (value, names) in names_by_value(values) {
                        @let cell = Cell::new(Some(value));
                        div {
                            dt {
                                span.side { (title) } " "
                                span class={ "cell " (cell.class) } {
                                    b { (cell.mark) } " " (cell.words)
                                }
                            }
                            dd { (name_list(&names)) }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the vantages of the worst status that are in no difference.
fn unexplained(comparison: &Comparison) -> Vec<&str> {
    let differences = || {
        let first = comparison.first_difference.iter();
        first.chain(&comparison.other_differences)
    };
    comparison
        .vantages
        .iter()
        .filter(|vantage| vantage.status == comparison.status)
        .map(|vantage| vantage.name.as_str())
        .filter(|name| !differences().any(|difference| difference.failing.contains_key(*name)))
        .collect()
}

const LEGEND: [(&str, &str, &str); 5] = [
    ("passed", "✓", "works"),
    ("failed", "✗", "fails"),
    ("partly", "!", "some addresses fail"),
    ("not-reached", "–", "not reached: an earlier step failed"),
    ("not-checked", "?", "not checked"),
];

fn matrix(comparison: &Comparison, rows: &[Row<'_>]) -> Markup {
    let dependencies = dependencies(comparison);
    let omitted = rows.len().saturating_sub(MAX_ROWS);
    html! {
        section aria-labelledby="matrix" {
            h2 id="matrix" { "Every step at every vantage" }
            ul.legend {
                @for (class, mark, words) in LEGEND {
                    li { span class={ "cell " (class) } { b { (mark) } " " (words) } }
                }
            }
            div.scroll role="region" aria-labelledby="matrix" tabindex="0" {
                table.matrix role="table" {
                    thead role="rowgroup" {
                        tr role="row" {
                            th role="columnheader" scope="col" { "vantage" }
                            @for dependency in &dependencies {
                                th role="columnheader" scope="col" { (dependency.name) }
                            }
                        }
                    }
                    tbody role="rowgroup" {
                        @for row in rows.iter().take(MAX_ROWS) {
                            (matrix_row(comparison, &dependencies, row))
                        }
                    }
                }
            }
            @if omitted > 0 {
                p {
                    (omitted) " more vantage groups are not shown; "
                    code { "--format json" } " has all."
                }
            }
        }
    }
}

fn matrix_row(
    comparison: &Comparison,
    dependencies: &[DependencyFacts<'_>],
    row: &Row<'_>,
) -> Markup {
    let Some(vantage) = comparison.vantages.get(row.first) else {
        return Markup::default();
    };
    html! {
        tr role="row" {
            th role="rowheader" scope="row" {
                a href={ "#v" (row.first) } { (isolated(&vantage.name)) }
                (badge(vantage.status))
                @if let Some(cause) = &vantage.cause { span.cause { (cause) } }
                @if row.names.len() > 1 {
                    span.cause { "and " (row.names.len() - 1) " more like it" }
                }
            }
            @for dependency in dependencies {
                td role="cell" {
                    span.dependency { (dependency.name) }
                    ul.ladder {
                        @for (fact, phase) in &dependency.phases {
                            (matrix_cell(comparison, row.first, *fact, phase))
                        }
                    }
                }
            }
        }
    }
}

/// The facts of one dependency.
struct DependencyFacts<'a> {
    name: &'a str,
    /// Index of each fact in the comparison, and its phase.
    phases: Vec<(usize, &'a str)>,
}

fn dependencies(comparison: &Comparison) -> Vec<DependencyFacts<'_>> {
    let mut dependencies: Vec<DependencyFacts<'_>> = Vec::new();
    for (n, fact) in comparison.facts.iter().enumerate() {
        let Some((name, phase)) = fact.fact.rsplit_once('/') else {
            continue;
        };
        let mut known = dependencies.iter_mut();
        if let Some(dependency) = known.find(|dependency| dependency.name == name) {
            dependency.phases.push((n, phase));
        } else {
            let phases = vec![(n, phase)];
            dependencies.push(DependencyFacts { name, phases });
        }
    }
    dependencies
}

fn matrix_cell(comparison: &Comparison, vantage: usize, fact: usize, phase: &str) -> Markup {
    let (Some(row), Some(at)) = (comparison.facts.get(fact), comparison.vantages.get(vantage))
    else {
        return Markup::default();
    };
    let value = row.values.get(&at.name).map(String::as_str);
    let Cell { mark, words, class } = Cell::new(value);
    let first_difference = comparison.first_difference.as_ref();
    let first = first_difference.is_some_and(|difference| {
        difference.fact == row.fact && difference.failing.contains_key(&at.name)
    });
    // Words that the mark already says are for screen readers only.
    let redundant = matches!(value, Some("passed" | "not-reached"));
    let content = html! {
        b { (mark) } " " span { (phase) } " " i.visually-hidden[redundant] { (words) }
    };
    html! {
        li {
            @if value.is_some() {
                a.cell.(class).first[first] href={ "#v" (vantage) "f" (fact) } { (content) }
            } @else {
                span.cell.(class) { (content) }
            }
        }
    }
}

fn changes(comparison: &Comparison) -> Markup {
    if comparison.changes.is_empty() {
        return Markup::default();
    }
    let by_vantage = comparison
        .changes
        .chunk_by(|a, b| a.vantage == b.vantage)
        .filter_map(|changes| Some((&changes.first()?.vantage, changes)));
    html! {
        section aria-labelledby="changes" {
            h2 id="changes" { "What changed" }
            @for (vantage, changes) in by_vantage {
                h3 { (isolated(vantage)) }
                ul.changes {
                    @for change in changes { li { (isolated(&change.summary)) } }
                }
            }
        }
    }
}
