use std::time::{Duration, Instant};

use secrecy::ExposeSecret;

use super::*;
use crate::agent::loopback::{self, Temper};

fn env<const N: usize>(pairs: [(&'static str, &str); N]) -> impl Fn(&str) -> Option<String> {
    let pairs = pairs.map(|(name, value)| (name, value.to_owned()));
    move |name| {
        pairs
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.clone())
    }
}

fn answer(expiration: &str) -> String {
    format!(
        r#"{{"RoleArn":"arn:aws:iam::111122223333:role/r","AccessKeyId":"ASIAIOSFODNN7EXAMPLE","SecretAccessKey":"s3cr3t/+",
            "Token":"IQoJ==","Expiration":"{expiration}"}}"#
    )
}

/// The failure and a part of the detail.
#[track_caller]
fn check(result: Result<Credentials, Unavailable>, failure: Failure, part: &str) {
    let err = result.unwrap_err();
    assert_eq!(err.failure, failure, "{err}");
    assert!(err.detail.contains(part), "{err}");
    assert!(
        !err.detail.contains("uuid") && !err.detail.contains("s3cr3t"),
        "{err}"
    );
}

async fn load_from(status: u16, body: &str) -> Result<Credentials, Unavailable> {
    let body = body.to_owned();
    let (base, _) = loopback::answers(move |_| (status, body.clone())).await;
    load(&env([(RELATIVE_URI, "/v2/credentials/uuid")]), &base).await
}

#[tokio::test]
async fn the_container_endpoint_comes_before_keys_and_the_full_uri() {
    let (base, heard) = loopback::answers(|_| (200, answer("2999-01-01T00:00:00Z"))).await;
    let env = env([
        (RELATIVE_URI, "/v2/credentials/uuid"),
        (FULL_URI, "http://192.0.2.1/"),
        (ACCESS_KEY_ID, "AKIDLEFTOVER"),
        (SECRET_ACCESS_KEY, "left over"),
        ("http_proxy", "http://192.0.2.1:3128"),
    ]);
    let credentials = load(&env, &base).await.unwrap();
    assert_eq!(credentials.secret_access_key.expose_secret(), "s3cr3t/+");
    assert_eq!(
        credentials.session_token.as_ref().unwrap().expose_secret(),
        "IQoJ=="
    );
    assert_eq!(
        credentials.role_arn.as_deref(),
        Some("arn:aws:iam::111122223333:role/r")
    );
    assert_eq!(
        credentials.expires_at,
        Some("2999-01-01T00:00:00Z".parse().unwrap())
    );
    assert_eq!(
        serde_json::to_value(credentials.source).unwrap(),
        "container"
    );
    let shown = format!("{credentials:?}");
    assert!(
        ["ASIA", "s3cr3t", "IQoJ"]
            .iter()
            .all(|secret| !shown.contains(secret)),
        "{shown}"
    );
    let heard = heard.lock().unwrap();
    assert!(
        heard[0].starts_with("GET /v2/credentials/uuid HTTP/1.1\r\n"),
        "{heard:?}"
    );
    assert!(
        heard[0].contains("accept: application/json\r\n") && !heard[0].contains("authorization"),
        "{heard:?}"
    );
}

#[tokio::test]
async fn the_full_uri_is_asked_with_the_token_of_the_file_and_else_of_the_variable() {
    let (base, heard) = loopback::answers(|_| (200, answer(""))).await;
    let port = base.rsplit(':').next().unwrap();
    let file = std::env::temp_dir().join(format!("pullprobe-token-{port}"));
    std::fs::write(&file, "Bearer of-the-file\r\n").unwrap();
    let uri = format!("http://localhost:{port}/creds?x=1");
    load(
        &env([(FULL_URI, &uri), (TOKEN, "of-the-variable\n")]),
        "unused",
    )
    .await
    .unwrap();
    let both = env([
        (FULL_URI, &uri),
        (TOKEN, "of-the-variable"),
        (TOKEN_FILE, file.to_str().unwrap()),
    ]);
    load(&both, "unused").await.unwrap();
    std::fs::remove_file(&file).unwrap();
    check(
        load(&both, "unused").await,
        Failure::NoCredentials,
        "cannot be read",
    );
    let heard = heard.lock().unwrap().clone();
    assert!(
        heard[0].starts_with("GET /creds?x=1 ")
            && heard[0].contains("authorization: of-the-variable\r\n"),
        "{heard:?}"
    );
    assert!(
        heard[1].contains("authorization: Bearer of-the-file\r\n"),
        "{heard:?}"
    );

    let trap = env([(FULL_URI, &uri), (TOKEN, "s3cr3t\r\nX-Evil: 1")]);
    check(
        load(&trap, "unused").await,
        Failure::WrongForm,
        "line break",
    );
}

#[tokio::test]
async fn plain_http_goes_to_this_host_and_the_agents_only() {
    for uri in [
        "http://192.0.2.1/",
        "http://169.254.169.254/latest",
        "http://[2001:db8::1]:80/",
        "http://169.254.170.3",
    ] {
        check(
            load(&env([(FULL_URI, uri)]), "unused").await,
            Failure::WrongForm,
            "may not be asked over http",
        );
    }
    for address in [
        "127.9.9.9",
        "::1",
        "169.254.170.2",
        "169.254.170.23",
        "fd00:ec2::23",
    ] {
        assert!(is_agent(address.parse().unwrap()), "{address}");
    }
    for (variable, value) in [
        (FULL_URI, "ftp://127.0.0.1/"),
        (FULL_URI, "not a uri"),
        (FULL_URI, "/path"),
        (RELATIVE_URI, "@192.0.2.1/"),
    ] {
        check(
            load(&env([(variable, value)]), CONTAINER_ENDPOINT).await,
            Failure::WrongForm,
            variable,
        );
    }
}

#[cfg(feature = "demo")]
#[tokio::test]
async fn https_is_asked_over_tls_and_holds_the_certificate_against_the_roots() {
    let uri = loopback::self_signed().await;
    check(
        load(&env([(FULL_URI, &uri)]), "unused").await,
        Failure::UnknownIssuer,
        "localhost",
    );
}

#[tokio::test]
async fn without_an_endpoint_the_environments_keys_count() {
    let keys = env([
        (ACCESS_KEY_ID, " AKID \n"),
        (SECRET_ACCESS_KEY, "s3cr3t"),
        (SESSION_TOKEN, ""),
        (RELATIVE_URI, ""),
    ]);
    let credentials = load(&keys, "unused").await.unwrap();
    assert_eq!(
        (
            credentials.access_key_id.expose_secret(),
            credentials.source
        ),
        ("AKID", Source::Environment)
    );
    assert!(credentials.session_token.is_none());

    check(
        load(&env([]), "unused").await,
        Failure::NoCredentials,
        "taskRoleArn",
    );
    let half = load(&env([(ACCESS_KEY_ID, "AKID")]), "unused").await;
    check(half, Failure::NoCredentials, "AWS_SECRET_ACCESS_KEY is not");
    let half = load(&env([(SECRET_ACCESS_KEY, "s3cr3t")]), "unused").await;
    check(half, Failure::NoCredentials, "AWS_ACCESS_KEY_ID is not");
    let broken = load(
        &env([(ACCESS_KEY_ID, "AK ID"), (SECRET_ACCESS_KEY, "s3cr3t")]),
        "unused",
    )
    .await;
    check(broken, Failure::WrongForm, "AWS_ACCESS_KEY_ID has a blank");
}

#[tokio::test]
async fn each_refusal_says_what_to_do() {
    let error = |code: &str, message: &str| {
        format!(r#"{{"code":"{code}","message":"{message}","HTTPErrorCode":400}}"#)
    };
    for (status, body, failure, part) in [
        (
            400,
            error(
                "InvalidIdInRequest",
                "CredentialsV2Request: Credentials not found",
            ),
            Failure::NotFound,
            "not this task's",
        ),
        (
            503,
            error("CredentialsUninitialized", "uninitialized"),
            Failure::ServiceFailure,
            "try again",
        ),
        (
            500,
            error("InternalServerError", ""),
            Failure::ServiceFailure,
            "answers 500 (InternalServerError)",
        ),
        (
            401,
            String::new(),
            Failure::Unauthenticated,
            "authorization token",
        ),
        (
            302,
            String::new(),
            Failure::UnexpectedAnswer,
            "does not redirect",
        ),
        (
            200,
            "<html>".into(),
            Failure::UnexpectedAnswer,
            "not with the JSON",
        ),
        (
            200,
            r#"{"Token":12345}"#.into(),
            Failure::UnexpectedAnswer,
            "not with the JSON",
        ),
        (200, "{}".into(), Failure::WrongForm, "without AccessKeyId"),
        (
            200,
            r#"{"AccessKeyId":"a","SecretAccessKey":"s3cr3t"}"#.into(),
            Failure::WrongForm,
            "without Token",
        ),
        (
            200,
            r#"{"AccessKeyId":"a\nb","SecretAccessKey":"s","Token":"t"}"#.into(),
            Failure::WrongForm,
            "line break",
        ),
        (200, answer("tomorrow"), Failure::WrongForm, "no time"),
        (
            200,
            answer("2001-01-01T00:00:00Z"),
            Failure::ExpiredToken,
            "2001-01-01T00:00:00Z",
        ),
    ] {
        check(load_from(status, &body).await, failure, part);
    }
}

#[tokio::test]
async fn a_second_try_helps_an_agent_that_is_still_starting() {
    let tries = std::sync::atomic::AtomicU32::new(0);
    let (base, heard) = loopback::answers(move |_| {
        match tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => (503, String::new()),
            _ => (200, answer("")),
        }
    })
    .await;
    load(&env([(RELATIVE_URI, "/uuid")]), &base).await.unwrap();
    assert_eq!(heard.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn nothing_an_agent_does_costs_more_than_two_seconds() {
    let relative = env([(RELATIVE_URI, "/uuid")]);
    for (temper, failure) in [
        (Temper::Silent, Failure::TimedOut),
        (Temper::Trickles, Failure::TimedOut),
        (Temper::HangsUp, Failure::Reset),
        (Temper::Floods, Failure::TooLarge),
    ] {
        let base = loopback::misbehaves(temper).await;
        let started = Instant::now();
        check(load(&relative, &base).await, failure, "127.0.0.1");
        assert!(
            started.elapsed() < Duration::from_millis(2_300),
            "{failure}: {:?}",
            started.elapsed()
        );
    }
    check(
        load(&relative, &loopback::nobody().await).await,
        Failure::Refused,
        "only inside a task",
    );
}
