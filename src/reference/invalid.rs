//! A mistake in an image reference, and the carets under it.

use std::error::Error;
use std::fmt;
use std::ops::Range;

/// Columns shown before the mistake, of it, and after it. Their sum holds a whole ECR reference
/// with tag and digest.
const SHOWN: usize = 80;

/// Characters of a quoted part. A region, account, domain or tag fits; a line of a terminal is not
/// filled.
const QUOTED: usize = 40;

/// Why a text is no image reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidReference {
    /// The text.
    pub input: String,
    /// Its part that is wrong, in bytes.
    pub at: Range<usize>,
    /// One sentence.
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
    /// The sentence, the text, and carets. At most a few hundred columns of the text are shown, and
    /// only as printable ASCII: what has no width, or two columns, or commands the terminal, is
    /// escaped, so that the carets are in place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |range: Range<usize>| self.input.get(range).unwrap_or_default();
        let before = escape(part(0..self.at.start));
        let wrong = shorten(&escape(part(self.at.clone())), SHOWN);
        let after = shorten(&escape(part(self.at.end..self.input.len())), SHOWN);
        let before = match before.len().checked_sub(SHOWN) {
            Some(excess @ 1..) => format!("…{}", &before[excess..]),
            _ => before,
        };
        let (indent, carets) = (before.chars().count(), wrong.chars().count().max(1));
        writeln!(f, "image reference: {}", self.message)?;
        writeln!(f, "  {before}{wrong}{after}")?;
        write!(f, "  {:indent$}{}", "", "^".repeat(carets))
    }
}

/// The part in quotes, escaped and bounded.
pub(super) fn quote(part: &str) -> String {
    format!("\"{}\"", shorten(&escape(part), QUOTED))
}

/// In printable ASCII.
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

/// `ascii`, cut after `columns`.
fn shorten(ascii: &str, columns: usize) -> String {
    match ascii.get(..columns) {
        Some(kept) if ascii.len() > columns => format!("{kept}…"),
        _ => ascii.to_owned(),
    }
}
