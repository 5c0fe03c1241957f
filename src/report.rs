//! The report, `pullprobe/report/v1`: observations, findings, verdict, and the metrics that alarms
//! watch.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use crate::aws::credentials::CredentialSource;
use crate::diagnose::{Diagnosis, Finding, RuledOut};
use crate::observation::{
    Answer, Dependency, ForEach, Observation, ObservationId, Outcome, Phase, Scope, Starvation,
    TargetKey,
};
use crate::safe_text::{SafeText, json_line, safe_text, visible_map};
use crate::vantage::Vantage;
use crate::verdict::{Status, Verdict};

/// Name of the report's schema.
pub const SCHEMA: &str = "pullprobe/report/v1";

/// The report of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The run.
    pub run: Run,
    /// Where the probe ran.
    pub vantage: Vantage,
    /// Identity that the probe used; `null` without credentials.
    pub identity: Option<Identity>,
    /// Whether the task would start, and why not.
    pub verdict: Verdict,
    /// Causes, ranked.
    pub findings: Vec<Finding>,
    /// Causes that the evidence excludes; empty in a report that passes, where there is none to
    /// find.
    pub ruled_out: Vec<RuledOut>,
    /// Observations, by target and phase. A report that passes says once what would be repeated:
    /// the slowest handshake of a target stands for those with certificates of the same issuer,
    /// `attempts` is left out where it is 1, and `owner` where it is `null`; an observation with a
    /// `peer` and without `scope`, or of `connect`, `handshake`, a layer's `blob` and `fetch`
    /// without `host`, has those of its target's `resolve`.
    #[serde(
        serialize_with = "serialize_observations",
        deserialize_with = "deserialize_observations"
    )]
    pub observations: Vec<Observation>,
    /// What was checked: a `pullprobe/plan/v1`.
    pub plan: Value,
    /// Whether the report reached CloudWatch Logs.
    pub delivery: Delivery,
    /// Definition of the metrics below, in CloudWatch's embedded metric format.
    #[serde(rename = "_aws")]
    pub aws: Value,
    /// Metrics and their dimensions, as members of the root, where the format requires them.
    #[serde(flatten)]
    pub metrics: BTreeMap<String, Value>,
}

/// Which metrics a report has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReportMetrics {
    /// `Failed` and `DurationMs`.
    #[default]
    Basic,
    /// Also the time of each dependency's slowest phase.
    All,
}

/// Identifies a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Run {
    /// `--run-id`, or generated.
    pub id: SafeText,
    /// Version of pullprobe.
    pub version: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// Time from the start to the verdict, milliseconds.
    pub elapsed_ms: u64,
    /// `--label`s.
    #[serde(deserialize_with = "visible_map")]
    pub labels: BTreeMap<String, String>,
    /// Date of the table of AWS's published address ranges.
    pub address_ranges: String,
    /// Set if a bug in pullprobe ended the run early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_error: Option<SafeText>,
    /// Set if evidence was left out so that the report fits one log event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortened: Option<SafeText>,
}

impl Run {
    /// Calls `each` with every text from the command line, and with the message of a panic.
    pub fn for_each_text(&mut self, each: ForEach<'_, SafeText>) {
        each(&mut self.id);
        self.internal_error.iter_mut().for_each(&mut *each);
        for (key, value) in std::mem::take(&mut self.labels) {
            let [key, value] = [key, value].map(|part| {
                let mut part = part.into();
                each(&mut part);
                part.into_string()
            });
            self.labels.insert(key, value);
        }
    }
}

/// Identity that the probe used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Identity {
    /// ARN of the role, where the credentials name it.
    pub role_arn: Option<SafeText>,
    /// Where the credentials came from.
    #[cfg_attr(test, schemars(with = "String"))]
    pub source: CredentialSource,
    /// RFC 3339.
    pub expires_at: Option<String>,
}

/// Whether the report reached CloudWatch Logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Delivery {
    /// Whether the report was delivered.
    pub logs: Logs,
    /// Log group and stream, or the reason for the failure.
    pub detail: SafeText,
}

/// Result of the delivery to CloudWatch Logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Logs {
    /// CloudWatch Logs accepted the report.
    Delivered,
    /// The report could not be written.
    Failed,
    /// Not known, because the operator may not read the log group.
    Unknown,
    /// No log group was given.
    NotAsked,
}

/// Maximum size of a report in bytes. CloudWatch Logs accepts events of 256 KiB, of which it counts
/// 26 bytes as overhead (API reference, PutLogEvents); the rest of the difference is for the
/// delivery's detail, which is written last.
const MAX_REPORT_SIZE: usize = 256 * 1024 - 4 * 1024;

impl Report {
    /// Returns a report with its verdict. `diagnosis` is that of `observations`.
    pub fn new(
        run: Run,
        vantage: Vantage,
        identity: Option<Identity>,
        observations: Vec<Observation>,
        diagnosis: Diagnosis,
        plan: Value,
    ) -> Self {
        let verdict = Verdict::over(&observations, &diagnosis.findings);
        Self::with_verdict(
            run,
            vantage,
            identity,
            observations,
            (diagnosis, verdict),
            plan,
        )
    }

    /// Returns a report whose verdict comes from elsewhere, such as the probe's exit code.
    pub fn with_verdict(
        run: Run,
        vantage: Vantage,
        identity: Option<Identity>,
        observations: Vec<Observation>,
        (diagnosis, verdict): (Diagnosis, Verdict),
        plan: Value,
    ) -> Self {
        let Diagnosis {
            findings,
            ruled_out,
        } = diagnosis;
        let (aws, metrics) = embedded_metrics(&run, &vantage, &verdict);
        let delivery = Delivery {
            logs: Logs::NotAsked,
            detail: SafeText::default(),
        };
        let schema = SCHEMA.to_owned();
        let mut report = Self {
            schema,
            run,
            vantage,
            identity,
            verdict,
            findings,
            ruled_out,
            observations,
            plan,
            delivery,
            aws,
            metrics,
        };
        // What a starved probe saw late is evidence that its verdict leaves out.
        let is_starved = |seen: &Observation| seen.starvation.is_some_and(Starvation::is_severe);
        let starved = report.observations.iter().any(is_starved);
        if report.verdict.status == Status::Pass && !starved {
            report.condense();
        }
        report.fit();
        report
    }

    /// Adds the time of each dependency's slowest phase to the metrics.
    pub fn add_phase_metrics(&mut self) {
        let times = phase_times(&self.observations);
        let Some(Value::Array(units)) = self.aws.pointer_mut("/CloudWatchMetrics/0/Metrics") else {
            return;
        };
        for (name, slowest) in times {
            // The unit is in the name; repeated for each phase it would be a tenth of a passing
            // report.
            units.push(json!({ "Name": name }));
            self.metrics.insert(name, json!(slowest));
        }
        self.fit();
    }

    /// Whether a probe measured something. A report may also contain only what Amazon ECS says.
    pub fn is_measured(&self) -> bool {
        self.observations
            .iter()
            .any(|observation| observation.witness.is_none())
    }

    /// Returns the report as one line of JSON.
    pub fn line(&self) -> String {
        json_line(SCHEMA, self)
    }

    /// Leaves out what only rules about failures read, and what follows from the rest. A passing
    /// report then fits the ten segments that TCP sends without waiting for an acknowledgment (RFC
    /// 6928 section 2); one of 27 KB takes another round trip.
    fn condense(&mut self) {
        self.ruled_out.clear();
        keep_slowest_handshakes(&mut self.observations);
        for observation in &mut self.observations {
            observation.brief = observation.witness.is_none();
            // A resolver's answer is noteworthy only if it came over TCP or through CNAMEs.
            observation
                .lookups
                .retain(|lookup| lookup.over_tcp || !lookup.aliases.is_empty());
            observation.source_ports = None;
            observation.chain.truncate(1);
            if let Some(subject) = &mut observation.subject
                && matches!(observation.phase, Phase::Blob | Phase::Fetch)
            {
                shorten_blob(subject);
            }
            for leaf in &mut observation.chain {
                leaf.names.clear();
                leaf.subject.clear();
                leaf.not_before.clear();
                leaf.not_after.clear();
            }
            observation.answer = observation.answer.take().and_then(unusual_part);
        }
    }

    /// Leaves out evidence until the report fits one log event: first that of passed phases, then
    /// all evidence, then whole observations, with those that findings cite last, and finally the
    /// plan and the labels.
    fn fit(&mut self) {
        let mut steps: Vec<(&'static str, Shorten)> = vec![
            ("evidence of passed phases", |report, _| {
                report
                    .observations
                    .iter_mut()
                    .filter(|o| o.passed())
                    .for_each(strip);
            }),
            ("evidence", |report, _| {
                report.observations.iter_mut().for_each(strip);
            }),
        ];
        steps.resize(
            steps.len() + SHORTENINGS,
            ("observations", keep_cited_observations),
        );
        steps.push(("the plan", |report, _| report.plan = Value::Null));
        steps.push(("the labels", |report, _| report.run.labels.clear()));
        for (step, (what, shorten)) in steps.into_iter().enumerate() {
            if self.line().len() <= MAX_REPORT_SIZE {
                return;
            }
            self.run.shortened = Some(safe_text![what, " left out to fit one log event"]);
            shorten(self, step);
        }
    }
}

/// Number of hexadecimal digits that identify a blob, as in observation IDs.
const SHORT_DIGEST_LENGTH: usize = 12;

/// Keeps the start of the digest at the end of `subject`. The image before it is in the ID.
fn shorten_blob(subject: &mut String) {
    const ALGORITHM: &str = "sha256:";
    if let Some(start) = subject.rfind(ALGORITHM) {
        let end = start + ALGORITHM.len() + SHORT_DIGEST_LENGTH;
        if let Some(digest) = subject.get(start..end) {
            *subject = digest.to_owned();
        }
    }
}

/// Returns the noteworthy part of a passing answer, if any: a rate limit, the throughput of a whole
/// layer, a clock that differs.
fn unusual_part(answer: Answer) -> Option<Answer> {
    let part = Answer {
        status: answer.status,
        rate_limit: answer.rate_limit,
        bytes_per_s: answer.bytes_per_s,
        clock_offset_s: answer.clock_offset_s.filter(|&offset| offset != 0),
        ..Answer::default()
    };
    let nothing = Answer {
        status: part.status,
        ..Answer::default()
    };
    (part != nothing).then_some(part)
}

/// Of a target's handshakes with certificates from the same issuer, keeps only the slowest.
fn keep_slowest_handshakes(observations: &mut Vec<Observation>) {
    let issuer = |seen: &Observation| seen.chain.first().map(|leaf| leaf.issuer.to_string());
    let mut slowest: BTreeMap<_, (u64, ObservationId)> = BTreeMap::new();
    let is_handshake = |seen: &Observation| seen.phase == Phase::Handshake;
    for seen in observations.iter().filter(|seen| is_handshake(seen)) {
        let this = (seen.elapsed_ms, seen.id.clone());
        let known = slowest
            .entry((seen.target().clone(), issuer(seen)))
            .or_insert_with(|| this.clone());
        if this.0 > known.0 {
            *known = this;
        }
    }
    let kept: BTreeSet<ObservationId> = slowest.into_values().map(|(_, id)| id).collect();
    observations.retain(|seen| !is_handshake(seen) || kept.contains(&seen.id));
}

/// Members of an observation that only a measurement has.
const MEASURED: [&str; 2] = ["elapsed_ms", "attempts"];

/// Omits the time and number of tries from what a witness reports, because nothing was measured,
/// and omits repeated members from a passing report.
fn serialize_observations<S: Serializer>(
    observations: &[Observation],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Written<'a> {
        Whole(&'a Observation),
        Part(Value),
    }
    let resolved = resolved(observations);
    let written = observations.iter().map(|observation| {
        if observation.witness.is_none() && !observation.brief {
            return Written::Whole(observation);
        }
        let resolve = resolve_of(&resolved, observation);
        let mut part = json!(observation);
        if let Some(members) = part.as_object_mut() {
            members.retain(|name, value| {
                if observation.witness.is_some() {
                    return !MEASURED.contains(&name.as_str());
                }
                match name.as_str() {
                    "attempts" => observation.attempts != 1,
                    "owner" => !value.is_null(),
                    "host" => {
                        !repeats_host(observation)
                            || resolve.is_none_or(|(host, _)| *host != observation.host)
                    }
                    "scope" => {
                        observation.peer.is_none()
                            || resolve.is_none_or(|(_, scope)| *scope != observation.scope)
                    }
                    _ => true,
                }
            });
        }
        Written::Part(part)
    });
    serializer.collect_seq(written)
}

/// Reads observations, and fills in the members that a passing report omits as repetitions.
fn deserialize_observations<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Observation>, D::Error> {
    let mut observations = Vec::<Observation>::deserialize(deserializer)?;
    let is_brief = |seen: &Observation| seen.passed() && seen.attempts == 0;
    let mut measured = observations.iter().filter(|seen| seen.witness.is_none());
    if !measured.any(is_brief) {
        return Ok(observations);
    }
    let resolved = resolved(&observations);
    for observation in observations.iter_mut().filter(|o| o.witness.is_none()) {
        observation.brief = true;
        if is_brief(observation) {
            observation.attempts = 1;
        }
        if let Some((host, scope)) = resolve_of(&resolved, observation) {
            if observation.host.is_empty() && repeats_host(observation) {
                observation.host.clone_from(host);
            }
            if observation.peer.is_some() {
                observation.scope = observation.scope.or(*scope);
            }
        }
    }
    Ok(observations)
}

/// Host and scope from the first `resolve` of each target.
type Resolved = BTreeMap<TargetKey, (String, Option<Scope>)>;

fn resolved(observations: &[Observation]) -> Resolved {
    let mut resolved = Resolved::new();
    let lookups = observations.iter().filter(|o| o.phase == Phase::Resolve);
    for seen in lookups {
        let found = || (seen.host.clone(), seen.scope);
        resolved.entry(seen.target().clone()).or_insert_with(found);
    }
    resolved
}

/// Returns the host and scope from the `resolve` of the observation's target. `None` for a
/// `resolve` itself.
fn resolve_of<'a>(
    resolved: &'a Resolved,
    other: &Observation,
) -> Option<&'a (String, Option<Scope>)> {
    resolved
        .get(other.target())
        .filter(|_| other.phase != Phase::Resolve)
}

/// Whether most reports have several observations of this phase for one target, which repeat its
/// host.
fn repeats_host(observation: &Observation) -> bool {
    match observation.phase {
        Phase::Connect | Phase::Handshake | Phase::Blob => true,
        Phase::Fetch => observation.dependency != Dependency::EnvironmentFile,
        _ => false,
    }
}

/// Maximum number of observations in a report that would not fit otherwise: two for each of 100
/// layers, and those of every target. Without evidence, one takes less than 600 bytes.
const MAX_SHORTENED_OBSERVATIONS: usize = 300;

/// Maximum number of findings in such a report, and of the observations that each cites.
const MAX_SHORTENED_FINDINGS: usize = 20;
const MAX_SHORTENED_PROOFS: usize = 10;

/// How often the number of observations is halved until none is left.
const SHORTENINGS: usize = 10;

/// Keeps [`MAX_SHORTENED_OBSERVATIONS`] observations in the first step, and half as many in each
/// further one.
fn keep_cited_observations(report: &mut Report, step: usize) {
    let halve = |number: usize| number >> step.saturating_sub(2).min(SHORTENINGS);
    report
        .findings
        .truncate(halve(MAX_SHORTENED_FINDINGS).max(1));
    report.ruled_out.clear();
    for finding in &mut report.findings {
        finding.because.truncate(halve(MAX_SHORTENED_PROOFS).max(1));
    }
    let cited: Vec<ObservationId> = report
        .findings
        .iter()
        .flat_map(|finding| finding.because.clone())
        .collect();
    let mut room = halve(MAX_SHORTENED_OBSERVATIONS).saturating_sub(cited.len());
    report.observations.retain(|observation| {
        let keep = cited.contains(&observation.id);
        let fill = !keep && room > 0;
        room -= usize::from(fill);
        keep || fill
    });
}

fn strip(observation: &mut Observation) {
    observation.lookups.clear();
    observation.chain.clear();
    observation.presented.truncate(4);
    observation.detail.clear();
    if let Some(answer) = &mut observation.answer {
        answer.message.clear();
    }
}

/// Label of the reports of `fleet`.
pub const FLEET_LABEL: &str = "fleet";

/// Returns `Failed` and `DurationMs` of the vantage (CloudWatch user guide, "Embedded metric format
/// specification").
///
/// Each metric costs $0.30 a month in each set of dimensions (CloudWatch pricing), so there are few
/// metrics and one set.
fn embedded_metrics(
    run: &Run,
    vantage: &Vantage,
    verdict: &Verdict,
) -> (Value, BTreeMap<String, Value>) {
    let mut values = BTreeMap::new();
    values.insert(
        "Failed".to_owned(),
        json!(u8::from(verdict.status == Status::Fail)),
    );
    values.insert("DurationMs".to_owned(), json!(run.elapsed_ms));
    let units = [
        json!({ "Name": "Failed", "Unit": "Count" }),
        json!({ "Name": "DurationMs", "Unit": "Milliseconds" }),
    ];
    let place = [
        vantage.subnet_cidr.map(|subnet| subnet.to_string()),
        vantage.availability_zone.as_ref().map(ToString::to_string),
        Some("unknown".to_owned()),
    ];
    values.insert("Vantage".into(), json!(place.into_iter().flatten().next()));
    values.insert(
        "Region".into(),
        json!(vantage.region.clone().unwrap_or_else(|| "unknown".into())),
    );
    // Two services can share a subnet: the alarm of one must not depend on the other.
    let vantage = if let Some(schedule) = run.labels.get("schedule") {
        values.insert("Schedule".into(), json!(schedule));
        "Schedule"
    } else {
        "Vantage"
    };
    let timestamp = run
        .started_at
        .parse::<Timestamp>()
        .map_or(0, Timestamp::as_millisecond);
    // A fleet has metrics of its own: two of each of 4,000 subnets would cost $100 a month.
    let metrics = if run.labels.contains_key(FLEET_LABEL) {
        json!([])
    } else {
        json!([{ "Namespace": "PullProbe", "Dimensions": [["Region", vantage]], "Metrics": units }])
    };
    let directive = json!({ "Timestamp": timestamp, "CloudWatchMetrics": metrics });
    (directive, values)
}

/// Returns `EcrApiConnectMs` and so on: the slowest passed phase, so that the length of a timeout
/// does not count as a measurement.
fn phase_times(observations: &[Observation]) -> BTreeMap<String, u64> {
    let mut times = BTreeMap::new();
    let measured = observations.iter().filter(|seen| {
        seen.outcome == Outcome::Passed && !seen.host.is_empty() && seen.superseded_by.is_none()
    });
    for seen in measured {
        let name = format!(
            "{}{}Ms",
            camel(seen.dependency.name()),
            camel(seen.phase.name())
        );
        let slowest: &mut u64 = times.entry(name).or_default();
        *slowest = seen.elapsed_ms.max(*slowest);
    }
    times
}

fn camel(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split(['.', '-'])
        .filter(|word| !word.is_empty())
        .map(capital)
        .collect()
}

/// Leaves out part of a report.
type Shorten = fn(&mut Report, usize);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::diagnose;
    use crate::observation::{Certificate, Failure, Lookup, LookupResult, Purpose, Speaker};
    use crate::plan::{Plan, PlanInput};

    #[test]
    fn printed_schema_matches_the_code() {
        let schema = schemars::schema_for!(Report);
        let current = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let printed = include_str!("../schemas/report-v1.json");
        if current != printed {
            std::fs::write(
                concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/report-v1.json"),
                current,
            )
            .unwrap();
            panic!("schemas/report-v1.json was stale and has been rewritten: review and commit it");
        }
    }

    fn report(observations: Vec<Observation>) -> Report {
        report_of(observations, Value::Null)
    }

    fn report_of(observations: Vec<Observation>, plan: Value) -> Report {
        let run = Run {
            id: "test".into(),
            version: "0".into(),
            started_at: "2026-11-23T10:00:00Z".into(),
            elapsed_ms: 7,
            labels: BTreeMap::new(),
            address_ranges: String::new(),
            internal_error: None,
            shortened: None,
        };
        let diagnosis = diagnose(&observations);
        Report::new(run, Vantage::default(), None, observations, diagnosis, plan)
    }

    fn seen(target: &str, dependency: Dependency, phase: Phase, outcome: Outcome) -> Observation {
        let mut observation = Observation::new(target.parse().unwrap(), dependency, phase, outcome);
        observation.host = "host".into();
        observation.elapsed_ms = 12;
        observation
    }

    #[test]
    fn a_report_fits_one_log_event_whatever_was_seen() {
        let observations = (0..4_000).map(|n| {
            let mut layer = seen(
                "s3",
                Dependency::S3,
                Phase::Fetch,
                Outcome::Failed {
                    failure: Failure::NotFound,
                },
            );
            layer.id.narrow(n);
            layer.detail = "x".repeat(500).into();
            layer
        });
        let report = report(observations.collect());
        assert!(
            report.line().len() <= 256 * 1024,
            "{} bytes",
            report.line().len()
        );
        assert!(report.run.shortened.is_some());
        let known: Vec<_> = report.observations.iter().map(|seen| &seen.id).collect();
        assert!(
            report
                .findings
                .iter()
                .flat_map(|finding| &finding.because)
                .all(|id| known.contains(&id))
        );
    }

    #[test]
    fn a_passing_report_leaves_out_what_only_rules_about_failures_read() {
        let mut layer = seen("s3", Dependency::S3, Phase::Fetch, Outcome::Passed);
        let digest = "0123456789abcdef".repeat(4);
        layer.subject = Some(format!("registry.example/app:1 sha256:{digest}"));
        layer.answer = Some(crate::observation::Answer {
            status: 206,
            request_id: "a request".into(),
            ..Default::default()
        });
        let passing = report(vec![layer.clone()]);
        let observation = &passing.observations[0];
        assert_eq!(observation.subject.as_deref(), Some("sha256:0123456789ab"));
        assert_eq!(observation.answer, None);
        assert_eq!(passing.ruled_out, []);

        let refused = Outcome::Failed {
            failure: Failure::Refused,
        };
        let failing = report(vec![
            layer.clone(),
            seen("logs", Dependency::Logs, Phase::Connect, refused),
        ]);
        assert!(failing.observations.contains(&layer), "evidence stays");
        assert_ne!(failing.ruled_out, []);
    }

    /// Returns the observations and plan of a healthy subnet with interface endpoints in three
    /// Availability Zones, for an image with four layers, a secret, a parameter and a log group.
    fn healthy_in_three_zones() -> (Vec<Observation>, Value) {
        const ACCOUNT: &str = "123456789012";
        let image = format!("{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com/team/app:1.4");
        let secret =
            format!("arn:aws:secretsmanager:eu-central-1:{ACCOUNT}:secret:prod/app-mSmxUW:key::");
        let parameter = format!("arn:aws:ssm:eu-central-1:{ACCOUNT}:parameter/prod/app/token");
        let input = PlanInput {
            images: vec![image.parse().unwrap()],
            secrets: vec![secret.parse().unwrap(), parameter.parse().unwrap()],
            log_group: Some("/ecs/app".into()),
            platform: Some("linux/amd64".parse().unwrap()),
            ..PlanInput::default()
        };
        let plan = Plan::new(input, "eu-central-1".parse().unwrap()).unwrap();
        let mut all = Vec::new();
        for (number, target) in plan.targets.iter().enumerate() {
            let private = target.dependency != Dependency::S3;
            let scope = Some(if private {
                Scope::Private
            } else {
                Scope::Public
            });
            let addresses: Vec<String> = if private {
                let zones = [9, 10, 11].into_iter();
                zones.map(|zone| format!("10.0.{zone}.1{number}")).collect()
            } else {
                vec!["52.219.170.102".into()]
            };
            let new = |phase| {
                let (key, dependency) = (target.key.clone(), target.dependency);
                let mut seen = Observation::new(key, dependency, phase, Outcome::Passed);
                seen.host.clone_from(&target.host);
                seen.scope = scope;
                seen.elapsed_ms = 21;
                seen
            };
            let mut resolve = new(Phase::Resolve);
            resolve.presented = addresses.iter().map(|one| one.clone().into()).collect();
            resolve.lookups = vec![lookup(&target.host)];
            all.push(resolve);
            for (late, address) in addresses.iter().enumerate() {
                for phase in [Phase::Connect, Phase::Handshake] {
                    let mut seen = new(phase);
                    seen.elapsed_ms += u64::try_from(late).unwrap();
                    seen.id.narrow(address);
                    seen.peer = Some(format!("{address}:443").parse().unwrap());
                    seen.owner = (!private).then(|| "S3 eu-central-1".into());
                    if phase == Phase::Handshake {
                        seen.chain = vec![certificate(&target.host); 4];
                    }
                    all.push(seen);
                }
            }
            let layers = [
                "22282c7cb7ff",
                "450be1e6b6e4",
                "5f523552ca14",
                "d5da4b1d6deb",
            ];
            let config = "e527c63ebc00";
            let blobs = || layers.into_iter().chain([config]);
            let blob = |digest: &str| format!("{image} sha256:{}", digest.repeat(6));
            for &phase in &target.phases {
                let about: Vec<(String, String)> = match phase {
                    Phase::Authorize => vec![(String::new(), String::new())],
                    Phase::Manifest => vec![("team/app:1.4".into(), image.clone())],
                    Phase::Blob | Phase::Fetch => blobs()
                        .map(|digest| (format!("team/app:1.4/{digest}"), blob(digest)))
                        .collect(),
                    Phase::Write => vec![("/ecs/app".into(), "/ecs/app:pullprobe/0d4f29".into())],
                    Phase::Read if target.dependency == Dependency::Ssm => {
                        vec![(parameter.clone(), parameter.clone())]
                    }
                    Phase::Read => vec![(secret.clone(), secret.clone())],
                    _ => vec![],
                };
                for (id, subject) in about {
                    let mut seen = new(phase);
                    seen.id.narrow(id);
                    seen.subject = Some(subject);
                    seen.peer = Some(format!("{}:443", addresses[0]).parse().unwrap());
                    seen.speaker = Some(Speaker::Service);
                    if phase == Phase::Read {
                        seen.detail = "present, a JSON object with 2 keys".into();
                    }
                    seen.answer = Some(Answer {
                        status: 200,
                        request_id: "c9a4a1d8-0b2c-4e0e-9d37-1f6f0f3f6f11".into(),
                        request_bytes: 1_800,
                        bytes: 32_768,
                        first_byte_ms: 20,
                        clock_offset_s: Some(0),
                        ..Answer::default()
                    });
                    all.push(seen);
                }
            }
        }
        let plan = serde_json::from_str(&plan.to_whole_json().unwrap()).unwrap();
        (all, plan)
    }

    fn lookup(host: &str) -> Lookup {
        Lookup {
            name: host.into(),
            kind: "A".into(),
            purpose: Purpose::Target,
            resolver: "10.0.0.2:53".parse().unwrap(),
            unanswered: Vec::new(),
            result: LookupResult::Answered,
            addresses: vec!["10.0.9.11".parse().unwrap(); 3],
            aliases: Vec::new(),
            ttl_s: Some(60),
            zone: None,
            zone_server: None,
            over_tcp: false,
            elapsed_ms: 2,
        }
    }

    fn certificate(host: &str) -> Certificate {
        Certificate {
            subject: format!("CN={host}").into(),
            issuer: "CN=Amazon RSA 2048 M01,O=Amazon,C=US".into(),
            names: vec![host.to_owned().into(), format!("*.{host}").into()],
            not_before: "2026-01-01T00:00:00Z".into(),
            not_after: "2027-01-01T00:00:00Z".into(),
            expired: false,
            public_issuer: false,
        }
    }

    /// With one endpoint address per service, a report has less than 12 KB; each further
    /// Availability Zone adds an observation for every address.
    const MAX_WITH_THREE_ZONES: usize = 13_000;

    #[test]
    fn a_healthy_report_of_three_zones_stays_small() {
        let (observations, plan) = healthy_in_three_zones();
        let passing = Report {
            plan: plan.clone(),
            vantage: Vantage {
                region: Some("eu-central-1".into()),
                availability_zone: Some("eu-central-1a".into()),
                subnet_cidr: Some("10.0.1.0/24".parse().unwrap()),
                address: Some("10.0.1.10".parse().unwrap()),
                task_arn: Some("arn:aws:ecs:eu-central-1:123456789012:task/prod/0d4f".into()),
                cluster: Some("prod".into()),
                ..Vantage::default()
            },
            ..report_of(observations.clone(), plan)
        };
        let line = passing.line();
        assert!(line.len() < MAX_WITH_THREE_ZONES, "{} bytes", line.len());

        let count = |all: &[Observation], phase| all.iter().filter(|o| o.phase == phase).count();
        for phase in Phase::ALL {
            let kept = count(&passing.observations, phase);
            if phase == Phase::Handshake {
                assert_eq!(kept, 6, "one for each target");
            } else {
                assert_eq!(kept, count(&observations, phase), "{phase}");
            }
        }
        let slowest = passing
            .observations
            .iter()
            .filter(|o| o.host.contains("logs"));
        let mut slowest = slowest.filter(|o| o.phase == Phase::Handshake);
        assert_eq!(slowest.next().unwrap().elapsed_ms, 23);
    }

    #[test]
    fn a_passing_report_round_trips_although_it_omits_repetitions() {
        let (observations, plan) = healthy_in_three_zones();
        let passing = report_of(observations, plan);
        let line = passing.line();
        assert_eq!(serde_json::from_str::<Report>(&line).unwrap(), passing);
        let written: Value = serde_json::from_str(&line).unwrap();
        let connect = &written["observations"][1];
        assert_eq!(connect["phase"], "connect");
        assert!(connect["peer"].is_string() && connect["elapsed_ms"].is_number());
        for omitted in ["host", "scope", "owner", "attempts"] {
            assert_eq!(connect.get(omitted), None, "{omitted}");
        }
        assert!(
            passing
                .observations
                .iter()
                .all(|o| !o.host.is_empty() && o.attempts == 1)
        );
    }

    #[test]
    fn metrics_are_members_of_the_root_and_omit_timeouts() {
        let timed_out = Outcome::Failed {
            failure: Failure::TimedOut,
        };
        let mut report = report(vec![
            seen(
                "ecr.api",
                Dependency::EcrApi,
                Phase::Connect,
                Outcome::Passed,
            ),
            seen("s3", Dependency::S3, Phase::Connect, timed_out),
        ]);
        let basic = &report.aws["CloudWatchMetrics"][0];
        assert_eq!(basic["Dimensions"], json!([["Region", "Vantage"]]));
        assert_eq!(basic["Metrics"].as_array().map(Vec::len), Some(2));
        assert!(!report.metrics.contains_key("EcrApiConnectMs"));
        report.add_phase_metrics();
        let json: Value = serde_json::from_str(&report.line()).unwrap();
        let directive = &json["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "PullProbe");
        assert_eq!(directive["Dimensions"].as_array().map(Vec::len), Some(1));
        assert_eq!(json["Failed"], 1);
        assert_eq!(json["EcrApiConnectMs"], 12);
        assert_eq!(json.get("S3ConnectMs"), None);
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(
                json[metric["Name"].as_str().unwrap()].is_number(),
                "{metric}"
            );
        }
        for dimension in directive["Dimensions"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|set| set.as_array().unwrap())
        {
            assert!(json[dimension.as_str().unwrap()].is_string(), "{dimension}");
        }
    }

    #[test]
    fn report_of_a_fleet_makes_no_metrics() {
        let mut run = report(Vec::new()).run;
        run.labels.insert(FLEET_LABEL.into(), "night-1".into());
        let verdict = Verdict::over(&[], &[]);
        let (directive, _) = embedded_metrics(&run, &Vantage::default(), &verdict);
        assert_eq!(directive["CloudWatchMetrics"], json!([]));
    }

    #[test]
    fn a_report_round_trips() {
        let report = report(vec![seen(
            "ecr.api",
            Dependency::EcrApi,
            Phase::Connect,
            Outcome::Passed,
        )]);
        assert_eq!(
            serde_json::from_str::<Report>(&report.line()).unwrap(),
            report
        );
    }
}
