//! A task's network interface, which has the security groups that Amazon ECS does not report.

use serde::Deserialize;

use crate::operator::aws::{Api, CallError, ItemSet};
use crate::operator::dry_run::AwsCalls;
use crate::operator::ecs::{AwsVpcConfiguration, Task};

/// Reads the security groups of the task's interface, and whether it has a public address (EC2 API
/// reference, `DescribeNetworkInterfaces`). Returns `None` if the interface has been deleted, as
/// happens soon after the task stops.
pub async fn describe(
    calls: &AwsCalls,
    task: &Task,
) -> Result<Option<AwsVpcConfiguration>, CallError> {
    let Some(id) = task.network_interface("networkInterfaceId") else {
        return Ok(None);
    };
    let fields = [("NetworkInterfaceId.1".to_owned(), id.to_owned())];
    let response: Result<DescribeNetworkInterfacesResponse, _> = calls
        .read_query(Api::EC2, "DescribeNetworkInterfaces", &fields)
        .await;
    match response {
        Ok(response) => Ok(response
            .network_interfaces
            .item
            .into_iter()
            .next()
            .map(configuration)),
        Err(error) if error.code().starts_with("InvalidNetworkInterfaceID") => Ok(None),
        Err(error) => Err(error),
    }
}

fn configuration(interface: NetworkInterface) -> AwsVpcConfiguration {
    let assign_public_ip = if interface.association.is_some() {
        "ENABLED"
    } else {
        "DISABLED"
    };
    let groups = interface.groups.item.into_iter();
    AwsVpcConfiguration {
        subnets: Vec::new(),
        security_groups: groups.map(|group| group.group_id).collect(),
        assign_public_ip: Some(assign_public_ip.to_owned()),
    }
}

#[derive(Debug, Deserialize)]
struct DescribeNetworkInterfacesResponse {
    #[serde(rename = "networkInterfaceSet", default)]
    network_interfaces: ItemSet<NetworkInterface>,
}

#[derive(Debug, Deserialize)]
struct NetworkInterface {
    #[serde(rename = "groupSet", default)]
    groups: ItemSet<GroupIdentifier>,
    association: Option<NetworkInterfaceAssociation>,
}

#[derive(Debug, Deserialize)]
struct NetworkInterfaceAssociation {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupIdentifier {
    group_id: String,
}
