//! `resolve`: looks up addresses, and when that fails, sends the queries that tell causes apart.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::{sleep, timeout};

use crate::dns::{DnsResponse, QueryFailure, failure_of, query};
use crate::network_location::IpFamily;
use crate::observation::{Dependency, Failure, Lookup, LookupResult, Purpose};

/// Time between queries to one resolver and the next in the list: shorter than libc's five seconds,
/// because the run has a deadline, and longer than any healthy response takes.
const NEXT_RESOLVER_INTERVAL: Duration = Duration::from_secs(1);

/// How long to wait for the AAAA response after the A response. A resolver that never answers AAAA
/// must not delay the run.
const AAAA_TIMEOUT: Duration = Duration::from_millis(500);

/// libc uses at most three resolvers (resolv.conf(5), MAXNS).
const MAX_RESOLVERS: usize = 3;

/// S3 returns eight addresses. The limit bounds the connections that one name can cause, because
/// every address is tried.
const MAX_ADDRESSES: usize = 16;

/// Maximum number of records searched for the zone's SOA. A negative response has one (RFC 2308
/// section 3).
const MAX_RECORDS: usize = 64;

/// Queries recursive resolvers, in the order given.
#[derive(Debug, Clone)]
pub struct StubResolver {
    servers: Vec<SocketAddr>,
    /// Whether only IPv6 addresses are of use, so that their lookup is waited for.
    needs_ipv6: bool,
}

/// The result of resolving a host name.
pub struct Resolution {
    /// Addresses, IPv4 first, or the most informative failure.
    pub addresses: Result<Vec<IpAddr>, Failure>,
    /// Every query that was sent, with its response.
    pub lookups: Vec<Lookup>,
}

impl StubResolver {
    /// Returns a resolver that uses the first three of `servers`.
    pub fn new(mut servers: Vec<SocketAddr>) -> Self {
        servers.truncate(MAX_RESOLVERS);
        Self {
            servers,
            needs_ipv6: false,
        }
    }

    /// Returns the resolver of a task with these IP versions.
    #[must_use]
    pub fn for_family(self, ip_family: IpFamily) -> Self {
        Self {
            needs_ipv6: ip_family == IpFamily::Ipv6,
            ..self
        }
    }

    /// Looks up A and AAAA records of `host` concurrently. If neither has an address, also sends
    /// the queries that explain why.
    pub async fn resolve(&self, dependency: Dependency, host: &str) -> Resolution {
        if let Ok(address) = host.parse() {
            return Resolution {
                addresses: Ok(vec![address]),
                lookups: Vec::new(),
            };
        }
        let a = self.query(host, RecordType::A, Purpose::Target);
        let aaaa = self.query(host, RecordType::AAAA, Purpose::Target);
        let mut aaaa = std::pin::pin!(aaaa);
        let mut early_aaaa = None;
        let a = tokio::select! {
            a = a => a,
            a = async { early_aaaa = Some(aaaa.as_mut().await); std::future::pending().await } => a,
        };
        let aaaa = match early_aaaa {
            Some(lookup) => Some(lookup),
            None if self.needs_ipv6 => Some(aaaa.await),
            None => timeout(AAAA_TIMEOUT, aaaa).await.ok(),
        };
        let mut lookups: Vec<Lookup> = [Some(a), aaaa].into_iter().flatten().collect();
        let addresses: Vec<IpAddr> = lookups
            .iter()
            .flat_map(|lookup| lookup.addresses.iter().copied())
            .collect();
        if !addresses.is_empty() {
            return Resolution {
                addresses: Ok(addresses),
                lookups,
            };
        }
        let failure = lookups
            .iter()
            .find_map(Lookup::failure)
            .unwrap_or(Failure::NoAddress);
        // A resolver that did not respond for seconds will not respond to further queries either.
        if failure != Failure::TimedOut && failure != Failure::Unreachable {
            lookups.extend(self.explain(dependency, host, &lookups).await);
        }
        Resolution {
            addresses: Err(failure),
            lookups,
        }
    }

    /// Sends the queries whose responses distinguish a missing name, a broken zone and a broken
    /// resolver.
    async fn explain(&self, dependency: Dependency, host: &str, known: &[Lookup]) -> Vec<Lookup> {
        let zone_unknown = known.iter().all(|lookup| lookup.zone.is_none());
        let zone = zone_unknown.then(|| (host.to_owned(), RecordType::SOA, Purpose::Zone));
        let related = related_names(dependency, host)
            .into_iter()
            .map(|(name, purpose)| (name, RecordType::A, purpose));
        let queries = related
            .chain(zone)
            .map(|(name, kind, purpose)| async move { self.query(&name, kind, purpose).await });
        join_all(queries).await
    }

    /// Sends one query to each resolver in turn, a second apart, and returns the first conclusive
    /// response: if one resolver fails, the next may work.
    async fn query(&self, name: &str, kind: RecordType, purpose: Purpose) -> Lookup {
        let started = Instant::now();
        let mut queries: FuturesUnordered<_> = self
            .servers
            .iter()
            .zip(0u32..)
            .map(|(&server, nth)| async move {
                sleep(NEXT_RESOLVER_INTERVAL * nth).await;
                (server, query(server, name, kind).await)
            })
            .collect();
        let mut last = None;
        while let Some((resolver, reply)) = queries.next().await {
            let mut lookup = Lookup {
                name: name.to_owned(),
                kind: kind.to_string(),
                purpose,
                resolver,
                result: LookupResult::Answered,
                addresses: Vec::new(),
                aliases: Vec::new(),
                ttl_s: None,
                zone: None,
                zone_server: None,
                over_tcp: false,
                elapsed_ms: crate::millis(started.elapsed()),
            };
            match reply {
                Ok(reply) => lookup.add_reply(&reply, kind),
                Err(QueryFailure { failure, over_tcp }) => {
                    lookup.result = LookupResult::Failed { failure };
                    lookup.over_tcp = over_tcp;
                }
            }
            let conclusive = !matches!(
                lookup.failure(),
                Some(
                    Failure::TimedOut
                        | Failure::ServerFailure
                        | Failure::QueryRefused
                        | Failure::Unreachable
                )
            );
            let better = last
                .as_ref()
                .is_none_or(|last: &Lookup| last.failure() == Some(Failure::TimedOut));
            if conclusive || better {
                last = Some(lookup);
            }
            if conclusive {
                break;
            }
        }
        last.unwrap_or_else(|| Lookup {
            name: name.to_owned(),
            kind: kind.to_string(),
            purpose,
            resolver: SocketAddr::from(([0, 0, 0, 0], 53)),
            result: LookupResult::Failed {
                failure: Failure::Unreachable,
            },
            addresses: Vec::new(),
            aliases: Vec::new(),
            ttl_s: None,
            zone: None,
            zone_server: None,
            over_tcp: false,
            elapsed_ms: 0,
        })
    }
}

/// Returns names whose lookup helps to explain why `host` has no address: another service's name in
/// the same zone, and a random label where the public zone has a wildcard record.
fn related_names(dependency: Dependency, host: &str) -> Vec<(String, Purpose)> {
    let Some((_, zone)) = host.split_once('.') else {
        return Vec::new();
    };
    let parent = zone.split_once('.').map(|(_, parent)| parent);
    let sibling = match dependency {
        // 123456789012.dkr.ecr.<region>.… has the sibling api.ecr.<region>.…
        Dependency::EcrDkr if zone.starts_with("dkr.") => parent.map(|ecr| format!("api.{ecr}")),
        // 123456789012.dkr-ecr.<region>.on.aws is in a domain of registries only, and
        // ecr.<region>.api.aws in that of the Region's services.
        Dependency::EcrDkr => None,
        Dependency::EcrApi if host.starts_with("ecr.") => Some(format!("sts.{zone}")),
        // api.ecr.<region>.… and fs-….efs.<region>.… are in the zone of the Region's services.
        // Every Region has STS.
        Dependency::EcrApi | Dependency::Efs => parent.map(|region| format!("sts.{region}")),
        Dependency::S3 => Some(zone.to_owned()),
        Dependency::EnvironmentFile if !host.starts_with("s3.") => Some(zone.to_owned()),
        _ => Some(format!("sts.{zone}")),
    };
    // A zone whose apex has an address while its other names have none is a private hosted zone
    // without the wildcard record.
    let apex = (dependency == Dependency::EcrDkr).then(|| zone.to_owned());
    let wildcard = matches!(dependency, Dependency::EcrDkr | Dependency::S3)
        .then(|| format!("pullprobe-{:08x}.{zone}", std::process::id()));
    let siblings = sibling
        .into_iter()
        .chain(apex)
        .map(|name| (name, Purpose::Sibling));
    siblings
        .chain(wildcard.map(|name| (name, Purpose::Wildcard)))
        .collect()
}

impl Lookup {
    /// Returns the failure, if the lookup has no usable response.
    pub fn failure(&self) -> Option<Failure> {
        match self.result {
            LookupResult::Answered => None,
            LookupResult::Failed { failure } => Some(failure),
        }
    }

    fn add_reply(&mut self, reply: &DnsResponse, kind: RecordType) {
        let message = &reply.message;
        self.over_tcp = reply.over_tcp;
        self.ttl_s = message.answers.iter().map(|record| record.ttl).min();
        for record in &message.answers {
            match &record.data {
                RData::A(address) => self.addresses.push(IpAddr::V4(address.0)),
                RData::AAAA(address) => self.addresses.push(IpAddr::V6(address.0)),
                RData::CNAME(alias) => self.aliases.push(normalize(&alias.0)),
                _ => {}
            }
        }
        self.addresses.truncate(MAX_ADDRESSES);
        self.aliases.truncate(MAX_ADDRESSES);
        let authority = message.authorities.iter().chain(&message.answers);
        for record in authority.take(MAX_RECORDS) {
            if let (RData::SOA(soa), None) = (&record.data, &self.zone) {
                self.zone = Some(normalize(&record.name));
                self.zone_server = Some(normalize(&soa.mname));
            }
        }
        let empty = match kind {
            RecordType::SOA => self.zone.is_none(),
            _ => self.addresses.is_empty(),
        };
        if let Some(failure) = failure_of(message.metadata.response_code) {
            self.result = LookupResult::Failed { failure };
        } else if empty {
            self.result = LookupResult::Failed {
                failure: Failure::NoAddress,
            };
        }
    }
}

/// Returns the name in lower case, without the trailing dot.
fn normalize(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_lowercase()
}
