//! Whatever is given to compare: its place, its form, its wrapping.

use serde_json::{Value, json};

use super::{HEALTHY, compared, report};
use crate::compare::{Comparison, report_view};

#[test]
fn places_keep_their_names_and_twins_are_told_apart() {
    let mut labelled = report("10.0.1.0/24", "10:00", "pass", &HEALTHY);
    labelled["run"]["labels"] = json!({ "subnet": "subnet-0abc" });
    let mut other_account = report("10.0.1.0/24", "10:01", "pass", &HEALTHY);
    other_account["vantage"]["task_arn"] = json!("arn:aws:ecs:us-east-1:210987654321:task/c/1");
    other_account["vantage"]["cluster"] = json!("prod");
    let mut account = report("10.0.1.0/24", "10:02", "pass", &HEALTHY);
    account["vantage"]["task_arn"] = json!("arn:aws:ecs:us-east-1:123456789012:task/c/2");
    account["vantage"]["cluster"] = json!("prod");
    let mut unknown = report("10.0.1.0/24", "10:03", "pass", &HEALTHY);
    unknown["vantage"] = json!({});
    let document = compared(&[labelled, other_account, account, unknown]);
    let mut names: Vec<&str> = document
        .vantages
        .iter()
        .map(|vantage| vantage.name.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "10.0.1.0/24 us-east-1a, account 123456789012",
            "10.0.1.0/24 us-east-1a, account 210987654321",
            "subnet-0abc",
            "test"
        ]
    );
}

#[test]
fn a_report_counts_once_wherever_it_was_delivered() {
    let mut twice = report("10.0.1.0/24", "10:00", "pass", &HEALTHY);
    let first = twice.clone();
    twice["delivery"] = json!({ "logs": "delivered" });
    let document = compared(&[first]);
    let mut comparison = Comparison::default();
    comparison.add_text(&twice.to_string(), "a");
    comparison.add_text(&twice.to_string(), "b");
    assert_eq!(
        (comparison.tally().reports, comparison.tally().duplicates),
        (1, 1)
    );
    assert_eq!(document.vantages.len(), 1);
}

#[test]
fn reports_are_found_in_what_exporters_make_of_them() {
    let report = report("10.0.1.0/24", "10:00", "pass", &HEALTHY).to_string();
    let event = json!({ "timestamp": 1, "message": report });
    for (text, others) in [
        (report.clone(), 0),
        (format!("2026-11-24T10:00:00.000Z {report}"), 0),
        (format!("[2026-11-24] pullprobe/pullprobe/1 {report}\n"), 0),
        (json!({ "log": report, "stream": "stdout" }).to_string(), 0),
        (
            json!({ "log": serde_json::from_str::<Value>(&report).unwrap() }).to_string(),
            0,
        ),
        (
            json!({ "events": [{ "message": "app started" }, event, { "message": "{\"a\":1}" }] })
                .to_string(),
            2,
        ),
        (
            json!([[{ "field": "@message", "value": report }, { "field": "@ptr", "value": "x" }]])
                .to_string(),
            0,
        ),
        (
            json!({ "Records": [{ "body": json!({ "logEvents": [event] }).to_string() }] })
                .to_string(),
            0,
        ),
    ] {
        let mut comparison = Comparison::default();
        assert!(comparison.add_text(&text, "test"), "{text}");
        assert_eq!(
            (comparison.tally().reports, comparison.tally().others),
            (1, others),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_report_is_counted_and_said_and_never_fatal() {
    let good = report("10.0.1.0/24", "10:00", "pass", &HEALTHY);
    let mut newer = good.clone();
    newer["schema"] = json!("pullprobe/report/v2");
    let mut lying = good.clone();
    lying["verdict"] = json!({ "status": "fail", "exit_code": 0, "summary": "" });
    let cut = good.to_string()[..900].to_owned();
    let mut comparison = Comparison::default();
    for text in [
        "",
        "app started",
        "{",
        "[]",
        "{\"schema\": 1}",
        "\u{0}",
        "null",
        "\"pullprobe/report/v1\"",
    ] {
        assert!(!comparison.add_text(text, "test"), "{text}");
    }
    assert_eq!(
        (comparison.tally().others, comparison.tally().unreadable),
        (7, 0)
    );
    for text in [newer.to_string(), lying.to_string(), cut] {
        assert!(!comparison.add_text(&text, "test"), "{text}");
    }
    assert_eq!(comparison.tally().unreadable, 3);
    let notes: Vec<&str> = comparison.notes().collect();
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert!(
        notes
            .iter()
            .any(|note| note.starts_with("pullprobe/report/v2 is of another version")),
        "{notes:?}"
    );
}

#[test]
fn a_report_of_a_newer_probe_compares_as_well_as_any() {
    let mut newer = report(
        "10.0.2.0/24",
        "10:00",
        "fail",
        &["kms/decrypt sulking", "s3/connect passed"],
    );
    newer["new"] = json!({ "deep": [1, 2] });
    let old = report(
        "10.0.1.0/24",
        "10:00",
        "pass",
        &["kms/decrypt passed", "s3/connect passed"],
    );
    assert_eq!(
        compared(&[old, newer]).first_difference.unwrap().fact,
        "kms/decrypt"
    );
}

#[test]
fn text_of_others_is_one_line_and_not_endless() {
    let mut hostile = report("10.0.1.0/24", "10:00", "pass", &HEALTHY);
    hostile["run"]["labels"] =
        json!({ "vantage": format!("a\u{202e}b\u{1b}[31m\n{}", "x".repeat(10_000)) });
    let document = compared(&[hostile]);
    let name = &document.vantages[0].name;
    assert!(
        name.starts_with("a b [31m x") && name.chars().count() <= 256,
        "{name}"
    );
}

#[test]
fn what_is_read_borrows_from_its_line() {
    let line = report("10.0.1.0/24", "10:00", "pass", &HEALTHY).to_string();
    let report = report_view::report(&line).unwrap();
    assert!(matches!(
        report.observations[0].dependency.0,
        std::borrow::Cow::Borrowed(_)
    ));
    assert!(matches!(
        report.vantage.subnet_cidr.as_ref().unwrap().0,
        std::borrow::Cow::Borrowed(_)
    ));
}
