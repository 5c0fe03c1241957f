//! Measures how long the machine kept the probe from running. A probe that is not running cannot
//! distinguish its own delay from the network's.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::observation::Starvation;

/// How often the lateness of a timer is measured.
const INTERVAL: Duration = Duration::from_millis(50);

/// Delays shorter than this occur on any machine and are not recorded.
const NOTICEABLE_MS: u64 = 250;

/// File in which Linux counts the nanoseconds that this thread waited for a processor while
/// runnable: the second number (Documentation/scheduler/sched-stats.rst).
const SCHEDULER_STATISTICS: &str = "/proc/thread-self/schedstat";

/// Measures starvation from its start until it is stopped.
pub struct StarvationMeter {
    started: Instant,
    waited_before: Option<Duration>,
    late_ms: Arc<AtomicU64>,
    timer: JoinHandle<()>,
}

impl StarvationMeter {
    /// Starts to measure. Needs a Tokio runtime.
    pub fn start() -> Self {
        let late_ms = Arc::new(AtomicU64::new(0));
        let worst = Arc::clone(&late_ms);
        let timer = tokio::spawn(async move {
            loop {
                let asleep = Instant::now();
                sleep(INTERVAL).await;
                let late = asleep.elapsed().saturating_sub(INTERVAL);
                worst.fetch_max(crate::millis(late), Ordering::Relaxed);
            }
        });
        Self {
            started: Instant::now(),
            waited_before: waited(),
            late_ms,
            timer,
        }
    }

    /// Returns the starvation if it is noticeable.
    pub fn stop(self) -> Option<Starvation> {
        self.timer.abort();
        let waited = waited().zip(self.waited_before);
        let starvation = Starvation {
            late_ms: self.late_ms.load(Ordering::Relaxed),
            waited_ms: waited.map_or(0, |(now, before)| crate::millis(now.saturating_sub(before))),
            run_ms: crate::millis(self.started.elapsed()),
        };
        (starvation.late_ms.max(starvation.waited_ms) >= NOTICEABLE_MS).then_some(starvation)
    }
}

/// Returns how long this thread has waited for a processor; `None` if the kernel does not count
/// that.
fn waited() -> Option<Duration> {
    let text = fs::read_to_string(SCHEDULER_STATISTICS).ok()?;
    let nanoseconds = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_blocked_event_loop_is_measured() {
        let meter = StarvationMeter::start();
        sleep(INTERVAL / 2).await;
        std::thread::sleep(Duration::from_millis(800));
        sleep(INTERVAL).await;
        let starvation = meter.stop().unwrap();
        assert!(starvation.is_severe(), "{starvation:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_run_is_not_starved() {
        let meter = StarvationMeter::start();
        sleep(INTERVAL * 10).await;
        let starved = meter.stop().is_some_and(Starvation::is_severe);
        assert!(!starved);
    }
}
