//! Sets of IP addresses, exact: what a list of CIDR blocks covers, and what it leaves out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// An inclusive range of addresses of one IP version.
type Range = (u128, u128);

/// A set of IPv4 and IPv6 addresses, as sorted ranges that do not touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AddressSet {
    ipv4: Vec<Range>,
    ipv6: Vec<Range>,
}

/// IPv4 ranges that no public host has (RFC 6890).
const NOT_PUBLIC: [&str; 9] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

impl AddressSet {
    /// Returns the addresses of these blocks.
    pub fn of(blocks: impl IntoIterator<Item = IpNet>) -> Self {
        let mut set = Self::default();
        for block in blocks {
            match block {
                IpNet::V4(block) => set.ipv4.push((
                    u32::from(block.network()).into(),
                    u32::from(block.broadcast()).into(),
                )),
                IpNet::V6(block) => set
                    .ipv6
                    .push((block.network().into(), block.broadcast().into())),
            }
        }
        Self {
            ipv4: merged(set.ipv4),
            ipv6: merged(set.ipv6),
        }
    }

    /// Returns one address.
    pub fn of_address(address: IpAddr) -> Self {
        Self::of([IpNet::from(address)])
    }

    /// Returns all public IPv4 addresses outside of `private`.
    pub fn public_ipv4(private: &[IpNet]) -> Self {
        let all = Self::of(["0.0.0.0/0".parse().ok()].into_iter().flatten());
        let not_public = NOT_PUBLIC.iter().filter_map(|block| block.parse().ok());
        all.without(&Self::of(not_public.chain(private.iter().copied())))
    }

    /// Returns all global IPv6 addresses outside of `private`.
    pub fn public_ipv6(private: &[IpNet]) -> Self {
        let all = Self::of(["2000::/3".parse().ok()].into_iter().flatten());
        all.without(&Self::of(private.iter().copied()))
    }

    pub fn is_empty(&self) -> bool {
        self.ipv4.is_empty() && self.ipv6.is_empty()
    }

    pub fn union(&self, other: &Self) -> Self {
        let join = |a: &[Range], b: &[Range]| merged([a, b].concat());
        Self {
            ipv4: join(&self.ipv4, &other.ipv4),
            ipv6: join(&self.ipv6, &other.ipv6),
        }
    }

    pub fn intersection(&self, other: &Self) -> Self {
        Self {
            ipv4: common(&self.ipv4, &other.ipv4),
            ipv6: common(&self.ipv6, &other.ipv6),
        }
    }

    pub fn without(&self, other: &Self) -> Self {
        Self {
            ipv4: difference(&self.ipv4, &other.ipv4),
            ipv6: difference(&self.ipv6, &other.ipv6),
        }
    }

    pub fn intersects(&self, other: &Self) -> bool {
        !self.intersection(other).is_empty()
    }

    pub fn covers(&self, other: &Self) -> bool {
        other.without(self).is_empty()
    }

    /// Returns the only address of the set, if it has one.
    pub fn only_address(&self) -> Option<IpAddr> {
        match (self.ipv4.as_slice(), self.ipv6.as_slice()) {
            ([(a, b)], []) if a == b => {
                let bits = u32::try_from(*a).ok()?;
                Some(Ipv4Addr::from(bits).into())
            }
            ([], [(a, b)]) if a == b => Some(Ipv6Addr::from(*a).into()),
            _ => None,
        }
    }
}

fn merged(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut out: Vec<Range> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges {
        match out.last_mut() {
            Some(last) if start <= last.1.saturating_add(1) => last.1 = last.1.max(end),
            _ => out.push((start, end)),
        }
    }
    out
}

fn common(a: &[Range], b: &[Range]) -> Vec<Range> {
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let (start, end) = (x.0.max(y.0), x.1.min(y.1));
        if start <= end {
            out.push((start, end));
        }
        if x.1 < y.1 {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

fn difference(a: &[Range], b: &[Range]) -> Vec<Range> {
    let mut out = Vec::new();
    let mut first = 0;
    for &(mut start, end) in a {
        while b.get(first).is_some_and(|cut| cut.1 < start) {
            first += 1;
        }
        let mut is_used_up = false;
        for cut in b[first..].iter().take_while(|cut| cut.0 <= end) {
            if cut.0 > start {
                out.push((start, cut.0 - 1));
            }
            match cut.1.checked_add(1) {
                Some(next) if next <= end => start = start.max(next),
                _ => {
                    is_used_up = true;
                    break;
                }
            }
        }
        if !is_used_up {
            out.push((start, end));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(blocks: &[&str]) -> AddressSet {
        AddressSet::of(blocks.iter().map(|block| block.parse().unwrap()))
    }

    #[test]
    fn several_blocks_cover_what_none_covers_alone() {
        let halves = set(&["0.0.0.0/1", "128.0.0.0/1"]);
        assert!(halves.covers(&set(&["0.0.0.0/0"])));
        assert!(!halves.covers(&set(&["::/0"])), "IP versions are separate");
        assert!(!set(&["0.0.0.0/1"]).covers(&set(&["0.0.0.0/0"])));
        let all = set(&["::/0", "0.0.0.0/0"]);
        assert!(all.without(&all).is_empty());
        assert!(all.covers(&set(&["ffff::/16", "255.255.255.255/32"])));
    }

    #[test]
    fn differences_are_exact() {
        let block = set(&["10.0.0.0/24"]);
        let rest = block.without(&set(&["10.0.0.0/26", "10.0.0.192/26"]));
        assert_eq!(rest, set(&["10.0.0.64/26", "10.0.0.128/26"]));
        assert_eq!(block.without(&set(&["10.0.1.0/24"])), block);
        assert_eq!(
            set(&["10.0.0.0/31"])
                .without(&set(&["10.0.0.0/32"]))
                .only_address(),
            Some("10.0.0.1".parse().unwrap())
        );
        let scattered = set(&["10.0.0.0/32", "10.0.0.2/32", "10.0.0.4/32"]);
        assert_eq!(
            scattered.without(&set(&["10.0.0.2/32"])),
            set(&["10.0.0.0/32", "10.0.0.4/32"])
        );
        assert_eq!(
            scattered.intersection(&set(&["10.0.0.2/31"])),
            set(&["10.0.0.2/32"])
        );
    }

    #[test]
    fn public_addresses_are_without_private_ones() {
        let public = AddressSet::public_ipv4(&["203.0.113.0/24".parse().unwrap()]);
        assert!(!public.intersects(&set(&["10.0.0.0/8", "203.0.113.0/24"])));
        assert!(public.covers(&set(&["52.0.0.0/8", "1.0.0.0/8"])));
        assert!(AddressSet::public_ipv6(&[]).covers(&set(&["2600::/16"])));
    }
}
