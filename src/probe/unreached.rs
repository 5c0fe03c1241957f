//! Filling in what was never reached, so that a report speaks of everything that was planned.

use crate::observation::{Dependency, Observation, Outcome, Phase, TargetKey};
use crate::plan::{Plan, Target, TargetIndex};

use crate::probe::Interruption;

/// Adds `not-reached` for each planned rung without an observation, marks targets that a redirect
/// made irrelevant, and sorts.
pub fn complete(observations: &mut Vec<Observation>, plan: &Plan, ended: Option<&Interruption>) {
    let missing: Vec<_> = plan
        .targets
        .iter()
        .flat_map(|target| target.phases.iter().map(move |&phase| (target, phase)))
        .filter(|(target, phase)| {
            !observations
                .iter()
                .any(|seen| is(seen, &target.key, *phase) && !is_option(seen))
        })
        .collect();
    for (target, phase) in missing {
        let elsewhere = if phase == Phase::Fetch {
            redirects(observations, target)
        } else {
            Vec::new()
        };
        if observations
            .iter()
            .any(|seen| seen.phase == Phase::Fetch && elsewhere.contains(&seen.host))
        {
            continue;
        }
        let failed_there = || {
            observations
                .iter()
                .find(|seen| elsewhere.contains(&seen.host) && seen.failure().is_some())
        };
        let blocked_by = blocker(observations, plan, target, phase)
            .or_else(|| failed_there().map(|seen| seen.id.to_string()))
            .or_else(|| ended.map(|ended| ended.0.clone()))
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
    supersede(observations, plan);
    observations.sort_by(|a, b| {
        (a.dependency, a.target(), a.phase, &a.id).cmp(&(b.dependency, b.target(), b.phase, &b.id))
    });
}

fn is(observation: &Observation, target: &TargetKey, phase: Phase) -> bool {
    observation.phase == phase && observation.target() == target
}

/// Other hosts to which this registry sends for its bytes. Those are targets of their own, and
/// `fetch` is theirs.
fn redirects(observations: &[Observation], target: &Target) -> Vec<String> {
    let blobs = observations
        .iter()
        .filter(|seen| is(seen, &target.key, Phase::Blob) && seen.passed());
    let hosts = blobs.filter_map(|seen| seen.answer.as_ref()?.redirect_host.clone());
    hosts.filter(|host| *host != target.host).collect()
}

/// An option of a volume that nobody tries says nothing of whether NFS was greeted.
fn is_option(seen: &Observation) -> bool {
    seen.phase == Phase::Mount && matches!(seen.outcome, Outcome::NotChecked { .. })
}

/// The id of the failed observation that stands before this rung.
fn blocker(
    observations: &[Observation],
    plan: &Plan,
    target: &Target,
    phase: Phase,
) -> Option<String> {
    needs(plan, target, phase)
        .into_iter()
        .find_map(|(key, phase)| {
            let mut seen = observations
                .iter()
                .filter(|o| is(o, &key, phase) && !matches!(o.outcome, Outcome::NotReached { .. }));
            let first = seen.next()?;
            let failed = std::iter::once(first).chain(seen).all(|o| !o.passed());
            failed.then(|| first.id.to_string())
        })
}

/// What has to work before this rung can be tried, first things first.
fn needs(plan: &Plan, target: &Target, phase: Phase) -> Vec<(TargetKey, Phase)> {
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
            // An environment file is asked for as the role.
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

/// A layer bucket is a guess until the registry's redirect names it. Where every redirect names
/// another host, what happens to the guessed one does not matter to the task.
fn supersede(observations: &mut [Observation], plan: &Plan) {
    for image in &plan.images {
        let Some(layers) = image.layers.map(|index| plan.target(index)) else {
            continue;
        };
        let served: Vec<String> = observations
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
        let Some(other) = served.first().filter(|_| !served.contains(&layers.host)) else {
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
