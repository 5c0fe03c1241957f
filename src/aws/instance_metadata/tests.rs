use secrecy::ExposeSecret;

use super::*;
use crate::agent::loopback::{self, Misbehavior};

const ROLE: &str = "ecsInstanceRole";

/// Answers as an instance's metadata service does, with `credentials` as the role's credentials.
fn respond(credentials: &'static str) -> impl Fn(&str) -> (u16, String) + Send + 'static {
    move |path| match path.trim_start_matches("/latest/") {
        "api/token" => (200, "TOKEN==".into()),
        "meta-data/iam/security-credentials/" => (200, ROLE.into()),
        "meta-data/iam/security-credentials/ecsInstanceRole" => (200, credentials.into()),
        "meta-data/placement/region" => (200, "eu-west-1".into()),
        "meta-data/placement/availability-zone" => (200, "eu-west-1b".into()),
        "meta-data/mac" => (200, "02:29:96:8f:6a:2d".into()),
        "meta-data/local-ipv4" => (200, "10.0.3.7".into()),
        "meta-data/network/interfaces/macs/02:29:96:8f:6a:2d/subnet-ipv4-cidr-block" => {
            (200, "10.0.3.0/24".into())
        }
        _ => (404, String::new()),
    }
}

const CREDENTIALS: &str = r#"{"Code":"Success","LastUpdated":"2026-11-27T10:00:00Z","Type":"AWS-HMAC",
    "AccessKeyId":"ASIAIOSFODNN7EXAMPLE","SecretAccessKey":"s3cr3t/+","Token":"IQoJ==",
    "Expiration":"2999-01-01T00:00:00Z"}"#;

fn at(base: &str) -> impl Fn(&str) -> Option<String> {
    let base = base.to_owned();
    move |name| (name == ENDPOINT_VARIABLE).then(|| base.clone())
}

async fn credentials_at(base: &str) -> Result<Credentials, AgentFailure> {
    InstanceMetadata::open(&at(base)).await?.credentials().await
}

#[tokio::test]
async fn role_and_credentials_are_read_with_a_token() {
    let (base, requests) = loopback::responds(respond(CREDENTIALS)).await;
    let credentials = credentials_at(&base).await.unwrap();
    assert_eq!(credentials.secret_access_key.expose_secret(), "s3cr3t/+");
    assert_eq!(credentials.source, CredentialSource::InstanceProfile);
    assert_eq!(credentials.role_name.as_deref(), Some(ROLE));
    let requests = requests.lock().unwrap();
    let [token, role, keys] = requests.as_slice() else {
        panic!("{requests:?}")
    };
    assert!(token.starts_with("PUT /latest/api/token ") && token.contains(TOKEN_TTL.as_str()));
    for request in [role, keys] {
        assert!(
            request.starts_with("GET ") && request.contains("TOKEN=="),
            "{request}"
        );
    }
}

#[tokio::test]
async fn location_is_that_of_the_primary_interface() {
    let (base, _) = loopback::responds(respond("")).await;
    assert_eq!(
        locate(&at(&base)).await,
        Some(InstanceLocation {
            region: Some("eu-west-1".into()),
            zone: Some("eu-west-1b".into()),
            interface: Some(([10, 0, 3, 7].into(), "10.0.3.0/24".parse().unwrap())),
        })
    );
}

#[tokio::test]
async fn errors_name_what_is_missing_and_its_remedy() {
    let failed = |result: Result<Credentials, AgentFailure>| result.unwrap_err();
    let (base, _) = loopback::responds(|path| match path {
        "/latest/api/token" => (200, "TOKEN".into()),
        _ => (404, String::new()),
    })
    .await;
    let no_profile = failed(credentials_at(&base).await);
    assert_eq!(no_profile.failure, Failure::NoCredentials);
    assert!(no_profile.detail.contains("associate-iam-instance-profile"));

    // Only 404 or an empty list shows that there is no profile.
    for (status, list, is_no_profile) in [(200, "", true), (500, "", false), (403, "", false)] {
        let (base, _) = loopback::responds(move |path| match path {
            "/latest/api/token" => (200, "TOKEN".into()),
            _ => (status, list.into()),
        })
        .await;
        let error = failed(credentials_at(&base).await);
        let says_so = error.failure == Failure::NoCredentials;
        assert_eq!(says_so, is_no_profile, "{status} {error}");
    }

    let (base, _) = loopback::responds(respond(r#"{"Code":"AssumeRoleUnauthorizedAccess"}"#)).await;
    let no_trust = failed(credentials_at(&base).await);
    assert_eq!(no_trust.failure, Failure::NoCredentials);
    assert!(no_trust.detail.contains("trust policy"), "{no_trust}");

    let (base, _) = loopback::responds(|_| (403, String::new())).await;
    let disabled = failed(credentials_at(&base).await);
    assert!(disabled.detail.contains("disabled"), "{disabled}");
}

#[tokio::test]
async fn silence_times_out_after_a_second_and_names_the_hop_limit() {
    let base = loopback::misbehaves(Misbehavior::Silent).await;
    let started = Instant::now();
    let silent = credentials_at(&base).await.unwrap_err();
    assert_eq!(silent.failure, Failure::TimedOut);
    assert!(silent.detail.contains("hop-limit"), "{silent}");
    assert!(started.elapsed() < Duration::from_secs(2));
}

const IN_ECS: (&str, &str) = ("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/1");
const ELSEWHERE: (&str, &str) = (ENDPOINT_VARIABLE, "http://127.0.0.1:1");

#[test]
fn metadata_is_expected_on_instances_only() {
    let expected = |pairs: &'static [(&str, &str)]| {
        is_expected(&move |name: &str| {
            let known = pairs.iter().find(|(known, _)| *known == name);
            known.map(|(_, value)| (*value).to_owned())
        })
    };
    assert!(expected(&[ELSEWHERE]));
    assert!(!expected(&[ELSEWHERE, (DISABLED_VARIABLE, "TRUE")]));
    assert!(!expected(&[ELSEWHERE, IN_ECS]));
    for (capacity, on_instance) in [
        ("AWS_ECS_EC2", true),
        ("AWS_ECS_MANAGED_INSTANCES", true),
        ("AWS_ECS_FARGATE", false),
        ("AWS_Lambda_provided.al2023", false),
    ] {
        let pairs: &'static [_] = Box::leak(Box::new([IN_ECS, (EXECUTION_VARIABLE, capacity)]));
        assert_eq!(expected(pairs), on_instance, "{capacity}");
    }
}
