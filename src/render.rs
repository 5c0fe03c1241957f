//! Renders reports, comparisons, explanations and plans for people and for other tools.

#[cfg(feature = "operator")]
pub mod cloudformation;
#[cfg(feature = "operator")]
pub mod comparison;
#[cfg(feature = "operator")]
pub mod dashboard;
pub mod explanation;
#[cfg(feature = "operator")]
pub mod hcl;
#[cfg(feature = "operator")]
pub mod html;
#[cfg(feature = "operator")]
pub mod infrastructure;
#[cfg(feature = "operator")]
pub mod inspection;
#[cfg(feature = "operator")]
pub mod junit;
#[cfg(feature = "operator")]
pub mod markdown;
pub mod page;
#[cfg(feature = "operator")]
pub mod picture;
pub mod plan;
#[cfg(feature = "operator")]
pub mod plan_picture;
#[cfg(feature = "operator")]
pub(crate) mod policy;
#[cfg(feature = "operator")]
mod result;
pub mod style;
#[cfg(feature = "operator")]
mod svg;
#[cfg(feature = "operator")]
pub mod template;
#[cfg(feature = "operator")]
pub mod terraform;
pub mod text;
#[cfg(feature = "operator")]
pub mod tree;

/// Escapes control and invisible characters, as everywhere else, and replaces noncharacters, which
/// XML cannot contain (XML 1.0, section 2.2) and HTML should not.
#[cfg(feature = "operator")]
fn replace_control_characters(text: &str) -> String {
    crate::safe_text::escape_lines(text, false).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}
