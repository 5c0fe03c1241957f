//! A panic of the probe: exit code 1, and a report of the observations so far. The test starts
//! itself as the process that panics.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of a test panic as the test does"
)]

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pullprobe::command::probe::report_panics;
use pullprobe::plan::{Plan, PlanInput};
use pullprobe::probe::ObservationLog;
use pullprobe::report::Report;
use pullprobe::run::{Environment, RunOptions, spawn_credentials};
use pullprobe::safe_text::is_hidden;
use pullprobe::vault::Vault;

const CHILD: &str = "PULLPROBE_TEST_PANICS";

/// What the run holds when it panics, and what a server said before that.
const SECRET: &str = "canary-wJalrXUtnFEMI-K7MDENG";
const HOSTILE: &str = "\u{1b}]52;c;QQ==\u{7}\u{202e}\u{2066}\u{200b}\u{9b}2J";

#[test]
fn panic_exits_with_1_and_a_report() {
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime
            .block_on(async { report_panics(&options(), Box::new(|report| println!("{report}"))) });
        panic!("the bug: {}", said());
    }
    let test = std::env::current_exe().unwrap();
    let output = Command::new(test)
        .args(["--exact", "panic_exits_with_1_and_a_report", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let line = stdout
        .lines()
        .find(|line| line.starts_with('{'))
        .expect("a report");
    let report: Report = serde_json::from_str(line).unwrap();
    assert!(report.run.internal_error.unwrap().contains("the bug"));
    assert!(
        report
            .observations
            .iter()
            .any(|seen| seen.id == *"ecr.api/authorize")
    );
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("please report it"));
    // The panic, and what was observed before it, contain neither a secret nor what acts.
    let observed = report.observations.iter().find(|seen| seen.passed());
    assert!(observed.unwrap().detail.starts_with("the server said"));
    for (output, text) in [("stdout", line), ("stderr", stderr.as_str())] {
        let hidden = text.chars().find(|&c| c != '\n' && is_hidden(c));
        assert_eq!(hidden, None, "{output}: {text:?}");
        for encoded in [
            SECRET.to_owned(),
            STANDARD.encode(SECRET),
            hex::encode(SECRET),
        ] {
            for start in 0..encoded.len() - 15 {
                let part = &encoded[start..start + 16];
                assert!(!text.contains(part), "{output}: {part} in {text}");
            }
        }
    }
}

fn said() -> String {
    let (base64, hex) = (STANDARD.encode(SECRET), hex::encode(SECRET));
    format!("{SECRET} {HOSTILE} {base64} {hex}")
}

fn options() -> RunOptions {
    let image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/app"
        .parse()
        .unwrap();
    let input = PlanInput {
        images: vec![image],
        ..PlanInput::default()
    };
    let environment: Environment = Arc::new(|_| None);
    let vault = Arc::<Vault>::default();
    vault.add(SECRET);
    let observation_log = ObservationLog::default();
    let observation = serde_json::json!({
        "id": "logs/write", "dependency": "logs", "phase": "write", "outcome": "passed", "host": "logs.us-east-1.amazonaws.com",
        "detail": format!("the server said {}", said()), "elapsed_ms": 1, "attempts": 1,
    });
    observation_log.insert(serde_json::from_value(observation).unwrap());
    RunOptions {
        metrics: pullprobe::report::ReportMetrics::default(),
        instance: None,
        plan: Plan::new(input, "us-east-1".parse().unwrap()).unwrap(),
        metadata: Ok(None),
        resolvers: Vec::new(),
        roots: Arc::new(rustls::RootCertStore::empty()),
        credentials: spawn_credentials(&environment, &vault),
        environment,
        deadline: Duration::from_secs(1),
        run_id: "test".into(),
        labels: BTreeMap::new(),
        vault,
        observation_log,
        function: None,
    }
}
