//! A value of a Terraform or CloudFormation file: like JSON, but its members keep their order.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

/// A value that [`super::template`] writes as YAML and [`super::hcl`] as HCL.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// Literal text.
    Text(String),
    /// A number.
    Number(u32),
    /// `true` or `false`.
    Flag(bool),
    /// Values in order.
    List(Vec<Tree>),
    /// Named values in order.
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// Returns a map with its entries in this order.
    pub fn map<const N: usize>(entries: [(&str, Tree); N]) -> Self {
        Self::Map(
            entries
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    /// Returns a list.
    pub fn list<T: Into<Tree>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }

    /// Replaces the value of every entry with this name, at any depth.
    #[must_use]
    pub fn with_entries(self, name: &str, value: &Tree) -> Self {
        match self {
            Self::List(items) => Self::List(
                items
                    .into_iter()
                    .map(|item| item.with_entries(name, value))
                    .collect(),
            ),
            Self::Map(entries) => {
                let replaced = entries.into_iter().map(|(key, entry)| {
                    let entry = if key == name {
                        value.clone()
                    } else {
                        entry.with_entries(name, value)
                    };
                    (key, entry)
                });
                Self::Map(replaced.collect())
            }
            other => other,
        }
    }

    /// Replaces every text with what `change` returns for it.
    #[must_use]
    pub fn with_texts(self, change: &impl Fn(String) -> Tree) -> Self {
        match self {
            Self::Text(text) => change(text),
            Self::List(items) => Self::List(
                items
                    .into_iter()
                    .map(|item| item.with_texts(change))
                    .collect(),
            ),
            Self::Map(entries) => Self::Map(
                entries
                    .into_iter()
                    .map(|(name, value)| (name, value.with_texts(change)))
                    .collect(),
            ),
            other => other,
        }
    }
}

impl From<&str> for Tree {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Tree {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u32> for Tree {
    fn from(number: u32) -> Self {
        Self::Number(number)
    }
}

impl From<&Value> for Tree {
    /// Converts JSON. A value that a tree does not have, such as a fraction, becomes text.
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Text(String::new()),
            Value::Bool(flag) => Self::Flag(*flag),
            Value::Number(number) => match number
                .as_u64()
                .and_then(|number| u32::try_from(number).ok())
            {
                Some(number) => Self::Number(number),
                None => Self::Text(number.to_string()),
            },
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::list(items),
            Value::Object(members) => Self::Map(
                members
                    .iter()
                    .map(|(name, value)| (name.clone(), value.into()))
                    .collect(),
            ),
        }
    }
}

impl From<bool> for Tree {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u32(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::List(items) => items.serialize(serializer),
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (name, value) in entries {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}
