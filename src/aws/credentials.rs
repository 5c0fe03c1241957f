//! Whom the probe acts as: the task role's credentials, or the environment's keys.
//!
//! The rules are those of the AWS SDKs (aws-sdk-go-v2, `config/resolve_credentials.go`) but for
//! one: where a container endpoint is named it comes first and is the last word. In a task, keys in
//! the environment are more often a leftover than an intention, and the roles under test are those
//! that ECS gives.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::header::HeaderValue;
use hyper::{StatusCode, Uri};
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::agent::Ask;
pub use crate::agent::Unavailable;
use crate::aws::error_response::{self, ErrorResponse};
use crate::observation::Failure;

/// Where ECS serves credentials: the base to which `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` is
/// relative.
pub const CONTAINER_ENDPOINT: &str = "http://169.254.170.2";

const RELATIVE_URI: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";

/// Something to sign requests with. `Debug` shows none of the secrets.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Public in principle, but nobody needs it in a report.
    pub access_key_id: SecretString,
    /// Never leaves the process.
    pub secret_access_key: SecretString,
    /// Goes with temporary credentials.
    pub session_token: Option<SecretString>,
    /// When they end; `None` where the source does not say.
    pub expires_at: Option<Timestamp>,
    /// Whose they are, as the container endpoint says.
    pub role_arn: Option<String>,
    /// Where they come from.
    pub source: Source,
}

/// Where credentials come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The container credentials endpoint.
    Container,
    /// `AWS_ACCESS_KEY_ID` and its kin.
    Environment,
}

/// Load credentials as `env` says, asking the container endpoint at `container` (outside tests
/// [`CONTAINER_ENDPOINT`]) if `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` is set, or whatever
/// `AWS_CONTAINER_CREDENTIALS_FULL_URI` names; else from the environment's keys. Takes at most two
/// seconds.
pub async fn load(
    env: &impl Fn(&str) -> Option<String>,
    container: &str,
) -> Result<Credentials, Unavailable> {
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
    // `container` is the caller's word; only what the environment names needs to be held against
    // the list.
    let permits = if variable == FULL_URI {
        is_agent
    } else {
        |_: IpAddr| true
    };
    from_container(&Ask {
        uri: &uri,
        authorization: authorization(&set)?,
        permits,
    })
    .await
}

/// Who may be asked over plain HTTP: this host, or the agents of ECS and EKS.
fn is_agent(address: IpAddr) -> bool {
    const ECS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2));
    const EKS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23));
    const EKS_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23));
    address.is_loopback() || matches!(address, ECS | EKS | EKS_V6)
}

/// The `Authorization` header, read anew each time: whoever writes the file rotates it.
fn authorization(
    set: &impl Fn(&str) -> Option<String>,
) -> Result<Option<HeaderValue>, Unavailable> {
    let (variable, token) = if let Some(path) = set(TOKEN_FILE) {
        let token = std::fs::read_to_string(&path).map_err(|err| {
            let what = format_args!(
                "{TOKEN_FILE} names {path}, which cannot be read: {err}; mount it, or unset it"
            );
            Unavailable::new(Failure::NoCredentials, what)
        })?;
        // An editor's line break at the end is no part of it.
        (TOKEN_FILE, token.trim().to_owned())
    } else if let Some(token) = set(TOKEN) {
        (TOKEN, token)
    } else {
        return Ok(None);
    };
    let mut value = HeaderValue::try_from(token).map_err(|_| {
        wrong_form(format_args!(
            "the token of {variable} has a line break or another character that no header can carry"
        ))
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// What the endpoint answers. Everything optional, so that what is missing can be named.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    role_arn: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    token: Option<String>,
    expiration: Option<String>,
}

async fn from_container(ask: &Ask<'_>) -> Result<Credentials, Unavailable> {
    let answer = ask.get().await.map_err(|err| {
        let hint = match err.failure {
            Failure::TimedOut | Failure::Refused | Failure::Reset | Failure::Unreachable => {
                "; the container credentials endpoint exists only inside a task"
            }
            _ => "",
        };
        Unavailable::new(err.failure, format_args!("{err}{hint}"))
    })?;
    if answer.status() != StatusCode::OK {
        return Err(refused(
            ask,
            answer.status(),
            &error_response::read(answer.status().as_u16(), answer.headers(), answer.body()),
        ));
    }
    // The parser's own message may quote a value.
    let answer: Answer = serde_json::from_slice(answer.body()).map_err(|_| {
        ask.unavailable(
            Failure::UnexpectedAnswer,
            "answers, but not with the JSON of credentials",
        )
    })?;
    let present = |value: Option<String>, name: &str| {
        let missing =
            || ask.unavailable(Failure::WrongForm, format_args!("answers without {name}"));
        value
            .filter(|value| !value.trim().is_empty())
            .ok_or_else(missing)
    };
    let expires_at = answer
        .expiration
        .filter(|text| !text.is_empty())
        .map(|text| {
            text.parse::<Timestamp>().map_err(|_| {
                ask.unavailable(
                    Failure::WrongForm,
                    "answers with an Expiration that is no time",
                )
            })
        });
    let credentials = Credentials {
        access_key_id: usable(present(answer.access_key_id, "AccessKeyId")?, "AccessKeyId")?,
        secret_access_key: usable(
            present(answer.secret_access_key, "SecretAccessKey")?,
            "SecretAccessKey",
        )?,
        session_token: Some(usable(present(answer.token, "Token")?, "Token")?),
        expires_at: expires_at.transpose()?,
        role_arn: answer.role_arn.filter(|arn| !arn.is_empty()),
        source: Source::Container,
    };
    match credentials.expires_at {
        Some(end) if end <= Timestamp::now() => Err(ask.unavailable(
            Failure::ExpiredToken,
            format_args!("gives credentials that ended at {end}; this machine's clock is ahead, or the agent has lost touch with ECS"),
        )),
        _ => Ok(credentials),
    }
}

/// Known errors: amazon-ecs-agent, `tmds/handlers/v1/credentials_handler.go`.
fn refused(ask: &Ask<'_>, status: StatusCode, refusal: &ErrorResponse) -> Unavailable {
    let (failure, hint) = match (&*refusal.code, status.as_u16()) {
        ("InvalidIdInRequest" | "NoIdInRequest", _) => (
            Failure::NotFound,
            "the path is not this task's; leave the variable to ECS",
        ),
        ("CredentialsUninitialized", _) => (
            Failure::ServiceFailure,
            "the agent has no credentials for this task yet; try again",
        ),
        (_, 401 | 403) => (Failure::Unauthenticated, "check the authorization token"),
        (_, 300..=399) => (
            Failure::UnexpectedAnswer,
            "an agent does not redirect; check the variable",
        ),
        _ => (refusal.failure, "it is not the agent, or not well"),
    };
    let words = [&*refusal.code, &*refusal.message].join(" ");
    let said = if words.trim().is_empty() {
        String::new()
    } else {
        format!(" ({})", words.trim())
    };
    ask.unavailable(
        failure,
        format_args!("answers {}{said}: {hint}", status.as_u16()),
    )
}

fn from_environment(set: &impl Fn(&str) -> Option<String>) -> Result<Credentials, Unavailable> {
    let half = |has: &str, lacks: &str| {
        Err(Unavailable::new(
            Failure::NoCredentials,
            format_args!("{has} is set and {lacks} is not; set both or neither"),
        ))
    };
    match (set(ACCESS_KEY_ID), set(SECRET_ACCESS_KEY)) {
        (Some(id), Some(secret)) => Ok(Credentials {
            access_key_id: usable(id, ACCESS_KEY_ID)?,
            secret_access_key: usable(secret, SECRET_ACCESS_KEY)?,
            session_token: set(SESSION_TOKEN)
                .map(|token| usable(token, SESSION_TOKEN))
                .transpose()?,
            expires_at: None,
            role_arn: None,
            source: Source::Environment,
        }),
        (Some(_), None) => half(ACCESS_KEY_ID, SECRET_ACCESS_KEY),
        (None, Some(_)) => half(SECRET_ACCESS_KEY, ACCESS_KEY_ID),
        (None, None) => Err(Unavailable::new(
            Failure::NoCredentials,
            format_args!(
                "neither {RELATIVE_URI} nor {ACCESS_KEY_ID} is set: the task definition names no task role; name the \
                 execution role as taskRoleArn, so that the probe asks as ECS would"
            ),
        )),
    }
}

/// A value that can be sent in a header.
fn usable(value: String, name: &str) -> Result<SecretString, Unavailable> {
    if value.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(value.into())
    } else {
        Err(wrong_form(format_args!(
            "{name} has a blank, a line break or another character that no key has"
        )))
    }
}

fn wrong_form(what: impl fmt::Display) -> Unavailable {
    Unavailable::new(Failure::WrongForm, what)
}

#[cfg(test)]
mod tests;
