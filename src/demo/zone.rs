//! The resolver's zones, and how it answers queries from them (RFC 1034 section 4.3.2). Pure.

use std::net::Ipv4Addr;

use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, SOA};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::names::{ACCOUNT, REGION, SERVICES, host_name, is_public, public_address};
use super::scenario::{DnsNames, Host, Scenario};
use crate::observation::Dependency;

/// An apex and the records below it.
#[derive(Debug, Clone)]
pub(super) struct DnsZone {
    apex: Name,
    records: Vec<(Name, RecordData)>,
}

#[derive(Debug, Clone)]
enum RecordData {
    Addresses(Vec<Ipv4Addr>),
    Cname(Name),
}

/// Other AWS services whose names resolve.
const OTHER_SERVICES: [&str; 8] = ["ec2", "ecs", "kms", "monitoring", "s3", "sns", "sqs", "sts"];
/// The address of names that the probe does not contact.
const OTHER_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 20, 0, 200);
/// Names outside AWS that resolve.
const OTHER_NAMES: [&str; 4] = ["amazon.com", "example.com", "example.org", "iana.org"];

/// Seconds. Records of interface endpoints have a TTL of 60 s (Route 53's alias default), and
/// no record changes during a demo.
const TTL: u32 = 60;
/// CNAMEs that are followed: the zones have one.
const MAX_CNAMES: usize = 8;

/// Returns the zones of `scenario`: the public ones, and a private hosted zone for every service
/// with an interface endpoint.
pub(super) fn zones(scenario: &Scenario) -> Vec<DnsZone> {
    let mut zones = vec![DnsZone::new(
        "",
        OTHER_NAMES.map(|name| (name.into(), RecordData::Addresses(vec![OTHER_ADDRESS]))),
    )];
    if scenario.dns_names == DnsNames::NoneOfAws {
        zones.push(DnsZone::new("amazonaws.com", []));
        return zones;
    }
    zones.push(public_zone(scenario));
    for (service, host) in &scenario.hosts {
        let apex = private_apex(*service);
        if scenario.dns_names == DnsNames::AllBut(*service) {
            let other_account = (
                format!("210987654321.{apex}"),
                RecordData::Addresses(vec![OTHER_ADDRESS]),
            );
            zones.push(DnsZone::new(&apex, [other_account]));
        } else if !host.ips().any(is_public) {
            let addresses = RecordData::Addresses(host.ips().collect());
            zones.push(DnsZone::new(&apex, [(owner_name(*service), addresses)]));
        }
    }
    zones
}

fn public_zone(scenario: &Scenario) -> DnsZone {
    let mut records: Vec<_> = OTHER_SERVICES
        .map(|service| {
            (
                format!("{service}.{REGION}.amazonaws.com"),
                RecordData::Addresses(vec![OTHER_ADDRESS]),
            )
        })
        .into();
    for service in SERVICES {
        let ips = scenario.hosts.get(&service).into_iter().flat_map(Host::ips);
        let mut addresses: Vec<_> = ips.filter(|ip| is_public(*ip)).collect();
        if addresses.is_empty() {
            addresses.push(public_address(service));
        }
        if service == Dependency::S3 {
            // A bucket's name is a CNAME of one that the Region's buckets share.
            let shared = format!("s3-w.{REGION}.amazonaws.com");
            records.push((host_name(service), RecordData::Cname(name(&shared))));
            records.push((shared, RecordData::Addresses(addresses)));
        } else {
            records.push((owner_name(service), RecordData::Addresses(addresses)));
        }
    }
    DnsZone::new("amazonaws.com", records)
}

/// Returns the apex of the private hosted zone that an interface endpoint with private DNS creates.
fn private_apex(service: Dependency) -> String {
    let host = host_name(service);
    host.strip_prefix(&format!("{ACCOUNT}."))
        .unwrap_or(&host)
        .to_owned()
}

/// Returns the owner name of a service's record. All accounts' registries share a wildcard.
fn owner_name(service: Dependency) -> String {
    if service == Dependency::EcrDkr {
        format!("*.{}", private_apex(service))
    } else {
        host_name(service)
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

impl DnsZone {
    fn new(apex: &str, records: impl IntoIterator<Item = (String, RecordData)>) -> Self {
        let records = records
            .into_iter()
            .map(|(owner, data)| (name(&owner), data))
            .collect();
        Self {
            apex: name(apex),
            records,
        }
    }

    /// Returns the data of `queried`, or of the wildcard that covers it (RFC 4592: one label, where
    /// no closer name exists).
    fn data(&self, queried: &Name) -> Option<&RecordData> {
        self.exact_data(queried).or_else(|| {
            if queried.is_root() {
                None
            } else {
                self.exact_data(&queried.clone().into_wildcard())
            }
        })
    }

    fn exact_data(&self, owner: &Name) -> Option<&RecordData> {
        self.records
            .iter()
            .find(|(name, _)| name == owner)
            .map(|(_, data)| data)
    }

    /// Whether the name exists, be it only as an empty non-terminal.
    fn exists(&self, queried: &Name) -> bool {
        *queried == self.apex || self.records.iter().any(|(owner, _)| queried.zone_of(owner))
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

/// Fills `response` with the answer to `query`: records, or the SOA of the zone that has none.
pub(super) fn answer(zones: &[DnsZone], query: &Query, response: &mut Message) {
    let mut queried = query.name().to_lowercase();
    for _ in 0..MAX_CNAMES {
        let Some(zone) = zones
            .iter()
            .filter(|zone| zone.apex.zone_of(&queried))
            .max_by_key(|z| z.apex.num_labels())
        else {
            response.metadata.response_code = ResponseCode::Refused;
            return;
        };
        match zone.data(&queried) {
            Some(RecordData::Cname(target)) => {
                let cname = RData::CNAME(CNAME(target.clone()));
                response.add_answer(Record::from_rdata(queried, TTL, cname));
                queried = target.clone();
            }
            Some(RecordData::Addresses(addresses)) if query.query_type() == RecordType::A => {
                let record = |address: &Ipv4Addr| {
                    Record::from_rdata(queried.clone(), TTL, RData::A(A(*address)))
                };
                response.add_answers(addresses.iter().map(record));
                return;
            }
            _ if query.query_type() == RecordType::SOA && queried == zone.apex => {
                response.add_answer(zone.soa());
                return;
            }
            data => {
                if data.is_none() && !zone.exists(&queried) {
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
    use crate::demo::names::healthy_address;

    fn query(scenario: &Scenario, host: &str, kind: RecordType) -> Message {
        let mut response = Message::query();
        answer(
            &zones(scenario),
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
    fn endpoints_resolve_in_private_zones_and_s3_in_the_public_zone() {
        let aws = Scenario::healthy();
        for service in SERVICES {
            let response = query(&aws, &host_name(service), RecordType::A);
            let expected = healthy_address(service);
            assert_eq!(addresses(&response), [expected], "{service}");
        }
        let bucket = query(&aws, &host_name(Dependency::S3), RecordType::A);
        assert!(matches!(bucket.answers[0].data, RData::CNAME(_)));
        assert_eq!(
            addresses(&query(
                &aws,
                "any.dkr.ecr.us-east-1.amazonaws.com",
                RecordType::A
            ))
            .len(),
            1
        );
    }

    #[test]
    fn negative_answers_come_from_the_closest_zone() {
        let aws = Scenario::healthy();
        let no_address = query(&aws, &host_name(Dependency::EcrApi), RecordType::AAAA);
        assert_eq!(no_address.metadata.response_code, ResponseCode::NoError);
        assert_eq!(authority(&no_address), "api.ecr.us-east-1.amazonaws.com.");
        let no_name = query(&aws, "nothing.us-east-1.amazonaws.com", RecordType::A);
        assert_eq!(no_name.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(authority(&no_name), "amazonaws.com.");
        let between = query(&aws, "us-east-1.amazonaws.com", RecordType::A);
        assert_eq!(between.metadata.response_code, ResponseCode::NoError);
        let apex = query(&aws, "dkr.ecr.us-east-1.amazonaws.com", RecordType::SOA);
        assert!(matches!(apex.answers[0].data, RData::SOA(_)));
    }

    #[test]
    fn empty_amazonaws_zone_hides_all_of_aws() {
        let aws = Scenario {
            dns_names: DnsNames::NoneOfAws,
            ..Scenario::healthy()
        };
        for service in SERVICES {
            let response = query(&aws, &host_name(service), RecordType::A);
            assert_eq!(response.metadata.response_code, ResponseCode::NXDomain);
            assert_eq!(authority(&response), "amazonaws.com.");
        }
        assert_eq!(
            addresses(&query(&aws, "example.com", RecordType::A)),
            [OTHER_ADDRESS]
        );
    }

    #[test]
    fn private_zone_without_the_record_shadows_one_name() {
        let aws = Scenario {
            dns_names: DnsNames::AllBut(Dependency::EcrDkr),
            ..Scenario::healthy()
        };
        let shadowed = query(&aws, &host_name(Dependency::EcrDkr), RecordType::A);
        assert_eq!(shadowed.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(authority(&shadowed), "dkr.ecr.us-east-1.amazonaws.com.");
        assert_eq!(
            addresses(&query(&aws, &host_name(Dependency::EcrApi), RecordType::A)).len(),
            1
        );
    }
}
