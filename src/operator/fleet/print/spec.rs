//! What `fleet print` prints, and the values that both tools have.

use crate::operator::fleet::cost;
use crate::operator::launch::CarrierChoice;
use crate::operator::s3::S3Uri;

/// Key of the list of targets, if the execution's input names no other.
pub const DEFAULT_TARGETS: &str = "targets/targets.jsonl";

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetPart {
    /// Bucket, functions, state machine, schedule, topic and table.
    Hub,
    /// The role of a member account, and the stack set that makes it in all.
    Spoke,
    /// The rule on failed starts, with its function, in one account and Region.
    FailedStarts,
}

/// Input of `fleet print`.
#[derive(Debug, Clone)]
pub struct FleetTemplate {
    pub part: FleetPart,
    /// Name of the state machine, and prefix of other names.
    pub name: String,
    /// Where the functions' code is, a zip file of `fleet bundle`.
    pub code: S3Uri,
    pub carrier: CarrierChoice,
    /// Workers at a time.
    pub max_concurrency: u32,
    /// Percentage of targets whose worker may fail without a result.
    pub tolerated_failures: u32,
    /// Schedule expression of the run.
    pub schedule: String,
    /// For the estimate of the cost.
    pub targets: u32,
    pub subnets: u32,
}

impl FleetTemplate {
    /// Returns the comment at the top of the template.
    pub(super) fn preamble(&self, usage: &str) -> String {
        let (what, cost) = match self.part {
            FleetPart::Hub => {
                let cost = cost::nightly(self.targets, self.subnets, self.carrier);
                (HUB, format!("\nCost: {}", cost.describe()))
            }
            FleetPart::Spoke => (SPOKE, String::new()),
            FleetPart::FailedStarts => (FAILED_STARTS, String::new()),
        };
        format!("{}: {what}\n{usage}{cost}", self.name)
    }
}

const HUB: &str =
    "probes the targets of a list every night, in many accounts and Regions, and compares
their reports. The list is the object targets/targets.jsonl of the bucket: pullprobe fleet targets.
Each account of the list needs the role of pullprobe fleet print --spoke.";

const SPOKE: &str =
    "the role that the fleet's worker assumes in an account, and a stack set that makes it in
every account of the organizational units.";

const FAILED_STARTS: &str =
    "probes in place of a task of Amazon ECS that failed to start, from its own subnet,
and publishes the cause. Each service is probed at most once an hour.";

/// Returns Lambda's environment for the functions.
pub(super) fn variables(part: FleetPart, template: &FleetTemplate) -> Vec<(&'static str, String)> {
    use crate::operator::fleet::event::{
        BUCKET_VARIABLE, CARRIER_VARIABLE, EXTERNAL_ID_VARIABLE, NAME_VARIABLE, ROLE_VARIABLE,
        TOPIC_VARIABLE,
    };
    let mut variables = vec![
        (BUCKET_VARIABLE, "{{Bucket}}".to_owned()),
        (NAME_VARIABLE, template.name.clone()),
    ];
    if part == FleetPart::Hub {
        variables.push((
            ROLE_VARIABLE,
            crate::operator::fleet::role::SPOKE_ROLE.to_owned(),
        ));
        variables.push((EXTERNAL_ID_VARIABLE, "{{ExternalId}}".to_owned()));
        let carrier = match template.carrier {
            CarrierChoice::Auto => "auto",
            CarrierChoice::Fargate => "fargate",
            CarrierChoice::Lambda => "lambda",
        };
        variables.push((CARRIER_VARIABLE, carrier.to_owned()));
    }
    variables.push((TOPIC_VARIABLE, "{{Topic}}".to_owned()));
    variables
}

/// Memory of the worker and of the last step, in MB: the worker holds a function's code of 3 MB for each
/// of ten uploads at once; 100,000 vantages need less than 500 MB, and a processor is given from 1,769 MB.
pub(super) const WORKER_MB: u32 = 512;
pub(super) const REDUCE_MB: u32 = 3_008;

/// Days that the logs and the objects are kept.
pub(super) const LOG_DAYS: u32 = 30;
pub(super) const OBJECT_DAYS: u32 = 90;

/// Patterns of the rule: what [`crate::operator::fleet::failed_start::FailedStart`] reads. The probe's own tasks do not
/// match, or each failure would start another probe.
pub(super) fn event_patterns() -> [(&'static str, serde_json::Value); 2] {
    use crate::operator::launch::{FAMILY_PREFIX, STARTED_BY_PREFIX};
    let task = serde_json::json!({
        "source": ["aws.ecs"],
        "detail-type": ["ECS Task State Change"],
        "detail": {
            "lastStatus": ["STOPPED"],
            "stopCode": ["TaskFailedToStart"],
            "startedBy": [{ "anything-but": { "prefix": STARTED_BY_PREFIX } }, { "exists": false }],
            "group": [{ "anything-but": { "prefix": format!("family:{FAMILY_PREFIX}") } }],
        },
    });
    let service = serde_json::json!({
        "source": ["aws.ecs"],
        "detail-type": ["ECS Service Action"],
        "detail": { "eventName": ["SERVICE_TASK_START_IMPAIRED"] },
    });
    [("FailedTaskRule", task), ("ImpairedServiceRule", service)]
}
