//! Authentication with registries other than ECR: answers the challenge of a 401, anonymously or
//! with the login from a secret (distribution specification, "Token Authentication"; RFC 7617).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::{StatusCode, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::observation::{Failure, NO_LOGIN, Observation, ObservationId, Outcome, Phase};
use crate::probe::aws_call::PhaseClient;
use crate::probe::context::ProbeContext;
use crate::probe::net::http::{HttpRequest, ReadBody};
use crate::probe::redirects::is_host;
use crate::probe::secret_shape::RegistryCredentials;
use crate::probe::target::ConnectedTarget;
use crate::safe_text::safe_text;
use crate::vault::Vault;

/// Maximum number of bytes read of a token service's response. Tokens are below 16 KiB.
const MAX_TOKEN_RESPONSE_BYTES: usize = 64 * 1024;

/// The characters that are escaped in a query's value: all except the unreserved ones and `:`, `/`
/// and `,` (RFC 3986 section 3.4).
const QUERY_ENCODE_SET: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'/')
    .remove(b',');

/// How a registry requires clients to authenticate.
#[derive(Debug, PartialEq, Eq)]
pub enum Challenge {
    /// With a token from a token service.
    Bearer {
        /// Host of the token service.
        host: String,
        port: u16,
        /// Path and query.
        path: String,
    },
    /// With a user name and password in every request.
    Basic,
}

/// Parses the challenges of a 401, and prefers a token if both are offered. Returns `None` if
/// neither scheme is offered, or if only a token service without TLS is.
pub fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let offered = || {
        headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
    };
    let basic = || {
        offered()
            .any(|value| scheme_parameters(value, "basic").is_some())
            .then_some(Challenge::Basic)
    };
    offered().find_map(bearer).or_else(basic)
}

/// Returns what follows the scheme `name`, in any case (RFC 9110 section 11.1). One header may hold
/// several challenges, separated by commas (section 11.6.1).
fn scheme_parameters<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let mut is_quoted = false;
    let ends_item = |c: char| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    };
    let mut end = 0;
    for item in value.split(ends_item) {
        let scheme = item.trim_start().split(' ').next().unwrap_or_default();
        let start = end + item.len() - item.trim_start().len() + scheme.len();
        if scheme.eq_ignore_ascii_case(name) {
            return value.get(start..);
        }
        end += item.len() + 1;
    }
    None
}

/// Parses `Bearer realm="https://…",service="…",scope="…"`.
fn bearer(value: &str) -> Option<Challenge> {
    let parameters = scheme_parameters(value, "bearer")?;
    let parameter = |name: &str| {
        let (_, rest) = parameters.split_once(&format!("{name}=\""))?;
        rest.split_once('"').map(|(value, _)| value)
    };
    let realm: Uri = parameter("realm")?.parse().ok()?;
    (realm.scheme_str() == Some("https") && realm.host().is_some_and(is_host)).then_some(())?;
    let query = ["service", "scope"].iter().filter_map(|name| {
        let value = utf8_percent_encode(parameter(name)?, QUERY_ENCODE_SET);
        Some(format!("{name}={value}"))
    });
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

/// Response of a token service. Docker Hub sends the token under both names.
#[derive(Deserialize)]
struct TokenResponse {
    token: Option<String>,
    access_token: Option<String>,
    /// Not needed, but secret.
    refresh_token: Option<String>,
}

impl TokenResponse {
    /// Adds the tokens to the vault, and returns the one to send with requests.
    fn hold(self, vault: &Vault) -> Option<SecretString> {
        let tokens = [&self.token, &self.access_token, &self.refresh_token];
        for token in tokens.into_iter().flatten() {
            vault.add(token);
        }
        self.token.or(self.access_token).map(SecretString::from)
    }
}

/// Returns an `Authorization` header that is marked as sensitive.
fn authorization(scheme: &str, credentials: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {credentials}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Returns the `Basic` header for a login. Returns `None` if it cannot be a header value.
pub fn basic(login: &RegistryCredentials) -> Option<HeaderValue> {
    let pair = format!(
        "{}:{}",
        login.username.expose_secret(),
        login.password.expose_secret()
    );
    authorization("Basic", &STANDARD.encode(pair))
}

/// Returns the `Basic` header for an ECR token, which is already encoded.
pub fn basic_from_token(token: &SecretString) -> Option<HeaderValue> {
    authorization("Basic", token.expose_secret())
}

/// Adds to the observation where the rejected login comes from, never the login itself.
pub fn add_presented_login(observation: &mut Observation, secret_arn: Option<&str>) {
    observation.expected = vec!["a login that the registry accepts".into()];
    observation.presented = vec![secret_arn.map_or_else(
        || NO_LOGIN.into(),
        |arn| safe_text!["the login in ", arn.to_owned()],
    )];
}

/// A login, and the secret that it was read from.
#[derive(Clone, Copy)]
pub struct SecretLogin<'a> {
    pub login: &'a RegistryCredentials,
    pub secret_arn: &'a str,
}

/// The image for which a token is requested.
pub struct TokenSubject {
    /// The image's part of the observation ID.
    pub id: String,
    /// The image reference.
    pub reference: String,
}

/// Requests a token from a token service, anonymously if there is no login, and records the result.
/// Fails with the ID of the observation that explains why there is no token.
pub async fn fetch_token(
    context: &ProbeContext,
    service: &ConnectedTarget,
    path: &str,
    login: Option<SecretLogin<'_>>,
    subject: TokenSubject,
) -> Result<HeaderValue, ObservationId> {
    let mut request = HttpRequest::get(path, ReadBody::Whole(MAX_TOKEN_RESPONSE_BYTES));
    if let Some(header) = login.and_then(|login| basic(login.login)) {
        request.headers.insert(AUTHORIZATION, header);
    }
    let client = PhaseClient {
        context,
        target: service,
        phase: Phase::Authorize,
    };
    let mut result = client.call(&request, StatusCode::is_success).await;
    let token = result
        .response
        .and_then(|response| serde_json::from_slice::<TokenResponse>(&response.body).ok());
    let token = token.and_then(|response| response.hold(&context.settings.vault));
    if result.observation.passed() && token.is_none() {
        result.observation.outcome = Outcome::Failed {
            failure: Failure::UnexpectedAnswer,
        };
        result.observation.detail = "the token service's response contains no token".into();
    }
    if matches!(
        result.observation.failure(),
        Some(Failure::Unauthenticated | Failure::Denied)
    ) {
        add_presented_login(&mut result.observation, login.map(|login| login.secret_arn));
    }
    result.observation.id.narrow(subject.id);
    result.observation.subject = Some(subject.reference);
    let id = result.observation.id.clone();
    context.recorder.record(result.observation);
    if login.is_some() {
        service.close_idle();
    }
    token
        .and_then(|token| authorization("Bearer", token.expose_secret()))
        .ok_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(values: &[&str]) -> Option<Challenge> {
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
    fn parses_the_token_service_of_a_bearer_challenge() {
        let docker = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull""#;
        let path = "/token?service=registry.docker.io&scope=repository:library/nginx:pull";
        assert_eq!(parse(&[docker]), Some(bearer_at("auth.docker.io", path)));
        let both = [
            r#"Basic realm="x""#,
            r#"bearer realm="https://quay.io/v2/auth",service="quay.io""#,
        ];
        assert_eq!(
            parse(&both),
            Some(bearer_at("quay.io", "/v2/auth?service=quay.io"))
        );
        assert_eq!(
            parse(&[&both.join(", ")]),
            Some(bearer_at("quay.io", "/v2/auth?service=quay.io"))
        );
        let odd = r#"Bearer realm="https://git.example/jwt?a=b",service="a service",scope="repository:a:pull repository:b:pull""#;
        let path = "/jwt?a=b&service=a%20service&scope=repository:a:pull%20repository:b:pull";
        assert_eq!(parse(&[odd]), Some(bearer_at("git.example", path)));
    }

    #[test]
    fn parses_basic_and_rejects_unknown_challenges() {
        assert_eq!(
            parse(&[r#"Basic realm="Registry""#]),
            Some(Challenge::Basic)
        );
        for other in [
            "Bearer",
            r#"Bearer realm="http://plain/token""#,
            r#"Bearer realm="::""#,
            "Negotiate",
            "",
        ] {
            assert_eq!(parse(&[other]), None, "{other}");
        }
        assert_eq!(parse(&[]), None);
    }

    #[test]
    fn debug_output_of_a_header_hides_the_login() {
        let login = RegistryCredentials {
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
