//! What is made: from flags and a service to the bodies of requests. Nothing is sent from here but
//! what reads the service.

use serde_json::{Value, json};

use super::{PREFIX, TAG};
use crate::cli::schedule::{LONGEST_NAME, What};
use crate::operator::dry_run::AwsCalls;
use crate::operator::ecs::digest;
use crate::operator::launch::{DEFAULT_CLUSTER, Error, Launch, ProbeDefinition, resolve};

/// Schedules of one name.
#[derive(Debug)]
pub struct Set {
    /// Without `pullprobe-`.
    pub name: String,
    /// Minutes from run to run.
    pub every: u32,
    /// Where reports go.
    pub log_group: String,
    /// Days that they are kept.
    pub retention: u32,
    /// Who is told.
    pub alarm_actions: Vec<String>,
    /// What runs in each subnet.
    pub launch: Launch,
    /// By which task definition.
    pub definition: ProbeDefinition,
}

/// Tries of one run. EventBridge Scheduler's default of 185 in 24 hours would run a probe long
/// after its time.
const RETRIES: u32 = 3;

/// Reads what is to be scheduled.
pub async fn read(calls: &AwsCalls, what: &What) -> Result<Set, Error> {
    if what.alarm_actions.len() > 5 {
        return Err(Error::Usage(
            "an alarm takes at most 5 --alarm-action: let one SNS topic tell the others".into(),
        ));
    }
    let target = &what.target;
    let name = match (&what.name, &target.service) {
        (Some(name), _) => name.clone(),
        (None, Some(service)) => name_of(
            target.cluster.as_deref().unwrap_or(DEFAULT_CLUSTER),
            service,
        ),
        (None, None) => {
            return Err(Error::Usage(
                "name the schedules with --name: there is no service's name".into(),
            ));
        }
    };
    let log_group = what
        .log_group
        .clone()
        .unwrap_or_else(|| format!("/pullprobe/{name}"));
    let (mut launch, definition) = resolve(calls, target, None, Some(&log_group)).await?;
    launch.definition = definition.family();
    let alarm_actions = what.alarm_actions.clone();
    let set = Set {
        name,
        every: what.every,
        log_group,
        retention: what.retention,
        alarm_actions,
        launch,
        definition,
    };
    // Before anything is made: what does not fit is refused.
    for subnet in &set.launch.subnets {
        is_subnet(subnet)
            .and_then(|()| set.run_task(subnet))
            .map_err(Error::Usage)?;
    }
    Ok(set)
}

/// A subnet names its schedule and stands in the names of alarms.
fn is_subnet(text: &str) -> Result<(), String> {
    let id = text.strip_prefix("subnet-").unwrap_or_default();
    let plain = (1..=40).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is no subnet's id: those are subnet- and letters and digits"
        ))
    }
}

/// `CLUSTER.SERVICE`. Neither may have a dot in it, so that no two services share a name; what is
/// too long ends in a digest.
fn name_of(cluster: &str, service: &str) -> String {
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let name = format!("{}.{}", last(cluster), last(service));
    if name.len() <= LONGEST_NAME {
        return name;
    }
    format!(
        "{}-{}",
        name.chars().take(LONGEST_NAME - 17).collect::<String>(),
        digest(&[&name], 8)
    )
}

impl Set {
    /// The schedule group's name.
    pub fn group(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    /// `15 minutes`.
    pub fn interval(&self) -> String {
        match (self.every % 60, self.every / 60) {
            (0, 1) => "1 hour".into(),
            (0, hours) => format!("{hours} hours"),
            _ => format!("{} minutes", self.every),
        }
    }

    /// `rate(15 minutes)`.
    pub fn rate(&self) -> String {
        format!("rate({})", self.interval())
    }

    /// A schedule's target wants an ARN.
    pub fn cluster_arn(&self, account: &str) -> String {
        let region = &self.launch.plan.region;
        match self.launch.cluster.as_str() {
            arn if arn.starts_with("arn:") => arn.to_owned(),
            name => format!(
                "arn:{}:ecs:{region}:{account}:cluster/{name}",
                region.partition().name()
            ),
        }
    }

    /// The body of the RunTask that each run makes: without a run id, so that each run has its own.
    fn run_task(&self, subnet: &str) -> Result<Value, String> {
        let mut launch = self.launch.clone();
        launch
            .labels
            .insert("schedule".into(), self.dimension(subnet));
        let mut body = launch.body(subnet)?;
        if let Some(environment) =
            body["overrides"]["containerOverrides"][0]["environment"].as_array_mut()
        {
            environment.retain(|pair| pair["name"] != "PULLPROBE_RUN_ID");
        }
        Ok(body)
    }

    /// The body of CreateSchedule and UpdateSchedule. No flexible window: alarms count on the
    /// interval.
    pub fn schedule(
        &self,
        subnet: &str,
        (cluster, role, definition): (&str, &str, &str),
    ) -> Result<Value, String> {
        let body = self.run_task(subnet)?;
        let network = &body["networkConfiguration"]["awsvpcConfiguration"];
        let mut awsvpc =
            json!({ "Subnets": network["subnets"], "AssignPublicIp": network["assignPublicIp"] });
        if network["securityGroups"].is_array() {
            awsvpc["SecurityGroups"] = network["securityGroups"].clone();
        }
        let mut ecs = json!({
            "TaskDefinitionArn": definition,
            "TaskCount": 1,
            "EnableECSManagedTags": true,
            "NetworkConfiguration": { "awsvpcConfiguration": awsvpc },
            "Tags": [{ "key": TAG, "value": self.name }],
        });
        for (name, member) in [
            ("LaunchType", "launchType"),
            ("CapacityProviderStrategy", "capacityProviderStrategy"),
            ("PlatformVersion", "platformVersion"),
        ] {
            if !body[member].is_null() {
                ecs[name] = body[member].clone();
            }
        }
        Ok(json!({
            "GroupName": self.group(),
            "Description": format!("pullprobe: {} from {subnet}", self.name),
            "ScheduleExpression": self.rate(),
            "State": "ENABLED",
            "FlexibleTimeWindow": { "Mode": "OFF" },
            "Target": {
                "Arn": cluster,
                "RoleArn": role,
                "EcsParameters": ecs,
                "Input": body["overrides"].to_string(),
                // What comes after the next run is of no use. At least 60 (API reference,
                // RetryPolicy).
                "RetryPolicy": { "MaximumEventAgeInSeconds": self.every * 60, "MaximumRetryAttempts": RETRIES },
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_one_service_and_not_too_long() {
        assert_eq!(
            name_of("arn:aws:ecs:eu-west-1:123456789012:cluster/prod", "web"),
            "prod.web"
        );
        assert_ne!(name_of("a-b", "c"), name_of("a", "b-c"));
        let long = name_of("prod", &"s".repeat(255));
        assert_eq!(long.len(), LONGEST_NAME);
        assert_ne!(long, name_of("prod", &"s".repeat(254)));
    }
}
