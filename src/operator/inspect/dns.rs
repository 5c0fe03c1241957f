//! Reads what else answers for names in a VPC: private hosted zones, Resolver rules, DNS Firewall.

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::reader::Reader;
use super::xml::XmlNode;
use crate::inspect::snapshot::{HostedZone, ResolverRule, Snapshot, ZoneRecord};
use crate::operator::aws::{Api, CallError, RestCall, percent_encode};
use crate::operator::paging::{Page, all_pages};
use crate::safe_text::{MAX_FOREIGN_CHARS, visible};

/// Pages of a list. Zones and rules of one VPC are few.
const MAX_PAGES: usize = 20;

/// Fills in zones, rules and firewalls of the snapshot's first VPC: a task's subnets are in one.
pub(super) async fn read(reader: &Reader, snapshot: &mut Snapshot) {
    let Some(vpc) = snapshot
        .subnets
        .iter()
        .flatten()
        .next()
        .map(|subnet| subnet.vpc.clone())
    else {
        return;
    };
    let hosts: Vec<String> = snapshot
        .plan
        .targets
        .iter()
        .map(|target| target.host.clone())
        .collect();
    let (zones, rules, profiles, firewalls) = tokio::join!(
        zones(reader, &vpc, &hosts),
        rules(reader, &vpc),
        profiles(reader, &vpc),
        firewalls(reader, &vpc)
    );
    snapshot.dns_profiles =
        reader.or_unread(profiles, "Route 53 Profiles, which contain zones and rules");
    snapshot.hosted_zones = reader.or_unread(zones, "private hosted zones that answer for names");
    snapshot.resolver_rules = reader.or_unread(rules, "Resolver rules that forward names");
    snapshot.dns_firewalls = reader.or_unread(firewalls, "DNS Firewall rules that block names");
}

async fn get(reader: &Reader, operation: &'static str, path: &str) -> Result<XmlNode, CallError> {
    let call = RestCall {
        operation,
        method: Method::GET,
        path,
    };
    reader.rest_xml(Api::ROUTE53, &call).await
}

async fn zones(reader: &Reader, vpc: &str, hosts: &[String]) -> Result<Vec<HostedZone>, CallError> {
    const OPERATION: &str = "ListHostedZonesByVPC";
    let region = reader.calls().client().region().clone();
    let items = all_pages(Api::ROUTE53, OPERATION, MAX_PAGES, async |token| {
        let token = token.map(|token| format!("&nexttoken={}", percent_encode(&token)));
        let path = format!(
            "/2013-04-01/hostedzonesbyvpc?vpcid={}&vpcregion={region}{}",
            percent_encode(vpc),
            token.unwrap_or_default()
        );
        let page = get(reader, OPERATION, &path).await?;
        Ok(Page {
            items: page
                .items("HostedZoneSummaries")
                .cloned()
                .collect::<Vec<_>>(),
            next_token: page.text("NextToken").map(str::to_owned),
        })
    })
    .await?;
    let mut zones = Vec::new();
    for item in items {
        let owner = item.child("Owner");
        let mut zone = HostedZone {
            id: item
                .string("HostedZoneId")
                .trim_start_matches("/hostedzone/")
                .to_owned(),
            name: without_dot(&item.string("Name")),
            owning_service: owner
                .and_then(|owner| owner.text("OwningService"))
                .map(str::to_owned),
            records: None,
        };
        let is_about =
            |host: &String| *host == zone.name || host.ends_with(&format!(".{}", zone.name));
        if zone.owning_service.is_none() && hosts.iter().any(is_about) {
            let records = records(reader, &zone.id).await;
            zone.records = reader.or_unread(records, "the records of private hosted zones");
        }
        zones.push(zone);
    }
    Ok(zones)
}

async fn records(reader: &Reader, zone: &str) -> Result<Vec<ZoneRecord>, CallError> {
    const OPERATION: &str = "ListResourceRecordSets";
    let items = all_pages(Api::ROUTE53, OPERATION, MAX_PAGES, async |token| {
        let path = format!(
            "/2013-04-01/hostedzone/{}/rrset{}",
            percent_encode(zone),
            token.unwrap_or_default()
        );
        let page = get(reader, OPERATION, &path).await?;
        let next = page.text("NextRecordName").map(|name| {
            let kind = page.text("NextRecordType").unwrap_or("A");
            let (name, kind) = (percent_encode(name), percent_encode(kind));
            format!("?name={name}&type={kind}")
        });
        Ok(Page {
            items: page
                .items("ResourceRecordSets")
                .cloned()
                .collect::<Vec<_>>(),
            next_token: next.filter(|_| page.is_true("IsTruncated")),
        })
    })
    .await?;
    Ok(items
        .iter()
        .map(|item| ZoneRecord {
            name: without_dot(&item.string("Name")).replace("\\052", "*"),
            record_type: item.string("Type"),
            values: item.texts("ResourceRecords", Some("Value")),
            alias: item
                .child("AliasTarget")
                .and_then(|alias| alias.text("DNSName"))
                .map(without_dot),
        })
        .collect())
}

fn without_dot(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ListResponse {
    #[serde(
        alias = "ResolverRuleAssociations",
        alias = "FirewallRuleGroupAssociations",
        alias = "ProfileAssociations"
    )]
    items: Vec<Value>,
    next_token: Option<String>,
}

async fn list(
    reader: &Reader,
    operation: &'static str,
    body: Value,
) -> Result<Vec<Value>, CallError> {
    all_pages(Api::ROUTE53_RESOLVER, operation, MAX_PAGES, async |token| {
        let mut body = body.clone();
        if let Some(token) = token {
            body["NextToken"] = json!(token);
        }
        let page: ListResponse = reader
            .calls()
            .read(Api::ROUTE53_RESOLVER, operation, &body)
            .await?;
        Ok(Page {
            items: page.items,
            next_token: page.next_token,
        })
    })
    .await
}

fn string(value: &Value, name: &str) -> String {
    visible(value[name].as_str().unwrap_or_default(), MAX_FOREIGN_CHARS)
}

async fn rules(reader: &Reader, vpc: &str) -> Result<Vec<ResolverRule>, CallError> {
    let filters = json!({ "Filters": [{ "Name": "VPCId", "Values": [vpc] }], "MaxResults": 100 });
    let associations = list(reader, "ListResolverRuleAssociations", filters).await?;
    let mut rules = Vec::new();
    for association in associations {
        // Some answers are not filtered.
        if string(&association, "VPCId") != vpc {
            continue;
        }
        let id = string(&association, "ResolverRuleId");
        let body = json!({ "ResolverRuleId": id });
        let response: Result<Value, _> = reader
            .calls()
            .read(Api::ROUTE53_RESOLVER, "GetResolverRule", &body)
            .await;
        let Some(response) = reader.or_unread(response, "what Resolver rules forward") else {
            // It may forward anything.
            rules.push(ResolverRule {
                id,
                rule_type: "FORWARD".into(),
                ..ResolverRule::default()
            });
            continue;
        };
        let rule = &response["ResolverRule"];
        let targets = rule["TargetIps"].as_array().into_iter().flatten();
        rules.push(ResolverRule {
            id,
            domain: without_dot(&string(rule, "DomainName")),
            rule_type: string(rule, "RuleType"),
            targets: targets.map(|target| string(target, "Ip")).collect(),
        });
    }
    Ok(rules)
}

async fn profiles(reader: &Reader, vpc: &str) -> Result<Vec<String>, CallError> {
    const OPERATION: &str = "ListProfileAssociations";
    let associations = all_pages(Api::ROUTE53_PROFILES, OPERATION, MAX_PAGES, async |token| {
        let token = token.map(|token| format!("&nextToken={}", percent_encode(&token)));
        let path = format!(
            "/profileassociations?resourceId={}{}",
            percent_encode(vpc),
            token.unwrap_or_default()
        );
        let call = RestCall {
            operation: OPERATION,
            method: Method::GET,
            path: &path,
        };
        let page: ListResponse = reader
            .calls()
            .read_rest(Api::ROUTE53_PROFILES, &call)
            .await?;
        Ok(Page {
            items: page.items,
            next_token: page.next_token,
        })
    })
    .await?;
    let is_theirs = |one: &&Value| string(one, "ResourceId") == vpc;
    Ok(associations
        .iter()
        .filter(is_theirs)
        .map(|association| string(association, "ProfileId"))
        .collect())
}

async fn firewalls(reader: &Reader, vpc: &str) -> Result<Vec<String>, CallError> {
    let body = json!({ "VpcId": vpc, "MaxResults": 100 });
    let associations = list(reader, "ListFirewallRuleGroupAssociations", body).await?;
    Ok(associations
        .iter()
        .map(|association| string(association, "FirewallRuleGroupId"))
        .collect())
}
