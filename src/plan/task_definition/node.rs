//! A JSON value with its path, so that an error can point at it.

use std::fmt::Display;

use serde_json::Value;

use super::error::{Problem, TaskDefinitionError};
use crate::plan::shorten;

/// First character of a string that stands for a value which a template leaves open, such as
/// `${IMAGE}`. The template's text follows, then this character again and the reason. ECS accepts
/// it in no string that is read here.
pub const OPEN: char = '\0';

/// Returns text and reason of a value that a template leaves open.
pub fn open_parts(value: &Value) -> Option<(&str, &str)> {
    value.as_str()?.strip_prefix(OPEN)?.split_once(OPEN)
}

/// A value and its path. `null` counts as absent, because some SDKs print absent members so.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    value: &'a Value,
    path: String,
}

impl<'a> Node<'a> {
    /// Returns the whole document, whose path is empty.
    pub fn document(value: &'a Value) -> Self {
        Self {
            value,
            path: String::new(),
        }
    }

    /// Returns an error about this value.
    pub fn error(&self, problem: impl Display) -> TaskDefinitionError {
        self.problem(Problem::Rule(problem.to_string()))
    }

    /// Returns an error about this value.
    pub fn problem(&self, problem: Problem) -> TaskDefinitionError {
        TaskDefinitionError {
            path: self.path.clone(),
            problem,
        }
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// Returns a member of this object, with its path.
    #[cfg(feature = "operator")]
    pub fn child(&self, name: &str, value: &'a Value) -> Self {
        Self {
            value,
            path: self.path_of(name),
        }
    }

    /// Returns an element of this array, with its path.
    #[cfg(feature = "operator")]
    pub fn element(&self, n: usize, value: &'a Value) -> Self {
        let path = format!("{}[{n}]", self.path);
        Self { value, path }
    }

    /// Returns an error about a member that is absent.
    #[cfg(feature = "operator")]
    pub fn absent(&self, name: &str, why: &str) -> TaskDefinitionError {
        TaskDefinitionError {
            path: self.path_of(name),
            problem: Problem::Rule(format!("is missing: {why}")),
        }
    }

    /// Returns the error of a value of another type; `None` if the type is not known yet.
    #[cfg(feature = "operator")]
    pub fn mismatch(&self, expected: &str) -> Option<TaskDefinitionError> {
        open_parts(self.value)
            .is_none()
            .then(|| self.expected(expected))
    }

    /// Returns the member, or `None` if it is absent. Fails if this is not an object.
    pub fn member(&self, name: &str) -> Result<Option<Self>, TaskDefinitionError> {
        let Some(members) = self.value.as_object() else {
            return Err(self.expected("an object"));
        };
        let value = members.get(name).filter(|value| !value.is_null());
        Ok(value.map(|value| Self {
            value,
            path: self.path_of(name),
        }))
    }

    /// Returns the member. Fails if it is absent.
    pub fn required(&self, name: &str) -> Result<Self, TaskDefinitionError> {
        self.member(name)?
            .ok_or_else(|| self.error(format_args!("{name} is missing")))
    }

    /// Returns a member's text, or `None` if it is absent.
    pub fn text_of(&self, name: &str) -> Result<Option<&'a str>, TaskDefinitionError> {
        self.member(name)?.map(|member| member.text()).transpose()
    }

    /// Returns the elements of an array; an empty list if the member is absent.
    pub fn elements(&self, name: &str) -> Result<Vec<Self>, TaskDefinitionError> {
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

    /// Returns the members of an object by name; an empty list if the member is absent.
    pub fn entries(&self, name: &str) -> Result<Vec<(&'a str, Self)>, TaskDefinitionError> {
        let Some(object) = self.member(name)? else {
            return Ok(Vec::new());
        };
        let Some(members) = object.value.as_object() else {
            return Err(object.expected("an object"));
        };
        let entry = |(name, value): (&'a String, &'a Value)| {
            let path = object.path_of(name);
            (name.as_str(), Self { value, path })
        };
        Ok(members
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(entry)
            .collect())
    }

    /// Returns the text. Fails if this is not a string.
    pub fn text(&self) -> Result<&'a str, TaskDefinitionError> {
        let text = self
            .value
            .as_str()
            .filter(|_| open_parts(self.value).is_none());
        text.ok_or_else(|| self.expected("a string"))
    }

    /// Returns the text. Fails if it is not one of `values`.
    pub fn one_of(&self, values: &[&str]) -> Result<&'a str, TaskDefinitionError> {
        let text = self.text()?;
        if values.contains(&text) {
            return Ok(text);
        }
        Err(self.error(format_args!(
            "{:?} is not one of {}",
            shorten(text),
            values.join(", ")
        )))
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    fn expected(&self, expected: &str) -> TaskDefinitionError {
        if let Some((text, reason)) = open_parts(self.value) {
            return self.problem(Problem::Open {
                text: text.to_owned(),
                reason: reason.to_owned(),
            });
        }
        let found = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        let hint = match (expected, self.value) {
            ("a string", Value::Bool(_) | Value::Number(_)) => "; put it in quotation marks",
            ("a whole number", Value::String(text)) if text.parse::<i64>().is_ok() => {
                "; remove the quotation marks"
            }
            ("true or false", Value::String(text)) if text.parse::<bool>().is_ok() => {
                "; remove the quotation marks"
            }
            _ => "",
        };
        self.error(format_args!("expected {expected}, found {found}{hint}"))
    }
}
