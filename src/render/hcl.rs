//! Terraform's configuration language, in the format of `terraform fmt`.

use std::fmt::{self, Write as _};

use super::tree::Tree;

/// The value of an attribute.
#[derive(Debug, Clone)]
pub enum Expression {
    /// Verbatim text: `var.vpc_id`, `443`, `"${var.name}-x"`.
    Raw(String),
    /// A list, with one value per line if there are several.
    List(Vec<Expression>),
    /// An object, with one entry per line.
    Object(Vec<(String, Expression)>),
    /// A value with text before and after it: `jsonencode(`, the value, `)`.
    Around(String, Box<Expression>, String),
}

/// An item of a file or of a block's body.
#[derive(Debug, Clone)]
pub enum Item {
    /// `name = value`
    Attribute(String, Expression),
    /// `resource "type" "name" {`, its items, `}`
    Block(String, Vec<Item>),
    /// A comment; each line begins with `#`.
    Comment(String),
    /// An empty line.
    Space,
}

/// Returns the attribute `name = value`.
pub fn attribute(name: &str, value: impl Into<Expression>) -> Item {
    Item::Attribute(name.to_owned(), value.into())
}

/// Returns a block with this header, such as `resource "aws_vpc_endpoint" "s3"`.
pub fn block(head: impl Into<String>, items: Vec<Item>) -> Item {
    Item::Block(head.into(), items)
}

/// Returns a resource of a type such as `aws_vpc_endpoint`.
pub fn resource(kind: &str, name: &str, items: Vec<Item>) -> Item {
    block(format!("resource {} {}", quote(kind), quote(name)), items)
}

/// Returns a reference or another expression, verbatim.
pub fn raw(text: impl Into<String>) -> Expression {
    Expression::Raw(text.into())
}

/// Returns `jsonencode(value)`.
pub fn json(value: Expression) -> Expression {
    Expression::Around("jsonencode(".into(), Box::new(value), ")".into())
}

/// Quotes and escapes literal text: nothing in it is a template.
pub fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            '{' if quoted.ends_with(['$', '%']) => {
                let mark = if quoted.ends_with('$') { '$' } else { '%' };
                quoted.extend([mark, '{']);
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

impl From<&str> for Expression {
    fn from(text: &str) -> Self {
        Self::Raw(quote(text))
    }
}

impl From<String> for Expression {
    fn from(text: String) -> Self {
        Self::Raw(quote(&text))
    }
}

impl From<Tree> for Expression {
    fn from(tree: Tree) -> Self {
        match tree {
            Tree::Text(text) => text.into(),
            Tree::Number(number) => Self::Raw(number.to_string()),
            Tree::Flag(flag) => Self::Raw(flag.to_string()),
            Tree::List(items) => Self::List(items.into_iter().map(Into::into).collect()),
            Tree::Map(entries) => Self::Object(
                entries
                    .into_iter()
                    .map(|(name, value)| (name, value.into()))
                    .collect(),
            ),
        }
    }
}

/// Writes a file with these items. Empty lines are items of their own ([`Item::Space`]).
pub fn file(items: &[Item]) -> String {
    let mut text = String::new();
    write_items(&mut text, items, 0);
    text
}

/// Writes a file with an empty line between these items.
pub fn spaced_file(items: Vec<Item>) -> String {
    let spaced = items.into_iter().flat_map(|item| [Item::Space, item]);
    file(&spaced.skip(1).collect::<Vec<_>>())
}

const INDENT: &str = "  ";

fn write_items(text: &mut String, items: &[Item], depth: usize) {
    let margin = INDENT.repeat(depth);
    let mut rest = items;
    while let [first, ..] = rest {
        let run = rest
            .iter()
            .take_while(|item| single_line(item).is_some())
            .count();
        // `terraform fmt` aligns the equals signs of adjacent one-line attributes.
        let names = rest[..run].iter().filter_map(single_line);
        let width = names
            .map(|(name, _)| name.chars().count())
            .max()
            // Without one-line attributes there is nothing to align.
            .unwrap_or_default();
        for (name, value) in rest[..run].iter().filter_map(single_line) {
            let _ = writeln!(text, "{margin}{name:width$} = {value}");
        }
        rest = &rest[run..];
        if run > 0 {
            continue;
        }
        match first {
            Item::Attribute(name, value) => {
                let _ = write!(text, "{margin}{name} = ");
                write_value(text, value, depth);
                text.push('\n');
            }
            Item::Block(head, items) if items.is_empty() => {
                let _ = writeln!(text, "{margin}{head} {{}}");
            }
            Item::Block(head, items) => {
                let _ = writeln!(text, "{margin}{head} {{");
                write_items(text, items, depth + 1);
                let _ = writeln!(text, "{margin}}}");
            }
            Item::Comment(lines) => {
                for line in lines.lines() {
                    let _ = writeln!(text, "{}", format!("{margin}# {line}").trim_end());
                }
            }
            Item::Space => text.push('\n'),
        }
        rest = &rest[1..];
    }
}

/// Returns name and value of an attribute that fits one line.
fn single_line(item: &Item) -> Option<(&str, String)> {
    let Item::Attribute(name, value) = item else {
        return None;
    };
    let mut text = String::new();
    write_value(&mut text, value, 0);
    (!text.contains('\n')).then_some((name.as_str(), text))
}

fn write_value(text: &mut String, value: &Expression, depth: usize) {
    let (margin, inner) = (INDENT.repeat(depth), INDENT.repeat(depth + 1));
    match value {
        Expression::Raw(raw) => text.push_str(raw),
        Expression::Around(before, value, after) => {
            text.push_str(before);
            write_value(text, value, depth);
            text.push_str(after);
        }
        Expression::List(items) if items.is_empty() => text.push_str("[]"),
        Expression::List(items) => match items.as_slice() {
            [only @ (Expression::Raw(_) | Expression::List(_))] => {
                text.push('[');
                write_value(text, only, depth);
                text.push(']');
            }
            items => {
                text.push_str("[\n");
                for item in items {
                    text.push_str(&inner);
                    write_value(text, item, depth + 1);
                    text.push_str(",\n");
                }
                let _ = write!(text, "{margin}]");
            }
        },
        Expression::Object(entries) if entries.is_empty() => text.push_str("{}"),
        Expression::Object(entries) => {
            let named =
                |(name, value): &(String, Expression)| Item::Attribute(key(name), value.clone());
            text.push_str("{\n");
            write_items(
                text,
                &entries.iter().map(named).collect::<Vec<_>>(),
                depth + 1,
            );
            let _ = write!(text, "{margin}}}");
        }
    }
}

/// Returns an object's key, without quotes if it is an identifier.
fn key(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain && name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name.to_owned()
    } else {
        quote(name)
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&file(std::slice::from_ref(self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_equals_signs_like_terraform_fmt() {
        let policy = Tree::map([
            ("Version", "2012-10-17".into()),
            (
                "Statement",
                Tree::list([Tree::map([
                    ("Effect", "Allow".into()),
                    ("Action", Tree::list(["a:B", "a:C"])),
                    ("Resource", Tree::list(["*"])),
                    ("Condition", Tree::map([("kms:ViaService", "x".into())])),
                ])]),
            ),
        ]);
        let block = block(
            r#"resource "aws_vpc_endpoint" "s3""#,
            vec![
                attribute("vpc_id", raw("var.vpc_id")),
                attribute("service_name", "com.amazonaws.eu-west-1.s3"),
                attribute("policy", json(policy.into())),
                attribute("on", raw("true")),
                Item::Space,
                super::block(
                    "lifecycle",
                    vec![attribute("a", raw("1")), Item::Comment("why\n\nso".into())],
                ),
            ],
        );
        assert_eq!(
            block.to_string(),
            r#"resource "aws_vpc_endpoint" "s3" {
  vpc_id       = var.vpc_id
  service_name = "com.amazonaws.eu-west-1.s3"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = [
          "a:B",
          "a:C",
        ]
        Resource = ["*"]
        Condition = {
          "kms:ViaService" = "x"
        }
      },
    ]
  })
  on = true

  lifecycle {
    a = 1
    # why
    #
    # so
  }
}
"#
        );
    }

    #[test]
    fn quoted_text_is_not_a_template() {
        assert_eq!(
            quote(r#"${a} %{b} $c "d" \e"#),
            r#""$${a} %%{b} $c \"d\" \\e""#
        );
        assert_eq!(quote("a\nb\u{1}"), r#""a\nb\u0001""#);
        assert_eq!(key("Version"), "Version");
        assert_eq!(key("aws:x"), "\"aws:x\"");
    }
}
