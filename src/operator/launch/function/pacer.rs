//! Spaces the calls that make and delete functions.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Interval of the calls: two thirds of the 15 a second that Lambda allows for all calls of its
/// control plane, except GetFunction and Invoke (Lambda quotas).
const INTERVAL: Duration = Duration::from_millis(100);

/// Gives each caller a time of its own.
#[derive(Debug, Default)]
pub struct Pacer {
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
                at
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
        futures_util::future::join_all((0..31).map(|_| pacer.turn())).await;
        assert!(begin.elapsed() >= INTERVAL * 30);
        assert!(begin.elapsed() < INTERVAL * 32);
    }
}
