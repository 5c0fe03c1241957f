//! `inspect`: reads the configuration around a task into a snapshot. Only calls that read are made,
//! and each that is refused is named with what it would have added.

mod dns;
mod launched;
mod network;
mod objects;
mod reader;
mod role;
mod xml;

use ipnet::IpNet;
use jiff::Timestamp;

use super::aws::Api;
use super::dry_run::AwsCalls;
use super::error::OperatorError;
use super::launch::SubnetReport;
use crate::inspect::snapshot::{SNAPSHOT_SCHEMA, Snapshot, TaskNetwork};
use crate::inspect::{Inspection, role_requests};
use crate::observation::Failure;
use crate::plan::Plan;
use crate::verdict::Status;
use reader::Reader;

pub use launched::packets;

/// Returns the IDs of the subnets with this CIDR block, in an Availability Zone if it is known.
pub async fn find_subnets(
    calls: &AwsCalls,
    block: IpNet,
    zone: Option<&str>,
) -> Result<Vec<String>, OperatorError> {
    let name = match block {
        IpNet::V4(_) => "cidr-block",
        IpNet::V6(_) => "ipv6-cidr-block-association.ipv6-cidr-block",
    };
    let (block, zone) = ([block.to_string()], zone.map(|zone| [zone.to_owned()]));
    let mut filters: Vec<(&str, &[String])> = vec![(name, &block)];
    filters.extend(
        zone.as_ref()
            .map(|zone| ("availability-zone", zone.as_slice())),
    );
    let found = Reader::new(calls)
        .ec2("DescribeSubnets", "subnetSet", None, &filters, &[])
        .await?;
    let ids = found.iter().filter_map(|item| item.text("subnetId"));
    Ok(ids.map(str::to_owned).collect())
}

/// Reads everything that decides over the contacts of `plan` from the task's subnets. With
/// `network_only` neither the role nor the objects are read.
pub async fn read(
    calls: &AwsCalls,
    plan: Plan,
    task: TaskNetwork,
    network_only: bool,
) -> Result<Snapshot, OperatorError> {
    let reader = Reader::new(calls);
    let identity = reader.query(Api::STS, "GetCallerIdentity", &[]).await;
    let identity = reader.or_unread(
        identity,
        "the account, which shows whether the VPC is shared",
    );
    let account = identity
        .as_ref()
        .and_then(|response| response.child("GetCallerIdentityResult"))
        .and_then(|result| result.text("Account"))
        .map(str::to_owned);
    let subnets = match network::subnets(&reader, &task.subnets).await {
        Ok(subnets) => Some(subnets),
        Err(error) if error.failure() == Some(Failure::Denied) => {
            reader.note(&error, "the subnets, without which no path can be followed");
            None
        }
        // Without an answer there is nothing to evaluate.
        Err(error) => return Err(error.into()),
    };
    let mut snapshot = Snapshot {
        schema: SNAPSHOT_SCHEMA.to_owned(),
        read_at: Timestamp::now().to_string(),
        account,
        task,
        plan,
        network_only,
        vpcs: None,
        subnets,
        route_tables: None,
        prefix_lists: None,
        security_groups: None,
        network_acls: None,
        endpoints: None,
        nat_gateways: None,
        internet_gateways: None,
        block_public_access: None,
        hosted_zones: None,
        resolver_rules: None,
        dns_profiles: None,
        dns_firewalls: None,
        objects: Vec::new(),
        role: None,
        unread: Vec::new(),
    };
    let objects = async {
        if network_only {
            Vec::new()
        } else {
            Box::pin(objects::read(&reader, &snapshot.plan)).await
        }
    };
    // The objects complete the ARNs that the role is asked about.
    snapshot.objects = objects.await;
    if snapshot
        .subnets
        .as_ref()
        .is_some_and(|found| !found.is_empty())
    {
        Box::pin(network::read(&reader, &mut snapshot)).await;
        Box::pin(dns::read(&reader, &mut snapshot)).await;
    }
    if !network_only && let Some(arn) = snapshot.plan.execution_role.clone() {
        let requests = role_requests(&snapshot);
        snapshot.role = role::read(&reader, &arn, &requests).await;
    }
    if snapshot.plan.account.is_none() {
        snapshot.plan.account = snapshot.task_account();
    }
    snapshot.unread = reader.into_unread();
    Ok(snapshot)
}

/// Reads the configuration of the subnets that do not pass, and joins it with their reports.
/// Returns `None` if all pass.
pub async fn of_failing(
    calls: &AwsCalls,
    plan: Plan,
    task: TaskNetwork,
    reports: &[SubnetReport],
) -> Result<Option<Inspection>, OperatorError> {
    let failing: Vec<_> = reports
        .iter()
        .filter(|report| report.report.verdict.status != Status::Pass)
        .collect();
    if failing.is_empty() {
        return Ok(None);
    }
    let snapshot = Box::pin(read(calls, plan, task, false)).await?;
    let packets: Vec<_> = failing
        .iter()
        .map(|report| packets(&snapshot, &report.subnet, &report.report))
        .collect();
    Ok(Some(Inspection::of(&snapshot).joined_with(&packets)))
}

/// Returns the texts of an XML document that are shown.
#[cfg(any(test, fuzzing))]
pub(super) fn xml_texts(xml: &str) -> Vec<String> {
    xml::XmlNode::from_xml(xml)
        .map(xml::XmlNode::shown_texts)
        .unwrap_or_default()
}
