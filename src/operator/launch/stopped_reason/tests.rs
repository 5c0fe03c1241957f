//! Uses every text of the corpus as the stopped reason of a probe that did not start.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::observation::Witness;
use crate::operator::launch::request::Placement;
use crate::plan::{Plan, PlanInput};
use crate::render::style::Style;

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
        probe_image: "123456789012.dkr.ecr.us-east-1.amazonaws.com/pullprobe:0.1.0".into(),
        definition: "pullprobe-0123456789abcdef".into(),
        execution_role: None,
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
            !finding.because.is_empty()
                && (finding.family == finding.cause.family() || finding.cause == Cause::Unknown),
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
    let (mut failed, mut of_probe_image) = (0, 0);
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
            if concerns_probe_image(&launch(), &explanation) {
                assert_eq!(report.verdict.exit_code, 3, "{text}");
                of_probe_image += 1;
                continue;
            }
            assert_eq!(report.findings[0].cause, first.cause, "{text}");
            assert!(report.findings[0].confidence <= first.confidence, "{text}");
            failed += 1;
        }
        assert!(report.ruled_out.is_empty());
    }
    assert!(
        failed > 90 && of_probe_image > 5,
        "{failed} texts of the corpus are causes, {of_probe_image} are about an image"
    );
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

const REGISTRY: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

#[test]
fn missing_or_refused_probe_image_says_nothing_about_the_task() {
    for reason in [
        "CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/arm64'".to_owned(),
        format!("CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref \
             {REGISTRY}/pullprobe:0.1.0: {REGISTRY}/pullprobe:0.1.0: not found"),
        format!("CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref \
             {REGISTRY}/pullprobe:0.1.0: unexpected status from HEAD request to \
             https://{REGISTRY}/v2/pullprobe/manifests/0.1.0: 403 Forbidden"),
        format!("CannotPullContainerError: The repository with name 'pullprobe' does not exist in the registry with id \
             '123456789012' {REGISTRY}/pullprobe:0.1.0"),
        "CannotPullContainerError: Error response from daemon: pull access denied for me/pullprobe, repository does not \
             exist or may require 'docker login': denied: requested access to the resource is denied".to_owned(),
        "CannotPullContainerError: inspect image has been retried 5 time(s): failed to resolve ref \
             \"docker.io/me/pullprobe:1\": pulling from host registry-1.docker.io failed with status code [manifests 1]: \
             429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit".to_owned(),
    ] {
        let mut launch = launch();
        if reason.contains("me/pullprobe") {
            launch.probe_image = "me/pullprobe:1".into();
        }
        let document = document(&reason);
        let report = never_started(&launch, "subnet-a", &Task::read(&document), &document);
        assert_consistent(&report);
        let Verdict { exit_code, summary, .. } = &report.verdict;
        assert_eq!(*exit_code, 3, "{summary}");
        assert!(
            summary.starts_with("The probe could not be started") && summary.contains("--probe-image"),
            "{summary}"
        );
        assert!(report.findings.is_empty() && !summary.contains("would not"), "{summary}");
    }
}

#[test]
fn path_failure_of_the_probes_pull_applies_to_the_task() {
    for (reason, exit_code) in [
        (
            format!(
                "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref \
             {REGISTRY}/pullprobe:0.1.0: failed to do request: Head \
             \"https://{REGISTRY}/v2/pullprobe/manifests/0.1.0\": dial tcp 52.94.1.1:443: i/o timeout"
            ),
            11,
        ),
        // The S3 endpoint policy denies the layer bucket, whichever image is pulled.
        (
            format!(
                "CannotPullContainerError: ref pull has been retried 1 time(s): failed to copy: httpReadSeeker: failed \
             open: unexpected status code \
             https://prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com/abc/def: 403 Forbidden ({REGISTRY})"
            ),
            14,
        ),
    ] {
        let report = report_of(&reason);
        assert_consistent(&report);
        assert_eq!(
            report.verdict.exit_code, exit_code,
            "{}",
            report.verdict.summary
        );
    }
}

#[test]
fn ecs_reports_are_not_written_as_measurements() {
    let line = report_of("CannotPullContainerError: dial tcp 52.94.1.1:443: i/o timeout").line();
    let report: Value = serde_json::from_str(&line).unwrap();
    for observation in report["observations"].as_array().unwrap() {
        assert_eq!(observation["witness"], "ecs");
        assert!(observation.get("elapsed_ms").is_none(), "{observation}");
        assert!(observation.get("attempts").is_none(), "{observation}");
    }
    let text = crate::render::text::render(&serde_json::from_str(&line).unwrap(), Style::default());
    assert!(text.contains("Amazon ECS reports: CannotPull"), "{text}");
    assert!(!text.contains(" ms"), "{text}");
}

#[test]
fn unreadable_log_group_leaves_only_the_exit_code() {
    let document = document("Essential container in task exited");
    let task = Task::read(&document);
    let unreadable = MissingReport::ReadFailed("your credentials lack logs:GetLogEvents".into());
    for code in [0, 3, 4, 10, 11, 14, 20] {
        let report = exited(&launch(), "subnet-a", &task, code, &unreadable);
        assert_consistent(&report);
        let summary = &report.verdict.summary;
        assert_eq!(i64::from(report.verdict.exit_code), code);
        assert!(
            summary.starts_with("The probe's report could not be read: your credentials lack"),
            "{summary}"
        );
        assert!(
            report
                .findings
                .iter()
                .all(|finding| finding.cause == Cause::Unknown)
        );
        assert!(
            report
                .observations
                .iter()
                .all(|seen| seen.dependency != Dependency::Logs)
        );
        assert_eq!(report.delivery.logs, Logs::Unknown);
        let text = crate::render::text::render(&report, Style::default());
        for invented in ["timed-out", " ms", "CloudWatch Logs", "Not checked"] {
            assert!(!text.contains(invented), "{invented}: {text}");
        }
    }
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
