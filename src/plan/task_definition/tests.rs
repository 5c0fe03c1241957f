use super::*;
use crate::observation::Dependency;
use crate::plan::{Plan, ReachabilityCheck};
use serde_json::json;

const IMAGE: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1";

fn read(document: &Value) -> Result<PlanInput, String> {
    super::read(document.to_string().as_bytes())
}

/// A task definition of one container that has these members besides.
fn container(extra: Value) -> Value {
    let mut container = json!({ "name": "app", "image": IMAGE, "essential": true });
    if let (Some(container), Value::Object(extra)) = (container.as_object_mut(), extra) {
        container.extend(extra);
    }
    json!({ "family": "app", "containerDefinitions": [container], "status": "ACTIVE" })
}

fn awslogs(options: Value) -> Value {
    let mut all = json!({ "awslogs-group": "/ecs/app", "awslogs-region": "eu-west-1" });
    if let (Some(all), Value::Object(options)) = (all.as_object_mut(), options) {
        all.extend(options);
    }
    container(json!({ "logConfiguration": { "logDriver": "awslogs", "options": all } }))
}

fn volume(efs: &Value) -> Value {
    let mut definition =
        container(json!({ "mountPoints": [{ "sourceVolume": "data", "containerPath": "/data" }] }));
    definition["volumes"] = json!([{ "name": "data", "efsVolumeConfiguration": efs }]);
    definition
}

#[test]
fn images_secrets_log_groups_and_platform_come_from_it_with_or_without_the_outer_object() {
    let bare = json!({ "containerDefinitions": [{ "image": IMAGE, "secrets": [{ "name": "A", "valueFrom": "/app/a" }],
        "logConfiguration": { "logDriver": "awslogs", "secretOptions": null,
            "options": { "awslogs-group": "/ecs/app", "awslogs-region": "eu-west-1", "mode": "non-blocking" } } }],
        "runtimePlatform": { "cpuArchitecture": "ARM64" }, "colour": "red" });
    for document in [bare.clone(), json!({ "taskDefinition": bare, "tags": [] })] {
        let wanted = read(&document).unwrap();
        assert_eq!(wanted.images[0].image.to_string(), IMAGE);
        assert_eq!(wanted.secrets[0].to_string(), "/app/a");
        assert_eq!(wanted.logs[0].group, "/ecs/app");
        assert_eq!(wanted.platform.unwrap().to_string(), "linux/arm64");
        assert!(wanted.unchecked.is_empty());
    }
}

#[test]
fn without_a_runtime_platform_fargate_takes_its_own_and_an_instance_its_own() {
    assert_eq!(
        read(&container(json!({})))
            .unwrap()
            .platform
            .unwrap()
            .to_string(),
        "linux/amd64"
    );
    let mut on_instances = container(json!({ "logConfiguration": { "logDriver": "json-file" } }));
    on_instances["requiresCompatibilities"] = json!(["EC2"]);
    assert_eq!(read(&on_instances).unwrap().platform, None);
}

#[test]
fn a_byte_order_mark_is_no_mistake() {
    let marked = format!("\u{feff}{}", container(json!({})));
    assert!(super::read(marked.as_bytes()).is_ok());
}

/// A task that has something of everything.
fn complete() -> Value {
    json!({
        "containerDefinitions": [
            { "name": "app", "image": "docker.io/team/app", "repositoryCredentials": { "credentialsParameter": "hub" },
              "environmentFiles": [{ "type": "s3", "value": "arn:aws:s3:::bucket/app.env" }],
              "dependsOn": [{ "containerName": "router", "condition": "START" }],
              "logConfiguration": { "logDriver": "awsfirelens", "options": {
                  "Name": "cloudwatch_logs", "region": "eu-west-1", "log_group_name": "x" } } },
            { "name": "router", "image": "public.ecr.aws/aws-observability/aws-for-fluent-bit:stable",
              "firelensConfiguration": { "type": "fluentbit" },
              "logConfiguration": { "logDriver": "awslogs", "options": { "awslogs-group": "/ecs/router",
                  "awslogs-region": "eu-central-1", "awslogs-create-group": "true", "awslogs-stream-prefix": "fl" } } },
            { "name": "side", "image": IMAGE, "mountPoints": [{ "sourceVolume": "data" }],
              "logConfiguration": { "logDriver": "splunk", "options": { "splunk-url": "https://splunk.example.com:8088" },
                  "secretOptions": [{ "name": "splunk-token", "valueFrom": "/splunk" }] } },
        ],
        "volumes": [{ "name": "scratch" }, { "name": "data", "efsVolumeConfiguration": { "fileSystemId": "fs-0123456789abcdef0",
            "transitEncryption": "ENABLED", "authorizationConfig": { "accessPointId": "fsap-0123456789abcdef0", "iam": "ENABLED" } } }],
    })
}

#[test]
fn everything_that_ecs_touches_is_wanted() {
    let wanted = read(&complete()).unwrap();
    assert_eq!(wanted.images[0].login.as_deref(), Some("hub"));
    assert_eq!(
        (
            wanted.logs[0].create_group,
            wanted.logs[0].stream_prefix.as_deref()
        ),
        (true, Some("fl"))
    );
    assert!(wanted.unchecked.is_empty());
    let plan = Plan::new(wanted, "eu-west-1".parse().unwrap()).unwrap();
    let contacts: Vec<String> = plan
        .targets
        .iter()
        .map(|target| format!("{} {}:{}", target.dependency, target.host, target.port))
        .collect();
    assert_eq!(
        contacts,
        [
            "ssm ssm.eu-west-1.amazonaws.com:443",
            "secretsmanager secretsmanager.eu-west-1.amazonaws.com:443",
            "ecr.api api.ecr.eu-west-1.amazonaws.com:443",
            "logs logs.eu-central-1.amazonaws.com:443",
            "environment-file bucket.s3.eu-west-1.amazonaws.com:443",
            "efs fs-0123456789abcdef0.efs.eu-west-1.amazonaws.com:2049",
            "log-router logs.eu-west-1.amazonaws.com:443",
            "splunk splunk.example.com:8088",
            "registry registry-1.docker.io:443",
            "registry public.ecr.aws:443",
            "ecr.dkr 123456789012.dkr.ecr.eu-west-1.amazonaws.com:443",
            "s3 prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com:443",
        ]
    );
}

#[test]
fn a_log_router_is_followed_where_its_options_say_where() {
    let routed = |options: Value| {
        let mut definition = container(
            json!({ "logConfiguration": { "logDriver": "awsfirelens", "options": options } }),
        );
        let router = json!({ "name": "router", "image": IMAGE, "firelensConfiguration": { "type": "fluentbit" } });
        definition["containerDefinitions"]
            .as_array_mut()
            .unwrap()
            .push(router);
        read(&definition)
    };
    for (options, host, port, tcp_only) in [
        (
            json!({ "Name": "kinesis_firehose", "region": "us-east-1" }),
            "firehose.us-east-1.amazonaws.com",
            443,
            false,
        ),
        (
            json!({ "Name": "kinesis", "region": "cn-north-1" }),
            "kinesis.cn-north-1.amazonaws.com.cn",
            443,
            false,
        ),
        (
            json!({ "Name": "cloudwatch", "region": "us-east-1", "endpoint": "logs.example.com" }),
            "logs.example.com",
            443,
            false,
        ),
        (
            json!({ "@type": "s3", "region": "eu-west-1", "bucket": "archive" }),
            "archive.s3.eu-west-1.amazonaws.com",
            443,
            false,
        ),
        (
            json!({ "Name": "es", "Host": "vpc-x.eu-west-1.es.amazonaws.com", "Port": "443", "tls": "On" }),
            "vpc-x.eu-west-1.es.amazonaws.com",
            443,
            false,
        ),
        (
            json!({ "Name": "http", "Host": "collector.internal", "Port": "8080" }),
            "collector.internal",
            8080,
            true,
        ),
        (
            json!({ "Name": "http", "Host": "c.internal", "tls": "on", "tls.verify": "off" }),
            "c.internal",
            80,
            true,
        ),
        (
            json!({ "Name": "datadog", "TLS": "on", "provider": "ecs" }),
            "http-intake.logs.datadoghq.com",
            443,
            false,
        ),
        (
            json!({ "Name": "newrelic" }),
            "log-api.newrelic.com",
            443,
            false,
        ),
    ] {
        let wanted = routed(options.clone()).unwrap();
        let ReachabilityCheck {
            dependency,
            host: found,
            port: at,
            tcp_only: tcp,
            ..
        } = wanted.connections[0].clone();
        assert_eq!(
            (dependency, found.as_str(), at, tcp),
            (Dependency::LogRouter, host, port, tcp_only),
            "{options}"
        );
    }
    for options in [
        json!({ "Name": "stdout" }),
        json!({ "Name": "http", "Host": "localhost" }),
    ] {
        let wanted = routed(options).unwrap();
        assert_eq!((wanted.connections.len(), wanted.unchecked.len()), (0, 0));
    }
    for options in [
        json!({}),
        json!({ "Name": "kafka" }),
        json!({ "Name": "cloudwatch" }),
        json!({ "Name": "s3", "region": "${R}" }),
    ] {
        let wanted = routed(options).unwrap();
        assert_eq!((wanted.connections.len(), wanted.unchecked.len()), (0, 1));
    }
    let error = routed(json!({ "Name": "cloudwatch", "region": "https://logs" })).unwrap_err();
    assert!(
        error.starts_with("containerDefinitions[0].logConfiguration: options.region"),
        "{error}"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn what_ecs_would_reject_is_refused_with_its_path() {
    let splunk = |options: Value| {
        container(json!({ "logConfiguration": { "logDriver": "splunk", "options": options } }))
    };
    let two = |a: Value, b: Value| json!({ "containerDefinitions": [a, b] });
    let waiting = |name: &str, other: &str| {
        json!({ "name": name, "image": IMAGE,
        "dependsOn": [{ "containerName": other, "condition": "HEALTHY" }] })
    };
    let file = |value: &str, kind: &str| {
        container(json!({ "environmentFiles": [{ "value": value, "type": kind }] }))
    };
    let secret =
        |value: Value| container(json!({ "secrets": [{ "name": "A", "valueFrom": "/a" }, value] }));
    let hub = |login: Value| container(json!({ "image": "nginx", "repositoryCredentials": login }));
    let fargate = json!({ "requiresCompatibilities": ["FARGATE"], "networkMode": "bridge",
        "containerDefinitions": [{ "image": IMAGE }] });
    let mut unknown_os = container(json!({}));
    unknown_os["runtimePlatform"] = json!({ "operatingSystemFamily": "BEOS" });
    for (document, path) in [
        (
            container(json!({ "image": "App" })),
            "containerDefinitions[0].image: ",
        ),
        (
            container(json!({ "image": 5 })),
            "containerDefinitions[0].image: a string is needed, not a number",
        ),
        (
            json!({ "taskDefinition": container(json!({ "image": "" })) }),
            "taskDefinition.containerDefinitions[0].image: ",
        ),
        (
            secret(json!({ "name": "B", "valueFrom": "arn:aws:s3:::b" })),
            "containerDefinitions[0].secrets[1].valueFrom: ",
        ),
        (
            secret(json!({ "name": "B" })),
            "containerDefinitions[0].secrets[1]: valueFrom is missing",
        ),
        (
            secret(json!("B")),
            "containerDefinitions[0].secrets[1]: an object is needed, not a string",
        ),
        (
            container(json!({ "secrets": {} })),
            "containerDefinitions[0].secrets: an array is needed, not an object",
        ),
        (
            awslogs(json!({ "awslogs-region": "https://logs.eu-west-1.amazonaws.com" })),
            "containerDefinitions[0].logConfiguration.options.awslogs-region: ",
        ),
        (
            awslogs(json!({ "awslogs-region": null })),
            "containerDefinitions[0].logConfiguration.options: awslogs-region is missing",
        ),
        (
            awslogs(json!({ "awslogs-group": "a b" })),
            "containerDefinitions[0].logConfiguration.options.awslogs-group: ' '",
        ),
        (
            awslogs(json!({ "awslogs-create-group": true })),
            "containerDefinitions[0].logConfiguration.options.awslogs-create-group: a string",
        ),
        (
            container(json!({ "logConfiguration": { "logDriver": "awslogs" } })),
            "containerDefinitions[0].logConfiguration: options is missing",
        ),
        (
            container(json!({ "logConfiguration": { "logDriver": "json-file" } })),
            "containerDefinitions[0].logConfiguration.logDriver: ",
        ),
        (
            container(json!({ "logConfiguration": { "logDriver": "awsfirelens" } })),
            "containerDefinitions[0].logConfiguration.logDriver: awsfirelens needs",
        ),
        (
            splunk(json!({ "splunk-token": "t" })),
            "containerDefinitions[0].logConfiguration: splunk needs a splunk-url",
        ),
        (
            splunk(json!({ "splunk-url": "https://s" })),
            "containerDefinitions[0].logConfiguration: splunk needs a splunk-token",
        ),
        (
            splunk(json!({ "splunk-token": "t", "splunk-url": "s:8088" })),
            "containerDefinitions[0].logConfiguration.options.splunk-url: ",
        ),
        (
            container(json!({ "repositoryCredentials": { "credentialsParameter": "x" } })),
            "containerDefinitions[0].repositoryCredentials: ",
        ),
        (
            hub(
                json!({ "credentialsParameter": "arn:aws:ssm:eu-west-1:123456789012:parameter/x" }),
            ),
            "credentialsParameter: a login is read from Secrets Manager",
        ),
        (
            hub(json!({})),
            "repositoryCredentials: credentialsParameter is missing",
        ),
        (
            file("arn:aws:s3:::bucket/app.txt", "s3"),
            "containerDefinitions[0].environmentFiles[0].value: ",
        ),
        (
            file("s3://bucket/app.env", "s3"),
            "containerDefinitions[0].environmentFiles[0].value: ",
        ),
        (
            file("arn:aws:s3:::bucket/app.env", "file"),
            "containerDefinitions[0].environmentFiles[0].type: ",
        ),
        (
            volume(&json!({ "fileSystemId": "arn:x" })),
            "volumes[0].efsVolumeConfiguration.fileSystemId: ",
        ),
        (
            volume(
                &json!({ "fileSystemId": "fs-01234567", "authorizationConfig": { "iam": "ENABLED" } }),
            ),
            "volumes[0].efsVolumeConfiguration: an access point or IAM needs",
        ),
        (
            volume(
                &json!({ "fileSystemId": "fs-01234567", "rootDirectory": "/x", "transitEncryption": "ENABLED",
            "authorizationConfig": { "accessPointId": "fsap-01234567" } }),
            ),
            "volumes[0].efsVolumeConfiguration: with an access point",
        ),
        (
            container(json!({ "mountPoints": [{ "sourceVolume": "data" }] })),
            "containerDefinitions[0].mountPoints[0]: there is no volume",
        ),
        (
            two(
                json!({ "name": "a", "image": IMAGE }),
                json!({ "name": "a", "image": IMAGE }),
            ),
            "containerDefinitions[1].name: \"a\" is the name of containerDefinitions[0]",
        ),
        (
            two(waiting("a", "b"), waiting("b", "a")),
            "containerDefinitions[0]: cyclic references: a → b → a",
        ),
        (
            container(json!({ "dependsOn": [{ "containerName": "app", "condition": "START" }] })),
            "cyclic references: app → app",
        ),
        (
            container(json!({ "dependsOn": [{ "containerName": "gone", "condition": "START" }] })),
            "containerDefinitions[0].dependsOn[0].containerName: there is no container",
        ),
        (
            container(json!({ "links": ["gone:alias"] })),
            "containerDefinitions[0].links[0]: there is no container",
        ),
        (fargate, "networkMode: "),
        (unknown_os, "runtimePlatform.operatingSystemFamily: "),
        (
            json!({ "containerDefinitions": [] }),
            "containerDefinitions: 0 containers",
        ),
        (
            json!({ "containerDefinitions": "x" }),
            "containerDefinitions: an array is needed",
        ),
        (
            json!([{ "name": "app", "image": IMAGE }]),
            "the document: an object with containerDefinitions is needed",
        ),
        (json!({ "Resources": {} }), "CloudFormation"),
        (json!({ "tasks": [] }), "describe-task-definition"),
        (json!({ "taskDefinition": [] }), "taskDefinition: "),
    ] {
        let error = read(&document).unwrap_err();
        assert!(
            error.contains(path),
            "{document}\n{error}\nis without {path}"
        );
    }
}

#[test]
fn a_volume_of_another_kind_is_left_out_and_that_is_said() {
    let mut definition = container(json!({}));
    definition["volumes"] = json!([{ "name": "a", "fsxWindowsFileServerVolumeConfiguration": { "fileSystemId": "fs-1" } },
        { "name": "b", "s3filesVolumeConfiguration": { "fileSystemArn": "arn:x" } }, { "name": "c", "configuredAtLaunch": true }]);
    let subjects: Vec<_> = read(&definition)
        .unwrap()
        .unchecked
        .into_iter()
        .map(|unchecked| unchecked.subject)
        .collect();
    assert_eq!(subjects, ["fs-1", "arn:x"]);
}

#[test]
fn several_mistakes_are_told_at_once() {
    let broken = json!({ "image": "App", "secrets": [{}], "environmentFiles": [{}], "logConfiguration": {} });
    let error = read(&json!({ "containerDefinitions": [broken, broken] })).unwrap_err();
    assert_eq!(
        error
            .lines()
            .filter(|line| line.starts_with("containerDefinitions["))
            .count(),
        TOLD,
        "{error}"
    );
    assert!(error.ends_with("and 3 mistakes more"), "{error}");
}

#[test]
fn no_size_and_no_depth_is_too_much() {
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let many: Vec<_> = (0..300)
        .map(|n| json!({ "name": format!("c{n}"), "image": IMAGE }))
        .collect();
    for (document, complaint) in [
        (b" ".repeat(5_000_000), "more than 262144 bytes"),
        (deep, "not JSON: recursion limit"),
        (
            json!({ "containerDefinitions": many })
                .to_string()
                .into_bytes(),
            "300 containers: ECS takes 1 to 10",
        ),
        (b"{".to_vec(), "not JSON: EOF"),
        (b"\xff\xfe{\x00}\x00".to_vec(), "UTF-8"),
    ] {
        let error = super::read(&document).unwrap_err();
        assert!(error.contains(complaint) && error.len() < 300, "{error}");
    }
}

/// Every value replaced by every other kind of value, and every member taken away.
#[test]
fn whatever_is_changed_is_read_or_refused_with_a_path() {
    fn places(value: &Value, at: &str, all: &mut Vec<String>) {
        all.push(at.to_owned());
        let members: Vec<(String, &Value)> = match value {
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| (name.clone(), value))
                .collect(),
            Value::Array(values) => values
                .iter()
                .enumerate()
                .map(|(n, value)| (n.to_string(), value))
                .collect(),
            _ => Vec::new(),
        };
        for (name, value) in members {
            places(value, &format!("{at}/{name}"), all);
        }
    }
    let (whole, mut all) = (complete(), Vec::new());
    places(&whole, "", &mut all);
    let (mut read_all, mut refused) = (0, 0);
    for place in &all {
        for instead in [
            json!(null),
            json!(true),
            json!(-1.5e300),
            json!(""),
            json!("é\n{}"),
            json!([]),
            json!([[]]),
            json!({}),
            json!("x".repeat(5_000)),
        ] {
            let mut changed = whole.clone();
            *changed.pointer_mut(place).unwrap() = instead;
            match read(&changed) {
                Ok(wanted) => {
                    read_all += 1;
                    let _ = Plan::new(wanted, "eu-west-1".parse().unwrap());
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.len() < 2_000 && error.contains(": "), "{error}");
                }
            }
        }
    }
    assert!(read_all > 20 && refused > 200, "{read_all} {refused}");
}
