//! Durations of flags, such as 30s or 24h.

use std::ops::RangeInclusive;
use std::time::Duration;

/// What a flag accepts: a number and a unit.
struct DurationFormat {
    /// Suffixes and their length.
    units: &'static [(&'static str, Duration)],
    /// Whether the number may have a fraction.
    fractions: bool,
    range: RangeInclusive<Duration>,
    /// The error for a text that is not accepted.
    expected: &'static str,
}

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Parses the duration of a run, or a timeout. A day is longer than any run, and short enough that
/// no sum of times overflows.
pub(super) fn run_duration(text: &str) -> Result<Duration, String> {
    const FORMAT: DurationFormat = DurationFormat {
        units: &[
            ("ms", Duration::from_millis(1)),
            ("s", Duration::from_secs(1)),
            ("", Duration::from_secs(1)),
            ("m", MINUTE),
            ("h", HOUR),
        ],
        fractions: true,
        range: Duration::from_millis(100)..=DAY,
        expected: "expected a number with ms, s, m or h, from 100ms to 24h, such as 500ms, 30s or 2m",
    };
    FORMAT.parse(text)
}

/// Parses the age of a report. CloudWatch Logs keeps events for at most ten years, unless it keeps
/// them forever (API reference, PutRetentionPolicy).
#[cfg(feature = "operator")]
pub(super) fn age(text: &str) -> Result<Duration, String> {
    const FORMAT: DurationFormat = DurationFormat {
        units: &[("m", MINUTE), ("h", HOUR), ("d", DAY)],
        fractions: false,
        range: MINUTE..=Duration::from_hours(24 * 3_653),
        expected: "expected a whole number with m, h or d, such as 90m, 24h or 7d",
    };
    FORMAT.parse(text)
}

/// Parses the interval of a schedule and returns its minutes. A task takes up to a few minutes to
/// start, so that with less than five minutes runs would overlap; an alarm evaluates at most seven
/// days, and needs three intervals (CloudWatch API reference, PutMetricAlarm).
#[cfg(feature = "operator")]
pub(super) fn interval_minutes(text: &str) -> Result<u32, String> {
    const FORMAT: DurationFormat = DurationFormat {
        units: &[("m", MINUTE), ("h", HOUR)],
        fractions: false,
        range: Duration::from_mins(5)..=DAY,
        expected: "expected whole minutes or hours from 5m to 24h, such as 15m or 6h",
    };
    let minutes = FORMAT.parse(text)?.as_secs() / 60;
    u32::try_from(minutes).map_err(|_| FORMAT.expected.to_owned())
}

impl DurationFormat {
    fn parse(&self, text: &str) -> Result<Duration, String> {
        self.read(text)
            .filter(|duration| self.range.contains(duration))
            .ok_or_else(|| self.expected.to_owned())
    }

    fn read(&self, text: &str) -> Option<Duration> {
        let is_number = |c: char| c.is_ascii_digit() || (self.fractions && c == '.');
        let (number, unit) = text.split_at(text.find(|c| !is_number(c)).unwrap_or(text.len()));
        let (_, scale) = self.units.iter().find(|(suffix, _)| *suffix == unit)?;
        if self.fractions {
            let number: f64 = number.parse().ok()?;
            Duration::try_from_secs_f64(number * scale.as_secs_f64()).ok()
        } else {
            let number: u64 = number.parse().ok()?;
            number.checked_mul(scale.as_secs()).map(Duration::from_secs)
        }
    }
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
        ] {
            assert!(run_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    #[cfg(feature = "operator")]
    fn ages_have_units_and_bounds() {
        assert_eq!(age("90m"), Ok(Duration::from_mins(90)));
        assert_eq!(age("7d"), Ok(Duration::from_hours(168)));
        for wrong in [
            "",
            "7",
            "d",
            "0h",
            "-1h",
            "1w",
            "99999999999999999999d",
            "99999d",
            "1.5h",
        ] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    #[cfg(feature = "operator")]
    fn intervals_have_units_and_bounds() {
        assert_eq!(interval_minutes("15m"), Ok(15));
        assert_eq!(interval_minutes("24h"), Ok(1_440));
        for wrong in [
            "",
            "m",
            "4m",
            "25h",
            "1441m",
            "15",
            "1.5h",
            "-5m",
            "99999999999h",
            "30s",
        ] {
            assert!(interval_minutes(wrong).is_err(), "{wrong}");
        }
    }
}
