//! Groups of vantages that are alike in everything that is compared: one column for each group
//! instead of one for each of five hundred subnets.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::comparison::Comparison;
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
    /// Confidence of the first vantage's first finding.
    pub confidence: Option<&'a str>,
    /// Names of the vantages.
    pub names: Vec<&'a str>,
    /// Index of the first vantage in the comparison.
    pub first: usize,
    /// Value of each of the comparison's facts.
    pub values: Vec<Option<&'a str>>,
}

/// Status, cause and values, which are the same at every vantage of a group.
type GroupKey<'a> = (Status, Option<&'a str>, Vec<Option<&'a str>>);

/// Returns the groups in the order of the comparison's vantages: the worst first.
pub fn group_vantages(comparison: &Comparison) -> Vec<VantageGroup<'_>> {
    let mut groups: Vec<VantageGroup<'_>> = Vec::new();
    let mut known: HashMap<GroupKey<'_>, usize> = HashMap::new();
    let rows = values_by_vantage(comparison);
    for (first, (vantage, values)) in comparison.vantages.iter().zip(rows).enumerate() {
        let cause = vantage.cause.as_deref();
        match known.entry((vantage.status, cause, values)) {
            Entry::Occupied(entry) => groups[*entry.get()].names.push(&vantage.name),
            Entry::Vacant(entry) => {
                groups.push(VantageGroup {
                    letter: column_letter(groups.len()),
                    status: vantage.status,
                    cause,
                    confidence: vantage.confidence.as_deref(),
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

/// Returns the values of all facts for each vantage, in the comparison's order of both.
fn values_by_vantage(comparison: &Comparison) -> Vec<Vec<Option<&str>>> {
    let vantages = comparison.vantages.iter().enumerate();
    let index: HashMap<&str, usize> = vantages.map(|(n, vantage)| (&*vantage.name, n)).collect();
    let mut rows = vec![vec![None; comparison.facts.len()]; comparison.vantages.len()];
    for (n, fact) in comparison.facts.iter().enumerate() {
        for (name, value) in &fact.values {
            if let Some(row) = index.get(&**name) {
                rows[*row][n] = Some(value.as_str());
            }
        }
    }
    rows
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
