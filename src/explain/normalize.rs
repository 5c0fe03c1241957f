//! A text as people send it, made plain: on one line, without mark-up, with a second form for
//! finding phrases in.

use crate::redact::shorten;

/// Characters that are looked at. A stopped reason has at most 1,024; a mail around it is longer.
const LONGEST_TEXT: usize = 32_768;

/// Rounds of decoding HTML entities: a mail that quotes a mail has `&amp;quot;`.
const ROUNDS: usize = 3;

/// Longest entity, `&thinsp;` or `&#x2019;`.
const LONGEST_ENTITY: usize = 10;

/// Tags that only format. Others, such as `<account>`, are placeholders and stay.
const TAGS: [&str; 20] = [
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

/// A text in two forms.
#[derive(Debug, Clone, Default)]
pub struct Plain {
    /// One line with single blanks, `'` and `"` for every kind of quote.
    pub text: String,
    /// The same without blanks, ASCII in lower case: a phrase is found in it however the text was
    /// wrapped.
    pub dense: String,
    /// For each byte of `dense`, its place in `text`.
    places: Vec<u32>,
}

impl Plain {
    /// Make a text plain.
    pub fn new(text: &str) -> Self {
        let text = shorten(text, LONGEST_TEXT);
        let unquoted;
        let mut plain = if text.contains('\n') {
            unquoted = unquote(text);
            unquoted.as_str()
        } else {
            text
        }
        .to_owned();
        for _ in 0..ROUNDS {
            if !plain.contains('&') {
                break;
            }
            plain = entities(&plain);
        }
        if plain.contains('<') {
            plain = without_tags(&plain);
        }
        if plain.contains('\\') {
            plain = escapes(&plain);
        }
        Self::condense(&plain)
    }

    /// A part of this text, by places in `dense`.
    pub fn part(&self, from: usize, to: usize) -> Self {
        Self::condense(self.quote(from, to))
    }

    /// What stands in the text at these places of `dense`.
    pub fn quote(&self, from: usize, to: usize) -> &str {
        let start = self
            .places
            .get(from)
            .map_or(self.text.len(), |at| *at as usize);
        let end = self
            .places
            .get(to)
            .map_or(self.text.len(), |at| *at as usize);
        self.text
            .get(start..end.max(start))
            .unwrap_or_default()
            .trim()
    }

    fn condense(raw: &str) -> Self {
        let mut text = String::with_capacity(raw.len());
        let mut dense = String::with_capacity(raw.len());
        let mut places = Vec::with_capacity(raw.len());
        let mut blank = false;
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
                blank = !text.is_empty();
                continue;
            }
            if std::mem::take(&mut blank) {
                text.push(' ');
            }
            let place = u32::try_from(text.len()).unwrap_or(u32::MAX);
            text.push(c);
            dense.push(c.to_ascii_lowercase());
            places.resize(dense.len(), place);
        }
        Self {
            text,
            dense,
            places,
        }
    }
}

/// Lines without the marks of a quoting mail; a soft line break of quoted-printable joins its
/// lines.
fn unquote(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    for line in text.lines() {
        let line = line.trim_start_matches(['>', '|', ' ', '\t']).trim_end();
        if let Some(soft) = line.strip_suffix('=') {
            joined.push_str(soft);
        } else {
            joined.push_str(line);
            joined.push('\n');
        }
    }
    joined
}

fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let entity = rest
            .bytes()
            .take(LONGEST_ENTITY)
            .position(|b| b == b';')
            .map(|end| &rest[1..end]);
        if let Some((name, c)) = entity.and_then(|name| Some((name, decode(name)?))) {
            out.push(c);
            rest = &rest[name.len() + 2..];
        } else {
            out.push('&');
            rest = &rest[1..];
        }
    }
    out + rest
}

fn decode(name: &str) -> Option<char> {
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

fn without_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some(end) = rest.find('>') else { break };
        let inner = rest[1..end].trim_start_matches('/');
        let name = inner.split([' ', '/', '\n']).next().unwrap_or_default();
        if TAGS.iter().any(|tag| tag.eq_ignore_ascii_case(name)) {
            out.push(' ');
            rest = &rest[end + 1..];
        } else {
            out.push('<');
            rest = &rest[1..];
        }
    }
    out + rest
}

/// Escapes of JSON, of a shell and of Go's `%q`.
fn escapes(text: &str) -> String {
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
    fn however_it_was_sent_it_reads_the_same() {
        let plain = "The task can't pull \"app\": i/o timeout";
        for sent in [
            "The task can’t pull “app”: i/o timeout",
            "The task can&#39;t pull &quot;app&quot;: i/o timeout",
            "The task can&amp;rsquo;t pull &amp;quot;app&amp;quot;: i/o&nbsp;timeout",
            "> The task can't\n> pull \\\"app\\\": i/o\n> timeout",
            "<p>The task can't <b>pull</b> \"app\":<br/>i/o timeout</p>",
            "The task can't pull \\u0022app\\u0022:\\n\\ti/o timeout",
            "The task can't pul=\nl \"app\": i/o ti=\nmeout",
        ] {
            assert_eq!(Plain::new(sent).text, plain, "{sent}");
        }
        assert_eq!(Plain::new("i/o ti\nmeout").dense, "i/otimeout");
        assert_eq!(Plain::new("a & b < c \\").text, "a & b < c");
        assert_eq!(
            Plain::new("<account> &lt;region&gt;").text,
            "<account> <region>"
        );
    }

    #[test]
    fn fragments_are_quoted_from_the_text() {
        let plain = Plain::new("dial  tcp 10.0.0.1:443:\n i/o timeout, ü");
        let at = plain.dense.find("tcp10").unwrap();
        assert_eq!(plain.quote(at, at + 11), "tcp 10.0.0.1");
        assert_eq!(plain.quote(plain.dense.len() - 1, 9_999), "ü");
        assert_eq!(
            plain.part(at, plain.dense.len()).text,
            "tcp 10.0.0.1:443: i/o timeout, ü"
        );
    }
}
