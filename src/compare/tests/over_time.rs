//! Reports of the same vantage at several times.

use serde_json::json;

use super::{HEALTHY, NO_S3, compare, report};
use crate::compare::difference::Baseline;

#[test]
fn single_vantage_is_compared_with_its_own_last_pass() {
    let reports = [
        report("10.0.1.0/24", "09:00", "pass", &HEALTHY),
        report("10.0.1.0/24", "10:00", "fail", &NO_S3),
        report("10.0.1.0/24", "11:00", "fail", &NO_S3),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let comparison = compare(&order.map(|n| reports[n].clone()));
        let difference = comparison.first_difference.unwrap();
        assert_eq!(
            (difference.fact.as_str(), difference.against),
            ("s3/connect", Baseline::ItsOwnLastPass)
        );
        let [row] = comparison.vantages.as_slice() else {
            panic!("{:?}", comparison.vantages)
        };
        assert_eq!(
            (row.reports, row.failed, row.started_at.as_str()),
            (3, 2, "2026-11-24T11:00:00Z")
        );
        let changed: Vec<&str> = comparison
            .changes
            .iter()
            .map(|change| change.fact.as_str())
            .collect();
        assert_eq!(
            changed,
            ["verdict", "s3/connect"],
            "what was not reached is a consequence"
        );
        let change = &comparison.changes[1];
        assert_eq!(
            (change.before.as_str(), change.after.as_str()),
            ("passed", "timed-out")
        );
        assert_eq!(change.last_before, "2026-11-24T09:00:00Z");
        assert_eq!(change.first_after.as_deref(), Some("2026-11-24T10:00:00Z"));
    }
}

#[test]
fn changes_are_listed_even_if_both_reports_pass() {
    let mut before = report("10.0.1.0/24", "09:00", "pass", &HEALTHY);
    before["observations"][0]["presented"] = json!(["10.0.9.1"]);
    before["observations"][1]["chain"] =
        json!([{ "issuer": "CN=Amazon RSA 2048 M01,O=Amazon,C=US" }]);
    let nat = HEALTHY.map(|line| {
        if line.starts_with("ecr.api") {
            line.replace("private", "public")
        } else {
            line.into()
        }
    });
    let nat: Vec<&str> = nat.iter().map(String::as_str).collect();
    let mut after = report("10.0.1.0/24", "10:00", "pass", &nat);
    after["identity"]["role_arn"] = json!("arn:aws:iam::123456789012:role/other");
    let comparison = compare(&[before, after]);
    let summaries: Vec<&str> = comparison
        .changes
        .iter()
        .map(|change| change.summary.as_str())
        .collect();
    assert_eq!(
        summaries,
        [
            "ecr.api moved from private to public addresses, between 2026-11-24 09:00:00 UTC and 2026-11-24 10:00:00 UTC",
            "the IAM role of the probe changed from arn:aws:iam::123456789012:role/exec to \
             arn:aws:iam::123456789012:role/other, between 2026-11-24 09:00:00 UTC and 2026-11-24 10:00:00 UTC",
        ]
    );
}

#[test]
fn change_of_s3_scope_does_not_claim_a_route() {
    let endpoint = ["s3/resolve passed private", "s3/connect passed private"];
    let public = ["s3/resolve passed public", "s3/connect passed public"];
    let comparison = compare(&[
        report("10.0.1.0/24", "09:00", "pass", &endpoint),
        report("10.0.1.0/24", "10:00", "pass", &public),
    ]);
    let summary = &comparison.changes[0].summary;
    assert!(
        summary.starts_with("s3 moved from private to public addresses (a gateway endpoint or NAT"),
        "{summary}"
    );
}

#[test]
fn alternating_value_has_no_time_of_change() {
    let seen = |at: &str, healthy: bool| {
        let (status, seen) = if healthy {
            ("pass", &HEALTHY)
        } else {
            ("fail", &NO_S3)
        };
        report("10.0.1.0/24", at, status, seen)
    };
    let comparison = compare(&[
        seen("09:00", true),
        seen("10:00", false),
        seen("11:00", true),
    ]);
    let change = comparison
        .changes
        .iter()
        .find(|change| change.fact == "s3/connect")
        .unwrap();
    assert_eq!(
        (change.after.as_str(), &change.first_after),
        ("passed", &None)
    );
    assert!(
        change.summary.contains("back and forth"),
        "{}",
        change.summary
    );
}

#[test]
fn input_order_and_duplicates_do_not_matter() {
    let mut reports: Vec<serde_json::Value> =
        ["09:00", "10:00", "10:00", "10:00", "11:00", "11:00"]
            .into_iter()
            .enumerate()
            .map(|(n, at)| {
                let (status, seen) = if n % 2 == 0 {
                    ("pass", &HEALTHY)
                } else {
                    ("fail", &NO_S3)
                };
                let mut report = report("10.0.1.0/24", at, status, seen);
                report["run"]["id"] = json!(format!("run-{n}"));
                report
            })
            .collect();
    let expected = compare(&reports);
    for _ in 0..reports.len() {
        reports.rotate_left(1);
        assert_eq!(compare(&reports), expected);
    }
    reports.reverse();
    assert_eq!(compare(&reports), expected);
    let twice = compare(&[reports.clone(), reports].concat());
    assert_eq!((twice.read.reports, twice.read.duplicates), (6, 6));
    assert_eq!(twice.vantages, expected.vantages);
}
