//! `read`: secrets and parameters by ECS's own calls. A value never leaves the function that reads it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::SharedCredentials;
use super::call::{SECRETS_MANAGER, SSM, Said};
use super::target::{Climb, Probe, Reached};
use crate::aws::credentials::Credentials;
use crate::observation::{Answer, Failure, Observation, Outcome, Phase};
use crate::plan::{Plan, ValueFrom};

/// GetParameters takes ten names (ECS agent, `MaxBatchNum`).
const BATCH: usize = 10;

/// Starts reading every secret of the plan, by target.
pub fn begin(plan: &Plan, probe: &Probe, climbs: &BTreeMap<&str, Climb>, credentials: &SharedCredentials) {
    let mut by_target: BTreeMap<&str, Vec<ValueFrom>> = BTreeMap::new();
    for secret in &plan.secrets {
        by_target.entry(&secret.target).or_default().push(secret.value_from.clone());
    }
    for (key, secrets) in by_target {
        let Some(climb) = climbs.get(key) else { continue };
        let region = secrets.iter().find_map(ValueFrom::region).unwrap_or(&plan.region).to_string();
        let reading = read(probe.clone(), climb.clone(), credentials.clone(), region, secrets);
        probe.recorder.spawn(reading);
    }
}

async fn read(probe: Probe, climb: Climb, credentials: SharedCredentials, region: String, secrets: Vec<ValueFrom>) {
    let (reached, credentials) = tokio::join!(climb.reached(), credentials);
    let (Some(reached), Ok(credentials)) = (reached, credentials.as_ref()) else { return };
    let reader = Reader { probe, reached, credentials, region };
    let (mut names, mut seen) = (Vec::new(), Vec::new());
    for secret in &secrets {
        if seen.contains(&secret) {
            continue;
        }
        seen.push(secret);
        match secret {
            ValueFrom::Secret { .. } => reader.secret(secret).await,
            ValueFrom::Parameter { name, .. } => names.push(name.clone()),
        }
    }
    for batch in names.chunks(BATCH) {
        reader.parameters(batch).await;
    }
}

struct Reader<'a> {
    probe: Probe,
    reached: Arc<Reached>,
    credentials: &'a Credentials,
    region: String,
}

impl Reader<'_> {
    async fn secret(&self, value_from: &ValueFrom) {
        let ValueFrom::Secret { arn, json_key, version_stage, version_id, .. } = value_from else { return };
        let mut input = Map::from_iter([("SecretId".to_owned(), Value::from(arn.as_str()))]);
        if let Some(stage) = version_stage {
            input.insert("VersionStage".into(), stage.as_str().into());
        }
        if let Some(id) = version_id {
            input.insert("VersionId".into(), id.as_str().into());
        }
        let Said { mut observation, answer, .. } = self.get_secret(input).await;
        let of_a_version = version_stage.is_some() || version_id.is_some();
        if of_a_version && observation.failure() == Some(Failure::NotFound) {
            // Secrets Manager's words for a missing version and a missing secret are nearly the same; asking without the
            // version tells them apart.
            let plain = self.get_secret(Map::from_iter([("SecretId".to_owned(), arn.as_str().into())])).await;
            if let Some(answer) = observation.answer.as_mut().filter(|_| plain.observation.passed()) {
                answer.code = "VersionMissing".into();
            }
        }
        if let Some(answer) = answer {
            let form = form_of(&answer.body, json_key.as_deref());
            match form {
                Ok(detail) => observation.detail = detail,
                Err((failure, code, detail)) => {
                    observation.outcome = Outcome::Failed { failure };
                    observation.detail = detail;
                    observation.answer = Some(Answer { code: code.into(), ..answer.answer });
                }
            }
        }
        self.record(observation, &value_from.to_string());
    }

    async fn get_secret(&self, input: Map<String, Value>) -> Said {
        let place = (&self.probe, &*self.reached, Phase::Read);
        SECRETS_MANAGER.call("GetSecretValue", input.into(), place, &self.region, self.credentials).await
    }

    async fn parameters(&self, names: &[String]) {
        let started = Instant::now();
        let place = (&self.probe, &*self.reached, Phase::Read);
        let input = json!({ "Names": names, "WithDecryption": true });
        let Said { observation, answer, .. } =
            SSM.call("GetParameters", input, place, &self.region, self.credentials).await;
        // A missing parameter is a success with its name in `InvalidParameters`.
        let invalid: Vec<String> = answer
            .and_then(|answer| serde_json::from_slice::<Value>(&answer.body).ok())
            .and_then(|mut answer| serde_json::from_value(answer["InvalidParameters"].take()).ok())
            .unwrap_or_default();
        for name in names {
            let mut observation = observation.clone();
            if invalid.contains(name) {
                observation.outcome = Outcome::Failed { failure: Failure::NotFound };
                observation.detail = "GetParameters lists the name under InvalidParameters".into();
            }
            observation.elapsed_ms = crate::millis(started.elapsed());
            self.record(observation, name);
        }
    }

    fn record(&self, mut observation: Observation, subject: &str) {
        observation.id = format!("{}/{subject}", observation.id);
        observation.subject = Some(subject.to_owned());
        self.probe.recorder.record(observation);
    }
}

/// What may be said of a secret's value: whether it is there and has the asked form.
fn form_of(body: &[u8], json_key: Option<&str>) -> Result<String, (Failure, &'static str, String)> {
    let answer: Option<Value> = serde_json::from_slice(body).ok();
    let value = answer.as_ref().and_then(|answer| answer["SecretString"].as_str()).map(SecretString::from);
    let Some(value) = value else {
        let binary = answer.is_some_and(|answer| !answer["SecretBinary"].is_null());
        return if binary && json_key.is_none() {
            Ok("present, binary".into())
        } else {
            Err((Failure::WrongForm, "NotJson", "the secret has no string to look for a JSON key in".into()))
        };
    };
    let Some(key) = json_key else { return Ok("present".into()) };
    match serde_json::from_str::<Value>(value.expose_secret()) {
        Ok(Value::Object(keys)) if keys.contains_key(key) => {
            Ok(format!("present, a JSON object of {} keys, the asked one among them", keys.len()))
        }
        Ok(Value::Object(keys)) => {
            let detail = format!("a JSON object of {} keys, without the key {key:?}", keys.len());
            Err((Failure::WrongForm, "JsonKeyMissing", detail))
        }
        _ => Err((Failure::WrongForm, "NotJson", "the secret's value is not a JSON object".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secrets_form_is_told_and_its_value_never() {
        let body = |value: &str| json!({ "SecretString": value }).to_string().into_bytes();
        let object = body(r#"{"user":"CANARY-1","password":"CANARY-2"}"#);
        assert!(form_of(&object, Some("password")).unwrap().contains("2 keys"));
        assert_eq!(form_of(&object, None).unwrap(), "present");
        for (body, key, code) in [
            (object, Some("missing"), "JsonKeyMissing"),
            (body("CANARY-3"), Some("password"), "NotJson"),
            (body("[\"CANARY-4\"]"), Some("password"), "NotJson"),
            (b"{}".to_vec(), Some("password"), "NotJson"),
        ] {
            let (failure, said, detail) = form_of(&body, key).unwrap_err();
            assert_eq!((failure, said), (Failure::WrongForm, code));
            assert!(!detail.contains("CANARY"), "{detail}");
        }
    }
}
