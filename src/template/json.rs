//! JSON as people keep it in a repository: with comments, trailing commas and placeholders that are
//! not in quotes. `serde_json` reads none of these, and `json5` no placeholders.

use serde_json::{Map, Number, Value};

use super::open_value;
use super::placeholder;
use super::syntax::SyntaxProblem;

/// Maximum nesting; ECS's own documents have eight levels, CloudFormation's some more.
pub(super) const MAX_DEPTH: usize = 96;

/// Reads a document.
pub(super) fn parse(text: &str) -> Result<Value, SyntaxProblem> {
    let mut parser = JsonParser { text, at: 0 };
    let value = parser.value(0)?;
    parser.skip_space()?;
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.error("there is text after the end of the document")),
    }
}

struct JsonParser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> JsonParser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn error(&self, message: impl Into<String>) -> SyntaxProblem {
        SyntaxProblem::new(self.at, message)
    }

    /// Takes the text if it follows.
    fn takes(&mut self, text: &str) -> bool {
        let follows = self.rest().starts_with(text);
        if follows {
            self.at += text.len();
        }
        follows
    }

    /// Skips white space and comments. Fails at a directive of a template language.
    fn skip_space(&mut self) -> Result<(), SyntaxProblem> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            let end = if trimmed.starts_with("//")
                || (trimmed.starts_with('#') && !trimmed.starts_with("#{"))
            {
                trimmed.find('\n').unwrap_or(trimmed.len())
            } else if trimmed.starts_with("/*") {
                let end = trimmed.find("*/");
                end.ok_or_else(|| self.error("the comment is not closed"))? + 2
            } else if let Some(language) = directive(trimmed) {
                let how = if language == TERRAFORM {
                    "render it with `terraform plan -out PLAN && terraform show -json PLAN > plan.json` and pass plan.json"
                } else {
                    "render it first, with the tool that deploys it"
                };
                return Err(self.error(format!(
                    "this is a {language} directive, so the file is a template; {how}"
                )));
            } else {
                return Ok(());
            };
            self.at += end;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, SyntaxProblem> {
        self.skip_space()?;
        if depth > MAX_DEPTH {
            return Err(self.error(format!("recursion limit: more than {MAX_DEPTH} levels")));
        }
        if let Some(open) = self.placeholder() {
            return Ok(open);
        }
        match self.peek() {
            Some('{') => self.object(depth),
            Some('[') => self.array(depth),
            Some('"') => self.string().map(Value::String),
            Some('-' | '0'..='9') => self.number(),
            Some(c) if c.is_ascii_alphabetic() || c == '_' => self.word(),
            Some(_) => Err(self.error("expected a value")),
            None => Err(self.error("the file ends before the document is complete")),
        }
    }

    /// Takes a placeholder without quotes, with what is written against it.
    fn placeholder(&mut self) -> Option<Value> {
        let (mut length, _, style) = placeholder::begins(self.rest(), None)?;
        let rest = self.rest();
        while let Some(next) = rest[length..].chars().next() {
            if let Some((more, ..)) = placeholder::begins(&rest[length..], None) {
                length += more;
            } else if next.is_whitespace() || ",]}\"".contains(next) {
                break;
            } else {
                length += next.len_utf8();
            }
        }
        self.at += length;
        Some(open_value(&rest[..length], style.phrase()))
    }

    fn object(&mut self, depth: usize) -> Result<Value, SyntaxProblem> {
        self.at += 1;
        let mut members = Map::new();
        loop {
            self.skip_space()?;
            if self.takes("}") {
                return Ok(Value::Object(members));
            }
            // A placeholder for whole members names none of them.
            if self.peek() != Some('"') && self.placeholder().is_some() {
                self.skip_space()?;
                self.takes(",");
                continue;
            }
            if self.peek() != Some('"') {
                return Err(self.error("expected a member name in double quotes"));
            }
            let name = self.string()?;
            self.skip_space()?;
            if !self.takes(":") {
                return Err(self.error("expected a colon"));
            }
            let value = self.value(depth + 1)?;
            members.insert(name, value);
            self.skip_space()?;
            if !self.takes(",") && self.peek() != Some('}') {
                return Err(self.error("expected a comma or }"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, SyntaxProblem> {
        self.at += 1;
        let mut elements = Vec::new();
        loop {
            self.skip_space()?;
            if self.takes("]") {
                return Ok(Value::Array(elements));
            }
            elements.push(self.value(depth + 1)?);
            self.skip_space()?;
            if !self.takes(",") && self.peek() != Some(']') {
                return Err(self.error("expected a comma or ]"));
            }
        }
    }

    fn string(&mut self) -> Result<String, SyntaxProblem> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let Some(end) = rest.find(['"', '\\', '\n', '\0']) else {
                return Err(SyntaxProblem::new(start, "the string is not closed"));
            };
            text.push_str(&rest[..end]);
            self.at += end;
            match rest.as_bytes()[end] {
                b'"' if is_inside_placeholder(&self.text[start..self.at], &rest[end..]) => {
                    self.at += 1;
                    text.push('"');
                }
                b'"' => {
                    self.at += 1;
                    return Ok(text);
                }
                b'\\' => text.push(self.escape()?),
                _ => {
                    return Err(SyntaxProblem::new(
                        start,
                        "the string is not closed on this line; write a line break as \\n",
                    ));
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxProblem> {
        let error = self.error("not a JSON escape sequence; write a backslash as \\\\");
        let mut chars = self.rest().chars();
        let c = match chars.nth(1) {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let c = self.unicode(error)?;
                // Values that a template leaves open begin with it; ECS takes it nowhere.
                return Ok(if c == '\0' {
                    char::REPLACEMENT_CHARACTER
                } else {
                    c
                });
            }
            _ => return Err(error),
        };
        self.at += 2;
        Ok(c)
    }

    /// Reads `\uXXXX`, or the two halves of one character.
    fn unicode(&mut self, error: SyntaxProblem) -> Result<char, SyntaxProblem> {
        let half = |text: &str| {
            let digits = text.strip_prefix("\\u")?.get(..4)?;
            u32::from_str_radix(digits, 16).ok()
        };
        let Some(high) = half(self.rest()) else {
            return Err(error);
        };
        self.at += 6;
        if !(0xD800..0xDC00).contains(&high) {
            return Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        match half(self.rest()).filter(|low| (0xDC00..0xE000).contains(low)) {
            Some(low) => {
                self.at += 6;
                let code = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
            }
            None => Ok(char::REPLACEMENT_CHARACTER),
        }
    }

    fn number(&mut self) -> Result<Value, SyntaxProblem> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)))
            .unwrap_or(rest.len());
        let number: Result<Number, _> = serde_json::from_str(&rest[..end]);
        let number = number.map_err(|_| self.error("not a valid JSON number"))?;
        self.at += end;
        Ok(Value::Number(number))
    }

    fn word(&mut self) -> Result<Value, SyntaxProblem> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)))
            .unwrap_or(rest.len());
        let word = &rest[..end];
        let is_capitals = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let value = match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            _ if word.chars().all(is_capitals) || placeholder::is_word(word) => {
                open_value(word, placeholder::PlaceholderStyle::Word.phrase())
            }
            _ => return Err(self.error("expected a value; text needs double quotes")),
        };
        self.at += end;
        Ok(value)
    }
}

/// Whether a quotation mark is inside `{{ … }}` or `${ … }`, as in `"{{ must_env "IMAGE" }}"`: a
/// mark is open before it and closed after it, before the line ends.
fn is_inside_placeholder(before: &str, after: &str) -> bool {
    let line = after.lines().next().unwrap_or_default();
    [("{{", "}}"), ("${", "}")].iter().any(|(open, close)| {
        before.rfind(open).is_some_and(|start| {
            let is_open = !before[start..].contains(close);
            let name = before[start + open.len()..].trim_start();
            // `"${", "b": "}"` is two strings.
            let is_call = name.starts_with(|c: char| c.is_ascii_alphabetic());
            is_open && is_call && line.contains(close)
        })
    })
}

/// What has directives such as `%{ if … }`.
const TERRAFORM: &str = "Terraform's templates";

/// Returns the language of the directive that the text begins with.
fn directive(text: &str) -> Option<&'static str> {
    if text.starts_with("%{") {
        return Some(TERRAFORM);
    }
    if text.starts_with("{%") {
        return Some("Jinja");
    }
    if text.starts_with("<%") {
        return Some("ERB");
    }
    let inside = text.strip_prefix("{{")?.trim_start_matches(['-', ' ']);
    if inside.starts_with(['#', '/', '^', '!']) {
        return Some("Mustache");
    }
    ["if ", "range ", "end", "else", "with ", "define ", "/*"]
        .iter()
        .any(|word| inside.starts_with(word))
        .then_some("Go templates")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_what_serde_json_reads() {
        for text in [
            "{}",
            "[1, -2.5, 1e3, true, false, null, \"\"]",
            r#"{"a":{"b":["c\n\"\\\/\b\f\r\té😀😀"]}}"#,
            " [ [ ] , { } ] ",
        ] {
            assert_eq!(
                parse(text).unwrap(),
                serde_json::from_str::<Value>(text).unwrap()
            );
        }
    }

    #[test]
    fn reads_comments_and_trailing_commas() {
        let text =
            "// a\n{ # b\n \"x\": 1, /* c\n */ \"y\": [2, 3,], \"u\": \"http://a/*b*/#c\", }\n//";
        assert_eq!(
            parse(text).unwrap(),
            json!({ "x": 1, "y": [2, 3], "u": "http://a/*b*/#c" })
        );
    }

    #[test]
    fn reads_placeholders_without_quotes() {
        for placeholder in [
            "${port}",
            "$PORT",
            "<PORT>",
            "{{ port }}",
            "%PORT%",
            "__PORT__",
            "PORT",
            "${a}${b}",
        ] {
            let text = format!("{{\"a\": {placeholder}, \"b\": [{placeholder}], \"c\": 1}}");
            let value = parse(&text).unwrap();
            assert_eq!(value["c"], 1, "{text}");
            let text = value["a"].as_str().unwrap();
            assert!(
                text.starts_with(super::super::OPEN) && text.contains(placeholder),
                "{text:?}"
            );
            assert_eq!(value["a"], value["b"][0]);
        }
    }

    #[test]
    fn quotation_marks_inside_of_placeholders_end_no_string() {
        let text = r#"{"image": "{{ must_env "IMAGE" }}:1", "a": "${lookup("b", "c")}",}"#;
        assert_eq!(
            parse(text).unwrap(),
            json!({ "image": "{{ must_env \"IMAGE\" }}:1", "a": "${lookup(\"b\", \"c\")}" })
        );
        assert_eq!(
            parse(r#"{"a": "${", "b": "}",}"#).unwrap(),
            json!({ "a": "${", "b": "}" })
        );
    }

    #[test]
    fn errors_name_the_problem_and_its_position() {
        for (text, at, word) in [
            ("{\"a\": 1 \"b\": 2}", 8, "comma"),
            ("{\"a\" 1}", 5, "colon"),
            ("{a: 1}", 1, "double quotes"),
            ("[1 2]", 3, "comma"),
            ("[\"a\nb\"]", 1, "line break"),
            ("[\"a", 1, "not closed"),
            ("[\"\\x\"]", 2, "escape"),
            ("[01]", 1, "number"),
            ("[nope]", 1, "double quotes"),
            ("{} x", 3, "after the end"),
            ("[1,", 3, "ends"),
            ("[ {% for a in b %} ]", 2, "Jinja"),
            ("[ %{ for a in b ~} ]", 2, "Terraform"),
            ("[ {{#each}} ]", 2, "Mustache"),
        ] {
            let problem = parse(text).unwrap_err();
            assert_eq!(problem.at, at, "{text}: {problem:?}");
            assert!(problem.message.contains(word), "{text}: {problem:?}");
        }
        assert!(
            parse(&"[".repeat(100_000))
                .unwrap_err()
                .message
                .contains("levels")
        );
    }
}
