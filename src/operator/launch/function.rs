//! The Lambda carrier: creates a Lambda function in each subnet, invokes it and deletes it. Its
//! code and its response do not pass through the subnet.
//!
//! ```text
//! [`setup`]: agent, role, subnets, once ─▶ [`carry`]: CreateFunction ─▶ GetFunction until Active ─▶ Invoke ─▶ DeleteFunction
//!                                                                                                     │
//!             what Amazon ECS said of the task that did not start ─▶ [`merge`] ◀──────────────────────┘
//! ```

mod bundle;
mod carry;
pub mod cost;
mod merge;
mod pacer;
mod request;
pub mod role;
mod setup;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OnceCell, Semaphore, mpsc, watch};

pub use request::{FUNCTIONS, call, function_path};
pub use setup::{FunctionSetup, prepare, show_calls};

use super::collect::SubnetReport;
use super::request::Launch;
use super::spec::FunctionSpec;
use crate::operator::aws::Client;
use crate::operator::dry_run::AwsCalls;
use carry::{Carry, carry};
use cost::Usage;
use pacer::Pacer;

/// Maximum number of functions at a time. An account may run 1,000 at once, or ten if it is new,
/// and a VPC may have 500 network interfaces of functions (Lambda quotas). Throttled calls are
/// repeated.
const MAX_FUNCTIONS: usize = 40;

/// Maximum number of concurrent CreateFunction calls: each holds its body of 3 MB in memory.
const MAX_UPLOADS: usize = 10;

/// How long an interrupted launch waits for its functions to be deleted, including one minute for
/// calls that are still in progress.
pub const DELETION_TIMEOUT: Duration = carry::DELETE_TIMEOUT.saturating_add(Duration::from_mins(1));

/// A launch, and the setup that its functions share if it runs only functions.
pub type PreparedLaunch = (Launch, Option<FunctionSetup>);

/// An update from a function.
#[derive(Debug)]
pub enum FunctionUpdate {
    /// The function of a subnet changed its state.
    State(usize, String),
    /// The subnet's report.
    Report(usize, Box<SubnetReport>),
}

/// The functions of a launch.
pub struct Functions {
    carrier: Arc<FunctionCarrier>,
    running: FuturesUnordered<LocalBoxFuture<'static, (usize, SubnetReport)>>,
    updates: mpsc::UnboundedReceiver<FunctionUpdate>,
    stop: watch::Sender<bool>,
}

/// What all functions share.
pub(super) struct FunctionCarrier {
    client: Client,
    launch: Arc<Launch>,
    spec: FunctionSpec,
    setup: OnceCell<Result<Arc<FunctionSetup>, String>>,
    pacer: Pacer,
    functions: Semaphore,
    uploads: Semaphore,
    usage: std::sync::Mutex<Usage>,
    /// The state of each function that was created, by name.
    left: std::sync::Mutex<BTreeMap<String, Left>>,
    updates: mpsc::UnboundedSender<FunctionUpdate>,
    stop: watch::Receiver<bool>,
}

/// What may be left of a function.
#[derive(Debug, Clone)]
enum Left {
    Nothing,
    /// The function may exist, and its deletion is still to come.
    Unfinished,
    /// The function could not be deleted, as this note says.
    NotDeleted(String),
}

impl Functions {
    /// Returns the functions of a launch, none of them started. Without a `setup`, the first one
    /// prepares it.
    pub fn new(
        client: Client,
        launch: Arc<Launch>,
        spec: FunctionSpec,
        setup: Option<FunctionSetup>,
    ) -> Self {
        let (sender, updates) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let setup = setup.map(|setup| Ok(Arc::new(setup)));
        let carrier = FunctionCarrier {
            client,
            launch,
            spec,
            setup: OnceCell::new_with(setup),
            pacer: Pacer::default(),
            functions: Semaphore::new(MAX_FUNCTIONS),
            uploads: Semaphore::new(MAX_UPLOADS),
            usage: std::sync::Mutex::default(),
            left: std::sync::Mutex::default(),
            updates: sender,
            stop: stopped,
        };
        Self {
            carrier: Arc::new(carrier),
            running: FuturesUnordered::new(),
            updates,
            stop,
        }
    }

    /// Starts the function of a subnet. `of_ecs` is the report of the task that Amazon ECS could
    /// not start there, if any.
    pub fn start(&mut self, subnet: usize, of_ecs: Option<SubnetReport>) {
        let carrier = Arc::clone(&self.carrier);
        let run = async move {
            let setup = carrier.setup().await;
            let report = match (setup, of_ecs) {
                (Ok(setup), of_ecs) => {
                    let carry = Carry {
                        carrier: &carrier,
                        setup: &setup,
                        index: subnet,
                    };
                    let function = carry_out(carry).await;
                    match of_ecs {
                        Some(of_ecs) => merge::merge(of_ecs, function),
                        None => function,
                    }
                }
                (Err(why), Some(of_ecs)) => SubnetReport {
                    note: Some(format!(
                        "where Amazon ECS cannot start the probe's task, an AWS Lambda function can run the probe instead, but {why}"
                    )),
                    ..of_ecs
                },
                (Err(why), None) => carry::unknown(&carrier.launch, subnet, &why),
            };
            (subnet, report)
        };
        self.running.push(run.boxed_local());
    }

    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Waits for the next update, which never comes if no function is running.
    pub async fn next(&mut self) -> FunctionUpdate {
        tokio::select! {
            biased;
            Some(update) = self.updates.recv() => update,
            Some((subnet, report)) = self.running.next(), if !self.running.is_empty() => {
                FunctionUpdate::Report(subnet, Box::new(report))
            }
            else => std::future::pending().await,
        }
    }

    /// Ends all functions: each is deleted, and reports that it was interrupted.
    pub fn interrupt(&self) {
        let _ = self.stop.send(true);
    }

    /// Waits until all functions have ended, and drops their reports. Returns a note on each
    /// function that may be left.
    pub async fn drain(&mut self) -> Vec<String> {
        let drain = async {
            while !self.running.is_empty() {
                self.next().await;
            }
        };
        // A timeout shows in the functions that are left.
        let _ = tokio::time::timeout(DELETION_TIMEOUT, drain).await;
        let mut notes = self.unfinished();
        if let Ok(left) = self.carrier.left.lock() {
            notes.extend(left.values().filter_map(|left| match left {
                Left::NotDeleted(note) => Some(note.clone()),
                Left::Nothing | Left::Unfinished => None,
            }));
        }
        notes
    }

    /// Returns a note on each function that may still exist.
    pub fn unfinished(&self) -> Vec<String> {
        let Ok(left) = self.carrier.left.lock() else {
            return Vec::new();
        };
        let unfinished = left
            .iter()
            .filter(|(_, left)| matches!(left, Left::Unfinished));
        unfinished
            .map(|(name, _)| {
                format!(
                    "the function {name} could not be deleted in time; `pullprobe gc` tries again"
                )
            })
            .collect()
    }

    /// Describes what the functions cost; `None` if none was invoked.
    pub fn cost(&self) -> Option<String> {
        self.carrier.usage.lock().ok()?.describe()
    }
}

/// Describes the maximum cost of functions in all subnets.
pub fn cost_at_most(launch: &Launch) -> String {
    let usage = Usage::at_most(launch.subnets.len(), request::timeout(launch));
    usage.describe().unwrap_or_default()
}

/// Boxed, because the future of a whole function is large.
fn carry_out(carry: Carry<'_>) -> LocalBoxFuture<'_, SubnetReport> {
    self::carry(carry).boxed_local()
}

impl FunctionCarrier {
    fn set_left(&self, name: &str, left: Left) {
        if let Ok(mut all) = self.left.lock() {
            all.insert(name.to_owned(), left);
        }
    }

    async fn setup(&self) -> Result<Arc<FunctionSetup>, String> {
        let prepared = self.setup.get_or_init(|| async {
            let calls = AwsCalls::new(self.client.clone(), None);
            prepare(&calls, &self.launch, &self.spec)
                .await
                .map(Arc::new)
                .map_err(|error| error.to_string())
        });
        prepared.await.clone()
    }
}
