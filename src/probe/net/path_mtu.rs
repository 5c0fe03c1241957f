//! Distinguishes a path MTU black hole from other reasons for a stalled exchange.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::observation::Tries;
use crate::probe::net::tcp::ConnectOptions;

/// An exchange without a result for this long is repeated in parallel. This time covers a round
/// trip around the earth and a retransmission; a healthy service responds in a tenth of it.
const RETRY_AFTER_SILENCE: Duration = Duration::from_millis(1_500);

/// An exchange that is not answered within this time, although a repetition was, hangs. An answer
/// that takes longer is reported as slow in any case.
const HANGS_AFTER: Duration = Duration::from_secs(3);

/// How long to wait for the retries once the first try has stalled: a round trip.
const RETRY_GRACE: Duration = Duration::from_millis(200);

/// The next pair of tries starts as soon as small segments have got through, or after this time, so
/// that two more pairs fit into the 4.4 seconds of the first try.
const PAIR_INTERVAL: Duration = Duration::from_millis(700);

/// Delay of the second try within a pair, so that a load balancer sees them in order.
const PAIR_GAP: Duration = Duration::from_millis(20);

/// Number of pairs if small segments do not always get through: with the first try, four tries with
/// ordinary segments.
const PAIRS: u32 = 3;

/// Number of pairs if only small segments get through. If connections to a server hang with a
/// probability of one half, six stalls and five answers match the sizes once in 2,000 runs.
const CONTRAST_PAIRS: u32 = 5;

/// Time limit of a retry's connection: a SYN and one retransmission. A retry that is silent for
/// longer has a connection.
const RETRY_CONNECT_TIMEOUT: Duration = Duration::from_millis(1_300);

/// A retry that is silent for this long, while others are answered immediately, has stalled.
const STALLED_AFTER: Duration = Duration::from_millis(1_350);

/// Segment sizes in bytes that are tried once small segments are proven to get through, to find the
/// largest that does: for path MTUs of 1,040, 1,280 (the minimum of IPv6), 1,400 (many VPNs) and
/// 1,460 bytes (GRE and IP-in-IP tunnels, with room for their headers).
const LARGER_SEGMENTS: [u32; 4] = [1_000, 1_240, 1_360, 1_420];

/// How one try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryEnd {
    /// Data came back, whatever it says.
    Answered,
    /// The connection was opened, and then nothing arrived.
    Stalled,
    /// The connection was not opened, or was closed or reset. Says nothing about packet size.
    Broken,
}

/// The result of an exchange that is retried with small segments if it stalls.
pub struct SegmentSizeTest<T> {
    /// Result of the first try, or of a repetition if that was answered.
    pub result: T,
    /// Result of a retry with small segments, if only those got through.
    pub over_small_segments: Option<T>,
    /// Whether small segments got through where ordinary ones did not. `None` if the size was not
    /// tested or did not matter.
    pub small_segments_pass: Option<bool>,
    /// The largest of [`LARGER_SEGMENTS`] that got through.
    pub largest_segment: Option<u32>,
    /// Tries with ordinary and with small segments.
    pub attempts: u32,
    /// The stalled tries, if the first one stalled: only those with ordinary segments if small ones
    /// got through, otherwise all.
    pub tries: Option<Tries>,
}

impl<T> SegmentSizeTest<T> {
    fn untested(result: T) -> Self {
        Self {
            result,
            over_small_segments: None,
            small_segments_pass: None,
            largest_segment: None,
            attempts: 1,
            tries: None,
        }
    }

    fn intermittent(result: T, failed: u32, answered: u32) -> Self {
        let of = failed + answered;
        Self {
            attempts: of,
            tries: Some(Tries { failed, of }),
            ..Self::untested(result)
        }
    }
}

/// The retries with one segment size.
struct Retries<T> {
    /// When each retry began; `None` once it has ended.
    running: Vec<Option<Instant>>,
    answered: Vec<T>,
    stalled: u32,
}

impl<T> Retries<T> {
    fn new() -> Self {
        Self {
            running: Vec::new(),
            answered: Vec::new(),
            stalled: 0,
        }
    }

    /// Returns how many have stalled, including those that have been silent for [`STALLED_AFTER`].
    fn stalled(&self) -> u32 {
        let long = self
            .running
            .iter()
            .flatten()
            .filter(|started| started.elapsed() >= STALLED_AFTER);
        self.stalled + u32::try_from(long.count()).unwrap_or(u32::MAX)
    }

    fn answers(&self) -> u32 {
        u32::try_from(self.answered.len()).unwrap_or(u32::MAX)
    }
}

/// Awaits `first`. If it is slow, `retry` alternates between ordinary segments, as a control, and
/// small ones, each over a fresh connection and in random order. Packet size is the cause only if
/// every ordinary try stalls and no try with small segments does: a service that hangs
/// intermittently, or has one hanging server, would otherwise look like an MTU black hole. The
/// first control that is answered ends the test.
pub async fn retry_with_small_segments<T, F: Future<Output = T>>(
    first: impl Future<Output = T>,
    retry: impl Fn(ConnectOptions) -> F,
    end: impl Fn(&T) -> TryEnd,
) -> SegmentSizeTest<T> {
    let began = Instant::now();
    let mut next_pair = began + RETRY_AFTER_SILENCE;
    let mut give_up: Option<Instant> = None;
    let mut first_result = None;
    let mut pairs = 0;
    let (mut ordinary, mut small) = (Retries::new(), Retries::new());
    let mut retries = FuturesUnordered::new();
    let coin = RandomState::new();
    tokio::pin!(first);
    loop {
        let contrast = small.answers() == pairs && pairs > 0 && small.stalled() == 0;
        let needed = if contrast { CONTRAST_PAIRS } else { PAIRS };
        let more = pairs < needed && ordinary.answered.is_empty() && give_up.is_none();
        tokio::select! {
            result = &mut first, if first_result.is_none() => match end(&result) {
                TryEnd::Stalled => {
                    first_result = Some(result);
                    give_up.get_or_insert(Instant::now() + RETRY_GRACE);
                }
                TryEnd::Broken if !ordinary.answered.is_empty() => {
                    first_result = Some(result);
                    break;
                }
                _ => return SegmentSizeTest::untested(result),
            },
            Some((is_small, index, result)) = retries.next() => {
                let seen = if is_small { &mut small } else { &mut ordinary };
                seen.running[index] = None;
                match end(&result) {
                    TryEnd::Answered => seen.answered.push(result),
                    TryEnd::Stalled => seen.stalled += 1,
                    TryEnd::Broken => {}
                }
                if !ordinary.answered.is_empty() {
                    let hangs = (began + HANGS_AFTER).max(Instant::now());
                    give_up = Some(give_up.map_or(hangs, |at| at.min(hangs)));
                } else if is_small && small.answers() == pairs {
                    next_pair = Instant::now();
                }
            }
            () = sleep_until(next_pair), if more => {
                let small_first = coin.hash_one(pairs) % 2 == 0;
                for is_small in [small_first, !small_first] {
                    let gap = if is_small == small_first { Duration::ZERO } else { PAIR_GAP };
                    let options = ConnectOptions {
                        small_segments: is_small,
                        timeout: RETRY_CONNECT_TIMEOUT,
                        ..ConnectOptions::default()
                    };
                    let trying = retry(options);
                    let seen = if is_small { &mut small } else { &mut ordinary };
                    let index = seen.running.len();
                    seen.running.push(Some(Instant::now() + gap));
                    retries.push(async move {
                        sleep(gap).await;
                        (is_small, index, trying.await)
                    });
                }
                pairs += 1;
                next_pair = Instant::now() + PAIR_INTERVAL;
            }
            () = sleep_until(give_up.unwrap_or(began)), if give_up.is_some() => break,
        }
    }
    let ordinary_stalls = 1 + ordinary.stalled();
    if let Some(result) = ordinary.answered.pop() {
        return SegmentSizeTest::intermittent(result, ordinary_stalls, 1);
    }
    let (answers, stalls) = (small.answers(), small.stalled());
    let Some(first) = first_result else {
        // The loop ends without a result of the first try only if a control is answered.
        return SegmentSizeTest::untested(first.await);
    };
    match small.answered.pop() {
        // Small segments stall as well, so size does not decide.
        Some(result) if stalls > 0 => {
            SegmentSizeTest::intermittent(result, ordinary_stalls + stalls, answers)
        }
        Some(result) => SegmentSizeTest {
            result: first,
            over_small_segments: Some(result),
            small_segments_pass: Some(true),
            largest_segment: largest_segment(retry, end).await,
            attempts: ordinary_stalls + answers,
            tries: Some(Tries {
                failed: ordinary_stalls,
                of: ordinary_stalls,
            }),
        },
        None => SegmentSizeTest {
            small_segments_pass: (stalls > 0).then_some(false),
            ..SegmentSizeTest::intermittent(first, ordinary_stalls + stalls, 0)
        },
    }
}

/// Returns the largest of [`LARGER_SEGMENTS`] over which an exchange is answered.
async fn largest_segment<T, F: Future<Output = T>>(
    retry: impl Fn(ConnectOptions) -> F,
    end: impl Fn(&T) -> TryEnd,
) -> Option<u32> {
    let tries = LARGER_SEGMENTS.map(|size| {
        let options = ConnectOptions {
            small_segments: true,
            max_segment: Some(size),
            timeout: RETRY_CONNECT_TIMEOUT,
            ..ConnectOptions::default()
        };
        let trying = timeout(STALLED_AFTER, retry(options));
        async move { (size, trying.await.ok()) }
    });
    let results = join_all(tries).await;
    let answered = results
        .into_iter()
        .filter(|(_, result)| result.as_ref().map(&end) == Some(TryEnd::Answered));
    answered.map(|(size, _)| size).max()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    type Answer = Result<&'static str, TryEnd>;

    fn end(answer: &Answer) -> TryEnd {
        answer.err().unwrap_or(TryEnd::Answered)
    }

    async fn after(ms: u64, answer: Answer) -> Answer {
        sleep(Duration::from_millis(ms)).await;
        answer
    }

    const STALL: (u64, Answer) = (4_400, Err(TryEnd::Stalled));
    const ANSWER: (u64, Answer) = (100, Ok("answer"));
    const RESET: (u64, Answer) = (10, Err(TryEnd::Broken));

    /// `ordinary` and `small` list how the retries end; the last entry repeats. Returns whether the
    /// result is an answer, whether small segments pass, the tries, and the time in ms.
    async fn test(
        first: (u64, Answer),
        ordinary: &[(u64, Answer)],
        small: &[(u64, Answer)],
    ) -> (bool, Option<bool>, Option<(u32, u32)>, u128) {
        let began = Instant::now();
        let counts = [Cell::new(0), Cell::new(0)];
        let retry = |options: ConnectOptions| {
            let list = if options.small_segments {
                small
            } else {
                ordinary
            };
            let count = &counts[usize::from(options.small_segments)];
            let (ms, answer) = list[count.get().min(list.len() - 1)];
            count.set(count.get() + 1);
            after(ms, answer)
        };
        let test = retry_with_small_segments(after(first.0, first.1), retry, end).await;
        assert_eq!(
            test.over_small_segments.is_some(),
            test.small_segments_pass == Some(true)
        );
        (
            test.result.is_ok(),
            test.small_segments_pass,
            test.tries.map(|tries| (tries.failed, tries.of)),
            began.elapsed().as_millis(),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_the_first_try_needs_no_test() {
        assert_eq!(
            test((0, ANSWER.1), &[STALL], &[STALL]).await,
            (true, None, None, 0)
        );
        let slow = test((2_900, ANSWER.1), &[ANSWER], &[ANSWER]).await;
        assert_eq!(slow, (true, None, None, 2_900), "slow but working");
        let reset = test((1_600, RESET.1), &[STALL], &[STALL]).await;
        assert_eq!(reset, (false, None, None, 1_600), "a reset is not a stall");
    }

    #[tokio::test(start_paused = true)]
    async fn black_hole_is_found_if_only_small_segments_get_through() {
        let (answered, small, tries, ms) = test(STALL, &[STALL], &[ANSWER]).await;
        assert_eq!((answered, small, tries), (false, Some(true), Some((6, 6))));
        assert!(ms <= 4_700, "{ms}");
    }

    #[tokio::test(start_paused = true)]
    async fn largest_segment_that_gets_through_is_returned() {
        for (path, expected) in [(600, None), (1_100, Some(1_000)), (1_400, Some(1_360))] {
            let retry = |options: ConnectOptions| {
                let segment = if options.small_segments { 536 } else { 1_460 };
                let size = options.max_segment.unwrap_or(segment) + 40;
                let (ms, end) = if size <= path { ANSWER } else { STALL };
                after(ms, end)
            };
            let first = after(STALL.0, STALL.1);
            let test = retry_with_small_segments(first, retry, end).await;
            assert_eq!(test.small_segments_pass, Some(true), "{path}");
            assert_eq!(test.largest_segment, expected, "{path}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_control_that_is_answered_ends_the_test() {
        for ordinary in [&[ANSWER][..], &[STALL, ANSWER], &[STALL, STALL, ANSWER]] {
            let (answered, small, tries, ms) = test(STALL, ordinary, &[ANSWER]).await;
            assert_eq!((answered, small), (true, None), "{ordinary:?}");
            let (failed, of) = tries.unwrap();
            assert!(failed >= 1 && of == failed + 1, "{failed} of {of}");
            assert!(ms <= 3_000, "{ms}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_control_that_hangs_does_not_hide_one_that_is_answered() {
        let hangs = (60_000, ANSWER.1);
        let (answered, small, tries, _) = test(STALL, &[hangs, ANSWER], &[STALL]).await;
        assert_eq!((answered, small, tries), (true, None, Some((2, 3))));
    }

    #[tokio::test(start_paused = true)]
    async fn small_segments_that_stall_as_well_are_no_proof() {
        let (answered, small, tries, _) = test(STALL, &[STALL], &[ANSWER, STALL]).await;
        assert_eq!((answered, small), (true, None));
        let (failed, of) = tries.unwrap();
        assert!(failed > 2 && failed < of, "{failed} of {of}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_at_any_size_lasts_for_all_tries() {
        let (answered, small, tries, ms) = test(STALL, &[STALL], &[STALL]).await;
        assert_eq!((answered, small), (false, Some(false)));
        assert_eq!(tries, Some((7, 7)));
        assert!(ms <= 4_600, "{ms}");
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_are_not_opened_say_nothing_about_size() {
        let not_opened = (1_300, Err(TryEnd::Broken));
        let (answered, small, tries, _) = test(STALL, &[not_opened], &[not_opened]).await;
        assert_eq!((answered, small, tries), (false, None, Some((1, 1))));
        let (answered, small, tries, _) = test(STALL, &[not_opened], &[ANSWER]).await;
        assert_eq!(
            (answered, small, tries),
            (false, Some(true), Some((1, 1))),
            "no contrast"
        );
    }
}
