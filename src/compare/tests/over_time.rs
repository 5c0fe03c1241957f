//! The same place at several times.

use serde_json::json;

use super::{HEALTHY, NO_S3, compared, report};
use crate::compare::difference::Against;

#[test]
fn alone_a_vantage_is_compared_with_its_own_last_pass() {
    let reports = [
        report("10.0.1.0/24", "09:00", "pass", &HEALTHY),
        report("10.0.1.0/24", "10:00", "fail", &NO_S3),
        report("10.0.1.0/24", "11:00", "fail", &NO_S3),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let document = compared(&order.map(|n| reports[n].clone()));
        let difference = document.first_difference.unwrap();
        assert_eq!(
            (difference.fact.as_str(), difference.against),
            ("s3/connect", Against::ItsOwnLastPass)
        );
        let [row] = document.vantages.as_slice() else {
            panic!("{:?}", document.vantages)
        };
        assert_eq!(
            (row.reports, row.failed, row.started_at.as_str()),
            (3, 2, "2026-11-24T11:00:00Z")
        );
        let changed: Vec<&str> = document
            .changes
            .iter()
            .map(|change| change.fact.as_str())
            .collect();
        assert_eq!(
            changed,
            ["verdict", "s3/connect"],
            "what was not reached is a consequence"
        );
        let change = &document.changes[1];
        assert_eq!(
            (change.before.as_str(), change.after.as_str()),
            ("passed", "timed-out")
        );
        assert_eq!(change.last_before, "2026-11-24T09:00:00Z");
        assert_eq!(change.first_after.as_deref(), Some("2026-11-24T10:00:00Z"));
    }
}

#[test]
fn what_changed_is_said_also_where_both_pass() {
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
    let document = compared(&[before, after]);
    let said: Vec<&str> = document
        .changes
        .iter()
        .map(|change| change.summary.as_str())
        .collect();
    assert_eq!(
        said,
        [
            "ecr.api moved from private to public addresses, between 2026-11-24 09:00:00 UTC and 2026-11-24 10:00:00 UTC",
            "the role was arn:aws:iam::123456789012:role/exec and is arn:aws:iam::123456789012:role/other, between \
             2026-11-24 09:00:00 UTC and 2026-11-24 10:00:00 UTC",
        ]
    );
}

#[test]
fn of_s3s_way_no_more_is_claimed_than_addresses_show() {
    let endpoint = ["s3/resolve passed private", "s3/connect passed private"];
    let public = ["s3/resolve passed public", "s3/connect passed public"];
    let document = compared(&[
        report("10.0.1.0/24", "09:00", "pass", &endpoint),
        report("10.0.1.0/24", "10:00", "pass", &public),
    ]);
    let said = &document.changes[0].summary;
    assert!(
        said.starts_with("s3 moved from private to public addresses (a gateway endpoint or NAT"),
        "{said}"
    );
}

#[test]
fn going_back_and_forth_is_no_change_between_two_times() {
    let seen = |at: &str, healthy: bool| {
        let (status, seen) = if healthy {
            ("pass", &HEALTHY)
        } else {
            ("fail", &NO_S3)
        };
        report("10.0.1.0/24", at, status, seen)
    };
    let document = compared(&[
        seen("09:00", true),
        seen("10:00", false),
        seen("11:00", true),
    ]);
    let change = document
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
fn neither_the_order_of_the_input_nor_what_comes_twice_matters() {
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
    let expected = compared(&reports);
    for _ in 0..reports.len() {
        reports.rotate_left(1);
        assert_eq!(compared(&reports), expected);
    }
    reports.reverse();
    assert_eq!(compared(&reports), expected);
    let twice = compared(&[reports.clone(), reports].concat());
    assert_eq!((twice.read.reports, twice.read.duplicates), (6, 6));
    assert_eq!(twice.vantages, expected.vantages);
}
