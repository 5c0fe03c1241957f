//! `resolve`: looks up addresses and, if that fails, sends queries that distinguish the causes.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::{Instant, sleep, timeout};

use crate::dns::{ANSWER_TIMEOUT, DnsResponse, QueryFailure, failure_of, query};
use crate::network_location::IpFamily;
use crate::observation::{Dependency, Failure, Lookup, LookupResult, Purpose, Tries};
use crate::safe_text::{SafeText, safe_text};

/// Time limit of one lookup: the C library and Go's resolver send a query twice and wait five
/// seconds each time (resolv.conf(5), `timeout` and `attempts`).
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit of a lookup that only helps to explain a failure. Working resolvers answer in
/// milliseconds; three seconds allow for repeated queries.
const EXPLAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Time from each query to the next while there is no answer; each goes to the next resolver on the
/// list. The C library waits five seconds, but the run has a deadline, and a lost datagram should
/// not cost much of it. On a path that drops every tenth packet in each direction, at least one of
/// four queries is answered in all but about one of a thousand lookups.
const RESEND_INTERVALS: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// Pause after every resolver on the list has answered with an error; doubled each time, up to
/// [`MAX_ERROR_PAUSE`].
const ERROR_PAUSE: Duration = Duration::from_millis(100);
const MAX_ERROR_PAUSE: Duration = Duration::from_millis(800);

/// Maximum number of queries of one lookup. If a resolver fails each query with a probability of
/// one half, at least one of eight is answered in all but four of a thousand lookups; together they
/// take four seconds.
const MAX_QUERIES: usize = 8;

/// Maximum number of queries of a lookup that only helps to explain a failure: one for each
/// resolver.
const MAX_EXPLAINING_QUERIES: usize = 3;

/// How long to wait for the AAAA response after the A response. A resolver that never answers AAAA
/// must not delay the run.
const AAAA_TIMEOUT: Duration = Duration::from_millis(500);

/// libc uses at most three resolvers (resolv.conf(5), MAXNS).
const MAX_RESOLVERS: usize = 3;

/// Maximum number of addresses of one answer that are tried, in the order of the answer. Amazon S3
/// and Elastic Load Balancing return at most eight, and a puller gives up before it has waited for
/// eight silent ones. The limit bounds the connections that one name can cause.
const MAX_ADDRESSES: usize = 8;

/// Maximum number of characters shown of a CNAME loop: a name has at most 253.
const MAX_LOOP_CHARS: usize = 300;

/// Maximum number of CNAMEs that are followed. AWS's names have one or two.
const MAX_ALIASES: usize = 16;

/// Maximum number of records searched for the zone's SOA. A negative response has one (RFC 2308
/// section 3).
const MAX_RECORDS: usize = 64;

/// Queries recursive resolvers, in the order given.
#[derive(Debug, Clone)]
pub struct StubResolver {
    servers: Vec<SocketAddr>,
    /// Whether only IPv6 addresses are usable, so that the AAAA lookup must complete.
    needs_ipv6: bool,
    limit: Duration,
}

/// The result of resolving a host name.
pub struct Resolution {
    /// Addresses, IPv4 first, or the most informative failure.
    pub addresses: Result<Vec<IpAddr>, Failure>,
    /// Each lookup, with its response.
    pub lookups: Vec<Lookup>,
    /// Counts the queries that returned an error; `None` if none did.
    pub tries: Option<Tries>,
    /// Anything else worth noting about the answers.
    pub detail: SafeText,
}

/// A lookup, and how often it was tried.
struct CompletedLookup {
    lookup: Lookup,
    tries: Tries,
    /// Anything worth noting about the answer.
    note: Option<SafeText>,
}

impl StubResolver {
    /// Returns a resolver that uses the first three of `servers`.
    pub fn new(mut servers: Vec<SocketAddr>) -> Self {
        servers.truncate(MAX_RESOLVERS);
        Self {
            servers,
            needs_ipv6: false,
            limit: LOOKUP_TIMEOUT,
        }
    }

    /// Returns the resolver for a task with these IP versions.
    #[must_use]
    pub fn for_family(self, ip_family: IpFamily) -> Self {
        Self {
            needs_ipv6: ip_family == IpFamily::Ipv6,
            ..self
        }
    }

    /// Returns the resolver with a shorter time limit for each lookup.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self {
            limit: limit.min(LOOKUP_TIMEOUT),
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
                tries: None,
                detail: SafeText::default(),
            };
        }
        let a = self.query(host, RecordType::A, Purpose::Target);
        let aaaa = self.query(host, RecordType::AAAA, Purpose::Target);
        let mut aaaa = pin!(aaaa);
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
        let completed: Vec<CompletedLookup> = [Some(a), aaaa].into_iter().flatten().collect();
        let (tries, detail) = (tries_of(&completed), detail_of(&completed));
        let mut lookups: Vec<Lookup> = completed.into_iter().map(|done| done.lookup).collect();
        let addresses: Vec<IpAddr> = lookups
            .iter()
            .flat_map(|lookup| lookup.addresses.iter().copied())
            .collect();
        let failure = lookups
            .iter()
            .find_map(Lookup::failure)
            .unwrap_or(Failure::NoAddress);
        // A resolver that did not respond for seconds will not respond to further queries either.
        let explicable = !matches!(
            failure,
            Failure::TimedOut | Failure::Unreachable | Failure::TooSlow
        );
        if addresses.is_empty() && explicable {
            lookups.extend(self.explain(dependency, host, &lookups).await);
        }
        Resolution {
            addresses: if addresses.is_empty() {
                Err(failure)
            } else {
                Ok(addresses)
            },
            lookups,
            tries,
            detail,
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
        let completed = join_all(queries).await;
        completed.into_iter().map(|done| done.lookup).collect()
    }

    /// Queries the resolvers in turn until one gives a conclusive response, as the C library does:
    /// after an error or silence, the query is repeated. Returns that response, or the most
    /// informative failure.
    #[expect(clippy::too_many_lines, reason = "one loop over sending and waiting")]
    async fn query(&self, name: &str, kind: RecordType, purpose: Purpose) -> CompletedLookup {
        let (limit, max_queries) = match purpose {
            Purpose::Target => (self.limit, MAX_QUERIES),
            _ => (self.limit.min(EXPLAIN_TIMEOUT), MAX_EXPLAINING_QUERIES),
        };
        let started = Instant::now();
        let mut waiting = FuturesUnordered::new();
        // The resolver of each query; `None` once it has responded.
        let mut unanswered: Vec<Option<SocketAddr>> = Vec::new();
        let mut tries = Tries { failed: 0, of: 0 };
        let mut best: Option<CompletedLookup> = None;
        let mut resend = RESEND_INTERVALS.into_iter();
        let mut error_pause = ERROR_PAUSE;
        let mut unsent = 0;
        let mut next_query = pin!(sleep(Duration::ZERO));
        let mut has_next = !self.servers.is_empty();
        loop {
            let (nth, server, sent_at, reply) = tokio::select! {
                Some(reply) = waiting.next() => reply,
                () = &mut next_query, if has_next => {
                    let (nth, sent_at) = (unanswered.len(), Instant::now());
                    let server = self.servers[nth % self.servers.len()];
                    let left = limit.saturating_sub(started.elapsed());
                    unanswered.push(Some(server));
                    waiting.push(async move {
                        (nth, server, sent_at, query(server, name, kind, left).await)
                    });
                    let interval = resend.next();
                    let interval = interval.filter(|&interval| interval < left);
                    has_next = interval.is_some() && unanswered.len() < max_queries;
                    next_query.as_mut().reset(sent_at + interval.unwrap_or_default());
                    continue;
                }
                else => break,
            };
            let mut lookup = Lookup::new(name, kind, purpose, server);
            let note = lookup.add_result(reply, kind, sent_at.elapsed());
            let failure = lookup.failure();
            let rank = rank(failure);
            if rank > SILENCE {
                unanswered[nth] = None;
            }
            if matches!(rank, ERROR | CONCLUSIVE) {
                tries.of += 1;
            }
            if rank == CONCLUSIVE {
                let before = unanswered[..nth].iter();
                lookup.unanswered = before.flatten().copied().collect();
                return CompletedLookup {
                    lookup,
                    tries,
                    note,
                };
            }
            if rank == ERROR {
                tries.failed += 1;
                // The C library goes on to the next resolver at once.
                let asked_all = tries.failed as usize >= self.servers.len();
                let pause = if asked_all {
                    error_pause
                } else {
                    Duration::ZERO
                };
                if asked_all {
                    error_pause = MAX_ERROR_PAUSE.min(error_pause * 2);
                }
                next_query.as_mut().reset(Instant::now() + pause);
                has_next = unanswered.len() < max_queries && started.elapsed() + pause < limit;
            }
            if rank == UNSENT {
                unsent += 1;
                if unsent < self.servers.len() {
                    has_next = true;
                    next_query.as_mut().reset(Instant::now());
                } else if waiting.is_empty() {
                    has_next = false;
                }
            }
            if best
                .as_ref()
                .is_none_or(|best| self::rank(best.lookup.failure()) < rank)
            {
                best = Some(CompletedLookup {
                    lookup,
                    tries,
                    note,
                });
            }
        }
        let mut best = best.unwrap_or_else(|| {
            let nowhere = SocketAddr::from(([0, 0, 0, 0], 53));
            let mut lookup = Lookup::new(name, kind, purpose, nowhere);
            lookup.fail(Failure::Unreachable);
            CompletedLookup {
                lookup,
                tries,
                note: None,
            }
        });
        best.tries = tries;
        if best.lookup.failure() == Some(Failure::TimedOut) {
            best.lookup.elapsed_ms = crate::millis(started.elapsed());
        }
        best
    }
}

/// The ranks of responses, from the least to the most informative; see [`rank`].
const SILENCE: u8 = 0;
const UNSENT: u8 = 1;
const ERROR: u8 = 2;
const LATE: u8 = 3;
const CONCLUSIVE: u8 = 4;

/// Returns how informative a response is. The C library does not retry after a conclusive one.
fn rank(failure: Option<Failure>) -> u8 {
    match failure {
        Some(Failure::TimedOut) => SILENCE,
        Some(Failure::Unreachable) => UNSENT,
        Some(Failure::ServerFailure | Failure::QueryRefused) => ERROR,
        Some(Failure::TooSlow) => LATE,
        _ => CONCLUSIVE,
    }
}

/// Counts the queries that returned an error: those of the lookups that worked when repeated or, if
/// none did, those of the lookup that was repeated the least.
fn tries_of(completed: &[CompletedLookup]) -> Option<Tries> {
    let failed = || completed.iter().filter(|done| done.tries.failed > 0);
    let worked = failed().filter(|done| rank(done.lookup.failure()) == CONCLUSIVE);
    let sum = worked.map(|done| done.tries).reduce(|sum, tries| Tries {
        failed: sum.failed + tries.failed,
        of: sum.of + tries.of,
    });
    let resolved = completed
        .iter()
        .any(|done| !done.lookup.addresses.is_empty());
    let fewest = failed().map(|done| done.tries).min_by_key(|tries| tries.of);
    sum.or(fewest.filter(|_| !resolved))
}

/// Describes what is worth noting about the answers.
fn detail_of(completed: &[CompletedLookup]) -> SafeText {
    let lost: usize = completed
        .iter()
        .map(|done| done.lookup.unanswered.len())
        .sum();
    let lost = match lost {
        0 => None,
        1 => Some("one query was not answered, and the next one was".into()),
        _ => Some(safe_text![
            lost.to_string(),
            " queries were not answered, and the next ones were",
        ]),
    };
    let failed = tries_of(completed).map(|Tries { failed, of }| {
        safe_text![format!("{failed} of {of}"), " queries returned an error"]
    });
    let notes = completed.iter().filter_map(|done| done.note.clone());
    SafeText::join(notes.chain(failed).chain(lost), "; ")
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

    /// Returns a lookup of `name` that has no addresses yet.
    fn new(name: &str, kind: RecordType, purpose: Purpose, resolver: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_string().into(),
            purpose,
            resolver,
            unanswered: Vec::new(),
            result: LookupResult::Answered,
            addresses: Vec::new(),
            aliases: Vec::new(),
            ttl_s: None,
            zone: None,
            zone_server: None,
            over_tcp: false,
            elapsed_ms: 0,
        }
    }

    /// Reads a resolver's message as the response to a query.
    #[cfg(all(feature = "operator", any(test, fuzzing)))]
    pub(crate) fn in_message(bytes: &[u8], kind: RecordType) -> Option<Self> {
        let message = hickory_resolver::proto::op::Message::from_vec(bytes).ok()?;
        let mut lookup = Self::new(
            "a.example",
            kind,
            Purpose::Target,
            ([10, 0, 0, 2], 53).into(),
        );
        let reply = DnsResponse {
            message,
            over_tcp: false,
        };
        lookup.add_reply(&reply, kind);
        assert!(lookup.addresses.len() <= MAX_ADDRESSES, "{lookup:?}");
        assert!(lookup.aliases.len() <= MAX_ALIASES + 1, "{lookup:?}");
        Some(lookup)
    }

    fn fail(&mut self, failure: Failure) {
        self.result = LookupResult::Failed { failure };
    }

    /// Adds the result of a query that took this long. Returns anything worth noting about it.
    fn add_result(
        &mut self,
        reply: Result<DnsResponse, QueryFailure>,
        kind: RecordType,
        elapsed: Duration,
    ) -> Option<SafeText> {
        self.elapsed_ms = crate::millis(elapsed);
        match reply {
            Ok(_) if elapsed > ANSWER_TIMEOUT => self.fail(Failure::TooSlow),
            Ok(reply) => return self.add_reply(&reply, kind),
            Err(QueryFailure { failure, over_tcp }) => {
                self.fail(failure);
                self.over_tcp = over_tcp;
            }
        }
        None
    }

    /// Adds the response. Returns anything worth noting about it.
    fn add_reply(&mut self, reply: &DnsResponse, kind: RecordType) -> Option<SafeText> {
        let message = &reply.message;
        self.over_tcp = reply.over_tcp;
        self.ttl_s = message.answers.iter().map(|record| record.ttl).min();
        let note = self.add_answers(reply, kind);
        let authority = message.authorities.iter().chain(&message.answers);
        for record in authority.take(MAX_RECORDS) {
            if let (RData::SOA(soa), None) = (&record.data, &self.zone) {
                self.zone = Some(normalize(&record.name).into());
                self.zone_server = Some(normalize(&soa.mname).into());
            }
        }
        let empty = match kind {
            RecordType::SOA => self.zone.is_none(),
            _ => self.addresses.is_empty(),
        };
        if let Some(failure) = failure_of(message.metadata.response_code) {
            self.fail(failure);
        } else if empty {
            self.fail(Failure::NoAddress);
        }
        note
    }

    /// Follows the CNAMEs from the name to its addresses. Records of other names and types are
    /// ignored, as the C library ignores them.
    fn add_answers(&mut self, reply: &DnsResponse, kind: RecordType) -> Option<SafeText> {
        let answers = &reply.message.answers;
        let mut owners: Vec<&Name> = vec![reply.message.queries.first()?.name()];
        loop {
            let owner = owners[owners.len() - 1];
            let alias = answers.iter().find_map(|record| match &record.data {
                RData::CNAME(alias) if record.name == *owner => Some(&alias.0),
                _ => None,
            });
            let Some(alias) = alias else {
                break;
            };
            if owners.len() > MAX_ALIASES {
                return Some(safe_text![
                    &self.name,
                    " leads to more than ",
                    MAX_ALIASES.to_string(),
                    " CNAMEs",
                ]);
            }
            self.aliases.push(normalize(alias).into());
            if owners.contains(&alias) {
                let names = std::iter::once((&self.name).into()).chain(self.aliases.clone());
                let mut names = SafeText::join(names, " to ");
                names.shorten(MAX_LOOP_CHARS);
                return Some(safe_text!["the CNAMEs form a loop: ", names]);
            }
            owners.push(alias);
        }
        let owner = owners[owners.len() - 1];
        let addresses = answers.iter().filter(|record| record.name == *owner);
        let addresses = addresses.filter_map(|record| match (&record.data, kind) {
            (RData::A(address), RecordType::A) => Some(IpAddr::V4(address.0)),
            (RData::AAAA(address), RecordType::AAAA) => Some(IpAddr::V6(address.0)),
            _ => None,
        });
        let all = addresses.clone().count();
        self.addresses = addresses.take(MAX_ADDRESSES).collect();
        (all > MAX_ADDRESSES).then(|| {
            safe_text![
                "the answer has ",
                all.to_string(),
                " addresses, and only the first ",
                MAX_ADDRESSES.to_string(),
                " are tried",
            ]
        })
    }
}

/// Returns the name in lower case, without the trailing dot. A label may be any bytes (RFC 2181
/// section 11).
fn normalize(name: &Name) -> String {
    let labels = name.iter().map(|label| {
        let label = String::from_utf8_lossy(label);
        label.to_ascii_lowercase().replace('.', "\\.")
    });
    labels.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(failure: Option<Failure>, failed: u32, of: u32) -> CompletedLookup {
        let mut lookup = Lookup::new(
            "a.example",
            RecordType::A,
            Purpose::Target,
            SocketAddr::from(([10, 0, 0, 2], 53)),
        );
        match failure {
            Some(failure) => lookup.result = LookupResult::Failed { failure },
            None => lookup.addresses.push([10, 0, 9, 1].into()),
        }
        CompletedLookup {
            lookup,
            tries: Tries { failed, of },
            note: None,
        }
    }

    #[test]
    fn tries_are_those_of_lookups_that_worked_when_repeated() {
        let error = Some(Failure::ServerFailure);
        let tries = |lookups: &[CompletedLookup]| tries_of(lookups).map(|t| (t.failed, t.of));
        assert_eq!(tries(&[done(None, 0, 1), done(None, 0, 1)]), None);
        assert_eq!(tries(&[done(None, 1, 2), done(None, 2, 3)]), Some((3, 5)));
        // A resolver that never answers AAAA does no harm while it answers A.
        assert_eq!(tries(&[done(None, 0, 1), done(error, 8, 8)]), None);
        assert_eq!(tries(&[done(error, 8, 8), done(error, 3, 3)]), Some((3, 3)));
    }

    /// A query that cannot be sent is not taken for a silent resolver, and does not wait.
    #[tokio::test]
    async fn missing_route_is_reported_at_once() {
        // The kernel sends no broadcast for a socket that has not enabled it (socket(7)).
        let nowhere = "255.255.255.255:53".parse().unwrap();
        let resolution = StubResolver::new(vec![nowhere])
            .resolve(Dependency::EcrApi, "api.ecr.us-east-1.amazonaws.com")
            .await;
        assert_eq!(resolution.addresses.unwrap_err(), Failure::Unreachable);
        assert!(resolution.lookups.iter().all(|l| l.elapsed_ms < 5_000));
    }

    /// The first of two resolvers is silent, so the second is queried after one second.
    #[tokio::test]
    async fn next_resolver_is_queried_while_the_first_is_silent() {
        let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let answering = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let servers = [
            silent.local_addr().unwrap(),
            answering.local_addr().unwrap(),
        ];
        tokio::spawn(async move {
            let mut packet = [0; 512];
            while let Ok((length, peer)) = answering.recv_from(&mut packet).await {
                let query = hickory_resolver::proto::op::Message::from_vec(&packet[..length]);
                let query = query.unwrap();
                let mut answer = hickory_resolver::proto::op::Message::response(
                    query.metadata.id,
                    hickory_resolver::proto::op::OpCode::Query,
                );
                let name = query.queries[0].name().clone();
                answer.add_query(query.queries[0].clone());
                let address = hickory_resolver::proto::rr::rdata::A([10, 0, 9, 1].into());
                let record =
                    hickory_resolver::proto::rr::Record::from_rdata(name, 60, RData::A(address));
                answer.add_answer(record);
                answering
                    .send_to(&answer.to_vec().unwrap(), peer)
                    .await
                    .unwrap();
            }
        });
        let resolution = StubResolver::new(servers.to_vec())
            .resolve(Dependency::Registry, "a.example")
            .await;
        assert_eq!(resolution.addresses.unwrap(), [IpAddr::from([10, 0, 9, 1])]);
        let lookup = &resolution.lookups[0];
        assert_eq!(lookup.resolver, servers[1]);
        assert_eq!(lookup.unanswered, servers[..1]);
        assert!(resolution.tries.is_none());
        drop(silent);
    }
}
