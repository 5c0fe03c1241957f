//! One run of the probe against the demo's healthy AWS with one server replaced, and what must hold
//! for every run.

#[path = "pace.rs"]
pub mod pace;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pullprobe::demo::embedded_aws::EmbeddedAws;
use pullprobe::demo::names;
use pullprobe::demo::scenario::Scenario;
use pullprobe::diagnose::diagnose;
use pullprobe::observation::{Dependency, Observation, Phase};
use pullprobe::plan::{Plan, PlanInput};
use pullprobe::probe::ObservationLog;
use pullprobe::report::Report;
use pullprobe::run::{self, Environment, RunOptions};
use pullprobe::vantage;
use pullprobe::vault::Vault;
use pullprobe::verdict::Verdict;
use rustls::RootCertStore;

/// The sum of the probe's own deadlines: a longer run was delayed by a server. The time limit of
/// the run itself is longer.
pub const MAX_RUN: Duration = Duration::from_secs(24);
const RUN_TIMEOUT: Duration = Duration::from_secs(40);

/// Bytes. CloudWatch Logs accepts events of 256 KiB.
const MAX_REPORT: usize = 256 * 1024;

/// Parts of access keys, session tokens, the registry's token (base64 of `AWS:`), secrets and
/// parameters, and the signature that hostile servers use.
const SECRETS: [&str; 6] = [
    "demo/secret",
    "demo-session-token",
    "QVdTO",
    "correct horse",
    "battery staple",
    "CANARY",
];

/// A run to be started.
pub struct ProbeRun {
    pub aws: EmbeddedAws,
    pub plan: Plan,
    pub roots: RootCertStore,
    pub resolver: SocketAddr,
}

impl ProbeRun {
    /// Starts the demo's servers. Must be called inside a Tokio runtime.
    pub fn new() -> Self {
        let input = PlanInput {
            images: vec![names::IMAGE.parse().unwrap()],
            secrets: vec![
                format!("{}:password::", names::SECRET).parse().unwrap(),
                names::PARAMETER.parse().unwrap(),
            ],
            log_group: Some(names::LOG_GROUP.into()),
            log_stream_prefix: "pullprobe".into(),
            platform: Some(names::PLATFORM.parse().unwrap()),
            ..PlanInput::default()
        };
        let mut plan = Plan::new(input, names::REGION.parse().unwrap()).unwrap();
        let aws = EmbeddedAws::start(Scenario::healthy()).unwrap();
        for target in &mut plan.targets {
            target.port = aws.port;
        }
        let roots = RootCertStore {
            roots: aws.roots.roots.clone(),
        };
        Self {
            resolver: aws.resolver,
            aws,
            plan,
            roots,
        }
    }

    /// Sets the port of the targets of `dependency`.
    #[allow(dead_code, reason = "bad_resolvers.rs does not use it")]
    pub fn set_port(&mut self, dependency: Dependency, port: u16) {
        self.plan
            .targets
            .iter_mut()
            .filter(|target| target.dependency == dependency)
            .for_each(|target| target.port = port);
    }

    /// Runs the probe, and checks what must hold whatever the servers do. Fails with what does not.
    pub async fn observe(self) -> Result<Report, String> {
        let variables = self.aws.variables.clone();
        let environment: Environment = Arc::new(move |name: &str| variables.get(name).cloned());
        let vault = Arc::<Vault>::default();
        let credentials = run::spawn_credentials(&environment, &vault);
        let options = RunOptions {
            metrics: pullprobe::report::ReportMetrics::default(),
            instance: None,
            plan: self.plan.clone(),
            metadata: vantage::discover(&|name: &str| environment(name)).await,
            resolvers: vec![self.resolver],
            roots: Arc::new(self.roots.clone()),
            environment,
            credentials,
            deadline: RUN_TIMEOUT,
            run_id: "hostile".into(),
            labels: BTreeMap::new(),
            vault,
            observation_log: ObservationLog::default(),
            function: None,
        };
        pace::measure();
        let started = Instant::now();
        let report = Box::pin(run::run(options, std::future::pending())).await?;
        let elapsed = started.elapsed();
        let line = report.line();
        let leaked = SECRETS.into_iter().find(|secret| line.contains(secret));
        let wrong = [
            (
                elapsed > MAX_RUN.mul_f64(pace::slowdown()),
                format!("the run took {elapsed:?}"),
            ),
            (
                line.len() > MAX_REPORT,
                format!("the report has {} bytes", line.len()),
            ),
            (
                line.contains('\n') || serde_json::from_str::<Report>(&line).is_err(),
                "the report is not one line of JSON".into(),
            ),
            (
                report.run.internal_error.is_some(),
                "the probe panicked".into(),
            ),
            (leaked.is_some(), format!("{leaked:?} is in the report")),
        ];
        let wrong: Vec<_> = wrong
            .into_iter()
            .filter(|(wrong, _)| *wrong)
            .map(|(_, what)| what)
            .collect();
        if wrong.is_empty() {
            Ok(report)
        } else {
            Err(wrong.join("; "))
        }
    }
}

/// Returns the address of the dependency's server in the demo.
#[allow(dead_code, reason = "bad_resolvers.rs does not use it")]
pub fn address(dependency: Dependency) -> Ipv4Addr {
    names::healthy_address(dependency)
}

/// Returns the observations that did not pass although they do not depend on `victim`.
#[allow(dead_code, reason = "ipv6_only.rs does not use it")]
pub fn unrelated_failures(report: &Report, victim: Dependency) -> Vec<&Observation> {
    let depends_on_victim = |o: &Observation| {
        o.dependency == victim
            || (victim == Dependency::EcrDkr
                && o.dependency == Dependency::S3
                && o.phase == Phase::Fetch)
            // A host that the registry redirects to.
            || (victim == Dependency::EcrDkr && o.dependency == Dependency::Registry)
    };
    report
        .observations
        .iter()
        .filter(|o| !o.passed() && !depends_on_victim(o))
        .collect()
}

/// Judges the observations as if nothing had starved the probe: a busy machine makes a run
/// inconclusive, as it should, and hides what the test is about.
#[allow(dead_code, reason = "ipv6_only.rs does not use it")]
pub fn judge_without_starvation(report: &mut Report) {
    for seen in &mut report.observations {
        seen.starvation = None;
    }
    report.findings = diagnose(&report.observations).findings;
    report.verdict = Verdict::over(&report.observations, &report.findings);
}

/// Returns a runtime like the binary's.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Checks every case, several concurrently because most of their time is waiting. Panics with the
/// mistakes, if there are any. On a busy machine a mistake beside other runs may be theirs: what a
/// starved probe measured proves nothing, so the case is checked again alone.
#[allow(dead_code, reason = "ipv6_only.rs does not use it")]
pub fn check_all<C: Sync>(cases: &[C], check: impl Fn(&C) -> Option<String> + Sync) {
    const MAX_CONCURRENT_RUNS: usize = 6;
    const BUSY: f64 = 1.5;
    let queue = std::sync::Mutex::new(cases.iter());
    let work = || -> Vec<(&C, String)> {
        let next = || queue.lock().unwrap().next();
        std::iter::from_fn(next)
            .filter_map(|case| Some((case, check(case)?)))
            .collect()
    };
    let mistakes: Vec<(&C, String)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..MAX_CONCURRENT_RUNS)
            .map(|_| scope.spawn(work))
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    let mistakes: Vec<String> = mistakes
        .into_iter()
        .filter_map(|(case, mistake)| {
            if pace::slowdown() > BUSY {
                check(case)
            } else {
                Some(mistake)
            }
        })
        .collect();
    assert!(
        mistakes.is_empty(),
        "{} of {}:\n{}",
        mistakes.len(),
        cases.len(),
        mistakes.join("\n")
    );
}
