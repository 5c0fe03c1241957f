//! Groups of vantages that are alike in everything that is compared: one column for each group
//! instead of one for each of five hundred subnets.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::comparison::Comparison;
use super::fact::FactValue;
use crate::verdict::Status;

/// Vantages that are alike.
#[derive(Debug, Clone)]
pub struct VantageGroup<'a> {
    /// `A`, `B`, … `Z`, `AA`, as spreadsheets name their columns.
    pub letter: String,
    /// Status of each vantage.
    pub status: Status,
    /// Cause of the first finding of each vantage.
    pub cause: Option<&'a str>,
    /// Names of the vantages.
    pub names: Vec<&'a str>,
    /// Index of the first vantage in the comparison.
    pub first: usize,
    /// Value of each of the comparison's facts.
    pub values: Vec<Option<&'a str>>,
}

impl VantageGroup<'_> {
    /// Whether everything works that the comparison's fact of this index covers.
    pub fn passes(&self, fact: usize) -> bool {
        let value = self.values.get(fact).copied().flatten();
        value.is_some_and(|value| FactValue::parse(value).passed())
    }
}

/// Status, cause and values, which are the same at every vantage of a group.
type GroupKey<'a> = (Status, Option<&'a str>, Vec<Option<&'a str>>);

/// Returns the groups in the order of the comparison's vantages: the worst first.
pub fn group_vantages(comparison: &Comparison) -> Vec<VantageGroup<'_>> {
    let mut groups: Vec<VantageGroup<'_>> = Vec::new();
    let mut known: HashMap<GroupKey<'_>, usize> = HashMap::new();
    for (first, vantage) in comparison.vantages.iter().enumerate() {
        let cause = vantage.cause.as_deref();
        match known.entry((vantage.status, cause, values(comparison, first))) {
            Entry::Occupied(entry) => groups[*entry.get()].names.push(&vantage.name),
            Entry::Vacant(entry) => {
                groups.push(VantageGroup {
                    letter: column_letter(groups.len()),
                    status: vantage.status,
                    cause,
                    names: vec![&vantage.name],
                    first,
                    values: entry.key().2.clone(),
                });
                entry.insert(groups.len() - 1);
            }
        }
    }
    groups
}

/// Returns the values of all facts of the vantage at this position.
fn values(comparison: &Comparison, vantage: usize) -> Vec<Option<&str>> {
    let facts = comparison.facts.iter();
    facts
        .map(|fact| fact.values.get(&comparison.vantages.get(vantage)?.name))
        .map(|value| value.map(String::as_str))
        .collect()
}

fn column_letter(n: usize) -> String {
    let digit = char::from(b'A' + u8::try_from(n % 26).unwrap_or(0));
    if n < 26 {
        digit.to_string()
    } else {
        format!("{}{digit}", column_letter(n / 26 - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::column_letter;

    #[test]
    fn columns_after_z_have_two_letters() {
        assert_eq!(
            [0, 25, 26, 27, 701, 702].map(column_letter),
            ["A", "Z", "AA", "AB", "ZZ", "AAA"]
        );
    }
}
