//! One run from plan to report: vantage, credentials, probe, diagnosis, delivery.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use rustls::RootCertStore;
use secrecy::ExposeSecret;
use tokio::time::{sleep, timeout};

use crate::arn::Arn;
use crate::aws::credentials::{self, AgentFailure, Credentials};
use crate::aws::instance_metadata::{self, InstanceLocation, InstanceMetadata};
use crate::diagnose::{Diagnosis, diagnose};
use crate::function_limits::diagnose_in_function;
use crate::lambda::FunctionContext;
use crate::network_location::{IpFamily, NetworkLocation};
use crate::observation::{Dependency, Failure, Observation, Outcome, Phase, TargetKey};
use crate::plan::{Expect, Plan};
use crate::probe::{
    self, Interruption, LogStream, ObservationLog, ProbeResult, ProbeSettings, SharedCredentials,
    StubResolver, ip_family_of_this_machine, local_address_towards,
};
use crate::report::{Delivery, Identity, Logs, Report, Run};
use crate::safe_text::{SafeText, safe_text};
use crate::vantage::{Carrier, Metadata, PROXY_VARIABLES, Vantage};
use crate::vault::Vault;

/// Looks up an environment variable.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Response of the task metadata endpoint; `None` outside ECS.
pub type TaskMetadata = Result<Option<Metadata>, AgentFailure>;

/// Input of a run.
pub struct RunOptions {
    /// The plan to carry out.
    pub plan: Plan,
    /// Response of the metadata endpoint, read before the plan was built because it may name the
    /// image.
    pub metadata: TaskMetadata,
    /// DNS resolvers, in order.
    pub resolvers: Vec<SocketAddr>,
    /// Root certificates that the puller trusts.
    pub roots: Arc<RootCertStore>,
    /// Looks up the variables that locate credentials.
    pub environment: Environment,
    /// The location of the instance on which this runs, if it runs on one.
    pub instance: Option<InstanceLocation>,
    /// Credentials. Their loading starts before the metadata request, so that a hanging agent costs
    /// its five seconds only once.
    pub credentials: SharedCredentials,
    /// Time limit of the whole run.
    pub deadline: Duration,
    /// Run ID to include in the report.
    pub run_id: String,
    /// Labels to include in the report.
    pub labels: BTreeMap<String, String>,
    /// The secrets of the run.
    pub vault: Arc<Vault>,
    /// Receives each observation when it is made.
    pub observation_log: ObservationLog,
    /// The invocation, if this is a Lambda function.
    pub function: Option<FunctionContext>,
}

/// Time reserved at the end of the deadline for writing the report to CloudWatch Logs, which takes
/// one round trip.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(3);

/// Maximum number of characters of the reason why the report was not delivered. It is added when
/// the report may already fill its limit, within the four kilobytes that are left for it.
const MAX_DELIVERY_CHARS: usize = 500;

/// Time for delivery after a signal. ECS kills the container after 30 s, and an interactive user
/// should not wait more than two.
const DELIVERY_AFTER_SIGNAL_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Carries out the plan until it is complete, `until` completes or the deadline is near. Returns a
/// report in every case, already written to CloudWatch Logs if possible. Fails only if the run
/// could not start.
pub async fn run(
    options: RunOptions,
    until: impl Future<Output = Interruption>,
) -> Result<Report, String> {
    let (started, started_at) = (Instant::now(), Timestamp::now());
    let RunOptions {
        plan,
        metadata,
        instance,
        resolvers,
        roots,
        environment,
        credentials,
        deadline,
        run_id,
        labels,
        vault,
        observation_log,
        function,
    } = options;
    let plan_json = serde_json::to_value(&plan).unwrap_or_default();
    vault.add_public(&plan_json.to_string());
    let mut vantage = vantage_of(&metadata, instance, &plan, &resolvers, &environment);
    if let Some(function) = &function {
        function.subnet.complete(&mut vantage);
    }
    // A rehearsal for an IPv6-only subnet does not use IPv4, even on a machine that has it.
    let ip_family = Some(plan.ip_family)
        .filter(|family| *family == IpFamily::Ipv6)
        .or(vantage.ip_family);
    let reserve = DELIVERY_TIMEOUT.min(deadline / 4);
    let settings = ProbeSettings {
        location: NetworkLocation {
            address: vantage.address,
            subnet: vantage.subnet_cidr,
            vpc_cidrs: plan.vpc_cidrs.clone(),
            ip_family,
        },
        // Even if the deadline is short, a silent resolver is reported before it.
        resolver: StubResolver::new(resolvers)
            .for_family(ip_family.unwrap_or_default())
            .within(deadline.saturating_sub(reserve) * 3 / 4),
        expect_private: plan.expect == Expect::Private,
        expect_credentials: credentials::are_expected(&|name: &str| environment(name)),
        run_id: stream_id(&vantage, function.as_ref(), &run_id),
        clock_drift: metadata
            .as_ref()
            .ok()
            .and_then(|metadata| metadata.as_ref()?.clock),
        vault: Arc::clone(&vault),
    };
    let out_of_time = async {
        sleep(deadline.saturating_sub(reserve)).await;
        let seconds = deadline.as_secs_f32().to_string();
        Interruption(safe_text!["the deadline of ", seconds, " s"])
    };
    let until = async {
        tokio::select! {
            interruption = until => interruption,
            interruption = out_of_time => interruption,
        }
    };
    let ProbeResult {
        mut observations,
        log,
    } = probe::run(
        &plan,
        settings,
        roots,
        credentials.clone(),
        &observation_log,
        until,
    )
    .await?;
    observations.insert(0, observe_metadata(&metadata));
    // Every secret is known now, and nothing has been concluded yet.
    vault.scrub_observations(&mut observations);
    vantage.for_each_text(&mut |text| vault.scrub(text));
    let mut run = Run {
        id: run_id.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        started_at: started_at.to_string(),
        elapsed_ms: crate::millis(started.elapsed()),
        labels,
        address_ranges: crate::ip_owner::RANGES_DATE.into(),
        internal_error: None,
        shortened: None,
    };
    run.for_each_text(&mut |text| vault.scrub(text));
    let mut identity = identity_of(&credentials, &vault);
    let diagnosis = match &function {
        Some(function) => function.diagnose(&mut observations, &mut identity),
        None => diagnose(&observations),
    };
    let mut report = Report::new(run, vantage, identity, observations, diagnosis, plan_json);
    let left = deadline
        .saturating_sub(started.elapsed())
        .clamp(DELIVERY_AFTER_SIGNAL_TIMEOUT, DELIVERY_TIMEOUT);
    deliver(&mut report, &plan, log, left).await;
    vault.scrub(&mut report.delivery.detail);
    Ok(report)
}

/// Returns the ID after which the log stream is named: that of the task, of the invocation, or else
/// of the run.
fn stream_id(vantage: &Vantage, function: Option<&FunctionContext>, run_id: &str) -> String {
    let task = vantage.task_arn.as_deref();
    task.and_then(|arn| arn.parse::<Arn>().ok())
        .map(|arn| arn.name().to_owned())
        .or_else(|| Some(function?.request_id.clone()))
        .unwrap_or_else(|| run_id.to_owned())
}

impl FunctionContext {
    /// Diagnoses what a function observed, with the role that its event names.
    fn diagnose(
        &self,
        observations: &mut Vec<Observation>,
        identity: &mut Option<Identity>,
    ) -> Diagnosis {
        if let Some(identity) = identity {
            identity.role_arn = self.task.function_role.as_ref().map(Into::into);
        }
        diagnose_in_function(observations, &self.task)
    }
}

/// Returns the report of a run that a bug in pullprobe ended, with the observations until then.
pub fn after_panic(
    plan: &Plan,
    run_id: &str,
    observation_log: &ObservationLog,
    vault: &Vault,
    error: String,
    function: Option<&FunctionContext>,
) -> Report {
    let ended = Interruption("a bug in pullprobe".into());
    let mut observations = probe::add_derived(plan, observation_log.snapshot(), None, Some(&ended));
    vault.scrub_observations(&mut observations);
    let mut run = Run {
        id: run_id.to_owned().into(),
        version: env!("CARGO_PKG_VERSION").into(),
        started_at: Timestamp::now().to_string(),
        elapsed_ms: 0,
        labels: BTreeMap::new(),
        address_ranges: crate::ip_owner::RANGES_DATE.into(),
        internal_error: Some(error.into()),
        shortened: None,
    };
    run.for_each_text(&mut |text| vault.scrub(text));
    let mut vantage = Vantage {
        region: Some(plan.region.to_string().into()),
        ..Vantage::default()
    };
    let diagnosis = match function {
        Some(function) => {
            vantage.carrier = Some(Carrier::Lambda);
            function.subnet.complete(&mut vantage);
            diagnose_in_function(&mut observations, &function.task)
        }
        None => diagnose(&observations),
    };
    Report::new(
        run,
        vantage,
        None,
        observations,
        diagnosis,
        serde_json::to_value(plan).unwrap_or_default(),
    )
}

/// Writes the report to CloudWatch Logs. The copy there says `delivered`, because its reader has
/// received it.
async fn deliver(report: &mut Report, plan: &Plan, log: Option<LogStream>, within: Duration) {
    let Some(destination) = plan.logs.first() else {
        return;
    };
    let Some(stream) = log else {
        let detail = safe_text![
            "no log stream could be opened in ",
            &destination.group,
            "; see the logs checks in this report",
        ];
        report.delivery = Delivery {
            logs: Logs::Failed,
            detail,
        };
        return;
    };
    report.delivery = Delivery {
        logs: Logs::Delivered,
        detail: safe_text![&destination.group, " ", &stream.name],
    };
    let written = timeout(within, stream.deliver(&report.line())).await;
    if let Err(error) =
        written.unwrap_or_else(|_| Err("CloudWatch Logs did not respond in time".into()))
    {
        let mut detail = error;
        detail.shorten(MAX_DELIVERY_CHARS);
        report.delivery = Delivery {
            logs: Logs::Failed,
            detail,
        };
    }
}

/// Credentials from a source that only the full binary knows; `None` if that source has none.
pub type OtherCredentials = BoxFuture<'static, Option<Result<Credentials, AgentFailure>>>;

/// Starts to load credentials: those of the task or the environment, else of the instance's role.
/// Needs a Tokio runtime.
pub fn spawn_credentials(environment: &Environment, vault: &Arc<Vault>) -> SharedCredentials {
    spawn_credentials_or(environment, vault, async { None }.boxed())
}

/// Starts to load credentials: those of the task or the environment, else of `other`, else of the
/// instance's role. Needs a Tokio runtime.
pub fn spawn_credentials_or(
    environment: &Environment,
    vault: &Arc<Vault>,
    other: OtherCredentials,
) -> SharedCredentials {
    let (environment, vault) = (Arc::clone(environment), Arc::clone(vault));
    hold_environment(&environment, &vault);
    let load = async move {
        let lookup = |name: &str| environment(name);
        let mut loaded = credentials::load(&lookup, credentials::CONTAINER_ENDPOINT).await;
        if is_missing(&loaded)
            && let Some(other) = other.await
        {
            loaded = other;
        }
        if is_missing(&loaded) && instance_metadata::is_expected(&lookup) {
            loaded = of_instance(&lookup).await;
        }
        if let Ok(credentials) = &loaded {
            hold_credentials(credentials, &vault);
        }
        Arc::new(loaded)
    };
    let shared = load.boxed().shared();
    tokio::spawn(shared.clone());
    shared
}

fn is_missing(loaded: &Result<Credentials, AgentFailure>) -> bool {
    matches!(loaded, Err(error) if error.failure == Failure::NoCredentials)
}

/// Loads the credentials of the instance's role, with which an instance pulls images if the task
/// definition has no task execution role.
async fn of_instance(
    environment: &impl Fn(&str) -> Option<String>,
) -> Result<Credentials, AgentFailure> {
    let loaded = async {
        let metadata = InstanceMetadata::open(environment).await?;
        metadata.credentials().await
    };
    // Whatever the failure of the metadata service, there are no credentials.
    loaded.await.map_err(|error| AgentFailure {
        failure: Failure::NoCredentials,
        ..error
    })
}

/// Adds the secrets in the environment to the vault: keys and tokens, the path of the credentials
/// endpoint, and the passwords of proxies.
fn hold_environment(environment: &Environment, vault: &Vault) {
    for value in SECRET_VARIABLES.iter().filter_map(|name| environment(name)) {
        vault.add(&value);
    }
    for path in ENDPOINT_VARIABLES
        .iter()
        .filter_map(|name| environment(name))
    {
        vault.add(path.rsplit('/').next().unwrap_or_default());
    }
    for url in PROXY_VARIABLES.iter().filter_map(|name| environment(name)) {
        vault.add_user_info(&url);
    }
}

/// Variables with the path of the credentials endpoint. Its last segment is a secret that gives
/// access to the credentials; the rest is the same for every task.
const ENDPOINT_VARIABLES: [&str; 2] = [
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// Variables whose values are secrets.
const SECRET_VARIABLES: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
];

fn hold_credentials(credentials: &Credentials, vault: &Vault) {
    let token = credentials.session_token.as_ref();
    let secrets = [&credentials.access_key_id, &credentials.secret_access_key];
    for secret in secrets.into_iter().chain(token) {
        vault.add(secret.expose_secret());
    }
    if let Some(role) = &credentials.role_arn {
        vault.add_known(&role.to_string());
    }
}

fn identity_of(credentials: &SharedCredentials, vault: &Vault) -> Option<Identity> {
    let credentials = credentials.peek()?;
    let Credentials {
        role_arn,
        source,
        expires_at,
        ..
    } = credentials.as_ref().as_ref().ok()?;
    let expires_at = expires_at.map(|time| time.to_string());
    let role_arn = role_arn.as_ref().map(|arn| {
        let mut role = arn.to_string().into();
        vault.scrub(&mut role);
        role
    });
    Some(Identity {
        role_arn,
        source: *source,
        expires_at,
    })
}

/// Returns the IP versions of the task, from its metadata. Without metadata, returns IPv6 if this
/// machine has no IPv4 address, and `None` otherwise.
pub fn ip_family(metadata: &TaskMetadata) -> Option<IpFamily> {
    let reported = match metadata {
        Ok(Some(metadata)) => metadata.vantage.ip_family,
        _ => None,
    };
    reported.or_else(|| ip_family_of_this_machine().filter(|family| *family == IpFamily::Ipv6))
}

/// Returns the vantage from the metadata, completed from other sources.
fn vantage_of(
    metadata: &TaskMetadata,
    instance: Option<InstanceLocation>,
    plan: &Plan,
    resolvers: &[SocketAddr],
    environment: &Environment,
) -> Vantage {
    let lookup = |name: &str| environment(name);
    let found = metadata
        .as_ref()
        .ok()
        .and_then(|metadata| Some(metadata.as_ref()?.vantage.clone()));
    let mut vantage = found.unwrap_or_else(|| Vantage::local(&lookup));
    // The metadata of a task with its own network interface already names its subnet.
    if let Some(instance) = instance.filter(|_| vantage.subnet_cidr.is_none()) {
        let (address, subnet) = instance.interface.unzip();
        vantage.address = vantage.address.or(address);
        vantage.subnet_cidr = subnet;
        vantage.region = vantage.region.or(instance.region.map(Into::into));
        vantage.availability_zone = vantage.availability_zone.or(instance.zone.map(Into::into));
    }
    vantage.address = vantage
        .address
        .or_else(|| local_address_towards(*resolvers.first()?).filter(|own| !own.is_loopback()));
    vantage.ip_family = vantage.ip_family.or_else(ip_family_of_this_machine);
    vantage
        .region
        .get_or_insert_with(|| plan.region.to_string().into());
    // The resolvers in use, which need not be those from DHCP.
    vantage.resolvers = resolvers
        .iter()
        .map(|resolver| resolver.ip().to_string().into())
        .collect();
    vantage
}

fn observe_metadata(metadata: &TaskMetadata) -> Observation {
    let (outcome, detail) = match metadata {
        Ok(Some(_)) => (Outcome::Passed, SafeText::default()),
        Ok(None) => {
            let why = "ECS_CONTAINER_METADATA_URI_V4 is not set, so this is not an ECS task";
            (Outcome::NotChecked { why: why.into() }, SafeText::default())
        }
        Err(unavailable) => (
            Outcome::Failed {
                failure: unavailable.failure,
            },
            unavailable.detail.clone(),
        ),
    };
    let mut observation = Observation::new(
        TargetKey::of(Dependency::Metadata),
        Dependency::Metadata,
        Phase::Read,
        outcome,
    );
    observation.detail = detail;
    observation
}
