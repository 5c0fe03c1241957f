//! Renders reports, comparisons, explanations and plans for people and for other tools.

#[cfg(feature = "operator")]
pub mod cloudformation;
#[cfg(feature = "operator")]
pub mod comparison;
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
pub mod plan;
#[cfg(feature = "operator")]
pub mod plan_picture;
#[cfg(feature = "operator")]
mod policy;
pub mod style;
#[cfg(feature = "operator")]
pub mod template;
#[cfg(feature = "operator")]
pub mod terraform;
pub mod text;
#[cfg(feature = "operator")]
pub mod tree;

/// Replaces control characters and noncharacters, which XML cannot contain (XML 1.0, section 2.2)
/// and HTML should not.
#[cfg(feature = "operator")]
fn replace_control_characters(text: &str) -> String {
    let allowed = |c: char| match c {
        '\n' | '\t' => true,
        c => !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}'),
    };
    text.chars()
        .map(|c| if allowed(c) { c } else { '\u{fffd}' })
        .collect()
}
