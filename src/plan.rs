//! What will be asked, as a value: computed before any socket exists, printable, comparable, sent through an
//! environment variable, tested without a network. Pure.

pub mod needs;
mod platform;
pub mod task_definition;
mod value_from;

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use platform::Platform;
pub use value_from::ValueFrom;

use crate::endpoints::{self, Region, Service, Variant};
use crate::observation::{Phase, Role};
use crate::reference::{Reference, Registry};

/// Everything that one run will contact, and what for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Where the task runs.
    pub region: Region,
    /// What the task runs on: the manifest that must exist.
    pub platform: Platform,
    /// Whether a public answer for an interface endpoint's name is a finding.
    #[serde(default)]
    pub expect: Expect,
    /// Fetch layers whole and verify their digests.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub full: bool,
    /// Address ranges that are private whatever their number: the VPC's own, and those joined to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vpc_cidrs: Vec<IpNet>,
    /// Images to pull.
    pub images: Vec<ImagePull>,
    /// Where the task logs to. The report goes to the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogDestination>,
    /// Secrets and parameters to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretRead>,
    /// What the task needs and nobody checks here, so that silence is not taken for a pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unchecked: Vec<Unchecked>,
    /// The hosts, each once.
    pub targets: Vec<Target>,
}

/// Something that the task needs and the plan leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unchecked {
    /// What it is to the task.
    pub role: Role,
    /// Which one.
    pub subject: String,
    /// The reason.
    pub why: String,
}

/// The name of the plan's form.
pub const SCHEMA: &str = "pullprobe/plan/v1";

/// A host and port with a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The role's name; `role@host` from the second target of a role on. Observation ids begin with it.
    pub key: String,
    /// What it is to the task.
    pub role: Role,
    /// The name that the puller asks for.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What will be tried, in order.
    pub phases: Vec<Phase>,
}

/// One image and the targets that its pull travels through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagePull {
    /// The image.
    pub reference: Reference,
    /// Key of the target that hands out the token; none for other registries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Key of the registry's target.
    pub registry: String,
    /// Key of the target where layers are expected; the registry's redirect has the last word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<String>,
}

/// A log group and the target to reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogDestination {
    /// Log group name.
    pub group: String,
    /// First part of the log stream's name.
    pub stream_prefix: String,
    /// Where the log group is.
    pub region: Region,
    /// Key of the target.
    pub target: String,
}

/// A secret or parameter and the target to read it from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRead {
    /// As in a task definition.
    pub value_from: ValueFrom,
    /// Key of the target.
    pub target: String,
}

/// What the names of interface endpoint services should resolve to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// Whatever works.
    #[default]
    Any,
    /// Addresses inside the VPC.
    Private,
}

/// What a plan is made from: flags, a task definition, or the task metadata.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Images to pull.
    pub images: Vec<Reference>,
    /// Secrets and parameters.
    pub secrets: Vec<ValueFrom>,
    /// Log group that the report goes to, in the task's region.
    pub log_group: Option<String>,
    /// Log groups of the containers.
    pub logs: Vec<LogWanted>,
    /// First part of the log stream's name.
    pub log_stream_prefix: String,
    /// What is known to be needed and not checked.
    pub unchecked: Vec<Unchecked>,
    /// The manifest that must exist.
    pub platform: Option<Platform>,
    /// See [`Expect`].
    pub expect: Expect,
    /// Whole layers.
    pub full: bool,
}

/// A log group that a container writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogWanted {
    /// Log group name.
    pub group: String,
    /// Its region, if not the task's.
    pub region: Option<Region>,
}

impl Plan {
    /// What a task that wants this will contact, in `region`. Fails with one sentence on what is wrong.
    pub fn new(wanted: Wanted, region: Region) -> Result<Self, String> {
        let mut targets = Targets(Vec::new());
        let images = wanted.images.into_iter().map(|reference| targets.image(reference)).collect();
        let mut logs: Vec<LogDestination> = Vec::new();
        let own = wanted.log_group.map(|group| LogWanted { group, region: None });
        for log in own.into_iter().chain(wanted.logs) {
            let region = log.region.unwrap_or_else(|| region.clone());
            if !logs.iter().any(|known| (&known.group, &known.region) == (&log.group, &region)) {
                logs.push(targets.log(log.group, wanted.log_stream_prefix.clone(), region)?);
            }
        }
        let secrets = wanted.secrets.into_iter().map(|value_from| targets.secret(value_from, &region)).collect();
        let plan = Self {
            schema: SCHEMA.into(),
            region,
            platform: wanted.platform.unwrap_or_else(Platform::of_this_binary),
            expect: wanted.expect,
            full: wanted.full,
            vpc_cidrs: Vec::new(),
            images,
            logs,
            secrets,
            unchecked: wanted.unchecked,
            targets: targets.0,
        };
        plan.within_bounds()
    }

    /// Reads a plan as `pullprobe plan --format json` prints it. Fails with one sentence on what is wrong.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let plan: Self = serde_json::from_str(text).map_err(|error| format!("the plan cannot be read: {error}"))?;
        if plan.schema != SCHEMA {
            return Err(format!("the plan's schema is {:?}, this binary reads {SCHEMA:?}", plan.schema));
        }
        let plan = plan.within_bounds()?;
        let missing = plan.references().find(|key| plan.target(key).is_none());
        match missing {
            Some(key) => Err(format!("the plan speaks of a target {key:?} that it does not have")),
            None => Ok(plan),
        }
    }

    /// Whether anything in it is asked as a role of AWS.
    pub fn needs_credentials(&self) -> bool {
        self.images.iter().any(|image| image.token.is_some()) || !self.logs.is_empty() || !self.secrets.is_empty()
    }

    fn within_bounds(self) -> Result<Self, String> {
        let most = self.targets.len().max(self.images.len());
        if most > MAX_TARGETS {
            return Err(format!("{most} images or hosts are more than the {MAX_TARGETS} of one run: split the run"));
        }
        let size = serde_json::to_vec(&self).map_or(0, |json| json.len());
        if size > MAX_SIZE {
            return Err(format!("the plan has {size} bytes, more than the {MAX_SIZE} of one run: split the run"));
        }
        Ok(self)
    }

    /// The target with this key.
    pub fn target(&self, key: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.key == key)
    }

    fn references(&self) -> impl Iterator<Item = &str> {
        let images = self.images.iter().flat_map(|image| {
            [Some(&image.registry), image.token.as_ref(), image.layers.as_ref()].into_iter().flatten()
        });
        let others = self.logs.iter().map(|log| &log.target).chain(self.secrets.iter().map(|secret| &secret.target));
        images.chain(others).map(String::as_str)
    }
}

/// A task has at most ten containers; the rest is room for cross-region images. Bounds what a plan from outside can ask for.
const MAX_TARGETS: usize = 64;

/// Bytes of a plan as JSON. ECS takes task definitions of 64 KiB, and the plan is part of a report that must fit 256 KiB.
const MAX_SIZE: usize = 64 * 1024;

/// The hosts collected so far, each once.
struct Targets(Vec<Target>);

impl Targets {
    fn image(&mut self, reference: Reference) -> ImagePull {
        use Phase::{Authorize, Blob, Fetch, Manifest};
        let (host, port) = (reference.host(), reference.port());
        let Registry::Ecr { region, .. } = &reference.registry else {
            let registry = self.add(Role::Registry, host, port, &[Manifest, Blob, Fetch]);
            return ImagePull { reference, token: None, registry, layers: None };
        };
        // Fargate asks api.ecr by its IPv4 name even for a dual-stack image URI (containers-roadmap#2792).
        let api = endpoints::api_host(Service::EcrApi, region, Variant::default());
        let token = self.add(Role::EcrApi, api, 443, &[Authorize]);
        let layers = self.add(Role::S3, endpoints::layer_host(region), 443, &[Fetch]);
        let registry = self.add(Role::EcrDkr, host, port, &[Manifest, Blob]);
        ImagePull { reference, token: Some(token), registry, layers: Some(layers) }
    }

    fn log(&mut self, group: String, stream_prefix: String, region: Region) -> Result<LogDestination, String> {
        valid_log_group(&group)?;
        let host = endpoints::api_host(Service::Logs, &region, Variant::default());
        let target = self.add(Role::Logs, host, 443, &[Phase::Write]);
        Ok(LogDestination { group, stream_prefix, region, target })
    }

    fn secret(&mut self, value_from: ValueFrom, task_region: &Region) -> SecretRead {
        let (role, service) = match value_from {
            ValueFrom::Secret { .. } => (Role::SecretsManager, Service::SecretsManager),
            ValueFrom::Parameter { .. } => (Role::Ssm, Service::Ssm),
        };
        let region = value_from.region().unwrap_or(task_region);
        let host = endpoints::api_host(service, region, Variant::default());
        SecretRead { target: self.add(role, host, 443, &[Phase::Read]), value_from }
    }

    /// Adds the host, or finds it, and returns its key.
    fn add(&mut self, role: Role, host: String, port: u16, then: &[Phase]) -> String {
        if let Some(known) = self.0.iter().find(|t| (t.role, &t.host, t.port) == (role, &host, port)) {
            return known.key.clone();
        }
        let first_of_its_role = self.0.iter().all(|target| target.role != role);
        let key = if first_of_its_role { role.to_string() } else { format!("{role}@{host}") };
        let phases = [Phase::Resolve, Phase::Connect, Phase::Handshake].iter().chain(then).copied().collect();
        self.0.push(Target { key: key.clone(), role, host, port, phases });
        key
    }
}

/// CloudWatch Logs: 1 to 512 characters of `a-z A-Z 0-9 _ - / . #` (API reference, CreateLogGroup).
fn valid_log_group(name: &str) -> Result<(), String> {
    let length = name.chars().count();
    if !(1..=512).contains(&length) {
        return Err(format!("--log-group: a log group's name has 1 to 512 characters, this one has {length}"));
    }
    match name.chars().find(|c| !c.is_ascii_alphanumeric() && !"_-/.#".contains(*c)) {
        Some(c) => {
            Err(format!("--log-group: {c:?} cannot be in a log group's name: use letters, digits and _ - / . #"))
        }
        None => Ok(()),
    }
}

impl fmt::Display for Plan {
    /// One line a target: role, host and port, phases.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |target: &Target| format!("{}:{}", target.host, target.port);
        let width = self.targets.iter().map(|target| place(target).len()).max().unwrap_or_default();
        for target in &self.targets {
            let phases: Vec<_> = target.phases.iter().map(|phase| phase.name()).collect();
            writeln!(f, "{:<14}  {:<width$}  {}", target.role, place(target), phases.join(" "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(image: &str) -> Plan {
        let wanted = Wanted { images: vec![image.parse().unwrap()], ..Wanted::default() };
        Plan::new(wanted, "eu-west-1".parse().unwrap()).unwrap()
    }

    #[test]
    fn an_ecr_image_takes_the_token_the_registry_and_the_layer_bucket_of_its_own_region() {
        assert_eq!(
            plan("123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1.4").to_string(),
            "\
ecr.api         api.ecr.eu-west-1.amazonaws.com:443                                  resolve connect handshake authorize
s3              prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com:443  resolve connect handshake fetch
ecr.dkr         123456789012.dkr.ecr.eu-west-1.amazonaws.com:443                     resolve connect handshake manifest blob
"
        );
        let elsewhere = plan("123456789012.dkr.ecr.us-west-2.amazonaws.com/app:1.4");
        assert_eq!(
            elsewhere.target("s3").unwrap().host,
            "prod-us-west-2-starport-layer-bucket.s3.us-west-2.amazonaws.com"
        );
    }

    #[test]
    fn two_images_of_one_registry_share_its_targets_and_another_region_gets_its_own() {
        let images = ["eu-west-1", "eu-west-1", "us-east-1"]
            .map(|region| format!("123456789012.dkr.ecr.{region}.amazonaws.com/app").parse().unwrap())
            .to_vec();
        let plan = Plan::new(Wanted { images, ..Wanted::default() }, "eu-west-1".parse().unwrap()).unwrap();
        let keys: Vec<_> = plan.targets.iter().map(|target| target.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "ecr.api",
                "s3",
                "ecr.dkr",
                "ecr.api@api.ecr.us-east-1.amazonaws.com",
                "s3@prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com",
                "ecr.dkr@123456789012.dkr.ecr.us-east-1.amazonaws.com",
            ]
        );
    }

    #[test]
    fn a_plan_reads_back_from_its_own_json_and_nothing_else() {
        let plan = plan("123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1.4");
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(Plan::from_json(&json).as_ref(), Ok(&plan));
        for broken in ["{}", "[]", "", &json.replace("plan/v1", "plan/v9"), &json.replace("\"full\"", "\"fool\"")] {
            if broken != json {
                assert!(Plan::from_json(broken).is_err(), "{broken}");
            }
        }
        let dangling = json.replace("\"registry\":\"ecr.dkr\"", "\"registry\":\"nowhere\"");
        assert!(Plan::from_json(&dangling).unwrap_err().contains("nowhere"));
    }

    #[test]
    fn a_log_group_has_cloudwatchs_limits() {
        for (group, complaint) in [("x".repeat(600), "has 600"), (String::new(), "has 0"), ("a b".into(), "' '")] {
            let wanted = Wanted { log_group: Some(group), ..Wanted::default() };
            let error = Plan::new(wanted, "eu-west-1".parse().unwrap()).unwrap_err();
            assert!(error.contains("--log-group") && error.contains(complaint), "{error}");
        }
    }
}
