//! The results of each vantage over time, as a line of periods and in words.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{badge, isolated};
use crate::compare::ComparisonOutput;
use crate::compare::change::utc;
use crate::compare::timeline::Period;
use crate::render::result::time_range;
use crate::render::style::status_mark;

/// Maximum number of vantages with a time line, the worst first.
const MAX_LINES: usize = 40;

/// Maximum number of periods in words, the newest first. The line has all that are kept.
const MAX_PERIODS: usize = 6;

/// Width of the drawing, in its own units.
const WIDTH: u32 = 1_000;

/// Width of a period of one run.
const MIN_WIDTH: u32 = 8;

/// Maximum number of periods in a drawing: the newest.
const MAX_DRAWN: usize = 60;

/// Shows the vantages with more than one run at a known time.
pub(super) fn section(output: &ComparisonOutput) -> Markup {
    let vantages = output.comparison.vantages.iter().enumerate();
    let lines: Vec<(&str, &[Period])> = vantages
        .filter_map(|(n, vantage)| {
            let periods = output.timeline(n)?.periods.as_slice();
            let runs: u64 = periods.iter().map(|period| period.runs).sum();
            (runs > 1).then_some((vantage.name.as_str(), periods))
        })
        .collect();
    let more = lines.len().saturating_sub(MAX_LINES);
    html! {
        @if !lines.is_empty() {
            section aria-labelledby="timeline" {
                h2 id="timeline" { "Over time" }
                @for (name, periods) in lines.iter().take(MAX_LINES) { (line(name, periods)) }
                @if more > 0 { p { (more) " more vantages have a history." } }
            }
        }
    }
}

fn line(name: &str, periods: &[Period]) -> Markup {
    let drawn = &periods[periods.len().saturating_sub(MAX_DRAWN)..];
    let ends = drawn.first().zip(drawn.last());
    let words = periods.iter().rev().take(MAX_PERIODS);
    let more = periods.len().saturating_sub(MAX_PERIODS);
    html! {
        div.timeline {
            h3 { (isolated(name)) }
            @if let Some((first, last)) = ends {
                (bar(drawn, first.first, last.last))
                p.ends { span { (utc(first.first)) } span { (utc(last.last)) } }
            }
            ol.periods {
                @for period in words { li { (in_words(period)) } }
                @if more > 0 { li { "and " (more) " earlier periods" } }
            }
        }
    }
}

fn in_words(period: &Period) -> Markup {
    let (runs, plural) = (period.runs, if period.runs == 1 { "" } else { "s" });
    html! {
        (badge(period.result.status)) " "
        @if let Some(cause) = period.result.cause { b { (cause) } " " }
        (time_range(period.first, period.last)) ", " (runs) " run" (plural)
    }
}

/// Draws the periods side by side. A period lasts until the next begins.
fn bar(periods: &[Period], first: Timestamp, last: Timestamp) -> Markup {
    let seconds = |from: Timestamp, to: Timestamp| {
        u64::try_from(to.as_second().saturating_sub(from.as_second())).unwrap_or(0)
    };
    let total = seconds(first, last).max(1);
    let count = u32::try_from(periods.len()).unwrap_or(u32::MAX);
    let shared = u64::from(WIDTH.saturating_sub(MIN_WIDTH.saturating_mul(count)));
    let mut x = 0;
    let mut parts: Vec<(u32, u32, &Period)> = Vec::new();
    for (n, period) in periods.iter().enumerate() {
        let end = periods.get(n + 1).map_or(last, |next| next.first);
        let share = shared * seconds(period.first, end) / total;
        let width = MIN_WIDTH + u32::try_from(share).unwrap_or(0);
        parts.push((x, width, period));
        x += width;
    }
    html! {
        svg.bar viewBox=(format!("0 0 {x} 28")) preserveAspectRatio="none" aria-hidden="true" {
            @for (x, width, period) in &parts {
                rect class=(period.result.status) x=(x) y="0" width=(width) height="28" {}
            }
        }
        div.marks aria-hidden="true" {
            @for (_, width, period) in &parts {
                span style={ "flex-grow:" (width) } { (status_mark(period.result.status)) }
            }
        }
    }
}
