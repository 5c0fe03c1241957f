//! One vantage in full, folded: its network paths, its findings and all observations.

use maud::{Markup, html};

use super::advice::in_full;
use super::comparison::Row;
use super::{badge, isolated, lane, name_list};
use crate::compare::ComparisonOutput;
use crate::compare::comparison::{Comparison, VantageSummary};
use crate::compare::report_view::{ObservationView, ReportView, Text};
use crate::render::comparison::Cell;
use crate::render::picture::{PictureSubnet, VpcPicture};
use crate::verdict::Status;

/// Maximum number of observations shown for one step. The report has all of them.
const MAX_OBSERVATIONS: usize = 40;

/// Renders the first vantage of a row.
pub(super) fn details(output: &ComparisonOutput, picture: &VpcPicture, row: &Row<'_>) -> Markup {
    let comparison = &output.comparison;
    let Some(vantage) = comparison.vantages.get(row.first) else {
        return Markup::default();
    };
    // The first vantage is the worst, which a reader wants to see first.
    let open = row.first == 0 && vantage.status != Status::Pass;
    html! {
        details.vantage id={ "v" (row.first) } open[open] {
            summary {
                (badge(vantage.status)) " " b { (isolated(&vantage.name)) }
                @if let Some(cause) = &vantage.cause { " " span.cause { (cause) } }
            }
            @if row.names.len() > 1 {
                p { "The result is the same at " (name_list(&row.names[1..])) "." }
            }
            @if let Some(report) = output.latest_report(row.first) {
                p.verdict { (isolated(&vantage.summary)) }
                (place(vantage, &report))
                (paths(picture.subnet(&vantage.name), &report))
                (findings(&report))
                (observations(comparison, row.first, vantage, &report))
                (ruled_out(&report))
            }
        }
    }
}

fn place(vantage: &VantageSummary, report: &ReportView<'_>) -> Markup {
    let (at, run) = (&report.vantage, &report.run);
    let known = |text: &Option<Text<'_>>| text.as_deref().map(str::to_owned);
    let role = report
        .identity
        .as_ref()
        .and_then(|identity| known(&identity.role_arn));
    let is_measured = report.observations.iter().any(|o| o.witness.is_none());
    let elapsed = is_measured.then(|| format!(", {} ms", run.elapsed_ms));
    let elapsed = elapsed.unwrap_or_default();
    let run = format!("{} at {}{elapsed}", run.id, run.started_at);
    let reports = (vantage.reports > 1).then(|| {
        let (all, failed) = (vantage.reports, vantage.failed);
        format!("{all}, of which {failed} failed")
    });
    let rows = [
        ("zone", known(&at.availability_zone)),
        ("subnet", known(&at.subnet_cidr)),
        ("address", known(&at.address)),
        ("cluster", known(&at.cluster)),
        ("role", role),
        ("run", Some(run)),
        ("reports", reports),
    ];
    html! {
        dl.place {
            @for (name, value) in rows {
                @if let Some(value) = value {
                    div { dt { (name) } dd { (isolated(&value)) } }
                }
            }
        }
    }
}

fn paths(subnet: Option<&PictureSubnet>, report: &ReportView<'_>) -> Markup {
    let task = report.vantage.address.as_deref().unwrap_or("this task");
    let paths = subnet.map_or(&[][..], |subnet| &subnet.paths);
    html! {
        div.paths {
            @for path in paths { (lane::draw(path, task, dialed(report, &path.service))) }
        }
    }
}

/// Returns to how many addresses of a dependency the probe connected.
fn dialed(report: &ReportView<'_>, dependency: &str) -> usize {
    let observations = report.observations.iter();
    observations
        .filter(|o| &*o.dependency == dependency && &*o.phase == "connect" && o.peer.is_some())
        .count()
}

fn findings(report: &ReportView<'_>) -> Markup {
    if report.findings.is_empty() {
        return Markup::default();
    }
    html! {
        h3 { "Possible causes" }
        ol.findings {
            @for finding in &report.findings {
                li { (in_full(finding)) }
            }
        }
    }
}

/// Lists the observations by step. The anchor of a step is what its cell in the matrix links to.
fn observations(
    comparison: &Comparison,
    n: usize,
    vantage: &VantageSummary,
    report: &ReportView<'_>,
) -> Markup {
    html! {
        h3 { "Observations" }
        div.observations {
            @for (fact, row) in comparison.facts.iter().enumerate() {
                @if let Some(value) = row.values.get(&vantage.name) {
                    @let cell = Cell::new(Some(value));
                    @let observations = report.observations_of(&row.fact);
                    div.step id={ "v" (n) "f" (fact) } {
                        p.cell.(cell.class) {
                            b { (cell.mark) } " " span { (row.fact) } " " i { (cell.words) }
                        }
                        ul {
                            @for observation in observations.iter().take(MAX_OBSERVATIONS) {
                                li { (observation_line(observation)) }
                            }
                            @if let Some(more @ 1..) =
                                observations.len().checked_sub(MAX_OBSERVATIONS)
                            {
                                li { "and " (more) " more" }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn observation_line(observation: &ObservationView<'_>) -> Markup {
    html! {
        span.what {
            @for (n, part) in subject(observation).iter().enumerate() {
                @if n > 0 { " · " }
                (isolated(part))
            }
        }
        " " (isolated(&outcome(observation)))
        @if !observation.detail.is_empty() {
            " " span.detail { (isolated(&observation.detail)) }
        }
    }
}

fn outcome(observation: &ObservationView<'_>) -> String {
    match &*observation.outcome {
        "passed" => match observation.measured_ms() {
            Some(elapsed_ms) => format!("passed in {elapsed_ms} ms"),
            None => "passed, as Amazon ECS reports".to_owned(),
        },
        "failed" => {
            let failure = observation.failure.as_deref().unwrap_or("failed");
            match observation.measured_ms() {
                Some(elapsed_ms) => format!("{failure} after {elapsed_ms} ms"),
                None => format!("{failure}, as Amazon ECS reports"),
            }
        }
        "not-reached" => {
            let blocked_by = observation.blocked_by.as_deref().unwrap_or_default();
            format!("not reached, blocked by {blocked_by}")
        }
        "not-checked" => {
            let why = observation.why.as_deref().unwrap_or_default();
            format!("not checked: {why}")
        }
        other => other.to_owned(),
    }
}

/// Returns what was checked: the address with its scope and owner, or the addresses of a name, and
/// the image, layer or secret.
fn subject(observation: &ObservationView<'_>) -> Vec<String> {
    let phase = &*observation.phase;
    let peer = observation.peer.as_deref();
    let peer = peer.filter(|_| matches!(phase, "connect" | "handshake"));
    let addresses: Vec<&str> = observation.presented.iter().map(|a| &**a).collect();
    let addresses = (phase == "resolve" && !addresses.is_empty()).then(|| addresses.join(", "));
    let scope = observation.scope.as_deref().map(|scope| {
        let owner = observation.owner.as_ref();
        owner.map_or_else(|| scope.to_owned(), |owner| format!("{scope}, {owner}"))
    });
    let scope = scope.filter(|_| peer.is_some() || addresses.is_some());
    [
        peer.map(str::to_owned),
        scope,
        addresses,
        observation.subject.as_deref().map(str::to_owned),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn ruled_out(report: &ReportView<'_>) -> Markup {
    if report.ruled_out.is_empty() {
        return Markup::default();
    }
    let causes: Vec<&str> = report.ruled_out.iter().map(|ruled| &*ruled.cause).collect();
    html! { p.ruled { b { "Ruled out:" } " " (causes.join(", ")) } }
}
