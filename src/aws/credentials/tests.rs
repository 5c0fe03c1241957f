use std::time::{Duration, Instant};

use secrecy::ExposeSecret;

use super::*;
use crate::agent::loopback::{self, Misbehavior};

fn env<const N: usize>(pairs: [(&'static str, &str); N]) -> impl Fn(&str) -> Option<String> {
    let pairs = pairs.map(|(name, value)| (name, value.to_owned()));
    move |name| {
        pairs
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.clone())
    }
}

fn credentials_json(expiration: &str) -> String {
    format!(
        r#"{{"RoleArn":"arn:aws:iam::111122223333:role/r","AccessKeyId":"ASIAIOSFODNN7EXAMPLE","SecretAccessKey":"s3cr3t/+",
            "Token":"IQoJ==","Expiration":"{expiration}"}}"#
    )
}

/// Checks the failure and a part of its detail, which must not contain secrets.
#[track_caller]
fn check(result: Result<Credentials, AgentFailure>, failure: Failure, part: &str) {
    let err = result.unwrap_err();
    assert_eq!(err.failure, failure, "{err}");
    assert!(err.detail.contains(part), "{err}");
    assert!(
        !err.detail.contains("uuid") && !err.detail.contains("s3cr3t"),
        "{err}"
    );
}

async fn load_from(status: u16, body: &str) -> Result<Credentials, AgentFailure> {
    let body = body.to_owned();
    let (base, _) = loopback::responds(move |_| (status, body.clone())).await;
    load(&env([(RELATIVE_URI, "/v2/credentials/uuid")]), &base).await
}

#[tokio::test]
async fn relative_uri_takes_precedence_over_keys_and_the_full_uri() {
    let (base, requests) =
        loopback::responds(|_| (200, credentials_json("2999-01-01T00:00:00Z"))).await;
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
        credentials
            .role_arn
            .as_ref()
            .map(ToString::to_string)
            .as_deref(),
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
    let requests = requests.lock().unwrap();
    assert!(
        requests[0].starts_with("GET /v2/credentials/uuid HTTP/1.1\r\n"),
        "{requests:?}"
    );
    assert!(
        requests[0].contains("accept: application/json\r\n")
            && !requests[0].contains("authorization"),
        "{requests:?}"
    );
}

#[tokio::test]
async fn full_uri_is_requested_with_the_token_of_the_file_or_else_of_the_variable() {
    let (base, requests) = loopback::responds(|_| (200, credentials_json(""))).await;
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
        "cannot read",
    );
    let requests = requests.lock().unwrap().clone();
    assert!(
        requests[0].starts_with("GET /creds?x=1 ")
            && requests[0].contains("authorization: of-the-variable\r\n"),
        "{requests:?}"
    );
    assert!(
        requests[1].contains("authorization: Bearer of-the-file\r\n"),
        "{requests:?}"
    );

    let trap = env([(FULL_URI, &uri), (TOKEN, "s3cr3t\r\nX-Evil: 1")]);
    check(
        load(&trap, "unused").await,
        Failure::WrongForm,
        "line break",
    );
}

#[tokio::test]
async fn plain_http_is_allowed_only_to_this_host_and_the_agents() {
    for uri in [
        "http://192.0.2.1/",
        "http://169.254.169.254/latest",
        "http://[2001:db8::1]:80/",
        "http://169.254.170.3",
    ] {
        check(
            load(&env([(FULL_URI, uri)]), "unused").await,
            Failure::WrongForm,
            "is not allowed over http",
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
async fn https_verifies_the_certificate() {
    let uri = loopback::self_signed().await;
    check(
        load(&env([(FULL_URI, &uri)]), "unused").await,
        Failure::UnknownIssuer,
        "localhost",
    );
}

#[tokio::test]
async fn keys_of_the_environment_are_used_without_an_endpoint() {
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
        ("AKID", CredentialSource::Environment)
    );
    assert!(credentials.session_token.is_none());

    check(
        load(&env([]), "unused").await,
        Failure::NoCredentials,
        "taskRoleArn",
    );
    let incomplete = load(&env([(ACCESS_KEY_ID, "AKID")]), "unused").await;
    check(
        incomplete,
        Failure::NoCredentials,
        "AWS_SECRET_ACCESS_KEY is not",
    );
    let incomplete = load(&env([(SECRET_ACCESS_KEY, "s3cr3t")]), "unused").await;
    check(
        incomplete,
        Failure::NoCredentials,
        "AWS_ACCESS_KEY_ID is not",
    );
    let broken = load(
        &env([(ACCESS_KEY_ID, "AK ID"), (SECRET_ACCESS_KEY, "s3cr3t")]),
        "unused",
    )
    .await;
    check(broken, Failure::WrongForm, "AWS_ACCESS_KEY_ID has a space");
}

#[tokio::test]
async fn each_error_has_a_hint() {
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
            "does not belong to this task",
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
            "returned 500 (InternalServerError)",
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
            "not valid JSON",
        ),
        (
            200,
            r#"{"Token":12345}"#.into(),
            Failure::UnexpectedAnswer,
            "not valid JSON",
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
        (
            200,
            credentials_json("tomorrow"),
            Failure::WrongForm,
            "invalid Expiration",
        ),
        (
            200,
            credentials_json("2001-01-01T00:00:00Z"),
            Failure::ExpiredToken,
            "2001-01-01T00:00:00Z",
        ),
    ] {
        check(load_from(status, &body).await, failure, part);
    }
}

#[tokio::test]
async fn request_is_retried_for_an_agent_that_is_still_starting_or_limits_requests() {
    for (statuses, attempts) in [([503, 200], 2), ([429, 200], 2), ([503, 503], 3)] {
        let tries = std::sync::atomic::AtomicUsize::new(0);
        let (base, requests) = loopback::responds(move |_| {
            let number = tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            match statuses.get(number) {
                Some(200) | None => (200, credentials_json("")),
                Some(status) => (*status, String::new()),
            }
        })
        .await;
        load(&env([(RELATIVE_URI, "/uuid")]), &base).await.unwrap();
        assert_eq!(requests.lock().unwrap().len(), attempts);
    }
}

/// The SDKs wait for a slow agent.
#[tokio::test]
async fn slow_agent_is_waited_for() {
    let slow = |milliseconds| async move {
        let delay = Duration::from_millis(milliseconds);
        let base = loopback::responds_after(delay, credentials_json("")).await;
        let credentials = load(&env([(RELATIVE_URI, "/uuid")]), &base).await.unwrap();
        assert!(credentials.elapsed >= delay, "{:?}", credentials.elapsed);
    };
    tokio::join!(slow(1_100), slow(1_900), slow(4_000));
}

#[test]
fn credentials_are_expected_in_ecs_or_where_a_source_is_named() {
    assert!(!are_expected(&env([])));
    assert!(!are_expected(&env([
        (ACCESS_KEY_ID, " "),
        ("AWS_PROFILE", "default")
    ])));
    for name in [
        RELATIVE_URI,
        FULL_URI,
        ACCESS_KEY_ID,
        SECRET_ACCESS_KEY,
        "ECS_CONTAINER_METADATA_URI_V4",
    ] {
        assert!(are_expected(&env([(name, "x")])), "{name}");
    }
}

#[tokio::test]
async fn misbehaving_agent_fails_within_the_time_limit() {
    let relative = &env([(RELATIVE_URI, "/uuid")]);
    let fails = |misbehavior, failure| async move {
        let base = loopback::misbehaves(misbehavior).await;
        let started = Instant::now();
        check(load(relative, &base).await, failure, "127.0.0.1");
        // The time limit, and a loaded machine.
        assert!(
            started.elapsed() < Duration::from_secs(8),
            "{failure}: {:?}",
            started.elapsed()
        );
    };
    tokio::join!(
        fails(Misbehavior::Silent, Failure::TimedOut),
        fails(Misbehavior::Trickles, Failure::TimedOut),
        fails(Misbehavior::Closes, Failure::Reset),
        fails(Misbehavior::Floods, Failure::TooLarge),
    );
    check(
        load(relative, &loopback::closed_port().await).await,
        Failure::Refused,
        "only inside a task",
    );
}
