//! Certificates and handshakes.

use super::path::blocking_unless_sibling_works;
use super::{Confidence, Finding};
use crate::cause::Cause;
use crate::evidence::Evidence;
use crate::observation::{Failure, Observation, Phase};

/// The chain leads to no root that the puller trusts. If the certificate carries the requested
/// name, a proxy issued it for this connection: that is interception and nothing else. If it does
/// not, the address may also belong to another host.
pub(super) fn untrusted_issuer(ev: Evidence<'_>) -> Vec<Finding> {
    let untrusted: Vec<_> = ev.failed(&[Failure::UnknownIssuer]).collect();
    let (forged, strange): (Vec<_>, Vec<_>) = untrusted
        .into_iter()
        .partition(|seen| carries_its_name(seen));
    let issuer = forged
        .iter()
        .chain(&strange)
        .find_map(|seen| seen.chain.first())
        .map(|leaf| leaf.issuer.clone());
    [
        Finding::new(Cause::TlsIntercepted, Confidence::Certain, forged),
        Finding::new(Cause::TlsIntercepted, Confidence::Likely, strange.clone()),
        Finding::new(Cause::NamePointsElsewhere, Confidence::Possible, strange),
    ]
    .into_iter()
    .flatten()
    .map(|finding| match &issuer {
        Some(issuer) if finding.cause == Cause::TlsIntercepted => {
            finding.with_detail(&format!("issued by {issuer}"))
        }
        _ => finding,
    })
    .map(|finding| blocking_unless_sibling_works(ev, finding))
    .collect()
}

/// A trusted certificate for other names. If those are AWS's, the address belongs to another
/// service, and the name points to the wrong place. If not, the server has the wrong certificate or
/// is another host: the packets do not show which.
pub(super) fn wrong_name(ev: Evidence<'_>) -> Vec<Finding> {
    let wrong: Vec<_> = ev.failed(&[Failure::WrongName]).collect();
    let (aws, other): (Vec<_>, Vec<_>) = wrong
        .into_iter()
        .partition(|seen| presents_an_aws_name(seen));
    [
        Finding::new(Cause::NamePointsElsewhere, Confidence::Likely, aws.clone()),
        Finding::new(Cause::TlsWrongName, Confidence::Possible, aws),
        Finding::new(Cause::TlsWrongName, Confidence::Likely, other.clone()),
        Finding::new(Cause::NamePointsElsewhere, Confidence::Possible, other),
    ]
    .into_iter()
    .flatten()
    .map(|finding| blocking_unless_sibling_works(ev, finding))
    .collect()
}

/// Expired by this machine's clock. If the services' `Date` headers agree with it, the certificate
/// is at fault; if none sent one, a clock that runs ahead looks the same, whatever the task
/// metadata says. A certificate that is not valid yet suggests a clock that is behind, or was
/// issued by a host whose clock is ahead.
pub(super) fn outside_validity(ev: Evidence<'_>) -> Vec<Finding> {
    let expired = ev.failed(&[Failure::ExpiredCertificate]);
    let early = ev.failed(&[Failure::NotYetValidCertificate]);
    let findings = if ev.clock_agrees() {
        vec![Finding::new(
            Cause::TlsExpired,
            Confidence::Certain,
            expired.chain(early),
        )]
    } else {
        vec![
            Finding::new(Cause::TlsExpired, Confidence::Likely, expired.clone()),
            Finding::new(Cause::ClockSkew, Confidence::Likely, early.clone()),
            Finding::new(Cause::TlsExpired, Confidence::Possible, early),
            Finding::new(Cause::ClockSkew, Confidence::Possible, expired),
        ]
    };
    findings
        .into_iter()
        .flatten()
        .map(|finding| blocking_unless_sibling_works(ev, finding))
        .collect()
}

/// The connection succeeds and the handshake does not finish, not even with small segments: a
/// firewall that drops the ClientHello, or a server that hangs.
pub(super) fn stalled(ev: Evidence<'_>) -> Vec<Finding> {
    let stalled = ev.of(Phase::Handshake).filter(|seen| {
        matches!(seen.failure(), Some(Failure::Stalled | Failure::TimedOut))
            && seen.small_segments_pass != Some(true)
    });
    Finding::new(Cause::TlsStalled, Confidence::Likely, stalled)
        .map(|finding| blocking_unless_sibling_works(ev, finding))
        .into_iter()
        .collect()
}

/// The peer does not speak TLS, or no version and cipher suite of ours: it is not the service.
pub(super) fn not_the_service(ev: Evidence<'_>) -> Vec<Finding> {
    let strange = ev.of(Phase::Handshake).filter(|seen| {
        matches!(
            seen.failure(),
            Some(Failure::UnexpectedAnswer | Failure::HandshakeRefused)
        )
    });
    [
        Finding::new(
            Cause::NamePointsElsewhere,
            Confidence::Likely,
            strange.clone(),
        ),
        Finding::new(Cause::TlsIntercepted, Confidence::Possible, strange),
    ]
    .into_iter()
    .flatten()
    .map(|finding| blocking_unless_sibling_works(ev, finding))
    .collect()
}

fn carries_its_name(seen: &Observation) -> bool {
    let Some(leaf) = seen.chain.first() else {
        return false;
    };
    leaf.names.iter().any(|name| matches_host(name, &seen.host))
}

/// Whether a certificate's name covers the host: one wildcard label at most, at the front (RFC 6125
/// section 6.4.3).
fn matches_host(name: &str, host: &str) -> bool {
    let (name, host) = (name.to_lowercase(), host.to_lowercase());
    match name.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
        None => name == host,
    }
}

fn presents_an_aws_name(seen: &Observation) -> bool {
    const AWS: [&str; 4] = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".on.aws"];
    seen.presented
        .iter()
        .any(|name| AWS.iter().any(|suffix| name.ends_with(suffix)))
}
