//! Starts one task in each subnet, watches all of them with the same few calls, and collects each
//! report when its task has stopped. One loop owns the state; each call to AWS is a future that
//! owns its inputs.

mod running_tasks;
mod start;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::FuturesUnordered;
use serde_json::Value;
use tokio::time::sleep_until;

use super::collect::{Collector, SubnetReport};
use super::function::{DELETION_TIMEOUT, FunctionUpdate, Functions, PreparedLaunch};
use super::rate_limiter::{RateLimiter, jitter};
use super::request::Launch;
use super::spec::{CarrierChoice, LaunchSpec};
use super::stopped_reason;
use crate::operator::aws::{Api, CallError, Client};
use crate::operator::ecs::{
    DescribeTasksRequest, MAX_DESCRIBED_TASKS, RunTaskRequest, StopTaskRequest, Task, TasksResponse,
};
use crate::operator::error::OperatorError;
use crate::vantage::Carrier;
use running_tasks::RunningTasks;
use start::{PendingStart, RunTaskResult, StartResult};

/// Progress event.
#[derive(Debug)]
pub enum LaunchEvent<'a> {
    /// The task of a subnet, given by its index, changed its state.
    State(usize, TaskState<'a>),
    /// The report of a subnet is complete.
    Report(usize, &'a SubnetReport),
    /// A message about the launch as a whole.
    Note(&'a str),
}

/// State of a subnet's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState<'a> {
    /// RunTask will be repeated, for this reason: throttling, or no capacity.
    Waiting(&'a str),
    /// `lastStatus` of ECS: PROVISIONING, PENDING, RUNNING, STOPPED.
    Ecs(&'a str),
    /// This launch is stopping the task.
    Stopping,
    /// State of the Lambda function that replaces the task.
    Function(&'a str),
}

/// Interval of `DescribeTasks`, regardless of the number of tasks: a tenth of the 20 calls a second
/// that ECS allows for reads.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Maximum number of concurrent RunTask calls: 20 a second, with up to two seconds for a response.
const MAX_CONCURRENT_STARTS: usize = 40;

/// `reason` of StopTask for a task that does not start.
pub const TIMED_OUT_REASON: &str = "pullprobe launch: not started in time";

/// `reason` of StopTask after an interruption.
const INTERRUPTED_REASON: &str = "pullprobe launch: interrupted";

/// `reason` of StopTask after an error that ends the launch.
const ABORTED_REASON: &str = "pullprobe launch: aborted";

/// How long an interrupted launch waits for its tasks to stop: ECS kills a container 30 s after
/// SIGTERM.
const INTERRUPTION_TIMEOUT: Duration = Duration::from_secs(45);

const NOT_ALL_STOPPED: &str =
    "some tasks could not be stopped in time; run `pullprobe gc` to find them";

/// Launches the probe and returns every subnet's report, in the order of the subnets. When
/// `interruption` completes, stops the tasks and returns early. Fails on an error that would affect
/// every subnet; no task is left running then either.
pub async fn run(
    client: &Client,
    (launch, setup): PreparedLaunch,
    spec: &LaunchSpec,
    on_event: &mut dyn FnMut(LaunchEvent<'_>),
    interruption: impl Future<Output = ()>,
) -> Result<Vec<SubnetReport>, OperatorError> {
    let launch = Arc::new(launch);
    // A task on an instance uses the instance's security groups, and a function would have
    // different ones.
    let has_functions = match spec.carrier {
        CarrierChoice::Auto => launch.placement.carrier() == Carrier::Fargate,
        CarrierChoice::Fargate => false,
        CarrierChoice::Lambda => true,
    };
    let functions = has_functions.then(|| {
        let function = spec.function.clone();
        Functions::new(client.clone(), Arc::clone(&launch), function, setup)
    });
    let mut launch = LaunchLoop::new(client, launch, functions, on_event)?;
    if spec.carrier == CarrierChoice::Lambda {
        launch.start_all_functions();
    }
    let mut interruption = Box::pin(interruption.fuse());
    while launch.reports.iter().any(Option::is_none) {
        if launch.check_deadlines() {
            break;
        }
        let next_start = launch.next_start();
        let next_poll = launch.next_poll;
        tokio::select! {
            () = &mut interruption, if launch.interrupted.is_none() => launch.interrupt(),
            () = sleep_until(next_start.unwrap_or(next_poll).into()), if next_start.is_some() => launch.start(),
            Some(result) = launch.starting.next() => launch.started(result),
            response = response(&mut launch.polling), if launch.polling.is_some() => launch.described(response),
            () = sleep_until(next_poll.into()), if launch.polling.is_none() => launch.poll(),
            Some((arn, result)) = launch.stopping.next() => launch.stopped(&arn, result),
            Some((subnet, report)) = launch.collecting.next() => launch.report(subnet, report),
            update = update(&mut launch.functions), if launch.functions.is_some() => launch.updated(update),
        }
        if let Some(error) = launch.fatal.take() {
            launch.abort().await;
            return Err(error.into());
        }
    }
    if let Some(cost) = launch.functions.as_ref().and_then(Functions::cost) {
        (launch.on_event)(LaunchEvent::Note(&cost));
    }
    Ok(launch.reports.into_iter().flatten().collect())
}

/// Waits for an update of a function, if there are functions.
async fn update(functions: &mut Option<Functions>) -> FunctionUpdate {
    match functions {
        Some(functions) => functions.next().await,
        None => std::future::pending().await,
    }
}

type StopResult = (String, Result<Value, CallError>);
type Polling = BoxFuture<'static, Result<TasksResponse, CallError>>;

/// State of a launch.
struct LaunchLoop<'a> {
    client: Client,
    /// Does not retry: the rate limiter of all subnets responds to throttling.
    run_task_client: Client,
    launch: Arc<Launch>,
    requests: Vec<RunTaskRequest>,
    collector: Collector,
    on_event: &'a mut dyn FnMut(LaunchEvent<'_>),
    limiter: RateLimiter,
    pending: VecDeque<PendingStart>,
    starting: FuturesUnordered<BoxFuture<'static, RunTaskResult>>,
    running: RunningTasks,
    polling: Option<Polling>,
    next_poll: Instant,
    stopping: FuturesUnordered<BoxFuture<'static, StopResult>>,
    collecting: FuturesUnordered<BoxFuture<'static, (usize, SubnetReport)>>,
    /// The Lambda carrier, unless the operator chose Fargate.
    functions: Option<Functions>,
    reports: Vec<Option<SubnetReport>>,
    interrupted: Option<Instant>,
    fatal: Option<CallError>,
}

/// Waits for the response of `DescribeTasks`, if one is expected.
async fn response(polling: &mut Option<Polling>) -> Result<TasksResponse, CallError> {
    match polling {
        Some(polling) => polling.await,
        None => std::future::pending().await,
    }
}

impl<'a> LaunchLoop<'a> {
    fn new(
        client: &Client,
        launch: Arc<Launch>,
        functions: Option<Functions>,
        on_event: &'a mut dyn FnMut(LaunchEvent<'_>),
    ) -> Result<Self, OperatorError> {
        let requests = launch
            .subnets
            .iter()
            // Without a task definition, only functions run.
            .filter(|_| !launch.definition.is_empty())
            .map(|subnet| launch.run_task(subnet))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            client: client.clone(),
            run_task_client: client.with_max_attempts(1),
            collector: Collector::new(client.clone(), Arc::clone(&launch)),
            on_event,
            limiter: RateLimiter::new(Instant::now()),
            pending: (0..requests.len()).map(PendingStart::new).collect(),
            starting: FuturesUnordered::new(),
            running: RunningTasks::default(),
            polling: None,
            next_poll: Instant::now(),
            stopping: FuturesUnordered::new(),
            collecting: FuturesUnordered::new(),
            functions,
            reports: vec![None; launch.subnets.len()],
            requests,
            launch,
            interrupted: None,
            fatal: None,
        })
    }

    /// Starts a function in each subnet, instead of tasks.
    fn start_all_functions(&mut self) {
        if let Some(functions) = &mut self.functions {
            for subnet in 0..self.launch.subnets.len() {
                functions.start(subnet, None);
            }
        }
    }

    fn updated(&mut self, update: FunctionUpdate) {
        match update {
            FunctionUpdate::State(subnet, state) => {
                (self.on_event)(LaunchEvent::State(subnet, TaskState::Function(&state)));
            }
            FunctionUpdate::Report(subnet, report) => self.report(subnet, *report),
        }
    }

    /// Returns when the next task may be started.
    fn next_start(&self) -> Option<Instant> {
        let first = self.pending.iter().map(|pending| pending.due).min()?;
        (self.starting.len() < MAX_CONCURRENT_STARTS).then(|| first.max(self.limiter.due()))
    }

    fn start(&mut self) {
        let now = Instant::now();
        let Some(n) = self.pending.iter().position(|pending| pending.due <= now) else {
            return;
        };
        let Some(pending) = self.pending.remove(n) else {
            return;
        };
        self.limiter.sent(now, jitter());
        let request = self.requests[pending.subnet].clone();
        let client = self.run_task_client.clone();
        self.starting
            .push(start::run_task(client, request, pending, now).boxed());
    }

    fn started(&mut self, result: RunTaskResult) {
        let subnet = result.pending.subnet;
        match result.evaluate(&mut self.limiter, Instant::now(), self.launch.timeout) {
            StartResult::Started(task) => {
                let status = task.last_status.as_deref().unwrap_or("PROVISIONING");
                (self.on_event)(LaunchEvent::State(subnet, TaskState::Ecs(status)));
                if let Some(other) = self.running.add(subnet, &task, Instant::now()) {
                    const SENTENCE: &str = "Amazon ECS named the same task for two subnets";
                    self.report_unknown(other, SENTENCE, &Task::default());
                }
                if self.interrupted.is_some() {
                    self.running.interrupt(&task.task_arn);
                    self.stop(task.task_arn, INTERRUPTED_REASON);
                }
            }
            StartResult::Retry(reason, pending) if self.interrupted.is_none() => {
                (self.on_event)(LaunchEvent::State(subnet, TaskState::Waiting(&reason)));
                self.pending.push_back(pending);
            }
            StartResult::Retry(reason, _) => {
                let sentence = format!("Interrupted before a task was started: {reason}");
                self.report_unknown(subnet, &sentence, &Task::default());
            }
            StartResult::NotStarted(reason) => {
                let name = self.launch.subnets[subnet].clone();
                let report = stopped_reason::not_started(&self.launch, &name, &reason);
                self.report(subnet, SubnetReport::synthetic(&name, report));
            }
            StartResult::Fatal(error) => self.fatal = Some(error),
        }
    }

    fn poll(&mut self) {
        self.next_poll = Instant::now() + POLL_INTERVAL;
        let arns = self.running.next_batch(MAX_DESCRIBED_TASKS);
        if arns.is_empty() {
            return;
        }
        let client = self.client.clone();
        let launch = Arc::clone(&self.launch);
        let describe = async move {
            let request = DescribeTasksRequest {
                cluster: &launch.cluster,
                tasks: &arns,
                include: &[],
            };
            client.json(Api::ECS, "DescribeTasks", &request).await
        };
        self.polling = Some(describe.boxed());
    }

    fn described(&mut self, response: Result<TasksResponse, CallError>) {
        self.polling = None;
        match response {
            Ok(response) => {
                for (subnet, status) in self.running.update(&response, Instant::now()) {
                    (self.on_event)(LaunchEvent::State(subnet, TaskState::Ecs(&status)));
                }
                for (subnet, document) in self.running.take_finished() {
                    let collect = self
                        .collector
                        .clone()
                        .collect(self.launch.subnets[subnet].clone(), document);
                    self.collecting
                        .push(collect.map(move |report| (subnet, report)).boxed());
                }
            }
            Err(error) if error.is_transient() => {
                (self.on_event)(LaunchEvent::Note(&error.to_string()));
            }
            Err(error) => self.fatal = Some(error),
        }
    }

    fn stop(&mut self, arn: String, reason: &'static str) {
        let client = self.client.clone();
        let launch = Arc::clone(&self.launch);
        let stop = async move {
            let request = StopTaskRequest {
                cluster: &launch.cluster,
                task: &arn,
                reason,
            };
            let result = client.json(Api::ECS, "StopTask", &request).await;
            (arn, result)
        };
        self.stopping.push(stop.boxed());
    }

    fn stopped(&mut self, arn: &str, result: Result<Value, CallError>) {
        self.running.stop_answered(arn, Instant::now());
        if let Err(error) = result {
            (self.on_event)(LaunchEvent::Note(&format!(
                "{arn} could not be stopped: {error}; `pullprobe gc` tries again"
            )));
        }
    }

    fn interrupt(&mut self) {
        self.interrupted = Some(Instant::now());
        let note = if self.has_functions() {
            "interrupted: stopping the tasks and deleting the functions, which takes minutes while AWS Lambda is attaching them"
        } else {
            "interrupted: stopping the tasks"
        };
        (self.on_event)(LaunchEvent::Note(note));
        if let Some(functions) = &self.functions {
            functions.interrupt();
        }
        for pending in std::mem::take(&mut self.pending) {
            self.report_unknown(
                pending.subnet,
                "Interrupted before a task was started in this subnet",
                &Task::default(),
            );
        }
        for arn in self.running.arns() {
            if let Some(subnet) = self.running.interrupt(&arn) {
                (self.on_event)(LaunchEvent::State(subnet, TaskState::Stopping));
                self.stop(arn, INTERRUPTED_REASON);
            }
        }
    }

    /// Stops overdue tasks, and reports those that can no longer be waited for. Returns whether an
    /// interrupted launch has run out of time.
    fn check_deadlines(&mut self) -> bool {
        let now = Instant::now();
        for (arn, subnet) in self.running.mark_overdue(now, &self.launch) {
            (self.on_event)(LaunchEvent::State(subnet, TaskState::Stopping));
            self.stop(arn, TIMED_OUT_REASON);
        }
        for task in self.running.take_lost(now) {
            let sentence = task.sentence(&self.launch);
            let name = self.launch.subnets[task.subnet].clone();
            let report = stopped_reason::unknown(&self.launch, &name, &task.task(), &sentence);
            let report = SubnetReport {
                wants_function: task.hung_in_pending(),
                ..SubnetReport::synthetic(&name, report)
            };
            self.report(task.subnet, report);
        }
        let timeout = if self.has_functions() {
            DELETION_TIMEOUT
        } else {
            INTERRUPTION_TIMEOUT
        };
        let is_late = self
            .interrupted
            .is_some_and(|interrupted| now > interrupted + timeout);
        if is_late {
            if self.has_tasks() {
                (self.on_event)(LaunchEvent::Note(NOT_ALL_STOPPED));
            }
            let functions = self.functions.iter().flat_map(Functions::unfinished);
            for note in functions {
                (self.on_event)(LaunchEvent::Note(&note));
            }
            for subnet in 0..self.reports.len() {
                self.report_unknown(
                    subnet,
                    "Interrupted before there was a result",
                    &Task::default(),
                );
            }
        }
        is_late
    }

    fn report_unknown(&mut self, subnet: usize, sentence: &str, task: &Task) {
        let name = self.launch.subnets[subnet].clone();
        let report = stopped_reason::unknown(&self.launch, &name, task, sentence);
        self.report(subnet, SubnetReport::synthetic(&name, report));
    }

    /// Keeps the report, or starts a function if the task did not start.
    fn report(&mut self, subnet: usize, report: SubnetReport) {
        if report.wants_function
            && self.interrupted.is_none()
            && let Some(functions) = &mut self.functions
        {
            let report = SubnetReport {
                wants_function: false,
                ..report
            };
            functions.start(subnet, Some(report));
            return;
        }
        if self.reports[subnet].is_none() {
            let report = self.reports[subnet].insert(report);
            (self.on_event)(LaunchEvent::Report(subnet, report));
        }
    }

    /// Whether a function may still exist.
    fn has_functions(&self) -> bool {
        let mut functions = self.functions.iter();
        functions.any(|functions| !functions.is_empty())
    }

    /// Whether a task may be running.
    fn has_tasks(&self) -> bool {
        !self.starting.is_empty() || !self.running.arns().is_empty()
    }

    /// Deletes all functions and stops all tasks, including those of RunTask calls that have no
    /// response yet.
    async fn abort(&mut self) {
        let mut functions = self.functions.take();
        if let Some(functions) = &functions {
            functions.interrupt();
        }
        let delete_all = async {
            match &mut functions {
                Some(functions) => functions.drain().await,
                None => Vec::new(),
            }
        };
        let stop_all = async {
            while let Some(result) = self.starting.next().await {
                let subnet = result.pending.subnet;
                let result = result.evaluate(&mut self.limiter, Instant::now(), Duration::ZERO);
                if let StartResult::Started(task) = result {
                    self.running.add(subnet, &task, Instant::now());
                }
            }
            for arn in self.running.arns() {
                self.stop(arn, ABORTED_REASON);
            }
            while let Some((arn, result)) = self.stopping.next().await {
                self.stopped(&arn, result);
            }
        };
        let stop_all = tokio::time::timeout(INTERRUPTION_TIMEOUT, stop_all);
        let (stopped, notes) = tokio::join!(stop_all, delete_all);
        if stopped.is_err() {
            (self.on_event)(LaunchEvent::Note(NOT_ALL_STOPPED));
        }
        for note in notes {
            (self.on_event)(LaunchEvent::Note(&note));
        }
    }
}
