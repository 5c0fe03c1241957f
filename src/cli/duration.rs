//! Durations of flags, such as 30s or 24h.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Units of every flag, and their length. A number without one is in seconds.
const UNITS: [(&str, Duration); 6] = [
    ("ms", Duration::from_millis(1)),
    ("s", Duration::from_secs(1)),
    ("", Duration::from_secs(1)),
    ("m", MINUTE),
    ("h", Duration::from_hours(1)),
    ("d", DAY),
];

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// Parses the duration of a run, or a timeout. A day is longer than any run, and short enough that
/// no sum of times overflows.
pub(super) fn run_duration(text: &str) -> Result<Duration, String> {
    read(
        text,
        Duration::from_millis(100)..=DAY,
        "from 100ms to 24h, such as 500ms, 30s or 2m",
    )
}

/// Parses the age of a report or a task. CloudWatch Logs keeps events for at most ten years, unless
/// it keeps them forever (API reference, PutRetentionPolicy).
#[cfg(feature = "operator")]
pub(super) fn age(text: &str) -> Result<Duration, String> {
    read(
        text,
        Duration::from_secs(1)..=Duration::from_hours(24 * 3_653),
        "from 1s to 3653d, such as 90m, 24h or 7d",
    )
}

/// Parses the interval of a schedule and returns its minutes. A task takes up to a few minutes to
/// start, so that with less than five minutes runs would overlap; an alarm evaluates at most seven
/// days, and needs three intervals (CloudWatch API reference, PutMetricAlarm).
#[cfg(feature = "operator")]
pub(super) fn interval_minutes(text: &str) -> Result<u32, String> {
    const EXPECTED: &str = "in whole minutes from 5m to 24h, such as 15m or 6h";
    let interval = read(text, Duration::from_mins(5)..=DAY, EXPECTED)?;
    let minutes = u32::try_from(interval.as_secs() / 60);
    minutes
        .ok()
        .filter(|minutes| Duration::from_mins(u64::from(*minutes)) == interval)
        .ok_or_else(|| expected(EXPECTED))
}

fn expected(range: &str) -> String {
    format!("expected a number with ms, s, m, h or d, {range}")
}

/// Reads a number and its unit.
fn read(text: &str, range: RangeInclusive<Duration>, accepted: &str) -> Result<Duration, String> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let (number, unit) = text.split_at(text.find(|c| !is_number(c)).unwrap_or(text.len()));
    let scale = UNITS.iter().find(|(suffix, _)| *suffix == unit);
    scale
        .zip(number.parse::<f64>().ok())
        .and_then(|((_, scale), number)| {
            Duration::try_from_secs_f64(number * scale.as_secs_f64()).ok()
        })
        .filter(|duration| range.contains(duration))
        .ok_or_else(|| expected(accepted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_durations_have_units_and_bounds() {
        assert_eq!(run_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(run_duration("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(run_duration("24h"), Ok(Duration::from_hours(24)));
        assert_eq!(run_duration("1.5"), Ok(Duration::from_millis(1_500)));
        for wrong in [
            "",
            "s",
            "30h",
            "-1s",
            "1e99s",
            "0s",
            "99999999m",
            "NaN",
            ".",
            "2d",
        ] {
            assert!(run_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    #[cfg(feature = "operator")]
    fn ages_have_units_and_bounds() {
        assert_eq!(age("90m"), Ok(Duration::from_mins(90)));
        assert_eq!(age("7d"), Ok(Duration::from_hours(168)));
        assert_eq!(age("1.5h"), Ok(Duration::from_mins(90)));
        assert_eq!(age("30s"), Ok(Duration::from_secs(30)));
        for wrong in [
            "",
            "0.5",
            "d",
            "0h",
            "-1h",
            "1w",
            "99999999999999999999d",
            "99999d",
        ] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    #[cfg(feature = "operator")]
    fn intervals_have_units_and_bounds() {
        assert_eq!(interval_minutes("15m"), Ok(15));
        assert_eq!(interval_minutes("24h"), Ok(1_440));
        assert_eq!(interval_minutes("1.5h"), Ok(90));
        assert_eq!(interval_minutes("1d"), Ok(1_440));
        for wrong in [
            "",
            "m",
            "4m",
            "25h",
            "1441m",
            "15",
            "5.5m",
            "-5m",
            "99999999999h",
            "30s",
        ] {
            assert!(interval_minutes(wrong).is_err(), "{wrong}");
        }
    }
}
