//! The Lambda carrier: in each subnet a function of AWS Lambda that is made, invoked and deleted. Its
//! code and its answer do not travel through the subnet.
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

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OnceCell, Semaphore, mpsc, watch};

pub use request::NAME_PREFIX;
pub use setup::{FunctionSetup, prepare, show_calls};

use super::collect::SubnetReport;
use super::request::Launch;
use super::spec::FunctionSpec;
use crate::operator::aws::Client;
use crate::operator::dry_run::AwsCalls;
use carry::{Carry, carry};
use cost::Usage;
use pacer::Pacer;

/// Maximum number of functions at a time. An account may run 1,000 at once, or ten if it is new
/// (Lambda quotas), and a VPC has 500 network interfaces of functions; throttled calls are repeated.
const MAX_FUNCTIONS: usize = 40;

/// Maximum number of concurrent CreateFunction calls: each holds its body of 3 MB in memory.
const MAX_UPLOADS: usize = 10;

/// What a launch runs, and what its functions have in common if only functions run.
pub type PreparedLaunch = (Launch, Option<FunctionSetup>);

/// What a function reports before its end.
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
    updates: mpsc::UnboundedSender<FunctionUpdate>,
    stop: watch::Receiver<bool>,
}

impl Functions {
    /// Without a `setup`, the first function prepares it.
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

    /// Starts the function of a subnet, after `of_ecs`, if Amazon ECS could not start a task there.
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
                        "where Amazon ECS cannot start the probe's task, a function of AWS Lambda can look instead, but {why}"
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

    /// Waits for the next update; forever if there is none to come.
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

    /// Describes what the functions cost; `None` if none was invoked.
    pub fn cost(&self) -> Option<String> {
        self.carrier.usage.lock().ok()?.describe()
    }
}

/// Describes what functions in all subnets cost at most.
pub fn cost_at_most(launch: &Launch) -> String {
    let usage = Usage::at_most(launch.subnets.len(), request::timeout(launch));
    usage.describe().unwrap_or_default()
}

/// Boxed, because the future of a whole function is large.
fn carry_out(carry: Carry<'_>) -> LocalBoxFuture<'_, SubnetReport> {
    self::carry(carry).boxed_local()
}

impl FunctionCarrier {
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
