//! How text is laid out on a terminal: width, colors, and how much is shown; and the marks, which
//! every format shares.

use crate::verdict::Status;

/// Columns of a terminal whose width is not known.
const DEFAULT_WIDTH: usize = 80;

/// Line widths in use. In a narrower line a host name breaks in two; a wider one is hard to read.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=200;

/// Columns below which a table has no room for its cells, and becomes a list.
const NARROW: usize = 72;

/// Returns the mark of a status, which says the same without color.
pub(super) const fn status_mark(status: Status) -> &'static str {
    match status {
        Status::Pass => "✓",
        Status::Warn => "!",
        Status::Inconclusive => "?",
        Status::Fail => "✗",
    }
}

/// Returns a status as a mark and a word.
pub(super) fn status_word(status: Status) -> String {
    format!("{} {status}", status_mark(status))
}

/// Width, colors, and how much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether to add ANSI colors; without them the marks carry the meaning.
    pub color: bool,
    /// Whether to show all that a report has.
    pub verbose: bool,
    width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self::new(DEFAULT_WIDTH)
    }
}

impl Style {
    /// Returns a style of this many columns, without colors.
    pub fn new(width: usize) -> Self {
        Self {
            color: false,
            verbose: false,
            width: width.clamp(*WIDTHS.start(), *WIDTHS.end()),
        }
    }

    /// Returns the style with or without colors.
    #[must_use]
    pub fn with_color(self, color: bool) -> Self {
        Self { color, ..self }
    }

    /// Returns the style that shows everything, or only the essentials.
    #[must_use]
    pub fn with_verbose(self, verbose: bool) -> Self {
        Self { verbose, ..self }
    }

    /// Returns the width in columns.
    pub fn width(self) -> usize {
        self.width
    }

    pub(super) fn is_narrow(self) -> bool {
        self.width < NARROW
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// Paints text by the mark that it begins with.
    pub(super) fn by_mark(self, text: &str) -> String {
        match text.chars().next() {
            Some('✓') => self.with("32", text),
            Some('✗') => self.with("31", text),
            Some('!' | '?') => self.with("33", text),
            _ => text.to_owned(),
        }
    }

    /// Wraps text at spaces, indented by `indent` columns. A word longer than a line stays whole,
    /// so that it can be copied.
    pub fn wrap(self, text: &str, indent: usize) -> String {
        let margin = " ".repeat(indent);
        let mut lines = vec![margin.clone()];
        for word in text.split_whitespace() {
            let Some(line) = lines.last_mut() else { break };
            let empty = line.len() == indent;
            if !empty && line.chars().count() + 1 + word.chars().count() > self.width {
                lines.push(format!("{margin}{word}"));
            } else {
                if !empty {
                    line.push(' ');
                }
                line.push_str(word);
            }
        }
        lines.join("\n")
    }

    /// Wraps text behind a mark at `indent` columns; the other lines are indented past the mark.
    pub fn item(self, mark: &str, text: &str, indent: usize) -> String {
        let marked = indent + mark.chars().count() + 1;
        let lines = self.wrap(text, marked);
        format!(
            "{}{} {}",
            " ".repeat(indent),
            self.by_mark(mark),
            lines.trim_start()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Style;

    #[test]
    fn text_is_wrapped_between_40_and_200_columns() {
        let text = "word ".repeat(100);
        for (asked, columns) in [(1, 40), (40, 40), (61, 61), (200, 200), (1_000, 200)] {
            let lines = Style::new(asked).item("✗", &text, 2);
            let longest = lines.lines().map(|line| line.chars().count()).max();
            assert!(
                longest.is_some_and(|longest| longest <= columns && longest > columns - 6),
                "{asked}: {longest:?}"
            );
        }
    }

    #[test]
    fn a_word_longer_than_the_line_stays_whole() {
        let host = "prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com";
        assert!(
            Style::new(40)
                .wrap(&format!("at {host} again"), 2)
                .contains(host)
        );
    }
}
