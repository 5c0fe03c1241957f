use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::agent::loopback::{self, Misbehavior};

/// Fargate, platform version 1.4.0.
const SAMPLE: &str = include_str!("../../tests/data/task-metadata.json");

fn sample() -> Value {
    serde_json::from_str(SAMPLE).unwrap()
}

fn env(uri: &str) -> impl Fn(&str) -> Option<String> {
    let uri = uri.to_owned();
    move |name| (name == METADATA_URI).then(|| uri.clone())
}

/// Discovers from an agent with this metadata of the task and of the probe's own container.
async fn discover_in(task: Value, own: Value) -> Metadata {
    let (base, _) = loopback::responds(move |path| match path {
        "/v4/id/task" => (200, task.to_string()),
        "/v4/id" if !own.is_null() => (200, own.to_string()),
        _ => (404, String::new()),
    })
    .await;
    discover(&env(&format!("{base}/v4/id")))
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn reads_metadata_of_fargate() {
    let metadata = discover_in(sample(), sample()["Containers"][0].clone()).await;
    assert_eq!(
        metadata,
        Metadata {
            vantage: Vantage {
                region: Some("ap-northeast-1".into()),
                availability_zone: Some("ap-northeast-1c".into()),
                subnet_cidr: Some("172.31.0.0/20".parse().unwrap()),
                address: Some("172.31.2.72".parse().unwrap()),
                ip_family: Some(IpFamily::Ipv4),
                task_arn: Some(
                    "arn:aws:ecs:ap-northeast-1:123456789012:task/simple-ecs-cluster/e40860c2b55a4200b03c3197f6c59714"
                        .into()
                ),
                cluster: Some("simple-ecs-cluster".into()),
                resolvers: vec!["172.31.0.2".into()],
                platform: platform(),
                proxy_variables: vec![],
                carrier: Some(Carrier::Fargate),
            },
            image: Some("123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/dev-nginx:latest".into()),
            clock: Some(ClockDrift { synchronized: true, error_bound_ms: 0.556_966 }),
        }
    );
    let json = serde_json::to_value(&metadata.vantage).unwrap();
    assert_eq!(
        (&json["subnet_cidr"], &json["address"]),
        (&json!("172.31.0.0/20"), &json!("172.31.2.72"))
    );
    assert_eq!(
        serde_json::from_value::<Vantage>(json).unwrap(),
        metadata.vantage
    );
}

#[tokio::test]
async fn finds_its_own_container_among_several() {
    let mut task = sample();
    let normal = task["Containers"][0].clone();
    let pause = json!({ "DockerId": "pause", "Image": "fargate-pause", "Type": "CNI_PAUSE", "Networks": null });
    let sidecar = json!({ "DockerId": "sidecar", "Image": "envoy:1", "Type": "NORMAL" });
    task["Containers"] = json!([pause, sidecar, normal]);

    let own = json!({ "DockerId": normal["DockerId"], "Image": "mine:1" });
    let metadata = discover_in(task.clone(), own).await;
    assert_eq!(metadata.image.as_deref(), Some("mine:1"));
    assert_eq!(
        metadata.vantage.subnet_cidr,
        Some("172.31.0.0/20".parse().unwrap())
    );
    let listed_only = discover_in(task.clone(), json!({ "DockerId": "sidecar" })).await;
    assert_eq!(listed_only.image.as_deref(), Some("envoy:1"));
    let unknown = discover_in(task, Value::Null).await;
    assert_eq!(
        unknown.image.as_deref(),
        Some("envoy:1"),
        "the first NORMAL container"
    );
}

#[tokio::test]
async fn missing_fields_stay_unknown() {
    let empty = discover_in(json!({}), Value::Null).await;
    assert_eq!(
        empty,
        Metadata {
            vantage: Vantage {
                carrier: None,
                ..Vantage::local(&|_| None)
            },
            image: None,
            clock: None
        }
    );

    // EC2: short cluster name, Docker bridge, an agent without clock and zone.
    let bridge = json!({ "Image": "a", "Networks": [{ "NetworkMode": "bridge", "IPv4Addresses": ["172.17.0.2"] }] });
    let task = json!({ "Cluster": "default", "TaskARN": "arn:aws-cn:ecs:cn-north-1:1:task/old", "Containers": [bridge],
                       "ClockDrift": { "ClockSynchronizationStatus": "NOT_SYNCHRONIZED" } });
    let metadata = discover_in(task, Value::Null).await;
    assert_eq!(
        (
            metadata.vantage.cluster.as_deref(),
            metadata.vantage.address
        ),
        (Some("default"), None)
    );
    assert_eq!(
        (metadata.vantage.region.as_deref(), metadata.clock),
        (Some("cn-north-1"), None)
    );

    // The subnet by its gateway; the Region by its zone.
    let network = json!({ "NetworkMode": "awsvpc", "SubnetGatewayIpv4Address": "172.31.0.1/20", "IPv4Addresses": null,
                          "IPv6Addresses": ["2600:1f16::1"], "DomainNameServers": ["10.9.9.9", "10.9.9.10"] });
    let task = json!({ "AvailabilityZone": "us-gov-west-1b", "Containers": [{ "Networks": [network] }],
                       "ClockDrift": { "ClockSynchronizationStatus": "NOT_SYNCHRONIZED", "ClockErrorBound": 1200 } });
    let metadata = discover_in(task, Value::Null).await;
    assert_eq!(
        metadata.vantage.subnet_cidr,
        Some("172.31.0.0/20".parse().unwrap())
    );
    assert_eq!(
        metadata.vantage.address,
        Some("2600:1f16::1".parse().unwrap())
    );
    assert_eq!(metadata.vantage.region.as_deref(), Some("us-gov-west-1"));
    assert_eq!(metadata.vantage.resolvers, ["10.9.9.9", "10.9.9.10"]);
    assert_eq!(
        metadata.clock,
        Some(ClockDrift {
            synchronized: false,
            error_bound_ms: 1200.0
        })
    );
}

#[test]
fn reads_regions_and_clusters_from_names() {
    assert_eq!(
        region_of_zone("us-west-2-lax-1a").as_deref(),
        Some("us-west-2")
    );
    assert_eq!(region_of_zone("nowhere"), None);
    let of_task = |arn: &str| {
        let task = Task {
            arn: Some(arn.to_owned()),
            ..serde_json::from_value(json!({})).unwrap()
        };
        let vantage = describe(task, None, Vantage::default()).vantage;
        (vantage.region, vantage.cluster)
    };
    assert_eq!(of_task("arn:aws:ecs"), (None, None));
    let region = Some("eu-west-1".into());
    assert_eq!(
        of_task("arn:aws:ecs:eu-west-1:1:task/blue/id"),
        (region.clone(), Some("blue".into()))
    );
    assert_eq!(of_task("arn:aws:ecs:eu-west-1:1:task/id"), (region, None));
    let of_cluster = |cluster: &str| {
        let task = Task {
            cluster: Some(cluster.to_owned()),
            ..serde_json::from_value(json!({})).unwrap()
        };
        describe(task, None, Vantage::default()).vantage.cluster
    };
    assert_eq!(
        of_cluster("arn:aws:ecs:eu-west-1:1:cluster/blue"),
        Some("blue".into())
    );
    assert_eq!(of_cluster("blue"), Some("blue".into()));
    for hostile in ["\u{1b}]52;c;QQ==\u{7}", "a b", "", "\u{202e}eulb"] {
        assert_eq!(of_cluster(hostile), None);
    }
}

#[tokio::test]
async fn reports_names_but_not_values_of_proxy_variables() {
    let env = |name: &str| match name {
        "HTTPS_PROXY" | "no_proxy" => Some("http://user:s3cr3t@proxy:3128".into()),
        "HTTP_PROXY" => Some(String::new()),
        _ => None,
    };
    assert_eq!(discover(&env).await, Ok(None));
    let here = Vantage::local(&env);
    assert_eq!(here.proxy_variables, ["HTTPS_PROXY", "no_proxy"]);
    assert!(!serde_json::to_string(&here).unwrap().contains("s3cr3t"));
}

#[tokio::test]
async fn agent_outage_is_reported_within_the_time_limit() {
    for (misbehavior, failure) in [
        (Misbehavior::Silent, Failure::TimedOut),
        (Misbehavior::Trickles, Failure::TimedOut),
        (Misbehavior::Closes, Failure::Reset),
        (Misbehavior::Floods, Failure::TooLarge),
    ] {
        let base = loopback::misbehaves(misbehavior).await;
        let started = Instant::now();
        assert_eq!(discover(&env(&base)).await.unwrap_err().failure, failure);
        assert!(
            started.elapsed() < Duration::from_secs(8),
            "{failure}: {:?}",
            started.elapsed()
        );
    }
    let refused = discover(&env(&loopback::closed_port().await))
        .await
        .unwrap_err();
    assert_eq!(refused.failure, Failure::Refused);
    let (base, _) = loopback::responds(|_| (404, "404 page not found".into())).await;
    let missing = discover(&env(&base)).await.unwrap_err();
    assert_eq!(missing.failure, Failure::NotFound);
    assert!(missing.detail.ends_with("returned 404"), "{missing}");
    let (base, _) = loopback::responds(|_| (200, "[]".into())).await;
    assert_eq!(
        discover(&env(&base)).await.unwrap_err().failure,
        Failure::UnexpectedAnswer
    );
    for uri in ["https://127.0.0.1/", "nonsense uri", "/v4"] {
        assert_eq!(
            discover(&env(uri)).await.unwrap_err().failure,
            Failure::WrongForm
        );
    }
}

#[tokio::test]
async fn ip_family_is_what_the_lists_of_addresses_say() {
    for (addresses, family) in [
        (
            json!({ "IPv4Addresses": ["10.0.1.10"] }),
            Some(IpFamily::Ipv4),
        ),
        (
            json!({ "IPv4Addresses": ["10.0.1.10"], "IPv6Addresses": ["2600:1f16::1"] }),
            Some(IpFamily::DualStack),
        ),
        (
            json!({ "IPv4Addresses": [], "IPv6Addresses": ["2600:1f16::1"] }),
            Some(IpFamily::Ipv6),
        ),
        (
            json!({ "IPv6Addresses": ["2600:1f16::1"] }),
            Some(IpFamily::Ipv6),
        ),
        (
            json!({ "IPv4Addresses": [""], "IPv6Addresses": ["2600:1f16::1"] }),
            Some(IpFamily::Ipv6),
        ),
        (json!({}), None),
    ] {
        let mut network = addresses.clone();
        network["NetworkMode"] = "awsvpc".into();
        let own = json!({ "DockerId": "a", "Networks": [network] });
        let metadata = discover_in(json!({ "Containers": [] }), own).await;
        assert_eq!(metadata.vantage.ip_family, family, "{addresses}");
    }
}

#[tokio::test]
async fn carrier_is_what_metadata_or_environment_says() {
    for (launch_type, carrier) in [
        ("FARGATE", Some(Carrier::Fargate)),
        ("EC2", Some(Carrier::Ec2)),
        ("MANAGED_INSTANCES", Some(Carrier::Ec2)),
        ("EXTERNAL", None),
        ("NEW", None),
    ] {
        let metadata = discover_in(json!({ "LaunchType": launch_type }), Value::Null).await;
        assert_eq!(metadata.vantage.carrier, carrier, "{launch_type}");
    }
    let in_function = |name: &str| (name == RUNTIME_API_VARIABLE).then(|| "127.0.0.1:9001".into());
    assert_eq!(Vantage::local(&in_function).carrier, Some(Carrier::Lambda));
    assert_eq!(Vantage::local(&|_| None).carrier, Some(Carrier::Local));
}
