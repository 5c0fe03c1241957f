//! How fast tasks are started: as fast as ECS takes them, which it does not say.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

/// AwsCalls a second to begin with: what Fargate grants `RunTask` in every account, burst and
/// sustained (ECS developer guide, "Throttling the RunTask API in Fargate"). The account's share
/// may be larger, or used by others.
const BEGIN: f64 = 20.0;

/// AwsCalls a second at most, whatever is granted.
const MOST: f64 = 200.0;

/// AwsCalls a second at least: a launch that others starve still goes on.
const LEAST: f64 = 0.2;

/// After an accepted call the pace grows by 3 %, after a refused one it falls by a fifth: that
/// keeps it a little above the granted rate, so that no token of ECS's bucket is lost. About one
/// call in seven is refused for it.
const FASTER: f64 = 1.03;
const SLOWER: f64 = 0.8;

/// After a refused call the next comes sooner, in so much of the usual pause: a token that is there
/// is not left lying.
const SOONER: f64 = 0.35;

/// A pace that finds the granted rate.
#[derive(Debug)]
pub struct Pace {
    rate: f64,
    due: Instant,
    slowed: Instant,
}

impl Pace {
    /// Begins at `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            rate: BEGIN,
            due: now,
            slowed: now,
        }
    }

    /// When the next call may be sent.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// A call was sent.
    pub fn sent(&mut self, now: Instant, jitter: f64) {
        let pause = Duration::from_secs_f64((0.9 + 0.2 * jitter) / self.rate);
        // What was missed by a busy processor is caught up with, for a tenth of a second at most.
        self.due = self
            .due
            .max(now.checked_sub(Duration::from_millis(100)).unwrap_or(now))
            + pause;
    }

    /// A call was taken.
    pub fn accepted(&mut self) {
        self.rate = (self.rate * FASTER).min(MOST);
    }

    /// A call that was sent at `sent` was throttled. Those that were on their way together slow it
    /// down once.
    pub fn refused(&mut self, sent: Instant, now: Instant) {
        if sent >= self.slowed {
            self.rate = (self.rate * SLOWER).max(LEAST);
            self.slowed = now;
        }
        self.due = self
            .due
            .min(now + Duration::from_secs_f64(SOONER / self.rate));
    }
}

/// Pause before the same call again, after `attempts`: with full jitter between 0.25 s and 10 s.
pub fn backoff(attempts: u32, jitter: f64) -> Duration {
    let ceiling = 0.25 * f64::from(2_u32.saturating_pow(attempts.min(10)));
    Duration::from_secs_f64(0.05 + ceiling.min(10.0) * jitter)
}

/// A number from 0 to 1, another one each time.
pub fn jitter() -> f64 {
    let random = RandomState::new().hash_one(0_u8);
    f64::from(u32::try_from(random >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ECS's bucket.
    struct Bucket {
        tokens: f64,
        burst: f64,
        rate: f64,
        at: Instant,
    }

    impl Bucket {
        fn take(&mut self, now: Instant) -> bool {
            self.tokens = (self.tokens + self.rate * (now - self.at).as_secs_f64()).min(self.burst);
            self.at = now;
            let taken = self.tokens >= 1.0;
            self.tokens -= f64::from(u8::from(taken));
            taken
        }
    }

    /// Seconds that `calls` take, and how many were refused. Each answer needs 80 ms.
    fn run(calls: u32, rate: f64, burst: f64) -> (f64, u32) {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let mut bucket = Bucket {
            tokens: burst,
            burst,
            rate,
            at: begin,
        };
        let mut answers: std::collections::VecDeque<(Instant, Instant, bool)> =
            std::collections::VecDeque::new();
        let (mut taken, mut refused, mut now) = (0, 0, begin);
        while taken < calls {
            while let Some(&(at, sent, accepted)) = answers.front().filter(|(at, ..)| *at <= now) {
                answers.pop_front();
                if accepted {
                    pace.accepted()
                } else {
                    pace.refused(sent, at)
                }
            }
            let accepted = bucket.take(now);
            taken += u32::from(accepted);
            refused += u32::from(!accepted);
            answers.push_back((now + Duration::from_millis(80), now, accepted));
            pace.sent(now, jitter());
            now = pace.due().max(now);
        }
        ((now - begin).as_secs_f64(), refused)
    }

    #[test]
    fn whatever_is_granted_is_used_within_a_tenth() {
        let buckets = [
            (500, 20.0, 20.0),
            (500, 20.0, 100.0),
            (500, 5.0, 10.0),
            (500, 50.0, 50.0),
            (500, 2.0, 10.0),
        ];
        for (calls, rate, burst) in buckets {
            let ideal = (f64::from(calls) - burst) / rate;
            let (took, refused) = run(calls, rate, burst);
            assert!(
                took < ideal * 1.1,
                "{rate}/s, {burst} at once: {took} s where {ideal} s would do"
            );
            assert!(
                refused < calls / 2,
                "{rate}/s, {burst} at once: {refused} calls of {calls} were in vain"
            );
        }
    }

    /// A bucket that holds one token loses what nobody fetches at once.
    #[test]
    fn without_any_burst_it_is_within_a_third() {
        for (calls, rate) in [(500, 10.0), (200, 1.0)] {
            let ideal = f64::from(calls - 1) / rate;
            let (took, refused) = run(calls, rate, 1.0);
            assert!(
                took < ideal * 1.34,
                "{rate}/s: {took} s where {ideal} s would do"
            );
            assert!(
                refused < calls / 2,
                "{rate}/s: {refused} calls of {calls} were in vain"
            );
        }
    }

    #[test]
    fn pauses_grow_and_end() {
        assert!(backoff(1, 1.0) < Duration::from_secs(1));
        assert!(backoff(30, 1.0) <= Duration::from_millis(10_050));
        let jitters: std::collections::BTreeSet<u64> =
            (0..20).map(|_| jitter().to_bits()).collect();
        assert!(jitters.len() > 15);
    }
}
