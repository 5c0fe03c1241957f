//! The network path in both directions: routes, security groups, network ACLs, packet size.
//!
//! Silence is ambiguous by nature: every filter and every missing route of a VPC drops packets
//! without an error. What distinguishes the candidates is which *other* addresses answer, and over
//! which path. Each rule therefore says what would have to hold.

use std::collections::BTreeMap;

use super::{Confidence, Finding};
use crate::cause::Cause;
use crate::evidence::{Evidence, NetworkPath, TargetAddresses};
use crate::observation::{
    Dependency, Failure, Observation, ObservationId, Phase, Scope, SourcePorts, Speaker, Tries,
};

/// Returns the silent connection attempts to targets that have no answering address.
fn silent(ev: Evidence<'_>, matches: impl Fn(&Observation) -> bool) -> Vec<&Observation> {
    ev.silent_targets()
        .into_iter()
        .flat_map(|target| target.silent)
        .filter(|seen| matches(seen))
        .collect()
}

fn answers(ev: Evidence<'_>, path: NetworkPath) -> bool {
    !ev.answering(path).is_empty()
}

/// Public addresses are silent. If another address on the internet answers, the default route
/// works, and only an unusual route to individual addresses remains. If nothing answers but the
/// VPC's own addresses or S3, there is no NAT gateway and no public address behind an internet
/// gateway. S3 answering proves nothing here: a gateway endpoint is enough for it. If interface
/// endpoints answer, the subnet was built to work without internet access, and a missing route is
/// the less common explanation, unless a host that no endpoint serves is silent as well.
///
/// A task without a public address in a subnet that routes to an internet gateway sends the same
/// packets, and neither packets nor task metadata show a public address. This applies to IPv4 only.
pub(super) fn no_egress_route(ev: Evidence<'_>) -> Vec<Finding> {
    let internet = silent(ev, |seen| ev.network_path(seen) == NetworkPath::Internet);
    let s3 = silent(ev, |seen| ev.network_path(seen) == NetworkPath::S3);
    let route_works = ev.same_version_answers(NetworkPath::Internet, &internet);
    let needs_route = internet.iter().any(|seen| {
        !seen.dependency.has_interface_endpoint() && !ev.is_pull_through_upstream(seen)
    });
    let by_design = !needs_route && service_endpoint_answers(ev);
    let confidence = if route_works || internet.is_empty() || by_design {
        Confidence::Possible
    } else {
        Confidence::Likely
    };
    let silent = [internet, s3].concat();
    let ipv4 = ipv4_without_answer(ev, &silent);
    [
        Finding::new(Cause::NoEgressRoute, confidence, silent),
        Finding::new(Cause::PublicIpMissing, Confidence::Possible, ipv4),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Returns the rank of a finding among those of the same confidence, lowest first: a finding that
/// explains every silent address by itself; the others; and, if interface endpoints answer, a
/// missing route to the internet last, because such a subnet was built to work without one.
pub(super) fn rank(ev: Evidence<'_>, finding: &Finding) -> u8 {
    let is_internet_route = matches!(finding.cause, Cause::NoEgressRoute | Cause::PublicIpMissing);
    if is_internet_route && service_endpoint_answers(ev) {
        return 2;
    }
    let silent = silent(ev, |_| true);
    let explained = silent.iter().all(|seen| finding.because.contains(&seen.id));
    u8::from(silent.is_empty() || !explained)
}

/// Returns the IPv4 connections among `silent` if no IPv4 address on the internet answers: an
/// answer proves that the task's packets get a public address somewhere.
fn ipv4_without_answer<'a>(ev: Evidence<'_>, silent: &[&'a Observation]) -> Vec<&'a Observation> {
    let is_ipv4 = |seen: &&&Observation| seen.peer.is_none_or(|peer| peer.is_ipv4());
    let ipv4: Vec<_> = silent.iter().filter(is_ipv4).copied().collect();
    if ev.same_version_answers(NetworkPath::Internet, &ipv4) {
        return Vec::new();
    }
    ipv4
}

/// Whether an address of the VPC answers for a service that offers interface endpoints.
fn service_endpoint_answers(ev: Evidence<'_>) -> bool {
    ev.answering(NetworkPath::Private)
        .iter()
        .any(|seen| seen.dependency.has_interface_endpoint())
}

/// Amazon ECR redirects a layer to a host other than Amazon S3's: the image is in a pull-through
/// cache that does not have the layer yet, and the upstream registry's own host delivers it
/// (aws/containers-roadmap#2304). If that host does not resolve, is silent or refuses, no VPC
/// endpoint is at fault: the first pull needs a route out of the VPC to that one host.
pub(super) fn pull_through_upstream_unreachable(ev: Evidence<'_>) -> Vec<Finding> {
    let upstream = |seen: &&Observation| ev.is_pull_through_upstream(seen);
    let silent = silent(ev, |seen| ev.is_pull_through_upstream(seen));
    let refused = ev
        .failed(&[
            Failure::Refused,
            Failure::Reset,
            Failure::IcmpUnreachable,
            Failure::NoSuchName,
            Failure::NoAddress,
        ])
        .filter(|seen| matches!(seen.phase, Phase::Resolve | Phase::Connect))
        .filter(|seen| !ev.works(seen.target(), seen.phase))
        .filter(upstream);
    let unreachable: Vec<_> = silent.into_iter().chain(refused).collect();
    let redirect = ev.pull_through_redirects();
    let nameless: Vec<_> = unreachable
        .iter()
        .filter(|seen| seen.phase == Phase::Resolve)
        .copied()
        .collect();
    let main = Finding::new(
        Cause::PullThroughUpstreamUnreachable,
        Confidence::Likely,
        unreachable,
    );
    let main = main.map(|finding| {
        finding
            .and(redirect)
            .with_detail("Amazon ECR redirects to a host other than Amazon S3's")
    });
    [
        main,
        Finding::new(Cause::NameNotFound, Confidence::Possible, nameless),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The name of a service that offers an interface endpoint resolves to a public address, and that
/// address is silent. If another internet address answers, a missing endpoint would not matter. If
/// neither the plan nor any observation points to endpoints, the subnet was more likely built for a
/// NAT gateway, but missing endpoints cannot be excluded.
pub(super) fn interface_endpoint_missing(ev: Evidence<'_>) -> Vec<Finding> {
    let public = silent(ev, |seen| {
        ev.network_path(seen) == NetworkPath::Internet && seen.dependency.has_interface_endpoint()
    });
    if ev.same_version_answers(NetworkPath::Internet, &public) {
        return Vec::new();
    }
    let expected = has_endpoints(ev) || answers(ev, NetworkPath::S3) || ev.expects_private();
    let confidence = if expected {
        Confidence::Likely
    } else {
        Confidence::Possible
    };
    Finding::new(Cause::InterfaceEndpointMissing, confidence, public)
        .into_iter()
        .collect()
}

/// The layer bucket's public address is silent, and no internet address answers. Image pulls need
/// S3 in addition to ECR, and a gateway endpoint is the usual route if ECR is reached privately. A
/// NAT gateway would also fix it, so this is never certain. If only public addresses are silent and
/// interface endpoints answer, this is the classic case, possibly with other endpoints missing too;
/// if private addresses are silent as well, one filter may explain everything.
pub(super) fn s3_gateway_missing(ev: Evidence<'_>) -> Vec<Finding> {
    let s3 = silent(ev, |seen| ev.network_path(seen) == NetworkPath::S3);
    if ev.same_version_answers(NetworkPath::Internet, &s3) {
        return Vec::new();
    }
    let confidence = if silent(ev, is_private).is_empty() && service_endpoint_answers(ev) {
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

/// A private address is silent. An endpoint has its own security group, and a missing inbound rule
/// for TCP 443 from the task is the most common of these faults. If other private addresses answer,
/// the task's own filters would have to single this one out, which is unusual. A network ACL that
/// closes source ports elsewhere need not: each try has its own port, and unless a port test shows
/// otherwise, all of them may be closed.
pub(super) fn endpoint_security_group(ev: Evidence<'_>) -> Vec<Finding> {
    let private = silent(ev, is_of_an_endpoint);
    let others_answer = answers(ev, NetworkPath::Private);
    let stops_at_subnet_border = others_answer && border_explains(ev);
    let by_port = ev.answering(NetworkPath::Private).iter().any(|seen| {
        let ports = seen.source_ports.as_ref();
        ports.is_some_and(SourcePorts::are_sorted)
    });
    let by_port = by_port && private.iter().all(|seen| seen.source_ports.is_none());
    let confidence = if others_answer && !stops_at_subnet_border && !by_port {
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
/// case. In its plainest form nothing answers at all, which is also what a network ACL looks like.
pub(super) fn task_security_group_egress(ev: Evidence<'_>) -> Vec<Finding> {
    Finding::new(
        Cause::TaskSecurityGroupEgress,
        Confidence::Possible,
        silent(ev, |_| true),
    )
    .into_iter()
    .collect()
}

/// A network ACL is stateless: if it admits answers on some ephemeral ports only, the result
/// depends on the source port, which a security group, being stateful, cannot cause. Contiguous
/// ranges of ports are proof. Scattered ports are nearly so: behind a NAT gateway, which picks
/// source ports itself, the ACL of its subnet looks like that, and so does an ACL that denies a
/// range between two others; a dead server behind a load balancer, or a very lossy path, would be
/// unusual. If everything is silent, an ACL is one of several candidates. No ACL acts within a
/// subnet, so it never explains a silent address there, but likely explains silence that begins
/// exactly at the subnet's border.
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

/// Whether addresses in the task's subnet answer, and no address outside it does.
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

/// Whether several ports are silent and several answer, in any order.
fn is_scattered(ports: &SourcePorts) -> bool {
    ports.silent.len() > 1 && !ports.answered.is_empty()
}

/// A service's private address is silent: a record that still points to a deleted endpoint looks
/// exactly like this, because a VPC drops packets to an address that no interface has. The same
/// holds for a record that was left behind by a move to a NAT gateway, and for a whole zone whose
/// endpoints were deleted. If public addresses are silent as well and no private one answers, one
/// closed filter explains everything without stale records.
pub(super) fn stale_record(ev: Evidence<'_>) -> Vec<Finding> {
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

/// Some addresses of a name answer and some do not: the endpoint's address in one Availability Zone
/// is dead. The puller takes any of them, so the task starts, sometimes late. The endpoint's
/// security group is the same for all its addresses; but a network ACL, the task's security group
/// if its rules name addresses, and a stale record for one of several addresses look the same from
/// here. If all silent addresses are of one IP version, which has its own routes and rules,
/// whatever can silence a whole target can silence that version.
pub(super) fn endpoint_address_unreachable(ev: Evidence<'_>) -> Vec<Finding> {
    use Confidence::{Likely, Possible};
    let partly: Vec<TargetAddresses<'_>> = ev.partly_silent_targets();
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
    let of_split = |path: NetworkPath| {
        split
            .iter()
            .copied()
            .filter(|seen| ev.network_path(seen) == path)
            .collect::<Vec<_>>()
    };
    let (services, s3) = (of_split(NetworkPath::Internet), of_split(NetworkPath::S3));
    let no_route =
        !ev.same_version_answers(NetworkPath::Internet, &[&services[..], &s3[..]].concat());
    let away = [&services[..], &s3[..]].concat();
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
        Finding::new(Cause::NoEgressRoute, Possible, away.clone()).filter(|_| no_route),
        Finding::new(
            Cause::PublicIpMissing,
            Possible,
            ipv4_without_answer(ev, &away),
        ),
    ];
    let others = [
        Finding::new(Cause::NamePointsElsewhere, Possible, private),
        Finding::new(Cause::TaskSecurityGroupEgress, Possible, dead),
        acl,
    ];
    // Causes that are already candidates for a whole target are not listed again.
    let no_silent_target = ev.silent_targets().is_empty();
    let others = others
        .into_iter()
        .chain(by_version)
        .flatten()
        .filter(|_| no_silent_target);
    main.into_iter()
        .chain(others)
        .map(Finding::not_blocking)
        .collect()
}

/// Whether all silent addresses are of one IP version and all answering ones of the other.
fn is_split_by_version(target: &TargetAddresses<'_>) -> bool {
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

/// A refusal is an answer: neither a security group, nor a network ACL, nor a missing route can
/// send one. A host has the address and does not listen on the port, or a firewall answers for it;
/// a name that points to the wrong host looks the same. An ICMP message that the destination is
/// unreachable or prohibited comes from a router or firewall on the path, which is not AWS's
/// either: it rejects the packets or has no route for them.
pub(super) fn refused(ev: Evidence<'_>) -> Vec<Finding> {
    let refused = ev
        .failed(&[Failure::Refused, Failure::IcmpUnreachable])
        .filter(|seen| seen.phase == Phase::Connect && seen.dependency != Dependency::Efs)
        .filter(|seen| !ev.cannot_be_of_a_service(seen))
        .filter(|seen| !ev.is_pull_through_upstream(seen));
    let (partly, wholly): (Vec<_>, Vec<_>) =
        refused.partition(|seen| ev.works(seen.target(), Phase::Connect));
    let rejected = wholly
        .iter()
        .any(|seen| seen.failure() == Some(Failure::IcmpUnreachable));
    let whole = Finding::new(Cause::ConnectionRefused, Confidence::Likely, wholly.clone());
    [
        whole.map(|finding| {
            if rejected {
                finding.with_detail(
                    "a router or firewall on the path answers with ICMP \"destination unreachable\", \
                     which no security group, network ACL or VPC route table sends",
                )
            } else {
                finding
            }
        }),
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

/// An established connection is reset before the answer. AWS's services do not reset a connection
/// on a TLS ClientHello; firewalls that inspect the server name do.
pub(super) fn reset(ev: Evidence<'_>) -> Vec<Finding> {
    let reset = ev
        .failed(&[Failure::Reset])
        .filter(|seen| seen.host.len() > 1);
    Finding::new(Cause::ConnectionReset, Confidence::Likely, reset)
        .map(|finding| blocking_unless_sibling_works(ev, finding))
        .into_iter()
        .collect()
}

/// Payload of a full-sized packet on a path of 1,500 bytes, with TCP's timestamps (RFC 9293 section
/// 3.7.1).
pub(super) const SEGMENT: u64 = 1_448;

/// Linux retransmits a SYN after one second; a connection that took nearly as long lost its first
/// SYN.
const SECOND_SYN_MS: u64 = 900;

/// A phase failed, and worked when it was repeated: pullers and SDKs repeat it as well, so the task
/// starts, sometimes late. One broken server of several, or a device that limits connections, looks
/// the same as an intermittent fault of the path, so this is never certain. A filter by source port
/// explains silent connections by itself. Behind a NAT gateway, which picks a port for each
/// connection, a network ACL that closes some ports stops connections as if by chance; if that
/// happens at several addresses, it is possible, and no packet distinguishes it from a limit or
/// from loss.
pub(super) fn intermittent(ev: Evidence<'_>) -> Vec<Finding> {
    let by_port = ev.of(Phase::Connect).any(|seen| {
        seen.source_ports
            .as_ref()
            .is_some_and(SourcePorts::are_sorted)
    });
    let mut by_cause: BTreeMap<Cause, Vec<&Observation>> = BTreeMap::new();
    for seen in ev.all() {
        let mixed = seen.tries.is_some_and(Tries::are_mixed);
        if seen.passed() && mixed && seen.peer.is_some() {
            by_cause
                .entry(cause_of_earlier_failure(seen))
                .or_default()
                .push(seen);
        }
    }
    if by_port {
        by_cause.remove(&Cause::EndpointAddressUnreachable);
    }
    let silent = by_cause.get(&Cause::EndpointAddressUnreachable);
    let behind_nat: Vec<_> = silent
        .into_iter()
        .flatten()
        .filter(|seen| ev.network_path(seen) != NetworkPath::Private)
        .copied()
        .collect();
    let acl = (behind_nat.len() > 1).then(|| {
        let why = "; the network ACL of a NAT gateway's subnet that admits only some of the ports \
                   that the gateway picks may be the reason";
        counted(Cause::NetworkAcl, Confidence::Possible, behind_nat, why)
    });
    by_cause
        .into_iter()
        .map(|(cause, seen)| {
            let silent = [
                Cause::EndpointAddressUnreachable,
                Cause::TlsStalled,
                Cause::ServiceUnresponsive,
            ];
            let why = if silent.contains(&cause) {
                "; one server of several, or a limit on new or simultaneous connections, may be \
                 the reason"
            } else {
                ""
            };
            counted(cause, Confidence::Likely, seen, why)
        })
        .chain(acl)
        .flatten()
        .collect()
}

/// Returns a finding that does not prevent the task's start, with the sum of the tries of `seen`.
fn counted(
    cause: Cause,
    confidence: Confidence,
    seen: Vec<&Observation>,
    why: &str,
) -> Option<Finding> {
    let counts = seen.iter().filter_map(|seen| seen.tries);
    let tries = counts.fold(Tries { failed: 0, of: 0 }, |sum, tries| Tries {
        failed: sum.failed + tries.failed,
        of: sum.of + tries.of,
    });
    let detail = format!("{} of {} tries failed{why}", tries.failed, tries.of);
    let finding = Finding::new(cause, confidence, seen)?.not_blocking();
    Some(Finding {
        tries: Some(tries),
        ..finding.with_detail(&detail)
    })
}

/// Returns the cause that the failure would have had if it had persisted.
fn cause_of_earlier_failure(seen: &Observation) -> Cause {
    match (seen.phase, seen.earlier_failure) {
        (_, Some(Failure::Refused)) => Cause::ConnectionRefused,
        (Phase::Connect, _) => Cause::EndpointAddressUnreachable,
        (_, Some(Failure::Reset)) => Cause::ConnectionReset,
        (_, Some(Failure::UnknownIssuer)) => Cause::TlsIntercepted,
        (_, Some(Failure::WrongName)) => Cause::TlsWrongName,
        (_, Some(Failure::ExpiredCertificate | Failure::NotYetValidCertificate)) => {
            Cause::TlsExpired
        }
        (Phase::Handshake, Some(Failure::UnexpectedAnswer | Failure::HandshakeRefused)) => {
            Cause::NamePointsElsewhere
        }
        (Phase::Handshake, _) => Cause::TlsStalled,
        _ => Cause::ServiceUnresponsive,
    }
}

/// Ordinary segments stalled and small ones got through, in turns, on the same path at the same
/// time. It is next to impossible that so many alternations agree by chance, so something drops
/// large packets and the ICMP message that would report it; a few may agree by chance if servers
/// hang now and then. A later exchange that works with small segments shows nothing, because it had
/// no control with ordinary ones. Counterevidence is a stall of this target that ended differently,
/// or a large answer with ordinary segments. If connections needed a second SYN, the path loses
/// packets of any size, and chance is the other explanation. If no size gets through, packets
/// smaller than any that were tried may still be too large.
pub(super) fn mtu_black_hole(ev: Evidence<'_>) -> Vec<Finding> {
    let size_dependent = || {
        ev.all()
            .filter(|seen| seen.failure().is_some() && seen.small_segments_pass == Some(true))
    };
    let same_target = || {
        ev.all()
            .filter(|seen| size_dependent().any(|stalled| stalled.target() == seen.target()))
    };
    let opposite = same_target().any(|seen| {
        let ended_otherwise = seen.tries.is_some_and(Tries::are_mixed);
        let large = seen.phase == Phase::Blob
            || seen
                .answer
                .as_ref()
                .is_some_and(|answer| answer.bytes > SEGMENT);
        let ordinary = seen.passed() && seen.small_segments_pass.is_none() && large;
        let same_phase = size_dependent()
            .any(|stalled| stalled.target() == seen.target() && stalled.phase == seen.phase);
        seen.small_segments_pass == Some(false) || ended_otherwise || ordinary && same_phase
    });
    let lossy = ev
        .of(Phase::Connect)
        .any(|seen| seen.passed() && (seen.elapsed_ms >= SECOND_SYN_MS || seen.tries.is_some()));
    let confirmed = size_dependent().any(Observation::is_decided_by_size);
    let confidence = if confirmed && !opposite && !lossy {
        Confidence::Certain
    } else {
        Confidence::Likely
    };
    let any_size = ev
        .failed(&[Failure::TimedOut, Failure::Stalled])
        .filter(|seen| {
            seen.small_segments_pass == Some(false) && size_dependent().next().is_none()
        });
    let largest = size_dependent().filter_map(|seen| seen.largest_segment);
    let main = Finding::new(Cause::MtuBlackHole, confidence, size_dependent());
    let main = main.map(|finding| match largest.max() {
        Some(size) => finding.with_detail(&format!(
            "segments of {size} bytes get through: clamp the MSS to that"
        )),
        None => finding,
    });
    [
        main,
        Finding::new(Cause::MtuBlackHole, Confidence::Possible, any_size)
            .map(|finding| blocking_unless_sibling_works(ev, finding)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The connection and the TLS handshake succeed, the request is sent, and no answer comes, whatever
/// the packet size; or the service reports a server error three times, or does not accept another
/// connection. The handshake proves the path, so the service or a proxy in front of it hangs.
pub(super) fn service_unresponsive(ev: Evidence<'_>) -> Vec<Finding> {
    let unanswered = ev
        .failed(&[
            Failure::TimedOut,
            Failure::Stalled,
            Failure::ServiceFailure,
            Failure::Refused,
            Failure::Unreachable,
            Failure::IcmpUnreachable,
        ])
        .filter(|seen| seen.phase.is_exchange() && seen.phase != Phase::Mount)
        .filter(|seen| !seen.host.is_empty() && seen.small_segments_pass != Some(true))
        .filter(|seen| seen.speaker != Some(Speaker::Intermediary));
    Finding::new(Cause::ServiceUnresponsive, Confidence::Likely, unanswered)
        .into_iter()
        .collect()
}

/// An answer that takes longer comes close to the ECS agent's time limit.
pub(super) const SLOW_MS: u64 = 3_000;

/// The ECS agent allows five seconds for a whole call (docs/facts/ecs-start.md#2). An answer or a
/// handshake that takes more than three comes close to that; a body that does not end in time
/// exceeds it. Handshakes that only worked when repeated have their own rule. Whether
/// the service is slow or the path loses packets is not visible, so this is not certain.
pub(super) fn service_slow(ev: Evidence<'_>) -> Vec<Finding> {
    let slow = ev.all().filter(|seen| {
        let took_ms = match &seen.answer {
            _ if seen.phase == Phase::Handshake && seen.attempts == 1 => seen.elapsed_ms,
            Some(answer) if seen.phase.is_exchange() => answer.first_byte_ms,
            _ => 0,
        };
        seen.passed() && took_ms > SLOW_MS
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

/// A mount target is not a VPC endpoint: [`super::storage`] explains its silence.
fn is_of_an_endpoint(seen: &Observation) -> bool {
    is_private(seen) && seen.dependency != Dependency::Efs
}

fn is_private(seen: &Observation) -> bool {
    matches!(seen.scope, Some(Scope::SameSubnet | Scope::Private))
}

/// Returns the finding as non-blocking if every address that it rests on has a working sibling
/// under the same name.
pub(super) fn blocking_unless_sibling_works(ev: Evidence<'_>, finding: Finding) -> Finding {
    let target_works = |id: &ObservationId| {
        matches!(id.phase, Phase::Connect | Phase::Handshake) && ev.works(&id.target, id.phase)
    };
    if finding.because.iter().all(target_works) {
        finding.not_blocking()
    } else {
        finding
    }
}
