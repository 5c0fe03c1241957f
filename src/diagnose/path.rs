//! The way there and back: routes, security groups, network ACLs, packet size.
//!
//! Silence is ambiguous by nature: every filter and every missing route of a VPC drops without a
//! word. What separates the candidates is which *other* addresses answer, over which way. Each rule
//! therefore says what would have to hold.

use super::{Confidence, Finding};
use crate::cause::Cause;
use crate::evidence::{Evidence, NetworkPath, Target};
use crate::observation::{
    Dependency, Failure, Observation, ObservationId, Phase, Scope, SourcePorts,
};

/// The silent connects of targets that are silent altogether.
fn silent(ev: Evidence<'_>, wanted: impl Fn(&Observation) -> bool) -> Vec<&Observation> {
    ev.silent_targets()
        .into_iter()
        .flat_map(|target| target.silent)
        .filter(|seen| wanted(seen))
        .collect()
}

fn answers(ev: Evidence<'_>, way: NetworkPath) -> bool {
    !ev.answering(way).is_empty()
}

/// Public addresses are silent. If another address on the internet answers, the default route
/// works, and only an odd route to single addresses remains. If nothing answers but the VPC's own
/// addresses or S3, there is no NAT gateway and no public address behind an internet gateway. S3
/// answering proves nothing here: a gateway endpoint is enough for it.
pub(super) fn no_egress_route(ev: Evidence<'_>) -> Vec<Finding> {
    let internet = silent(ev, |seen| ev.way(seen) == NetworkPath::Internet);
    let s3 = silent(ev, |seen| ev.way(seen) == NetworkPath::S3);
    let route_works = ev.same_version_answers(NetworkPath::Internet, &internet);
    let confidence = if route_works || internet.is_empty() {
        Confidence::Possible
    } else {
        Confidence::Likely
    };
    Finding::new(
        Cause::NoEgressRoute,
        confidence,
        internet.into_iter().chain(s3),
    )
    .into_iter()
    .collect()
}

/// The name of a service that has interface endpoints resolves to a public address, and that is
/// silent. Where another internet address answers, a missing endpoint would not stop anything.
/// Where neither the plan nor anything seen speaks of endpoints, the subnet was more likely built
/// for a NAT gateway; that it was to have endpoints cannot be excluded.
pub(super) fn interface_endpoint_missing(ev: Evidence<'_>) -> Vec<Finding> {
    let public = silent(ev, |seen| {
        ev.way(seen) == NetworkPath::Internet && seen.dependency.has_interface_endpoint()
    });
    if ev.same_version_answers(NetworkPath::Internet, &public) {
        return Vec::new();
    }
    let meant = has_endpoints(ev) || answers(ev, NetworkPath::S3) || ev.expects_private();
    let confidence = if meant {
        Confidence::Likely
    } else {
        Confidence::Possible
    };
    Finding::new(Cause::InterfaceEndpointMissing, confidence, public)
        .into_iter()
        .collect()
}

/// The layer bucket's public address is silent, and no internet address answers. Image pulls need
/// S3 besides ECR, and a gateway endpoint is the usual way where ECR is reached privately. A NAT
/// gateway would cure it too, hence never certain. Alone silent, it is the classic; beside others,
/// one filter or one missing route may explain everything.
pub(super) fn s3_gateway_missing(ev: Evidence<'_>) -> Vec<Finding> {
    let s3 = silent(ev, |seen| ev.way(seen) == NetworkPath::S3);
    if ev.same_version_answers(NetworkPath::Internet, &s3) {
        return Vec::new();
    }
    let alone = ev.silent_targets().iter().all(|target| {
        target
            .silent
            .iter()
            .all(|seen| ev.way(seen) == NetworkPath::S3)
    });
    let confidence = if alone && has_endpoints(ev) {
        Confidence::Likely
    } else {
        Confidence::Possible
    };
    let finding = Finding::new(Cause::S3GatewayMissing, confidence, s3);
    finding
        .map(|finding| finding.and(ev.answering(NetworkPath::Private)))
        .into_iter()
        .collect()
}

fn has_endpoints(ev: Evidence<'_>) -> bool {
    answers(ev, NetworkPath::Private) || !silent(ev, is_private).is_empty()
}

/// A private address is silent. An endpoint has a security group of its own, and one without
/// inbound 443 from the task is the commonest of these faults. While other private addresses
/// answer, the task's own filters would have to single this one out, which is odd.
pub(super) fn endpoint_security_group(ev: Evidence<'_>) -> Vec<Finding> {
    let private = silent(ev, is_of_an_endpoint);
    let others_answer = answers(ev, NetworkPath::Private);
    let stopped_at_the_border = others_answer && border_explains(ev);
    let confidence = if others_answer && !stopped_at_the_border {
        Confidence::Likely
    } else {
        Confidence::Possible
    };
    Finding::new(Cause::EndpointSecurityGroup, confidence, private)
        .into_iter()
        .collect()
}

/// Anything is silent. A security group's egress rules can allow any set of addresses, so silence
/// never excludes it; a group that is open to the endpoints but not to the S3 prefix list is a real
/// case. Nothing at all answering is its plainest form, and a network ACL's too.
pub(super) fn task_security_group_egress(ev: Evidence<'_>) -> Vec<Finding> {
    Finding::new(
        Cause::TaskSecurityGroupEgress,
        Confidence::Possible,
        silent(ev, |_| true),
    )
    .into_iter()
    .collect()
}

/// A network ACL is stateless: one that lets answers in on some ephemeral ports only shows as a
/// dependence on the source port, which a security group, being stateful, cannot cause. Ranges of
/// ports are proof. Ports here and there are nearly so: behind a NAT gateway, which takes ports of
/// its own, the ACL of its subnet shows like that, and so does an ACL that denies a range between
/// two others; a dead server behind a balancer, or a very lossy path, would be odd. Where
/// everything is silent an ACL is one of several; inside a subnet none acts, so an address there is
/// never its doing, and silence that begins exactly at the subnet's border is likely to be.
pub(super) fn network_acl(ev: Evidence<'_>) -> Vec<Finding> {
    for (confidence, by_port) in [
        (
            Confidence::Certain,
            SourcePorts::are_sorted as fn(&SourcePorts) -> bool,
        ),
        (Confidence::Likely, is_scattered),
    ] {
        let by_port = ev
            .of(Phase::Connect)
            .filter(|seen| seen.source_ports.as_ref().is_some_and(by_port));
        let outside = by_port.filter(|seen| seen.scope != Some(Scope::SameSubnet));
        if let Some(finding) = Finding::new(Cause::NetworkAcl, confidence, outside.clone()) {
            let blocking = outside.into_iter().any(|seen| !seen.passed());
            return vec![if blocking {
                finding
            } else {
                finding.not_blocking()
            }];
        }
    }
    let outside = silent(ev, |seen| seen.scope != Some(Scope::SameSubnet));
    let confidence = if border_explains(ev) {
        Confidence::Likely
    } else {
        Confidence::Possible
    };
    Finding::new(Cause::NetworkAcl, confidence, outside)
        .into_iter()
        .collect()
}

/// Addresses in the task's subnet answer, and no address outside it does.
fn border_explains(ev: Evidence<'_>) -> bool {
    let targets = ev.targets();
    let inside = |seen: &&Observation| seen.scope == Some(Scope::SameSubnet);
    let answering: Vec<_> = targets
        .iter()
        .flat_map(|target| &target.answering)
        .copied()
        .collect();
    let silent: Vec<_> = targets
        .iter()
        .flat_map(|target| &target.silent)
        .copied()
        .collect();
    !answering.is_empty()
        && silent.len() > 1
        && answering.iter().all(inside)
        && !silent.iter().any(inside)
}

/// Several ports are silent and several answer, in no order.
fn is_scattered(ports: &SourcePorts) -> bool {
    ports.silent.len() > 1 && !ports.answered.is_empty()
}

/// A service's private address is silent: a record that still points to an endpoint which is gone
/// looks exactly so, for a VPC drops what is sent to an address that nobody has. A record that
/// outlived the move to a NAT gateway is the same, and so is a whole zone that outlived its
/// endpoints. Where public addresses are silent as well and nothing private answers, one closed
/// filter is the explanation, not stale records besides.
pub(super) fn stale_name(ev: Evidence<'_>) -> Vec<Finding> {
    if !answers(ev, NetworkPath::Private) && !silent(ev, |seen| !is_private(seen)).is_empty() {
        return Vec::new();
    }
    Finding::new(
        Cause::NamePointsElsewhere,
        Confidence::Possible,
        silent(ev, is_of_an_endpoint),
    )
    .into_iter()
    .collect()
}

/// Some addresses of a name answer and some do not: one zone's endpoint address is dead. The puller
/// takes any of them, so the task starts, now and then late. The group of the endpoint itself is
/// the same for all its addresses; but a network ACL, the task's own group where its rules name
/// addresses, and a record that outlived one of several addresses look the same from here. Where
/// all that is silent is of one IP version, whose routes and rules are its own, whatever stops a
/// whole target stops that version.
pub(super) fn endpoint_address_unreachable(ev: Evidence<'_>) -> Vec<Finding> {
    use Confidence::{Likely, Possible};
    let partly: Vec<Target<'_>> = ev.partly_silent_targets();
    let dead: Vec<_> = partly
        .iter()
        .flat_map(|target| &target.silent)
        .copied()
        .collect();
    let split = partly
        .iter()
        .filter(|target| is_split_by_version(target))
        .flat_map(|target| &target.silent);
    let split: Vec<_> = split.copied().collect();
    let outside: Vec<_> = dead
        .iter()
        .copied()
        .filter(|seen| seen.scope != Some(Scope::SameSubnet))
        .collect();
    let private: Vec<_> = dead
        .iter()
        .copied()
        .filter(|seen| is_private(seen))
        .collect();
    let of_split = |way: NetworkPath| {
        split
            .iter()
            .copied()
            .filter(|seen| ev.way(seen) == way)
            .collect::<Vec<_>>()
    };
    let (services, s3) = (of_split(NetworkPath::Internet), of_split(NetworkPath::S3));
    let no_route =
        !ev.same_version_answers(NetworkPath::Internet, &[&services[..], &s3[..]].concat());
    let main = Finding::new(Cause::EndpointAddressUnreachable, Likely, dead.clone());
    let main = main
        .map(|finding| finding.and(partly.iter().flat_map(|target| &target.answering).copied()));
    let acl = Finding::new(Cause::NetworkAcl, Possible, outside).filter(|_| !any_by_port(ev));
    let by_version = [
        Finding::new(
            Cause::EndpointSecurityGroup,
            Possible,
            of_split(NetworkPath::Private),
        ),
        Finding::new(Cause::InterfaceEndpointMissing, Possible, services.clone())
            .filter(|_| no_route),
        Finding::new(Cause::S3GatewayMissing, Possible, s3.clone()).filter(|_| no_route),
        Finding::new(Cause::NoEgressRoute, Possible, [services, s3].concat()).filter(|_| no_route),
    ];
    let others = [
        Finding::new(Cause::NamePointsElsewhere, Possible, private),
        Finding::new(Cause::TaskSecurityGroupEgress, Possible, dead),
        acl,
    ];
    // What is already a candidate for more than this need not be said twice.
    let alone = ev.silent_targets().is_empty();
    let others = others
        .into_iter()
        .chain(by_version)
        .flatten()
        .filter(|_| alone);
    main.into_iter()
        .chain(others)
        .map(Finding::not_blocking)
        .collect()
}

/// Every silent address is of one IP version and every answering one of the other.
fn is_split_by_version(target: &Target<'_>) -> bool {
    let version = |seen: &&Observation| seen.peer.is_some_and(|peer| peer.is_ipv4());
    let mut silent = target.silent.iter().map(version);
    let Some(first) = silent.next() else {
        return false;
    };
    silent.all(|other| other == first)
        && target
            .answering
            .iter()
            .map(version)
            .all(|other| other != first)
}

fn any_by_port(ev: Evidence<'_>) -> bool {
    ev.of(Phase::Connect)
        .any(|seen| seen.source_ports.as_ref().is_some_and(is_scattered))
}

/// A refusal is an answer: neither a security group, nor a network ACL, nor a missing route can say
/// it. Somebody has the address and does not listen there, or a firewall answers for it; a name
/// that points to the wrong machine looks the same.
pub(super) fn refused(ev: Evidence<'_>) -> Vec<Finding> {
    let refused = ev
        .failed(&[Failure::Refused])
        .filter(|seen| seen.phase == Phase::Connect && seen.dependency != Dependency::Efs);
    let (partly, wholly): (Vec<_>, Vec<_>) =
        refused.partition(|seen| ev.works(seen.target(), Phase::Connect));
    [
        Finding::new(Cause::ConnectionRefused, Confidence::Likely, wholly.clone()),
        Finding::new(Cause::NamePointsElsewhere, Confidence::Possible, wholly),
        Finding::new(
            Cause::EndpointAddressUnreachable,
            Confidence::Likely,
            partly.clone(),
        )
        .map(Finding::not_blocking),
        Finding::new(Cause::ConnectionRefused, Confidence::Possible, partly)
            .map(Finding::not_blocking),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// An established connection is torn down before the answer. AWS's services do not do that to a
/// greeting; firewalls that read the server's name do.
pub(super) fn reset(ev: Evidence<'_>) -> Vec<Finding> {
    let torn = ev
        .failed(&[Failure::Reset])
        .filter(|seen| seen.host.len() > 1);
    Finding::new(Cause::ConnectionReset, Confidence::Likely, torn)
        .map(|finding| if_needed(ev, finding))
        .into_iter()
        .collect()
}

/// Payload of a full-sized packet on a path of 1,500 bytes, with TCP's timestamps (RFC 9293 section
/// 3.7.1).
pub(super) const SEGMENT: u64 = 1_448;

/// Linux repeats a SYN after one second; a connection that took nearly as long lost its first.
const SECOND_SYN_MS: u64 = 900;

/// It stalled three times with ordinary segments and went through twice with small ones, on the
/// same path at the same time: packet size is the difference, so something drops large packets and
/// the message that would say so. A target whose servers hang in turn could show that once, by
/// chance; it could not show it again, or go on working with small segments alone, and never show
/// the opposite: a stall that ended otherwise, or large answers with ordinary segments. Where
/// connections needed a second SYN the path loses packets of any size, and luck is the other
/// explanation.
pub(super) fn mtu_black_hole(ev: Evidence<'_>) -> Vec<Finding> {
    let shows = || {
        ev.all()
            .filter(|seen| seen.failure().is_some() && seen.small_segments_pass == Some(true))
    };
    let beside = || {
        ev.all()
            .filter(|seen| shows().any(|stalled| stalled.target() == seen.target()))
    };
    let goes_on = beside().filter(|seen| seen.passed() && seen.small_segments_pass == Some(true));
    let opposite = beside().any(|seen| {
        let stalled_otherwise = seen.phase.is_exchange() && seen.passed() && seen.attempts > 1;
        let large = seen.phase == Phase::Blob
            || seen
                .answer
                .as_ref()
                .is_some_and(|answer| answer.bytes > SEGMENT);
        let ordinary = seen.passed() && seen.small_segments_pass.is_none() && large;
        let of_the_kind =
            shows().any(|stalled| stalled.target() == seen.target() && stalled.phase == seen.phase);
        seen.small_segments_pass == Some(false) || stalled_otherwise || ordinary && of_the_kind
    });
    let lossy = ev
        .of(Phase::Connect)
        .any(|seen| seen.passed() && seen.elapsed_ms >= SECOND_SYN_MS);
    let confirmed = shows().count() + goes_on.count() > 1;
    let confidence = if confirmed && !opposite && !lossy {
        Confidence::Certain
    } else {
        Confidence::Likely
    };
    Finding::new(Cause::MtuBlackHole, confidence, shows())
        .into_iter()
        .collect()
}

/// Connected, TLS done, the request sent, and nothing comes, whatever the packets' size; or a
/// service that says itself, three times, that it is broken, or takes no further connection. The
/// path is proven by the handshake, so the service or a proxy in front of it hangs.
pub(super) fn service_unresponsive(ev: Evidence<'_>) -> Vec<Finding> {
    let mute = ev
        .failed(&[
            Failure::TimedOut,
            Failure::Stalled,
            Failure::ServiceFailure,
            Failure::Refused,
            Failure::Unreachable,
        ])
        .filter(|seen| seen.phase.is_exchange() && seen.phase != Phase::Mount)
        .filter(|seen| !seen.host.is_empty() && seen.small_segments_pass != Some(true));
    Finding::new(Cause::ServiceUnresponsive, Confidence::Likely, mute)
        .into_iter()
        .collect()
}

/// The ECS agent gives a call five seconds in all (facts: ecs-start, section 2). An answer that
/// takes more than three leaves it one unlucky moment away; a body that never ends in time is
/// already past it. Whether the service or a path that loses every other packet takes the time is
/// not seen, hence not certain.
pub(super) fn service_slow(ev: Evidence<'_>) -> Vec<Finding> {
    const SLOW_MS: u64 = 3_000;
    let slow = ev.all().filter(|seen| {
        seen.passed()
            && seen.phase.is_exchange()
            && seen
                .answer
                .as_ref()
                .is_some_and(|a| a.first_byte_ms > SLOW_MS)
    });
    let late = ev.failed(&[Failure::TooSlow]);
    [
        Finding::new(Cause::ServiceSlow, Confidence::Likely, late),
        Finding::new(Cause::ServiceSlow, Confidence::Likely, slow).map(Finding::not_blocking),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A mount target is no endpoint: its silence is [`super::storage`]'s.
fn is_of_an_endpoint(seen: &Observation) -> bool {
    is_private(seen) && seen.dependency != Dependency::Efs
}

fn is_private(seen: &Observation) -> bool {
    matches!(seen.scope, Some(Scope::SameSubnet | Scope::Private))
}

/// What happens at one address stops nothing while another address of the same name works.
pub(super) fn if_needed(ev: Evidence<'_>, finding: Finding) -> Finding {
    let target_works = |id: &ObservationId| {
        matches!(id.phase, Phase::Connect | Phase::Handshake) && ev.works(&id.target, id.phase)
    };
    if finding.because.iter().all(target_works) {
        finding.not_blocking()
    } else {
        finding
    }
}
