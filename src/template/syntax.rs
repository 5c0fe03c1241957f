//! Where a text cannot be read: line, column and the line itself.

use crate::redact;
use crate::safe_text::is_hidden;

/// Characters of a line that an error shows before and after the position.
const CONTEXT: usize = 60;

/// A text that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxProblem {
    /// Byte offset.
    pub at: usize,
    /// One sentence without a final dot.
    pub message: String,
}

impl SyntaxProblem {
    pub fn new(at: usize, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }

    /// Returns the message with its position, and below it the line and a mark under the position.
    pub fn in_text(&self, text: &str) -> String {
        let mut at = self.at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let start = text[..at].rfind('\n').map_or(0, |line| line + 1);
        let line_number = text[..at].matches('\n').count() + 1;
        let column = text[start..at].chars().count() + 1;
        let line = text[start..].lines().next().unwrap_or_default();
        let (shown, mark) = excerpt(line, column - 1);
        format!(
            "line {line_number}, column {column}: {}\n  {shown}\n  {:mark$}^",
            self.message, ""
        )
    }
}

/// Returns the part of the line around the column, without secrets and control characters, and the
/// column in it.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let skipped = column.saturating_sub(CONTEXT);
    let part = |from: usize, count: usize| {
        let plain = |c: char| {
            if is_hidden(c) { ' ' } else { c }
        };
        line.chars()
            .skip(from)
            .take(count)
            .map(plain)
            .collect::<String>()
    };
    let before = without_values(&part(skipped, column - skipped));
    let after = without_values(&part(column, CONTEXT));
    let shown = before.trim_start();
    (
        redact::redact(&format!("{shown}{}", after.trim_end())),
        redact::redact(shown).chars().count(),
    )
}

/// Hides the values of environment variables, which may be secrets: what follows `"value":`.
fn without_values(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let Some(at) = lower.find("value") else {
        return text.to_owned();
    };
    let after = at + "value".len();
    let is_key = text[after..]
        .trim_start_matches(['"', '\'', ' '])
        .starts_with([':', '=']);
    match text[after..].find([':', '=']) {
        Some(colon) if is_key => format!("{} …", &text[..=after + colon]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_line_and_the_column() {
        let text = "{\n  \"a\": 1\n  \"b\": 2\n}";
        let at = text.find("\"b\"").unwrap();
        assert_eq!(
            SyntaxProblem::new(at, "expected a comma").in_text(text),
            "line 3, column 3: expected a comma\n  \"b\": 2\n  ^"
        );
    }

    #[test]
    fn shows_no_value_and_no_control_character() {
        let text = "{ \"name\": \"PW\", \"value\": \"hunter2\" \u{1b}[31m x }";
        let shown = SyntaxProblem::new(text.len() - 2, "no").in_text(text);
        assert!(
            !shown.contains("hunter2") && !shown.contains('\u{1b}'),
            "{shown}"
        );
        let long = format!("{}é!", "a ".repeat(5_000));
        let shown = SyntaxProblem::new(long.len() - 1, "no").in_text(&long);
        assert!(
            shown.len() < 400 && shown.contains("line 1, column 10002"),
            "{shown}"
        );
        assert!(
            SyntaxProblem::new(usize::MAX, "no")
                .in_text("é")
                .contains("column 2")
        );
    }
}
