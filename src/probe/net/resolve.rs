//! `resolve`: names to addresses, and when that fails, the questions that tell the causes apart.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::{sleep, timeout};

use crate::dns::{NoReply, Reply, failure_of, question};
use crate::observation::{Dependency, Failure, Lookup, LookupResult, Purpose};

/// The next resolver of the list is asked when the one before it has been silent for this long:
/// sooner than libc's five seconds, because the run has a deadline, later than any healthy answer.
const NEXT_RESOLVER_AFTER: Duration = Duration::from_secs(1);

/// How long an IPv6 answer may lag behind the IPv4 one. A resolver that never answers AAAA must not
/// hold up the run.
const AAAA_GRACE: Duration = Duration::from_millis(500);

/// libc asks three resolvers at most (resolv.conf(5), MAXNS).
const MAX_RESOLVERS: usize = 3;

/// The resolvers, in the order in which they are asked.
#[derive(Debug, Clone)]
pub struct Resolver {
    servers: Vec<SocketAddr>,
}

/// What became of a host's name.
pub struct Resolution {
    /// Addresses, IPv4 first, or the failure that says most.
    pub addresses: Result<Vec<IpAddr>, Failure>,
    /// Every question asked.
    pub lookups: Vec<Lookup>,
}

impl Resolver {
    /// Asks these; the first three count.
    pub fn new(mut servers: Vec<SocketAddr>) -> Self {
        servers.truncate(MAX_RESOLVERS);
        Self { servers }
    }

    /// A and AAAA of `host`, at once. When neither has an address, also what explains it.
    pub async fn resolve(&self, dependency: Dependency, host: &str) -> Resolution {
        if let Ok(address) = host.parse() {
            return Resolution {
                addresses: Ok(vec![address]),
                lookups: Vec::new(),
            };
        }
        let four = self.ask(host, RecordType::A, Purpose::Target);
        let six = self.ask(host, RecordType::AAAA, Purpose::Target);
        let mut six = std::pin::pin!(six);
        let mut early = None;
        let four = tokio::select! {
            four = four => four,
            answer = async { early = Some(six.as_mut().await); std::future::pending().await } => answer,
        };
        let six = match early {
            Some(answer) => Some(answer),
            None => timeout(AAAA_GRACE, six).await.ok(),
        };
        let mut lookups: Vec<Lookup> = [Some(four), six].into_iter().flatten().collect();
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
        // A resolver that has been silent for seconds would only be silent again.
        if failure != Failure::TimedOut && failure != Failure::Unreachable {
            lookups.extend(self.explain(dependency, host, &lookups).await);
        }
        Resolution {
            addresses: Err(failure),
            lookups,
        }
    }

    /// The questions whose answers tell a dead name from a dead zone and a dead resolver.
    async fn explain(&self, dependency: Dependency, host: &str, known: &[Lookup]) -> Vec<Lookup> {
        let zone_unknown = known.iter().all(|lookup| lookup.zone.is_none());
        let zone = zone_unknown.then(|| (host.to_owned(), RecordType::SOA, Purpose::Zone));
        let clues = clues(dependency, host)
            .into_iter()
            .map(|(name, purpose)| (name, RecordType::A, purpose));
        let questions = clues
            .chain(zone)
            .map(|(name, kind, purpose)| async move { self.ask(&name, kind, purpose).await });
        join_all(questions).await
    }

    /// One question. It is put to each resolver in turn, a second apart, and the first real answer
    /// counts: a resolver that fails may be followed by one that does not.
    async fn ask(&self, name: &str, kind: RecordType, purpose: Purpose) -> Lookup {
        let started = Instant::now();
        let mut asked: FuturesUnordered<_> = self
            .servers
            .iter()
            .zip(0u32..)
            .map(|(&server, nth)| async move {
                sleep(NEXT_RESOLVER_AFTER * nth).await;
                (server, question(server, name, kind).await)
            })
            .collect();
        let mut last = None;
        while let Some((resolver, reply)) = asked.next().await {
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
                Ok(reply) => lookup.read(&reply, kind),
                Err(NoReply { failure, over_tcp }) => {
                    lookup.result = LookupResult::Failed { failure };
                    lookup.over_tcp = over_tcp;
                }
            }
            let settled = !matches!(
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
            if settled || better {
                last = Some(lookup);
            }
            if settled {
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

/// A name of the same service family, and a random label under the family's zone where the public
/// zone has a wildcard.
fn clues(dependency: Dependency, host: &str) -> Vec<(String, Purpose)> {
    let random = format!("pullprobe-{:08x}", std::process::id());
    let Some((_, zone)) = host.split_once('.') else {
        return Vec::new();
    };
    let sibling = match dependency {
        // 123456789012.dkr.ecr.<region>.… has api.ecr.<region>.… beside it.
        Dependency::EcrDkr => zone.split_once('.').map(|(_, ecr)| format!("api.{ecr}")),
        // api.ecr.<region>.… and logs.<region>.… live among the region's services, of which sts is
        // in every one.
        Dependency::EcrApi => zone
            .split_once('.')
            .map(|(_, region)| format!("sts.{region}")),
        Dependency::S3 => Some(zone.to_owned()),
        Dependency::EnvironmentFile if !host.starts_with("s3.") => Some(zone.to_owned()),
        // fs-….efs.<region>.…
        Dependency::Efs => zone
            .split_once('.')
            .map(|(_, region)| format!("sts.{region}")),
        _ => Some(format!("sts.{zone}")),
    };
    let wildcard = matches!(dependency, Dependency::EcrDkr | Dependency::S3)
        .then(|| format!("{random}.{zone}"));
    // A zone whose own name has an address and whose other names have none is a private one without
    // the wildcard.
    let apex = (dependency == Dependency::EcrDkr).then(|| zone.to_owned());
    let clue = |name: Option<String>, purpose| name.map(|name| (name, purpose));
    let clues = [
        clue(sibling, Purpose::Sibling),
        clue(apex, Purpose::Sibling),
        clue(wildcard, Purpose::Wildcard),
    ];
    clues.into_iter().flatten().collect()
}

impl Lookup {
    /// The failure, if it has no answer.
    pub fn failure(&self) -> Option<Failure> {
        match self.result {
            LookupResult::Answered => None,
            LookupResult::Failed { failure } => Some(failure),
        }
    }

    fn read(&mut self, reply: &Reply, kind: RecordType) {
        let message = &reply.message;
        self.over_tcp = reply.over_tcp;
        self.ttl_s = message.answers.iter().map(|record| record.ttl).min();
        for record in &message.answers {
            match &record.data {
                RData::A(address) => self.addresses.push(IpAddr::V4(address.0)),
                RData::AAAA(address) => self.addresses.push(IpAddr::V6(address.0)),
                RData::CNAME(alias) => self.aliases.push(plain(&alias.0)),
                _ => {}
            }
        }
        self.addresses.truncate(MAX_ADDRESSES);
        self.aliases.truncate(MAX_ADDRESSES);
        let authority = message.authorities.iter().chain(&message.answers);
        for record in authority.take(MAX_RECORDS) {
            if let (RData::SOA(soa), None) = (&record.data, &self.zone) {
                self.zone = Some(plain(&record.name));
                self.zone_server = Some(plain(&soa.mname));
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

/// S3 answers with eight. A name with more than this is not read to the end: each address is
/// dialled.
const MAX_ADDRESSES: usize = 16;

/// Records looked at for the zone. A negative answer has one (RFC 2308 section 3).
const MAX_RECORDS: usize = 64;

fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_lowercase()
}
