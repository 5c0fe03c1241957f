//! A JSON value and its path, so that what is wrong can be pointed at.

use std::fmt::Display;

use serde_json::Value;

/// What ECS would reject: a path and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake(pub String);

/// A value and where it stands. `null` is what is not there, as some SDKs print it.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    value: &'a Value,
    path: String,
}

/// Characters of a wrong value that are shown.
const SHOWN: usize = 200;

impl<'a> Node<'a> {
    /// The document itself, which has no path.
    pub fn document(value: &'a Value) -> Self {
        Self {
            value,
            path: String::new(),
        }
    }

    /// `path: what`
    pub fn mistake(&self, what: impl Display) -> Mistake {
        let path = if self.path.is_empty() {
            "the document"
        } else {
            &self.path
        };
        Mistake(format!("{path}: {what}"))
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// The member, if it is there. Fails if this is no object.
    pub fn member(&self, name: &str) -> Result<Option<Self>, Mistake> {
        let Some(members) = self.value.as_object() else {
            return Err(self.expected("an object"));
        };
        let value = members.get(name).filter(|value| !value.is_null());
        Ok(value.map(|value| Self {
            value,
            path: self.path_of(name),
        }))
    }

    /// The member, which must be there.
    pub fn needed(&self, name: &str) -> Result<Self, Mistake> {
        self.member(name)?
            .ok_or_else(|| self.mistake(format_args!("{name} is missing")))
    }

    /// A member's text, if it is there.
    pub fn text_of(&self, name: &str) -> Result<Option<&'a str>, Mistake> {
        self.member(name)?.map(|member| member.text()).transpose()
    }

    /// A member's elements; none if it is not there.
    pub fn elements(&self, name: &str) -> Result<Vec<Self>, Mistake> {
        let Some(list) = self.member(name)? else {
            return Ok(Vec::new());
        };
        let Some(values) = list.value.as_array() else {
            return Err(list.expected("an array"));
        };
        let element = |(n, value)| Self {
            value,
            path: format!("{}[{n}]", list.path),
        };
        Ok(values.iter().enumerate().map(element).collect())
    }

    /// A member's own members; none if it is not there.
    pub fn entries(&self, name: &str) -> Result<Vec<(&'a str, Self)>, Mistake> {
        let Some(object) = self.member(name)? else {
            return Ok(Vec::new());
        };
        let Some(members) = object.value.as_object() else {
            return Err(object.expected("an object"));
        };
        let there = members.iter().filter(|(_, value)| !value.is_null());
        Ok(there
            .map(|(name, value)| {
                (
                    name.as_str(),
                    Self {
                        value,
                        path: object.path_of(name),
                    },
                )
            })
            .collect())
    }

    /// A string.
    pub fn text(&self) -> Result<&'a str, Mistake> {
        self.value.as_str().ok_or_else(|| self.expected("a string"))
    }

    /// A string that is one of these.
    pub fn one_of(&self, known: &[&str]) -> Result<&'a str, Mistake> {
        let text = self.text()?;
        if known.contains(&text) {
            return Ok(text);
        }
        Err(self.mistake(format_args!(
            "{:?} is none of {}",
            shorten(text),
            known.join(", ")
        )))
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    fn expected(&self, what: &str) -> Mistake {
        let found = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        self.mistake(format_args!("{what} is needed, not {found}"))
    }
}

/// As much of a value as fits a sentence.
pub(super) fn shorten(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
