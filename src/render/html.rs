//! HTML pages of a comparison, also of a single report, and of explanations. They load no script,
//! font or image. The content security policy forbids everything that a page does not need, so a
//! hostile report can only show text.

mod advice;
mod comparison;
mod explanation;
mod lane;
mod timeline;
mod vantage;

use maud::{Markup, PreEscaped, html};

use super::picture::{self, Layout, VpcPicture};
use super::replace_control_characters;
use super::result::shown;
use super::style::status_word;
use crate::compare::ComparisonOutput;
use crate::explain::Explanation;
use crate::verdict::Status;

const STYLE: &str = include_str!("html/style.css");

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
                                       img-src data:; base-uri 'none'; form-action 'none'";

/// Bytes of a name that fits beside the matrix and on a phone without a line break.
const MAX_UNBROKEN_NAME: usize = 30;

/// Maximum number of names shown. The rest is folded.
const MAX_NAMES: usize = 8;

/// Maximum number of names that are folded: a page of 100,000 vantages has to open.
const MAX_FOLDED_NAMES: usize = 1_000;

/// Renders a comparison. The comparison of a single report is the page of that report.
pub fn render(output: &ComparisonOutput) -> String {
    render_with_picture(output, &VpcPicture::of(output))
}

/// Renders a comparison with this picture of it, in which objects of the VPC may be named.
pub fn render_with_picture(output: &ComparisonOutput, picture: &VpcPicture) -> String {
    let summary = super::result::headline(&output.comparison);
    let title = format!(
        "{}: {}",
        status_word(output.comparison.status),
        shown(&summary)
    );
    page(&title, &comparison::body(output, picture))
}

/// Renders explanations of stopped tasks.
pub fn render_explanations(explanations: &[Explanation]) -> String {
    page(
        &explanation::title(explanations),
        &explanation::body(explanations),
    )
}

fn page(title: &str, body: &Markup) -> String {
    let page = html! {
        (PreEscaped("<!doctype html>\n"))
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(CONTENT_SECURITY_POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href="data:,";
                title { "pullprobe: " (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(picture::STYLE)) }
            }
            body { (body) }
        }
        "\n"
    };
    replace_control_characters(&page.into_string())
}

/// Shows where and when a page's facts are from.
fn heading(facts: &[(&'static str, String)]) -> Markup {
    html! {
        p.brand {
            "pullprobe"
            @for (name, value) in facts {
                " · "
                @if *name != "time" { (name) " " }
                b { (isolated(value)) }
            }
        }
    }
}

/// A status as a mark and a word.
fn badge(status: Status) -> Markup {
    html! { span class={ "badge " (status) } { (status_word(status)) } }
}

/// Text from a report. `bdi` keeps right-to-left characters in it from reordering the text around
/// it.
fn isolated(text: &str) -> Markup {
    html! { bdi.short[text.len() <= MAX_UNBROKEN_NAME] { (shown(text)) } }
}

/// Lists names, separated by commas. Those beyond [`MAX_NAMES`] are folded.
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

/// Shows a picture in both layouts. The page hides the one that does not fit.
fn figure(picture: &VpcPicture, source: &str) -> Markup {
    if picture.subnets.is_empty() {
        return Markup::default();
    }
    html! {
        section aria-labelledby="picture" {
            h2 id="picture" { "The path to each service" }
            figure.picture {
                (picture.drawn(&Layout::WIDE))
                (picture.drawn(&Layout::NARROW))
                figcaption {
                    "✗ marks where the path breaks: on a thick line for everything behind it, on a dashed line for part of it. "
                    "Dotted line: not reached, or not known. " (source)
                }
            }
        }
    }
}
