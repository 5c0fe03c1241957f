//! The launch itself: starts one task in each subnet, watches them all with the same few calls, and
//! lets each go when its report has landed. One loop owns the state; what waits for AWS is a future
//! that owns what it needs.

mod running_tasks;
mod start;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::time::sleep_until;

use super::Error;
use super::collect::{Collector, SubnetReport};
use super::rate_limiter::{Pace, jitter};
use super::request::Launch;
use super::stopped_reason;
use crate::operator::aws::{self, Api, Client};
use crate::operator::ecs::{Task, Tasks};
use running_tasks::{RunningTasks, Watched};
use start::{Answer, Started, Waiting};

/// What happens, for whoever watches.
#[derive(Debug)]
pub enum Event<'a> {
    /// A subnet's task is somewhere else now.
    State(usize, State<'a>),
    /// A subnet's report is there.
    SubnetReport(usize, &'a SubnetReport),
    /// Something beside it.
    Note(&'a str),
}

/// Where a subnet's task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State<'a> {
    /// RunTask will be called again: throttled, or no capacity.
    Waiting(&'a str),
    /// In ECS's words: PROVISIONING, PENDING, RUNNING, STOPPED.
    Ecs(&'a str),
    /// It is being stopped by us.
    Stopping,
}

/// `DescribeTasks` takes 100 tasks (ECS API reference).
const BATCH: usize = 100;

/// One `DescribeTasks` in so long, for however many tasks: a tenth of the 20 calls a second that
/// ECS grants to reading.
const POLL: Duration = Duration::from_millis(500);

/// RunTask calls on their way. At 20 a second, and a second for an answer, that many are.
const MOST_STARTING: usize = 40;

/// Why a task that does not start is stopped: part of what `StopTask` keeps.
pub const OVERDUE: &str = "pullprobe launch: not started in time";

/// Why a task of a launch that was interrupted is stopped.
const INTERRUPTED: &str = "pullprobe launch: interrupted";

/// After an interruption people wait so long, not longer.
const AFTER_INTERRUPTION: Duration = Duration::from_secs(45);

/// Launches, and hands back every subnet's report in the order of the subnets. Ends early when
/// `until` does, with the tasks stopped and what is known. Fails where AWS refuses what the rest
/// would need too; nothing runs on then either.
pub async fn run(
    client: &Client,
    launch: Launch,
    on: &mut dyn FnMut(Event<'_>),
    until: impl Future<Output = ()>,
) -> Result<Vec<SubnetReport>, Error> {
    let mut course = LaunchLoop::new(client, launch, on)?;
    let mut until = Box::pin(until.fuse());
    while course.landed.iter().any(Option::is_none) {
        if course.let_go() {
            break;
        }
        let due = course.due();
        let next_poll = course.next_poll;
        tokio::select! {
            () = &mut until, if course.ended.is_none() => course.interrupt(),
            () = sleep_until(due.unwrap_or(next_poll).into()), if due.is_some() => course.start(),
            Some(answer) = course.starting.next() => course.started(answer),
            answer = answered(&mut course.polling), if course.polling.is_some() => course.described(answer),
            () = sleep_until(next_poll.into()), if course.polling.is_none() => course.poll(),
            Some((arn, answer)) = course.stopping.next() => course.stopped(&arn, answer),
            Some((subnet, landed)) = course.collecting.next() => course.land(subnet, landed),
        }
        if let Some(error) = course.fatal.take() {
            course.abandon().await;
            return Err(error.into());
        }
    }
    Ok(course.landed.into_iter().flatten().collect())
}

type Stopped = (String, Result<Value, aws::Error>);
type Polling = BoxFuture<'static, Result<Tasks, aws::Error>>;

/// A launch on its way.
struct LaunchLoop<'a> {
    client: Client,
    /// Without tries of its own: throttling is answered by the pace of all.
    runner: Client,
    launch: Arc<Launch>,
    bodies: Vec<Value>,
    collector: Collector,
    on: &'a mut dyn FnMut(Event<'_>),
    pace: Pace,
    waiting: VecDeque<Waiting>,
    starting: FuturesUnordered<BoxFuture<'static, Answer>>,
    watched: Watched,
    polling: Option<Polling>,
    next_poll: Instant,
    stopping: FuturesUnordered<BoxFuture<'static, Stopped>>,
    collecting: FuturesUnordered<BoxFuture<'static, (usize, SubnetReport)>>,
    landed: Vec<Option<SubnetReport>>,
    ended: Option<Instant>,
    fatal: Option<aws::Error>,
}

async fn answered(polling: &mut Option<Polling>) -> Result<Tasks, aws::Error> {
    match polling {
        Some(polling) => polling.await,
        None => std::future::pending().await,
    }
}

impl<'a> LaunchLoop<'a> {
    fn new(
        client: &Client,
        launch: Launch,
        on: &'a mut dyn FnMut(Event<'_>),
    ) -> Result<Self, Error> {
        let launch = Arc::new(launch);
        let bodies: Result<Vec<Value>, String> = launch
            .subnets
            .iter()
            .map(|subnet| launch.body(subnet))
            .collect();
        let bodies = bodies.map_err(Error::Usage)?;
        Ok(Self {
            client: client.clone(),
            runner: client.with_tries(1),
            collector: Collector::new(client.clone(), Arc::clone(&launch)),
            on,
            pace: Pace::new(Instant::now()),
            waiting: (0..bodies.len()).map(Waiting::first).collect(),
            starting: FuturesUnordered::new(),
            watched: Watched::default(),
            polling: None,
            next_poll: Instant::now(),
            stopping: FuturesUnordered::new(),
            collecting: FuturesUnordered::new(),
            landed: vec![None; bodies.len()],
            bodies,
            launch,
            ended: None,
            fatal: None,
        })
    }

    /// When the next task may be started.
    fn due(&self) -> Option<Instant> {
        let first = self.waiting.iter().map(|waiting| waiting.due).min()?;
        (self.starting.len() < MOST_STARTING).then(|| first.max(self.pace.due()))
    }

    fn start(&mut self) {
        let now = Instant::now();
        let Some(n) = self.waiting.iter().position(|waiting| waiting.due <= now) else {
            return;
        };
        let Some(waiting) = self.waiting.remove(n) else {
            return;
        };
        self.pace.sent(now, jitter());
        let body = self.bodies[waiting.subnet].clone();
        self.starting
            .push(start::start(self.runner.clone(), body, waiting, now).boxed());
    }

    fn started(&mut self, answer: Answer) {
        let subnet = answer.waiting.subnet;
        match answer.read(&mut self.pace, Instant::now(), self.launch.timeout) {
            Started::Task(task) => {
                (self.on)(Event::State(
                    subnet,
                    State::Ecs(task.last_status.as_deref().unwrap_or("PROVISIONING")),
                ));
                let arn = task.task_arn.clone();
                self.watched.add(
                    arn.clone(),
                    RunningTasks::new(subnet, &task, Instant::now()),
                );
                if self.ended.is_some() {
                    self.watched.interrupt(&arn);
                    self.stop(arn, INTERRUPTED);
                }
            }
            Started::Again(why, waiting) if self.ended.is_none() => {
                (self.on)(Event::State(subnet, State::Waiting(&why)));
                self.waiting.push_back(waiting);
            }
            Started::Again(why, _) => {
                self.give_up(
                    subnet,
                    &format!("Interrupted before a task was started: {why}"),
                    &Task::default(),
                );
            }
            Started::Not(reason) => {
                let name = self.launch.subnets[subnet].clone();
                let report = stopped_reason::refused(&self.launch, &name, &reason);
                self.land(subnet, SubnetReport::told(&name, report));
            }
            Started::Fatal(error) => self.fatal = Some(error),
        }
    }

    fn poll(&mut self) {
        self.next_poll = Instant::now() + POLL;
        let arns = self.watched.next(BATCH);
        if !arns.is_empty() {
            let client = self.client.clone();
            let body = json!({ "cluster": self.launch.cluster, "tasks": arns });
            self.polling =
                Some(async move { client.json(Api::ECS, "DescribeTasks", &body).await }.boxed());
        }
    }

    fn described(&mut self, answer: Result<Tasks, aws::Error>) {
        self.polling = None;
        match answer {
            Ok(answer) => {
                for (subnet, status) in self.watched.described(&answer, Instant::now()) {
                    (self.on)(Event::State(subnet, State::Ecs(&status)));
                }
                for (subnet, document) in self.watched.ended() {
                    let collected = self
                        .collector
                        .clone()
                        .collect(self.launch.subnets[subnet].clone(), document);
                    self.collecting
                        .push(collected.map(move |landed| (subnet, landed)).boxed());
                }
            }
            Err(error) if error.is_passing() => (self.on)(Event::Note(&error.to_string())),
            Err(error) => self.fatal = Some(error),
        }
    }

    fn stop(&mut self, arn: String, reason: &'static str) {
        self.stopping
            .push(stop(self.client.clone(), &self.launch.cluster, arn, reason));
    }

    fn stopped(&mut self, arn: &str, answer: Result<Value, aws::Error>) {
        self.watched.was_stopped(arn, Instant::now());
        if let Err(error) = answer {
            (self.on)(Event::Note(&format!(
                "{arn} could not be stopped: {error}; `pullprobe gc` tries it again"
            )));
        }
    }

    fn interrupt(&mut self) {
        self.ended = Some(Instant::now());
        (self.on)(Event::Note("interrupted: the tasks are being stopped"));
        for waiting in std::mem::take(&mut self.waiting) {
            self.give_up(
                waiting.subnet,
                "Interrupted before a task was started in this subnet",
                &Task::default(),
            );
        }
        for arn in self.watched.all() {
            if let Some(subnet) = self.watched.interrupt(&arn) {
                (self.on)(Event::State(subnet, State::Stopping));
                self.stop(arn, INTERRUPTED);
            }
        }
    }

    /// Stops what is overdue, and lets go what nobody can wait for any longer. Whether that is
    /// everything.
    fn let_go(&mut self) -> bool {
        let now = Instant::now();
        for (arn, subnet) in self.watched.overdue(now, &self.launch) {
            (self.on)(Event::State(subnet, State::Stopping));
            self.stop(arn, OVERDUE);
        }
        for live in self.watched.given_up(now) {
            let sentence = live.sentence(&self.launch);
            self.give_up(live.subnet, &sentence, &live.task());
        }
        let is_late = self
            .ended
            .is_some_and(|ended| now > ended + AFTER_INTERRUPTION);
        if is_late {
            (self.on)(Event::Note(
                "not every task could be stopped in time: `pullprobe gc` finds what is left",
            ));
            for subnet in 0..self.landed.len() {
                self.give_up(
                    subnet,
                    "Interrupted before anything was known",
                    &Task::default(),
                );
            }
        }
        is_late
    }

    fn give_up(&mut self, subnet: usize, sentence: &str, task: &Task) {
        let name = self.launch.subnets[subnet].clone();
        let report = stopped_reason::gave_up(&self.launch, &name, task, sentence);
        self.land(subnet, SubnetReport::told(&name, report));
    }

    fn land(&mut self, subnet: usize, landed: SubnetReport) {
        if self.landed[subnet].is_none() {
            (self.on)(Event::SubnetReport(
                subnet,
                self.landed[subnet].insert(landed),
            ));
        }
    }

    /// Nothing of a launch that cannot go on is left behind.
    async fn abandon(&mut self) {
        let end = tokio::time::Instant::now() + AFTER_INTERRUPTION;
        let all = async {
            while let Some(answer) = self.starting.next().await {
                if let Started::Task(task) =
                    answer.read(&mut self.pace, Instant::now(), Duration::ZERO)
                {
                    self.watched.add(
                        task.task_arn.clone(),
                        RunningTasks::new(0, &task, Instant::now()),
                    );
                }
            }
            for arn in self.watched.all() {
                self.stop(arn, "pullprobe launch: it cannot go on");
            }
            while let Some((arn, answer)) = self.stopping.next().await {
                self.stopped(&arn, answer);
            }
        };
        if tokio::time::timeout_at(end, all).await.is_err() {
            (self.on)(Event::Note(
                "not every task could be stopped in time: `pullprobe gc` finds what is left",
            ));
        }
    }
}

fn stop(
    client: Client,
    cluster: &str,
    arn: String,
    reason: &'static str,
) -> BoxFuture<'static, Stopped> {
    let body = json!({ "cluster": cluster, "task": arn, "reason": reason });
    async move {
        let answer = client.json(Api::ECS, "StopTask", &body).await;
        (arn, answer)
    }
    .boxed()
}
