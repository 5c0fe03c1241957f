//! The body of `RunTask`, one for each subnet.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::definition::CONTAINER;
use super::launcher::{LAUNCHER_TAG, Launcher};
use crate::operator::ecs::digest;
use crate::plan::{Expect, MAX_OVERRIDE_CHARS, Plan};

/// What `startedBy` of our tasks begins with.
pub const STARTED_BY: &str = "pullprobe/";

/// Tags of our tasks: the run, and the subnet.
pub const RUN_TAG: &str = "pullprobe:run";
const SUBNET_TAG: &str = "pullprobe:subnet";

/// Everything that a launch repeats in each subnet.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Name or ARN.
    pub cluster: String,
    /// The service that is probed, for the reports.
    pub service: Option<String>,
    /// One task in each.
    pub subnets: Vec<String>,
    /// Of the task.
    pub security_groups: Vec<String>,
    /// Whether the task gets a public address.
    pub assign_public_ip: bool,
    /// How it is placed.
    pub provider: Provider,
    /// `1.4.0`, `LATEST`.
    pub platform_version: Option<String>,
    /// What is checked.
    pub plan: Plan,
    /// Where the probe reads a task definition that is too large for an override: `s3://…`,
    /// `ssm:…`.
    pub document: Option<String>,
    /// ARN of the probe's task definition.
    pub definition: String,
    /// In `startedBy`, tags and reports.
    pub run_id: String,
    /// In the reports.
    pub labels: BTreeMap<String, String>,
    /// Of the probe.
    pub deadline: Duration,
    /// From RunTask to the container's start.
    pub timeout: Duration,
}

/// Who places the task.
#[derive(Debug, Clone, PartialEq)]
pub enum Provider {
    /// `launchType`.
    Fargate,
    /// `capacityProviderStrategy` of FARGATE and FARGATE_SPOT.
    Strategy(Vec<Value>),
}

impl Launch {
    /// The body for a subnet.
    pub fn body(&self, subnet: &str) -> Result<Value, String> {
        let public = if self.assign_public_ip {
            "ENABLED"
        } else {
            "DISABLED"
        };
        let mut network = json!({ "subnets": [subnet], "assignPublicIp": public });
        if !self.security_groups.is_empty() {
            network["securityGroups"] = json!(self.security_groups);
        }
        let mut body = json!({
            "cluster": self.cluster,
            "taskDefinition": self.definition,
            "count": 1,
            "networkConfiguration": { "awsvpcConfiguration": network },
            "overrides": self.overrides(subnet)?,
            "startedBy": started_by(&self.run_id),
            "tags": [
                { "key": RUN_TAG, "value": self.run_id },
                { "key": SUBNET_TAG, "value": subnet },
                { "key": LAUNCHER_TAG, "value": Launcher::this().tag(self.watched().as_secs()) },
            ],
            "clientToken": self.token(subnet),
        });
        match &self.provider {
            Provider::Fargate => body["launchType"] = json!("FARGATE"),
            Provider::Strategy(strategy) => body["capacityProviderStrategy"] = json!(strategy),
        }
        if let Some(version) = &self.platform_version {
            body["platformVersion"] = json!(version);
        }
        Ok(body)
    }

    /// The labels of a subnet's report.
    pub fn labels(&self, subnet: &str) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        labels.insert("subnet".into(), subnet.into());
        if let Some(service) = &self.service {
            labels.insert("service".into(), service.clone());
        }
        labels
    }

    fn overrides(&self, subnet: &str) -> Result<Value, String> {
        let labels: Vec<_> = self
            .labels(subnet)
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let mut environment = vec![
            ("PULLPROBE_RUN_ID", self.run_id.clone()),
            ("PULLPROBE_LABEL", labels.join(",")),
            (
                "PULLPROBE_DEADLINE",
                format!("{}ms", self.deadline.as_millis()),
            ),
        ];
        match &self.document {
            None => environment.push((
                "PULLPROBE_PLAN",
                self.plan
                    .to_short_json()
                    .map_err(|error| error.to_string())?,
            )),
            Some(document) => {
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
            }
        }
        let pair = |(name, value): (&str, String)| json!({ "name": name, "value": value });
        let environment: Vec<Value> = environment.into_iter().map(pair).collect();
        let overrides =
            json!({ "containerOverrides": [{ "name": CONTAINER, "environment": environment }] });
        let size = overrides.to_string().chars().count();
        if size > MAX_OVERRIDE_CHARS {
            return Err(format!(
                "this task needs so much that the plan has {size} characters in RunTask's overrides, where ECS takes \
                 {MAX_OVERRIDE_CHARS}: put the task definition where the probe can read it, and add --task-definition \
                 s3://BUCKET/KEY or --task-definition ssm:/NAME"
            ));
        }
        Ok(overrides)
    }

    /// The same for the same launch and subnet, so that a call that is repeated starts no second
    /// task; another one for another launch, even with the same run id: ECS would answer with the
    /// task of the first. 64 characters at most (ECS API reference, RunTask).
    fn token(&self, subnet: &str) -> String {
        digest(&[&Launcher::this().tag(0), &self.run_id, subnet], 16)
    }

    /// How long a task of this launch can be watched: until it starts, until it ends, and what ECS
    /// needs in between.
    fn watched(&self) -> Duration {
        self.timeout + self.deadline + Duration::from_mins(5)
    }
}

/// `startedBy` of a run's tasks.
pub fn started_by(run_id: &str) -> String {
    format!("{STARTED_BY}{run_id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::PlanInput;

    fn launch(secrets: usize) -> Launch {
        let secret = |n| {
            format!(
                "arn:aws:secretsmanager:eu-west-1:123456789012:secret:team-{n}/database-AbCdEf:password::"
            )
        };
        let image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1.4";
        let wanted = PlanInput {
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
            provider: Provider::Fargate,
            platform_version: Some("1.4.0".into()),
            plan: Plan::new(wanted, "eu-west-1".parse().unwrap()).unwrap(),
            document: None,
            definition: "pullprobe-0123456789abcdef:1".into(),
            run_id: "r1".into(),
            labels: BTreeMap::new(),
            deadline: Duration::from_secs(30),
            timeout: Duration::from_mins(6),
        }
    }

    #[test]
    fn one_task_in_one_subnet_that_says_whose_it_is() {
        let body = launch(1).body("subnet-a").unwrap();
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
    fn a_token_is_of_one_run_and_one_subnet() {
        let token = |subnet: &str| launch(1).body(subnet).unwrap()["clientToken"].clone();
        assert_eq!(token("subnet-a"), token("subnet-a"));
        assert_ne!(token("subnet-a"), token("subnet-b"));
        assert_ne!(
            token("subnet-a"),
            Launch {
                run_id: "r2".into(),
                ..launch(1)
            }
            .body("subnet-a")
            .unwrap()["clientToken"]
        );
    }

    #[test]
    fn overrides_fit_what_ecs_takes_or_are_refused_with_a_way_out() {
        let forty = launch(40).body("subnet-a").unwrap();
        assert!(forty["overrides"].to_string().len() <= MAX_OVERRIDE_CHARS);
        let error = launch(400).body("subnet-a").unwrap_err();
        assert!(
            error.contains("8192") && error.contains("--task-definition"),
            "{error}"
        );
        let elsewhere = Launch {
            document: Some("ssm:/app/definition".into()),
            ..launch(400)
        };
        let body = elsewhere.body("subnet-a").unwrap().to_string();
        assert!(
            body.contains("PULLPROBE_TASK_DEFINITION") && !body.contains("PULLPROBE_PLAN"),
            "{body}"
        );
    }
}
