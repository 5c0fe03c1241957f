//! Certificates and handshakes.

use super::path::blocking_unless_sibling_works;
use super::{Confidence, Finding};
use crate::cause::Cause;
use crate::endpoints::is_aws_host;
use crate::evidence::Evidence;
use crate::observation::{Failure, Observation, Phase};

/// The chain does not lead to a root that the puller trusts. The issuer distinguishes the causes.
///
/// AWS's own names always have certificates from a public authority. If the certificate is for such
/// a name and its issuer is not a public authority, a device on the path issued it. This is certain
/// if the roots are Mozilla's and, in the same run, either several AWS names have certificates from
/// this issuer or another AWS name has a genuine one. With `--ca-bundle`, it is never certain,
/// because a bundle that lacks the root looks the same; nor is it certain if another address of the
/// name has a genuine certificate.
///
/// An issuer that is a public authority, or that issued a genuine certificate of this run, means
/// that the server does not send its intermediate certificate. The operator of a registry or log
/// collector may have given it a private or self-signed certificate, unless the same issuer also
/// issues AWS's names. If the certificate does not contain the requested name, the address may also
/// belong to another host.
pub(super) fn untrusted_issuer(ev: Evidence<'_>) -> Vec<Finding> {
    use Confidence::{Certain, Likely, Possible};
    let untrusted: Vec<_> = ev.failed(&[Failure::UnknownIssuer]).collect();
    let (forged, own): (Vec<_>, Vec<_>) = untrusted.iter().copied().partition(|seen| {
        !is_incomplete(ev, seen) && (has_public_certificate(seen) || intercepts_aws(ev, seen))
    });
    let (certain, forged): (Vec<_>, Vec<_>) = forged
        .into_iter()
        .partition(|seen| is_positively_forged(ev, seen));
    // No handshake shows that the bundle is right for any server.
    let (unclear, forged): (Vec<_>, Vec<_>) = forged
        .into_iter()
        .partition(|seen| seen.custom_roots && !ev.of(Phase::Handshake).any(Observation::passed));
    let other_roots = [unclear.clone(), forged.clone()].concat();
    let other_roots = other_roots
        .into_iter()
        .filter(|seen| seen.custom_roots || !is_aws_host(&seen.host));
    let strange = untrusted
        .iter()
        .copied()
        .filter(|seen| !carries_its_name(seen));
    [
        Finding::new(Cause::TlsIntercepted, Certain, certain),
        Finding::new(Cause::TlsIntercepted, Likely, forged),
        Finding::new(Cause::TlsIntercepted, Possible, unclear),
        Finding::new(Cause::TlsUntrusted, Likely, own.clone()),
        Finding::new(Cause::TlsUntrusted, Possible, other_roots),
        Finding::new(Cause::TlsIntercepted, Possible, own),
        Finding::new(Cause::NamePointsElsewhere, Possible, strange),
    ]
    .into_iter()
    .flatten()
    .map(|finding| {
        let first = untrusted
            .iter()
            .find(|seen| finding.because.first() == Some(&seen.id));
        match first {
            Some(seen) if finding.cause != Cause::NamePointsElsewhere => {
                finding.with_detail(&describe_untrusted(ev, seen))
            }
            _ => finding,
        }
    })
    .map(|finding| blocking_unless_sibling_works(ev, finding))
    .collect()
}

/// Describes a certificate that is not trusted: its issuer, its expiry, the roots that it was
/// checked against, and whether another address of the name has a trusted one.
fn describe_untrusted(ev: Evidence<'_>, seen: &Observation) -> String {
    let roots = if seen.custom_roots {
        "the roots of --ca-bundle"
    } else {
        "Mozilla's roots"
    };
    let mut parts = Vec::new();
    if let Some(leaf) = seen.chain.first() {
        let issuer = &leaf.issuer;
        parts.push(if leaf.subject == *issuer {
            "self-signed".to_owned()
        } else {
            format!("issued by {issuer}")
        });
        if leaf.expired {
            parts.push(format!("expired on {}", leaf.not_after));
        }
        if is_incomplete(ev, seen) {
            parts.push(if seen.custom_roots && !is_trusted_elsewhere(ev, seen) {
                "the chain is incomplete, or --ca-bundle lacks its root".to_owned()
            } else {
                "the chain is incomplete: the server does not send the issuer's certificate"
                    .to_owned()
            });
        }
    }
    parts.push(format!("checked against {roots}"));
    if ev.works(seen.target(), Phase::Handshake) {
        parts.push("one address of several".to_owned());
    }
    parts.join(", ")
}

/// Whether the top of the chain was issued by a public authority, or by one whose complete chain
/// other servers in this run present.
fn is_incomplete(ev: Evidence<'_>, seen: &Observation) -> bool {
    seen.chain.last().is_some_and(|top| top.public_issuer) || is_trusted_elsewhere(ev, seen)
}

/// Whether the issuer at the end of this chain is part of a chain that is trusted.
fn is_trusted_elsewhere(ev: Evidence<'_>, seen: &Observation) -> bool {
    let Some(top) = seen.chain.last() else {
        return false;
    };
    let mut trusted = ev
        .of(Phase::Handshake)
        .filter(|other| other.passed())
        .flat_map(|other| &other.chain);
    trusted.any(|other| top.issuer == other.issuer || top.issuer == other.subject)
}

/// Whether the host's genuine certificate comes from a public authority, as those of AWS's own
/// names and the public registries do.
fn has_public_certificate(seen: &Observation) -> bool {
    const REGISTRIES: [&str; 7] = [
        "docker.io",
        "docker.com",
        "quay.io",
        "ghcr.io",
        "gcr.io",
        "registry.k8s.io",
        "mcr.microsoft.com",
    ];
    let is_at = |domain: &str| {
        let rest = seen.host.strip_suffix(domain);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    is_aws_host(&seen.host) || REGISTRIES.into_iter().any(is_at)
}

/// Returns the other AWS hosts whose certificates have the same issuer and are not trusted either.
fn same_issuer_at_aws<'a>(
    ev: Evidence<'a>,
    seen: &'a Observation,
) -> impl Iterator<Item = &'a Observation> {
    let issuer = seen.chain.first().map(|leaf| &leaf.issuer);
    ev.failed(&[Failure::UnknownIssuer])
        .filter(move |other| other.host != seen.host && is_aws_host(&other.host))
        .filter(move |other| {
            issuer.is_some() && other.chain.first().map(|leaf| &leaf.issuer) == issuer
        })
}

/// Whether this certificate's issuer also issued the certificate of an AWS name.
fn intercepts_aws(ev: Evidence<'_>, seen: &Observation) -> bool {
    same_issuer_at_aws(ev, seen).next().is_some()
}

fn is_positively_forged(ev: Evidence<'_>, seen: &Observation) -> bool {
    let another_is_genuine = || {
        ev.of(Phase::Handshake)
            .any(|other| other.passed() && other.host != seen.host && is_aws_host(&other.host))
    };
    carries_its_name(seen)
        && is_aws_host(&seen.host)
        && !seen.custom_roots
        && !ev.works(seen.target(), Phase::Handshake)
        && (intercepts_aws(ev, seen) || another_is_genuine())
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

/// A certificate has expired by this machine's clock. If the services' `Date` headers agree with
/// that clock, the certificate is at fault; without such headers, a clock that is ahead looks the
/// same, whatever the task metadata says. A certificate that is not valid yet suggests a clock that
/// is behind, or an issuer whose clock is ahead.
pub(super) fn outside_validity(ev: Evidence<'_>) -> Vec<Finding> {
    let expired = ev.failed(&[Failure::ExpiredCertificate]);
    let early = ev.failed(&[Failure::NotYetValidCertificate]);
    let findings = if ev.clock_agrees() {
        // If another address of the name has a valid certificate, only one of the service's servers
        // is at fault.
        let (partly, wholly): (Vec<_>, Vec<_>) = expired
            .chain(early)
            .partition(|seen| ev.works(seen.target(), Phase::Handshake));
        let partly = Finding::new(Cause::TlsExpired, Confidence::Likely, partly);
        vec![
            Finding::new(Cause::TlsExpired, Confidence::Certain, wholly),
            partly.map(|finding| finding.with_detail("one address of several")),
        ]
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

/// The connection succeeds, but the handshake does not finish, not even with small segments: a
/// firewall drops the ClientHello, or a server hangs.
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

/// The peer does not speak TLS, or supports none of the probe's versions and cipher suites, so it
/// is not the service: another host has the address, or a device on the path answers in its place.
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
        Finding::new(
            Cause::AnsweredByIntermediary,
            Confidence::Possible,
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

/// Whether a certificate's name covers the host. It may begin with one wildcard label (RFC 6125
/// section 6.4.3).
fn matches_host(name: &str, host: &str) -> bool {
    let (name, host) = (name.to_lowercase(), host.to_lowercase());
    match name.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
        None => name == host,
    }
}

fn presents_an_aws_name(seen: &Observation) -> bool {
    seen.presented.iter().any(|name| is_aws_host(name))
}
