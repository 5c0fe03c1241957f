//! The requests to AWS Lambda (API version 2015-03-31), and the parts of its responses that matter.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::setup::{FunctionSetup, SubnetFacts};
use crate::function_limits::RehearsedTask;
use crate::lambda::{FunctionSubnet, Invocation};
use crate::operator::aws::RestCall;
use crate::operator::ecs::{digest, last_segment};
use crate::operator::error::OperatorError;
use crate::operator::launch::definition::FAMILY_PREFIX;
use crate::operator::launch::launcher::{LAUNCHER_TAG, Launcher};
use crate::operator::launch::request::{Launch, RUN_TAG, SUBNET_TAG};

/// Memory of a function. It has processors in proportion: 512 MB are a third of one, as much as the
/// task of 256 CPU units has (Lambda developer guide, "Configure Lambda function memory").
pub const MEMORY_MB: u32 = 512;

/// Time beyond the probe's deadline for the start of the process and the answer.
const TIMEOUT_MARGIN: Duration = Duration::from_secs(10);

/// Longest timeout of a function (Lambda quotas).
const MAX_TIMEOUT: Duration = Duration::from_mins(15);

/// Returns the name of a subnet's function, at most 64 characters (API reference, CreateFunction).
/// It is unique to this process, run and subnet.
pub fn name(launch: &Launch, subnet: &str) -> String {
    let unique = [&Launcher::this().tag(0), &launch.run_id, subnet];
    format!("{FAMILY_PREFIX}{}", digest(&unique, 8))
}

/// Returns how long a function may run.
pub fn timeout(launch: &Launch) -> Duration {
    (launch.deadline + TIMEOUT_MARGIN).min(MAX_TIMEOUT)
}

/// Returns the body of CreateFunction; `zip` is its code in base64.
pub fn create(launch: &Launch, setup: &FunctionSetup, facts: &SubnetFacts, zip: &str) -> Value {
    let subnet = &facts.id;
    let groups = setup.security_groups(launch, facts);
    json!({
        "FunctionName": name(launch, subnet),
        "Description": format!("image pull rehearsal in {subnet}"),
        "Runtime": "provided.al2023",
        "Handler": "bootstrap",
        "Architectures": [setup.architecture],
        "Role": setup.role,
        "Code": { "ZipFile": zip },
        "MemorySize": MEMORY_MB,
        "Timeout": timeout(launch).as_secs().max(1),
        "VpcConfig": {
            "SubnetIds": [subnet],
            "SecurityGroupIds": groups,
            "Ipv6AllowedForDualStack": facts.is_dual_stack,
        },
        "Tags": tags(launch, subnet),
    })
}

fn tags(launch: &Launch, subnet: &str) -> BTreeMap<&'static str, String> {
    let watched = launch.max_watch_time().as_secs();
    BTreeMap::from([
        (RUN_TAG, launch.run_id.clone()),
        (SUBNET_TAG, subnet.to_owned()),
        (LAUNCHER_TAG, Launcher::this().tag(watched)),
    ])
}

/// Returns the event of the invocation.
pub fn invocation(
    launch: &Launch,
    setup: &FunctionSetup,
    facts: &SubnetFacts,
) -> Result<Invocation, OperatorError> {
    let arguments = launch.arguments(&facts.id)?;
    Ok(Invocation {
        arguments,
        subnet: FunctionSubnet {
            availability_zone: facts.availability_zone.clone(),
            cidr: facts.cidr,
            ip_family: Some(facts.ip_family()),
            cluster: Some(last_segment(&launch.cluster).to_owned()),
        },
        task: task(launch, setup, facts),
    })
}

/// Returns the task that the function stands in for.
pub fn task(launch: &Launch, setup: &FunctionSetup, facts: &SubnetFacts) -> RehearsedTask {
    RehearsedTask {
        execution_role: launch.execution_role.clone(),
        function_role: Some(setup.role.clone()),
        assigns_public_ip: launch.assign_public_ip,
        ip_family: Some(facts.ip_family()),
    }
}

/// Paths of the REST API.
pub const FUNCTIONS: &str = "/2015-03-31/functions";

pub fn function_path(name: &str) -> String {
    format!("{FUNCTIONS}/{name}")
}

pub fn invoke_path(name: &str) -> String {
    format!("{FUNCTIONS}/{name}/invocations")
}

pub fn call<'a>(operation: &'static str, method: Method, path: &'a str) -> RestCall<'a> {
    RestCall {
        operation,
        method,
        path,
    }
}

/// `GetFunction`: whether the function can be invoked.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GetFunctionResponse {
    pub configuration: FunctionConfiguration,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FunctionConfiguration {
    /// `Pending`, `Active`, `Inactive` or `Failed`.
    pub state: Option<String>,
    pub state_reason: Option<String>,
    pub state_reason_code: Option<String>,
}

/// What an invocation answers that ended with an error.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FunctionError {
    pub error_type: Option<String>,
    pub error_message: Option<String>,
}
