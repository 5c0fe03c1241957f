//! A value of each vantage, such as that of one fact. The names of the vantages are stored once for
//! all facts, and equal values once: a comparison of 100,000 vantages has millions of them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Index;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The names of all vantages of a comparison, in their order.
#[derive(Debug, Default)]
pub struct VantageNames {
    names: Vec<Arc<str>>,
    /// Position of each name.
    positions: HashMap<Arc<str>, u32>,
    /// Positions in the order of the names.
    sorted: Vec<u32>,
}

impl VantageNames {
    /// Takes unique names.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Arc<Self> {
        let names: Vec<Arc<str>> = names.into_iter().map(Arc::from).collect();
        let positions: HashMap<_, _> = names.iter().cloned().zip(0..).collect();
        let mut sorted: Vec<u32> = (0..).take(names.len()).collect();
        sorted.sort_by(|a, b| names[*a as usize].cmp(&names[*b as usize]));
        Arc::new(Self {
            names,
            positions,
            sorted,
        })
    }
}

/// Position of a value that a vantage does not have.
const ABSENT: u32 = u32::MAX;

/// A value for some of the vantages. In JSON it is an object with the names of the vantages.
#[derive(Clone, Default)]
pub struct VantageValues {
    names: Arc<VantageNames>,
    /// Distinct values.
    distinct: Vec<String>,
    /// Position in `distinct` for each vantage.
    values: Vec<u32>,
    count: usize,
}

impl VantageValues {
    /// Returns an empty object for vantages with these names.
    pub fn new(names: &Arc<VantageNames>) -> Self {
        Self {
            names: Arc::clone(names),
            distinct: Vec::new(),
            values: vec![ABSENT; names.names.len()],
            count: 0,
        }
    }

    /// Sets the value of the vantage at this position.
    pub fn set(&mut self, vantage: usize, value: &str) {
        let Some(place) = self.values.get_mut(vantage) else {
            return;
        };
        // There are few: a fact has as many values as ways in which it fails.
        let known = self.distinct.iter().position(|known| known == value);
        let position = known.unwrap_or_else(|| {
            self.distinct.push(value.to_owned());
            self.distinct.len() - 1
        });
        self.count += usize::from(*place == ABSENT);
        *place = u32::try_from(position).unwrap_or(ABSENT);
    }

    /// Returns how many vantages have a value.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no vantage has a value.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the value of the vantage with this name.
    pub fn get(&self, name: &str) -> Option<&String> {
        self.at(*self.names.positions.get(name)? as usize)
    }

    /// Returns the value of the vantage at this position.
    pub fn at(&self, vantage: usize) -> Option<&String> {
        self.distinct.get(*self.values.get(vantage)? as usize)
    }

    /// Whether the vantage with this name has a value.
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Returns names and values in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names.sorted.iter().filter_map(|position| {
            let position = *position as usize;
            Some((&*self.names.names[position], self.at(position)?.as_str()))
        })
    }

    /// Returns the names of the vantages that have a value.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    /// Returns the value of each vantage that has one.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(_, value)| value)
    }
}

impl Index<&str> for VantageValues {
    type Output = String;

    fn index(&self, name: &str) -> &String {
        static NOTHING: String = String::new();
        self.get(name).unwrap_or(&NOTHING)
    }
}

impl PartialEq for VantageValues {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for VantageValues {}

impl fmt::Debug for VantageValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for VantageValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl From<BTreeMap<String, String>> for VantageValues {
    fn from(values: BTreeMap<String, String>) -> Self {
        let names = VantageNames::new(values.keys().map(String::as_str));
        let mut all = Self::new(&names);
        for (n, value) in values.values().enumerate() {
            all.set(n, value);
        }
        all
    }
}

impl<'de> Deserialize<'de> for VantageValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<String, String>::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_an_object_in_the_order_of_the_names() {
        let names = VantageNames::new(["b", "a", "c"]);
        let mut values = VantageValues::new(&names);
        for (vantage, value) in [(0, "passed"), (2, "timed-out"), (0, "refused"), (9, "no")] {
            values.set(vantage, value);
        }
        let json = serde_json::to_string(&values).unwrap();
        assert_eq!(json, r#"{"b":"refused","c":"timed-out"}"#);
        assert_eq!(
            (values.len(), values.get("a"), &*values["c"]),
            (2, None, "timed-out")
        );
        assert_eq!(
            serde_json::from_str::<VantageValues>(&json).unwrap(),
            values
        );
    }
}
