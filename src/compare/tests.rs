mod over_time;
mod reading;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ComparisonBuilder;
use super::comparison::Comparison;
use super::difference::Baseline;
use super::vantage_values::VantageValues;
use crate::verdict::Status;

/// Returns a report whose observations are given as `dependency/phase outcome [scope]`. Any other
/// outcome than the four is a failure.
fn report(cidr: &str, at: &str, status: &str, observations: &[&str]) -> Value {
    let code = match status {
        "pass" => 0,
        "warn" => 4,
        "inconclusive" => 3,
        _ => 11,
    };
    let observations: Vec<Value> = observations
        .iter()
        .enumerate()
        .map(|(n, line)| observation(n, line))
        .collect();
    json!({
        "schema": "pullprobe/report/v1",
        "run": { "id": format!("{cidr}{at}"), "version": "0.1.0", "started_at": format!("2026-11-24T{at}:00Z"),
                 "elapsed_ms": 5, "labels": {} },
        "vantage": { "subnet_cidr": cidr, "availability_zone": "us-east-1a", "resolvers": ["10.0.0.2"] },
        "identity": { "role_arn": "arn:aws:iam::123456789012:role/exec" },
        "verdict": { "status": status, "exit_code": code, "summary": "A sentence." },
        "findings": if code > 4 { json!([{ "cause": "s3-gateway-missing", "confidence": "likely" }]) } else { json!([]) },
        "observations": observations,
    })
}

fn observation(n: usize, line: &str) -> Value {
    let mut words = line.split_whitespace();
    let (dependency, phase) = words.next().unwrap().split_once('/').unwrap();
    let (outcome, scope) = (words.next().unwrap(), words.next());
    let mut seen = json!({ "id": format!("{dependency}/{phase}/{n}"), "dependency": dependency, "phase": phase, "elapsed_ms": 1 });
    match outcome {
        "passed" | "not-reached" | "not-checked" => seen["outcome"] = json!(outcome),
        failure => {
            seen["outcome"] = json!("failed");
            seen["failure"] = json!(failure);
        }
    }
    if let Some(scope) = scope {
        seen["scope"] = json!(scope);
    }
    seen
}

fn compare(reports: &[Value]) -> Comparison {
    let mut builder = ComparisonBuilder::default();
    for report in reports {
        assert!(builder.add_text(&report.to_string(), "test"), "{report}");
    }
    builder.finish().comparison
}

const HEALTHY: [&str; 6] = [
    "ecr.api/resolve passed private",
    "ecr.api/connect passed private",
    "ecr.api/authorize passed",
    "s3/resolve passed public",
    "s3/connect passed public",
    "s3/fetch passed",
];

const NO_S3: [&str; 6] = [
    "ecr.api/resolve passed private",
    "ecr.api/connect passed private",
    "ecr.api/authorize passed",
    "s3/resolve passed public",
    "s3/connect timed-out public",
    "s3/fetch not-reached",
];

fn map(pairs: &[(&str, &str)]) -> VantageValues {
    let pairs = pairs.iter();
    let values: BTreeMap<String, String> = pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    values.into()
}

#[test]
fn first_difference_has_the_values_of_both_sides() {
    let comparison = compare(&[
        report("10.0.1.0/24", "10:00", "pass", &HEALTHY),
        report("10.0.2.0/24", "10:00", "fail", &NO_S3),
        report("10.0.3.0/24", "10:00", "pass", &HEALTHY),
    ]);
    let difference = comparison.first_difference.unwrap();
    assert_eq!(difference.fact, "s3/connect");
    assert_eq!(difference.against, Baseline::OtherVantages);
    assert_eq!(
        difference.passing,
        map(&[
            ("10.0.1.0/24 us-east-1a", "passed"),
            ("10.0.3.0/24 us-east-1a", "passed")
        ])
    );
    assert_eq!(
        difference.failing,
        map(&[("10.0.2.0/24 us-east-1a", "timed-out")])
    );
    assert!(comparison.other_differences.is_empty() && comparison.changes.is_empty());
    assert_eq!(
        (comparison.status, comparison.exit_code),
        (Status::Fail, 11)
    );
    assert_eq!(
        comparison.vantages[0].cause.as_deref(),
        Some("s3-gateway-missing")
    );
}

#[test]
fn facts_are_in_start_order_and_the_clock_is_last() {
    let seen = [
        "clock/read passed",
        "s3/connect passed",
        "ecr.dkr/manifest passed",
        "logs/write passed",
        "new/connect passed",
        "ecr.api/authorize passed",
        "ecr.api/resolve passed",
        "ssm/read passed",
        "credentials/read passed",
    ];
    let comparison = compare(&[report("10.0.1.0/24", "10:00", "pass", &seen)]);
    let facts: Vec<&str> = comparison
        .facts
        .iter()
        .map(|fact| fact.fact.as_str())
        .collect();
    let order = [
        "credentials/read",
        "ssm/read",
        "ecr.api/resolve",
        "ecr.api/authorize",
        "logs/write",
        "ecr.dkr/manifest",
        "s3/connect",
        "new/connect",
        "clock/read",
    ];
    assert_eq!(facts, order);
}

#[test]
fn healthy_subnets_with_different_addresses_do_not_differ() {
    let same = [
        "ecr.api/resolve passed same-subnet",
        "ecr.api/connect passed same-subnet",
        "ecr.api/connect passed private",
    ];
    let more = [
        "ecr.api/resolve passed private",
        "ecr.api/connect passed private",
        "ecr.api/connect passed private",
    ];
    let one = [
        "ecr.api/resolve passed private",
        "ecr.api/connect passed private",
    ];
    let comparison = compare(&[
        report("10.0.1.0/24", "10:00", "pass", &same),
        report("10.0.2.0/24", "10:00", "pass", &more),
        report("10.0.3.0/24", "10:00", "pass", &one),
    ]);
    for fact in &comparison.facts {
        let values: std::collections::BTreeSet<_> = fact.values.values().collect();
        assert_eq!(values.len(), 1, "{fact:?}");
    }
    assert_eq!(comparison.first_difference, None);
}

#[test]
fn address_scope_is_a_difference_if_the_dependency_fails() {
    let public = [
        "ecr.api/resolve passed public",
        "ecr.api/connect timed-out public",
        "ecr.api/authorize not-reached",
        "s3/resolve passed public",
        "s3/connect passed public",
        "s3/fetch not-reached",
    ];
    let comparison = compare(&[
        report("10.0.1.0/24", "10:00", "pass", &HEALTHY),
        report("10.0.2.0/24", "10:00", "fail", &public),
    ]);
    assert_eq!(
        comparison.first_difference.as_ref().unwrap().fact,
        "ecr.api/resolve"
    );
    // Through a NAT gateway the public answer works, and S3 is what stops the task.
    let through_nat = [
        "ecr.api/resolve passed public",
        "ecr.api/connect passed public",
        "ecr.api/authorize passed",
        "s3/resolve passed public",
        "s3/connect timed-out public",
        "s3/fetch not-reached",
    ];
    let comparison = compare(&[
        report("10.0.1.0/24", "10:00", "pass", &HEALTHY),
        report("10.0.2.0/24", "10:00", "fail", &through_nat),
    ]);
    assert_eq!(comparison.first_difference.unwrap().fact, "s3/connect");
}

#[test]
fn fact_that_differs_among_passing_vantages_explains_nothing() {
    let nat = [
        "ecr.api/resolve passed public",
        "ecr.api/connect passed public",
        "s3/connect passed public",
    ];
    let endpoint = [
        "ecr.api/resolve passed private",
        "ecr.api/connect passed private",
        "s3/connect passed public",
    ];
    let both = [
        "ecr.api/resolve passed public",
        "ecr.api/connect refused public",
        "s3/connect passed public",
    ];
    let comparison = compare(&[
        report("10.0.1.0/24", "10:00", "pass", &nat),
        report("10.0.2.0/24", "10:00", "pass", &endpoint),
        report("10.0.3.0/24", "10:00", "fail", &both),
    ]);
    assert_eq!(comparison.first_difference.unwrap().fact, "ecr.api/connect");
}

#[test]
fn value_of_a_passing_vantage_explains_nothing() {
    // The vantage with a warning has the dead address too, and its task would start.
    let partly = [
        "ecr.api/connect timed-out private",
        "ecr.api/connect passed private",
        "s3/connect passed",
    ];
    let broken = [
        "ecr.api/connect timed-out private",
        "ecr.api/connect passed private",
        "s3/connect reset",
    ];
    let comparison = compare(&[
        report(
            "10.0.1.0/24",
            "10:00",
            "pass",
            &["ecr.api/connect passed private", "s3/connect passed"],
        ),
        report("10.0.2.0/24", "10:00", "warn", &partly),
        report("10.0.3.0/24", "10:00", "fail", &broken),
    ]);
    let difference = comparison.first_difference.unwrap();
    assert_eq!(difference.fact, "s3/connect");
    assert_eq!(
        difference.passing.len(),
        2,
        "a task starts where there is only a warning"
    );
}

#[test]
fn optional_dependency_does_not_explain_a_failed_start() {
    let comparison = compare(&[
        report(
            "10.0.1.0/24",
            "10:00",
            "pass",
            &[
                "metadata/read passed",
                "s3/connect passed",
                "clock/read passed",
            ],
        ),
        report(
            "10.0.2.0/24",
            "10:00",
            "fail",
            &[
                "metadata/read timed-out",
                "s3/connect reset",
                "clock/read clock-skewed",
            ],
        ),
    ]);
    assert_eq!(comparison.first_difference.unwrap().fact, "s3/connect");
}

#[test]
fn warning_is_compared_with_passing_vantages_if_nothing_fails() {
    let partly = [
        "ecr.api/connect timed-out private",
        "ecr.api/connect passed private",
    ];
    let comparison = compare(&[
        report(
            "10.0.1.0/24",
            "10:00",
            "pass",
            &["ecr.api/connect passed private"],
        ),
        report("10.0.2.0/24", "10:00", "warn", &partly),
    ]);
    let difference = comparison.first_difference.unwrap();
    assert_eq!(
        difference.failing,
        map(&[("10.0.2.0/24 us-east-1a", "partly timed-out")])
    );
    assert_eq!(comparison.exit_code, 4);
}

#[test]
fn vantages_that_fail_differently_have_their_own_differences() {
    let no_name = [
        "ecr.api/resolve no-such-name",
        "ecr.api/connect not-reached",
        "s3/connect passed public",
    ];
    let comparison = compare(&[
        report("10.0.1.0/24", "10:00", "pass", &HEALTHY),
        report("10.0.2.0/24", "10:00", "fail", &NO_S3),
        report("10.0.3.0/24", "10:00", "fail", &no_name),
        report("10.0.4.0/24", "10:00", "fail", &NO_S3),
    ]);
    let first = comparison.first_difference.unwrap();
    assert_eq!(
        (first.fact.as_str(), first.failing.len()),
        ("ecr.api/resolve", 1)
    );
    let [other] = comparison.other_differences.as_slice() else {
        panic!("{:?}", comparison.other_differences)
    };
    assert_eq!(
        (other.fact.as_str(), other.failing.len()),
        ("s3/connect", 2)
    );
}

#[test]
fn explanation_names_the_common_failure_if_no_vantage_passes() {
    let comparison = compare(&[
        report("10.0.1.0/24", "10:00", "fail", &NO_S3),
        report("10.0.2.0/24", "10:00", "fail", &NO_S3),
    ]);
    assert_eq!(comparison.first_difference, None);
    assert!(
        comparison.explanation.contains("No vantage passes"),
        "{}",
        comparison.explanation
    );
    assert!(
        comparison.explanation.contains("timed-out at s3/connect"),
        "{}",
        comparison.explanation
    );
}

#[test]
fn unchecked_fact_neither_passes_nor_explains_a_failure() {
    let unchecked = ["ecr.api/connect not-checked", "s3/connect timed-out"];
    let comparison = compare(&[
        report(
            "10.0.1.0/24",
            "10:00",
            "pass",
            &["ecr.api/connect passed", "s3/connect passed"],
        ),
        report("10.0.2.0/24", "10:00", "fail", &unchecked),
    ]);
    assert_eq!(
        comparison.first_difference.unwrap().fact,
        "s3/connect",
        "a failure explains more"
    );
    let comparison = compare(&[
        report(
            "10.0.1.0/24",
            "10:00",
            "pass",
            &["ecr.api/connect not-checked", "s3/connect passed"],
        ),
        report(
            "10.0.2.0/24",
            "10:00",
            "fail",
            &["ecr.api/connect timed-out", "logs/connect refused"],
        ),
    ]);
    assert_eq!(
        comparison.first_difference, None,
        "no passing vantage checked it"
    );
    assert!(
        comparison.explanation.contains("checked on both sides"),
        "{}",
        comparison.explanation
    );
}

#[test]
fn exit_code_is_that_of_the_worst_vantage() {
    let code = |verdicts: &[(&str, u8)]| {
        let reports: Vec<Value> = verdicts
            .iter()
            .enumerate()
            .map(|(n, (status, code))| {
                let mut report = report(
                    &format!("10.0.{n}.0/24"),
                    "10:00",
                    status,
                    &["s3/connect passed"],
                );
                report["verdict"]["exit_code"] = json!(code);
                report
            })
            .collect();
        compare(&reports).exit_code
    };
    assert_eq!(code(&[("pass", 0), ("pass", 0)]), 0);
    assert_eq!(code(&[("pass", 0), ("warn", 4)]), 4);
    assert_eq!(
        code(&[("warn", 4), ("inconclusive", 3)]),
        3,
        "what was not checked may fail"
    );
    assert_eq!(code(&[("inconclusive", 3), ("fail", 14), ("warn", 4)]), 14);
    assert_eq!(
        code(&[("fail", 14), ("fail", 11), ("fail", 20)]),
        11,
        "the earliest step"
    );
}
