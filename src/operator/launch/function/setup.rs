//! What is read once for all functions of a launch: the agent, the role and the subnets.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::json;

use super::bundle::bundle;
use super::request::{self, FUNCTIONS, call, function_path, invoke_path};
use super::role;
use crate::arn::Arn;
use crate::network_location::IpFamily;
use crate::operator::aws::{Api, CallError, ItemSet};
use crate::operator::dry_run::{AwsCalls, Effect};
use crate::operator::error::OperatorError;
use crate::operator::install::{self, AgentFile};
use crate::operator::launch::request::Launch;
use crate::operator::launch::spec::FunctionSpec;
use crate::plan::Platform;

/// States of an IPv6 block that a subnet does not have, or not for long (Amazon EC2 API reference,
/// SubnetCidrBlockState).
const GONE: [&str; 4] = ["disassociating", "disassociated", "failing", "failed"];

/// Maximum number of subnets in one DescribeSubnets call.
const MAX_DESCRIBED_SUBNETS: usize = 200;

/// What all functions of a launch have in common.
#[derive(Debug)]
pub struct FunctionSetup {
    /// ARN of the role that the functions run as.
    pub role: String,
    /// Lambda's name of the architecture: `x86_64` or `arm64`.
    pub architecture: &'static str,
    /// The code, in base64.
    pub zip: String,
    subnets: BTreeMap<String, SubnetFacts>,
    /// The default security group of each VPC, if the launch names no groups.
    default_groups: BTreeMap<String, String>,
}

/// A subnet as Amazon EC2 describes it.
#[derive(Debug, Clone, Default)]
pub struct SubnetFacts {
    pub id: String,
    pub vpc: String,
    pub availability_zone: Option<String>,
    pub cidr: Option<IpNet>,
    pub is_ipv6_only: bool,
    pub is_dual_stack: bool,
}

impl SubnetFacts {
    pub fn ip_family(&self) -> IpFamily {
        match (self.is_ipv6_only, self.is_dual_stack) {
            (true, _) => IpFamily::Ipv6,
            (false, true) => IpFamily::DualStack,
            (false, false) => IpFamily::Ipv4,
        }
    }
}

impl FunctionSetup {
    pub fn subnet(&self, id: &str) -> Option<&SubnetFacts> {
        self.subnets.get(id)
    }

    /// Returns the security groups of a subnet's function. A function must have one.
    pub fn security_groups(&self, launch: &Launch, facts: &SubnetFacts) -> Vec<String> {
        if launch.security_groups.is_empty() {
            self.default_groups
                .get(&facts.vpc)
                .cloned()
                .into_iter()
                .collect()
        } else {
            launch.security_groups.clone()
        }
    }
}

/// Reads agent, role and subnets. Asks AWS nothing before the agent is there.
pub async fn prepare(
    calls: &AwsCalls,
    launch: &Launch,
    spec: &FunctionSpec,
) -> Result<FunctionSetup, OperatorError> {
    let agent = agent_file(&launch.plan.platform, spec)?;
    let zip = STANDARD.encode(bundle(&agent.bytes)?);
    let role = find_role(calls, spec).await?;
    let mut setup = FunctionSetup {
        role,
        architecture: if agent.platform == Platform::of("linux", "arm64") {
            "arm64"
        } else {
            "x86_64"
        },
        zip,
        subnets: describe_subnets(calls, &launch.subnets).await?,
        default_groups: BTreeMap::new(),
    };
    if let Some(absent) = launch
        .subnets
        .iter()
        .find(|subnet| !setup.subnets.contains_key(*subnet))
    {
        return Err(OperatorError::Usage(format!(
            "Amazon EC2 did not find {absent} in {}; check --subnets and --region",
            calls.client().region()
        )));
    }
    if launch.security_groups.is_empty() {
        let vpcs: Vec<&str> = setup.subnets.values().map(|subnet| &*subnet.vpc).collect();
        setup.default_groups = default_groups(calls, &vpcs).await?;
    }
    Ok(setup)
}

/// Returns the static file for the function: that of the task's platform, or any other. What is
/// pulled does not depend on it.
fn agent_file(platform: &Platform, spec: &FunctionSpec) -> Result<AgentFile, OperatorError> {
    let named = spec
        .agents
        .iter()
        .find(|(named, _)| named == platform)
        .or_else(|| spec.agents.first());
    if let Some((named, path)) = named {
        return AgentFile::read(named, path);
    }
    install::embedded_agent(platform).unwrap_or_else(|| {
        Err(OperatorError::Usage(format!(
            "this build of pullprobe does not contain the probe's static files; {}, and pass it with --agent \
             linux/amd64=FILE. Releases contain the files",
            install::how_to_build(&Platform::of("linux", "amd64"))
        )))
    })
}

async fn find_role(calls: &AwsCalls, spec: &FunctionSpec) -> Result<String, OperatorError> {
    if let Some(role) = &spec.role {
        let is_role = role
            .parse::<Arn>()
            .is_ok_and(|arn| arn.service == "iam" && arn.resource.starts_with("role/"));
        return if is_role {
            Ok(role.clone())
        } else {
            Err(OperatorError::Usage(format!(
                "--lambda-role {role}: expected the ARN of a role, such as arn:aws:iam::123456789012:role/{}",
                role::ROLE_NAME
            )))
        };
    }
    let how = format!(
        "make it with `pullprobe install --lambda`, or print it for your own tools with `pullprobe install --lambda --print \
         terraform` (or cloudformation), or pass the ARN of another role that AWS Lambda may assume with --lambda-role; \
         region {}",
        calls.client().region()
    );
    match role::find(calls).await {
        Ok(Some(arn)) => Ok(arn),
        Ok(None) => Err(OperatorError::Usage(format!(
            "its role {} does not exist; {how}",
            role::ROLE_NAME
        ))),
        Err(error) => Err(OperatorError::Usage(format!(
            "its role {} could not be looked up ({error}); {how}",
            role::ROLE_NAME
        ))),
    }
}

async fn describe_subnets(
    calls: &AwsCalls,
    ids: &[String],
) -> Result<BTreeMap<String, SubnetFacts>, CallError> {
    let mut found = BTreeMap::new();
    for ids in ids.chunks(MAX_DESCRIBED_SUBNETS) {
        let fields: Vec<_> = (1..)
            .zip(ids)
            .map(|(n, id)| (format!("SubnetId.{n}"), id.clone()))
            .collect();
        let response: DescribeSubnetsResponse = calls
            .read_query(Api::EC2, "DescribeSubnets", &fields)
            .await?;
        for subnet in response.subnet_set.item {
            let is_associated = |association: &Ipv6Association| {
                association
                    .state
                    .as_ref()
                    .is_none_or(|state| !GONE.contains(&&*state.state))
            };
            let has_ipv6 = subnet
                .ipv6_cidr_block_association_set
                .item
                .iter()
                .any(is_associated);
            let facts = SubnetFacts {
                id: subnet.id.clone(),
                vpc: subnet.vpc_id,
                availability_zone: subnet.availability_zone,
                cidr: subnet.cidr_block.and_then(|block| block.parse().ok()),
                is_ipv6_only: subnet.ipv6_native,
                is_dual_stack: has_ipv6 && !subnet.ipv6_native,
            };
            found.insert(subnet.id, facts);
        }
    }
    Ok(found)
}

async fn default_groups(
    calls: &AwsCalls,
    vpcs: &[&str],
) -> Result<BTreeMap<String, String>, CallError> {
    let mut fields = vec![
        ("Filter.1.Name".to_owned(), "group-name".to_owned()),
        ("Filter.1.Value.1".to_owned(), "default".to_owned()),
        ("Filter.2.Name".to_owned(), "vpc-id".to_owned()),
    ];
    let unique: std::collections::BTreeSet<_> = vpcs.iter().collect();
    for (n, vpc) in (1..).zip(unique) {
        fields.push((format!("Filter.2.Value.{n}"), (*vpc).to_owned()));
    }
    let response: DescribeSecurityGroupsResponse = calls
        .read_query(Api::EC2, "DescribeSecurityGroups", &fields)
        .await?;
    let groups = response.security_group_info.item.into_iter();
    Ok(groups.map(|group| (group.vpc_id, group.group_id)).collect())
}

/// Shows the calls of a launch, and what it costs at most, in a dry run.
pub fn show_calls(
    calls: &AwsCalls,
    launch: &Launch,
    setup: &FunctionSetup,
) -> Result<String, OperatorError> {
    for facts in launch.subnets.iter().filter_map(|id| setup.subnet(id)) {
        if facts.is_ipv6_only {
            continue;
        }
        let name = request::name(launch, &facts.id);
        let show = |operation: &'static str, method: Method, path: &str, body| {
            let call = call(operation, method, path);
            calls.show_rest(Api::LAMBDA, &call, body, Effect::Changes);
        };
        let size = format!("{} bytes in base64", setup.zip.len());
        let body = request::create(launch, setup, facts, &size);
        let event = json!(request::invocation(launch, setup, facts)?);
        let path = function_path(&name);
        show("CreateFunction", Method::POST, FUNCTIONS, Some(&body));
        show("GetFunction", Method::GET, &path, None);
        show("Invoke", Method::POST, &invoke_path(&name), Some(&event));
        show("DeleteFunction", Method::DELETE, &path, None);
    }
    Ok(super::cost_at_most(launch))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescribeSubnetsResponse {
    #[serde(default)]
    subnet_set: ItemSet<Subnet>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subnet {
    #[serde(rename = "subnetId")]
    id: String,
    vpc_id: String,
    availability_zone: Option<String>,
    cidr_block: Option<String>,
    #[serde(default)]
    ipv6_native: bool,
    #[serde(default)]
    ipv6_cidr_block_association_set: ItemSet<Ipv6Association>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ipv6Association {
    #[serde(rename = "ipv6CidrBlockState")]
    state: Option<BlockState>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockState {
    #[serde(default)]
    state: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescribeSecurityGroupsResponse {
    #[serde(default)]
    security_group_info: ItemSet<SecurityGroup>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecurityGroup {
    group_id: String,
    #[serde(default)]
    vpc_id: String,
}
