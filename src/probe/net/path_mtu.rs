//! Distinguishes a path MTU black hole from other reasons for a stalled exchange.

use std::time::Duration;

use tokio::time::sleep;

use crate::probe::net::tcp::ConnectOptions;

/// An exchange without a result for this long is repeated in parallel. It covers a round trip
/// around the earth and a retransmission; a healthy service responds in a tenth of it.
const RETRY_AFTER_SILENCE: Duration = Duration::from_millis(1_500);

/// How long to wait for the retries after the first attempt has stalled. They have already had
/// three seconds by then.
const RETRY_GRACE: Duration = Duration::from_millis(200);

/// The result of an exchange that is retried with small segments if it stalls.
pub struct SegmentSizeTest<T> {
    /// Result of the first attempt, or of the retry with ordinary segments if only that succeeded.
    pub result: T,
    /// Result of the retry with small segments, if only those got through.
    pub over_small_segments: Option<T>,
    /// Whether small segments got through where ordinary ones did not. `None` if nothing stalled.
    pub small_segments_pass: Option<bool>,
    /// First attempt, control and small segments, as far as they contributed to the result.
    pub attempts: u32,
}

/// Awaits `first`. If it is slow, `retry` runs with ordinary segments, as a control, and with small
/// ones, each twice. Packet size is the cause only if every ordinary attempt stalls and no attempt
/// with small segments does: a service that hangs now and then, or has one hanging server, would
/// otherwise look like an MTU black hole.
pub async fn retry_with_small_segments<T, F: Future<Output = T>>(
    first: impl Future<Output = T>,
    retry: impl Fn(ConnectOptions) -> F,
    stalled: impl Fn(&T) -> bool,
) -> SegmentSizeTest<T> {
    let control = async {
        sleep(RETRY_AFTER_SILENCE).await;
        let ordinary = ConnectOptions::default();
        let (one, other) = tokio::join!(retry(ordinary), retry(ordinary));
        if stalled(&one) { other } else { one }
    };
    let small = async {
        sleep(RETRY_AFTER_SILENCE).await;
        let small_segments = ConnectOptions {
            small_segments: true,
            ..ConnectOptions::default()
        };
        let once = retry(small_segments).await;
        if stalled(&once) {
            once
        } else {
            retry(small_segments).await
        }
    };
    tokio::pin!(first, control, small);
    let (mut control_result, mut small_result) = (None, None);
    let first_result = loop {
        tokio::select! {
            result = &mut first => break result,
            result = &mut control, if control_result.is_none() => control_result = Some(result),
            result = &mut small, if small_result.is_none() => small_result = Some(result),
        }
    };
    if !stalled(&first_result) {
        return SegmentSizeTest {
            result: first_result,
            over_small_segments: None,
            small_segments_pass: None,
            attempts: 1,
        };
    }
    let grace = sleep(RETRY_GRACE);
    tokio::pin!(grace);
    while control_result.is_none() || small_result.is_none() {
        tokio::select! {
            result = &mut control, if control_result.is_none() => control_result = Some(result),
            result = &mut small, if small_result.is_none() => small_result = Some(result),
            () = &mut grace => break,
        }
    }
    if let Some(result) = control_result.filter(|result| !stalled(result)) {
        return SegmentSizeTest {
            result,
            over_small_segments: None,
            small_segments_pass: None,
            attempts: 2,
        };
    }
    let over_small_segments = small_result.filter(|result| !stalled(result));
    let small_segments_pass = Some(over_small_segments.is_some());
    SegmentSizeTest {
        result: first_result,
        over_small_segments,
        small_segments_pass,
        attempts: 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Err` is a stall.
    async fn after(seconds: u64, result: Result<&'static str, ()>) -> Result<&'static str, ()> {
        sleep(Duration::from_secs(seconds)).await;
        result
    }

    async fn test(
        first: (u64, bool),
        ordinary: (u64, bool),
        small: (u64, bool),
    ) -> (bool, Option<bool>, u32) {
        let result = |(seconds, works): (u64, bool)| {
            after(seconds, if works { Ok("answer") } else { Err(()) })
        };
        let retry = |options: ConnectOptions| {
            result(if options.small_segments {
                small
            } else {
                ordinary
            })
        };
        let test = retry_with_small_segments(result(first), retry, Result::is_err).await;
        assert_eq!(
            test.over_small_segments.is_some(),
            test.small_segments_pass == Some(true)
        );
        (test.result.is_ok(), test.small_segments_pass, test.attempts)
    }

    #[tokio::test(start_paused = true)]
    async fn reports_a_black_hole_only_if_small_segments_alone_get_through() {
        assert_eq!(
            test((0, true), (9, false), (9, false)).await,
            (true, None, 1),
            "fast"
        );
        assert_eq!(
            test((4, true), (1, true), (1, true)).await,
            (true, None, 1),
            "slow but working"
        );
        assert_eq!(
            test((5, false), (4, false), (1, true)).await,
            (false, Some(true), 3),
            "black hole"
        );
        assert_eq!(
            test((5, false), (4, false), (4, false)).await,
            (false, Some(false), 3),
            "silent at any size"
        );
        assert_eq!(
            test((5, false), (1, true), (1, true)).await,
            (true, None, 2),
            "stalled once"
        );
        assert_eq!(
            test((4, false), (9, true), (9, true)).await,
            (false, Some(false), 3),
            "retries are not awaited forever"
        );
    }
}
