//! `clock/read`: this machine's clock against those of the services.

use crate::observation::{Answer, Dependency, Failure, Observation, Outcome, Phase, TargetKey};
use crate::vantage::ClockDrift;

/// AWS refuses a signature whose time is more than five minutes off (facts: denials, section 5).
const TOLERATED_S: i64 = 300;

/// What the answers' `Date` headers and the task metadata say of the clock. The median, so that one
/// server with a wrong clock of its own does not count.
pub fn observe(observations: &[Observation], drift: Option<&ClockDrift>) -> Observation {
    // One voice a target: a registry that answered for a hundred layers is still one clock.
    let mut voices: Vec<(&TargetKey, i64)> = Vec::new();
    for observation in observations {
        let offset = observation
            .answer
            .as_ref()
            .and_then(|answer| answer.clock_offset_s);
        if let Some(offset) = offset.filter(|_| {
            voices
                .iter()
                .all(|(target, _)| *target != observation.target())
        }) {
            voices.push((observation.target(), offset));
        }
    }
    voices.sort_by_key(|(_, offset)| *offset);
    // Of two in the middle the one nearer to this clock, which has a voice as well.
    let middle =
        voices.len().div_ceil(2).saturating_sub(1)..(voices.len() / 2 + 1).min(voices.len());
    let median = voices
        .get(middle)
        .unwrap_or_default()
        .iter()
        .map(|(_, offset)| *offset)
        .min_by_key(|o| o.abs());
    let outcome = match median {
        None if drift.is_some_and(|drift| drift.synchronized) => Outcome::Passed,
        None => Outcome::NotChecked {
            why: "no service sent a Date header".into(),
        },
        Some(offset) if offset.abs() > TOLERATED_S => Outcome::Failed {
            failure: Failure::ClockSkewed,
        },
        Some(_) => Outcome::Passed,
    };
    let mut observation = Observation::new(
        TargetKey::of(Dependency::Clock),
        Dependency::Clock,
        Phase::Read,
        outcome,
    );
    if let Some(offset) = median {
        observation.detail = format!("{} s from the median of {} services", -offset, voices.len());
        observation.answer = Some(Answer {
            clock_offset_s: Some(offset),
            ..Answer::default()
        });
        observation.attempts = u32::try_from(voices.len()).unwrap_or(u32::MAX);
    }
    if let Some(drift) = drift {
        let word = if drift.synchronized {
            "synchronized"
        } else {
            "not synchronized"
        };
        let said = std::mem::take(&mut observation.detail);
        let parts = [said, format!("ECS calls the clock {word}")];
        observation.detail = parts
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("; ");
    }
    observation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(target: &str, offset: i64) -> Observation {
        let mut observation = Observation::new(
            target.parse().unwrap(),
            Dependency::Logs,
            Phase::Write,
            Outcome::Passed,
        );
        observation.answer = Some(Answer {
            clock_offset_s: Some(offset),
            ..Answer::default()
        });
        observation
    }

    #[test]
    fn one_server_with_a_wrong_clock_is_outvoted_and_counts_once() {
        let agreed = [
            answered("ecr.api", 0),
            answered("logs", 1),
            answered("s3", 4000),
            answered("s3", 4000),
        ];
        assert!(observe(&agreed, None).passed());
        for lonely in [4000, -4000] {
            assert!(
                observe(&[answered("ecr.api", 0), answered("logs", lonely)], None).passed(),
                "{lonely}"
            );
        }
        let skewed = [
            answered("ecr.api", -900),
            answered("logs", -899),
            answered("s3", -901),
        ];
        let observation = observe(&skewed, None);
        assert_eq!(observation.failure(), Some(Failure::ClockSkewed));
        assert!(
            observation.detail.starts_with("900 s"),
            "{}",
            observation.detail
        );
        assert!(matches!(
            observe(&[], None).outcome,
            Outcome::NotChecked { .. }
        ));
    }
}
