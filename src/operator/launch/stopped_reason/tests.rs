//! Uses every text of the corpus as the stopped reason of a probe that did not start.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::operator::launch::request::Placement;
use crate::plan::{Plan, PlanInput};

fn launch() -> Launch {
    let image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1.4"
        .parse()
        .unwrap();
    let input = PlanInput {
        images: vec![image],
        log_group: Some("/ecs/app".into()),
        ..PlanInput::default()
    };
    Launch {
        cluster: "arn:aws:ecs:us-east-1:123456789012:cluster/prod".into(),
        service: None,
        subnets: vec!["subnet-a".into()],
        security_groups: Vec::new(),
        assign_public_ip: false,
        placement: Placement::Fargate,
        platform_version: None,
        plan: Plan::new(input, "us-east-1".parse().unwrap()).unwrap(),
        document: None,
        definition: "pullprobe-0123456789abcdef".into(),
        run_id: "r1".into(),
        labels: BTreeMap::new(),
        deadline: Duration::from_secs(30),
        timeout: Duration::from_mins(6),
    }
}

fn document(reason: &str) -> Value {
    json!({ "taskArn": "arn:aws:ecs:us-east-1:123456789012:task/prod/0d4f29a1", "lastStatus": "STOPPED",
        "stopCode": "TaskFailedToStart", "stoppedReason": reason, "containers": [{ "name": "pullprobe" }],
        "attachments": [{ "type": "ElasticNetworkInterface", "details": [{ "name": "privateIPv4Address", "value": "10.0.1.9" }] }] })
}

fn report_of(reason: &str) -> Report {
    let document = document(reason);
    never_started(&launch(), "subnet-a", &Task::read(&document), &document)
}

/// Asserts what the contract requires of every report.
fn assert_consistent(report: &Report) {
    let Report {
        verdict,
        findings,
        observations,
        ..
    } = report;
    assert_eq!(report.run.labels["subnet"], "subnet-a");
    assert!(
        observations
            .iter()
            .all(|observation| observation.witness == Some(Witness::Ecs)),
        "{observations:?}"
    );
    for finding in findings {
        assert!(
            !finding.because.is_empty() && finding.family == finding.cause.family(),
            "{finding:?}"
        );
        assert!(
            finding
                .because
                .iter()
                .all(|id| observations.iter().any(|observation| observation.id == *id)),
            "{finding:?}"
        );
    }
    match verdict.status {
        Status::Fail => assert_eq!(verdict.exit_code, findings[0].family.exit_code()),
        Status::Inconclusive => assert_eq!(verdict.exit_code, 3),
        Status::Pass | Status::Warn => {}
    }
    let read: Report = serde_json::from_str(&report.line()).unwrap();
    assert_eq!(read, *report);
}

#[test]
fn stopped_reason_is_never_a_success_and_keeps_the_cause_of_explain() {
    let corpus = include_str!("../../../../tests/corpus/messages.jsonl");
    let mut failed = 0;
    for line in corpus.lines() {
        let example: Value = serde_json::from_str(line).unwrap();
        let text = example["message"].as_str().unwrap();
        let report = report_of(text);
        assert_consistent(&report);
        assert!(
            matches!(report.verdict.status, Status::Fail | Status::Inconclusive),
            "{text}"
        );
        let message = explain::tasks::messages(&document(text).to_string())
            .unwrap()
            .remove(0);
        let explanation = explain::explain_with(&message.text, &message.context);
        if explanation.family != Family::Unknown
            && let Some(first) = explanation.findings.first()
        {
            assert_eq!(report.findings[0].cause, first.cause, "{text}");
            assert!(report.findings[0].confidence <= first.confidence, "{text}");
            failed += 1;
        }
        assert!(report.ruled_out.is_empty());
    }
    assert!(failed > 90, "{failed} texts of the corpus are causes");
}

#[test]
fn address_in_a_text_is_located_from_the_task() {
    let report = report_of(
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable \
         to retrieve ecr registry auth: service call has been retried 3 time(s): RequestError: send request failed caused \
         by: Post \"https://api.ecr.us-east-1.amazonaws.com/\": dial tcp 10.0.9.11:443: i/o timeout",
    );
    let observation = &report.observations[0];
    assert_eq!(
        (observation.dependency, observation.phase),
        (Dependency::EcrApi, Phase::Connect)
    );
    assert_eq!(observation.scope, Some(crate::observation::Scope::Private));
    assert_eq!(report.vantage.address, Some("10.0.1.9".parse().unwrap()));
    assert_eq!(report.verdict.exit_code, 11);
}

#[test]
fn fault_of_the_probes_image_is_not_blamed_on_the_task() {
    let report = report_of(
        "CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/arm64'",
    );
    assert_eq!(report.verdict.exit_code, 15);
    assert!(
        report.verdict.summary.contains("its own image"),
        "{}",
        report.verdict.summary
    );
}

#[test]
fn unknown_reason_is_inconclusive() {
    for reason in ["", "The moon is in the wrong house", "Task stopped by user"] {
        let report = report_of(reason);
        assert_consistent(&report);
        assert_eq!(report.verdict.exit_code, 3, "{reason}");
    }
}

#[test]
fn exit_code_names_only_a_family() {
    let document = document("Essential container in task exited");
    let task = Task::read(&document);
    let not_delivered = MissingReport::NotDelivered("the log group /ecs/app".into());
    for code in [
        0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 137, 143, 255, -1,
    ] {
        let report = exited(&launch(), "subnet-a", &task, code, &not_delivered);
        assert_consistent(&report);
        let kept = matches!(code, 0 | 3 | 4 | 10..=20);
        assert_eq!(
            i64::from(report.verdict.exit_code),
            if kept { code } else { 3 },
            "{code}"
        );
        assert!(
            report
                .findings
                .iter()
                .all(|finding| finding.confidence != Confidence::Certain),
            "{code}"
        );
        assert_eq!(report.delivery.logs, Logs::Failed);
    }
    let network = exited(&launch(), "subnet-a", &task, 11, &not_delivered);
    let causes: Vec<Cause> = network
        .findings
        .iter()
        .map(|finding| finding.cause)
        .collect();
    for cause in [
        Cause::InterfaceEndpointMissing,
        Cause::NoEgressRoute,
        Cause::EndpointSecurityGroup,
        Cause::NetworkAcl,
    ] {
        assert!(causes.contains(&cause), "{cause}");
    }
    assert!(
        network
            .findings
            .iter()
            .all(|finding| finding.dependency == Dependency::Logs)
    );
}
