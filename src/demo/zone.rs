//! What the resolver knows: zones, and the answer to a question from them (RFC 1034 section 4.3.2).
//! Pure.

use std::net::Ipv4Addr;

use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, SOA};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::scenario::{self, ACCOUNT, Names, REGION, SERVICES, Scenario};
use crate::observation::Dependency;

/// An apex and what is below it.
#[derive(Debug, Clone)]
pub(super) struct Zone {
    apex: Name,
    records: Vec<(Name, Data)>,
}

#[derive(Debug, Clone)]
enum Data {
    Addresses(Vec<Ipv4Addr>),
    Alias(Name),
}

/// Names of other AWS services, which a resolver that knows AWS knows as well.
const OTHER_SERVICES: [&str; 8] = ["ec2", "ecs", "kms", "monitoring", "s3", "sns", "sqs", "sts"];
/// Where they answer, if they were asked: nobody does.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 20, 0, 200);
/// Names outside AWS.
const OTHER_NAMES: [&str; 4] = ["amazon.com", "example.com", "example.org", "iana.org"];

/// Seconds. Interface endpoints' records live 60 s (Route 53's alias default), and nothing here
/// changes anyway.
const TTL: u32 = 60;
/// How many aliases are followed: one is in use.
const MAX_ALIASES: usize = 8;

/// The zones of a setting: the internet's, and a private hosted zone for every service with an
/// interface endpoint.
pub(super) fn zones(setting: &Scenario) -> Vec<Zone> {
    let mut zones = vec![Zone::new(
        "",
        OTHER_NAMES.map(|name| (name.into(), Data::Addresses(vec![ELSEWHERE]))),
    )];
    if setting.names == Names::NoneOfAws {
        zones.push(Zone::new("amazonaws.com", []));
        return zones;
    }
    zones.push(public_zone(setting));
    for (service, site) in &setting.sites {
        let apex = family(*service);
        if setting.names == Names::AllBut(*service) {
            let somebody_else = (
                format!("210987654321.{apex}"),
                Data::Addresses(vec![ELSEWHERE]),
            );
            zones.push(Zone::new(&apex, [somebody_else]));
        } else if !site
            .addresses
            .iter()
            .any(|(address, _)| scenario::is_public(*address))
        {
            let addresses = site.addresses.iter().map(|(address, _)| *address).collect();
            zones.push(Zone::new(
                &apex,
                [(owner(*service), Data::Addresses(addresses))],
            ));
        }
    }
    zones
}

fn public_zone(setting: &Scenario) -> Zone {
    let mut records: Vec<_> = OTHER_SERVICES
        .map(|service| {
            (
                format!("{service}.{REGION}.amazonaws.com"),
                Data::Addresses(vec![ELSEWHERE]),
            )
        })
        .into();
    for service in SERVICES {
        let site = setting
            .sites
            .get(&service)
            .map(|site| site.addresses.as_slice())
            .unwrap_or_default();
        let mut addresses: Vec<_> = site
            .iter()
            .map(|(address, _)| *address)
            .filter(|address| scenario::is_public(*address))
            .collect();
        if addresses.is_empty() {
            addresses.push(scenario::public_address(service));
        }
        if service == Dependency::S3 {
            // A bucket's name is an alias of one that the region's buckets share.
            let alias = format!("s3-w.{REGION}.amazonaws.com");
            records.push((scenario::host(service), Data::Alias(name(&alias))));
            records.push((alias, Data::Addresses(addresses)));
        } else {
            records.push((owner(service), Data::Addresses(addresses)));
        }
    }
    Zone::new("amazonaws.com", records)
}

/// The apex of the private hosted zone that an interface endpoint with private DNS makes.
fn family(service: Dependency) -> String {
    let host = scenario::host(service);
    host.strip_prefix(&format!("{ACCOUNT}."))
        .unwrap_or(&host)
        .to_owned()
}

/// The owner name of a service's record: every account's registry has the same one.
fn owner(service: Dependency) -> String {
    if service == Dependency::EcrDkr {
        format!("*.{}", family(service))
    } else {
        scenario::host(service)
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(text)
        .map(|mut name| {
            name.set_fqdn(true);
            name
        })
        .unwrap_or_default()
}

impl Zone {
    fn new(apex: &str, records: impl IntoIterator<Item = (String, Data)>) -> Self {
        let records = records
            .into_iter()
            .map(|(owner, data)| (name(&owner), data))
            .collect();
        Self {
            apex: name(apex),
            records,
        }
    }

    /// The data of `wanted`, or of the wildcard that covers it (RFC 4592: one label, where nothing
    /// closer exists).
    fn data(&self, wanted: &Name) -> Option<&Data> {
        let of = |owner: &Name| {
            self.records
                .iter()
                .find(|(name, _)| name == owner)
                .map(|(_, data)| data)
        };
        of(wanted).or_else(|| {
            if wanted.is_root() {
                None
            } else {
                of(&wanted.clone().into_wildcard())
            }
        })
    }

    /// Whether the name exists, if only because something is below it.
    fn exists(&self, wanted: &Name) -> bool {
        *wanted == self.apex || self.records.iter().any(|(owner, _)| wanted.zone_of(owner))
    }

    fn soa(&self) -> Record {
        let soa = SOA::new(
            name("ns-1.awsdns.example"),
            name("hostmaster.example"),
            1,
            7200,
            900,
            1_209_600,
            TTL,
        );
        Record::from_rdata(self.apex.clone(), TTL, RData::SOA(soa))
    }
}

/// Fills `response` with the answer to `query`: records, or the authority that says there are none.
pub(super) fn answer(zones: &[Zone], query: &Query, response: &mut Message) {
    let mut wanted = query.name().to_lowercase();
    for _ in 0..MAX_ALIASES {
        let Some(zone) = zones
            .iter()
            .filter(|zone| zone.apex.zone_of(&wanted))
            .max_by_key(|z| z.apex.num_labels())
        else {
            response.metadata.response_code = ResponseCode::Refused;
            return;
        };
        match zone.data(&wanted) {
            Some(Data::Alias(target)) => {
                let alias = RData::CNAME(CNAME(target.clone()));
                response.add_answer(Record::from_rdata(wanted, TTL, alias));
                wanted = target.clone();
            }
            Some(Data::Addresses(addresses)) if query.query_type() == RecordType::A => {
                let record = |address: &Ipv4Addr| {
                    Record::from_rdata(wanted.clone(), TTL, RData::A(A(*address)))
                };
                response.add_answers(addresses.iter().map(record));
                return;
            }
            _ if query.query_type() == RecordType::SOA && wanted == zone.apex => {
                response.add_answer(zone.soa());
                return;
            }
            data => {
                if data.is_none() && !zone.exists(&wanted) {
                    response.metadata.response_code = ResponseCode::NXDomain;
                }
                response.add_authority(zone.soa());
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(setting: &Scenario, host: &str, kind: RecordType) -> Message {
        let mut response = Message::query();
        answer(
            &zones(setting),
            &Query::query(name(host), kind),
            &mut response,
        );
        response
    }

    fn addresses(response: &Message) -> Vec<Ipv4Addr> {
        let address = |record: &Record| match record.data {
            RData::A(A(address)) => Some(address),
            _ => None,
        };
        response.answers.iter().filter_map(address).collect()
    }

    fn authority(response: &Message) -> String {
        response.authorities[0].name.to_ascii()
    }

    #[test]
    fn endpoints_answer_from_private_zones_and_s3_from_the_public_one() {
        let aws = Scenario::healthy();
        for service in SERVICES {
            let response = ask(&aws, &scenario::host(service), RecordType::A);
            let expected =
                scenario::private_address(service).unwrap_or(scenario::public_address(service));
            assert_eq!(addresses(&response), [expected], "{service}");
        }
        let bucket = ask(&aws, &scenario::host(Dependency::S3), RecordType::A);
        assert!(matches!(bucket.answers[0].data, RData::CNAME(_)));
        assert_eq!(
            addresses(&ask(
                &aws,
                "any.dkr.ecr.us-east-1.amazonaws.com",
                RecordType::A
            ))
            .len(),
            1
        );
    }

    #[test]
    fn what_is_not_there_is_denied_by_the_closest_zone() {
        let aws = Scenario::healthy();
        let no_address = ask(&aws, &scenario::host(Dependency::EcrApi), RecordType::AAAA);
        assert_eq!(no_address.metadata.response_code, ResponseCode::NoError);
        assert_eq!(authority(&no_address), "api.ecr.us-east-1.amazonaws.com.");
        let no_name = ask(&aws, "nothing.us-east-1.amazonaws.com", RecordType::A);
        assert_eq!(no_name.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(authority(&no_name), "amazonaws.com.");
        let between = ask(&aws, "us-east-1.amazonaws.com", RecordType::A);
        assert_eq!(between.metadata.response_code, ResponseCode::NoError);
        let apex = ask(&aws, "dkr.ecr.us-east-1.amazonaws.com", RecordType::SOA);
        assert!(matches!(apex.answers[0].data, RData::SOA(_)));
    }

    #[test]
    fn an_empty_zone_of_ones_own_hides_all_of_aws() {
        let aws = Scenario {
            names: Names::NoneOfAws,
            ..Scenario::healthy()
        };
        for service in SERVICES {
            let response = ask(&aws, &scenario::host(service), RecordType::A);
            assert_eq!(response.metadata.response_code, ResponseCode::NXDomain);
            assert_eq!(authority(&response), "amazonaws.com.");
        }
        assert_eq!(
            addresses(&ask(&aws, "example.com", RecordType::A)),
            [ELSEWHERE]
        );
    }

    #[test]
    fn a_private_zone_without_the_record_shadows_one_name() {
        let aws = Scenario {
            names: Names::AllBut(Dependency::EcrDkr),
            ..Scenario::healthy()
        };
        let shadowed = ask(&aws, &scenario::host(Dependency::EcrDkr), RecordType::A);
        assert_eq!(shadowed.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(authority(&shadowed), "dkr.ecr.us-east-1.amazonaws.com.");
        assert_eq!(
            addresses(&ask(
                &aws,
                &scenario::host(Dependency::EcrApi),
                RecordType::A
            ))
            .len(),
            1
        );
    }
}
