//! Adds an observation for everything in the plan that was not reached, so that the report covers
//! the whole plan.

use crate::observation::{Dependency, Observation, ObservationId, Outcome, Phase, TargetKey};
use crate::plan::{Plan, Target, TargetIndex, Unchecked};
use crate::safe_text::SafeText;

/// What ended a run before its checks were complete, as a noun phrase that follows "blocked by".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interruption(pub SafeText);

/// Adds `not-reached` for each planned phase without an observation, marks targets that do not
/// matter because another host is used, and sorts the observations.
pub fn fill_unreached(
    observations: &mut Vec<Observation>,
    plan: &Plan,
    interruption: Option<&Interruption>,
) {
    let missing: Vec<_> = plan
        .targets
        .iter()
        .flat_map(|target| target.phases.iter().map(move |&phase| (target, phase)))
        .filter(|(target, phase)| {
            !observations
                .iter()
                .any(|o| is(o, &target.key, *phase) && !is_unchecked_option(o))
        })
        .collect();
    for (target, phase) in missing {
        let redirected_to = if matches!(phase, Phase::Blob | Phase::Fetch) {
            redirect_hosts(observations, target)
        } else {
            Vec::new()
        };
        if observations.iter().any(|o| {
            (o.phase, phase) == (Phase::Fetch, Phase::Fetch) && redirected_to.contains(&o.host)
        }) {
            continue;
        }
        let failed_redirect = || {
            observations
                .iter()
                .find(|o| redirected_to.contains(&o.host) && o.failure().is_some())
        };
        let blocked_by: SafeText = blocker(observations, plan, target, phase)
            .or_else(|| failed_redirect().map(|failed| failed.id.clone()))
            .map(|id| id.to_string().into())
            .or_else(|| interruption.map(|interruption| interruption.0.clone()))
            .unwrap_or_else(|| "the phase before it".into());
        let mut unreached = Observation::new(
            target.key.clone(),
            target.dependency,
            phase,
            Outcome::NotReached { blocked_by },
        );
        unreached.host.clone_from(&target.host);
        unreached.attempts = 0;
        observations.push(unreached);
    }
    mark_superseded(observations, plan);
    mark_alternative(observations);
    observations.sort_by(|a, b| {
        (a.dependency, a.target(), a.phase, &a.id).cmp(&(b.dependency, b.target(), b.phase, &b.id))
    });
}

/// Returns an observation for each dependency that the task needs and the plan leaves unchecked.
pub fn observe_unchecked(plan: &Plan) -> impl Iterator<Item = Observation> {
    plan.unchecked
        .iter()
        .enumerate()
        .map(|(n, unchecked)| not_checked(n, unchecked))
}

fn not_checked(n: usize, unchecked: &Unchecked) -> Observation {
    let phase = match unchecked.dependency {
        Dependency::Efs => Phase::Mount,
        Dependency::EnvironmentFile => Phase::Fetch,
        Dependency::Registry => Phase::Manifest,
        _ => Phase::Write,
    };
    let outcome = Outcome::NotChecked {
        why: (&unchecked.why).into(),
    };
    let mut observation = Observation::new(
        TargetKey::of(unchecked.dependency),
        unchecked.dependency,
        phase,
        outcome,
    );
    observation.id.narrow(format_args!("unchecked-{n}"));
    observation.subject = Some(unchecked.subject.clone());
    observation.attempts = 0;
    observation
}

fn is(observation: &Observation, target: &TargetKey, phase: Phase) -> bool {
    observation.phase == phase && observation.target() == target
}

/// Returns the other hosts to which this registry redirects for its manifest or blobs. Each is a
/// separate target.
fn redirect_hosts(observations: &[Observation], target: &Target) -> Vec<String> {
    let blobs = observations
        .iter()
        .filter(|o| is(o, &target.key, Phase::Blob) || is(o, &target.key, Phase::Manifest))
        .filter(|o| o.passed());
    let hosts = blobs.filter_map(|o| o.answer.as_ref()?.redirect_host.clone());
    hosts.filter(|host| *host != target.host).collect()
}

/// Whether the observation is about a volume option that only a mount would check. It does not show
/// whether NFS responds.
fn is_unchecked_option(observation: &Observation) -> bool {
    observation.phase == Phase::Mount && matches!(observation.outcome, Outcome::NotChecked { .. })
}

/// Returns the failed observation that blocks this phase.
fn blocker(
    observations: &[Observation],
    plan: &Plan,
    target: &Target,
    phase: Phase,
) -> Option<ObservationId> {
    prerequisites(plan, target, phase)
        .into_iter()
        .find_map(|(key, phase)| {
            let mut reached = observations
                .iter()
                .filter(|o| is(o, &key, phase) && !matches!(o.outcome, Outcome::NotReached { .. }));
            let first = reached.next()?;
            let failed = std::iter::once(first).chain(reached).all(|o| !o.passed());
            failed.then(|| first.id.clone())
        })
}

/// Returns the phases that must succeed before this one can be tried, in order.
fn prerequisites(plan: &Plan, target: &Target, phase: Phase) -> Vec<(TargetKey, Phase)> {
    let own = target
        .phases
        .iter()
        .take_while(|&&earlier| earlier != phase)
        .map(|&p| (target.key.clone(), p));
    let own: Vec<_> = own.collect();
    let credentials = (TargetKey::of(Dependency::Credentials), Phase::Read);
    match phase {
        Phase::Resolve | Phase::Connect | Phase::Handshake | Phase::Mount => own,
        Phase::Authorize | Phase::Write | Phase::Read => {
            own.into_iter().chain([credentials]).collect()
        }
        Phase::Manifest | Phase::Blob | Phase::Fetch => {
            let is_this = |index: TargetIndex| plan.target(index).key == target.key;
            let image = plan
                .images
                .iter()
                .find(|image| is_this(image.registry) || image.layers.is_some_and(is_this));
            // Environment files need credentials, but no image.
            let Some(image) = image else {
                return own.into_iter().chain([credentials]).collect();
            };
            let whole = |index: TargetIndex| {
                let target = plan.target(index);
                target.phases.iter().map(|&p| (target.key.clone(), p))
            };
            let token: Vec<_> = image.token.into_iter().flat_map(whole).collect();
            let before = whole(image.registry).filter(|(key, p)| key != &target.key || *p < phase);
            token
                .into_iter()
                .chain([credentials])
                .chain(before)
                .chain(own)
                .collect()
        }
    }
}

/// If one host of Service Connect answers, marks the other as superseded. One is enough: without
/// the VPC endpoint, the proxy uses the host on the internet.
fn mark_alternative(observations: &mut [Observation]) {
    let answering = observations
        .iter()
        .find(|o| {
            o.dependency == Dependency::ServiceConnect && o.phase == Phase::Handshake && o.passed()
        })
        .map(|o| (o.target().clone(), o.host.clone()));
    let Some((target, host)) = answering else {
        return;
    };
    for observation in observations
        .iter_mut()
        .filter(|o| o.dependency == Dependency::ServiceConnect && *o.target() != target)
    {
        observation.superseded_by = Some(host.clone());
    }
}

/// Marks the planned layer bucket as superseded if every redirect names another host: the planned
/// one then does not matter to the task.
fn mark_superseded(observations: &mut [Observation], plan: &Plan) {
    for image in &plan.images {
        let Some(layers) = image.layers.map(|index| plan.target(index)) else {
            continue;
        };
        let serving_hosts: Vec<String> = observations
            .iter()
            .filter(|o| is(o, &plan.target(image.registry).key, Phase::Blob) && o.passed())
            .filter_map(|o| o.answer.as_ref())
            .map(|answer| {
                answer
                    .redirect_host
                    .clone()
                    .unwrap_or_else(|| "the registry itself".into())
            })
            .collect();
        let Some(other) = serving_hosts
            .first()
            .filter(|_| !serving_hosts.contains(&layers.host))
        else {
            continue;
        };
        for observation in observations
            .iter_mut()
            .filter(|o| *o.target() == layers.key)
        {
            observation.superseded_by = Some(other.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Failure;
    use crate::plan::{PlanInput, service_connect};

    /// Returns whether each host of Service Connect counts, depending on which ones answer.
    fn counts(answering: [bool; 2]) -> Vec<bool> {
        let region: crate::endpoints::Region = "eu-west-1".parse().unwrap();
        let input = PlanInput {
            connections: service_connect(&region).unwrap().into(),
            ..PlanInput::default()
        };
        let plan = Plan::new(input, region).unwrap();
        let observe = |(target, answers): (&Target, bool)| {
            let outcome = if answers {
                Outcome::Passed
            } else {
                Outcome::Failed {
                    failure: Failure::TimedOut,
                }
            };
            Observation::new(
                target.key.clone(),
                target.dependency,
                Phase::Handshake,
                outcome,
            )
        };
        let mut observations: Vec<_> = plan.targets.iter().zip(answering).map(observe).collect();
        fill_unreached(&mut observations, &plan, None);
        let of = |target: &Target| {
            let mut seen = observations.iter().filter(|o| *o.target() == target.key);
            seen.all(|o| o.superseded_by.is_none())
        };
        plan.targets.iter().map(of).collect()
    }

    #[test]
    fn one_host_of_service_connect_is_enough() {
        assert_eq!(counts([true, false]), [true, false]);
        assert_eq!(counts([false, true]), [false, true]);
        assert_eq!(counts([false, false]), [true, true], "both are reported");
    }
}
