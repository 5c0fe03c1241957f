//! `inspect`: reads the configuration around a task into a snapshot. Only calls that read are made,
//! and each that is refused is named with what it would have added.

mod dns;
mod network;
mod objects;
mod reader;
mod role;
mod xml;

use jiff::Timestamp;

use super::aws::Api;
use super::dry_run::AwsCalls;
use super::error::OperatorError;
use crate::inspect::role_requests;
use crate::inspect::snapshot::{SNAPSHOT_SCHEMA, Snapshot, TaskNetwork};
use crate::observation::Failure;
use crate::plan::Plan;
use reader::Reader;

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
            objects::read(&reader, &snapshot.plan).await
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
        dns::read(&reader, &mut snapshot).await;
    }
    if !network_only && let Some(arn) = snapshot.plan.execution_role.clone() {
        let requests = role_requests(&snapshot);
        snapshot.role = role::read(&reader, &arn, &requests).await;
    }
    snapshot.unread = reader.into_unread();
    Ok(snapshot)
}
