//! What `fleet print` prints, and the values that both tools have.

use serde_json::{Value, json};

use crate::operator::fleet::cost;
use crate::operator::fleet::event::{
    BUCKET_VARIABLE, CARRIER_VARIABLE, EXTERNAL_ID_VARIABLE, NAME_VARIABLE, ROLE_VARIABLE,
    TOPIC_VARIABLE,
};
use crate::operator::fleet::role::SPOKE_ROLE;
use crate::operator::launch::{CarrierChoice, FAMILY_PREFIX, STARTED_BY_PREFIX};
use crate::operator::price::{DASHBOARD, DASHBOARD_ITEM, MonthlyCost};
use crate::operator::s3::S3Uri;

/// Key of the list of targets, if the execution's input names no other.
pub const DEFAULT_TARGETS: &str = "targets/targets.jsonl";

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetPart {
    /// Bucket, functions, state machine, schedule, topic and table.
    Hub,
    /// The role of a member account, and the stack set that creates it in all of them.
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
    /// Where the functions' code is, a zip file of `fleet bundle`; `None` for a parameter without
    /// default.
    pub code: Option<S3Uri>,
    pub carrier: CarrierChoice,
    /// Workers at a time.
    pub max_concurrency: u32,
    /// Percentage of targets whose worker may fail without a result.
    pub tolerated_failures: u32,
    /// Schedule expression of the run.
    pub schedule: String,
    /// Whether there is a dashboard.
    pub dashboard: bool,
    /// For the estimate of the cost.
    pub targets: u32,
    pub subnets: u32,
}

impl FleetTemplate {
    /// Returns the comment at the top of the template.
    pub(super) fn preamble(&self, usage: &str) -> String {
        let (what, cost) = match self.part {
            FleetPart::Hub => {
                let mut cost = cost::nightly(self.targets, self.subnets, self.carrier);
                if self.dashboard {
                    cost.add(DASHBOARD_ITEM, 1.0, DASHBOARD);
                }
                (HUB, format!("\nCost: {}", cost.describe()))
            }
            FleetPart::Spoke => (SPOKE, String::new()),
            FleetPart::FailedStarts if self.dashboard => {
                let mut cost = MonthlyCost::default();
                cost.add(DASHBOARD_ITEM, 1.0, DASHBOARD);
                (FAILED_STARTS, format!("\nCost: {}", cost.describe()))
            }
            FleetPart::FailedStarts => (FAILED_STARTS, String::new()),
        };
        format!("{}: {what}\n{usage}{cost}", self.name)
    }

    /// Returns description and default of the parameters for the bucket and the key of the code. An
    /// empty default is none.
    pub(super) fn code_parameters(&self) -> [(&'static str, &str); 2] {
        let code = self.code.as_ref();
        [
            (
                "Bucket of the functions' code, in this Region",
                code.map_or("", |code| &code.bucket),
            ),
            (
                "Key of the functions' code, a zip file of pullprobe fleet bundle",
                code.map_or("", |code| &code.key),
            ),
        ]
    }

    /// Returns the name of the dashboard. That of failed starts has another, because both may be in
    /// one account and Region.
    pub(super) fn dashboard_name(&self) -> String {
        match self.part {
            FleetPart::FailedStarts => format!("{}-failed-starts", self.name),
            FleetPart::Hub | FleetPart::Spoke => self.name.clone(),
        }
    }

    /// Returns the name of the database in AWS Glue.
    pub(super) fn database(&self) -> String {
        self.name.replace('-', "_")
    }

    /// Returns Lambda's environment for the functions.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            (BUCKET_VARIABLE, "{{Bucket}}".to_owned()),
            (NAME_VARIABLE, self.name.clone()),
        ];
        if self.part == FleetPart::Hub {
            variables.push((ROLE_VARIABLE, SPOKE_ROLE.to_owned()));
            variables.push((EXTERNAL_ID_VARIABLE, "{{ExternalId}}".to_owned()));
            variables.push((CARRIER_VARIABLE, self.carrier.name().to_owned()));
        }
        variables.push((TOPIC_VARIABLE, "{{Topic}}".to_owned()));
        variables
    }
}

/// Descriptions of parameters that both tools have.
pub(super) const EXTERNAL_ID: &str =
    "External ID of the roles in the member accounts: any text that others do not know";
pub(super) const HUB_ACCOUNT: &str = "ID of the account of the hub, whose worker assumes the role";

/// Prefixes of the objects that expire after [`OBJECT_DAYS`]: not that of the list of targets.
pub(super) const EXPIRING_PREFIXES: [&str; 7] = [
    "reports/",
    "results/",
    "comparisons/",
    "inspections/",
    "pages/",
    "map-runs/",
    "claims/",
];

const HUB: &str =
    "probes the targets of a list every night, in many accounts and Regions, and compares
their reports. The list is the object targets/targets.jsonl of the bucket: pullprobe fleet targets.
Each account of the list needs the role of pullprobe fleet print --spoke.";

const SPOKE: &str =
    "the role that the fleet's worker assumes in an account, and a stack set that creates it in
every account of the organizational units.";

const FAILED_STARTS: &str =
    "probes in place of a task of Amazon ECS that failed to start, from its own subnet,
and publishes the cause. Each service is probed at most once an hour.";

/// Memory of the worker and of the last step, in MB: the worker holds a function's code of 3 MB for
/// each of ten uploads at once; 100,000 vantages need less than 500 MB, and a processor is given
/// from 1,769 MB.
pub(super) const WORKER_MB: u32 = 512;
pub(super) const REDUCE_MB: u32 = 3_008;

/// Days that the logs and the objects are kept.
pub(super) const LOG_DAYS: u32 = 30;
pub(super) const OBJECT_DAYS: u32 = 90;

/// Patterns of the rule: what [`crate::operator::fleet::failed_start::FailedStart`] reads. The
/// probe's own tasks do not match, or each failure would start another probe.
pub(super) fn event_patterns() -> [(&'static str, Value); 2] {
    let task = json!({
        "source": ["aws.ecs"],
        "detail-type": ["ECS Task State Change"],
        "detail": {
            "lastStatus": ["STOPPED"],
            "stopCode": ["TaskFailedToStart"],
            "startedBy": [{ "anything-but": { "prefix": STARTED_BY_PREFIX } }, { "exists": false }],
            "group": [{ "anything-but": { "prefix": format!("family:{FAMILY_PREFIX}") } }],
        },
    });
    let service = json!({
        "source": ["aws.ecs"],
        "detail-type": ["ECS Service Action"],
        "detail": { "eventName": ["SERVICE_TASK_START_IMPAIRED"] },
    });
    [("FailedTaskRule", task), ("ImpairedServiceRule", service)]
}
