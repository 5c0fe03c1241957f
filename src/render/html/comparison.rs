//! The page of a comparison: the sentence and the remedy first, then the picture, the first
//! difference, the matrix, the history, and the vantages in detail.

use maud::{Markup, html};

use super::{advice, badge, figure, heading, isolated, name_list, timeline, vantage};
use crate::compare::ComparisonOutput;
use crate::compare::change::utc;
use crate::compare::comparison::Comparison;
use crate::compare::difference::{Baseline, Difference};
use crate::compare::summary::names_by_value;
use crate::compare::vantage_group::group_vantages;
use crate::render::comparison::{Cell, FactsOfDependency, input_counts};
use crate::render::picture::VpcPicture;
use crate::render::result;
use crate::verdict::Status;

/// Maximum number of vantages with a row each. Of more, those with the same values share one.
const MAX_SINGLE_ROWS: usize = 40;

/// Maximum number of rows with details. The JSON has all vantages.
const MAX_ROWS: usize = 200;

/// A row of the matrix: vantages with the same values, shown by the first.
pub(super) struct Row<'a> {
    pub names: Vec<&'a str>,
    /// Index of the first vantage in the comparison.
    pub first: usize,
}

/// Returns the body of the page.
pub(super) fn body(output: &ComparisonOutput, picture: &VpcPicture) -> Markup {
    let comparison = &output.comparison;
    let rows = rows(comparison);
    let is_passing = |row: &&Row<'_>| status_of(comparison, row) == Some(Status::Pass);
    let shown = &rows[..rows.len().min(MAX_ROWS)];
    let (passing, others): (Vec<&Row<'_>>, Vec<&Row<'_>>) = shown.iter().partition(is_passing);
    html! {
        header {
            (heading(&result::heading(output)))
            h1 { (badge(comparison.status)) " " (isolated(&result::headline(comparison))) }
        }
        main {
            (advice::cards(output))
            (figure(picture, "Drawn from what the probe saw; pullprobe inspect finds the route table, endpoint or security group that decides."))
            (differences(output))
            (matrix(comparison, &passing, &others, rows.len()))
            (timeline::section(output))
            (changes(comparison))
            (details(output, picture, &passing, &others))
        }
        footer { p { (input_counts(comparison)) } }
    }
}

fn status_of(comparison: &Comparison, row: &Row<'_>) -> Option<Status> {
    Some(comparison.vantages.get(row.first)?.status)
}

/// Shows the vantages in detail, those that pass folded into one line.
fn details(
    output: &ComparisonOutput,
    picture: &VpcPicture,
    passing: &[&Row<'_>],
    others: &[&Row<'_>],
) -> Markup {
    let count: usize = passing.iter().map(|row| row.names.len()).sum();
    html! {
        section aria-labelledby="vantages" {
            h2 id="vantages" { "In detail" }
            @for row in others { (vantage::details(output, picture, row)) }
            @if count == 1 {
                @for row in passing { (vantage::details(output, picture, row)) }
            } @else if count > 1 {
                details.passing {
                    summary { (badge(Status::Pass)) " " b { (count) " subnets" } }
                    @for row in passing { (vantage::details(output, picture, row)) }
                }
            }
        }
    }
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

fn differences(output: &ComparisonOutput) -> Markup {
    let comparison = &output.comparison;
    let Some(first) = &comparison.first_difference else {
        return Markup::default();
    };
    let others = &comparison.other_differences;
    let unexplained = unexplained(comparison);
    html! {
        section aria-labelledby="difference" {
            h2 id="difference" { "The first difference" }
            (difference_card(output, first))
            @if !others.is_empty() {
                h3 { "Vantages that first differ elsewhere" }
                @for other in others { (difference_card(output, other)) }
            }
            @if !unexplained.is_empty() {
                p { "No differing fact explains the result at " (name_list(&unexplained)) "." }
            }
        }
    }
}

fn difference_card(output: &ComparisonOutput, difference: &Difference) -> Markup {
    let [passing, failing] = titles(output, difference);
    let sides = [
        (passing, &difference.passing),
        (failing, &difference.failing),
    ];
    html! {
        div.card.difference {
            p.fact { (difference.fact) }
            dl.sides {
                @for (title, values) in sides {
                    @for (value, names) in names_by_value(values) {
                        @let cell = Cell::new(Some(value));
                        div {
                            dt {
                                span.side { (&title) } " "
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

/// Returns what the two sides of a difference are: other subnets, or the same one at two times.
fn titles(output: &ComparisonOutput, difference: &Difference) -> [String; 2] {
    match difference.against {
        Baseline::OtherVantages => ["where it passes".into(), "where it fails".into()],
        Baseline::ItsOwnLastPass => {
            let vantages = output.comparison.vantages.iter();
            let failing = vantages
                .enumerate()
                .find(|(_, vantage)| difference.failing.contains_key(&vantage.name));
            let last_pass = failing.and_then(|(n, _)| output.timeline(n)?.last_pass);
            let now = failing.map(|(_, vantage)| vantage.started_at.parse());
            [
                last_pass.map_or("when it last passed".into(), |at| {
                    format!("when it last passed, {}", utc(at))
                }),
                match now {
                    Some(Ok(at)) => format!("in the latest run, {}", utc(at)),
                    _ => "in the latest run".into(),
                },
            ]
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
        .filter(|name| !differences().any(|difference| difference.failing.contains_key(name)))
        .collect()
}

const LEGEND: [(&str, &str, &str); 6] = [
    ("passed", "✓", "works"),
    ("failed", "✗", "fails"),
    ("partly", "!", "some addresses fail"),
    ("not-reached", "–", "not reached: an earlier step failed"),
    ("not-checked", "?", "not checked"),
    ("no-data", "·", "not in the report"),
];

/// Maximum number of passing rows shown for comparison with those that do not pass.
const MAX_PASSING_ROWS: usize = 1;

fn matrix(
    comparison: &Comparison,
    passing: &[&Row<'_>],
    others: &[&Row<'_>],
    rows: usize,
) -> Markup {
    let dependencies = FactsOfDependency::all(comparison);
    let omitted = rows.saturating_sub(MAX_ROWS);
    let (compared, folded) = passing.split_at(passing.len().min(MAX_PASSING_ROWS));
    let shown = [others, compared].concat();
    let count: usize = folded.iter().map(|row| row.names.len()).sum();
    html! {
        section aria-labelledby="matrix" {
            h2 id="matrix" { "Every step" }
            ul.legend {
                @for (class, mark, words) in LEGEND {
                    li { span class={ "cell " (class) } { b { (mark) } " " (words) } }
                }
            }
            (matrix_table(comparison, &dependencies, &shown))
            @if !folded.is_empty() {
                details.passing {
                    summary {
                        (badge(Status::Pass)) " " b { (count) " more" } " " span.cause { "every step" }
                    }
                    (matrix_table(comparison, &dependencies, folded))
                }
            }
            @if omitted > 0 {
                p {
                    (omitted) " more vantage groups are not shown; "
                    code { "--format json" } " lists all of them."
                }
            }
        }
    }
}

fn matrix_table(
    comparison: &Comparison,
    dependencies: &[FactsOfDependency<'_>],
    rows: &[&Row<'_>],
) -> Markup {
    html! {
        table.matrix role="table" aria-labelledby="matrix" {
            thead role="rowgroup" {
                tr role="row" {
                    th role="columnheader" scope="col" { "subnet" }
                    @for dependency in dependencies {
                        th role="columnheader" scope="col" { (dependency.name) }
                    }
                }
            }
            tbody role="rowgroup" {
                @for row in rows { (matrix_row(comparison, dependencies, row)) }
            }
        }
    }
}

fn matrix_row(
    comparison: &Comparison,
    dependencies: &[FactsOfDependency<'_>],
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
                        @for (fact, phase, _) in &dependency.phases {
                            (matrix_cell(comparison, row.first, *fact, phase))
                        }
                    }
                }
            }
        }
    }
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
    // Words that repeat the mark are for screen readers only.
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
