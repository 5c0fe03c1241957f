//! The error of an invalid image reference, with carets under the mistake.

use std::error::Error;
use std::fmt;
use std::ops::Range;

/// Columns shown before the mistake, of it, and after it. Together they show a whole ECR reference
/// with tag and digest.
const MAX_SHOWN: usize = 80;

/// Characters of a quoted part: enough for a Region, account, domain or tag, and less than a line
/// of a terminal.
const MAX_QUOTED: usize = 40;

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidReference {
    /// The text.
    pub input: String,
    /// The part that is wrong, in bytes of the input.
    pub at: Range<usize>,
    /// What is wrong, in one sentence.
    pub message: String,
}

impl InvalidReference {
    /// `part` must be a slice of `input`.
    pub(super) fn new(input: &str, part: &str, message: String) -> Self {
        let start = part.as_ptr().addr() - input.as_ptr().addr();
        Self {
            input: input.to_owned(),
            at: start..start + part.len(),
            message,
        }
    }
}

impl Error for InvalidReference {}

impl fmt::Display for InvalidReference {
    /// Writes the sentence, the text, and carets. It shows at most a few hundred columns of the
    /// text in printable ASCII: wide, zero-width and control characters are escaped, so that the
    /// carets line up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |range: Range<usize>| self.input.get(range).unwrap_or_default();
        let before = escape(part(0..self.at.start));
        let wrong = ellipsize(&escape(part(self.at.clone())), MAX_SHOWN);
        let after = ellipsize(&escape(part(self.at.end..self.input.len())), MAX_SHOWN);
        let before = match before.len().checked_sub(MAX_SHOWN) {
            Some(excess @ 1..) => format!("…{}", &before[excess..]),
            _ => before,
        };
        let (indent, carets) = (before.chars().count(), wrong.chars().count().max(1));
        writeln!(f, "{}", self.message)?;
        writeln!(f, "  {before}{wrong}{after}")?;
        write!(f, "  {:indent$}{}", "", "^".repeat(carets))
    }
}

/// Returns `part` in quotes, escaped and shortened.
pub(super) fn quote(part: &str) -> String {
    format!("\"{}\"", ellipsize(&escape(part), MAX_QUOTED))
}

/// Returns `text` in printable ASCII.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            ' '..='~' => escaped.push(c),
            _ => escaped.extend(c.escape_default()),
        }
    }
    escaped
}

/// Returns `ascii`, cut after `columns` with an ellipsis.
fn ellipsize(ascii: &str, columns: usize) -> String {
    match ascii.get(..columns) {
        Some(kept) if ascii.len() > columns => format!("{kept}…"),
        _ => ascii.to_owned(),
    }
}
