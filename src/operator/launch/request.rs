//! The `RunTask` request of each subnet.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::definition::CONTAINER;
use super::instances::{InstanceCapacity, SUBNET_ATTRIBUTE};
use super::launcher::{LAUNCHER_TAG, Launcher};
use crate::operator::ecs::{
    AwsVpcConfiguration, CapacityProviderStrategyItem, ContainerOverride, KeyValuePair,
    NetworkConfiguration, PlacementConstraint, RunTaskRequest, Tag, TaskOverride, digest,
};
use crate::operator::error::OperatorError;
use crate::plan::{Expect, MAX_OVERRIDE_CHARS, Plan};
use crate::vantage::Carrier;

/// Prefix of `startedBy` of the probe's tasks.
pub const STARTED_BY_PREFIX: &str = "pullprobe/";

/// Tags of the probe's tasks: run ID and subnet.
pub const RUN_TAG: &str = "pullprobe:run";
pub(super) const SUBNET_TAG: &str = "pullprobe:subnet";

/// Labels of a report: the ID of its subnet, and the name of its service.
pub const SUBNET_LABEL: &str = "subnet";
pub const SERVICE_LABEL: &str = "service";

/// Environment variable of the run ID. A schedule leaves it out, so that each run generates one.
pub const RUN_ID_VARIABLE: &str = "PULLPROBE_RUN_ID";

/// What `RunTask` needs, apart from the subnet.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Name or ARN.
    pub cluster: String,
    /// Name of the service, for the reports.
    pub service: Option<String>,
    /// One task is started in each.
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    pub assign_public_ip: bool,
    pub placement: Placement,
    /// Such as `1.4.0` or `LATEST`.
    pub platform_version: Option<String>,
    pub plan: Plan,
    /// Where the probe reads a task definition that is too large for an override: `s3://…` or
    /// `ssm:…`.
    pub document: Option<String>,
    /// The probe's image.
    pub probe_image: String,
    /// Family or ARN of the probe's task definition; empty if only functions run.
    pub definition: String,
    /// The task execution role, by name or ARN.
    pub execution_role: Option<String>,
    pub run_id: String,
    /// Labels of all reports.
    pub labels: BTreeMap<String, String>,
    /// Time limit of the probe's run.
    pub deadline: Duration,
    /// From RunTask to the start of the container.
    pub timeout: Duration,
}

/// How ECS places the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// Launch type FARGATE.
    Fargate,
    /// A strategy of the capacity providers FARGATE and FARGATE_SPOT.
    CapacityProviders(Vec<CapacityProviderStrategyItem>),
    /// The service's own instances.
    Instances(InstanceCapacity),
}

impl Placement {
    /// Returns what carries the probe.
    pub const fn carrier(&self) -> Carrier {
        match self {
            Self::Fargate | Self::CapacityProviders(_) => Carrier::Fargate,
            Self::Instances(_) => Carrier::Ec2,
        }
    }
}

impl Launch {
    /// Builds the request for a subnet. Fails if the plan does not fit into the overrides.
    pub fn run_task(&self, subnet: &str) -> Result<RunTaskRequest, OperatorError> {
        let (launch_type, capacity_provider_strategy) = match &self.placement {
            Placement::Fargate => (Some("FARGATE"), Vec::new()),
            Placement::CapacityProviders(strategy) => (None, strategy.clone()),
            Placement::Instances(capacity) if capacity.strategy.is_empty() => {
                (Some("EC2"), Vec::new())
            }
            Placement::Instances(capacity) => (None, capacity.strategy.clone()),
        };
        let is_on_instance = matches!(self.placement, Placement::Instances(_));
        let placement_constraint = || PlacementConstraint {
            r#type: "memberOf",
            expression: format!("attribute:{SUBNET_ATTRIBUTE} == {subnet}"),
        };
        let assign_public_ip = if self.assign_public_ip {
            "ENABLED"
        } else {
            "DISABLED"
        };
        Ok(RunTaskRequest {
            cluster: self.cluster.clone(),
            task_definition: self.definition.clone(),
            count: 1,
            launch_type,
            capacity_provider_strategy,
            platform_version: self.platform_version.clone(),
            // Only for tasks with their own network interface.
            network_configuration: (!is_on_instance).then(|| NetworkConfiguration {
                awsvpc_configuration: Some(AwsVpcConfiguration {
                    subnets: vec![subnet.to_owned()],
                    security_groups: self.security_groups.clone(),
                    assign_public_ip: Some(assign_public_ip.to_owned()),
                }),
            }),
            placement_constraints: is_on_instance
                .then(placement_constraint)
                .into_iter()
                .collect(),
            overrides: self.overrides(subnet)?,
            started_by: started_by(&self.run_id),
            tags: vec![
                Tag::new(RUN_TAG, self.run_id.as_str()),
                Tag::new(SUBNET_TAG, subnet),
                Tag::new(
                    LAUNCHER_TAG,
                    Launcher::this().tag(self.max_watch_time().as_secs()),
                ),
            ],
            client_token: self.client_token(subnet),
        })
    }

    /// Returns the labels of a subnet's report.
    pub fn labels(&self, subnet: &str) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        labels.insert(SUBNET_LABEL.into(), subnet.into());
        if let Some(service) = &self.service {
            labels.insert(SERVICE_LABEL.into(), service.clone());
        }
        labels
    }

    fn overrides(&self, subnet: &str) -> Result<TaskOverride, OperatorError> {
        let environment = self.environment(subnet)?;
        let pair = |(name, value): (&str, String)| KeyValuePair {
            name: name.to_owned(),
            value,
        };
        let overrides = TaskOverride {
            container_overrides: vec![ContainerOverride {
                name: CONTAINER,
                environment: environment.into_iter().map(pair).collect(),
            }],
        };
        let size = json!(overrides).to_string().chars().count();
        if size > MAX_OVERRIDE_CHARS {
            return Err(OperatorError::Usage(format!(
                "the plan of this task needs {size} characters in RunTask's overrides, but ECS accepts {MAX_OVERRIDE_CHARS}; \
                 upload the task definition and add --task-definition s3://BUCKET/KEY or --task-definition ssm:/NAME, \
                 where the probe reads it"
            )));
        }
        Ok(overrides)
    }

    fn environment(&self, subnet: &str) -> Result<Vec<(&'static str, String)>, OperatorError> {
        let labels: Vec<_> = self
            .labels(subnet)
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let mut environment = vec![
            (RUN_ID_VARIABLE, self.run_id.clone()),
            ("PULLPROBE_LABEL", labels.join(",")),
            (
                "PULLPROBE_DEADLINE",
                format!("{}ms", self.deadline.as_millis()),
            ),
        ];
        let Some(document) = &self.document else {
            let plan = self.plan.to_short_json().map_err(OperatorError::usage)?;
            environment.push(("PULLPROBE_PLAN", plan));
            return Ok(environment);
        };
        environment.push(("PULLPROBE_TASK_DEFINITION", document.clone()));
        environment.push(("PULLPROBE_REGION", self.plan.region.to_string()));
        if let Some(log) = self.plan.logs.first() {
            environment.push(("PULLPROBE_LOG_GROUP", log.group.clone()));
            environment.push(("PULLPROBE_LOG_STREAM_PREFIX", log.stream_prefix.clone()));
        }
        if self.plan.expect == Expect::Private {
            environment.push(("PULLPROBE_EXPECT", "private".into()));
        }
        if self.plan.full {
            environment.push(("PULLPROBE_FULL", "true".into()));
        }
        Ok(environment)
    }

    /// Returns the arguments of `probe` for a subnet: those of which [`Launch::run_task`] makes
    /// variables. The flag of a variable has its name.
    pub fn arguments(&self, subnet: &str) -> Result<Vec<String>, OperatorError> {
        let environment = self.environment(subnet)?;
        let flag = |(name, value): (&str, String)| {
            let name = name.trim_start_matches("PULLPROBE_");
            let flag = format!("--{}", name.to_ascii_lowercase().replace('_', "-"));
            match (flag.as_str(), value.as_str()) {
                ("--full", _) => flag,
                _ => format!("{flag}={value}"),
            }
        };
        Ok(environment.into_iter().map(flag).collect())
    }

    /// Returns a token that is unique to this process, run and subnet, so that a retried call
    /// starts no second task. Another launch with the same run ID has another token: with the same
    /// one ECS would return the first launch's task. The limit is 64 characters (ECS API reference,
    /// RunTask).
    fn client_token(&self, subnet: &str) -> String {
        digest(&[&Launcher::this().tag(0), &self.run_id, subnet], 16)
    }

    /// Returns how long this launch may watch a task: until it starts and ends, and five minutes
    /// for ECS in between.
    pub(super) fn max_watch_time(&self) -> Duration {
        self.timeout + self.deadline + Duration::from_mins(5)
    }
}

/// Returns `startedBy` of a run's tasks.
pub fn started_by(run_id: &str) -> String {
    format!("{STARTED_BY_PREFIX}{run_id}")
}

#[cfg(test)]
pub use tests::launch as sample_launch;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::PlanInput;
    use serde_json::Value;

    pub fn launch(secrets: usize) -> Launch {
        let secret = |n| {
            format!(
                "arn:aws:secretsmanager:eu-west-1:123456789012:secret:team-{n}/database-AbCdEf:password::"
            )
        };
        let image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1.4";
        let input = PlanInput {
            images: vec![image.parse().unwrap()],
            secrets: (0..secrets).map(|n| secret(n).parse().unwrap()).collect(),
            ..PlanInput::default()
        };
        Launch {
            cluster: "prod".into(),
            service: Some("web".into()),
            subnets: vec!["subnet-a".into(), "subnet-b".into()],
            security_groups: vec!["sg-1".into()],
            assign_public_ip: false,
            placement: Placement::Fargate,
            platform_version: Some("1.4.0".into()),
            plan: Plan::new(input, "eu-west-1".parse().unwrap()).unwrap(),
            document: None,
            probe_image: "example.com/pullprobe:1".into(),
            definition: "pullprobe-0123456789abcdef:1".into(),
            execution_role: Some("arn:aws:iam::123456789012:role/ecsTaskExecutionRole".into()),
            run_id: "r1".into(),
            labels: BTreeMap::new(),
            deadline: Duration::from_secs(30),
            timeout: Duration::from_mins(6),
        }
    }

    fn request(launch: &Launch, subnet: &str) -> Value {
        json!(launch.run_task(subnet).unwrap())
    }

    #[test]
    fn request_starts_one_task_with_plan_and_tags() {
        let body = request(&launch(1), "subnet-a");
        assert_eq!(body["count"], 1);
        assert_eq!(
            body["networkConfiguration"]["awsvpcConfiguration"]["subnets"],
            json!(["subnet-a"])
        );
        assert_eq!(body["startedBy"], "pullprobe/r1");
        assert_eq!(
            body["tags"][0],
            json!({ "key": "pullprobe:run", "value": "r1" })
        );
        let environment = &body["overrides"]["containerOverrides"][0]["environment"];
        let plan = Plan::from_json(environment[3]["value"].as_str().unwrap()).unwrap();
        assert_eq!(plan, launch(1).plan);
        assert_eq!(environment[1]["value"], "service=web,subnet=subnet-a");
        assert!(body.get("capacityProviderStrategy").is_none());
    }

    #[test]
    fn task_on_instances_is_placed_by_their_subnet() {
        let strategy = vec![CapacityProviderStrategyItem {
            capacity_provider: "own".into(),
            ..CapacityProviderStrategyItem::default()
        }];
        for (strategy, launch_type) in [(Vec::new(), json!("EC2")), (strategy, Value::Null)] {
            let has_strategy = !strategy.is_empty();
            let launch = Launch {
                placement: Placement::Instances(InstanceCapacity {
                    strategy,
                    ..InstanceCapacity::default()
                }),
                platform_version: None,
                ..launch(1)
            };
            let body = request(&launch, "subnet-a");
            assert_eq!(body["launchType"], launch_type);
            assert_eq!(body.get("capacityProviderStrategy").is_some(), has_strategy);
            assert_eq!(body.get("networkConfiguration"), None);
            let constraint =
                json!({ "type": "memberOf", "expression": "attribute:ecs.subnet-id == subnet-a" });
            assert_eq!(body["placementConstraints"], json!([constraint]));
        }
    }

    #[test]
    fn client_token_is_unique_to_run_and_subnet() {
        let token = |launch: &Launch, subnet: &str| request(launch, subnet)["clientToken"].clone();
        let first = launch(1);
        let second = Launch {
            run_id: "r2".into(),
            ..launch(1)
        };
        assert_eq!(token(&first, "subnet-a"), token(&first, "subnet-a"));
        assert_ne!(token(&first, "subnet-a"), token(&first, "subnet-b"));
        assert_ne!(token(&first, "subnet-a"), token(&second, "subnet-a"));
    }

    #[test]
    fn overrides_fit_or_are_rejected_with_an_alternative() {
        let forty = request(&launch(40), "subnet-a");
        assert!(forty["overrides"].to_string().len() <= MAX_OVERRIDE_CHARS);
        let error = launch(400).run_task("subnet-a").unwrap_err().to_string();
        assert!(
            error.contains("8192") && error.contains("--task-definition"),
            "{error}"
        );
        let remote = Launch {
            document: Some("ssm:/app/definition".into()),
            ..launch(400)
        };
        let body = request(&remote, "subnet-a").to_string();
        assert!(
            body.contains("PULLPROBE_TASK_DEFINITION") && !body.contains("PULLPROBE_PLAN"),
            "{body}"
        );
    }
}
