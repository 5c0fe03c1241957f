//! The comparison as one page: no script, no font, no image from anywhere. Its content security
//! policy forbids what it does not need, so that a report cannot make it do more than show text.

mod path;
mod vantage;

use std::fmt::Write as _;

use super::comparison::{status_word, what_was_read};
use super::escape;
use crate::compare::document::{Compared, Document, by_value};
use crate::compare::fact::{Kind, kind};
use crate::compare::group::groups;
use crate::verdict::Status;

const STYLE: &str = include_str!("html/style.css");

/// Up to this many vantages each has a row. OutsideVpc it, those that are alike share one.
const ROWS: usize = 40;

/// Rows with details. The JSON has all.
const LONGEST_TABLE: usize = 200;

/// Characters of a name that fits beside the matrix and on a phone.
const SHORT: usize = 30;

/// Names shown before the rest is folded.
const NAMED: usize = 8;

/// A row of the matrix: vantages that are alike, shown by the first.
struct Row<'a> {
    names: Vec<&'a str>,
    first: usize,
}

/// The page.
pub fn render(compared: &Compared) -> String {
    let document = &compared.document;
    let rows = rows(document);
    let title = format!("pullprobe: {}", document.summary);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         img-src data:; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        escape(&title)
    );
    header(&mut page, document);
    page.push_str("<main>\n");
    differences(&mut page, document);
    matrix(&mut page, document, &rows);
    changes(&mut page, document);
    page.push_str(
        "<section aria-labelledby=\"vantages\">\n<h2 id=\"vantages\">From each vantage</h2>\n",
    );
    for row in rows.iter().take(LONGEST_TABLE) {
        vantage::render(&mut page, compared, row);
    }
    page.push_str("</section>\n</main>\n");
    let _ = write!(
        page,
        "<footer><p>{}</p></footer>\n</body>\n</html>\n",
        escape(&what_was_read(document))
    );
    page
}

fn rows(document: &Document) -> Vec<Row<'_>> {
    if document.vantages.len() <= ROWS {
        let alone = document.vantages.iter().enumerate();
        return alone
            .map(|(first, vantage)| Row {
                names: vec![&vantage.name],
                first,
            })
            .collect();
    }
    let first = |members: &[usize]| members.first().copied().unwrap_or_default();
    groups(document)
        .into_iter()
        .map(|group| Row {
            first: first(&group.members),
            names: group.names,
        })
        .collect()
}

fn header(page: &mut String, document: &Document) {
    let _ = writeln!(
        page,
        "<header>\n<p class=\"brand\">pullprobe · comparison</p>\n<h1>{} {}</h1>",
        badge(document.status),
        escape(&document.summary)
    );
    // The cards say it better.
    if document.first_difference.is_none() {
        let _ = writeln!(
            page,
            "<p class=\"lead\">{}</p>",
            isolated(&document.explanation)
        );
    }
    page.push_str("</header>\n");
}

/// A status as a mark and a word.
fn badge(status: Status) -> String {
    format!(
        "<span class=\"badge {status}\">{}</span>",
        status_word(status)
    )
}

/// Text of others, kept from turning the line around.
fn isolated(text: &str) -> String {
    // A short name is not broken at its hyphens.
    let class = if text.len() <= SHORT {
        " class=\"short\""
    } else {
        ""
    };
    format!("<bdi{class}>{}</bdi>", escape(text))
}

/// The class of a value, its mark, and the words that the mark does not say.
fn look(value: Option<&str>) -> (&'static str, &'static str, String) {
    let Some(value) = value else {
        return ("unasked", "·", "not asked".into());
    };
    match kind(value) {
        Kind::Passed => {
            let place = value
                .strip_prefix("passed (")
                .and_then(|rest| rest.strip_suffix(')'));
            ("passed", "✓", place.unwrap_or("passed").to_owned())
        }
        Kind::Failed => ("failed", "✗", value.to_owned()),
        Kind::Partly => ("partly", "!", value.to_owned()),
        Kind::NotReached => ("unreached", "–", "not reached".into()),
        Kind::NotChecked => ("unchecked", "?", "not checked".into()),
    }
}

/// Names, the many folded.
fn named(names: &[&str]) -> String {
    let bdi = |names: &[&str]| {
        names
            .iter()
            .map(|name| isolated(name))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if names.len() <= NAMED {
        return bdi(names);
    }
    let (shown, folded) = names.split_at(NAMED);
    format!(
        "{} <details class=\"more\"><summary>and {} more</summary>{}</details>",
        bdi(shown),
        folded.len(),
        bdi(folded)
    )
}

fn differences(page: &mut String, document: &Document) {
    let Some(first) = &document.first_difference else {
        return;
    };
    page.push_str("<section aria-labelledby=\"difference\">\n<h2 id=\"difference\">The first difference</h2>\n");
    for (n, difference) in std::iter::once(first)
        .chain(&document.other_differences)
        .enumerate()
    {
        if n == 1 {
            page.push_str("<h3>Where it fails in another way</h3>\n");
        }
        let _ = writeln!(
            page,
            "<div class=\"card\">\n<p class=\"fact\">{}</p>\n<dl class=\"sides\">",
            escape(&difference.fact)
        );
        for (title, values) in [
            ("where it passes", &difference.passing),
            ("where it fails", &difference.failing),
        ] {
            for (value, names) in by_value(values) {
                let (class, mark, words) = look(Some(value));
                let _ = writeln!(
                    page,
                    "<div><dt><span class=\"side\">{title}</span> <span class=\"cell {class}\"><b>{mark}</b> {}</span></dt>\
                     <dd>{}</dd></div>",
                    escape(&words),
                    named(&names)
                );
            }
        }
        page.push_str("</dl>\n</div>\n");
    }
    let explained = |name: &String| {
        let mut found = document
            .first_difference
            .iter()
            .chain(&document.other_differences);
        found.any(|difference| difference.failing.contains_key(name))
    };
    let worst = document
        .vantages
        .iter()
        .filter(|vantage| vantage.status == document.status);
    let left: Vec<&str> = worst
        .filter(|vantage| !explained(&vantage.name))
        .map(|vantage| vantage.name.as_str())
        .collect();
    if !left.is_empty() {
        let _ = writeln!(
            page,
            "<p>No fact differs from what passes at {}.</p>",
            named(&left)
        );
    }
    page.push_str("</section>\n");
}

const LEGEND: [(&str, &str, &str); 5] = [
    ("passed", "✓", "works"),
    ("failed", "✗", "fails"),
    ("partly", "!", "some addresses fail"),
    ("unreached", "–", "not reached: something before it failed"),
    ("unchecked", "?", "not checked"),
];

fn matrix(page: &mut String, document: &Document, rows: &[Row<'_>]) {
    let dependencies: Vec<(&str, Vec<(usize, &str)>)> = dependencies(document);
    page.push_str(
        "<section aria-labelledby=\"matrix\">\n<h2 id=\"matrix\">Every vantage, every step</h2>\n<ul class=\"legend\">",
    );
    for (class, mark, words) in LEGEND {
        let _ = write!(
            page,
            "<li><span class=\"cell {class}\"><b>{mark}</b> {words}</span></li>"
        );
    }
    page.push_str(
        "</ul>\n<div class=\"scroll\" role=\"region\" aria-labelledby=\"matrix\" tabindex=\"0\">\n<table class=\"matrix\" \
         role=\"table\">\n<thead role=\"rowgroup\"><tr role=\"row\"><th role=\"columnheader\" scope=\"col\">vantage</th>",
    );
    for (dependency, _) in &dependencies {
        let _ = write!(
            page,
            "<th role=\"columnheader\" scope=\"col\">{}</th>",
            escape(dependency)
        );
    }
    page.push_str("</tr></thead>\n<tbody role=\"rowgroup\">\n");
    for row in rows.iter().take(LONGEST_TABLE) {
        let Some(vantage) = document.vantages.get(row.first) else {
            continue;
        };
        let cause = vantage
            .cause
            .as_deref()
            .map(|cause| format!("<span class=\"cause\">{}</span>", escape(cause)));
        let _ = write!(
            page,
            "<tr role=\"row\"><th role=\"rowheader\" scope=\"row\"><a href=\"#v{}\">{}</a>{}{}</th>",
            row.first,
            named(&row.names[..1]),
            badge(vantage.status),
            cause.unwrap_or_default()
        );
        if row.names.len() > 1 {
            page.truncate(page.len() - "</th>".len());
            let _ = write!(
                page,
                "<span class=\"cause\">and {} alike</span></th>",
                row.names.len() - 1
            );
        }
        for (dependency, phases) in &dependencies {
            let _ = write!(
                page,
                "<td role=\"cell\"><span class=\"dependency\">{}</span><ul class=\"ladder\">",
                escape(dependency)
            );
            for (n, phase) in phases {
                cell(page, document, row.first, *n, phase);
            }
            page.push_str("</ul></td>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
    if let Some(more @ 1..) = rows.len().checked_sub(LONGEST_TABLE) {
        let _ = writeln!(
            page,
            "<p>{more} more sorts of vantages are left out here; <code>--format json</code> has all.</p>"
        );
    }
    page.push_str("</section>\n");
}

/// Each dependency with its phases and their places among the facts.
fn dependencies(document: &Document) -> Vec<(&str, Vec<(usize, &str)>)> {
    let mut dependencies: Vec<(&str, Vec<(usize, &str)>)> = Vec::new();
    for (n, fact) in document.facts.iter().enumerate() {
        let Some((dependency, phase)) = fact.fact.rsplit_once('/') else {
            continue;
        };
        match dependencies
            .iter_mut()
            .find(|(known, _)| *known == dependency)
        {
            Some((_, phases)) => phases.push((n, phase)),
            None => dependencies.push((dependency, vec![(n, phase)])),
        }
    }
    dependencies
}

fn cell(page: &mut String, document: &Document, vantage: usize, fact: usize, phase: &str) {
    let (Some(row), Some(whose)) = (document.facts.get(fact), document.vantages.get(vantage))
    else {
        return;
    };
    let value = row.values.get(&whose.name).map(String::as_str);
    let (class, mark, words) = look(value);
    let first = document
        .first_difference
        .as_ref()
        .is_some_and(|d| d.fact == row.fact && d.failing.contains_key(&whose.name));
    let first = if first { " first" } else { "" };
    // What the mark says already is for those who cannot see it.
    let class_of_words = if ["passed", "not-reached"].contains(&value.unwrap_or_default()) {
        " class=\"unseen\""
    } else {
        ""
    };
    let inside = format!(
        "<b>{mark}</b> <span>{}</span> <i{class_of_words}>{}</i>",
        escape(phase),
        escape(&words)
    );
    let _ = match value {
        Some(_) => write!(
            page,
            "<li><a class=\"cell {class}{first}\" href=\"#v{vantage}f{fact}\">{inside}</a></li>"
        ),
        None => write!(
            page,
            "<li><span class=\"cell {class}\">{inside}</span></li>"
        ),
    };
}

fn changes(page: &mut String, document: &Document) {
    if document.changes.is_empty() {
        return;
    }
    page.push_str("<section aria-labelledby=\"changes\">\n<h2 id=\"changes\">What changed</h2>\n");
    for changes in document.changes.chunk_by(|a, b| a.vantage == b.vantage) {
        let name = changes
            .first()
            .map(|change| change.vantage.as_str())
            .unwrap_or_default();
        let _ = writeln!(page, "<h3>{}</h3>\n<ul class=\"changes\">", isolated(name));
        for change in changes {
            let _ = writeln!(page, "<li>{}</li>", isolated(&change.summary));
        }
        page.push_str("</ul>\n");
    }
    page.push_str("</section>\n");
}
