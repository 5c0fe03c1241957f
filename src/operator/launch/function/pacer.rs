//! Spaces the calls that make and delete functions.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Interval of the calls: two thirds of the 15 a second that Lambda allows for all calls of its
/// control plane, except GetFunction and Invoke (Lambda quotas).
const INTERVAL: Duration = Duration::from_millis(100);

/// How far calls may be ahead of their interval, so that a launch into a few subnets does not wait: six
/// at once, and never more than the 15 in a second.
const AHEAD: Duration = Duration::from_millis(500);

/// Gives each caller a time of its own.
#[derive(Debug, Default)]
pub struct Pacer {
    /// When the next call would be due if all kept the interval.
    next: Mutex<Option<Instant>>,
}

impl Pacer {
    /// Waits for the caller's turn.
    pub async fn turn(&self) {
        let now = Instant::now();
        let at = match self.next.lock() {
            Ok(mut next) => {
                let at = next.map_or(now, |next| next.max(now));
                *next = Some(at + INTERVAL);
                at.checked_sub(AHEAD).unwrap_or(now)
            }
            // A panic elsewhere ends the launch anyway.
            Err(_) => now,
        };
        sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_are_spaced() {
        let (pacer, begin) = (Pacer::default(), Instant::now());
        let turn = async || {
            pacer.turn().await;
            begin.elapsed()
        };
        let times = futures_util::future::join_all((0..31).map(|_| turn())).await;
        let at_once = times.iter().filter(|at| at.is_zero()).count();
        assert_eq!(at_once, 6);
        assert!(begin.elapsed() >= INTERVAL * 25);
        assert!(begin.elapsed() < INTERVAL * 27);
        for first in &times {
            let second = *first..*first + Duration::from_secs(1);
            assert!(times.iter().filter(|at| second.contains(*at)).count() <= 15);
        }
    }
}
