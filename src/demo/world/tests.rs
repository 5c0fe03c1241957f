//! The world without the probe: what a client of each protocol sees.

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
use crate::demo::scenario::{IMAGE, LOG_GROUP, Operation, Pace, REPOSITORY, TAG, host};
use crate::demo::signature::{VALID, tests::signed};
use crate::demo::{fault::Fault, image, refusal::Refusal};

fn address(world: &World, service: Dependency) -> Ipv4Addr {
    world.cloud.setting.sites[&service].addresses[0].0
}

async fn handshake(world: &World, service: Dependency) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(Arc::clone(&world.roots))
        .with_no_client_auth();
    let stream = TcpStream::connect((address(world, service), world.port)).await?;
    let name = ServerName::try_from(host(service)).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

async fn ask(
    world: &World,
    service: Dependency,
    mut request: Request<Full<Bytes>>,
) -> Response<Bytes> {
    let stream = handshake(world, service).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    request
        .headers_mut()
        .insert(HOST, host(service).parse().unwrap());
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

async fn call(
    world: &World,
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
    let answer = ask(world, service, request).await;
    (
        answer.status(),
        serde_json::from_slice(answer.body()).unwrap(),
    )
}

async fn token(world: &World) -> (StatusCode, Value) {
    let target = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
    call(world, Dependency::EcrApi, "ecr", target, &json!({})).await
}

async fn get(
    world: &World,
    service: Dependency,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Response<Bytes> {
    let mut request = Request::get(path).body(Full::default()).unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    ask(world, service, request).await
}

/// What a puller does: token, index, manifest, redirect, bytes.
#[tokio::test]
async fn an_image_can_be_pulled() {
    let world = World::start(Scenario::healthy()).unwrap();
    let (status, body) = token(&world).await;
    assert_eq!(status, StatusCode::OK);
    let basic = format!(
        "Basic {}",
        body["authorizationData"][0]["authorizationToken"]
            .as_str()
            .unwrap()
    );
    let login = [("authorization", basic.as_str())];

    let index = get(
        &world,
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
        &world,
        Dependency::EcrDkr,
        &format!("/v2/{REPOSITORY}/manifests/{child}"),
        &login,
    )
    .await;
    let manifest: Value = serde_json::from_slice(manifest.body()).unwrap();
    let layer = manifest["layers"][1]["digest"].as_str().unwrap();

    let redirect = get(
        &world,
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
        format!("{}:{}", host(Dependency::S3), world.port)
    );
    let path = location.path_and_query().unwrap().as_str();

    let whole = get(&world, Dependency::S3, path, &[]).await;
    assert_eq!(image::digest(whole.body()), layer);
    let part = get(
        &world,
        Dependency::S3,
        path,
        &[("range", "bytes=1000-1999")],
    )
    .await;
    assert_eq!(
        (part.status(), part.body().len()),
        (StatusCode::PARTIAL_CONTENT, 1000)
    );
    assert_eq!(
        part.headers()["content-range"],
        format!("bytes 1000-1999/{}", whole.body().len())
    );
    let twice = get(&world, Dependency::S3, path, &login).await;
    assert_eq!(twice.status(), StatusCode::BAD_REQUEST);
    assert!(String::from_utf8_lossy(twice.body()).contains("<Code>InvalidArgument</Code>"));
    let unsigned = get(&world, Dependency::S3, location.path(), &[]).await;
    assert_eq!(unsigned.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_registry_wants_its_token_and_knows_what_it_has() {
    let world = World::start(Scenario::healthy()).unwrap();
    let stranger = get(&world, Dependency::EcrDkr, "/v2/", &[]).await;
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(stranger.body(), "Not Authorized\n");
    assert_eq!(
        stranger.headers()["www-authenticate"],
        "Basic realm=\"https://123456789012.dkr.ecr.us-east-1.amazonaws.com/\",service=\"ecr.amazonaws.com\""
    );
    let basic = format!("Basic {}", super::super::ecr::token());
    for (path, code) in [
        ("/v2/team/other/manifests/1.4", "NAME_UNKNOWN"),
        ("/v2/team/app/manifests/1.5", "MANIFEST_UNKNOWN"),
        ("/v2/team/app/blobs/sha256:00", "BLOB_UNKNOWN"),
    ] {
        let answer = get(
            &world,
            Dependency::EcrDkr,
            path,
            &[("authorization", &basic)],
        )
        .await;
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(
            (answer.status(), body["errors"][0]["code"].as_str()),
            (StatusCode::NOT_FOUND, Some(code))
        );
    }
}

#[tokio::test]
async fn logs_keep_what_they_are_given_up_to_their_limits() {
    let world = World::start(Scenario::healthy()).unwrap();
    let stream = json!({ "logGroupName": LOG_GROUP, "logStreamName": "pullprobe/1" });
    let put = |message: String, count: usize| {
        let mut body = stream.clone();
        body["logEvents"] = vec![json!({ "timestamp": 1, "message": message }); count].into();
        body
    };
    let logs = |target: &'static str, body: Value| {
        let world = &world;
        async move {
            call(
                world,
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
        world.log_streams()[&(LOG_GROUP.into(), "pullprobe/1".into())].len(),
        5
    );
}

#[tokio::test]
async fn a_refusal_is_in_the_words_of_its_service() {
    let mut aws = Scenario::healthy();
    let reason = "because no identity-based policy allows the ecr:GetAuthorizationToken action";
    let refusal = Refusal::access("ecr:GetAuthorizationToken", "*", reason);
    aws.refusals
        .insert(Operation::GetAuthorizationToken, refusal);
    let (status, body) = token(&World::start(aws).unwrap()).await;
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
async fn a_service_ahead_of_its_client_refuses_and_shows_its_own_date() {
    let clock_ahead = SignedDuration::from_mins(11);
    let world = World::start(Scenario {
        clock_ahead,
        ..Scenario::healthy()
    })
    .unwrap();
    assert_eq!(token(&world).await.1["__type"], "InvalidSignatureException");
    let date = get(&world, Dependency::S3, "/", &[]).await.headers()["date"]
        .to_str()
        .unwrap()
        .to_owned();
    let date = jiff::fmt::rfc2822::parse(&date).unwrap().timestamp();
    assert!(
        (date.duration_since(Timestamp::now()) - clock_ahead).abs() < SignedDuration::from_secs(5)
    );
}

#[tokio::test]
async fn certificates_fail_as_they_should() {
    for (name, service, expected) in [
        ("tls-intercepted", Dependency::EcrApi, "UnknownIssuer"),
        ("tls-expired", Dependency::S3, "expired"),
        ("tls-wrong-name", Dependency::EcrDkr, "not valid for name"),
    ] {
        let world = World::start(Fault::find(name).unwrap().setting()).unwrap();
        let error = handshake(&world, service).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
}

#[tokio::test]
async fn paths_fail_as_they_should() {
    let outcome = async |path: path::Path| {
        let mut aws = Scenario::healthy();
        aws.set_path(path, |service| service == Dependency::EcrApi);
        let world = World::start(aws).unwrap();
        timeout(
            Duration::from_millis(400),
            handshake(&world, Dependency::EcrApi),
        )
        .await
        .map(|done| done.map_err(|e| e.kind()))
    };
    assert!(matches!(outcome(path::Path::Open).await, Ok(Ok(_))));
    assert!(matches!(
        outcome(path::Path::Reset).await,
        Ok(Err(std::io::ErrorKind::ConnectionReset))
    ));
    for silent in [
        path::Path::Silent,
        path::Path::Stalled,
        path::Path::LargeSegmentsLost,
    ] {
        assert!(outcome(silent).await.is_err(), "{silent:?}");
    }
}

#[tokio::test]
async fn a_tunnel_passes_small_segments() {
    let mut aws = Scenario::healthy();
    aws.set_path(path::Path::LargeSegmentsLost, |service| {
        service == Dependency::EcrApi
    });
    let world = World::start(aws).unwrap();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket2::SockRef::from(&socket)
        .set_tcp_mss(crate::observation::SMALL_MSS)
        .unwrap();
    let peer = (address(&world, Dependency::EcrApi), world.port).into();
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
async fn a_late_service_answers_in_the_end_and_a_mute_one_never() {
    let mut aws = Scenario::healthy();
    aws.site(Dependency::S3).pace = Pace::Late;
    aws.site(Dependency::EcrApi).pace = Pace::Never;
    let world = World::start(aws).unwrap();
    for service in [Dependency::S3, Dependency::EcrApi] {
        assert!(
            timeout(Duration::from_millis(400), get(&world, service, "/", &[]))
                .await
                .is_err(),
            "{service}"
        );
    }
    assert!(
        timeout(
            Duration::from_secs(10),
            get(&world, Dependency::S3, "/", &[])
        )
        .await
        .is_ok()
    );
}

#[tokio::test]
async fn ecs_names_the_task_and_its_credentials() {
    let world = World::start(Scenario::healthy()).unwrap();
    let read = async |variable: &str| {
        let url: hyper::Uri = world.variables[variable].parse().unwrap();
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
