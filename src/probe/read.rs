//! `read`: secrets and parameters by ECS's own calls. A value never leaves the function that reads
//! it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::SharedCredentials;
use super::call::{CallResult, SECRETS_MANAGER, SSM};
use super::form;
use super::login::SharedLogin;
use super::target::{Probe, Reached, TargetHandle};
use crate::aws::credentials::Credentials;
use crate::observation::{Failure, Observation, ObservationId, Outcome, Phase};
use crate::plan::{Plan, RegistryLogin, Target, TargetIndex, TargetMap, ValueFrom};

/// GetParameters takes ten names (ECS agent, `MaxBatchNum`).
const BATCH: usize = 10;

/// Calls under way at once at one service, each on a connection of its own: forty secrets are read
/// in ten round trips, and stay far below the 50 calls a second that Parameter Store grants an
/// account.
const PARALLEL: usize = 4;

/// Starts reading every secret of the plan, by target.
pub fn begin(
    plan: &Plan,
    probe: &Probe,
    climbs: &TargetMap<TargetHandle>,
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
        let reading = read(
            probe.clone(),
            climbs[target].clone(),
            credentials.clone(),
            region,
            secrets,
        );
        probe.recorder.spawn(reading);
    }
}

async fn read(
    probe: Probe,
    climb: TargetHandle,
    credentials: SharedCredentials,
    region: String,
    secrets: Vec<ValueFrom>,
) {
    let Some(reader) = Reader::ready(&probe, &climb, &credentials, region).await else {
        return;
    };
    let (names, secrets): (Vec<_>, Vec<_>) = secrets
        .into_iter()
        .partition(|secret| matches!(secret, ValueFrom::Parameter { .. }));
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let batches = names
        .chunks(BATCH)
        .map(|batch| reader.parameters(batch.to_vec()).boxed());
    let calls: Vec<BoxFuture<'_, ()>> = batches
        .chain(
            secrets
                .into_iter()
                .map(|secret| reader.secret(secret).boxed()),
        )
        .collect();
    stream::iter(calls)
        .buffer_unordered(PARALLEL)
        .collect::<()>()
        .await;
    reader.reached.close();
}

/// Starts reading a registry's login once for all images that need it.
pub fn share_login(
    probe: &Probe,
    climb: &TargetHandle,
    credentials: &SharedCredentials,
    login: &RegistryLogin,
) -> SharedLogin {
    let (probe, climb, credentials, login) = (
        probe.clone(),
        climb.clone(),
        credentials.clone(),
        login.clone(),
    );
    let recorder = probe.recorder.clone();
    let reading = async move {
        let reader = Reader::ready(&probe, &climb, &credentials, login.region.to_string()).await?;
        reader.login(&login.secret).await.map(Arc::new)
    };
    let shared = reading.boxed().shared();
    // ECS reads it whether or not the registry asks for a login.
    recorder.spawn(shared.clone().map(drop));
    shared
}

/// The id of the observation that tells how reading this login went. The same secret may also be
/// read for a container.
pub fn login_id(target: &Target, login: &RegistryLogin) -> ObservationId {
    let id = ObservationId::new(target.key.clone(), Phase::Read);
    id.about(format_args!("login {}", login.secret))
}

/// A service that secrets are read from, and whose credentials are known.
struct Reader {
    probe: Probe,
    reached: Arc<Reached>,
    credentials: Arc<Result<Credentials, crate::aws::credentials::Unavailable>>,
    region: String,
}

impl Reader {
    /// As soon as the service and the credentials are there; none if one is not.
    async fn ready(
        probe: &Probe,
        climb: &TargetHandle,
        credentials: &SharedCredentials,
        region: String,
    ) -> Option<Self> {
        let (reached, credentials) = tokio::join!(climb.reached(), credentials.clone());
        let (reached, true) = (reached?, credentials.is_ok()) else {
            return None;
        };
        Some(Self {
            probe: probe.clone(),
            reached,
            credentials,
            region,
        })
    }

    async fn secret(&self, value_from: ValueFrom) {
        let ValueFrom::Secret { json_key, .. } = &value_from else {
            return;
        };
        let CallResult {
            mut observation,
            answer,
            ..
        } = self.get_secret(&value_from).await;
        if let Some(answer) = answer {
            match form::of_secret(&answer.body, json_key.as_deref()) {
                Ok(detail) => observation.detail = detail,
                Err(wrong) => observation = wrong.seen_in(observation, answer.answer),
            }
        }
        self.record(observation, &value_from.to_string());
    }

    /// The secret that holds a registry's user name and password. Its observation is recorded; the
    /// login is for the pull alone.
    async fn login(&self, secret: &str) -> Option<form::Login> {
        let CallResult {
            mut observation,
            answer,
            ..
        } = self
            .call("GetSecretValue", json!({ "SecretId": secret }))
            .await;
        let mut login = None;
        if let Some(answer) = answer {
            match form::of_login(&answer.body) {
                Ok(read) => {
                    observation.detail = "present, a JSON object with username and password".into();
                    login = Some(read);
                }
                Err(wrong) => observation = wrong.seen_in(observation, answer.answer),
            }
        }
        observation.id.narrow(format_args!("login {secret}"));
        observation.subject = Some(secret.to_owned());
        self.probe.recorder.record(observation);
        self.reached.close();
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
            return self
                .call(
                    "GetSecretValue",
                    json!({ "SecretId": value_from.to_string() }),
                )
                .await;
        };
        let mut input = Map::from_iter([("SecretId".to_owned(), Value::from(arn.as_str()))]);
        if let Some(stage) = version_stage {
            input.insert("VersionStage".into(), stage.as_str().into());
        }
        if let Some(id) = version_id {
            input.insert("VersionId".into(), id.as_str().into());
        }
        let of_a_version = input.len() > 1;
        let mut said = self.call("GetSecretValue", input.into()).await;
        if of_a_version && said.observation.failure() == Some(Failure::NotFound) {
            // Secrets Manager's words for a missing version and a missing secret are nearly the
            // same; asking without the version tells them apart.
            let plain = self
                .call("GetSecretValue", json!({ "SecretId": arn }))
                .await;
            if let Some(answer) = said
                .observation
                .answer
                .as_mut()
                .filter(|_| plain.observation.passed())
            {
                answer.code = "VersionMissing".into();
            }
        }
        said
    }

    async fn call(&self, action: &str, input: Value) -> CallResult {
        let api = if action == "GetSecretValue" {
            SECRETS_MANAGER
        } else {
            SSM
        };
        let place = (&self.probe, &*self.reached, Phase::Read);
        match self.credentials.as_ref() {
            Ok(credentials) => {
                api.call(action, input, place, &self.region, credentials)
                    .await
            }
            Err(unavailable) => {
                let outcome = Outcome::Failed {
                    failure: unavailable.failure,
                };
                CallResult::without_answer(super::target::observe(
                    &self.reached.target,
                    Phase::Read,
                    outcome,
                    Instant::now(),
                ))
            }
        }
    }

    /// One call for up to ten names, as ECS makes it, and one observation a name.
    async fn parameters(&self, names: Vec<String>) {
        let batch = self.get_parameters(names.clone()).await;
        // A policy or a dangling reference to a secret fails the whole call and names one parameter
        // at most: asked alone, each says whether it is the one.
        let refused = |(_, seen): &(String, Observation)| {
            matches!(
                seen.failure(),
                Some(Failure::Denied | Failure::NotFound | Failure::UnexpectedAnswer)
            ) && seen
                .answer
                .as_ref()
                .is_some_and(|answer| (400..500).contains(&answer.status))
        };
        let mut told = batch;
        if names.len() > 1 && told.iter().all(refused) {
            let others = names.len() - 1;
            let alone: Vec<_> = names
                .into_iter()
                .map(|name| self.get_parameters(vec![name]).boxed())
                .collect();
            let alone = stream::iter(alone)
                .buffered(PARALLEL)
                .collect::<Vec<_>>()
                .await
                .concat();
            if alone.iter().any(|(_, seen)| !seen.passed()) {
                told = alone;
                for (_, seen) in told.iter_mut().filter(|(_, seen)| seen.passed()) {
                    seen.detail = format!(
                        "present when asked for alone; ECS asks for it together with {others} others"
                    );
                }
            }
        }
        for (name, observation) in told {
            self.record(observation, &name);
        }
    }

    async fn get_parameters(&self, names: Vec<String>) -> Vec<(String, Observation)> {
        let started = Instant::now();
        let said = self
            .call(
                "GetParameters",
                json!({ "Names": names, "WithDecryption": true }),
            )
            .await;
        let answer = said
            .answer
            .map(|answer| serde_json::from_slice::<Parameters>(&answer.body));
        let asked = names.len();
        let observe = |name: String| {
            let mut observation = said.observation.clone();
            observation.elapsed_ms = crate::millis(started.elapsed());
            let fail = |observation: &mut Observation, failure, detail: &str| {
                observation.outcome = Outcome::Failed { failure };
                observation.detail = detail.into();
            };
            match &answer {
                None => {}
                Some(Err(_)) => {
                    fail(
                        &mut observation,
                        Failure::UnexpectedAnswer,
                        "the answer is none of GetParameters",
                    );
                }
                // A missing parameter is a success with its name in `InvalidParameters`.
                Some(Ok(answer)) if answer.invalid.iter().any(|said| is_same(&name, said)) => {
                    fail(
                        &mut observation,
                        Failure::NotFound,
                        "GetParameters lists the name under InvalidParameters",
                    );
                }
                Some(Ok(answer)) if answer.lacks(&name, asked) => {
                    fail(
                        &mut observation,
                        Failure::UnexpectedAnswer,
                        "GetParameters says nothing of the name",
                    );
                }
                Some(Ok(_)) => observation.detail = "present".into(),
            }
            (name, observation)
        };
        names.into_iter().map(observe).collect()
    }

    fn record(&self, mut observation: Observation, subject: &str) {
        observation.id.narrow(subject);
        observation.subject = Some(subject.to_owned());
        self.probe.recorder.record(observation);
    }
}

/// GetParameters' answer. The values are not read.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameters {
    #[serde(default)]
    parameters: Vec<Present>,
    #[serde(default, rename = "InvalidParameters")]
    invalid: Vec<String>,
}

#[derive(Deserialize)]
struct Present {
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "ARN", default)]
    arn: String,
}

impl Parameters {
    /// Whether it says too little, and nothing of this name. A reference to a secret may come back
    /// under another name, so it takes both.
    fn lacks(&self, name: &str, asked: usize) -> bool {
        let told = self.parameters.len() + self.invalid.len();
        told < asked
            && !self
                .parameters
                .iter()
                .any(|p| is_same(name, &p.name) || is_same(name, &p.arn))
    }
}

/// Whether the answer's word is the name asked for: the same, or the name that the asked ARN ends
/// with.
fn is_same(asked: &str, said: &str) -> bool {
    let of_arn = asked.split_once(":parameter/").map(|(_, name)| name);
    asked == said
        || of_arn.is_some_and(|name| !name.is_empty() && name == said.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_missing_only_where_the_answer_says_so() {
        let arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/app/db";
        assert!(is_same(arn, arn) && is_same(arn, "/app/db") && is_same("/app/db", "/app/db"));
        assert!(!is_same(arn, "/app/d") && !is_same("/app/db", "app/db") && !is_same(arn, ""));
        let answer = |json: &str| serde_json::from_str::<Parameters>(json).unwrap();
        let two =
            answer(r#"{"Parameters":[{"Name":"/a","Value":"CANARY"}],"InvalidParameters":["/b"]}"#);
        assert!(!two.lacks("/a", 2) && !two.lacks("/b", 2));
        let reference = answer(r#"{"Parameters":[{"Name":"db"}],"InvalidParameters":[]}"#);
        assert!(!reference.lacks("/aws/reference/secretsmanager/db", 1));
        assert!(answer("{}").lacks("/a", 1));
    }
}
