//! Registry hosts of Amazon ECR, and mistyped ones.

use super::invalid::quote;
use super::{Registry, SyntaxError};
use crate::endpoints::{Partition, Region, Variant};

/// The part of a host between account and Region.
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

/// A domain with at most this many edits counts as mistyped, not as another domain.
const MAX_TYPO_EDITS: usize = 3;

/// Whether a host is intended as a registry of Amazon ECR: two of account, marker and domain must
/// match, so that one may be mistyped. One alone is not enough: `ecr.example.com` is another host,
/// and so is a load balancer's.
pub(super) fn looks_like_ecr(host: &str) -> bool {
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
            .any(|label| distance(label, "amazonaws") < MAX_TYPO_EDITS);
    [account, marker, domain]
        .into_iter()
        .filter(|&sign| sign)
        .count()
        >= 2
}

/// Parses a registry host of Amazon ECR. Returns `None` if the host is not intended as one.
pub(super) fn parse(host: &str) -> Result<Option<Registry>, SyntaxError<'_>> {
    if !looks_like_ecr(host) {
        return Ok(None);
    }
    if host.contains(|c: char| c.is_ascii_uppercase()) {
        return Err(SyntaxError::new(host, "Amazon ECR hosts must be lowercase"));
    }
    let (account, rest) = host.split_once('.').unwrap_or((host, &host[host.len()..]));
    if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
        return Err(SyntaxError::new(
            account,
            format!(
                "{} is not an AWS account ID; expected 12 digits",
                quote(account)
            ),
        ));
    }
    let (marker, variant, rest) = split_marker(rest)?;
    if suffixes().any(|suffix| suffix == rest) {
        return Err(SyntaxError::new(
            rest,
            format!("the Region is missing before {}", quote(rest)),
        ));
    }
    let (name, domain) = rest.split_once('.').unwrap_or((rest, &rest[rest.len()..]));
    let region = name
        .parse::<Region>()
        .map_err(|error| SyntaxError::new(name, error.to_string()))?;
    check_domain(domain, marker, variant, &region)?;
    Ok(Some(Registry::Ecr {
        account: account.to_owned(),
        region,
        variant,
    }))
}

/// Returns the marker that `rest` begins with, its variant, and what follows it.
fn split_marker(rest: &str) -> Result<(&str, Variant, &str), SyntaxError<'_>> {
    for (marker, variant) in MARKERS {
        if let Some(after) = rest
            .strip_prefix(marker)
            .and_then(|after| after.strip_prefix('.'))
        {
            return Ok((&rest[..marker.len()], variant, after));
        }
    }
    // The part before the Region is in the marker's place.
    let mut before = 0;
    for label in rest.split('.') {
        if label.parse::<Region>().is_ok() {
            let wrong = rest[..before].trim_end_matches('.');
            let nearest = MARKERS
                .map(|(marker, _)| marker)
                .into_iter()
                .min_by_key(|marker| distance(wrong, marker));
            let suggestion = nearest.unwrap_or_default();
            return Err(match wrong {
                "" => SyntaxError::new(label, format!("\"dkr.ecr\" is missing before {label}")),
                _ => SyntaxError::new(
                    wrong,
                    format!(
                        "{} is not part of an Amazon ECR host; did you mean {suggestion}?",
                        quote(wrong)
                    ),
                ),
            });
        }
        before += label.len() + 1;
    }
    Err(SyntaxError::new(
        rest,
        "expected an Amazon ECR host such as <account>.dkr.ecr.<region>.amazonaws.com",
    ))
}

fn check_domain<'a>(
    domain: &'a str,
    marker: &'a str,
    variant: Variant,
    region: &Region,
) -> Result<(), SyntaxError<'a>> {
    let partition = region.partition();
    let expected = if variant.dual_stack {
        partition.registry_dual_stack_suffix()
    } else {
        Some(partition.dns_suffix())
    };
    let Some(expected) = expected else {
        return Err(SyntaxError::new(
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
    Err(SyntaxError::new(
        domain,
        if domain.is_empty() {
            format!("the domain is missing after {region}; expected {expected}")
        } else if suffixes().any(|suffix| suffix == domain) {
            format!("the domain of {marker} in {region} is {expected}, not {domain}")
        } else if distance(domain, expected) <= MAX_TYPO_EDITS {
            format!("the domain {given} is not an AWS domain; did you mean {expected}?")
        } else {
            format!("the domain {given} is not an AWS domain; expected {expected}")
        },
    ))
}

/// Returns every domain of ECR registries.
fn suffixes() -> impl Iterator<Item = &'static str> {
    let both = |partition: Partition| {
        [
            Some(partition.dns_suffix()),
            partition.registry_dual_stack_suffix(),
        ]
    };
    Partition::ALL.into_iter().flat_map(both).flatten()
}

/// Returns the Levenshtein distance in bytes.
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
