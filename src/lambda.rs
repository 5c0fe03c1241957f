//! The probe as a Lambda function: its invocation event, and the Runtime API that it serves.
//!
//! A function's code and its response do not pass through its subnet, so it starts where no image
//! can be pulled, and reports where no log can be written. What it cannot show about a task is in
//! [`crate::function_limits`].

mod runtime_api;

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use runtime_api::{Event, RuntimeApi, RuntimeApiError};

use crate::function_limits::RehearsedTask;
use crate::network_location::IpFamily;
use crate::vantage::Vantage;

/// Maximum number of bytes of an event or a response (Lambda quotas, "Invocation payload",
/// synchronous).
pub const MAX_PAYLOAD: usize = 6 * 1024 * 1024;

/// What `launch` invokes the function with: the command line, and what a function cannot find out
/// by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Invocation {
    /// Arguments of `pullprobe probe`, such as `--plan={…}`.
    pub arguments: Vec<String>,
    /// Where the function is attached.
    pub subnet: FunctionSubnet,
    /// The task that it stands in for.
    pub task: RehearsedTask,
}

/// Where the function is attached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FunctionSubnet {
    /// Its Availability Zone.
    pub availability_zone: Option<String>,
    /// Its IPv4 CIDR block.
    pub cidr: Option<IpNet>,
    /// The IP versions of its addresses.
    pub ip_family: Option<IpFamily>,
    /// The cluster whose task is rehearsed.
    pub cluster: Option<String>,
}

/// The part of one invocation that a run depends on.
#[derive(Debug, Clone, Default)]
pub struct FunctionContext {
    /// Lambda's ID of the invocation.
    pub request_id: String,
    /// Where the function is attached.
    pub subnet: FunctionSubnet,
    /// The task that it stands in for.
    pub task: RehearsedTask,
}

impl FunctionSubnet {
    /// Completes the vantage of a function, which has no metadata endpoint.
    ///
    /// A function's own address is link-local, and Lambda translates it to that of the network
    /// interface in the subnet, so it is not reported.
    pub fn complete(&self, vantage: &mut Vantage) {
        vantage.availability_zone = self.availability_zone.as_ref().map(Into::into);
        vantage.cluster = self.cluster.as_ref().map(Into::into);
        vantage.subnet_cidr = self.cidr;
        vantage.ip_family = self.ip_family.or(vantage.ip_family);
        vantage.address = vantage.address.filter(|address| match address {
            IpAddr::V4(v4) => !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        });
    }
}

#[cfg(test)]
mod tests;
