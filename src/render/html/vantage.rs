//! One vantage in full: its paths, its findings and everything that was seen, folded until it is
//! wanted.

use std::fmt::Write as _;

use super::path::{Lane, draw};
use super::{Row, badge, escape, isolated, look, named};
use crate::compare::document::{Compared, Document};
use crate::compare::report_view::{Observation, Report};
use crate::verdict::Status;

/// Observations of one step that are listed. A report has all.
const LISTED: usize = 40;

pub(super) fn render(page: &mut String, compared: &Compared, row: &Row<'_>) {
    let document = &compared.document;
    let Some(vantage) = document.vantages.get(row.first) else {
        return;
    };
    // The first is the worst: whoever opens the page wants it.
    let open = if row.first == 0 && vantage.status != Status::Pass {
        " open"
    } else {
        ""
    };
    let cause = vantage
        .cause
        .as_deref()
        .map(|cause| format!(" <span class=\"cause\">{}</span>", escape(cause)));
    let _ = writeln!(
        page,
        "<details class=\"vantage\" id=\"v{}\"{open}>\n<summary>{} <b>{}</b>{}</summary>",
        row.first,
        badge(vantage.status),
        isolated(row.names.first().copied().unwrap_or_default()),
        cause.unwrap_or_default()
    );
    if row.names.len() > 1 {
        let _ = writeln!(page, "<p>The same from {}.</p>", named(&row.names[1..]));
    }
    if let Some(report) = compared.report(row.first) {
        let _ = writeln!(
            page,
            "<p class=\"verdict\">{}</p>",
            isolated(&vantage.summary)
        );
        place(page, &report, document, row.first);
        paths(page, document, row.first, &report);
        findings(page, &report);
        seen(page, document, row.first, &report);
        ruled_out(page, &report);
    }
    page.push_str("</details>\n");
}

fn place(page: &mut String, report: &Report<'_>, document: &Document, n: usize) {
    let Some(vantage) = document.vantages.get(n) else {
        return;
    };
    let at = &report.vantage;
    let known =
        |text: &Option<crate::compare::report_view::Text<'_>>| text.as_deref().map(str::to_owned);
    let runs = match (vantage.reports, vantage.failed) {
        (0 | 1, _) => None,
        (all, failed) => Some(format!("{all}, of which {failed} failed")),
    };
    let rows = [
        ("zone", known(&at.availability_zone)),
        ("subnet", known(&at.subnet_cidr)),
        ("address", known(&at.address)),
        ("cluster", known(&at.cluster)),
        (
            "dependency",
            report
                .identity
                .as_ref()
                .and_then(|identity| known(&identity.role_arn)),
        ),
        (
            "run",
            Some(format!(
                "{} at {}, {} ms",
                report.run.id, report.run.started_at, report.run.elapsed_ms
            )),
        ),
        ("reports", runs),
    ];
    page.push_str("<dl class=\"place\">");
    for (name, value) in rows
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    {
        let _ = write!(
            page,
            "<div><dt>{name}</dt><dd>{}</dd></div>",
            isolated(&value)
        );
    }
    page.push_str("</dl>\n");
}

fn paths(page: &mut String, document: &Document, n: usize, report: &Report<'_>) {
    let task = report.vantage.address.as_deref().unwrap_or("this task");
    let resolver = report
        .vantage
        .resolvers
        .first()
        .map_or("resolver", |resolver| &**resolver);
    page.push_str("<div class=\"paths\">\n");
    for (dependency, phases) in super::dependencies(document) {
        let Some(vantage) = document.vantages.get(n) else {
            continue;
        };
        let of_dependency: Vec<&Observation<'_>> = report
            .observations
            .iter()
            .filter(|seen| &*seen.dependency == dependency)
            .collect();
        let phases: Vec<(&str, &str)> = phases
            .into_iter()
            .filter_map(|(fact, phase)| {
                Some((
                    phase,
                    document
                        .facts
                        .get(fact)?
                        .values
                        .get(&vantage.name)?
                        .as_str(),
                ))
            })
            .collect();
        // The clock and the credentials have no way through the network.
        if phases
            .iter()
            .any(|(phase, _)| *phase == "resolve" || *phase == "connect")
        {
            let host = of_dependency
                .iter()
                .map(|seen| &*seen.host)
                .find(|host| !host.is_empty())
                .unwrap_or_default();
            let addresses = of_dependency
                .iter()
                .filter(|seen| &*seen.phase == "connect" && seen.peer.is_some())
                .count();
            draw(
                page,
                &Lane {
                    dependency,
                    host,
                    phases,
                    addresses,
                },
                task,
                resolver,
            );
        }
    }
    page.push_str("</div>\n");
}

fn findings(page: &mut String, report: &Report<'_>) {
    if report.findings.is_empty() {
        return;
    }
    page.push_str("<h3>What it may be</h3>\n<ol class=\"findings\">\n");
    for finding in &report.findings {
        let _ = writeln!(
            page,
            "<li><b>{}</b> <span class=\"sure\">{}</span><br>{}<br><span class=\"remedy\">→ {}</span></li>",
            escape(&finding.cause),
            escape(&finding.confidence),
            isolated(&finding.summary),
            isolated(&finding.remedy)
        );
    }
    page.push_str("</ol>\n");
}

fn seen(page: &mut String, document: &Document, n: usize, report: &Report<'_>) {
    page.push_str("<h3>What was seen</h3>\n<div class=\"seen\">\n");
    for (fact, row) in document.facts.iter().enumerate() {
        let Some(value) = document
            .vantages
            .get(n)
            .and_then(|vantage| row.values.get(&vantage.name))
        else {
            continue;
        };
        let (class, mark, words) = look(Some(value));
        let _ = writeln!(
            page,
            "<div class=\"step\" id=\"v{n}f{fact}\"><p class=\"cell {class}\"><b>{mark}</b> <span>{}</span> <i>{}</i></p><ul>",
            escape(&row.fact),
            escape(&words)
        );
        let of_fact = |seen: &&Observation<'_>| {
            let known = row.fact.rsplit_once('/');
            known.is_some_and(|(dependency, phase)| {
                &*seen.dependency == dependency
                    && &*seen.phase == phase
                    && seen.superseded_by.is_none()
            })
        };
        let observations: Vec<_> = report.observations.iter().filter(of_fact).collect();
        for seen in observations.iter().take(LISTED) {
            observation(page, seen);
        }
        if let Some(more @ 1..) = observations.len().checked_sub(LISTED) {
            let _ = writeln!(page, "<li>and {more} more</li>");
        }
        page.push_str("</ul></div>\n");
    }
    page.push_str("</div>\n");
}

fn observation(page: &mut String, seen: &Observation<'_>) {
    let outcome = match &*seen.outcome {
        "passed" => format!("passed in {} ms", seen.elapsed_ms),
        "failed" => format!(
            "{} after {} ms",
            seen.failure.as_deref().unwrap_or("failed"),
            seen.elapsed_ms
        ),
        "not-reached" => format!(
            "not reached: {}",
            seen.blocked_by.as_deref().unwrap_or_default()
        ),
        "not-checked" => format!("not checked: {}", seen.why.as_deref().unwrap_or_default()),
        other => other.to_owned(),
    };
    let peer = seen
        .peer
        .as_deref()
        .filter(|_| matches!(&*seen.phase, "connect" | "handshake"));
    let scope = seen.scope.as_deref().map(|scope| match &seen.owner {
        Some(owner) => format!("{scope}, {owner}"),
        None => scope.to_owned(),
    });
    let addresses = (!seen.presented.is_empty() && &*seen.phase == "resolve").then(|| {
        seen.presented
            .iter()
            .map(|address| &**address)
            .collect::<Vec<_>>()
            .join(", ")
    });
    let what = [
        peer.map(str::to_owned),
        scope.filter(|_| peer.is_some() || addresses.is_some()),
        addresses,
        seen.subject.as_deref().map(str::to_owned),
    ];
    let what: Vec<String> = what
        .into_iter()
        .flatten()
        .map(|part| isolated(&part))
        .collect();
    let detail = if seen.detail.is_empty() {
        String::new()
    } else {
        format!(" <span class=\"detail\">{}</span>", isolated(&seen.detail))
    };
    let _ = writeln!(
        page,
        "<li><span class=\"what\">{}</span> {}{detail}</li>",
        what.join(" · "),
        isolated(&outcome)
    );
}

fn ruled_out(page: &mut String, report: &Report<'_>) {
    if report.ruled_out.is_empty() {
        return;
    }
    let codes: Vec<String> = report
        .ruled_out
        .iter()
        .map(|excluded| escape(&excluded.cause))
        .collect();
    let _ = writeln!(
        page,
        "<p class=\"ruled\"><b>Ruled out:</b> {}</p>",
        codes.join(", ")
    );
}
