//! Registry hosts of Amazon ECR, and what was meant as one.

use super::invalid::quote;
use super::{Mistake, Registry};
use crate::endpoints::{Partition, Region, Variant};

/// What stands between account and region.
const MARKERS: [(&str, Variant); 4] = [
    (
        "dkr.ecr",
        Variant {
            fips: false,
            dual_stack: false,
        },
    ),
    (
        "dkr.ecr-fips",
        Variant {
            fips: true,
            dual_stack: false,
        },
    ),
    (
        "dkr-ecr",
        Variant {
            fips: false,
            dual_stack: true,
        },
    ),
    (
        "dkr-ecr-fips",
        Variant {
            fips: true,
            dual_stack: true,
        },
    ),
];

/// Edits up to which a domain counts as mistyped and not as another one.
const SLIPS: usize = 3;

/// Whether a host is meant as a registry of Amazon ECR: two of account, marker and domain will do,
/// so that one of them may be mistyped. One alone proves nothing: `ecr.example.com` is somebody's,
/// and so is a load balancer's name.
pub(super) fn is_meant(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let labels: Vec<_> = host.split(['.', ':']).collect();
    let account =
        labels[0].len() >= 8 && labels[0].bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let marker = labels
        .iter()
        .any(|label| ["dkr", "ecr", "ecr-fips", "dkr-ecr", "dkr-ecr-fips"].contains(label));
    let domain = suffixes().any(|suffix| host.ends_with(&format!(".{suffix}")))
        || labels
            .iter()
            .any(|label| distance(label, "amazonaws") < SLIPS);
    [account, marker, domain]
        .into_iter()
        .filter(|&sign| sign)
        .count()
        >= 2
}

/// `None` if the host is not meant as one of Amazon ECR.
pub(super) fn parse(host: &str) -> Result<Option<Registry>, Mistake<'_>> {
    if !is_meant(host) {
        return Ok(None);
    }
    if host.contains(|c: char| c.is_ascii_uppercase()) {
        return Err((host, "the hosts of Amazon ECR are in lower case".into()));
    }
    let (account, rest) = host.split_once('.').unwrap_or((host, &host[host.len()..]));
    if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
        return Err((
            account,
            format!(
                "{} is not an AWS account, expected 12 digits",
                quote(account)
            ),
        ));
    }
    let (marker, variant, rest) = split_marker(rest)?;
    if suffixes().any(|suffix| suffix == rest) {
        return Err((
            rest,
            format!("the region is missing before {}", quote(rest)),
        ));
    }
    let (name, domain) = rest.split_once('.').unwrap_or((rest, &rest[rest.len()..]));
    let region = name.parse::<Region>().map_err(|message| (name, message))?;
    check_domain(domain, marker, variant, &region)?;
    Ok(Some(Registry::Ecr {
        account: account.to_owned(),
        region,
        variant,
    }))
}

/// The marker that `rest` begins with, what it means, and what follows it.
fn split_marker(rest: &str) -> Result<(&str, Variant, &str), Mistake<'_>> {
    for (marker, variant) in MARKERS {
        if let Some(after) = rest
            .strip_prefix(marker)
            .and_then(|after| after.strip_prefix('.'))
        {
            return Ok((&rest[..marker.len()], variant, after));
        }
    }
    // Whatever stands before the region is in the marker's place.
    let mut before = 0;
    for label in rest.split('.') {
        if label.parse::<Region>().is_ok() {
            let wrong = rest[..before].trim_end_matches('.');
            let nearest = MARKERS
                .map(|(marker, _)| marker)
                .into_iter()
                .min_by_key(|marker| distance(wrong, marker));
            let meant = nearest.unwrap_or_default();
            return Err(match wrong {
                "" => (label, format!("\"dkr.ecr\" is missing before {label}")),
                _ => (
                    wrong,
                    format!(
                        "{} is not part of an Amazon ECR host: did you mean {meant}?",
                        quote(wrong)
                    ),
                ),
            });
        }
        before += label.len() + 1;
    }
    Err((
        rest,
        "a host of Amazon ECR reads <account>.dkr.ecr.<region>.amazonaws.com".into(),
    ))
}

fn check_domain<'a>(
    domain: &'a str,
    marker: &'a str,
    variant: Variant,
    region: &Region,
) -> Result<(), Mistake<'a>> {
    let partition = region.partition();
    let expected = if variant.dual_stack {
        partition.registry_dual_stack_suffix()
    } else {
        Some(partition.dns_suffix())
    };
    let Some(expected) = expected else {
        return Err((
            marker,
            format!(
                "the partition {} has no dual-stack registries",
                partition.name()
            ),
        ));
    };
    if domain == expected {
        return Ok(());
    }
    let given = quote(domain);
    Err((
        domain,
        if domain.is_empty() {
            format!("the domain is missing after {region}, expected {expected}")
        } else if suffixes().any(|suffix| suffix == domain) {
            format!("the domain of {marker} in {region} is {expected}, not {domain}")
        } else if distance(domain, expected) <= SLIPS {
            format!("the domain {given} is not AWS's: did you mean {expected}?")
        } else {
            format!("the domain {given} is not AWS's, expected {expected}")
        },
    ))
}

/// Every domain that registries have.
fn suffixes() -> impl Iterator<Item = &'static str> {
    let both = |partition: Partition| {
        [
            Some(partition.dns_suffix()),
            partition.registry_dual_stack_suffix(),
        ]
    };
    Partition::ALL.into_iter().flat_map(both).flatten()
}

/// Levenshtein's, in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let cheapest = (diagonal + usize::from(x != y))
                .min(row[j] + 1)
                .min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], cheapest);
        }
    }
    row[b.len()]
}
