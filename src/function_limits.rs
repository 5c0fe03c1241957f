//! What a Lambda function cannot show about a task's start. It becomes `not-checked`, with the
//! reason: a function has the subnet, the security groups and the resolvers of the task, but not
//! its role, public address, metadata or clock.

use serde::{Deserialize, Serialize};

use crate::cause::{Cause, Family};
use crate::diagnose::{Diagnosis, diagnose};
use crate::evidence::Evidence;
use crate::network_location::{IpFamily, is_public};
use crate::observation::{
    Dependency, Failure, Observation, ObservationId, Outcome, Phase, Scope, TargetKey,
};
use crate::safe_text::{SafeText, safe_text};

/// The task for which a function stands in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RehearsedTask {
    /// ARN of the task execution role.
    pub execution_role: Option<String>,
    /// ARN of the role with which the function runs.
    pub function_role: Option<String>,
    /// Whether the task gets a public IPv4 address (`assignPublicIp` is `ENABLED`).
    pub assigns_public_ip: bool,
    /// The IP versions of its subnet.
    pub ip_family: Option<IpFamily>,
}

impl RehearsedTask {
    /// Whether the function runs with the task execution role.
    fn has_execution_role(&self) -> bool {
        self.execution_role.is_some() && self.execution_role == self.function_role
    }
}

/// Returns why the observation shows nothing about a task; `None` if it does.
type Limit = fn(Evidence<'_>, &RehearsedTask, &Observation) -> Option<SafeText>;

const LIMITS: &[Limit] = &[
    ipv6_only,
    denial_of_another_role,
    absence_to_another_role,
    own_credentials,
    public_address,
    public_resolver,
    clock,
    metadata,
];

/// Diagnoses what a function observed, after marking what it cannot show as `not-checked`.
pub fn diagnose_in_function(
    observations: &mut Vec<Observation>,
    task: &RehearsedTask,
) -> Diagnosis {
    let limited: Vec<_> = observations
        .iter()
        .map(|seen| {
            let evidence = Evidence::new(observations);
            LIMITS.iter().find_map(|limit| limit(evidence, task, seen))
        })
        .collect();
    let mut unchecked: Vec<ObservationId> = Vec::new();
    for (seen, why) in observations.iter_mut().zip(limited) {
        if let Some(why) = why {
            unchecked.push(seen.id.clone());
            seen.outcome = Outcome::NotChecked { why };
        }
    }
    // What works elsewhere does not exclude a cause on a path that was not checked.
    let has_open_path = unchecked
        .iter()
        .any(|id| matches!(id.phase, Phase::Resolve | Phase::Connect));
    follow(observations, unchecked);
    if !task.has_execution_role() && observations.iter().any(is_credentials) {
        let last = observations.iter().rposition(is_credentials);
        observations.insert(last.map_or(0, |at| at + 1), permissions_not_checked(task));
    }
    let mut diagnosis = diagnose(observations);
    diagnosis
        .ruled_out
        .retain(|excluded| can_exclude(task, excluded.cause, has_open_path));
    diagnosis
}

/// Marks as `not-checked` whatever needs one of these, directly or indirectly.
fn follow(observations: &mut [Observation], mut unchecked: Vec<ObservationId>) {
    while let Some(id) = unchecked.pop() {
        let name = id.to_string();
        for seen in &mut *observations {
            if matches!(&seen.outcome, Outcome::NotReached { blocked_by } if **blocked_by == *name)
            {
                let why = safe_text!["it needs ", &name, ", which was not checked"];
                seen.outcome = Outcome::NotChecked { why };
                unchecked.push(seen.id.clone());
            }
        }
    }
}

/// Whether AWS's answer depends on the permissions of the probe's own role. Requests for layers are
/// signed by Amazon ECR, and those to other registries carry no AWS credentials.
fn is_by_role(seen: &Observation) -> bool {
    seen.phase.is_exchange()
        && matches!(
            seen.dependency,
            Dependency::EcrApi
                | Dependency::EcrDkr
                | Dependency::Logs
                | Dependency::SecretsManager
                | Dependency::Ssm
                | Dependency::EnvironmentFile
        )
}

/// Lambda does not attach functions to a subnet without IPv4 addresses (Lambda developer guide,
/// "IPv6 support": a function needs a dual-stack subnet), so a function cannot run where the task
/// does.
fn ipv6_only(_: Evidence<'_>, task: &RehearsedTask, seen: &Observation) -> Option<SafeText> {
    (task.ip_family == Some(IpFamily::Ipv6) && seen.witness.is_none()).then(|| {
        "the subnet is IPv6-only, and Lambda attaches functions only to subnets with IPv4 addresses".into()
    })
}

/// A denial to the function's own role proves that the service was reached, but nothing about the
/// task execution role: any policy, including that of an endpoint or a key, may name roles. The log
/// driver opens its stream with the task execution role, before the container starts.
fn denial_of_another_role(
    _: Evidence<'_>,
    task: &RehearsedTask,
    seen: &Observation,
) -> Option<SafeText> {
    let is_denial =
        seen.failure() == Some(Failure::Denied) && seen.is_of_the_service() && is_by_role(seen);
    if !is_denial || task.has_execution_role() {
        return None;
    }
    let meaning = if seen.phase == Phase::Write {
        " answered, so the path works; it denied the log stream to the function's own role, and the log driver opens it as "
    } else {
        " answered, so the path works; it denied the request to the function's own role, which shows nothing about "
    };
    Some(safe_text![
        seen.dependency.service(),
        meaning,
        execution_role(task),
    ])
}

/// Amazon ECR reports that an image behind a pull-through cache does not exist if the caller may
/// not import it or create its repository (Amazon ECR user guide, "Troubleshooting pull through
/// cache issues"), and the name does not show whether an image is behind a cache.
fn absence_to_another_role(
    _: Evidence<'_>,
    task: &RehearsedTask,
    seen: &Observation,
) -> Option<SafeText> {
    let is_absence = seen.failure() == Some(Failure::NotFound)
        && seen.dependency == Dependency::EcrDkr
        && seen.phase == Phase::Manifest;
    (is_absence && !task.has_execution_role()).then(|| {
        safe_text![
            "Amazon ECR responded, so the path works; it also reports that an image does not exist if the function's own \
             role may not import it through a pull-through cache, which shows nothing about ",
            execution_role(task),
        ]
    })
}

/// Missing or expired credentials are the function's, not the task's.
fn own_credentials(_: Evidence<'_>, task: &RehearsedTask, seen: &Observation) -> Option<SafeText> {
    let is_about_keys = match seen.failure() {
        Some(Failure::NoCredentials) => is_credentials(seen),
        Some(Failure::ExpiredToken) => is_credentials(seen) || is_by_role(seen),
        _ => false,
    };
    (is_about_keys && !task.has_execution_role()).then(|| {
        "the function's own credentials could not be used; a task has those of the task execution role"
            .into()
    })
}

/// A function never has a public IPv4 address, so an internet gateway drops what it sends. If
/// another public address answers on the same path, there is a NAT gateway or an endpoint, and the
/// silence of this one counts.
fn public_address(
    evidence: Evidence<'_>,
    task: &RehearsedTask,
    seen: &Observation,
) -> Option<SafeText> {
    let is_silent = seen.phase == Phase::Connect
        && matches!(
            seen.failure(),
            Some(Failure::TimedOut | Failure::Unreachable)
        )
        && seen.scope == Some(Scope::Public)
        && seen.peer.is_some_and(|peer| peer.is_ipv4())
        && !evidence.cannot_be_of_a_service(seen);
    let is_limited = task.assigns_public_ip
        && is_silent
        && !evidence.same_version_answers(evidence.network_path(seen), &[seen]);
    is_limited.then(|| PUBLIC_ADDRESS.into())
}

const PUBLIC_ADDRESS: &str = "the task gets a public IPv4 address (assignPublicIp is ENABLED), and an AWS Lambda function \
    never has one, so this address may fail to respond only to the function";

/// The same for a resolver at a public address.
fn public_resolver(_: Evidence<'_>, task: &RehearsedTask, seen: &Observation) -> Option<SafeText> {
    let is_silent = seen.phase == Phase::Resolve && seen.failure() == Some(Failure::TimedOut);
    let is_public = seen.lookups.iter().any(|lookup| {
        let asked = lookup.unanswered.iter().chain([&lookup.resolver]);
        asked
            .into_iter()
            .any(|server| server.is_ipv4() && is_public(server.ip()))
    });
    (task.assigns_public_ip && is_silent && is_public).then(|| PUBLIC_ADDRESS.into())
}

/// A function runs on a machine of Lambda, which has another clock than the task's.
fn clock(_: Evidence<'_>, _: &RehearsedTask, seen: &Observation) -> Option<SafeText> {
    let is_skewed = seen.failure() == Some(Failure::ClockSkewed)
        || seen.dependency == Dependency::Clock && seen.failure().is_some();
    is_skewed.then(|| "this is the clock of the function, not that of a task".into())
}

/// The task metadata and container credentials endpoints exist only in a task.
fn metadata(_: Evidence<'_>, _: &RehearsedTask, seen: &Observation) -> Option<SafeText> {
    (seen.dependency == Dependency::Metadata && seen.witness.is_none()).then(|| {
        "an AWS Lambda function has neither the task metadata endpoint nor the container credentials endpoint; its \
         credentials are in its environment"
            .into()
    })
}

fn is_credentials(seen: &Observation) -> bool {
    seen.dependency == Dependency::Credentials
}

/// Returns an observation that the permissions of the task execution role were not checked, even if
/// another role may do everything that was tried.
fn permissions_not_checked(task: &RehearsedTask) -> Observation {
    let own_role = match &task.function_role {
        Some(role) => role.into(),
        None => SafeText::from("a role of its own"),
    };
    let why = safe_text![
        "this function runs as ",
        own_role,
        ", not as ",
        execution_role(task),
    ];
    let mut observation = Observation::new(
        TargetKey::of(Dependency::Credentials),
        Dependency::Credentials,
        Phase::Authorize,
        Outcome::NotChecked { why },
    );
    observation.subject.clone_from(&task.execution_role);
    observation.attempts = 0;
    observation
}

fn execution_role(task: &RehearsedTask) -> SafeText {
    match &task.execution_role {
        Some(role) => safe_text!["the task execution role ", role],
        None => "the task execution role".into(),
    }
}

/// Whether what works for a function can exclude the cause for a task. Another role shows nothing
/// about permissions and credentials, and a function's interface carries smaller packets than a
/// task's.
fn can_exclude(task: &RehearsedTask, cause: Cause, has_open_path: bool) -> bool {
    match cause.family() {
        Family::Network | Family::Resolve | Family::Tls if has_open_path => false,
        Family::Permission | Family::Credentials => {
            cause != Cause::ClockSkew && task.has_execution_role()
        }
        _ => cause != Cause::MtuBlackHole,
    }
}
