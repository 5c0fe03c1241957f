//! `authorize`: `GetAuthorizationToken`, signed with the credentials.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::observation::{Failure, Outcome, Phase};
use crate::probe::aws_call::{ECR, PhaseClient};
use crate::probe::context::{ProbeContext, SharedCredentials};
use crate::probe::target::TargetHandle;
use crate::reference::{Reference, Registry};

/// The ECR token that several images share, as the credentials of a `Basic` header. `None` if the
/// call failed.
pub type SharedEcrToken = Shared<BoxFuture<'static, Option<Arc<SecretString>>>>;

/// Returns a future that requests the token when first polled, once for all images that need it.
pub fn shared_token(
    context: &ProbeContext,
    api: &TargetHandle,
    credentials: &SharedCredentials,
    reference: &Reference,
) -> SharedEcrToken {
    let region = match &reference.registry {
        Registry::Ecr { region, .. } => region.to_string(),
        Registry::Other { .. } => String::new(),
    };
    let (context, api, credentials) = (context.clone(), api.clone(), credentials.clone());
    get_token(context, api, credentials, region)
        .boxed()
        .shared()
}

async fn get_token(
    context: ProbeContext,
    api: TargetHandle,
    credentials: SharedCredentials,
    region: String,
) -> Option<Arc<SecretString>> {
    let (target, credentials) = tokio::join!(api.connected(), credentials);
    let (target, Ok(credentials)) = (target?, credentials.as_ref()) else {
        return None;
    };
    let client = PhaseClient {
        context: &context,
        target: &target,
        phase: Phase::Authorize,
    };
    let mut result = ECR
        .call(
            client,
            "GetAuthorizationToken",
            &json!({}),
            &region,
            credentials,
        )
        .await;
    let token = result
        .response
        .as_ref()
        .and_then(|response| parse_token(&response.body));
    if let Some(token) = &token {
        context.settings.vault.add(token.expose_secret());
    }
    if result.observation.passed() && token.is_none() {
        result.observation.outcome = Outcome::Failed {
            failure: Failure::UnexpectedAnswer,
        };
        result.observation.detail = "the response contains no authorization token".into();
    }
    context.recorder.record(result.observation);
    token.map(Arc::new)
}

/// Parses `authorizationData[0].authorizationToken`: base64 of `AWS:<password>`, as Basic
/// authentication sends it.
fn parse_token(body: &[u8]) -> Option<SecretString> {
    let response: Value = serde_json::from_slice(body).ok()?;
    let token = response
        .pointer("/authorizationData/0/authorizationToken")?
        .as_str()?;
    let decoded = STANDARD.decode(token).ok()?;
    decoded.contains(&b':').then(|| SecretString::from(token))
}
