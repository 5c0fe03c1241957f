//! Vantages that are alike in everything that is compared: what a person reads is one column for
//! each sort, not for each of five hundred subnets.

use super::document::Document;
use crate::verdict::Status;

/// Vantages that are alike.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// `A`, `B`, … `Z`, `AA`.
    pub letter: String,
    /// Their status.
    pub status: Status,
    /// Their first finding's cause.
    pub cause: Option<&'a str>,
    /// How sure that is.
    pub confidence: Option<&'a str>,
    /// Their names.
    pub names: Vec<&'a str>,
    /// Their places in the document.
    pub members: Vec<usize>,
    /// Their values, one for each fact of the document.
    pub values: Vec<Option<&'a str>>,
}

/// The groups, in the order of the document's vantages: the worst first.
pub fn groups(document: &Document) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (n, vantage) in document.vantages.iter().enumerate() {
        let values: Vec<Option<&str>> = document
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
            group.members.push(n);
        } else {
            groups.push(Group {
                letter: letter(groups.len()),
                status: vantage.status,
                cause,
                confidence: vantage.confidence.as_deref(),
                names: vec![&vantage.name],
                members: vec![n],
                values,
            });
        }
    }
    groups
}

/// As spreadsheets name their columns.
fn letter(n: usize) -> String {
    let digit = char::from(b'A' + u8::try_from(n % 26).unwrap_or_default());
    if n < 26 {
        digit.to_string()
    } else {
        format!("{}{digit}", letter(n / 26 - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::letter;

    #[test]
    fn letters_go_on_after_z() {
        assert_eq!(
            [0, 25, 26, 27, 701, 702].map(letter),
            ["A", "Z", "AA", "AB", "ZZ", "AAA"]
        );
    }
}
