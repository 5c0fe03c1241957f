//! `read`: reads secrets and parameters with the calls that ECS makes. A value never leaves the
//! function that parses it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use futures_util::stream::{self, StreamExt};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use crate::observation::{Failure, Observation, ObservationId, Outcome, Phase};
use crate::plan::{Plan, RegistryLogin, Target, TargetIndex, TargetMap, ValueFrom};
use crate::probe::aws_call::{
    CallResult, GetParametersResponse, JsonApi, PhaseClient, SECRETS_MANAGER, SSM,
};
use crate::probe::context::{LoadedCredentials, ProbeContext, SharedCredentials, observe};
use crate::probe::secret_shape::{self, RegistryCredentials};
use crate::probe::target::{ConnectedTarget, TargetHandle};
use crate::safe_text::safe_text;

/// Maximum number of names in one call of GetParameters (ECS agent, `MaxBatchNum`).
const MAX_BATCH_SIZE: usize = 10;

/// Maximum number of concurrent calls to one service, each on its own connection: forty secrets are
/// read in ten round trips, and the rate stays far below the 50 calls a second that Parameter Store
/// allows an account by default.
const MAX_CONCURRENT_CALLS: usize = 4;

/// A registry's login that several images share. `None` if its secret could not be read.
pub type SharedLogin = Shared<BoxFuture<'static, Option<Arc<RegistryCredentials>>>>;

/// Starts one check for each target, which reads all its secrets of the plan.
pub fn spawn_checks(
    plan: &Plan,
    context: &ProbeContext,
    targets: &TargetMap<TargetHandle>,
    credentials: &SharedCredentials,
) {
    let mut by_target: BTreeMap<TargetIndex, Vec<ValueFrom>> = BTreeMap::new();
    for secret in &plan.secrets {
        let secrets = by_target.entry(secret.target).or_default();
        if !secrets.contains(&secret.value_from) {
            secrets.push(secret.value_from.clone());
        }
    }
    for (target, secrets) in by_target {
        let region = secrets
            .iter()
            .find_map(ValueFrom::region)
            .unwrap_or(&plan.region)
            .to_string();
        let check = check_secrets(
            context.clone(),
            targets[target].clone(),
            credentials.clone(),
            region,
            secrets,
        );
        context.recorder.spawn(check);
    }
}

async fn check_secrets(
    context: ProbeContext,
    target: TargetHandle,
    credentials: SharedCredentials,
    region: String,
    secrets: Vec<ValueFrom>,
) {
    let Some(reader) = SecretReader::connect(&context, &target, &credentials, region).await else {
        return;
    };
    let (parameters, secrets): (Vec<_>, Vec<_>) = secrets
        .into_iter()
        .partition(|secret| matches!(secret, ValueFrom::Parameter { .. }));
    let names: Vec<String> = parameters.iter().map(ToString::to_string).collect();
    let batches = names
        .chunks(MAX_BATCH_SIZE)
        .map(|batch| reader.check_parameters(batch.to_vec()).boxed());
    let secrets = secrets
        .into_iter()
        .map(|secret| reader.check_secret(secret).boxed());
    let checks: Vec<BoxFuture<'_, ()>> = batches.chain(secrets).collect();
    stream::iter(checks)
        .buffer_unordered(MAX_CONCURRENT_CALLS)
        .collect::<()>()
        .await;
    reader.target.close_idle();
}

/// Starts to read a registry's login, once for all images that need it. Like ECS, reads it whether
/// or not the registry sends a challenge.
pub fn spawn_login(
    context: &ProbeContext,
    target: &TargetHandle,
    credentials: &SharedCredentials,
    login: &RegistryLogin,
) -> SharedLogin {
    let (target, credentials, login) = (target.clone(), credentials.clone(), login.clone());
    let recorder = context.recorder.clone();
    let context = context.clone();
    let reading = async move {
        let region = login.region.to_string();
        let reader = SecretReader::connect(&context, &target, &credentials, region).await?;
        reader.read_login(&login.secret).await.map(Arc::new)
    };
    let shared = reading.boxed().shared();
    recorder.spawn(shared.clone().map(drop));
    shared
}

/// Returns the ID of the observation that reads a login. It differs from the ID of the same secret
/// as a container's variable.
pub fn login_id(target: &Target, login: &RegistryLogin) -> ObservationId {
    let id = ObservationId::new(target.key.clone(), Phase::Read);
    id.about(format_args!("login {}", login.secret))
}

/// Reads secrets or parameters from a connected service.
struct SecretReader {
    context: ProbeContext,
    target: Arc<ConnectedTarget>,
    credentials: LoadedCredentials,
    region: String,
}

impl SecretReader {
    /// Waits for the service and the credentials. Returns `None` if either is unavailable.
    async fn connect(
        context: &ProbeContext,
        target: &TargetHandle,
        credentials: &SharedCredentials,
        region: String,
    ) -> Option<Self> {
        let (target, credentials) = tokio::join!(target.connected(), credentials.clone());
        let (target, true) = (target?, credentials.is_ok()) else {
            return None;
        };
        Some(Self {
            context: context.clone(),
            target,
            credentials,
            region,
        })
    }

    async fn check_secret(&self, value_from: ValueFrom) {
        let ValueFrom::Secret { json_key, .. } = &value_from else {
            return;
        };
        let CallResult {
            mut observation,
            response,
            ..
        } = self.get_secret(&value_from).await;
        if let Some(response) = response {
            match secret_shape::check_secret(&response.body, json_key.as_deref()) {
                Ok(detail) => {
                    if detail == secret_shape::BINARY_DETAIL
                        && let Some(answer) = &mut observation.answer
                    {
                        answer.code = secret_shape::BINARY.into();
                    }
                    observation.detail = detail;
                }
                Err(mismatch) => {
                    observation = mismatch.into_observation(observation, response.answer);
                }
            }
        }
        self.record(observation, &value_from.to_string());
    }

    /// Reads the secret with a registry's user name and password, and records the result.
    async fn read_login(&self, secret: &str) -> Option<RegistryCredentials> {
        let CallResult {
            mut observation,
            response,
            ..
        } = self.get_secret_value(&json!({ "SecretId": secret })).await;
        let mut login = None;
        if let Some(response) = response {
            match secret_shape::read_login(&response.body) {
                Ok(read) => {
                    observation.detail = "present, a JSON object with username and password".into();
                    login = Some(read);
                }
                Err(mismatch) => {
                    observation = mismatch.into_observation(observation, response.answer);
                }
            }
        }
        observation.id.narrow(format_args!("login {secret}"));
        observation.subject = Some(secret.to_owned());
        self.context.recorder.record(observation);
        self.target.close_idle();
        login
    }

    async fn get_secret(&self, value_from: &ValueFrom) -> CallResult {
        let ValueFrom::Secret {
            arn,
            version_stage,
            version_id,
            ..
        } = value_from
        else {
            let input = json!({ "SecretId": value_from.to_string() });
            return self.get_secret_value(&input).await;
        };
        let mut input = Map::from_iter([("SecretId".to_owned(), Value::from(arn.as_str()))]);
        if let Some(stage) = version_stage {
            input.insert("VersionStage".into(), stage.as_str().into());
        }
        if let Some(id) = version_id {
            input.insert("VersionId".into(), id.as_str().into());
        }
        let names_version = input.len() > 1;
        let mut result = self.get_secret_value(&input.into()).await;
        if names_version && result.observation.failure() == Some(Failure::NotFound) {
            // The messages of Secrets Manager for a missing version and a missing secret are nearly
            // the same; a call without the version distinguishes them.
            let current = self.get_secret_value(&json!({ "SecretId": arn })).await;
            let answer = result.observation.answer.as_mut();
            if let Some(answer) = answer.filter(|_| current.observation.passed()) {
                answer.code = "VersionMissing".into();
            }
        }
        result
    }

    async fn get_secret_value(&self, input: &Value) -> CallResult {
        let result = self.call(SECRETS_MANAGER, "GetSecretValue", input).await;
        if let Some(response) = &result.response {
            secret_shape::hold(&response.body, &self.context.settings.vault);
        }
        result
    }

    async fn call(&self, api: JsonApi, action: &str, input: &Value) -> CallResult {
        match self.credentials.as_ref() {
            Ok(credentials) => {
                let client = PhaseClient {
                    context: &self.context,
                    target: &self.target,
                    phase: Phase::Read,
                };
                api.call(client, action, input, &self.region, credentials)
                    .await
            }
            Err(unavailable) => {
                let outcome = Outcome::Failed {
                    failure: unavailable.failure,
                };
                let target = &self.target.target;
                let observation = observe(target, Phase::Read, outcome, Instant::now());
                CallResult::without_response(observation)
            }
        }
    }

    /// Reads up to ten parameters in one call, as ECS does, and records one observation for each.
    async fn check_parameters(&self, names: Vec<String>) {
        let mut results = self.get_parameters(names.clone()).await;
        // A denial, or a reference to a missing secret, fails the whole call, and the message names
        // at most one parameter. Reading each one alone shows which it is.
        if names.len() > 1 && results.iter().all(ParameterResult::is_client_error) {
            let others = names.len() - 1;
            let calls: Vec<_> = names
                .into_iter()
                .map(|name| self.get_parameters(vec![name]).boxed())
                .collect();
            let mut alone: Vec<ParameterResult> = stream::iter(calls)
                .buffered(MAX_CONCURRENT_CALLS)
                .collect::<Vec<_>>()
                .await
                .into_iter()
                .flatten()
                .collect();
            if alone.iter().any(|result| !result.observation.passed()) {
                for result in alone.iter_mut().filter(|alone| alone.observation.passed()) {
                    result.observation.detail = safe_text![
                        "readable alone; ECS reads it in one call with ",
                        others.to_string(),
                        " others"
                    ];
                }
                results = alone;
            }
        }
        for result in results {
            self.record(result.observation, &result.name);
        }
    }

    async fn get_parameters(&self, names: Vec<String>) -> Vec<ParameterResult> {
        let started = Instant::now();
        let input = json!({ "Names": names, "WithDecryption": true });
        let call = self.call(SSM, "GetParameters", &input).await;
        let response = call
            .response
            .as_ref()
            .map(|response| serde_json::from_slice::<GetParametersResponse>(&response.body));
        let parameters = response
            .iter()
            .flatten()
            .flat_map(|response| &response.parameters);
        for value in parameters.filter_map(|parameter| parameter.value) {
            let value = serde_json::from_str::<String>(value.get()).map(SecretString::from);
            if let Ok(value) = value {
                self.context.settings.vault.add_value(value.expose_secret());
            }
        }
        let requested = names.len();
        let observe = |name: String| {
            let mut observation = call.observation.clone();
            observation.elapsed_ms = crate::millis(started.elapsed());
            let failed = match &response {
                None => None,
                Some(Err(_)) => Some((Failure::UnexpectedAnswer, "not a GetParameters response")),
                // For a missing parameter, the call succeeds, with its name in `InvalidParameters`.
                Some(Ok(response)) if response.is_invalid(&name) => Some((
                    Failure::NotFound,
                    "GetParameters lists the name under InvalidParameters",
                )),
                Some(Ok(response)) if response.omits(&name, requested) => Some((
                    Failure::UnexpectedAnswer,
                    "the GetParameters response does not contain the name",
                )),
                Some(Ok(_)) => {
                    observation.detail = "present".into();
                    None
                }
            };
            if let Some((failure, detail)) = failed {
                observation.outcome = Outcome::Failed { failure };
                observation.detail = detail.into();
            }
            ParameterResult { name, observation }
        };
        names.into_iter().map(observe).collect()
    }

    fn record(&self, mut observation: Observation, subject: &str) {
        observation.id.narrow(subject);
        observation.subject = Some(subject.to_owned());
        self.context.recorder.record(observation);
    }
}

/// The result of reading one parameter.
struct ParameterResult {
    name: String,
    observation: Observation,
}

impl ParameterResult {
    /// Whether the service rejected the call because of the parameters in it.
    fn is_client_error(&self) -> bool {
        matches!(
            self.observation.failure(),
            Some(Failure::Denied | Failure::NotFound | Failure::UnexpectedAnswer)
        ) && self
            .observation
            .answer
            .as_ref()
            .is_some_and(|answer| (400..500).contains(&answer.status))
    }
}

impl GetParametersResponse<'_> {
    fn is_invalid(&self, name: &str) -> bool {
        self.invalid_parameters
            .iter()
            .any(|invalid| is_same_parameter(name, invalid))
    }

    /// Whether the response has fewer names than requested, and this one is not among them. Both
    /// are required, because a reference to a secret may be returned under another name.
    fn omits(&self, name: &str, requested: usize) -> bool {
        self.parameters.len() + self.invalid_parameters.len() < requested
            && !self.parameters.iter().any(|parameter| {
                is_same_parameter(name, &parameter.name) || is_same_parameter(name, &parameter.arn)
            })
    }
}

/// Whether `returned` is the requested name, or the name in the requested ARN.
fn is_same_parameter(requested: &str, returned: &str) -> bool {
    let name_in_arn = requested.split_once(":parameter/").map(|(_, name)| name);
    requested == returned
        || name_in_arn
            .is_some_and(|name| !name.is_empty() && name == returned.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(json: &str) -> GetParametersResponse<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_parameter_is_missing_only_if_the_response_says_so() {
        let arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/app/db";
        assert!(
            is_same_parameter(arn, arn)
                && is_same_parameter(arn, "/app/db")
                && is_same_parameter("/app/db", "/app/db")
        );
        assert!(
            !is_same_parameter(arn, "/app/d")
                && !is_same_parameter("/app/db", "app/db")
                && !is_same_parameter(arn, "")
        );
        let two = response(
            r#"{"Parameters":[{"Name":"/a","Value":"CANARY"}],"InvalidParameters":["/b"]}"#,
        );
        assert!(!two.omits("/a", 2) && !two.omits("/b", 2));
        let reference = response(r#"{"Parameters":[{"Name":"db"}],"InvalidParameters":[]}"#);
        assert!(!reference.omits("/aws/reference/secretsmanager/db", 1));
        assert!(response("{}").omits("/a", 1));
    }
}
