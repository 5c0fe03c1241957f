//! The tools: their names, schemas and arguments, and how arguments become a command line.
//!
//! A client is a model that reads foreign text, so its arguments are foreign text too: a value is
//! only ever the value of its own flag, and a document goes to stdin. No argument names a file to
//! read or to write.

use std::fmt::Display;
use std::time::Duration;

use rmcp::handler::server::common::schema_for_type;
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use rmcp::schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::child::ChildAnswer;
use crate::redact::redact;
use crate::safe_text::visible;

/// Maximum number of characters of a flag's value: the longest ARN of a secret with its JSON key is
/// shorter.
const MAX_VALUE_CHARS: usize = 2_048;

/// Maximum number of values of one list, such as subnets: a launch starts in at most 500.
const MAX_VALUES: usize = 500;

/// Maximum number of bytes of a document, or of all reports together: `explain` reads 4 MiB.
const MAX_DOCUMENT: usize = 4 * 1024 * 1024;

/// Maximum number of characters of an error that quotes an argument.
const MAX_ERROR_CHARS: usize = 1_000;

/// A tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum McpTool {
    Explain,
    Plan,
    Compare,
    Causes,
    Inspect,
    Launch,
}

/// Why a call is not made.
#[derive(Debug)]
pub enum RefusedCall {
    UnknownTool(String),
    Arguments(String),
}

/// A command line for a call.
#[derive(Debug)]
pub struct ToolCall {
    pub tool: McpTool,
    pub arguments: Vec<String>,
    pub stdin: String,
}

impl McpTool {
    const ALL: [Self; 6] = [
        Self::Explain,
        Self::Plan,
        Self::Compare,
        Self::Causes,
        Self::Inspect,
        Self::Launch,
    ];

    /// Returns the tools that are served. Without `allow_launch`, all of them only read.
    pub fn served(allow_launch: bool) -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(move |tool| allow_launch || *tool != Self::Launch)
    }

    /// Returns the name, which is that of the command.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Explain => "explain",
            Self::Plan => "plan",
            Self::Compare => "compare",
            Self::Causes => "causes",
            Self::Inspect => "inspect",
            Self::Launch => "launch",
        }
    }

    /// Returns how long a call may take. A launch waits up to six minutes for each task to start,
    /// and starts only some at a time.
    pub const fn time_limit(self) -> Duration {
        match self {
            Self::Plan | Self::Causes => Duration::from_mins(1),
            Self::Explain => Duration::from_mins(2),
            Self::Compare | Self::Inspect => Duration::from_mins(10),
            Self::Launch => Duration::from_hours(1),
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::Explain => {
                "Explains why an ECS task did not start: the step that failed, what the text proves, the possible causes with \
                 their remedies, and the next command. Pass the text, or name a task or service to read from Amazon ECS. Needs \
                 no AWS access for a text."
            }
            Self::Plan => {
                "Derives what a task contacts when it starts, and what it needs for that: VPC endpoints, security group and \
                 network ACL rules, and least-privilege IAM policies. Works offline, from a task definition or an image."
            }
            Self::Compare => {
                "Compares reports of the probe and finds the first check that differs between the places where a task starts \
                 and those where it fails, and what changed over time."
            }
            Self::Causes => {
                "Returns the closed list of causes with family, exit code, summary and remedy; with a code its whole page: what \
                 proves it, what looks the same, how to fix it."
            }
            Self::Inspect => {
                "Reads the AWS configuration around a service or task and computes each hop of the path to every host that it contacts: \
                 open, closed or unknown. Names the security group, network ACL, route, endpoint or policy that is closed, and \
                 the smallest change. Only reads."
            }
            Self::Launch => {
                "Runs the probe in every subnet of a service and returns one report for each, and their comparison. Starts \
                 tasks or functions in the AWS account, which cost a little, and removes them; takes minutes."
            }
        }
    }

    /// Returns the tool as the protocol lists it.
    pub fn describe(self) -> Tool {
        let schema = match self {
            Self::Explain => schema_for_type::<ExplainCall>(),
            Self::Plan => schema_for_type::<PlanCall>(),
            Self::Compare => schema_for_type::<CompareCall>(),
            Self::Causes => schema_for_type::<CausesCall>(),
            Self::Inspect => schema_for_type::<InspectCall>(),
            Self::Launch => schema_for_type::<LaunchCall>(),
        };
        let reads = self != Self::Launch;
        let annotations = ToolAnnotations::new()
            .read_only(reads)
            .destructive(false)
            .idempotent(reads)
            .open_world(!matches!(self, Self::Plan | Self::Causes));
        Tool::new(self.name(), self.description(), schema)
            .with_annotations(annotations)
            .with_raw_output_schema(std::sync::Arc::new(self.output_schema()))
    }

    /// Returns the member of an answer that has the command's document or documents.
    const fn document(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Explain => (
                "explanations",
                "array",
                "One pullprobe/explanation/v1 for each message",
            ),
            Self::Plan => ("plan", "object", "The contacts, or the requirements"),
            Self::Compare => ("comparison", "object", "pullprobe/comparison/v1"),
            Self::Causes => ("list", "object", "pullprobe/causes/v1"),
            Self::Inspect => ("inspection", "object", "pullprobe/inspection/v1"),
            Self::Launch => (
                "documents",
                "array",
                "One pullprobe/report/v1 for each subnet, then their pullprobe/comparison/v1; in a dry run the AWS requests",
            ),
        }
    }

    fn output_schema(self) -> JsonObject {
        let (member, kind, description) = self.document();
        let schema = json!({
            "type": "object",
            "required": ["exit_code", "notes", member],
            "properties": {
                "exit_code": { "type": "integer", "description": "Exit code of the command: 0 pass, 3 inconclusive, 4 warn, 10 to 20 by the family of the first finding" },
                "notes": { "type": "array", "items": { "type": "string" }, "description": "Notes that the command wrote besides its answer" },
                member: { "type": kind, "description": description },
            },
        });
        match schema {
            Value::Object(schema) => schema,
            _ => JsonObject::new(),
        }
    }

    /// Returns the structured answer of a call, or the error that the command printed.
    pub fn answer(self, answer: &ChildAnswer, notes: &[String]) -> Result<Value, String> {
        let lines = serde_json::Deserializer::from_str(&answer.stdout).into_iter::<Value>();
        let documents: Vec<Value> = lines.collect::<Result<_, _>>().map_err(|error| {
            let name = self.name();
            format!("the answer of {name} is not JSON ({error}); run `pullprobe {name}` in a shell")
        })?;
        if matches!(answer.exit_code, 1 | 2) || documents.is_empty() {
            let text = notes.join("\n");
            return Err(match text.strip_prefix("pullprobe: ") {
                Some(text) => text.to_owned(),
                None if text.is_empty() => format!(
                    "{} ended with exit code {} and without an answer; run it in a shell",
                    self.name(),
                    answer.exit_code
                ),
                None => text,
            });
        }
        let (member, kind, _) = self.document();
        let document = match kind {
            "array" => Value::Array(documents),
            _ => documents.into_iter().next().unwrap_or_default(),
        };
        Ok(json!({ "exit_code": answer.exit_code, "notes": notes, member: document }))
    }
}

/// Returns the command line of a call. Fails if the arguments are not those of the tool's schema.
pub fn read_call(
    name: &str,
    arguments: JsonObject,
    allow_launch: bool,
) -> Result<ToolCall, RefusedCall> {
    let Some(tool) = McpTool::ALL.into_iter().find(|tool| tool.name() == name) else {
        let names: Vec<_> = McpTool::served(allow_launch).map(McpTool::name).collect();
        return Err(RefusedCall::UnknownTool(format!(
            "there is no tool {:?}; the tools are {}",
            visible(name, 64),
            names.join(", ")
        )));
    };
    if tool == McpTool::Launch && !allow_launch {
        return Err(RefusedCall::Arguments(
            "launch starts tasks in the AWS account and is not served; ask the operator to start the server with \
             `pullprobe mcp --allow-launch`, or to run `pullprobe launch` in a shell"
                .into(),
        ));
    }
    let built = match tool {
        McpTool::Explain => read::<ExplainCall>(arguments).and_then(ExplainCall::build),
        McpTool::Plan => read::<PlanCall>(arguments).and_then(PlanCall::build),
        McpTool::Compare => read::<CompareCall>(arguments).and_then(CompareCall::build),
        McpTool::Causes => read::<CausesCall>(arguments).and_then(CausesCall::build),
        McpTool::Inspect => read::<InspectCall>(arguments).and_then(InspectCall::build),
        McpTool::Launch => read::<LaunchCall>(arguments).and_then(LaunchCall::build),
    };
    let line = built.map_err(|text| {
        RefusedCall::Arguments(visible(
            &redact(&format!("{name}: {text}")),
            MAX_ERROR_CHARS,
        ))
    })?;
    let mut arguments = vec![name.to_owned()];
    arguments.extend(line.arguments);
    Ok(ToolCall {
        tool,
        arguments,
        stdin: line.stdin,
    })
}

fn read<T: DeserializeOwned>(arguments: JsonObject) -> Result<T, String> {
    serde_json::from_value(Value::Object(arguments))
        .map_err(|error| format!("{error}; the tool's schema has every argument"))
}

/// A command line that is being built.
struct CommandLine {
    arguments: Vec<String>,
    stdin: String,
}

impl CommandLine {
    fn new() -> Self {
        Self {
            arguments: vec!["--format=json".into()],
            stdin: String::new(),
        }
    }

    /// Adds a flag with a value. `--flag=value` in one argument cannot become another flag.
    fn value(mut self, flag: &str, value: Option<impl Display>) -> Result<Self, String> {
        let Some(value) = value else { return Ok(self) };
        let value = value.to_string();
        if value.is_empty() || value.contains(char::is_control) {
            return Err(format!("{flag}: expected a text on one line"));
        }
        if value.chars().nth(MAX_VALUE_CHARS).is_some() {
            return Err(format!(
                "{flag}: expected at most {MAX_VALUE_CHARS} characters"
            ));
        }
        self.arguments.push(format!("--{flag}={value}"));
        Ok(self)
    }

    fn values(
        self,
        flag: &str,
        values: impl IntoIterator<Item = impl Display>,
    ) -> Result<Self, String> {
        let mut line = self;
        for (number, value) in values.into_iter().enumerate() {
            if number == MAX_VALUES {
                return Err(format!("{flag}: expected at most {MAX_VALUES} values"));
            }
            line = line.value(flag, Some(value))?;
        }
        Ok(line)
    }

    fn switch(mut self, flag: &str, is_set: bool) -> Self {
        if is_set {
            self.arguments.push(format!("--{flag}"));
        }
        self
    }

    fn document(mut self, name: &str, documents: &[Document]) -> Result<Self, String> {
        for document in documents {
            let text = match document {
                Document::Text(text) => text.clone(),
                Document::Json(json) => Value::Object(json.clone()).to_string(),
            };
            self.stdin.push_str(&text);
            self.stdin.push('\n');
            if self.stdin.len() > MAX_DOCUMENT {
                return Err(format!(
                    "{name}: expected at most {} MiB; pass less, or run the command in a shell",
                    MAX_DOCUMENT / 1024 / 1024
                ));
            }
        }
        Ok(self)
    }

    /// Adds a task definition: a document, or the name of one in Amazon ECS. A name that could be a
    /// file's is refused.
    fn task_definition(self, definition: Option<&Document>) -> Result<Self, String> {
        match definition {
            None => Ok(self),
            Some(Document::Text(name)) if is_task_definition_name(name) => {
                self.value("task-definition", Some(name))
            }
            Some(document) => {
                if let Document::Text(text) = document
                    && !text.trim_start().contains(['\n', '{', ':'])
                {
                    return Err(
                        "task_definition: expected the document itself, an ARN or FAMILY:REVISION; no file is read"
                            .into(),
                    );
                }
                self.value("task-definition", Some("-"))?
                    .document("task_definition", std::slice::from_ref(document))
            }
        }
    }
}

/// Whether a text is the ARN of a task definition, or FAMILY:REVISION.
fn is_task_definition_name(text: &str) -> bool {
    let name = match text.split_once(":task-definition/") {
        Some((start, name)) if start.starts_with("arn:") => name,
        _ => text,
    };
    let is_family = |family: &str| {
        family
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    name.split_once(':').is_some_and(|(family, revision)| {
        !family.is_empty()
            && is_family(family)
            && !revision.is_empty()
            && revision.bytes().all(|b| b.is_ascii_digit())
    })
}

/// A document, as text or as the JSON object that it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(crate = "rmcp::schemars")]
enum Document {
    Text(String),
    Json(JsonObject),
}

/// Arguments of `explain`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
struct ExplainCall {
    /// Stopped reason or service event, or the JSON of `aws ecs describe-tasks` or
    /// `describe-services`
    text: Option<Document>,
    /// Instead of a text: ARN or ID of a task to read from Amazon ECS
    task: Option<String>,
    /// Instead of a text: service whose newest stopped tasks to read from Amazon ECS
    service: Option<String>,
    /// Cluster of the task or service, by name or ARN
    cluster: Option<String>,
    /// Region of the task or service
    region: Option<String>,
}

impl ExplainCall {
    fn build(self) -> Result<CommandLine, String> {
        let line = CommandLine::new();
        match (&self.text, &self.task, &self.service) {
            (Some(text), None, None) => {
                let mut line = line.document("text", std::slice::from_ref(text))?;
                line.arguments.push("-".into());
                Ok(line)
            }
            (None, Some(_), None) | (None, None, Some(_)) => line
                .value("task", self.task)?
                .value("service", self.service)?
                .value("cluster", self.cluster)?
                .value("region", self.region),
            _ => Err("expected one of text, task and service".into()),
        }
    }
}

/// Which part of a plan is returned.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(crate = "rmcp::schemars")]
enum PlanView {
    /// VPC endpoints, security group and network ACL rules, IAM policies, notes
    #[default]
    Needs,
    /// Hosts, ports and checks, as `pullprobe probe --plan` takes them
    Contacts,
}

/// Arguments of `plan`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
struct PlanCall {
    /// Task definition: JSON or YAML as the AWS CLI takes and prints it, a CloudFormation template,
    /// or `terraform show -json`
    task_definition: Option<Document>,
    /// Images to pull; NAME=REF sets the image of that container of the task definition
    #[serde(default)]
    images: Vec<String>,
    /// Values of placeholders or template parameters, each VAR=VALUE
    #[serde(default)]
    set: Vec<String>,
    /// Task definition to choose in a file with several
    resource: Option<String>,
    /// Region of the task, where the task definition does not name one
    region: Option<String>,
    /// Platform of the task, such as linux/arm64
    platform: Option<String>,
    /// IP versions of the subnet: ipv4, dual-stack or ipv6
    ip_family: Option<String>,
    /// What to return
    #[serde(default)]
    view: PlanView,
}

impl PlanCall {
    fn build(self) -> Result<CommandLine, String> {
        if self.task_definition.is_none() && self.images.is_empty() {
            return Err("expected task_definition or images".into());
        }
        if let Some(Document::Text(text)) = &self.task_definition
            && is_task_definition_name(text)
        {
            return Err(
                "task_definition: plan works offline; pass the output of `aws ecs describe-task-definition`"
                    .into(),
            );
        }
        Ok(CommandLine::new()
            .task_definition(self.task_definition.as_ref())?
            .values("image", self.images)?
            .values("set", self.set)?
            .value("resource", self.resource)?
            .value("region", self.region)?
            .value("platform", self.platform)?
            .value("ip-family", self.ip_family)?
            .switch("needs", self.view == PlanView::Needs))
    }
}

/// Arguments of `compare`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
struct CompareCall {
    /// Reports, each the JSON line that `pullprobe probe` prints
    #[serde(default)]
    reports: Vec<Document>,
    /// Instead of reports: log group to read them from
    log_group: Option<String>,
    /// Region of the log group
    region: Option<String>,
    /// Only reports from this time on, such as 90m, 24h or 7d
    since: Option<String>,
}

impl CompareCall {
    fn build(self) -> Result<CommandLine, String> {
        let line = CommandLine::new();
        if self.reports.is_empty() == self.log_group.is_none() {
            return Err("expected either reports or log_group".into());
        }
        if self.log_group.is_some() {
            return line
                .value("log-group", self.log_group)?
                .value("region", self.region)?
                .value("since", self.since);
        }
        let mut line = line.document("reports", &self.reports)?;
        line.arguments.push("-".into());
        Ok(line)
    }
}

/// Arguments of `causes`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
struct CausesCall {
    /// Code of a cause, such as s3-gateway-missing, for its page
    code: Option<String>,
}

impl CausesCall {
    fn build(self) -> Result<CommandLine, String> {
        let mut line = CommandLine::new();
        if let Some(code) = self.code {
            let is_code = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if code.starts_with('-') || !code.chars().all(is_code) || code.len() > 64 {
                return Err("code: expected a code such as s3-gateway-missing; without a code all are listed".into());
            }
            line.arguments.push(code);
        }
        Ok(line)
    }
}

/// Arguments of `inspect`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
struct InspectCall {
    /// Cluster, by name or ARN
    cluster: Option<String>,
    /// Service to inspect, from each of its subnets
    service: Option<String>,
    /// Instead of a service: ARN of a task like the one to inspect
    like: Option<String>,
    /// Task definition, deployed or not: the document, an ARN or FAMILY:REVISION
    task_definition: Option<Document>,
    /// Subnets, where not those of the service
    #[serde(default)]
    subnets: Vec<String>,
    /// Security groups, where not those of the service
    #[serde(default)]
    security_groups: Vec<String>,
    /// The task gets a public IP address
    #[serde(default)]
    assign_public_ip: bool,
    /// Region, where no ARN names it
    region: Option<String>,
    /// Only the network: neither the role nor images, secrets and log groups
    #[serde(default)]
    plan_only: bool,
}

impl InspectCall {
    fn build(self) -> Result<CommandLine, String> {
        Ok(CommandLine::new()
            .value("cluster", self.cluster)?
            .value("service", self.service)?
            .value("like", self.like)?
            .task_definition(self.task_definition.as_ref())?
            .values("subnets", self.subnets)?
            .values("security-groups", self.security_groups)?
            .switch("assign-public-ip", self.assign_public_ip)
            .value("region", self.region)?
            .switch("plan-only", self.plan_only))
    }
}

/// Arguments of `launch`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
struct LaunchCall {
    /// Cluster, by name or ARN
    cluster: Option<String>,
    /// Service to probe, in each of its subnets
    service: Option<String>,
    /// Instead of a service: ARN of a task like the one to probe
    like: Option<String>,
    /// Task definition, deployed or not: the document, an ARN or FAMILY:REVISION
    task_definition: Option<Document>,
    /// Subnets, where not those of the service
    #[serde(default)]
    subnets: Vec<String>,
    /// Security groups, where not those of the service
    #[serde(default)]
    security_groups: Vec<String>,
    /// The task gets a public IP address
    #[serde(default)]
    assign_public_ip: bool,
    /// Region, where no ARN names it
    region: Option<String>,
    /// What carries the probe: auto, fargate or lambda
    carrier: Option<String>,
    /// Addresses that AWS names should resolve to: any or private; with private, a public one is a
    /// finding
    expect: Option<String>,
    /// Return the AWS requests, and send only those that read
    #[serde(default)]
    dry_run: bool,
}

impl LaunchCall {
    fn build(self) -> Result<CommandLine, String> {
        Ok(CommandLine::new()
            .value("cluster", self.cluster)?
            .value("service", self.service)?
            .value("like", self.like)?
            .task_definition(self.task_definition.as_ref())?
            .values("subnets", self.subnets)?
            .values("security-groups", self.security_groups)?
            .switch("assign-public-ip", self.assign_public_ip)
            .value("region", self.region)?
            .value("carrier", self.carrier)?
            .value("expect", self.expect)?
            .switch("dry-run", self.dry_run))
    }
}
