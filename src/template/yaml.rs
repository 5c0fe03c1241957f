//! YAML, with CloudFormation's short forms as the long ones: `!Ref x` becomes `{"Ref": "x"}`.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};
use serde_json::{Map, Number, Value};

use super::json::MAX_DEPTH;
use super::syntax::SyntaxProblem;

/// Maximum number of values of all documents with their aliases expanded. Bounds what a few anchors
/// can grow to; CloudFormation's largest template has far fewer.
const MAX_VALUES: usize = 200_000;

/// Reads every document of the text.
pub(super) fn parse(text: &str) -> Result<Vec<Value>, SyntaxProblem> {
    let quoted = &quote_placeholders(text);
    let options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut reader = YamlReader {
        parser: Parser::new_from_str_with_options(quoted, options),
        text,
        anchors: HashMap::new(),
        values: 0,
    };
    let mut documents = Vec::new();
    loop {
        match reader.next()?.0 {
            Event::StreamEnd => return Ok(documents),
            Event::DocumentStart(..) => {
                let first = reader.next()?;
                documents.push(reader.value(first, 0)?);
            }
            _ => {}
        }
    }
}

struct YamlReader<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    /// The text as it was given, whose lines are those that the parser sees.
    text: &'a str,
    /// Values of anchors and how many values each consists of.
    anchors: HashMap<usize, (Value, usize)>,
    values: usize,
}

impl<'a> YamlReader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), SyntaxProblem> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => {
                let at = byte_offset(self.text, *error.marker());
                Err(SyntaxProblem::new(at, error.info()))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn problem(&self, span: Span, message: impl Into<String>) -> SyntaxProblem {
        SyntaxProblem::new(byte_offset(self.text, span.start), message)
    }

    fn value(
        &mut self,
        (event, span): (Event<'a>, Span),
        depth: usize,
    ) -> Result<Value, SyntaxProblem> {
        if depth > MAX_DEPTH {
            return Err(self.problem(
                span,
                format!("recursion limit: more than {MAX_DEPTH} levels"),
            ));
        }
        let before = self.values;
        self.values += 1;
        let (value, anchor, tag) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (scalar(&text, style, tag.as_deref()), anchor, tag)
            }
            Event::SequenceStart(_, anchor, tag) => (self.sequence(depth)?, anchor, tag),
            Event::MappingStart(_, anchor, tag) => (self.mapping(depth)?, anchor, tag),
            Event::Alias(anchor) => {
                let Some((value, size)) = self.anchors.get(&anchor) else {
                    return Err(self.problem(span, "the alias is inside its own anchor"));
                };
                self.values += size;
                (value.clone(), 0, None)
            }
            _ => return Err(self.problem(span, "expected a value")),
        };
        if self.values > MAX_VALUES {
            let message = format!("more than {MAX_VALUES} values, with aliases expanded");
            return Err(self.problem(span, message));
        }
        let value = match tag {
            Some(tag) => tagged(&tag, value),
            None => value,
        };
        if anchor != 0 {
            self.anchors
                .insert(anchor, (value.clone(), self.values - before));
        }
        Ok(value)
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, SyntaxProblem> {
        let mut elements = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Array(elements)),
                next => elements.push(self.value(next, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, SyntaxProblem> {
        let mut members = Map::new();
        let mut merged = Vec::new();
        loop {
            let name = match self.next()? {
                (Event::MappingEnd, _) => break,
                (Event::Scalar(name, ..), _) => name.into_owned(),
                (Event::Alias(anchor), span) => match self.anchors.get(&anchor) {
                    Some((Value::String(name), _)) => name.clone(),
                    _ => return Err(self.problem(span, "expected a name")),
                },
                (_, span) => return Err(self.problem(span, "expected a name")),
            };
            let next = self.next()?;
            let value = self.value(next, depth + 1)?;
            match (name.as_str(), value) {
                ("<<", Value::Object(value)) => merged.push(value),
                ("<<", Value::Array(values)) => {
                    merged.extend(values.into_iter().filter_map(|value| match value {
                        Value::Object(value) => Some(value),
                        _ => None,
                    }));
                }
                (_, value) => {
                    members.insert(name, value);
                }
            }
        }
        // The mapping's own members come first, then the mappings in their order.
        for (name, value) in merged.into_iter().flatten() {
            members.entry(name).or_insert(value);
        }
        Ok(Value::Object(members))
    }
}

/// Returns the value of a scalar by the core schema. AWS's tools keep a number with a leading zero,
/// such as an account ID, as text.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let is_text = tag.is_some_and(|tag| tag.is_custom() || tag.core_suffix() == Some("str"));
    if style != ScalarStyle::Plain || is_text {
        // Values that a template leaves open begin with it; ECS takes it nowhere.
        return Value::String(text.replace('\0', "\u{fffd}"));
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    let digits = text.trim_start_matches('-');
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit())
        && (digits == "0" || digits.starts_with("0.") || !digits.starts_with('0'));
    is_number.then(|| serde_json::from_str(text).ok()).flatten()
}

/// Returns the long form of an intrinsic function; the value itself for any other tag.
fn tagged(tag: &Tag, value: Value) -> Value {
    if !tag.is_custom() || tag.handle() != "!" {
        return value;
    }
    let name = match tag.suffix() {
        name @ ("Ref" | "Condition") => name.to_owned(),
        name => format!("Fn::{name}"),
    };
    let value = match value {
        Value::String(text) if name == "Fn::GetAtt" => match text.split_once('.') {
            Some((resource, attribute)) => Value::from(vec![resource, attribute]),
            None => Value::String(text),
        },
        value => value,
    };
    Value::Object(Map::from_iter([(name, value)]))
}

/// Puts values that begin with a placeholder into quotes: `{{ x }}` would be read as a mapping, and
/// `%X%` begins no scalar. The lines keep their numbers.
fn quote_placeholders(text: &str) -> Cow<'_, str> {
    if !text.contains("{{") && !text.contains(['%', '#']) {
        return text.into();
    }
    let mut quoted = String::with_capacity(text.len() + 64);
    for line in text.split_inclusive('\n') {
        let value = value_of_line(line);
        let begins = ["{{", "%", "#{"].iter().any(|mark| value.starts_with(mark));
        if begins && super::placeholder::begins(value, None).is_some() {
            let end = value.trim_end().len();
            let before = &line[..line.len() - value.len()];
            let inside = value[..end].replace('\'', "''");
            quoted.extend([before, "'", &inside, "'", &value[end..]]);
        } else {
            quoted.push_str(line);
        }
    }
    quoted.into()
}

/// Returns what follows `- ` and `name: ` in the line, with the line break.
fn value_of_line(line: &str) -> &str {
    let mut rest = line.trim_start_matches(' ');
    while let Some(element) = rest.strip_prefix("- ") {
        rest = element.trim_start_matches(' ');
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.\"'".contains(c);
    let after = rest.trim_start_matches(is_name);
    match after.strip_prefix(": ") {
        Some(value) if after.len() < rest.len() => value.trim_start_matches(' '),
        _ => rest,
    }
}

/// Returns the byte offset of a line and column.
fn byte_offset(text: &str, marker: Marker) -> usize {
    let before = text
        .split_inclusive('\n')
        .take(marker.line().saturating_sub(1));
    let start: usize = before.map(str::len).sum();
    let line = text[start..].lines().next().unwrap_or_default();
    let column = line.char_indices().nth(marker.col());
    start + column.map_or(line.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(text: &str) -> Value {
        let mut documents = parse(text).unwrap();
        assert_eq!(documents.len(), 1, "{text}");
        documents.remove(0)
    }

    #[test]
    fn reads_values_as_the_core_schema_has_them() {
        let text = "a: 1\nb: -2.5\nc: true\nd: 'true'\ne: 012345678901\nf:\ng: \"x\\ty\"\nh: |\n  l1\n  l2\ni: [1, {j: k}]\nl: no\nm: 0\n";
        assert_eq!(
            one(text),
            json!({ "a": 1, "b": -2.5, "c": true, "d": "true", "e": "012345678901", "f": null, "g": "x\ty",
                "h": "l1\nl2\n", "i": [1, { "j": "k" }], "l": "no", "m": 0 })
        );
    }

    #[test]
    fn tags_become_the_long_forms() {
        let text = "a: !Ref X\nb: !Sub 'x${Y}'\nc: !GetAtt R.Arn.x\nd: !Join ['', [a, !Ref B]]\ne: !If [C, !Ref \"AWS::NoValue\", 1]\nf: !Sub\n  - ${Z}\n  - Z: 1\ng: !Sub 12\n";
        assert_eq!(
            one(text),
            json!({ "a": { "Ref": "X" }, "b": { "Fn::Sub": "x${Y}" }, "c": { "Fn::GetAtt": ["R", "Arn.x"] },
                "d": { "Fn::Join": ["", ["a", { "Ref": "B" }]] },
                "e": { "Fn::If": ["C", { "Ref": "AWS::NoValue" }, 1] },
                "f": { "Fn::Sub": ["${Z}", { "Z": 1 }] }, "g": { "Fn::Sub": "12" } })
        );
    }

    #[test]
    fn aliases_and_merges_are_followed() {
        let text = "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: [*a, *a]\n";
        let value = one(text);
        assert_eq!(value["b"], json!({ "x": 1, "y": 3 }));
        assert_eq!(value["c"][1], json!({ "x": 1, "y": 2 }));
        assert_eq!(parse("a: 1\n---\nb: 2\n").unwrap().len(), 2);
    }

    #[test]
    fn placeholders_need_no_quotes() {
        let text = "image: {{ image }}\nlist:\n  - {{a}}\n  - %B%\n  - name: {{ x }}-y\ncount: <N>\np: ${P}\n";
        assert_eq!(
            one(text),
            json!({ "image": "{{ image }}", "list": ["{{a}}", "%B%", { "name": "{{ x }}-y" }], "count": "<N>", "p": "${P}" })
        );
    }

    #[test]
    fn aliases_and_depth_are_bounded() {
        let mut text = "a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]\n".to_owned();
        for n in 1..12 {
            let before = format!("*a{}", n - 1);
            let many = [before.as_str(); 9].join(", ");
            text.extend([
                "a",
                &n.to_string(),
                ": &a",
                &n.to_string(),
                " [",
                &many,
                "]\n",
            ]);
        }
        let started = std::time::Instant::now();
        assert!(
            parse(&text)
                .unwrap_err()
                .message
                .contains("aliases expanded")
        );
        assert!(parse(&"[".repeat(10_000)).is_err());
        assert!(parse(&"- ".repeat(10_000)).is_err());
        assert!(parse("a: &a [*a]").is_err());
        assert!(started.elapsed().as_secs() < 5);
    }

    #[test]
    fn says_where_the_mistake_is() {
        let text = "é: 1\nb: [1, 2\nc: 3\n";
        let shown = parse(text).unwrap_err().in_text(text);
        assert!(shown.starts_with("line "), "{shown}");
        // Placeholders that are put into quotes move nothing on other lines.
        let text = "x: {{ a }}\ny: %B%\nc:\n  - a\n d: 2\n";
        let shown = parse(text).unwrap_err().in_text(text);
        assert!(shown.starts_with("line 5, column 2: "), "{shown}");
        let text = "a: 1\n b: 2\n";
        let shown = parse(text).unwrap_err().in_text(text);
        assert!(shown.contains("line 2"), "{shown}");
    }
}
