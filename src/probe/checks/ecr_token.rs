//! `authorize`: `GetAuthorizationToken`, signed as the execution role.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::observation::{Failure, Outcome, Phase};
use crate::probe::SharedCredentials;
use crate::probe::aws_call::ECR;
use crate::probe::target::{Probe, TargetHandle};
use crate::reference::{Reference, Registry};

/// `Basic` credentials for a registry, as the token endpoint hands them out; none if it did not.
pub type SharedToken = Shared<BoxFuture<'static, Option<Arc<SecretString>>>>;

/// Starts the call once for all images that need its token.
pub fn share(
    probe: &Probe,
    api: TargetHandle,
    credentials: &SharedCredentials,
    reference: &Reference,
) -> SharedToken {
    let (probe, credentials) = (probe.clone(), credentials.clone());
    let region = match &reference.registry {
        Registry::Ecr { region, .. } => region.to_string(),
        Registry::Other { .. } => String::new(),
    };
    authorize(probe, api, credentials, region).boxed().shared()
}

async fn authorize(
    probe: Probe,
    api: TargetHandle,
    credentials: SharedCredentials,
    region: String,
) -> Option<Arc<SecretString>> {
    let (reached, credentials) = tokio::join!(api.reached(), credentials);
    let (reached, Ok(credentials)) = (reached?, credentials.as_ref()) else {
        return None;
    };
    let place = (&probe, &*reached, Phase::Authorize);
    let mut said = ECR
        .call(
            "GetAuthorizationToken",
            json!({}),
            place,
            &region,
            credentials,
        )
        .await;
    let token = said
        .answer
        .as_ref()
        .and_then(|answer| read_token(&answer.body));
    if said.observation.passed() && token.is_none() {
        said.observation.outcome = Outcome::Failed {
            failure: Failure::UnexpectedAnswer,
        };
        said.observation.detail = "the answer has no authorization token in it".into();
    }
    probe.recorder.record(said.observation);
    token.map(Arc::new)
}

/// `authorizationData[0].authorizationToken`: base64 of `AWS:<password>`, which is what Basic
/// authentication wants.
fn read_token(body: &[u8]) -> Option<SecretString> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let token = answer
        .pointer("/authorizationData/0/authorizationToken")?
        .as_str()?;
    let decoded = STANDARD.decode(token).ok()?;
    decoded.contains(&b':').then(|| SecretString::from(token))
}
