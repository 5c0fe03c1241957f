//! Text that is fit to be shown: on one line, without a control or invisible character, of bounded
//! length.
//!
//! Whatever a server, a resolver, a certificate, the metadata endpoint, a file or the command line
//! says is foreign. A report's fields are [`SafeText`], which only a literal of this program
//! becomes unchanged: every other string is made visible on the way in, and is marked as foreign,
//! so that [`crate::vault`] can look for secrets in it and in nothing else.

use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::ops::{Deref, Range};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Maximum number of characters of a foreign text. AWS's longest messages, with three ARNs, are
/// shorter.
pub const MAX_FOREIGN_CHARS: usize = 1_000;

/// Ends a text that was cut.
const CUT: char = '…';

/// Returns at most `max` characters of `text` on one line: white space becomes a single space, and
/// a character that a terminal obeys or a reader does not see becomes an escape, such as
/// `\u{202e}`.
pub fn visible(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    let mut chars = 0;
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
            chars += 1;
        }
        for c in word.chars() {
            if chars >= max {
                return cut(out, max);
            }
            if is_hidden(c) {
                // Writing to a `String` does not fail.
                let before = out.len();
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
                chars += out.len() - before;
            } else {
                out.push(c);
                chars += 1;
            }
        }
    }
    if chars > max { cut(out, max) } else { out }
}

fn cut(mut out: String, max: usize) -> String {
    if let Some((end, _)) = out.char_indices().nth(max.saturating_sub(1)) {
        out.truncate(end);
    }
    out.push(CUT);
    out
}

/// White space that separates words and does nothing else.
fn is_space(c: char) -> bool {
    matches!(
        c,
        ' ' | '\t' | '\n' | '\r' | '\u{a0}' | '\u{2007}' | '\u{202f}'
    ) || matches!(c, '\u{2000}'..='\u{200a}' | '\u{205f}' | '\u{3000}')
}

/// Whether a terminal acts on this character, or a reader cannot see it: controls, bidirectional
/// and zero-width formatting, line and paragraph separators, variation selectors, fillers and tags
/// (Unicode 17, General_Category Cc, Cf, Zl and Zp, and Default_Ignorable_Code_Point).
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xad | 0x34f | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x890..=0x891 | 0x8e2
            | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f
            | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x2800 | 0x3164
            | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0x110bd | 0x110cd
            | 0x13430..=0x1345f | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

/// Characters of a word for a shell, if it is cut at all.
const MAX_SHELL_WORD: usize = 4096;

/// Quotes a word for a POSIX shell, unless it has only plain characters.
pub fn shell_word(text: &str) -> String {
    // Nothing that AWS names has a line break; on several lines it would look like commands.
    let text = if text.contains(char::is_control) {
        &visible(text, MAX_SHELL_WORD)
    } else {
        text
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Returns a document of the schema as one line of JSON.
pub fn json_line(schema: &str, document: &impl Serialize) -> String {
    let json = serde_json::to_string(document).unwrap_or_else(|error| {
        serde_json::json!({ "schema": schema, "error": error.to_string() }).to_string()
    });
    escape_json(json)
}

/// Returns JSON in which a control or invisible character is escaped, as JSON may escape any
/// (RFC 8259 section 7). The document stays the same.
pub fn escape_json(json: String) -> String {
    if !json.contains(|c| c != '\n' && is_hidden(c)) {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Returns text of several lines in which a control or invisible character is escaped, except the
/// colors that this program adds.
pub fn escape_lines(text: &str, has_colors: bool) -> Cow<'_, str> {
    if !text.contains(|c| !matches!(c, '\n' | '\t') && is_hidden(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for (start, c) in text.char_indices() {
        let is_color = c == '\u{1b}' && has_colors && is_color(&text[start + 1..]);
        if matches!(c, '\n' | '\t') || is_color || !is_hidden(c) {
            out.push(c);
        } else {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
    Cow::Owned(out)
}

/// Maximum number of characters of a line on the terminal. The longest of pullprobe's own are the
/// requests of a dry run, with a plan of 8 KiB in them.
const MAX_LINE_CHARS: usize = 64 * 1024;

/// Returns a message as [`escape_lines`] does, of bounded length: what AWS or a file says is in it.
pub fn escape_message(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_LINE_CHARS) {
        Some((end, _)) => Cow::Owned(escape_lines(&text[..end], false).into_owned() + "…"),
        None => escape_lines(text, false),
    }
}

/// Writes a message to stderr, where only this function writes: no text gets there unescaped.
pub fn write_stderr(text: &str) {
    eprintln!("{}", escape_message(text));
}

/// Whether this is the rest of a color's escape sequence (ECMA-48, SGR).
fn is_color(rest: &str) -> bool {
    let parameters = rest.strip_prefix('[').unwrap_or_default();
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';');
    end.is_some_and(|end| end <= MAX_COLOR_CHARS && parameters[end..].starts_with('m'))
}

/// Maximum number of characters of a color's parameters, such as `38;5;208`.
const MAX_COLOR_CHARS: usize = 16;

/// Text that is fit to be shown; see [`crate::safe_text`].
#[derive(Clone, Default)]
pub struct SafeText {
    text: String,
    /// The foreign parts, in bytes of `text`.
    foreign: Vec<Range<usize>>,
}

impl SafeText {
    /// Returns a foreign text of at most `max` characters.
    pub fn foreign(text: &str, max: usize) -> Self {
        let text = visible(text, max);
        let whole = 0..text.len();
        let foreign = Some(whole).filter(|whole| !whole.is_empty());
        Self {
            foreign: foreign.into_iter().collect(),
            text,
        }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the text and gives up what is known of its origin.
    pub fn into_string(self) -> String {
        self.text
    }

    /// Removes the text.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Appends a text.
    pub fn push(&mut self, part: impl Into<Self>) {
        let part = part.into();
        let start = self.text.len();
        self.text.push_str(&part.text);
        let moved = part
            .foreign
            .into_iter()
            .map(|range| range.start + start..range.end + start);
        self.foreign.extend(moved);
    }

    /// Joins texts.
    pub fn join(parts: impl IntoIterator<Item = Self>, separator: &'static str) -> Self {
        let mut joined = Self::default();
        for part in parts {
            if !joined.is_empty() {
                joined.text.push_str(separator);
            }
            joined.push(part);
        }
        joined
    }

    /// Cuts the text to `max` characters.
    pub fn shorten(&mut self, max: usize) {
        if self.text.char_indices().nth(max).is_none() {
            return;
        }
        self.text = cut(std::mem::take(&mut self.text), max);
        let end = self.text.len() - CUT.len_utf8();
        self.foreign.retain_mut(|range| {
            range.end = range.end.min(end);
            range.start < range.end
        });
    }

    /// Replaces each foreign part for which `replace` returns something.
    pub fn replace_foreign(&mut self, mut replace: impl FnMut(&str) -> Option<String>) {
        for index in (0..self.foreign.len()).rev() {
            let range = self.foreign[index].clone();
            let Some(new) = replace(&self.text[range.clone()]) else {
                continue;
            };
            self.foreign[index].end = range.start + new.len();
            for later in &mut self.foreign[index + 1..] {
                later.start = later.start - range.len() + new.len();
                later.end = later.end - range.len() + new.len();
            }
            self.text.replace_range(range, &new);
        }
    }
}

/// A literal of this program.
impl From<&'static str> for SafeText {
    fn from(text: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            foreign: Vec::new(),
        }
    }
}

/// Any other string: foreign.
impl From<String> for SafeText {
    fn from(text: String) -> Self {
        Self::foreign(&text, MAX_FOREIGN_CHARS)
    }
}

impl From<&String> for SafeText {
    fn from(text: &String) -> Self {
        Self::foreign(text, MAX_FOREIGN_CHARS)
    }
}

impl From<&Self> for SafeText {
    fn from(text: &Self) -> Self {
        text.clone()
    }
}

/// Joins literals and foreign parts to one [`SafeText`].
macro_rules! safe_text {
    ($($part:expr),+ $(,)?) => {{
        let mut text = $crate::safe_text::SafeText::default();
        $(text.push($part);)+
        text
    }};
}
pub(crate) use safe_text;

impl Deref for SafeText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl AsRef<str> for SafeText {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl Borrow<str> for SafeText {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl PartialEq for SafeText {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for SafeText {}

impl PartialEq<str> for SafeText {
    fn eq(&self, other: &str) -> bool {
        self.text == other
    }
}

impl PartialEq<&str> for SafeText {
    fn eq(&self, other: &&str) -> bool {
        self.text == *other
    }
}

impl PartialEq<String> for SafeText {
    fn eq(&self, other: &String) -> bool {
        self.text == *other
    }
}

impl PartialEq<SafeText> for &str {
    fn eq(&self, other: &SafeText) -> bool {
        *self == other.text
    }
}

impl PartialEq<SafeText> for String {
    fn eq(&self, other: &SafeText) -> bool {
        *self == other.text
    }
}

impl PartialOrd for SafeText {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SafeText {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl std::hash::Hash for SafeText {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Serialize for SafeText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// What a report or a scenario contains is foreign as well.
impl<'de> Deserialize<'de> for SafeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Ok(Self::foreign(&text, MAX_READ_CHARS))
    }
}

/// Maximum number of characters of a text that is read from a report. The longest of pullprobe's
/// own are sentences with several foreign parts.
const MAX_READ_CHARS: usize = 4 * MAX_FOREIGN_CHARS;

/// Reads a name that stays a `String`, such as a host, without control or invisible characters.
pub fn visible_string<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    SafeText::deserialize(deserializer).map(SafeText::into_string)
}

/// Whether [`visible`] leaves a JSON document as it is, in its texts and in its names.
#[cfg(feature = "operator")]
pub fn is_visible_document(document: &serde_json::Value) -> bool {
    use serde_json::Value;
    let is_visible = |text: &str| visible(text, MAX_READ_CHARS) == text;
    match document {
        Value::String(text) => is_visible(text),
        Value::Array(items) => items.iter().all(is_visible_document),
        Value::Object(members) => members
            .iter()
            .all(|(name, value)| is_visible(name) && is_visible_document(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// Reads a text of several lines, without control or invisible characters.
pub fn visible_lines<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    Ok(escape_lines(&text, false).into_owned())
}

/// Reads texts of several lines, without control or invisible characters.
pub fn visible_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let read = Vec::<String>::deserialize(deserializer)?;
    let shown = |text: String| escape_lines(&text, false).into_owned();
    Ok(read.into_iter().map(shown).collect())
}

/// Reads names and values, without control or invisible characters.
pub fn visible_map<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let read = BTreeMap::<String, String>::deserialize(deserializer)?;
    let shown = |text: String| visible(&text, MAX_READ_CHARS);
    Ok(read
        .into_iter()
        .map(|(key, value)| (shown(key), shown(value)))
        .collect())
}

/// Reads an optional name; see [`visible_string`].
pub fn visible_option<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    Ok(Option::<SafeText>::deserialize(deserializer)?.map(SafeText::into_string))
}

#[cfg(test)]
impl schemars::JsonSchema for SafeText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SafeText".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_that_acts_or_hides_is_shown_as_an_escape() {
        for (text, shown) in [
            ("\u{1b}]52;c;QQ==\u{7}x", "\\u{1b}]52;c;QQ==\\u{7}x"),
            ("a\u{9b}2Jb\u{7f}", "a\\u{9b}2Jb\\u{7f}"),
            ("\u{202e}gnp.exe", "\\u{202e}gnp.exe"),
            (
                "a\u{2066}b\u{2069}c\u{200b}d\u{200f}e\u{61c}",
                "a\\u{2066}b\\u{2069}c\\u{200b}d\\u{200f}e\\u{61c}",
            ),
            (
                "x\u{feff}\u{ad}\u{e0041}\u{fe0f}y",
                "x\\u{feff}\\u{ad}\\u{e0041}\\u{fe0f}y",
            ),
            (
                "a\u{2028}b\u{2029}c\u{85}d\u{b}e",
                "a\\u{2028}b\\u{2029}c\\u{85}d\\u{b}e",
            ),
            (" a\r\n\tb  c\u{a0}d ", "a b c d"),
            ("naïve “quotes” ✓ 東京 😀", "naïve “quotes” ✓ 東京 😀"),
            ("", ""),
        ] {
            let safe = visible(text, 100);
            assert_eq!(safe, shown);
            assert_eq!(visible(&safe, 100), safe, "showing is idempotent");
        }
    }

    #[test]
    fn no_character_of_any_plane_acts_or_hides() {
        let every = ('\0'..=char::MAX).filter(|c| !is_space(*c));
        for c in every {
            let shown = visible(&c.to_string(), 20);
            assert!(!shown.contains(is_hidden), "{:x}", u32::from(c));
        }
    }

    #[test]
    fn length_is_bounded_whatever_is_escaped() {
        for text in [
            "x".repeat(5_000),
            "\u{1b}".repeat(5_000),
            "\u{7}".repeat(5_000),
            "\u{e0041}".repeat(5_000),
            "ä ".repeat(5_000),
        ] {
            let shown = visible(&text, 100);
            assert!(
                shown.chars().count() <= 101 && shown.ends_with('…'),
                "{shown}"
            );
        }
        assert_eq!(visible("abc", 3), "abc");
        assert_eq!(visible("abcd", 3), "ab…");
        assert_eq!(visible("ab\u{7}", 7), "ab\\u{7}", "nothing is cut");
    }

    #[test]
    fn json_with_escapes_is_the_same_document() {
        let value =
            serde_json::json!({"a\u{202e}": "\u{9b}2J\u{7f}\u{e0041}ü\n", "b": ["\u{1b}[31m"]});
        for json in [
            value.to_string(),
            serde_json::to_string_pretty(&value).unwrap(),
        ] {
            let escaped = escape_json(json);
            assert!(
                !escaped.contains(|c| c != '\n' && is_hidden(c)),
                "{escaped}"
            );
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&escaped).unwrap(),
                value
            );
        }
    }

    #[test]
    fn of_escape_sequences_only_own_colors_pass() {
        let text = "\u{1b}[1;31mred\u{1b}[0m\n\tx\u{1b}]52;c;QQ==\u{7}\u{1b}[2J\u{202e}";
        assert_eq!(
            escape_lines(text, true),
            "\u{1b}[1;31mred\u{1b}[0m\n\tx\\u{1b}]52;c;QQ==\\u{7}\\u{1b}[2J\\u{202e}"
        );
        assert!(!escape_lines(text, false).contains('\u{1b}'));
        let long = format!("{}{text}", "x".repeat(MAX_LINE_CHARS - 1));
        let shown = escape_message(&long);
        assert!(shown.ends_with("x\\u{1b}…"), "a message is cut");
        assert_eq!(escape_message("a\u{7}b\nc"), "a\\u{7}b\nc");
    }

    #[test]
    fn foreign_parts_are_replaced_where_they_are() {
        let mut text = safe_text![
            "own ",
            "x\n".to_owned(),
            " own ",
            String::new(),
            "yy".to_owned()
        ];
        assert_eq!(text, "own x own yy");
        let mut seen = Vec::new();
        text.replace_foreign(|part| {
            seen.push(part.to_owned());
            Some(format!("<{part}>"))
        });
        assert_eq!(text, "own <x> own <yy>");
        text.replace_foreign(|part| (part == "<x>").then(String::new));
        assert_eq!(text, "own  own <yy>");
        text.shorten(11);
        assert_eq!(text, "own  own <…");
        text.replace_foreign(|_| Some("!".into()));
        assert_eq!(text, "own  own !…");
        assert_eq!(seen, ["yy", "x"]);
    }
}
