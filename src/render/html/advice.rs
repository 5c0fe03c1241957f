//! What to do about a result: the remedy, and the statement or command to copy.

use maud::{Markup, html};

use super::{badge, isolated, name_list};
use crate::compare::ComparisonOutput;
use crate::compare::report_view::{FindingView, ReportView};
use crate::render::result::{self, MAX_FIXES, MAX_RESULTS, SameResult};

/// Shows each distinct result that is not a pass, the worst first.
pub(super) fn cards(output: &ComparisonOutput) -> Markup {
    let (results, rest) = result::results(output);
    let headline = result::headline(&output.comparison);
    let more = results.len().saturating_sub(MAX_RESULTS);
    html! {
        @if !results.is_empty() {
            section.results aria-label="What to do" {
                @for result in results.iter().take(MAX_RESULTS) {
                    (card(output, result, &headline))
                }
                @if more > 0 { p { (more) " more results are in the details below." } }
                @if let Some(rest) = &rest { p { (rest) } }
            }
        }
    }
}

fn card(output: &ComparisonOutput, same: &SameResult<'_>, headline: &str) -> Markup {
    let Some(vantage) = output.comparison.vantages.get(same.first) else {
        return Markup::default();
    };
    let report = output.latest_report(same.first);
    let finding = report.as_ref().and_then(|report| report.findings.first());
    let is_said = vantage.summary == headline;
    html! {
        div class={ "card " (same.status) } {
            p.who {
                (badge(same.status)) " "
                @if output.comparison.vantages.len() > 1 { (name_list(&same.names)) }
                @else { (isolated(&vantage.name)) }
            }
            @if !is_said { p.sentence { (isolated(&vantage.summary)) } }
            @if let (Some(report), Some(finding)) = (&report, finding) {
                (to_do(finding))
                (proof(report, finding))
                @let others = report.findings.get(1..).unwrap_or_default();
                (alternatives("Other possible causes, and further findings", others))
            }
        }
    }
}

/// Shows what to do about a finding.
pub(super) fn to_do(finding: &FindingView<'_>) -> Markup {
    html! {
        @if !finding.remedy.is_empty() {
            div.remedy {
                b { "What to do" }
                p { (isolated(&finding.remedy)) }
                @for fix in finding.fix.iter().take(MAX_FIXES) { pre.copy { (isolated(fix)) } }
            }
        }
    }
}

/// Shows the code of a finding's cause, and how sure it is.
pub(super) fn cause(finding: &FindingView<'_>) -> Markup {
    html! {
        p.cause {
            b { (isolated(&finding.cause)) }
            @if !finding.confidence.is_empty() { " (" (isolated(&finding.confidence)) ")" }
        }
    }
}

fn proof(report: &ReportView<'_>, finding: &FindingView<'_>) -> Markup {
    let proofs = result::proofs(report, finding);
    html! {
        (cause(finding))
        @if !proofs.is_empty() {
            ul.proof { @for line in &proofs { li { (isolated(line)) } } }
        }
    }
}

/// Lists the findings after the first, which may be other causes of the same failure, folded.
pub(super) fn alternatives(heading: &str, others: &[FindingView<'_>]) -> Markup {
    html! {
        @if !others.is_empty() {
            details.more {
                summary { (heading) " (" (others.len()) ")" }
                ol.findings start="2" { @for finding in others { li { (in_full(finding)) } } }
            }
        }
    }
}

/// Shows a finding with its sentence and its remedy.
pub(super) fn in_full(finding: &FindingView<'_>) -> Markup {
    html! {
        b { (isolated(&finding.cause)) } " " span.sure { (isolated(&finding.confidence)) }
        br;
        (isolated(&finding.summary))
        @if !finding.remedy.is_empty() { p.then { "→ " (isolated(&finding.remedy)) } }
        @for fix in finding.fix.iter().take(MAX_FIXES) { pre.copy { (isolated(fix)) } }
    }
}
