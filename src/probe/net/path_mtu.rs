//! Telling packet size from everything else that makes an exchange stall.

use std::time::Duration;

use tokio::time::sleep;

use crate::probe::net::tcp::Shape;

/// An exchange without progress for this long is tried again beside itself: a round trip around the
/// earth and a retransmission. A healthy service answers in a tenth of it.
const SUSPICIOUS_AFTER: Duration = Duration::from_millis(1_500);

/// The second tries may go on for this long after the first has stalled: it has had a head start,
/// and they had three seconds already.
const GRACE: Duration = Duration::from_millis(200);

/// What the tries came to.
pub struct Watched<T> {
    /// The first try's end, or that of the ordinary second one where it did better.
    pub outcome: T,
    /// The end of the try with small segments, where it alone got through.
    pub through_small: Option<T>,
    /// Whether small segments got through where ordinary ones did not; none if nothing stalled.
    pub small_segments_pass: Option<bool>,
    /// First try, control, small segments: those that counted.
    pub attempts: u32,
}

/// Awaits `first`. If it is slow, `again` is begun with ordinary segments, as a control, and with
/// small ones, each twice. Only when every ordinary try stalls and no small one does is packet size
/// the difference: a service that hangs now and then, or one of whose servers does, would otherwise
/// look like an MTU black hole.
pub async fn watch<T, G: Future<Output = T>>(
    first: impl Future<Output = T>,
    again: impl Fn(Shape) -> G,
    stalled: impl Fn(&T) -> bool,
) -> Watched<T> {
    let ordinary = async {
        sleep(SUSPICIOUS_AFTER).await;
        let (one, other) = tokio::join!(again(Shape::default()), again(Shape::default()));
        if stalled(&one) { other } else { one }
    };
    let small = async {
        sleep(SUSPICIOUS_AFTER).await;
        let shape = Shape {
            small_segments: true,
            ..Shape::default()
        };
        let once = again(shape).await;
        if stalled(&once) {
            once
        } else {
            again(shape).await
        }
    };
    tokio::pin!(first, ordinary, small);
    let (mut ordinary_end, mut small_end) = (None, None);
    let first_end = loop {
        tokio::select! {
            end = &mut first => break end,
            end = &mut ordinary, if ordinary_end.is_none() => ordinary_end = Some(end),
            end = &mut small, if small_end.is_none() => small_end = Some(end),
        }
    };
    if !stalled(&first_end) {
        return Watched {
            outcome: first_end,
            through_small: None,
            small_segments_pass: None,
            attempts: 1,
        };
    }
    let grace = sleep(GRACE);
    tokio::pin!(grace);
    while ordinary_end.is_none() || small_end.is_none() {
        tokio::select! {
            end = &mut ordinary, if ordinary_end.is_none() => ordinary_end = Some(end),
            end = &mut small, if small_end.is_none() => small_end = Some(end),
            () = &mut grace => break,
        }
    }
    if let Some(outcome) = ordinary_end.filter(|end| !stalled(end)) {
        return Watched {
            outcome,
            through_small: None,
            small_segments_pass: None,
            attempts: 2,
        };
    }
    let through_small = small_end.filter(|end| !stalled(end));
    let small_segments_pass = Some(through_small.is_some());
    Watched {
        outcome: first_end,
        through_small,
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

    async fn story(
        first: (u64, bool),
        ordinary: (u64, bool),
        small: (u64, bool),
    ) -> (bool, Option<bool>, u32) {
        let ends = |(seconds, works): (u64, bool)| {
            after(seconds, if works { Ok("answer") } else { Err(()) })
        };
        let again = |shape: Shape| {
            ends(if shape.small_segments {
                small
            } else {
                ordinary
            })
        };
        let watched = watch(ends(first), again, Result::is_err).await;
        assert_eq!(
            watched.through_small.is_some(),
            watched.small_segments_pass == Some(true)
        );
        (
            watched.outcome.is_ok(),
            watched.small_segments_pass,
            watched.attempts,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_stall_that_small_segments_alone_survive_is_about_size() {
        assert_eq!(
            story((0, true), (9, false), (9, false)).await,
            (true, None, 1),
            "quick"
        );
        assert_eq!(
            story((4, true), (1, true), (1, true)).await,
            (true, None, 1),
            "slow but working"
        );
        assert_eq!(
            story((5, false), (4, false), (1, true)).await,
            (false, Some(true), 3),
            "black hole"
        );
        assert_eq!(
            story((5, false), (4, false), (4, false)).await,
            (false, Some(false), 3),
            "silent at any size"
        );
        assert_eq!(
            story((5, false), (1, true), (1, true)).await,
            (true, None, 2),
            "hung once"
        );
        assert_eq!(
            story((4, false), (9, true), (9, true)).await,
            (false, Some(false), 3),
            "not waited for for ever"
        );
    }
}
