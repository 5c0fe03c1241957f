//! What ECS gives a container beside the network: the metadata endpoint, version 4, and the
//! credentials endpoint.

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

use super::http::{self, Answer};
use super::path::{self, Door, Path};
use super::scenario::{
    ACCOUNT, Credentials, IMAGE, Pace, REGION, Scenario, TASK_ADDRESS, TASK_SUBNET,
};
use super::{resolver, signature};

/// Only loopback and two link-local addresses may hand out credentials in clear (AWS SDK reference,
/// container credentials).
const ADDRESS: Ipv4Addr = Ipv4Addr::LOCALHOST;
const TASK: &str = "0b69d5c0d2a94ff2a2f2dbff0d7f8b2e";
const CREDENTIALS_PATH: &str = "/v2/credentials/5c2c7c49-1f0a-4a8e-9d7a-0f2f7f5f1c11";

/// Starts both endpoints in `tasks` and says which variables name them. Fails if no port is free.
pub(super) fn start(
    setting: &Scenario,
    tasks: &mut JoinSet<()>,
) -> io::Result<BTreeMap<String, String>> {
    let (port, doors) = path::claim(&[(ADDRESS, Path::Open)])?;
    let base = format!("http://{}", SocketAddr::from((ADDRESS, port)));
    let setting = Arc::new(setting.clone());
    for door in doors {
        if let Door::Listening(listener) = door {
            tasks.spawn(serve(listener, Arc::clone(&setting)));
        }
    }
    let metadata = format!("{base}/v4/{TASK}-2886439692");
    let mut variables = BTreeMap::from([
        ("ECS_CONTAINER_METADATA_URI_V4".to_owned(), metadata),
        ("AWS_REGION".to_owned(), REGION.to_owned()),
    ]);
    if setting.credentials != Credentials::None {
        variables.insert(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned(),
            format!("{base}{CREDENTIALS_PATH}"),
        );
    }
    Ok(variables)
}

async fn serve(listener: TcpListener, setting: Arc<Scenario>) {
    let mut clients = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let setting = Arc::clone(&setting);
        clients.spawn(async move {
            let answer = |request: Request<Incoming>| {
                let answer = answer(&setting, request.uri().path());
                async move { answer }
            };
            let _ = http::serve_plain(stream, Pace::Prompt, answer).await;
        });
    }
}

fn answer(setting: &Scenario, path: &str) -> Answer {
    let metadata = path
        .strip_prefix("/v4/")
        .and_then(|rest| rest.strip_prefix(TASK));
    let body = match metadata.and_then(|rest| {
        rest.split_once('/')
            .map_or(Some(""), |(_, page)| Some(page))
    }) {
        Some("") => container(),
        Some("task" | "taskWithTags") => task(setting),
        Some(_) => {
            return http::answer(StatusCode::NOT_FOUND, "text/plain", "404 page not found\n");
        }
        None if path == CREDENTIALS_PATH && setting.credentials != Credentials::None => {
            credentials(setting)
        }
        None => {
            let refusal = json!({ "code": "InvalidIdInRequest", "HTTPErrorCode": 400,
                "message": "CredentialsV2Request: Credentials not found" });
            return http::answer(
                StatusCode::BAD_REQUEST,
                "application/json",
                refusal.to_string(),
            );
        }
    };
    http::answer(StatusCode::OK, "application/json", body.to_string())
}

/// `AWS_CONTAINER_CREDENTIALS_*`: six hours, as ECS gives.
fn credentials(setting: &Scenario) -> Value {
    let hours = SignedDuration::from_hours(6);
    let now = Timestamp::now();
    let (keys, expiration) = match setting.credentials {
        Credentials::Expired => (signature::EXPIRED, now - hours),
        Credentials::Unknown => (signature::UNKNOWN, now + hours),
        Credentials::Valid | Credentials::None => (signature::VALID, now + hours),
    };
    json!({ "RoleArn": format!("arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole"), "AccessKeyId": keys.id,
        "SecretAccessKey": keys.secret, "Token": keys.token, "Expiration": seconds(expiration) })
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Shapes as on Fargate (facts: ecs-start, section 5).
fn container() -> Value {
    json!({ "DockerId": format!("{TASK}-2886439692"), "Name": "pullprobe", "DockerName": "pullprobe", "Image": IMAGE,
        "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING", "Limits": { "CPU": 2 }, "Type": "NORMAL",
        "ContainerARN": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:container/demo/{TASK}/b31c78c2-9905-4b57-bfc1-e9f8a3689607"),
        "Networks": [{ "NetworkMode": "awsvpc", "IPv4Addresses": [TASK_ADDRESS], "AttachmentIndex": 0,
            "MACAddress": "0a:ae:b6:d3:34:7d", "IPv4SubnetCIDRBlock": TASK_SUBNET,
            "DomainNameServers": [resolver::ADDRESS], "DomainNameSearchList": [format!("{REGION}.compute.internal")],
            "PrivateDNSName": "ip-127-0-1-10.ec2.internal", "SubnetGatewayIpv4Address": "127.0.1.1/24" }],
        "Snapshotter": "overlayfs" })
}

fn task(setting: &Scenario) -> Value {
    let now = Timestamp::now();
    let synchronized = if setting.clock_ahead.is_zero() {
        "SYNCHRONIZED"
    } else {
        "NOT_SYNCHRONIZED"
    };
    json!({ "Cluster": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/demo"),
        "TaskARN": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/demo/{TASK}"), "Family": "pullprobe", "Revision": "1",
        "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING", "Limits": { "CPU": 0.25, "Memory": 512 },
        "PullStartedAt": seconds(now), "PullStoppedAt": seconds(now), "AvailabilityZone": "us-east-1a",
        "AvailabilityZoneID": "use1-az1", "LaunchType": "FARGATE", "Containers": [container()],
        "ClockDrift": { "ClockErrorBound": 0.5, "ReferenceTimestamp": seconds(now + setting.clock_ahead),
            "ClockSynchronizationStatus": synchronized } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(setting: &Scenario, path: &str) -> (StatusCode, Value) {
        let answer = answer(setting, path);
        (
            answer.status(),
            serde_json::from_slice(answer.body()).unwrap_or_default(),
        )
    }

    #[test]
    fn the_base_is_the_container_and_below_it_is_the_task() {
        let aws = Scenario::healthy();
        let base = format!("/v4/{TASK}-2886439692");
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
    fn credentials_are_those_of_the_setting() {
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
            key(Credentials::Valid).as_deref(),
            Some(signature::VALID.id)
        );
        assert_eq!(
            key(Credentials::Expired).as_deref(),
            Some(signature::EXPIRED.id)
        );
        assert_eq!(key(Credentials::None), None);
    }
}
