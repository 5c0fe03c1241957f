//! A task's network interface, for what Amazon ECS does not say of a task: its security groups.

use serde::Deserialize;

use crate::operator::aws::{Api, Error};
use crate::operator::dry_run::AwsCalls;
use crate::operator::ecs::{Awsvpc, Task};

/// Security groups and public address of the task's interface (EC2 API reference,
/// `DescribeNetworkInterfaces`); `None` if it is gone, as it is soon after the task.
pub async fn of_task(calls: &AwsCalls, task: &Task) -> Result<Option<Awsvpc>, Error> {
    let Some(id) = task.interface("networkInterfaceId") else {
        return Ok(None);
    };
    let fields = [("NetworkInterfaceId.1".to_owned(), id.to_owned())];
    calls.shown(
        Api::EC2,
        "DescribeNetworkInterfaces",
        &serde_json::json!({ "NetworkInterfaceId.1": id }),
        true,
    );
    let described: Described = match calls
        .client()
        .query(Api::EC2, "DescribeNetworkInterfaces", &fields)
        .await
    {
        Ok(described) => described,
        Err(error) if error.code().starts_with("InvalidNetworkInterfaceID") => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(described
        .interfaces
        .item
        .into_iter()
        .next()
        .map(|interface| {
            let public = if interface.association.is_some() {
                "ENABLED"
            } else {
                "DISABLED"
            };
            Awsvpc {
                subnets: Vec::new(),
                security_groups: interface
                    .groups
                    .item
                    .into_iter()
                    .map(|group| group.id)
                    .collect(),
                assign_public_ip: Some(public.to_owned()),
            }
        }))
}

#[derive(Debug, Deserialize)]
struct Described {
    #[serde(rename = "networkInterfaceSet", default)]
    interfaces: Set<Interface>,
}

#[derive(Debug, Deserialize)]
struct Set<T> {
    #[serde(default = "Vec::new")]
    item: Vec<T>,
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self { item: Vec::new() }
    }
}

#[derive(Debug, Deserialize)]
struct Interface {
    #[serde(rename = "groupSet", default)]
    groups: Set<Group>,
    association: Option<Association>,
}

#[derive(Debug, Deserialize)]
struct Association {}

#[derive(Debug, Deserialize)]
struct Group {
    #[serde(rename = "groupId")]
    id: String,
}
