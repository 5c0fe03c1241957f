//! One run of the probe against the demo's healthy AWS with one server replaced, and what must hold
//! for every run.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pullprobe::demo::embedded_aws::EmbeddedAws;
use pullprobe::demo::names;
use pullprobe::demo::scenario::Scenario;
use pullprobe::observation::{Dependency, Observation, Phase};
use pullprobe::plan::{Plan, PlanInput};
use pullprobe::probe::ObservationLog;
use pullprobe::report::Report;
use pullprobe::run::{self, Environment, RunOptions};
use pullprobe::vantage;
use rustls::RootCertStore;

/// No deadline of the probe's own adds up to more than this, so a run that takes longer was kept by
/// a server. The deadline of the run itself lies beyond it.
pub const LONGEST_RUN: Duration = Duration::from_secs(24);
const DEADLINE: Duration = Duration::from_secs(40);

/// CloudWatch Logs takes events of 256 KiB.
const LARGEST_REPORT: usize = 256 * 1024;

/// Keys, session tokens, the registry's token (base64 of `AWS:`), secrets, parameters, and what
/// hostile servers put where signatures are.
const SECRETS: [&str; 6] = [
    "demo/secret",
    "demo-session-token",
    "QVdTO",
    "correct horse",
    "battery staple",
    "CANARY",
];

pub struct Rehearsal {
    pub aws: EmbeddedAws,
    pub plan: Plan,
    pub roots: RootCertStore,
    pub resolver: SocketAddr,
}

impl Rehearsal {
    /// Inside a Tokio runtime.
    pub fn new() -> Self {
        let wanted = PlanInput {
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
        let mut plan = Plan::new(wanted, names::REGION.parse().unwrap()).unwrap();
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

    /// Sends the target of this role to another port.
    #[allow(dead_code, reason = "bad resolvers need no other port")]
    pub fn set_port(&mut self, dependency: Dependency, port: u16) {
        self.plan
            .targets
            .iter_mut()
            .filter(|target| target.dependency == dependency)
            .for_each(|target| target.port = port);
    }

    /// Runs, and checks what holds whatever a server does. The error says what did not.
    pub async fn observe(self) -> Result<Report, String> {
        let variables = self.aws.variables.clone();
        let environment: Environment = Arc::new(move |name: &str| variables.get(name).cloned());
        let credentials = run::spawn_credentials(&environment);
        let options = RunOptions {
            plan: self.plan.clone(),
            metadata: vantage::discover(&|name: &str| environment(name)).await,
            resolvers: vec![self.resolver],
            roots: Arc::new(self.roots.clone()),
            environment,
            credentials,
            deadline: DEADLINE,
            run_id: "hostile".into(),
            labels: BTreeMap::new(),
            observation_log: ObservationLog::default(),
        };
        let started = Instant::now();
        let report = Box::pin(run::run(options, std::future::pending())).await?;
        let elapsed = started.elapsed();
        let line = report.line();
        let leaked = SECRETS.into_iter().find(|secret| line.contains(secret));
        let wrong = [
            (elapsed > LONGEST_RUN, format!("it took {elapsed:?}")),
            (
                line.len() > LARGEST_REPORT,
                format!("the report has {} bytes", line.len()),
            ),
            (
                line.contains('\n') || serde_json::from_str::<Report>(&line).is_err(),
                "the report is no line".into(),
            ),
            (
                report.run.internal_error.is_some(),
                "a part of the probe panicked".into(),
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
#[allow(dead_code, reason = "bad resolvers stand beside that world")]
pub fn address(dependency: Dependency) -> Ipv4Addr {
    names::healthy_address(dependency)
}

/// What did not pass, and is no consequence of `victim`'s server.
pub fn affected(report: &Report, victim: Dependency) -> Vec<&Observation> {
    let consequence = |seen: &Observation| {
        seen.dependency == victim
            || (victim == Dependency::EcrDkr
                && seen.dependency == Dependency::S3
                && seen.phase == Phase::Fetch)
    };
    report
        .observations
        .iter()
        .filter(|seen| !seen.passed() && !consequence(seen))
        .collect()
}

/// A runtime as the binary has it.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Carries out every story, several at once: most of their time is waiting. Returns what was wrong.
pub fn all<S: Sync>(stories: &[S], tell: impl Fn(&S) -> Option<String> + Sync) -> Vec<String> {
    const AT_ONCE: usize = 6;
    let queue = std::sync::Mutex::new(stories.iter());
    let work = || -> Vec<String> {
        let next = || queue.lock().unwrap().next();
        std::iter::from_fn(next).filter_map(&tell).collect()
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    })
}
