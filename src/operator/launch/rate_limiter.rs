//! Finds the rate at which ECS accepts `RunTask`, which no API reports.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

/// First rate, in calls a second: what Fargate grants `RunTask` in every account, burst and
/// sustained (ECS developer guide, "Throttling the RunTask API in Fargate"). An account may have
/// a higher limit, and other callers may use part of it.
const INITIAL_RATE: f64 = 20.0;

/// Highest rate, in calls a second: ten times the default limit.
const MAX_RATE: f64 = 200.0;

/// Lowest rate, in calls a second: a launch that competes with other callers still makes progress.
const MIN_RATE: f64 = 0.2;

/// The rate grows by 3 % after an accepted call and falls by a fifth after a throttled one. This
/// keeps it slightly above the granted rate, so that no token of ECS's bucket is lost, at the cost
/// of about one throttled call in seven.
const INCREASE: f64 = 1.03;
const DECREASE: f64 = 0.8;

/// Fraction of the usual pause that follows a throttled call, so that the next available token is
/// used soon.
const PAUSE_AFTER_THROTTLING: f64 = 0.35;

/// Spaces calls and adapts their rate to what ECS accepts.
#[derive(Debug)]
pub struct RateLimiter {
    rate: f64,
    due: Instant,
    slowed: Instant,
}

impl RateLimiter {
    pub fn new(now: Instant) -> Self {
        Self {
            rate: INITIAL_RATE,
            due: now,
            slowed: now,
        }
    }

    /// Returns when the next call may be sent.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Records a call. `jitter` is a random number from 0 to 1.
    pub fn sent(&mut self, now: Instant, jitter: f64) {
        let pause = Duration::from_secs_f64((0.9 + 0.2 * jitter) / self.rate);
        // Calls that a busy processor delays are made up for, by up to 0.1 s.
        self.due = self
            .due
            .max(now.checked_sub(Duration::from_millis(100)).unwrap_or(now))
            + pause;
    }

    /// Records that a call was accepted.
    pub fn accepted(&mut self) {
        self.rate = (self.rate * INCREASE).min(MAX_RATE);
    }

    /// Records that a call, sent at `sent`, was throttled. Several calls in flight at the same time
    /// decrease the rate only once.
    pub fn throttled(&mut self, sent: Instant, now: Instant) {
        if sent >= self.slowed {
            self.rate = (self.rate * DECREASE).max(MIN_RATE);
            self.slowed = now;
        }
        self.due = self
            .due
            .min(now + Duration::from_secs_f64(PAUSE_AFTER_THROTTLING / self.rate));
    }
}

/// Returns the pause before the same call is repeated: exponential with full jitter, up to 10 s.
pub fn backoff(attempts: u32, jitter: f64) -> Duration {
    let ceiling = 0.25 * f64::from(2_u32.saturating_pow(attempts.min(10)));
    Duration::from_secs_f64(0.05 + ceiling.min(10.0) * jitter)
}

/// Returns a random number from 0 to 1.
pub fn jitter() -> f64 {
    let random = RandomState::new().hash_one(0_u8);
    // The shift leaves 32 bits, so the conversion cannot fail.
    f64::from(u32::try_from(random >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model of ECS's token bucket.
    struct TokenBucket {
        tokens: f64,
        burst: f64,
        rate: f64,
        at: Instant,
    }

    impl TokenBucket {
        fn take(&mut self, now: Instant) -> bool {
            self.tokens = (self.tokens + self.rate * (now - self.at).as_secs_f64()).min(self.burst);
            self.at = now;
            let taken = self.tokens >= 1.0;
            self.tokens -= f64::from(u8::from(taken));
            taken
        }
    }

    /// Returns the seconds that `calls` take, and how many calls are throttled. Each response takes
    /// 80 ms.
    fn run(calls: u32, rate: f64, burst: f64) -> (f64, u32) {
        let begin = Instant::now();
        let mut limiter = RateLimiter::new(begin);
        let mut bucket = TokenBucket {
            tokens: burst,
            burst,
            rate,
            at: begin,
        };
        let mut responses: std::collections::VecDeque<(Instant, Instant, bool)> =
            std::collections::VecDeque::new();
        let (mut taken, mut throttled, mut now) = (0, 0, begin);
        while taken < calls {
            while let Some(&(at, sent, accepted)) = responses.front().filter(|(at, ..)| *at <= now)
            {
                responses.pop_front();
                if accepted {
                    limiter.accepted();
                } else {
                    limiter.throttled(sent, at);
                }
            }
            let accepted = bucket.take(now);
            taken += u32::from(accepted);
            throttled += u32::from(!accepted);
            responses.push_back((now + Duration::from_millis(80), now, accepted));
            limiter.sent(now, jitter());
            now = limiter.due().max(now);
        }
        ((now - begin).as_secs_f64(), throttled)
    }

    #[test]
    fn uses_the_granted_rate_within_a_tenth() {
        let buckets = [
            (500, 20.0, 20.0),
            (500, 20.0, 100.0),
            (500, 5.0, 10.0),
            (500, 50.0, 50.0),
            (500, 2.0, 10.0),
        ];
        for (calls, rate, burst) in buckets {
            let ideal = (f64::from(calls) - burst) / rate;
            let (took, throttled) = run(calls, rate, burst);
            assert!(
                took < ideal * 1.1,
                "{rate}/s, {burst} burst: {took} s instead of {ideal} s"
            );
            assert!(
                throttled < calls / 2,
                "{rate}/s, {burst} burst: {throttled} of {calls} calls were throttled"
            );
        }
    }

    /// A bucket that holds one token loses each token that is not used at once.
    #[test]
    fn without_burst_uses_the_granted_rate_within_a_third() {
        for (calls, rate) in [(500, 10.0), (200, 1.0)] {
            let ideal = f64::from(calls - 1) / rate;
            let (took, throttled) = run(calls, rate, 1.0);
            assert!(
                took < ideal * 1.34,
                "{rate}/s: {took} s instead of {ideal} s"
            );
            assert!(
                throttled < calls / 2,
                "{rate}/s: {throttled} of {calls} calls were throttled"
            );
        }
    }

    #[test]
    fn backoff_grows_to_its_limit() {
        assert!(backoff(1, 1.0) < Duration::from_secs(1));
        assert!(backoff(30, 1.0) <= Duration::from_millis(10_050));
        let jitters: std::collections::BTreeSet<u64> =
            (0..20).map(|_| jitter().to_bits()).collect();
        assert!(jitters.len() > 15);
    }
}
