//! Normalizes a text as users paste it: one line, without markup, and a second form in which
//! phrases are found.

use crate::redact::shorten;

/// Maximum number of characters read of a text. A stopped reason has at most 1,024; an email around
/// it is longer.
pub const MAX_TEXT_CHARS: usize = 32_768;

/// Number of times HTML entities are decoded: an email that quotes another has `&amp;quot;`.
const ENTITY_ROUNDS: usize = 3;

/// Maximum length in bytes of an entity that is decoded, such as `&thinsp;` or `&#x2019;`.
const MAX_ENTITY_BYTES: usize = 10;

/// HTML tags that are removed. Others, such as `<account>`, are placeholders and stay.
const HTML_TAGS: [&str; 20] = [
    "br",
    "p",
    "b",
    "i",
    "u",
    "em",
    "strong",
    "span",
    "div",
    "code",
    "pre",
    "li",
    "ul",
    "td",
    "tr",
    "a",
    "font",
    "tt",
    "wbr",
    "blockquote",
];

/// A text in two forms, with the mapping between them.
#[derive(Debug, Clone, Default)]
pub struct NormalizedText {
    /// One line with single spaces, and `'` and `"` for every kind of quotation mark.
    pub text: String,
    /// The same without spaces and with ASCII in lower case, so that phrases are found however the
    /// text was wrapped.
    pub dense: String,
    /// For each byte of `dense`, its offset in `text`.
    offsets: Vec<u32>,
}

impl NormalizedText {
    /// Normalizes a text.
    pub fn new(text: &str) -> Self {
        let text = shorten(text, MAX_TEXT_CHARS);
        let unquoted;
        let mut decoded = if text.contains('\n') {
            unquoted = unquote(text);
            unquoted.as_str()
        } else {
            text
        }
        .to_owned();
        for _ in 0..ENTITY_ROUNDS {
            if !decoded.contains('&') {
                break;
            }
            decoded = decode_entities(&decoded);
        }
        if decoded.contains('<') {
            decoded = remove_tags(&decoded);
        }
        if decoded.contains('\\') {
            decoded = resolve_escapes(&decoded);
        }
        Self::condense(&decoded)
    }

    /// Returns a part of this text, by offsets in `dense`.
    pub fn slice(&self, from: usize, to: usize) -> Self {
        Self::condense(self.quote(from, to))
    }

    /// Returns the fragment of `text` at these offsets of `dense`.
    pub fn quote(&self, from: usize, to: usize) -> &str {
        let start = self.text_offset(from);
        let end = self.text_offset(to);
        self.text
            .get(start..end.max(start))
            // Offsets are character boundaries, so this is never empty by mistake.
            .unwrap_or_default()
            .trim()
    }

    /// Returns the rest of `text` after an offset of `dense`.
    pub fn after(&self, at: usize) -> &str {
        self.text.get(self.text_offset(at)..).unwrap_or_default()
    }

    fn text_offset(&self, at: usize) -> usize {
        self.offsets
            .get(at)
            .map_or(self.text.len(), |offset| *offset as usize)
    }

    fn condense(raw: &str) -> Self {
        let mut text = String::with_capacity(raw.len());
        let mut dense = String::with_capacity(raw.len());
        let mut offsets = Vec::with_capacity(raw.len());
        let mut pending_space = false;
        for c in raw.chars() {
            let c = match c {
                '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2bc}' | '\u{2032}' | '\u{b4}' => '\'',
                '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{201f}' | '\u{ab}' | '\u{bb}' => '"',
                '\u{2010}' | '\u{2011}' => '-',
                // Zero-width and soft hyphens come from chat programs and word processors.
                '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' => continue,
                c => c,
            };
            if c.is_whitespace() || c.is_control() {
                pending_space = !text.is_empty();
                continue;
            }
            if std::mem::take(&mut pending_space) {
                text.push(' ');
            }
            let offset = u32::try_from(text.len()).unwrap_or(u32::MAX);
            text.push(c);
            dense.push(c.to_ascii_lowercase());
            offsets.resize(dense.len(), offset);
        }
        Self {
            text,
            dense,
            offsets,
        }
    }
}

/// Removes the marks at the beginning of each line, of emails, tables and comments, and joins lines
/// at the soft line breaks of quoted-printable.
fn unquote(text: &str) -> String {
    // A single `*` or `//` may belong to the text: a resource, or a URL that was wrapped.
    let is_repeated = |mark: &str| {
        let marked = text
            .lines()
            .filter(|line| line.trim_start().starts_with(mark));
        marked.take(2).count() == 2
    };
    let (is_star, is_slashes) = (is_repeated("*"), is_repeated("//"));
    let mut joined = String::with_capacity(text.len());
    for line in text.lines() {
        let is_row = line.trim_start().starts_with('|');
        let mut line = line
            .trim_start_matches(['>', '|', '#', ' ', '\t'])
            .trim_end();
        for (mark, is_mark) in [
            ("/**", true),
            ("*/", true),
            ("*", is_star),
            ("//", is_slashes),
        ] {
            if is_mark && let Some(rest) = line.strip_prefix(mark) {
                line = rest.trim_start();
                break;
            }
        }
        if is_row {
            // A row of hyphens follows the head of a table.
            line = line.trim_end_matches(['|', ' ']);
            if line.bytes().all(|b| b"-|: ".contains(&b)) {
                continue;
            }
        }
        if let Some(soft) = line.strip_suffix('=') {
            joined.push_str(soft);
        } else {
            joined.push_str(line);
            joined.push('\n');
        }
    }
    joined
}

/// Decodes HTML entities; unknown ones stay as they are.
fn decode_entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let entity = rest
            .bytes()
            .take(MAX_ENTITY_BYTES)
            .position(|b| b == b';')
            .map(|end| &rest[1..end]);
        if let Some((name, c)) = entity.and_then(|name| Some((name, decode_entity(name)?))) {
            out.push(c);
            rest = &rest[name.len() + 2..];
        } else {
            out.push('&');
            rest = &rest[1..];
        }
    }
    out + rest
}

fn decode_entity(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" | "ldquo" | "rdquo" | "laquo" | "raquo" | "bdquo" => '"',
        "apos" | "lsquo" | "rsquo" => '\'',
        "nbsp" | "thinsp" | "ensp" => ' ',
        "hellip" => '…',
        "ndash" | "shy" => '-',
        _ => {
            let number = name.strip_prefix('#')?;
            let hex = number.strip_prefix(['x', 'X']);
            let code = hex.map_or_else(
                || number.parse().ok(),
                |hex| u32::from_str_radix(hex, 16).ok(),
            )?;
            char::from_u32(code)?
        }
    })
}

/// Replaces each of [`HTML_TAGS`] with a space.
fn remove_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some(end) = rest.find('>') else { break };
        let inner = rest[1..end].trim_start_matches('/');
        let name = inner.split([' ', '/', '\n']).next().unwrap_or_default();
        if HTML_TAGS.iter().any(|tag| tag.eq_ignore_ascii_case(name)) {
            out.push(' ');
            rest = &rest[end + 1..];
        } else {
            out.push('<');
            rest = &rest[1..];
        }
    }
    out + rest
}

/// Resolves the escapes of JSON, of shells and of Go's `%q`.
fn resolve_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = rest[at..].trim_start_matches('\\');
        let mut after = rest.chars();
        match after.next() {
            Some('n' | 't' | 'r') => {
                out.push(' ');
                rest = after.as_str();
            }
            Some('u') => {
                let code = rest
                    .get(1..5)
                    .and_then(|hex| u32::from_str_radix(hex, 16).ok())
                    .and_then(char::from_u32);
                if let Some(c) = code {
                    out.push(c);
                    rest = &rest[5..];
                }
            }
            _ => {}
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_does_not_change_the_text() {
        let expected = "The task can't pull \"app\": i/o timeout";
        for sent in [
            "The task can’t pull “app”: i/o timeout",
            "The task can&#39;t pull &quot;app&quot;: i/o timeout",
            "The task can&amp;rsquo;t pull &amp;quot;app&amp;quot;: i/o&nbsp;timeout",
            "> The task can't\n> pull \\\"app\\\": i/o\n> timeout",
            "<p>The task can't <b>pull</b> \"app\":<br/>i/o timeout</p>",
            "The task can't pull \\u0022app\\u0022:\\n\\ti/o timeout",
            "The task can't pul=\nl \"app\": i/o ti=\nmeout",
            "# The task can't\n# pull \"app\":\n#\n# i/o timeout",
            "  // The task can't\n  // pull \"app\": i/o\n  // timeout",
            "/**\n * The task can't pull\n * \"app\": i/o timeout\n */",
            "| The task can't |\n|---|\n| pull \"app\": i/o timeout |",
        ] {
            assert_eq!(NormalizedText::new(sent).text, expected, "{sent}");
        }
        assert_eq!(
            NormalizedText::new("on resource:\n* because https:\n//a.b/c").text,
            "on resource: * because https: //a.b/c"
        );
        assert_eq!(NormalizedText::new("i/o ti\nmeout").dense, "i/otimeout");
        assert_eq!(NormalizedText::new("a & b < c \\").text, "a & b < c");
        assert_eq!(
            NormalizedText::new("<account> &lt;region&gt;").text,
            "<account> <region>"
        );
    }

    #[test]
    fn quotes_fragments_of_the_text() {
        let text = NormalizedText::new("dial  tcp 10.0.0.1:443:\n i/o timeout, ü");
        let at = text.dense.find("tcp10").unwrap();
        assert_eq!(text.quote(at, at + 11), "tcp 10.0.0.1");
        assert_eq!(text.quote(text.dense.len() - 1, 9_999), "ü");
        assert_eq!(
            text.slice(at, text.dense.len()).text,
            "tcp 10.0.0.1:443: i/o timeout, ü"
        );
    }
}
