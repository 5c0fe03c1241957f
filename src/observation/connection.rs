//! Connections: where the address is, and whether the source port matters.

use serde::{Deserialize, Serialize};

/// Where an address is, as seen from the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// In the task's subnet: neither a network ACL nor a route table applies.
    SameSubnet,
    /// In the VPC, or in a connected private network.
    Private,
    /// Anywhere else.
    Public,
}

/// Connections from a spread of source ports to one address. With a stateless filter (a network ACL
/// with a narrow ephemeral range), the answer depends on the port; a security group, being
/// stateful, cannot cause that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SourcePorts {
    /// Source ports from which the peer answered.
    pub answered: Vec<u16>,
    /// Source ports from which the peer did not answer.
    pub silent: Vec<u16>,
}

impl SourcePorts {
    /// Sorts the ports and removes duplicates.
    pub fn sort(&mut self) {
        for ports in [&mut self.answered, &mut self.silent] {
            ports.sort_unstable();
            ports.dedup();
        }
    }

    /// Whether the silent ports form one or two blocks outside the range of those that answer, with
    /// at least three ports of each kind. Random packet loss does not sort itself by port number.
    pub fn are_sorted(&self) -> bool {
        let (Some(first), Some(last)) = (self.answered.iter().min(), self.answered.iter().max())
        else {
            return false;
        };
        let outside = self.silent.iter().all(|port| port < first || port > last);
        outside && self.silent.len() > 2 && self.answered.len() > 2
    }
}
