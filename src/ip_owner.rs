//! Who owns a public address, by the ranges that AWS publishes.
//!
//! The table is a snapshot of [`RANGES_DATE`], made by `ip_owner/ranges.py`. AWS goes on adding
//! ranges, so an address that is not in it may still be AWS's.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::LazyLock;

use ipnet::IpNet;

/// The day on which AWS published the ranges.
pub const RANGES_DATE: &str = "2025-10-31";

/// A line for each owner: service, region, prefixes.
const RANGES: &str = include_str!("ip_owner/ranges.txt");

/// `AMAZON` says no more than that an address is AWS's, which Amazon S3's addresses are too: so S3
/// goes first, and then the longest prefix.
static OWNED: LazyLock<Vec<(IpNet, &str)>> = LazyLock::new(|| {
    let mut owned: Vec<_> = parse(RANGES).collect();
    owned.sort_by_key(|(prefix, owner)| Reverse((owner.starts_with("S3 "), prefix.prefix_len())));
    owned
});

/// Service and region, `S3 us-east-1`, where AWS's ranges have the address; a region may be
/// `GLOBAL`.
pub fn owner(address: IpAddr) -> Option<String> {
    let address = address.to_canonical();
    OWNED
        .iter()
        .find(|(prefix, _)| prefix.contains(&address))
        .map(|(_, owner)| (*owner).to_owned())
}

fn parse(ranges: &str) -> impl Iterator<Item = (IpNet, &str)> {
    ranges
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| {
            let end_of_region = line
                .match_indices(' ')
                .nth(1)
                .map_or(line.len(), |(at, _)| at);
            let (owner, prefixes) = line.split_at(end_of_region);
            prefixes
                .split_whitespace()
                .filter_map(move |prefix| Some((prefix.parse().ok()?, owner)))
        })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_is_whole_and_dated() {
        let (title, lines) = RANGES.split_once('\n').unwrap();
        assert!(title.starts_with(&format!("# {RANGES_DATE}, ")), "{title}");
        let words: usize = lines.lines().map(|line| line.split(' ').count() - 2).sum();
        assert_eq!(OWNED.len(), words, "a prefix that is none");
        let owners: BTreeSet<_> = OWNED.iter().map(|(_, owner)| owner).collect();
        assert_eq!(
            owners.len(),
            lines.lines().count(),
            "two lines of one owner"
        );
        assert!(
            OWNED.iter().all(|(prefix, _)| *prefix == prefix.trunc()),
            "a prefix with host bits"
        );
    }

    #[test]
    fn owners_of_well_known_addresses() {
        for (address, expected) in [
            ("52.216.0.1", Some("S3 us-east-1")),
            ("52.217.255.255", Some("S3 us-east-1")),
            ("16.15.180.104", Some("S3 us-east-1")),
            ("16.182.32.1", Some("S3 us-east-1")),
            ("3.5.149.7", Some("S3 ap-southeast-1")),
            ("52.219.0.1", Some("S3 ap-northeast-1")),
            ("52.92.0.1", Some("S3 eu-west-1")),
            ("52.92.128.1", Some("S3 us-west-2")),
            ("54.222.48.1", Some("S3 cn-north-1")),
            ("2600:1fa0:7400::1", Some("S3 mx-central-1")),
            ("::ffff:52.216.0.1", Some("S3 us-east-1")),
            ("13.244.0.1", Some("AMAZON af-south-1")),
            ("108.138.0.1", Some("AMAZON GLOBAL")),
            ("10.0.1.10", None),
            ("172.31.2.72", None),
            ("192.168.0.1", None),
            ("100.64.0.1", None),
            ("169.254.170.2", None),
            ("127.0.0.1", None),
            ("198.18.0.10", None),
            ("8.8.8.8", None),
            ("fd00::1", None),
            ("fe80::1", None),
            ("::1", None),
        ] {
            assert_eq!(
                owner(address.parse().unwrap()).as_deref(),
                expected,
                "{address}"
            );
        }
    }

    /// The same question answered by arithmetic: S3 before the rest, then the smallest range.
    #[test]
    fn ranges_begin_and_end_where_they_say() {
        let number = |address: IpAddr| match address {
            IpAddr::V4(v4) => (false, u128::from(v4.to_bits())),
            IpAddr::V6(v6) => (true, v6.to_bits()),
        };
        let ranges: Vec<_> = OWNED
            .iter()
            .map(|(p, owner)| (number(p.network()), number(p.broadcast()), *owner))
            .collect();
        let expected = |address| {
            let at = number(address);
            let around = ranges
                .iter()
                .filter(|(first, last, _)| *first <= at && at <= *last);
            around
                .min_by_key(|(first, last, owner)| (!owner.starts_with("S3 "), last.1 - first.1))
                .map(|range| range.2)
        };
        let beside = |address, by: i8| match address {
            IpAddr::V4(v4) => IpAddr::V4(v4.to_bits().wrapping_add_signed(by.into()).into()),
            IpAddr::V6(v6) => IpAddr::V6(v6.to_bits().wrapping_add_signed(by.into()).into()),
        };
        let mut ends: BTreeSet<_> = OWNED
            .iter()
            .flat_map(|(p, _)| [p.network(), p.broadcast()])
            .collect();
        for (s3, _) in OWNED.iter().filter(|(_, owner)| owner.starts_with("S3 ")) {
            ends.extend([beside(s3.network(), -1), beside(s3.broadcast(), 1)]);
        }
        for address in ends {
            assert_eq!(owner(address).as_deref(), expected(address), "{address}");
        }
    }
}
