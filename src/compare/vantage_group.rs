//! Vantages that are alike in everything that is compared: people read one column for each group,
//! not one for each of five hundred subnets.

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

/// Returns the groups in the order of the comparison's vantages: the worst first.
pub fn group_vantages(comparison: &Comparison) -> Vec<VantageGroup<'_>> {
    let mut groups: Vec<VantageGroup<'_>> = Vec::new();
    for (first, vantage) in comparison.vantages.iter().enumerate() {
        let values: Vec<Option<&str>> = comparison
            .facts
            .iter()
            .map(|fact| fact.values.get(&vantage.name).map(String::as_str))
            .collect();
        let cause = vantage.cause.as_deref();
        let known = groups.iter_mut().find(|group| {
            group.status == vantage.status && group.cause == cause && group.values == values
        });
        if let Some(group) = known {
            group.names.push(&vantage.name);
        } else {
            groups.push(VantageGroup {
                letter: column_letter(groups.len()),
                status: vantage.status,
                cause,
                confidence: vantage.confidence.as_deref(),
                names: vec![&vantage.name],
                first,
                values,
            });
        }
    }
    groups
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
