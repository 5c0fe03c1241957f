//! `clock/read`: compares this machine's clock with those of the services.

use crate::observation::{
    Answer, Dependency, Failure, Observation, Outcome, Phase, Speaker, TargetKey,
};
use crate::vantage::ClockDrift;

/// AWS rejects a signature whose time is more than five minutes off (docs/facts/denials.md#5).
const MAX_CLOCK_SKEW_SECS: i64 = 300;

/// Returns the observation of the clock, from the `Date` headers of all responses and the task
/// metadata. The median decides, not a single server with a wrong clock.
pub fn check_clock(observations: &[Observation], drift: Option<&ClockDrift>) -> Observation {
    let offsets = offsets(observations);
    let median = median(&offsets);
    let outcome = match median {
        None if drift.is_some_and(|drift| drift.synchronized) => Outcome::Passed,
        None => Outcome::NotChecked {
            why: "no service sent a Date header".into(),
        },
        Some(offset) if offset.abs() > MAX_CLOCK_SKEW_SECS => Outcome::Failed {
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
    let mut details = Vec::new();
    if let Some(offset) = median {
        details.push(format!(
            "{} s from the median of {} services",
            -offset,
            offsets.len()
        ));
        observation.answer = Some(Answer {
            clock_offset_s: Some(offset),
            ..Answer::default()
        });
        observation.attempts = u32::try_from(offsets.len()).unwrap_or(u32::MAX);
    }
    if let Some(drift) = drift {
        let not = if drift.synchronized { "" } else { "not " };
        details.push(format!("ECS reports the clock as {not}synchronized"));
    }
    observation.detail = details.join("; ").into();
    observation
}

/// Returns the clock offset of each target in seconds, sorted. A target counts once: a registry
/// that sent a hundred layers still has one clock. Answers of intermediaries do not count, because
/// their dates are their own.
fn offsets(observations: &[Observation]) -> Vec<i64> {
    let mut by_target: Vec<(&TargetKey, i64)> = Vec::new();
    let foreign = |seen: &&Observation| seen.speaker == Some(Speaker::Intermediary);
    for observation in observations.iter().filter(|seen| !foreign(seen)) {
        let answer = observation.answer.as_ref();
        let Some(offset) = answer.and_then(|answer| answer.clock_offset_s) else {
            continue;
        };
        let target = observation.target();
        if by_target.iter().all(|(known, _)| *known != target) {
            by_target.push((target, offset));
        }
    }
    let mut offsets: Vec<i64> = by_target.into_iter().map(|(_, offset)| offset).collect();
    offsets.sort_unstable();
    offsets
}

/// Returns the median. Of two middle values, it is the one nearer to this machine's clock, which
/// counts as one more vote.
fn median(offsets: &[i64]) -> Option<i64> {
    let middle =
        offsets.len().div_ceil(2).saturating_sub(1)..(offsets.len() / 2 + 1).min(offsets.len());
    offsets
        .get(middle)?
        .iter()
        .copied()
        .min_by_key(|offset| offset.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(target: &str, offset: i64) -> Observation {
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
    fn one_server_with_a_wrong_clock_does_not_decide() {
        let agreed = [
            response("ecr.api", 0),
            response("logs", 1),
            response("s3", 4000),
            response("s3", 4000),
        ];
        assert!(check_clock(&agreed, None).passed());
        for outlier in [4000, -4000] {
            assert!(
                check_clock(&[response("ecr.api", 0), response("logs", outlier)], None).passed(),
                "{outlier}"
            );
        }
        let skewed = [
            response("ecr.api", -900),
            response("logs", -899),
            response("s3", -901),
        ];
        let observation = check_clock(&skewed, None);
        assert_eq!(observation.failure(), Some(Failure::ClockSkewed));
        assert!(
            observation.detail.starts_with("900 s"),
            "{}",
            observation.detail
        );
        assert!(matches!(
            check_clock(&[], None).outcome,
            Outcome::NotChecked { .. }
        ));
    }
}
