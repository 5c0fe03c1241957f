//! Registries other than ECR: the anonymous Bearer token that a public image takes (distribution specification,
//! "Token Authentication").

use hyper::Uri;
use hyper::header::{HeaderMap, WWW_AUTHENTICATE};
use secrecy::SecretString;
use serde::Deserialize;

use super::call;
use super::discovered::Discovered;
use super::exchange::{Ask, Read};
use super::target::Probe;
use crate::observation::{Failure, Outcome, Phase, Role};

/// A token service's answer. Its tokens are below 16 KiB.
const TOKEN_LIMIT: usize = 64 * 1024;

/// Where a registry says that tokens are to be had.
#[derive(Debug, PartialEq, Eq)]
pub struct Challenge {
    host: String,
    port: u16,
    path: String,
}

#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

/// Reads `WWW-Authenticate: Bearer realm="https://…",service="…",scope="…"`; none if it is no such challenge.
pub fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let value = headers.get(WWW_AUTHENTICATE)?.to_str().ok()?;
    let parameters = value.strip_prefix("Bearer ")?;
    let parameter = |name: &str| {
        let (_, rest) = parameters.split_once(&format!("{name}=\""))?;
        rest.split_once('"').map(|(value, _)| value)
    };
    let realm: Uri = parameter("realm")?.parse().ok()?;
    let query: Vec<_> =
        ["service", "scope"].iter().filter_map(|name| Some(format!("{name}={}", parameter(name)?))).collect();
    (realm.scheme_str() == Some("https")).then_some(())?;
    Some(Challenge {
        host: realm.host()?.to_owned(),
        port: realm.port_u16().unwrap_or(443),
        path: format!("{}?{}", realm.path(), query.join("&")),
    })
}

/// Asks the token service, which is a target of its own, for an anonymous token.
pub async fn anonymous(probe: &Probe, discovered: &Discovered, challenge: Challenge) -> Option<SecretString> {
    let climb = discovered.climb(probe, Role::Registry, &challenge.host, challenge.port, &[Phase::Authorize]);
    let reached = climb.reached().await?;
    let ask = Ask::get(challenge.path, Read::All(TOKEN_LIMIT));
    let mut said = call::ask(probe, &reached, Phase::Authorize, &ask, |status| status.is_success()).await;
    let token = said.answer.and_then(|answer| serde_json::from_slice::<Token>(&answer.body).ok());
    if said.observation.passed() && token.is_none() {
        said.observation.outcome = Outcome::Failed { failure: Failure::UnexpectedAnswer };
        said.observation.detail = "the token service's answer has no token in it".into();
    }
    probe.recorder.record(said.observation);
    token.map(|token| SecretString::from(token.token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        headers.insert(WWW_AUTHENTICATE, value.parse().unwrap());
        challenge(&headers)
    }

    #[test]
    fn a_bearer_challenge_names_the_token_service() {
        let docker = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull""#;
        assert_eq!(
            read(docker),
            Some(Challenge {
                host: "auth.docker.io".into(),
                port: 443,
                path: "/token?service=registry.docker.io&scope=repository:library/nginx:pull".into(),
            })
        );
        for other in [r#"Basic realm="x""#, "Bearer", r#"Bearer realm="http://plain/token""#, "Bearer realm=\"::\""] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
