//! The embedded AWS without the probe: what a client of each protocol sees.

use std::net::Ipv4Addr;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{HOST, LOCATION};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::demo::fault::Fault;
use crate::demo::names::{IMAGE, LOG_GROUP, REPOSITORY, TAG};
use crate::demo::path::PathState;
use crate::demo::scenario::{Operation, ResponseDelay};
use crate::demo::service_error::ServiceError;
use crate::demo::signature::{VALID, tests::signed};
use crate::demo::{ecr, image};

fn address(aws: &EmbeddedAws, service: Dependency) -> Ipv4Addr {
    aws.state.scenario.hosts[&service].addresses[0].ip
}

async fn handshake(
    aws: &EmbeddedAws,
    service: Dependency,
) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(Arc::clone(&aws.roots))
        .with_no_client_auth();
    let stream = TcpStream::connect((address(aws, service), aws.port)).await?;
    let name = ServerName::try_from(host_name(service)).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

async fn send(
    aws: &EmbeddedAws,
    service: Dependency,
    mut request: Request<Full<Bytes>>,
) -> Response<Bytes> {
    let stream = handshake(aws, service).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    request
        .headers_mut()
        .insert(HOST, host_name(service).parse().unwrap());
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

async fn call(
    aws: &EmbeddedAws,
    service: Dependency,
    signer: &str,
    target: &str,
    body: &Value,
) -> (StatusCode, Value) {
    let mut request = Request::post("/").body(body.to_string().into()).unwrap();
    *request.headers_mut() = signed(VALID, signer, Timestamp::now());
    request
        .headers_mut()
        .insert("x-amz-target", target.parse().unwrap());
    let answer = send(aws, service, request).await;
    (
        answer.status(),
        serde_json::from_slice(answer.body()).unwrap(),
    )
}

async fn token(aws: &EmbeddedAws) -> (StatusCode, Value) {
    let target = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
    call(aws, Dependency::EcrApi, "ecr", target, &json!({})).await
}

async fn get(
    aws: &EmbeddedAws,
    service: Dependency,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Response<Bytes> {
    let mut request = Request::get(path).body(Full::default()).unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    send(aws, service, request).await
}

/// As a puller does: token, index, manifest, redirect, bytes.
#[tokio::test]
async fn image_can_be_pulled() {
    let aws = EmbeddedAws::start(Scenario::healthy()).unwrap();
    let (status, body) = token(&aws).await;
    assert_eq!(status, StatusCode::OK);
    let basic = format!(
        "Basic {}",
        body["authorizationData"][0]["authorizationToken"]
            .as_str()
            .unwrap()
    );
    let login = [("authorization", basic.as_str())];

    let index = get(
        &aws,
        Dependency::EcrDkr,
        &format!("/v2/{REPOSITORY}/manifests/{TAG}"),
        &login,
    )
    .await;
    assert_eq!(
        index.headers()["docker-content-digest"],
        image::digest(index.body())
    );
    let index: Value = serde_json::from_slice(index.body()).unwrap();
    let child = index["manifests"][0]["digest"].as_str().unwrap();
    let manifest = get(
        &aws,
        Dependency::EcrDkr,
        &format!("/v2/{REPOSITORY}/manifests/{child}"),
        &login,
    )
    .await;
    let manifest: Value = serde_json::from_slice(manifest.body()).unwrap();
    let layer = manifest["layers"][1]["digest"].as_str().unwrap();

    let redirect = get(
        &aws,
        Dependency::EcrDkr,
        &format!("/v2/{REPOSITORY}/blobs/{layer}"),
        &login,
    )
    .await;
    assert_eq!(redirect.status(), StatusCode::TEMPORARY_REDIRECT);
    let location: hyper::Uri = redirect.headers()[LOCATION]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(
        location.authority().unwrap().as_str(),
        format!("{}:{}", host_name(Dependency::S3), aws.port)
    );
    let path = location.path_and_query().unwrap().as_str();

    let whole = get(&aws, Dependency::S3, path, &[]).await;
    assert_eq!(image::digest(whole.body()), layer);
    let part = get(&aws, Dependency::S3, path, &[("range", "bytes=1000-1999")]).await;
    assert_eq!(
        (part.status(), part.body().len()),
        (StatusCode::PARTIAL_CONTENT, 1000)
    );
    assert_eq!(
        part.headers()["content-range"],
        format!("bytes 1000-1999/{}", whole.body().len())
    );
    let twice = get(&aws, Dependency::S3, path, &login).await;
    assert_eq!(twice.status(), StatusCode::BAD_REQUEST);
    assert!(String::from_utf8_lossy(twice.body()).contains("<Code>InvalidArgument</Code>"));
    let unsigned = get(&aws, Dependency::S3, location.path(), &[]).await;
    assert_eq!(unsigned.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn registry_requires_its_token_and_reports_unknown_objects() {
    let aws = EmbeddedAws::start(Scenario::healthy()).unwrap();
    let anonymous = get(&aws, Dependency::EcrDkr, "/v2/", &[]).await;
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(anonymous.body(), "Not Authorized\n");
    assert_eq!(
        anonymous.headers()["www-authenticate"],
        "Basic realm=\"https://123456789012.dkr.ecr.us-east-1.amazonaws.com/\",service=\"ecr.amazonaws.com\""
    );
    let basic = format!("Basic {}", ecr::token());
    for (path, code) in [
        ("/v2/team/other/manifests/1.4", "NAME_UNKNOWN"),
        ("/v2/team/app/manifests/1.5", "MANIFEST_UNKNOWN"),
        ("/v2/team/app/blobs/sha256:00", "BLOB_UNKNOWN"),
    ] {
        let answer = get(&aws, Dependency::EcrDkr, path, &[("authorization", &basic)]).await;
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(
            (answer.status(), body["errors"][0]["code"].as_str()),
            (StatusCode::NOT_FOUND, Some(code))
        );
    }
}

#[tokio::test]
async fn logs_stores_events_up_to_its_limits() {
    let aws = EmbeddedAws::start(Scenario::healthy()).unwrap();
    let stream = json!({ "logGroupName": LOG_GROUP, "logStreamName": "pullprobe/1" });
    let put = |message: String, count: usize| {
        let mut body = stream.clone();
        body["logEvents"] = vec![json!({ "timestamp": 1, "message": message }); count].into();
        body
    };
    let logs = |target: &'static str, body: Value| {
        let aws = &aws;
        async move {
            call(
                aws,
                Dependency::Logs,
                "logs",
                &format!("Logs_20140328.{target}"),
                &body,
            )
            .await
        }
    };
    assert_eq!(
        logs("PutLogEvents", put("early".into(), 1)).await.1["__type"],
        "ResourceNotFoundException"
    );
    assert_eq!(
        logs("CreateLogStream", stream.clone()).await.0,
        StatusCode::OK
    );
    assert_eq!(
        logs("CreateLogStream", stream.clone()).await.1["__type"],
        "ResourceAlreadyExistsException"
    );
    assert_eq!(
        logs("PutLogEvents", put("x".repeat(200_000), 5)).await.0,
        StatusCode::OK
    );
    assert_eq!(
        logs("PutLogEvents", put("x".repeat(200_000), 6)).await.1["__type"],
        "InvalidParameterException"
    );
    assert_eq!(
        logs("PutLogEvents", put("x".repeat(262_144), 1)).await.0,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        aws.log_streams()[&(LOG_GROUP.into(), "pullprobe/1".into())].len(),
        5
    );
}

#[tokio::test]
async fn denial_has_the_message_and_form_of_its_service() {
    let mut scenario = Scenario::healthy();
    let reason = "because no identity-based policy allows the ecr:GetAuthorizationToken action";
    let denial = ServiceError::access_denied("ecr:GetAuthorizationToken", "*", reason);
    scenario
        .denials
        .insert(Operation::GetAuthorizationToken, denial);
    let (status, body) = token(&EmbeddedAws::start(scenario).unwrap()).await;
    assert_eq!(
        (status, &body["__type"]),
        (
            StatusCode::BAD_REQUEST,
            &Value::from("AccessDeniedException")
        )
    );
    assert!(
        body["message"]
            .as_str()
            .unwrap()
            .ends_with(&format!("on resource: * {reason}"))
    );
}

#[tokio::test]
async fn service_with_another_clock_rejects_requests_and_sends_its_date() {
    let clock_ahead = SignedDuration::from_mins(11);
    let aws = EmbeddedAws::start(Scenario {
        clock_ahead,
        ..Scenario::healthy()
    })
    .unwrap();
    assert_eq!(token(&aws).await.1["__type"], "InvalidSignatureException");
    let date = get(&aws, Dependency::S3, "/", &[]).await.headers()["date"]
        .to_str()
        .unwrap()
        .to_owned();
    let date = jiff::fmt::rfc2822::parse(&date).unwrap().timestamp();
    assert!(
        (date.duration_since(Timestamp::now()) - clock_ahead).abs() < SignedDuration::from_secs(5)
    );
}

#[tokio::test]
async fn bad_certificates_fail_the_handshake() {
    for (name, service, expected) in [
        ("tls-intercepted", Dependency::EcrApi, "UnknownIssuer"),
        ("tls-expired", Dependency::S3, "expired"),
        ("tls-wrong-name", Dependency::EcrDkr, "not valid for name"),
    ] {
        let aws = EmbeddedAws::start(Fault::find(name).unwrap().scenario()).unwrap();
        let error = handshake(&aws, service).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
}

#[tokio::test]
async fn each_path_state_fails_the_handshake_in_its_way() {
    let outcome = async |path: PathState| {
        let mut scenario = Scenario::healthy();
        scenario.set_path(path, |service| service == Dependency::EcrApi);
        let aws = EmbeddedAws::start(scenario).unwrap();
        timeout(
            Duration::from_millis(400),
            handshake(&aws, Dependency::EcrApi),
        )
        .await
        .map(|done| done.map_err(|e| e.kind()))
    };
    assert!(matches!(outcome(PathState::Open).await, Ok(Ok(_))));
    assert!(matches!(
        outcome(PathState::Reset).await,
        Ok(Err(std::io::ErrorKind::ConnectionReset))
    ));
    for silent in [
        PathState::Silent,
        PathState::Stalled,
        PathState::LargeSegmentsLost,
    ] {
        assert!(outcome(silent).await.is_err(), "{silent:?}");
    }
}

#[tokio::test]
async fn tunnel_passes_small_segments() {
    let mut scenario = Scenario::healthy();
    scenario.set_path(PathState::LargeSegmentsLost, |service| {
        service == Dependency::EcrApi
    });
    let aws = EmbeddedAws::start(scenario).unwrap();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket2::SockRef::from(&socket)
        .set_tcp_mss(crate::observation::SMALL_MSS)
        .unwrap();
    let peer = (address(&aws, Dependency::EcrApi), aws.port).into();
    let stream = timeout(Duration::from_secs(1), socket.connect(peer))
        .await
        .unwrap()
        .unwrap();
    let mut byte = [0];
    stream.try_write(b"not TLS").unwrap();
    let read = timeout(Duration::from_secs(1), async {
        stream.readable().await.unwrap();
        stream.try_read(&mut byte)
    });
    assert!(
        read.await.is_ok(),
        "the server should have answered, if only with an alert"
    );
}

#[tokio::test]
async fn slow_service_responds_late_and_unresponsive_service_never() {
    let mut scenario = Scenario::healthy();
    scenario.host(Dependency::S3).delay = ResponseDelay::Slow;
    scenario.host(Dependency::EcrApi).delay = ResponseDelay::Forever;
    let aws = EmbeddedAws::start(scenario).unwrap();
    for service in [Dependency::S3, Dependency::EcrApi] {
        assert!(
            timeout(Duration::from_millis(400), get(&aws, service, "/", &[]))
                .await
                .is_err(),
            "{service}"
        );
    }
    assert!(
        timeout(Duration::from_secs(10), get(&aws, Dependency::S3, "/", &[]))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn agent_serves_metadata_and_credentials() {
    let aws = EmbeddedAws::start(Scenario::healthy()).unwrap();
    let read = async |variable: &str| {
        let url: hyper::Uri = aws.variables[variable].parse().unwrap();
        let stream = TcpStream::connect(url.authority().unwrap().as_str())
            .await
            .unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = Request::get(url.path())
            .body(Full::<Bytes>::default())
            .unwrap();
        let body = sender
            .send_request(request)
            .await
            .unwrap()
            .collect()
            .await
            .unwrap()
            .to_bytes();
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    assert_eq!(read("ECS_CONTAINER_METADATA_URI_V4").await["Image"], IMAGE);
    assert_eq!(
        read("AWS_CONTAINER_CREDENTIALS_FULL_URI").await["AccessKeyId"],
        VALID.id
    );
}
