//! Documents for people and for other tools.

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
pub mod junit;
#[cfg(feature = "operator")]
pub mod markdown;
pub mod plan;
#[cfg(feature = "operator")]
mod policy;
#[cfg(feature = "operator")]
pub mod template;
#[cfg(feature = "operator")]
pub mod terraform;
pub mod text;
#[cfg(feature = "operator")]
pub mod tree;

/// Text for XML and HTML, in content and in attributes. What XML has no characters for is left out
/// (XML 1.0 section 2.2).
#[cfg(feature = "operator")]
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}
