//! Credentials: the task role's, or keys from the environment.
//!
//! The rules are those of the AWS SDKs (aws-sdk-go-v2, `config/resolve_credentials.go`) with one
//! exception: if the environment names a container endpoint, only that is used. In a task, keys in
//! the environment are more often leftovers than intended, and the roles under test are those whose
//! credentials ECS provides.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{StatusCode, Uri};
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub use crate::agent::AgentFailure;
use crate::agent::{AgentRequest, REQUEST_TIMEOUT};
use crate::arn::Arn;
use crate::aws::error_response::{self, ErrorResponse};
use crate::observation::Failure;

/// Where ECS serves credentials: the base of `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`.
pub const CONTAINER_ENDPOINT: &str = "http://169.254.170.2";

const RELATIVE_URI: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";

/// Beginning of the detail if neither a task nor the environment has credentials.
pub const NOT_SET: &str =
    "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_ACCESS_KEY_ID is set";

/// Credentials that sign requests. `Debug` does not print the secrets.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Not secret, but kept out of reports.
    pub access_key_id: SecretString,
    /// Never leaves the process.
    pub secret_access_key: SecretString,
    /// Set for temporary credentials.
    pub session_token: Option<SecretString>,
    /// Time of expiry; `None` if the source does not give one.
    pub expires_at: Option<Timestamp>,
    /// The role, as the container endpoint reports it.
    pub role_arn: Option<Arn>,
    /// The role's name, if the source does not report its ARN.
    pub role_name: Option<String>,
    /// The source.
    pub source: CredentialSource,
    /// How long the source took.
    pub elapsed: Duration,
}

/// Where credentials come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CredentialSource {
    /// The container credentials endpoint.
    Container,
    /// `AWS_ACCESS_KEY_ID` and related variables.
    Environment,
    /// The instance profile of an EC2 instance, from the instance metadata.
    InstanceProfile,
    /// The files of the AWS CLI, where AWS IAM Identity Center and other providers are configured.
    Profile,
}

/// Loads credentials from the container endpoint, or else from keys in the environment. The
/// endpoint is `container` (outside tests [`CONTAINER_ENDPOINT`]) with the path in
/// `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`, or `AWS_CONTAINER_CREDENTIALS_FULL_URI`. Takes at most
/// five seconds.
pub async fn load(
    env: &impl Fn(&str) -> Option<String>,
    container: &str,
) -> Result<Credentials, AgentFailure> {
    let set = |name: &str| {
        env(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    };
    let (variable, uri) = match (set(RELATIVE_URI), set(FULL_URI)) {
        (Some(path), _) if path.starts_with('/') => (RELATIVE_URI, format!("{container}{path}")),
        (Some(_), _) => {
            return Err(wrong_form(format_args!(
                "{RELATIVE_URI} must begin with a slash"
            )));
        }
        (None, Some(uri)) => (FULL_URI, uri),
        (None, None) => return from_environment(&set),
    };
    let uri: Uri = uri
        .parse()
        .map_err(|_| wrong_form(format_args!("{variable} is not a URI")))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong_form(format_args!(
            "{variable} must begin with http:// or https://"
        )));
    }
    // `container` comes from the caller; only a URI from the environment is restricted.
    let allows_http = if variable == FULL_URI {
        is_agent
    } else {
        |_: IpAddr| true
    };
    from_container(&AgentRequest {
        header: authorization(&set)?.map(|value| (AUTHORIZATION, value)),
        ..AgentRequest::new(&uri, allows_http, REQUEST_TIMEOUT)
    })
    .await
}

/// Whether the environment should have credentials: it names a source, or ECS set it up. On any
/// other machine, missing credentials say nothing about a task.
pub fn are_expected(env: &impl Fn(&str) -> Option<String>) -> bool {
    let sources = [RELATIVE_URI, FULL_URI, ACCESS_KEY_ID, SECRET_ACCESS_KEY];
    let set = |name: &&str| env(name).is_some_and(|value| !value.trim().is_empty());
    sources.iter().any(set) || is_in_ecs(env)
}

/// Whether this process runs in a container of Amazon ECS.
pub fn is_in_ecs(env: &impl Fn(&str) -> Option<String>) -> bool {
    // ECS sets these in every container.
    const OF_ECS: [&str; 3] = [
        "ECS_CONTAINER_METADATA_URI_V4",
        "ECS_CONTAINER_METADATA_URI",
        "ECS_AGENT_URI",
    ];
    let set = |name: &&str| env(name).is_some_and(|value| !value.trim().is_empty());
    OF_ECS.iter().any(set)
}

/// Whether credentials may be read from `address` over plain HTTP: from this host, or from the
/// agents of ECS and EKS.
fn is_agent(address: IpAddr) -> bool {
    const ECS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2));
    const EKS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23));
    const EKS_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23));
    address.is_loopback() || matches!(address, ECS | EKS | EKS_V6)
}

/// Returns the `Authorization` header. The file is read each time, because the token in it is
/// rotated.
fn authorization(
    set: &impl Fn(&str) -> Option<String>,
) -> Result<Option<HeaderValue>, AgentFailure> {
    let (variable, token) = if let Some(path) = set(TOKEN_FILE) {
        let token = std::fs::read_to_string(&path).map_err(|err| {
            let what = format_args!(
                "cannot read {path}, the file of {TOKEN_FILE}: {err}; mount it, or unset the variable"
            );
            AgentFailure::new(Failure::NoCredentials, what)
        })?;
        // The file may end with a line break.
        (TOKEN_FILE, token.trim().to_owned())
    } else if let Some(token) = set(TOKEN) {
        (TOKEN, token)
    } else {
        return Ok(None);
    };
    let mut value = HeaderValue::try_from(token).map_err(|_| {
        wrong_form(format_args!(
            "the token in {variable} has a line break or another character that is invalid in a header"
        ))
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// The endpoint's response. Every field is optional, so that an error can name the missing one.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CredentialsResponse {
    role_arn: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    token: Option<String>,
    expiration: Option<String>,
}

async fn from_container(request: &AgentRequest<'_>) -> Result<Credentials, AgentFailure> {
    let started = Instant::now();
    let response = request.send().await.map_err(|err| {
        let hint = match err.failure {
            Failure::TimedOut | Failure::Refused | Failure::Reset | Failure::Unreachable => {
                "; the container credentials endpoint exists only inside a task"
            }
            _ => "",
        };
        AgentFailure::new(err.failure, format_args!("{err}{hint}"))
    })?;
    if response.status() != StatusCode::OK {
        return Err(rejected(
            request,
            response.status(),
            &error_response::read(
                response.status().as_u16(),
                response.headers(),
                response.body(),
            ),
        ));
    }
    read(request, response.body(), started)
}

/// Reads credentials as the agent and the instance metadata send them.
pub(super) fn read(
    request: &AgentRequest<'_>,
    body: &[u8],
    started: Instant,
) -> Result<Credentials, AgentFailure> {
    // The parser's own message may quote a secret.
    let response: CredentialsResponse = serde_json::from_slice(body).map_err(|_| {
        request.failed(
            Failure::UnexpectedAnswer,
            "returned a response that is not valid JSON; a proxy may have sent it",
        )
    })?;
    let present = |value: Option<String>, name: &str| {
        let missing = || {
            request.failed(
                Failure::WrongForm,
                format_args!("returned credentials without {name}"),
            )
        };
        value
            .filter(|value| !value.trim().is_empty())
            .ok_or_else(missing)
    };
    let expires_at = response
        .expiration
        .filter(|text| !text.is_empty())
        .map(|text| {
            text.parse::<Timestamp>().map_err(|_| {
                request.failed(
                    Failure::WrongForm,
                    "returned an invalid Expiration timestamp",
                )
            })
        });
    let credentials = Credentials {
        access_key_id: header_safe(
            present(response.access_key_id, "AccessKeyId")?,
            "AccessKeyId",
        )?,
        secret_access_key: header_safe(
            present(response.secret_access_key, "SecretAccessKey")?,
            "SecretAccessKey",
        )?,
        session_token: Some(header_safe(present(response.token, "Token")?, "Token")?),
        expires_at: expires_at.transpose()?,
        role_arn: response.role_arn.as_deref().and_then(role_arn),
        role_name: None,
        source: CredentialSource::Container,
        elapsed: started.elapsed(),
    };
    match credentials.expires_at {
        Some(end) if end <= Timestamp::now() => Err(request.failed(
            Failure::ExpiredToken,
            format_args!("returned credentials that expired at {end}; this machine's clock is ahead, or the agent has lost its connection to ECS"),
        )),
        _ => Ok(credentials),
    }
}

/// Error codes of the ECS agent (`tmds/handlers/v1/credentials_handler.go`).
const AGENT_CODES: [&str; 4] = [
    "NoIdInRequest",
    "InvalidIdInRequest",
    "CredentialsUninitialized",
    "InternalServerError",
];

/// Returns the role's ARN; `None` for any other text, which is not shown.
fn role_arn(text: &str) -> Option<Arn> {
    let arn: Arn = text.parse().ok()?;
    (matches!(&*arn.service, "iam" | "sts") && arn.is_plain()).then_some(arn)
}

/// Returns the failure of an error response, with what to do. The codes are those of the ECS agent.
fn rejected(request: &AgentRequest<'_>, status: StatusCode, error: &ErrorResponse) -> AgentFailure {
    let (failure, hint) = match (&*error.code, status.as_u16()) {
        ("InvalidIdInRequest" | "NoIdInRequest", _) => (
            Failure::NotFound,
            "the path does not belong to this task; remove the variable from the task definition, because ECS sets it",
        ),
        ("CredentialsUninitialized", _) => (
            Failure::ServiceFailure,
            "the agent has no credentials for this task yet; try again",
        ),
        (_, 401 | 403) => (Failure::Unauthenticated, "check the authorization token"),
        (_, 300..=399) => (
            Failure::UnexpectedAnswer,
            "the agent does not redirect; check the variable",
        ),
        _ => (
            error.failure,
            "the ECS agent is unhealthy, or another server answered",
        ),
    };
    // The endpoint holds the credentials, and may repeat them: only a documented code is shown.
    let code = match AGENT_CODES.iter().find(|known| error.code == **known) {
        Some(code) => format!(" ({code})"),
        None => String::new(),
    };
    request.failed(
        failure,
        format_args!("returned {}{code}: {hint}", status.as_u16()),
    )
}

fn from_environment(set: &impl Fn(&str) -> Option<String>) -> Result<Credentials, AgentFailure> {
    let incomplete = |set: &str, missing: &str| {
        Err(AgentFailure::new(
            Failure::NoCredentials,
            format_args!("{set} is set but {missing} is not; set both or neither"),
        ))
    };
    match (set(ACCESS_KEY_ID), set(SECRET_ACCESS_KEY)) {
        (Some(id), Some(secret)) => Ok(Credentials {
            access_key_id: header_safe(id, ACCESS_KEY_ID)?,
            secret_access_key: header_safe(secret, SECRET_ACCESS_KEY)?,
            session_token: set(SESSION_TOKEN)
                .map(|token| header_safe(token, SESSION_TOKEN))
                .transpose()?,
            expires_at: None,
            role_arn: None,
            role_name: None,
            source: CredentialSource::Environment,
            elapsed: Duration::ZERO,
        }),
        (Some(_), None) => incomplete(ACCESS_KEY_ID, SECRET_ACCESS_KEY),
        (None, Some(_)) => incomplete(SECRET_ACCESS_KEY, ACCESS_KEY_ID),
        (None, None) => Err(AgentFailure::new(
            Failure::NoCredentials,
            format_args!(
                "{NOT_SET}, so the task definition has no task role; set taskRoleArn to the task execution role, so that \
                 the probe has the permissions that ECS uses"
            ),
        )),
    }
}

/// Returns `value` if it is valid in a header.
fn header_safe(value: String, name: &str) -> Result<SecretString, AgentFailure> {
    if value.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(value.into())
    } else {
        Err(wrong_form(format_args!(
            "{name} has a space, a line break or another character that is invalid in a credential"
        )))
    }
}

fn wrong_form(what: impl fmt::Display) -> AgentFailure {
    AgentFailure::new(Failure::WrongForm, what)
}

#[cfg(test)]
mod tests;
