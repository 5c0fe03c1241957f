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

use pullprobe::command::probe::report_panics;
use pullprobe::plan::{Plan, PlanInput};
use pullprobe::probe::ObservationLog;
use pullprobe::report::Report;
use pullprobe::run::{Environment, RunOptions, spawn_credentials};
use pullprobe::vault::Vault;

const CHILD: &str = "PULLPROBE_TEST_PANICS";

#[test]
fn panic_exits_with_1_and_a_report() {
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime
            .block_on(async { report_panics(&options(), Box::new(|report| println!("{report}"))) });
        panic!("the bug");
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
    assert!(String::from_utf8_lossy(&output.stderr).contains("please report it"));
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
    RunOptions {
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
        observation_log: ObservationLog::default(),
        function: None,
    }
}
