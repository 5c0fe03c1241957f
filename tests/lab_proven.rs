//! Compares the evidence that a cause's page states with the faults that the lab injects.

use std::collections::BTreeSet;

use pullprobe::cause::Cause;

/// Returns the causes that `tests/lab` injects alone: the second column of the table of single
/// faults.
fn injected() -> BTreeSet<String> {
    let document = include_str!("../docs/confusion-matrix.md");
    let table = document
        .split("\n## Single faults\n")
        .nth(1)
        .unwrap_or_default();
    let rows = table
        .split("\n## ")
        .next()
        .unwrap_or_default()
        .lines()
        .filter(|line| line.starts_with("| `"));
    rows.filter_map(|row| row.split('|').nth(2))
        .map(|cause| cause.trim().to_owned())
        .collect()
}

#[test]
fn page_says_lab_proven_exactly_if_the_lab_injects_its_cause() {
    let injected = injected();
    assert!(injected.len() > 40, "{injected:?}");
    for cause in Cause::ALL {
        let proven = injected.contains(cause.code());
        assert_eq!(
            cause.rests_on() == "lab-proven",
            proven,
            "{cause}: the page says {:?}, but docs/confusion-matrix.md {} it as injected",
            cause.rests_on(),
            if proven { "lists" } else { "does not list" }
        );
    }
}
