//! Collects the observations of a run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::observation::{Observation, ObservationId};

/// Receives the observations of one run.
pub type ObservationReceiver = mpsc::UnboundedReceiver<Box<Observation>>;

/// Sends observations to the run and spawns its checks. The run is over when the last recorder is
/// dropped.
#[derive(Clone)]
pub struct Recorder(mpsc::UnboundedSender<Box<Observation>>);

impl Recorder {
    /// Returns a recorder and the receiver of what it records.
    pub fn new() -> (Self, ObservationReceiver) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Returns a recorder that discards observations. Holding it does not keep the run open.
    pub fn detached() -> Self {
        Self::new().0
    }

    /// Records an observation. It replaces an earlier one with the same ID.
    pub fn record(&self, observation: Observation) {
        // The receiver is gone once the run has ended.
        let _ = self.0.send(Box::new(observation));
    }

    /// Spawns a check. The run stays open until the check returns.
    pub fn spawn(&self, check: impl Future<Output = ()> + Send + 'static) {
        let keep_open = self.clone();
        // Boxed, so that the binary contains Tokio's code for a task once, not for every check.
        let check: BoxFuture<'static, ()> = Box::pin(check);
        tokio::spawn(async move {
            check.await;
            drop(keep_open);
        });
    }
}

/// The observations recorded so far, by ID. Another thread can read them, so that the panic hook
/// can still report what was observed.
#[derive(Clone, Default)]
pub struct ObservationLog(Arc<Mutex<BTreeMap<ObservationId, Observation>>>);

impl ObservationLog {
    /// Adds an observation, or replaces the one with the same ID.
    pub fn insert(&self, observation: Observation) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.insert(observation.id.clone(), observation);
    }

    /// Returns a copy of the observations. It is empty if the log is locked at this moment, as
    /// after a panic during an insertion.
    pub fn snapshot(&self) -> Vec<Observation> {
        self.0
            .try_lock()
            .map(|log| log.values().cloned().collect())
            .unwrap_or_default()
    }
}
