//! The page of a cause as text for a terminal: its Markdown without the marks.

use std::fmt::Write as _;

use super::style::Style;

/// Renders a page: headings in bold, paragraphs as wide as the terminal, and commands as they are.
pub fn render(page: &str, style: Style) -> String {
    let mut text = String::new();
    let mut paragraph = String::new();
    let mut is_code = false;
    for line in page.lines() {
        if line.starts_with("```") {
            flush(&mut text, &mut paragraph, style);
            is_code = !is_code;
        } else if is_code {
            let _ = writeln!(text, "{}", format!("    {line}").trim_end());
        } else if let Some(heading) = line.strip_prefix('#') {
            flush(&mut text, &mut paragraph, style);
            let heading = heading.trim_start_matches('#').trim();
            let _ = writeln!(text, "{}", style.bold(heading));
        } else if line.is_empty() {
            flush(&mut text, &mut paragraph, style);
            if !text.ends_with("\n\n") {
                text.push('\n');
            }
        } else {
            if line.starts_with("- ") {
                flush(&mut text, &mut paragraph, style);
            }
            paragraph.push(' ');
            paragraph.push_str(line);
        }
    }
    flush(&mut text, &mut paragraph, style);
    text
}

/// Writes the paragraph or list item that has been read.
fn flush(text: &mut String, paragraph: &mut String, style: Style) {
    let plain = without_marks(paragraph.trim());
    paragraph.clear();
    if plain.is_empty() {
        return;
    }
    let line = match plain.strip_prefix("- ") {
        Some(item) => style.item("·", item, 0),
        None => style.wrap(&plain, 0),
    };
    let _ = writeln!(text, "{line}");
}

/// Returns Markdown without the marks of code, emphasis and links; a link to the web keeps its
/// address.
fn without_marks(markdown: &str) -> String {
    let plain = markdown.replace('`', "").replace("**", "");
    let mut out = String::with_capacity(plain.len());
    let mut rest = plain.as_str();
    while let Some(middle) = rest.find("](") {
        let (before, after) = (&rest[..middle], &rest[middle + 2..]);
        let (Some(start), Some(end)) = (before.rfind('['), after.find(')')) else {
            out.push_str(&rest[..middle + 2]);
            rest = after;
            continue;
        };
        out.push_str(&before[..start]);
        out.push_str(&before[start + 1..]);
        let address = &after[..end];
        if address.starts_with("https://") {
            let _ = write!(out, " ({address})");
        }
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Cause;

    #[test]
    fn no_page_shows_marks_or_breaks_a_command() {
        for cause in Cause::ALL {
            let text = render(cause.page(), Style::new(60));
            let is_mark = |line: &str| line.starts_with('#') || line.starts_with("```");
            assert!(!text.lines().any(is_mark), "{cause}");
            let mut is_code = false;
            for line in cause.page().lines() {
                if line.starts_with("```") {
                    is_code = !is_code;
                } else if is_code {
                    assert!(text.contains(line.trim_end()), "{cause}: {line}");
                }
            }
        }
    }

    #[test]
    fn links_keep_only_addresses_of_the_web() {
        let text =
            without_marks("see `a` in [the guide](https://example.com/x) and [a file](x.md).");
        assert_eq!(
            text,
            "see a in the guide (https://example.com/x) and a file."
        );
    }
}
