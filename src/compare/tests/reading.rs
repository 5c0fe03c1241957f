//! Input of a comparison: its origin, its schema, its wrapping.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{HEALTHY, compare, report};
use crate::aws::credentials::CredentialSource;
use crate::cause::Cause;
use crate::compare::{ComparisonBuilder, report_view};
use crate::diagnose::{Confidence, Diagnosis, Finding, RuledOut};
use crate::network_location::IpFamily;
use crate::observation::{
    Certificate, Dependency, Failure, Observation, Outcome, Phase, Scope, TargetKey,
};
use crate::report::{Identity, Report, Run};
use crate::safe_text::SafeText;
use crate::vantage::{Carrier, Vantage};
use crate::verdict::{Status, Verdict};

#[test]
fn vantages_of_the_same_name_are_qualified() {
    let mut labeled = report("10.0.1.0/24", "10:00", "pass", &HEALTHY);
    labeled["run"]["labels"] = json!({ "subnet": "subnet-0abc" });
    let mut other_account = report("10.0.1.0/24", "10:01", "pass", &HEALTHY);
    other_account["vantage"]["task_arn"] = json!("arn:aws:ecs:us-east-1:210987654321:task/c/1");
    other_account["vantage"]["cluster"] = json!("prod");
    let mut account = report("10.0.1.0/24", "10:02", "pass", &HEALTHY);
    account["vantage"]["task_arn"] = json!("arn:aws:ecs:us-east-1:123456789012:task/c/2");
    account["vantage"]["cluster"] = json!("prod");
    let mut unknown = report("10.0.1.0/24", "10:03", "pass", &HEALTHY);
    unknown["vantage"] = json!({});
    let comparison = compare(&[labeled, other_account, account, unknown]);
    let mut names: Vec<&str> = comparison
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
fn report_delivered_twice_counts_once() {
    let mut twice = report("10.0.1.0/24", "10:00", "pass", &HEALTHY);
    let first = twice.clone();
    twice["delivery"] = json!({ "logs": "delivered" });
    let comparison = compare(&[first]);
    let mut builder = ComparisonBuilder::default();
    builder.add_text(&twice.to_string(), "a");
    builder.add_text(&twice.to_string(), "b");
    assert_eq!(
        (builder.counts().reports, builder.counts().duplicates),
        (1, 1)
    );
    assert_eq!(comparison.vantages.len(), 1);
}

#[test]
fn reports_are_found_in_the_output_of_log_exporters() {
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
        let mut builder = ComparisonBuilder::default();
        assert!(builder.add_text(&text, "test"), "{text}");
        assert_eq!(
            (builder.counts().reports, builder.counts().others),
            (1, others),
            "{text}"
        );
    }
}

#[test]
fn input_that_is_not_a_report_is_counted_and_noted() {
    let good = report("10.0.1.0/24", "10:00", "pass", &HEALTHY);
    let mut newer = good.clone();
    newer["schema"] = json!("pullprobe/report/v2");
    let mut lying = good.clone();
    lying["verdict"] = json!({ "status": "fail", "exit_code": 0, "summary": "" });
    let cut = good.to_string()[..900].to_owned();
    let mut builder = ComparisonBuilder::default();
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
        assert!(!builder.add_text(text, "test"), "{text}");
    }
    assert_eq!(
        (builder.counts().others, builder.counts().unreadable),
        (7, 0)
    );
    for text in [newer.to_string(), lying.to_string(), cut] {
        assert!(!builder.add_text(&text, "test"), "{text}");
    }
    assert_eq!(builder.counts().unreadable, 3);
    let notes: Vec<&str> = builder.notes().collect();
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert!(
        notes
            .iter()
            .any(|note| note.starts_with("unknown report schema pullprobe/report/v2")),
        "{notes:?}"
    );
}

#[test]
fn report_of_a_newer_probe_is_compared() {
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
        compare(&[old, newer]).first_difference.unwrap().fact,
        "kms/decrypt"
    );
}

#[test]
fn text_from_a_report_is_one_bounded_line() {
    let mut hostile = report("10.0.1.0/24", "10:00", "pass", &HEALTHY);
    hostile["run"]["labels"] =
        json!({ "vantage": format!("a\u{202e}b\u{1b}[31m\n{}", "x".repeat(10_000)) });
    let comparison = compare(&[hostile]);
    let name = &comparison.vantages[0].name;
    assert!(
        name.starts_with("a\\u{202e}b\\u{1b}[31m x") && name.chars().count() <= 256,
        "{name}"
    );
}

#[test]
fn view_borrows_from_its_line() {
    let line = report("10.0.1.0/24", "10:00", "pass", &HEALTHY).to_string();
    let report = report_view::parse(&line).unwrap();
    assert!(matches!(
        report.observations[0].dependency.0,
        std::borrow::Cow::Borrowed(_)
    ));
    assert!(matches!(
        report.vantage.subnet_cidr.as_ref().unwrap().0,
        std::borrow::Cow::Borrowed(_)
    ));
}

/// Every member that the view reads is set here, so a renamed one fails.
#[test]
fn view_reads_every_member_of_a_real_report() {
    let report = full_report();
    let line = report.line();
    let view = report_view::parse(&line).unwrap();
    let text = |text: &Option<report_view::Text<'_>>| {
        text.as_deref().map(|text| SafeText::from(text.to_owned()))
    };

    assert_eq!(*view.schema, report.schema);
    let (run, real) = (&view.run, &report.run);
    assert_eq!(
        (&*run.id, &*run.version, &*run.started_at, run.elapsed_ms),
        (&*real.id, &*real.version, &*real.started_at, 7)
    );
    let labels: Vec<(&str, &str)> = run.labels.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(labels, [("service", "shop")]);
    assert_eq!(text(&run.shortened), real.shortened);

    let (vantage, real) = (&view.vantage, &report.vantage);
    assert_eq!(text(&vantage.region), real.region);
    assert_eq!(text(&vantage.availability_zone), real.availability_zone);
    assert_eq!(text(&vantage.subnet_cidr).unwrap(), "10.0.1.0/24");
    assert_eq!(text(&vantage.address).unwrap(), "10.0.1.10");
    assert_eq!(text(&vantage.task_arn), real.task_arn);
    assert_eq!(text(&vantage.cluster), real.cluster);
    assert_eq!(&*vantage.resolvers[0], real.resolvers[0]);
    let role = &view.identity.as_ref().unwrap().role_arn;
    assert_eq!(text(role), report.identity.unwrap().role_arn);

    let (verdict, real) = (&view.verdict, &report.verdict);
    assert_eq!(
        (verdict.status, verdict.exit_code, &*verdict.summary),
        (real.status, real.exit_code, &*real.summary)
    );
    let (finding, real) = (&view.findings[0], &report.findings[0]);
    assert_eq!(
        (&*finding.cause, &*finding.confidence),
        (real.cause.code(), "certain")
    );
    assert_eq!(
        (&*finding.summary, &*finding.remedy),
        (&*real.summary, &*real.remedy)
    );
    assert_eq!(&*view.ruled_out[0].cause, report.ruled_out[0].cause.code());

    let [failed, not_reached, not_checked] = view.observations.as_slice() else {
        panic!("{:?}", view.observations)
    };
    assert_eq!(&*failed.id, "ecr.api/handshake");
    assert_eq!(
        (&*failed.dependency, &*failed.phase),
        ("ecr.api", "handshake")
    );
    assert_eq!(
        (&*failed.outcome, text(&failed.failure).unwrap().as_str()),
        ("failed", "unknown-issuer")
    );
    assert_eq!(
        (&*failed.host, &*failed.detail, failed.elapsed_ms),
        ("api.ecr.us-east-1.amazonaws.com", "a detail", 12)
    );
    assert_eq!(text(&failed.peer).unwrap(), "52.94.0.1:443");
    assert_eq!(text(&failed.scope).unwrap(), "public");
    assert_eq!(text(&failed.owner).unwrap(), "AMAZON us-east-1");
    assert_eq!(text(&failed.subject).unwrap(), "a subject");
    assert_eq!(&*failed.presented[0], "proxy.example");
    assert_eq!(&*failed.chain[0].issuer, "CN=Proxy,O=Example");
    assert_eq!(text(&failed.superseded_by).unwrap(), "s3");
    assert_eq!(text(&not_reached.blocked_by).unwrap(), "ecr.api/handshake");
    assert_eq!(text(&not_checked.why).unwrap(), "a reason");
}

#[allow(clippy::too_many_lines, reason = "one value, every member of it")]
fn full_report() -> Report {
    let mut failed = Observation::new(
        TargetKey::of(Dependency::EcrApi),
        Dependency::EcrApi,
        Phase::Handshake,
        Outcome::Failed {
            failure: Failure::UnknownIssuer,
        },
    );
    failed.host = "api.ecr.us-east-1.amazonaws.com".into();
    failed.peer = Some("52.94.0.1:443".parse().unwrap());
    failed.scope = Some(Scope::Public);
    failed.owner = Some("AMAZON us-east-1".into());
    failed.subject = Some("a subject".into());
    failed.detail = "a detail".into();
    failed.elapsed_ms = 12;
    failed.presented = vec!["proxy.example".into()];
    failed.superseded_by = Some("s3".into());
    failed.chain = vec![Certificate {
        subject: "CN=proxy.example".into(),
        issuer: "CN=Proxy,O=Example".into(),
        names: vec!["proxy.example".into()],
        not_before: "2026-01-01T00:00:00Z".into(),
        not_after: "2027-01-01T00:00:00Z".into(),
        expired: false,
        public_issuer: false,
    }];
    let not_reached = Observation::new(
        TargetKey::of(Dependency::EcrApi),
        Dependency::EcrApi,
        Phase::Authorize,
        Outcome::NotReached {
            blocked_by: failed.id.to_string().into(),
        },
    );
    let not_checked = Observation::new(
        TargetKey::of(Dependency::Clock),
        Dependency::Clock,
        Phase::Read,
        Outcome::NotChecked {
            why: "a reason".into(),
        },
    );
    let finding = Finding {
        cause: Cause::TlsIntercepted,
        family: Cause::TlsIntercepted.family(),
        dependency: Dependency::EcrApi,
        confidence: Confidence::Certain,
        blocking: true,
        tries: None,
        summary: "What is wrong.".into(),
        remedy: "What to change.".into(),
        fix: vec!["aws ec2 describe-vpcs".into()],
        because: vec![failed.id.clone()],
    };
    let ruled_out = RuledOut {
        cause: Cause::ClockSkew,
        because: Vec::new(),
    };
    let run = Run {
        id: "run".into(),
        version: "0.1.0".into(),
        started_at: "2026-11-24T10:00:00Z".into(),
        elapsed_ms: 7,
        labels: BTreeMap::from([("service".into(), "shop".into())]),
        address_ranges: "2025-10-31".into(),
        internal_error: Some("a bug".into()),
        shortened: Some("layers".into()),
    };
    let vantage = Vantage {
        region: Some("us-east-1".into()),
        availability_zone: Some("us-east-1a".into()),
        subnet_cidr: Some("10.0.1.0/24".parse().unwrap()),
        address: Some("10.0.1.10".parse().unwrap()),
        ip_family: Some(IpFamily::Ipv4),
        task_arn: Some("arn:aws:ecs:us-east-1:123456789012:task/prod/1".into()),
        cluster: Some("prod".into()),
        resolvers: vec!["10.0.0.2".into()],
        platform: "linux/amd64".into(),
        proxy_variables: vec!["HTTPS_PROXY".into()],
        carrier: Some(Carrier::Fargate),
    };
    let identity = Identity {
        role_arn: Some("arn:aws:iam::123456789012:role/exec".into()),
        source: CredentialSource::Container,
        expires_at: Some("2026-11-24T16:00:00Z".into()),
    };
    let diagnosis = Diagnosis {
        findings: vec![finding],
        ruled_out: vec![ruled_out],
    };
    let verdict = Verdict {
        status: Status::Fail,
        exit_code: 12,
        summary: "A sentence.".into(),
    };
    Report::with_verdict(
        run,
        vantage,
        Some(identity),
        vec![failed, not_reached, not_checked],
        (diagnosis, verdict),
        json!({}),
    )
}

#[test]
fn vantages_beyond_the_limit_are_left_out_and_the_result_is_not_a_pass() {
    let mut builder = ComparisonBuilder::default();
    for number in 0..510 {
        let cidr = format!("10.{}.{}.0/24", number / 256, number % 256);
        let healthy = report(&cidr, "10:00", "pass", &HEALTHY);
        builder.add_text(&healthy.to_string(), "test");
    }
    assert_eq!(
        (builder.counts().reports, builder.counts().left_out),
        (500, 10)
    );
    let comparison = builder.finish().comparison;
    assert_eq!(
        (comparison.status, comparison.exit_code),
        (Status::Inconclusive, 3)
    );
}
