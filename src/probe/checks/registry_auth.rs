//! Registries other than ECR: answering the challenge of a 401, as nobody or with the login of a
//! secret (distribution specification, "Token Authentication"; RFC 7617).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::{BoxFuture, Shared};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::{StatusCode, Uri};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::observation::{Failure, NO_LOGIN, Observation, Outcome, Phase};
use crate::probe::aws_call;
use crate::probe::net::http::{Ask, Read};
use crate::probe::secret_shape::Login;
use crate::probe::target::{Probe, Reached};

/// A token service's answer. Its tokens are below 16 KiB.
const TOKEN_LIMIT: usize = 64 * 1024;

/// A login that several images may wait for; none if its secret could not be read.
pub type SharedLogin = Shared<BoxFuture<'static, Option<Arc<Login>>>>;

/// How a registry wants to be logged in to.
#[derive(Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A token is to be had there.
    Bearer {
        /// The token service.
        host: String,
        /// Its port.
        port: u16,
        /// Path and query.
        path: String,
    },
    /// User name and password with every request.
    Basic,
}

/// Reads the challenges of a 401; a token is preferred where both are offered. None if it is none
/// of the two, or its token service speaks no TLS.
pub fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let offered = || {
        headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
    };
    let basic = || {
        offered()
            .any(|value| scheme(value, "basic").is_some())
            .then_some(Challenge::Basic)
    };
    offered().find_map(bearer).or_else(basic)
}

/// What follows the scheme, which is written in any case (RFC 9110 section 11.1).
fn scheme<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let (scheme, parameters) = value.trim_start().split_once(' ').unwrap_or((value, ""));
    scheme.eq_ignore_ascii_case(name).then_some(parameters)
}

/// `Bearer realm="https://…",service="…",scope="…"`.
fn bearer(value: &str) -> Option<Challenge> {
    let parameters = scheme(value, "bearer")?;
    let parameter = |name: &str| {
        let (_, rest) = parameters.split_once(&format!("{name}=\""))?;
        rest.split_once('"').map(|(value, _)| value)
    };
    let realm: Uri = parameter("realm")?.parse().ok()?;
    (realm.scheme_str() == Some("https")).then_some(())?;
    let query = ["service", "scope"]
        .iter()
        .filter_map(|name| Some(format!("{name}={}", encoded(parameter(name)?))));
    let query: Vec<_> = realm
        .query()
        .map(str::to_owned)
        .into_iter()
        .chain(query)
        .collect();
    Some(Challenge::Bearer {
        host: realm.host()?.to_lowercase(),
        port: realm.port_u16().unwrap_or(443),
        path: format!("{}?{}", realm.path(), query.join("&")),
    })
}

/// A query's value (RFC 3986 section 3.4): `:`, `/` and `,` may stay as they are.
fn encoded(value: &str) -> String {
    percent_encoded(value, b"-._~:/,")
}

/// Letters, digits and what is in `plain` stay; every other byte is `%XX` (RFC 3986 section 2.1).
pub fn percent_encoded(text: &str, plain: &[u8]) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

/// `Authorization` with what must not be seen in it.
fn authorization(scheme: &str, credentials: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {credentials}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// `Basic` with these credentials.
pub fn basic(login: &Login) -> Option<HeaderValue> {
    let pair = format!(
        "{}:{}",
        login.username.expose_secret(),
        login.password.expose_secret()
    );
    authorization("Basic", &STANDARD.encode(pair))
}

/// `Basic` with a pair that is encoded already, as ECR hands it out.
pub fn basic_of(token: &SecretString) -> Option<HeaderValue> {
    authorization("Basic", token.expose_secret())
}

/// What a registry was told of who asks, for the observation; never the login itself.
pub fn presented(observation: &mut Observation, secret: Option<&str>) {
    observation.expected = vec!["a login that the registry takes".into()];
    observation.presented =
        vec![secret.map_or_else(|| NO_LOGIN.into(), |arn| format!("the login in {arn}"))];
}

/// A login that is to be used, and the secret it is from.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// User name and password.
    pub login: &'a Login,
    /// The secret's ARN.
    pub secret: &'a str,
}

/// Asks the token service for a token; as nobody if there is no login. Fails with the id of the
/// observation that says why there is none.
pub async fn fetch_token(
    probe: &Probe,
    service: &Reached,
    path: &str,
    login: Option<Presented<'_>>,
    (name, subject): (String, String),
) -> Result<HeaderValue, String> {
    let mut ask = Ask::get(path, Read::All(TOKEN_LIMIT));
    if let Some(header) = login.and_then(|presented| basic(presented.login)) {
        ask.headers.insert(AUTHORIZATION, header);
    }
    let mut said = aws_call::ask(
        probe,
        service,
        Phase::Authorize,
        &ask,
        StatusCode::is_success,
    )
    .await;
    let token = said
        .answer
        .and_then(|answer| serde_json::from_slice::<Token>(&answer.body).ok());
    let token = token.map(|token| SecretString::from(token.token));
    if said.observation.passed() && token.is_none() {
        said.observation.outcome = Outcome::Failed {
            failure: Failure::UnexpectedAnswer,
        };
        said.observation.detail = "the token service's answer has no token in it".into();
    }
    if matches!(
        said.observation.failure(),
        Some(Failure::Unauthenticated | Failure::Denied)
    ) {
        presented(&mut said.observation, login.map(|login| login.secret));
    }
    said.observation.id.narrow(name);
    said.observation.subject = Some(subject);
    let id = said.observation.id.clone();
    probe.recorder.record(said.observation);
    if login.is_some() {
        service.close();
    }
    token
        .and_then(|token| authorization("Bearer", token.expose_secret()))
        .ok_or_else(|| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        challenge(&headers)
    }

    fn bearer_at(host: &str, path: &str) -> Challenge {
        Challenge::Bearer {
            host: host.into(),
            port: 443,
            path: path.into(),
        }
    }

    #[test]
    fn a_bearer_challenge_names_the_token_service() {
        let docker = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull""#;
        let path = "/token?service=registry.docker.io&scope=repository:library/nginx:pull";
        assert_eq!(read(&[docker]), Some(bearer_at("auth.docker.io", path)));
        let both = [
            r#"Basic realm="x""#,
            r#"bearer realm="https://quay.io/v2/auth",service="quay.io""#,
        ];
        assert_eq!(
            read(&both),
            Some(bearer_at("quay.io", "/v2/auth?service=quay.io"))
        );
        let odd = r#"Bearer realm="https://git.example/jwt?a=b",service="a service",scope="repository:a:pull repository:b:pull""#;
        let path = "/jwt?a=b&service=a%20service&scope=repository:a:pull%20repository:b:pull";
        assert_eq!(read(&[odd]), Some(bearer_at("git.example", path)));
    }

    #[test]
    fn a_basic_challenge_is_one_and_what_is_neither_is_none() {
        assert_eq!(read(&[r#"Basic realm="Registry""#]), Some(Challenge::Basic));
        for other in [
            "Bearer",
            r#"Bearer realm="http://plain/token""#,
            r#"Bearer realm="::""#,
            "Negotiate",
            "",
        ] {
            assert_eq!(read(&[other]), None, "{other}");
        }
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn a_login_is_never_seen_in_a_header() {
        let login = Login {
            username: "Aladdin".into(),
            password: "open sesame".into(),
        };
        let header = basic(&login).unwrap();
        assert_eq!(
            header.to_str().unwrap(),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "RFC 7617 section 2"
        );
        assert!(!format!("{header:?}").contains("QWxh"));
    }
}
