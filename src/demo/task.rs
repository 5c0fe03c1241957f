//! The ECS agent's endpoints: task metadata, version 4, and container credentials.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::http::{self, HttpResponse};
use super::names::{ACCOUNT, IMAGE, REGION, RESOLVER_ADDRESS, TASK_ADDRESS, TASK_SUBNET};
use super::path::{self, HostAddress, Listener, PathState};
use super::scenario::{ResponseDelay, Scenario, TaskCredentials};
use super::signature;

/// SDKs read credentials over plain HTTP only from loopback and two link-local addresses (AWS SDK
/// reference, container credentials).
const ADDRESS: Ipv4Addr = Ipv4Addr::LOCALHOST;
const TASK_ID: &str = "0b69d5c0d2a94ff2a2f2dbff0d7f8b2e";
const CREDENTIALS_PATH: &str = "/v2/credentials/5c2c7c49-1f0a-4a8e-9d7a-0f2f7f5f1c11";

/// Starts both endpoints in `tasks` and returns the environment variables that name them. Fails if
/// no port is free.
pub(super) fn start(
    scenario: &Scenario,
    tasks: &mut JoinSet<()>,
) -> io::Result<BTreeMap<String, String>> {
    let (port, listeners) = path::bind(&[HostAddress::new(ADDRESS, PathState::Open)])?;
    let base = format!("http://{}", SocketAddr::from((ADDRESS, port)));
    let scenario = Arc::new(scenario.clone());
    for listener in listeners {
        if let Listener::Accepting(listener) = listener {
            tasks.spawn(serve(listener, Arc::clone(&scenario)));
        }
    }
    let metadata = format!("{base}/v4/{TASK_ID}-2886439692");
    let mut variables = BTreeMap::from([
        ("ECS_CONTAINER_METADATA_URI_V4".to_owned(), metadata),
        ("AWS_REGION".to_owned(), REGION.to_owned()),
    ]);
    if scenario.credentials != TaskCredentials::None {
        variables.insert(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned(),
            format!("{base}{CREDENTIALS_PATH}"),
        );
    }
    Ok(variables)
}

async fn serve(listener: TcpListener, scenario: Arc<Scenario>) {
    let mut clients = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let scenario = Arc::clone(&scenario);
        clients.spawn(async move {
            let respond = |request: Request<Incoming>| {
                let response = response(&scenario, request.uri().path());
                async move { response }
            };
            let _ = http::serve_plain(stream, ResponseDelay::None, respond).await;
        });
    }
}

fn response(scenario: &Scenario, path: &str) -> HttpResponse {
    let metadata = path
        .strip_prefix("/v4/")
        .and_then(|rest| rest.strip_prefix(TASK_ID));
    let body = match metadata.and_then(|rest| {
        rest.split_once('/')
            .map_or(Some(""), |(_, page)| Some(page))
    }) {
        Some("") => container(),
        Some("task" | "taskWithTags") => task(scenario),
        Some(_) => {
            return http::response(StatusCode::NOT_FOUND, "text/plain", "404 page not found\n");
        }
        None if path == CREDENTIALS_PATH && scenario.credentials != TaskCredentials::None => {
            credentials(scenario)
        }
        None => {
            let error = json!({ "code": "InvalidIdInRequest", "HTTPErrorCode": 400,
                "message": "CredentialsV2Request: Credentials not found" });
            return http::response(
                StatusCode::BAD_REQUEST,
                "application/json",
                error.to_string(),
            );
        }
    };
    http::response(StatusCode::OK, "application/json", body.to_string())
}

/// Returns credentials that are valid for six hours, as in ECS.
fn credentials(scenario: &Scenario) -> Value {
    let hours = SignedDuration::from_hours(6);
    let now = Timestamp::now();
    let (key, expiration) = match scenario.credentials {
        TaskCredentials::Expired => (signature::EXPIRED, now - hours),
        TaskCredentials::Unknown => (signature::UNKNOWN, now + hours),
        TaskCredentials::Valid | TaskCredentials::None => (signature::VALID, now + hours),
    };
    json!({ "RoleArn": format!("arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole"), "AccessKeyId": key.id,
        "SecretAccessKey": key.secret, "Token": key.token, "Expiration": timestamp(expiration) })
}

fn timestamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Returns container metadata as on Fargate (docs/facts/ecs-start.md#5).
fn container() -> Value {
    json!({ "DockerId": format!("{TASK_ID}-2886439692"), "Name": "pullprobe", "DockerName": "pullprobe", "Image": IMAGE,
        "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING", "Limits": { "CPU": 2 }, "Type": "NORMAL",
        "ContainerARN": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:container/demo/{TASK_ID}/b31c78c2-9905-4b57-bfc1-e9f8a3689607"),
        "Networks": [{ "NetworkMode": "awsvpc", "IPv4Addresses": [TASK_ADDRESS], "AttachmentIndex": 0,
            "MACAddress": "0a:ae:b6:d3:34:7d", "IPv4SubnetCIDRBlock": TASK_SUBNET,
            "DomainNameServers": [RESOLVER_ADDRESS], "DomainNameSearchList": [format!("{REGION}.compute.internal")],
            "PrivateDNSName": "ip-127-0-1-10.ec2.internal", "SubnetGatewayIpv4Address": "127.0.1.1/24" }],
        "Snapshotter": "overlayfs" })
}

fn task(scenario: &Scenario) -> Value {
    let now = Timestamp::now();
    let synchronized = if scenario.clock_ahead.is_zero() {
        "SYNCHRONIZED"
    } else {
        "NOT_SYNCHRONIZED"
    };
    json!({ "Cluster": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/demo"),
        "TaskARN": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/demo/{TASK_ID}"), "Family": "pullprobe", "Revision": "1",
        "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING", "Limits": { "CPU": 0.25, "Memory": 512 },
        "PullStartedAt": timestamp(now), "PullStoppedAt": timestamp(now), "AvailabilityZone": "us-east-1a",
        "AvailabilityZoneID": "use1-az1", "LaunchType": "FARGATE", "Containers": [container()],
        "ClockDrift": { "ClockErrorBound": 0.5, "ReferenceTimestamp": timestamp(now + scenario.clock_ahead),
            "ClockSynchronizationStatus": synchronized } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(scenario: &Scenario, path: &str) -> (StatusCode, Value) {
        let response = response(scenario, path);
        (
            response.status(),
            serde_json::from_slice(response.body()).unwrap_or_default(),
        )
    }

    #[test]
    fn serves_container_and_task_metadata() {
        let aws = Scenario::healthy();
        let base = format!("/v4/{TASK_ID}-2886439692");
        assert_eq!(read(&aws, &base).1["Image"], IMAGE);
        assert_eq!(
            read(&aws, &format!("{base}/task")).1["Containers"][0]["Image"],
            IMAGE
        );
        assert_eq!(
            read(&aws, &format!("{base}/nothing")).0,
            StatusCode::NOT_FOUND
        );
    }

    #[test]
    fn serves_the_credentials_of_the_scenario() {
        let key = |credentials| {
            let aws = Scenario {
                credentials,
                ..Scenario::healthy()
            };
            read(&aws, CREDENTIALS_PATH).1["AccessKeyId"]
                .as_str()
                .map(str::to_owned)
        };
        assert_eq!(
            key(TaskCredentials::Valid).as_deref(),
            Some(signature::VALID.id)
        );
        assert_eq!(
            key(TaskCredentials::Expired).as_deref(),
            Some(signature::EXPIRED.id)
        );
        assert_eq!(key(TaskCredentials::None), None);
    }
}
