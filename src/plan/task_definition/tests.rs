use super::error::MAX_LISTED_PROBLEMS;
use super::*;
use crate::observation::Dependency;
use crate::plan::{Plan, ReachabilityCheck};
use serde_json::json;

const IMAGE: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1";

fn read(document: &Value) -> Result<PlanInput, InvalidTaskDefinition> {
    super::read(document.to_string().as_bytes())
}

/// Returns a task definition of one container, with these members besides name and image.
fn container(extra: Value) -> Value {
    let mut container = json!({ "name": "app", "image": IMAGE, "essential": true });
    if let (Some(container), Value::Object(extra)) = (container.as_object_mut(), extra) {
        container.extend(extra);
    }
    json!({ "family": "app", "containerDefinitions": [container], "status": "ACTIVE" })
}

/// Returns a task definition of one container for Fargate.
fn fargate(extra: Value) -> Value {
    let mut definition = container(extra);
    for (name, value) in [
        ("requiresCompatibilities", json!(["FARGATE"])),
        ("networkMode", json!("awsvpc")),
        ("cpu", json!("256")),
        ("memory", json!("512")),
        (
            "executionRoleArn",
            json!("arn:aws:iam::123456789012:role/exec"),
        ),
    ] {
        definition[name] = value;
    }
    definition
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
fn reads_inputs_with_or_without_the_outer_object() {
    let bare = json!({ "family": "app", "executionRoleArn": "exec", "containerDefinitions": [{ "name": "app", "image": IMAGE, "secrets": [{ "name": "A", "valueFrom": "/app/a" }],
        "logConfiguration": { "logDriver": "awslogs", "secretOptions": null,
            "options": { "awslogs-group": "/ecs/app", "awslogs-region": "eu-west-1", "mode": "non-blocking" } } }],
        "runtimePlatform": { "cpuArchitecture": "ARM64" }, "color": "red" });
    for document in [bare.clone(), json!({ "taskDefinition": bare, "tags": [] })] {
        let input = read(&document).unwrap();
        assert_eq!(input.images[0].image.to_string(), IMAGE);
        assert_eq!(input.secrets[0].to_string(), "/app/a");
        assert_eq!(input.logs[0].group, "/ecs/app");
        assert_eq!(input.platform.unwrap().to_string(), "linux/arm64");
        assert!(input.unchecked.is_empty());
    }
}

#[test]
fn default_platform_is_linux_amd64_only_on_fargate() {
    assert_eq!(
        read(&fargate(json!({})))
            .unwrap()
            .platform
            .unwrap()
            .to_string(),
        "linux/amd64"
    );
    let mut on_instances =
        container(json!({ "memory": 128, "logConfiguration": { "logDriver": "json-file" } }));
    on_instances["requiresCompatibilities"] = json!(["EC2"]);
    assert_eq!(read(&on_instances).unwrap().platform, None);
}

#[test]
fn accepts_a_byte_order_mark() {
    let marked = format!("\u{feff}{}", container(json!({})));
    assert!(super::read(marked.as_bytes()).is_ok());
}

/// Returns a task definition with one of everything.
fn complete() -> Value {
    json!({
        "family": "app",
        "executionRoleArn": "arn:aws:iam::123456789012:role/exec",
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
fn reads_every_dependency_of_the_task() {
    let input = read(&complete()).unwrap();
    assert_eq!(input.images[0].login.as_deref(), Some("hub"));
    assert_eq!(
        (
            input.logs[0].create_group,
            input.logs[0].stream_prefix.as_deref()
        ),
        (true, Some("fl"))
    );
    assert!(input.unchecked.is_empty());
    let plan = Plan::new(input, "eu-west-1".parse().unwrap()).unwrap();
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
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn reads_the_destination_of_a_log_router_from_its_options() {
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
        let input = routed(options.clone()).unwrap();
        let ReachabilityCheck {
            dependency,
            host: found,
            port: at,
            tcp_only: tcp,
            ..
        } = input.connections[0].clone();
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
        let input = routed(options).unwrap();
        assert_eq!((input.connections.len(), input.unchecked.len()), (0, 0));
    }
    for options in [
        json!({}),
        json!({ "Name": "kafka" }),
        json!({ "Name": "cloudwatch" }),
        json!({ "Name": "s3", "region": "${R}" }),
    ] {
        let input = routed(options).unwrap();
        assert_eq!((input.connections.len(), input.unchecked.len()), (0, 1));
    }
    let error = routed(json!({ "Name": "cloudwatch", "region": "https://logs" }))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("containerDefinitions[0].logConfiguration: options.region"),
        "{error}"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn rejects_what_ecs_rejects_with_its_path() {
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
    let mut unknown_os = container(json!({}));
    unknown_os["runtimePlatform"] = json!({ "operatingSystemFamily": "BEOS" });
    for (document, path) in [
        (
            container(json!({ "image": "App" })),
            "containerDefinitions[0].image: ",
        ),
        (
            container(json!({ "image": 5 })),
            "containerDefinitions[0].image: expected a string, found a number",
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
            "containerDefinitions[0].secrets[1]: expected an object, found a string",
        ),
        (
            container(json!({ "secrets": {} })),
            "containerDefinitions[0].secrets: expected an array, found an object",
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
            "containerDefinitions[0].logConfiguration.options.awslogs-create-group: expected a string",
        ),
        (
            container(json!({ "logConfiguration": { "logDriver": "awslogs" } })),
            "containerDefinitions[0].logConfiguration: options is missing",
        ),
        (
            fargate(json!({ "logConfiguration": { "logDriver": "json-file" } })),
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
            "credentialsParameter: registry credentials are read from Secrets Manager",
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
            "containerDefinitions[1].name: \"a\" is already the name of containerDefinitions[0]",
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
        (unknown_os, "runtimePlatform.operatingSystemFamily: "),
        (
            json!({ "containerDefinitions": [] }),
            "containerDefinitions: 0 containers",
        ),
        (
            json!({ "containerDefinitions": "x" }),
            "containerDefinitions: expected an array",
        ),
        (
            json!([{ "name": "app", "image": IMAGE }]),
            "not a task definition: expected an object with containerDefinitions",
        ),
        (json!({ "Resources": {} }), "CloudFormation"),
        (json!({ "tasks": [] }), "describe-task-definition"),
        (json!({ "taskDefinition": [] }), "taskDefinition: "),
    ] {
        let error = read(&document).unwrap_err().to_string();
        assert!(
            error.contains(path),
            "{document}\n{error}\ndoes not contain {path}"
        );
    }
}

#[test]
fn other_network_volumes_are_reported_as_not_checked() {
    let mut definition = container(json!({}));
    definition["executionRoleArn"] = json!("exec");
    definition["volumes"] = json!([{ "name": "a", "fsxWindowsFileServerVolumeConfiguration": { "fileSystemId": "fs-01234567",
        "rootDirectory": "share", "authorizationConfig": { "domain": "example.com",
            "credentialsParameter": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:fsx-AbCdEf" } } },
        { "name": "b", "s3filesVolumeConfiguration": { "fileSystemArn": "arn:x" } }, { "name": "c", "configuredAtLaunch": true }]);
    let subjects: Vec<_> = read(&definition)
        .unwrap()
        .unchecked
        .into_iter()
        .map(|unchecked| unchecked.subject)
        .collect();
    assert_eq!(subjects, ["fs-01234567", "arn:x"]);
}

#[test]
fn lists_several_problems_at_once() {
    let broken = json!({ "image": "App", "secrets": [{}], "environmentFiles": [{}], "logConfiguration": {} });
    let error = read(&json!({ "containerDefinitions": [broken, broken] }))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error
            .lines()
            .filter(|line| line.starts_with("containerDefinitions["))
            .count(),
        MAX_LISTED_PROBLEMS,
        "{error}"
    );
    assert!(error.ends_with(" more problems"), "{error}");
    let six = json!({ "name": "app", "image": 1, "secrets": 1, "links": 1, "mountPoints": 1, "volumesFrom": 1, "cpu": "1" });
    let error = read(&json!({ "family": "app", "containerDefinitions": [six] })).unwrap_err();
    let InvalidTaskDefinition::Rejected(all) = &error else {
        panic!("{error}");
    };
    let six = all.iter().cycle().take(MAX_LISTED_PROBLEMS + 1).cloned();
    let six = InvalidTaskDefinition::Rejected(six.collect());
    assert!(six.to_string().ends_with("\nand 1 more problem"), "{six}");
}

#[test]
fn an_error_of_several_lines_begins_below_its_label() {
    let one_line = read(&json!({ "tasks": [] })).unwrap_err();
    let labeled = one_line.with_label("--task-definition x");
    assert!(
        labeled.starts_with("--task-definition x is not a task definition: "),
        "{labeled}"
    );
    let carets = read(&container(json!({ "image": "App" }))).unwrap_err();
    let several = read(&container(json!({ "image": 5, "secrets": {} }))).unwrap_err();
    for error in [carets, several] {
        let labeled = error.with_label("x");
        assert!(
            labeled.starts_with("x:\ncontainerDefinitions[0].image: "),
            "{labeled}"
        );
    }
}

#[test]
fn rejects_any_size_and_depth_with_a_short_error() {
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let many: Vec<_> = (0..300)
        .map(|n| json!({ "name": format!("c{n}"), "image": IMAGE }))
        .collect();
    for (document, complaint) in [
        (b" ".repeat(5_000_000), "has more than 262144 bytes"),
        (
            deep,
            "the task definition is not valid JSON: recursion limit",
        ),
        (
            json!({ "containerDefinitions": many })
                .to_string()
                .into_bytes(),
            "300 containers; ECS accepts 1 to 10",
        ),
        (b"{".to_vec(), "is not valid JSON: EOF"),
        (b" \n".to_vec(), "is empty; pass the output of"),
        (b"\xff\xfe{\x00}\x00".to_vec(), "UTF-8"),
    ] {
        let error = super::read(&document).unwrap_err().to_string();
        assert!(error.contains(complaint) && error.len() < 300, "{error}");
    }
}

/// Replaces every value by every other kind of value, and removes every member.
#[test]
fn every_change_is_read_or_rejected_with_a_path() {
    fn paths(value: &Value, at: &str, all: &mut Vec<String>) {
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
            paths(value, &format!("{at}/{name}"), all);
        }
    }
    let (whole, mut all) = (complete(), Vec::new());
    paths(&whole, "", &mut all);
    let (mut read_all, mut rejected) = (0, 0);
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
                Ok(input) => {
                    read_all += 1;
                    let _ = Plan::new(input, "eu-west-1".parse().unwrap());
                }
                Err(error) => {
                    rejected += 1;
                    let error = error.to_string();
                    assert!(error.len() < 3_000 && error.contains(": "), "{error}");
                }
            }
        }
    }
    assert!(read_all > 20 && rejected > 200, "{read_all} {rejected}");
}

/// Returns the definition with these members.
#[cfg(feature = "operator")]
fn with(mut definition: Value, members: Value) -> Value {
    if let (Some(all), Value::Object(members)) = (definition.as_object_mut(), members) {
        all.extend(members);
    }
    definition
}

/// What ECS rejects when the definition is registered, each by one change of a definition that it
/// takes.
#[test]
#[cfg(feature = "operator")]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn rejects_what_ecs_rejects_at_registration() {
    let logs = json!({ "logDriver": "awslogs",
        "options": { "awslogs-group": "/ecs/app", "awslogs-region": "eu-west-1" } });
    let nginx = |extra: Value| {
        let definition = fargate(with(extra, json!({ "image": "nginx" })));
        with(definition, json!({ "executionRoleArn": null }))
    };
    assert!(read(&fargate(json!({}))).is_ok());
    assert!(read(&nginx(json!({}))).is_ok(), "no role is needed");
    let cases = [
        (
            with(fargate(json!({})), json!({ "networkMode": "bridge" })),
            "networkMode: Fargate supports only",
        ),
        (
            with(fargate(json!({})), json!({ "executionRoleArn": null })),
            "executionRoleArn: is missing: on Fargate, images in Amazon ECR",
        ),
        (
            nginx(json!({ "logConfiguration": logs })),
            "executionRoleArn: is missing: on Fargate, logs",
        ),
        (
            nginx(json!({ "secrets": [{ "name": "A", "valueFrom": "/a" }] })),
            "executionRoleArn: is missing: secrets",
        ),
        (
            container(json!({ "secrets": [{ "name": "A", "valueFrom": "/a" }] })),
            "executionRoleArn: is missing: secrets",
        ),
        (
            with(fargate(json!({})), json!({ "networkMode": null })),
            "networkMode: is missing",
        ),
        (
            with(fargate(json!({})), json!({ "cpu": null })),
            "cpu: is missing",
        ),
        (
            with(fargate(json!({})), json!({ "memory": null })),
            "memory: is missing",
        ),
        (
            with(fargate(json!({})), json!({ "cpu": "300" })),
            "cpu: \"300\" is not a Fargate task size",
        ),
        (
            with(fargate(json!({})), json!({ "cpu": 256 })),
            "cpu: expected a string, found a number; put it in quotation marks",
        ),
        (
            with(fargate(json!({})), json!({ "memory": "4096" })),
            "memory: Fargate has no task size with 256",
        ),
        (
            with(fargate(json!({})), json!({ "family": null })),
            "family: is missing",
        ),
        (
            with(fargate(json!({})), json!({ "family": "a b" })),
            "family: ",
        ),
        (
            with(
                fargate(json!({})),
                json!({ "executionRoleArn": null, "executionRoleARN": "arn:aws:iam::123456789012:role/x" }),
            ),
            "executionRoleARN: ECS has no member of this name; did you mean executionRoleArn?",
        ),
        (
            fargate(json!({ "name": null })),
            "containerDefinitions[0]: name is missing",
        ),
        (
            fargate(json!({ "secret": [] })),
            "containerDefinitions[0].secret: ECS has no member of this name; did you mean secrets?",
        ),
        (
            fargate(json!({ "secrets": [{ "valueFrom": "/a" }] })),
            "containerDefinitions[0].secrets[0]: name is missing",
        ),
        (
            fargate(json!({ "environment": [{ "name": "A", "value": 1 }] })),
            "containerDefinitions[0].environment[0].value: expected a string, found a number",
        ),
        (
            fargate(json!({ "memory": "128" })),
            "containerDefinitions[0].memory: expected a whole number, found a string; remove the quotation marks",
        ),
        (
            fargate(json!({ "essential": "true" })),
            "containerDefinitions[0].essential: expected true or false, found a string; remove the quotation marks",
        ),
        (
            fargate(json!({ "essential": false })),
            "containerDefinitions[0]: no container is essential",
        ),
        (
            fargate(json!({ "links": ["app"] })),
            "containerDefinitions[0].links[0]: Fargate does not support links",
        ),
        (
            fargate(json!({ "privileged": true })),
            "containerDefinitions[0].privileged: Fargate does not support",
        ),
        (
            fargate(json!({ "portMappings": [{ "containerPort": 80, "hostPort": 8080 }] })),
            "containerDefinitions[0].portMappings[0].hostPort: in the network mode awsvpc",
        ),
        (
            fargate(json!({ "portMappings": [{ "containerPort": 80, "protocol": "http" }] })),
            "containerDefinitions[0].portMappings[0].protocol: \"http\" is not one of tcp, udp",
        ),
        (
            awslogs(json!({ "awslogs-create-group": "false" })),
            "awslogs-create-group: ECS accepts only \"true\"",
        ),
        (
            fargate(
                json!({ "firelensConfiguration": { "type": "fluentbit", "options": { "config-file-type": "s3", "config-file-value": "arn:aws:s3:::b-c/x.conf" } } }),
            ),
            "firelensConfiguration.options.config-file-type: Fargate supports only",
        ),
        (
            json!({ "taskDefinition": "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:7" }),
            "describe-task-definition --task-definition",
        ),
    ];
    for (definition, complaint) in cases {
        let error = read(&definition).expect_err(complaint).to_string();
        assert!(
            error.contains(complaint),
            "{definition}\n{error}\ndoes not contain {complaint}"
        );
    }
    for (cpu, memory, is_size) in [
        (".25 vCPU", "0.5 GB", true),
        ("512", "4096", true),
        ("512", "5120", false),
        ("1024", "8GB", true),
        ("2048", "3072", false),
        ("2048", "16384", true),
        ("4096", "30720", true),
        ("4096", "31744", false),
        ("8192", "16384", true),
        ("8192", "17408", false),
        ("8 vCPU", "60 GB", true),
        ("16384", "122880", true),
        ("16 vCPU", "36 GB", false),
        ("32 vCPU", "244 GB", true),
        ("32768", "30720", false),
    ] {
        let read = read(&with(
            fargate(json!({})),
            json!({ "cpu": cpu, "memory": memory }),
        ));
        assert_eq!(read.is_ok(), is_size, "{cpu} {memory}: {read:?}");
    }
}

/// What ECS rejects for the sizes, the roles and the launch type.
#[test]
#[cfg(feature = "operator")]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn rejects_sizes_roles_and_members_that_do_not_fit() {
    let on_instances = |members: Value| with(container(json!({})), members);
    let role = |name: &str, arn: &str| with(fargate(json!({})), json!({ name: arn }));
    let secret = |arn: &str| fargate(json!({ "secrets": [{ "name": "A", "valueFrom": arn }] }));
    let after = |condition: &str, essential: bool| {
        let mut definition = fargate(json!({ "essential": essential }));
        let second = json!({ "name": "second", "image": "nginx",
            "dependsOn": [{ "containerName": "app", "condition": condition }] });
        definition["containerDefinitions"]
            .as_array_mut()
            .unwrap()
            .push(second);
        definition
    };
    let volume = json!({ "volumes": [{ "name": "v", "host": { "sourcePath": "/data" } }] });
    let cases = [
        (
            on_instances(json!({ "networkMode": "bridge" })),
            "[0].memory: is missing: on instances",
        ),
        (
            on_instances(json!({ "requiresCompatibilities": ["EC2"] })),
            "[0].memory: is missing: on instances",
        ),
        (
            fargate(json!({ "memory": 1024 })),
            "[0].memory: 1024 is greater than the memory of the task, 512",
        ),
        (
            fargate(json!({ "cpu": 512 })),
            "[0].cpu: the containers' CPU units, 512 so far",
        ),
        (role("executionRoleArn", ""), "executionRoleArn: is missing"),
        (
            role("executionRoleArn", "arn:aws:iam::role/ecsTaskExecutionRole"),
            "executionRoleArn: \"arn:aws:iam::role/ecsTaskExecutionRole\" is not the ARN of a role",
        ),
        (
            role("taskRoleArn", "arn:aws:iam::123456789012:group/web"),
            "taskRoleArn: \"arn:aws:iam::123456789012:group/web\" is not the ARN of a role",
        ),
        (
            role("taskRoleArn", "arn:aws:iam::123456789:role/web"),
            "with an account ID of 12 digits",
        ),
        (
            secret("arn:aws:ssm:eu-west-1:123456789:parameter/a"),
            "secrets[0].valueFrom: \"123456789\" is not an AWS account ID",
        ),
        (
            secret("arn:aws:ssm:eu-west-1::parameter/a"),
            "secrets[0].valueFrom: \"\" is not an AWS account ID",
        ),
        (
            fargate(json!({ "environment": [{ "name": "A", "valueFrom": "/a" }] })),
            "environment[0].valueFrom: ECS does not read it here; move the variable to secrets",
        ),
        (
            after("SUCCESS", true),
            "[1].dependsOn[0].condition: \"app\" is essential",
        ),
        (
            after("COMPLETE", true),
            "[1].dependsOn[0].condition: \"app\" is essential",
        ),
        (
            with(fargate(json!({})), volume),
            "volumes[0].host.sourcePath: Fargate has no host",
        ),
        (
            with(fargate(json!({})), json!({ "pidMode": "host" })),
            "pidMode: Fargate supports only",
        ),
        (
            with(fargate(json!({})), json!({ "ipcMode": "task" })),
            "ipcMode: Fargate does not support",
        ),
        (
            with(
                fargate(json!({})),
                json!({ "placementConstraints": [{ "type": "memberOf" }] }),
            ),
            "placementConstraints: Fargate does not support",
        ),
        (
            with(
                fargate(json!({})),
                json!({ "ephemeralStorage": { "sizeInGiB": 10 } }),
            ),
            "ephemeralStorage.sizeInGiB: ECS takes 21 to 200 GiB",
        ),
        (
            fargate(json!({ "resourceRequirements": [{ "type": "GPU", "value": "1" }] })),
            "resourceRequirements[0]: Fargate has no GPU",
        ),
        (
            fargate(json!({ "linuxParameters": { "sharedMemorySize": 64 } })),
            "linuxParameters.sharedMemorySize: Fargate does not support",
        ),
        (
            fargate(json!({ "linuxParameters": { "capabilities": { "add": ["NET_ADMIN"] } } })),
            "capabilities.add[0]: Fargate adds no capability but SYS_PTRACE",
        ),
    ];
    for (definition, complaint) in cases {
        let error = read(&definition).expect_err(complaint).to_string();
        assert!(
            error.contains(complaint),
            "{definition}\n{error}\ndoes not contain {complaint}"
        );
    }
    let windows =
        json!({ "runtimePlatform": { "operatingSystemFamily": "WINDOWS_SERVER_2022_CORE" } });
    let error = read(&with(fargate(json!({})), windows)).unwrap_err();
    assert!(
        error.to_string().contains("cpu: Windows on Fargate"),
        "{error}"
    );
    let linux = json!({ "initProcessEnabled": true, "devices": [], "sharedMemorySize": 0,
        "capabilities": { "add": ["SYS_PTRACE"], "drop": ["ALL"] } });
    for definition in [
        on_instances(json!({ "networkMode": "bridge", "memory": "512" })),
        with(
            container(json!({ "memoryReservation": 64 })),
            json!({ "networkMode": "host" }),
        ),
        on_instances(json!({ "requiresCompatibilities": ["MANAGED_INSTANCES"] })),
        fargate(json!({ "memory": 512, "cpu": 256, "memoryReservation": 64 })),
        role("taskRoleArn", "app-role"),
        role(
            "taskRoleArn",
            "arn:aws-cn:iam::123456789012:role/service-role/web",
        ),
        role("taskRoleArn", ""),
        after("SUCCESS", false),
        after("START", true),
        fargate(json!({ "linuxParameters": linux })),
        with(
            fargate(json!({})),
            json!({ "pidMode": "task", "placementConstraints": [], "ipcMode": null,
            "volumes": [{ "name": "v", "host": {} }, { "name": "w", "host": { "sourcePath": null } }] }),
        ),
    ] {
        assert!(
            read(&definition).is_ok(),
            "{definition}: {:?}",
            read(&definition)
        );
    }
}

#[test]
fn accepts_what_ecs_accepts() {
    for definition in [
        awslogs(json!({ "awslogs-create-group": "True" })),
        fargate(
            json!({ "portMappings": [{ "containerPort": 80, "hostPort": 80 }, { "containerPort": 81 }, { "containerPort": 82, "hostPort": 0 }] }),
        ),
        container(
            json!({ "links": [], "privileged": true, "logConfiguration": { "logDriver": "json-file" } }),
        ),
        fargate(
            json!({ "$comment": "unknown names are ignored", "privileged": false, "links": [] }),
        ),
        fargate(json!({ "secrets": [], "secret": 5 })),
    ] {
        assert!(
            read(&definition).is_ok(),
            "{definition}: {:?}",
            read(&definition)
        );
    }
}

#[test]
fn the_host_of_a_task_is_what_its_definition_says() {
    let host = |members: Value| {
        let mut definition = container(json!({ "memory": 128 }));
        definition
            .as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        read(&definition).unwrap().host
    };
    let ec2 = host(json!({ "requiresCompatibilities": ["EC2"], "networkMode": "awsvpc" }));
    assert!(ec2.is_instance() && ec2.has_own_interface && ec2.uses_instance_role);
    let bridge = host(json!({ "networkMode": "bridge", "executionRoleArn": "exec" }));
    assert!(bridge.is_instance() && !bridge.has_own_interface && !bridge.uses_instance_role);
    assert!(
        host(json!({})).is_instance(),
        "the default network mode is bridge"
    );
    assert!(host(json!({ "networkMode": "awsvpc" })).is_unknown());
    assert!(
        host(json!({ "networkMode": "awsvpc", "compatibilities": ["EC2", "FARGATE"] }))
            .is_unknown()
    );
    let fargate = read(&fargate(json!({}))).unwrap().host;
    assert!(!fargate.is_instance() && !fargate.is_unknown());
}

#[test]
fn destinations_in_secrets_and_files_in_s3_are_not_guessed() {
    let router = |log: Value, options: Value| {
        let mut definition = container(json!({ "logConfiguration": log }));
        definition["executionRoleArn"] = json!("exec");
        definition["requiresCompatibilities"] = json!(["EC2"]);
        definition["memory"] = json!("512");
        let router = json!({ "name": "router", "image": IMAGE, "firelensConfiguration": { "type": "fluentbit", "options": options } });
        definition["containerDefinitions"]
            .as_array_mut()
            .unwrap()
            .push(router);
        read(&definition).unwrap()
    };
    for log in [
        json!({ "logDriver": "awsfirelens", "options": { "Name": "datadog" }, "secretOptions": [{ "name": "Host", "valueFrom": "/host" }] }),
        json!({ "logDriver": "awsfirelens", "options": { "Name": "es", "Cloud_ID": "x:y" } }),
        json!({ "logDriver": "awsfirelens", "options": { "Name": "http" }, "secretOptions": [{ "name": "host", "valueFrom": "/host" }] }),
    ] {
        let input = router(
            log,
            json!({ "config-file-type": "s3", "config-file-value": "arn:aws:s3:::conf/fb.conf" }),
        );
        assert!(
            input.connections.is_empty() && input.unchecked[0].why.contains("its host is a secret"),
            "{input:?}"
        );
        assert_eq!(input.environment_files, ["arn:aws:s3:::conf/fb.conf"]);
    }
    let mut windows = container(
        json!({ "credentialSpecs": ["credentialspecdomainless:arn:aws:s3:::spec/a.json"],
        "dockerSecurityOptions": ["credentialspec:arn:aws:ssm:eu-west-1:123456789012:parameter/spec"] }),
    );
    windows["executionRoleArn"] = json!("exec");
    windows["volumes"] = json!([{ "name": "nfs", "dockerVolumeConfiguration": { "driver": "local",
        "driverOpts": { "type": "nfs", "device": ":/", "o": "addr=fs-01234567.efs.eu-west-1.amazonaws.com,nfsvers=4.1" } } }]);
    let input = read(&windows).unwrap();
    assert_eq!(input.environment_files, ["arn:aws:s3:::spec/a.json"]);
    assert_eq!(
        input.secrets[0].to_string(),
        "arn:aws:ssm:eu-west-1:123456789012:parameter/spec"
    );
    assert_eq!(
        (
            input.connections[0].host.as_str(),
            input.connections[0].port
        ),
        ("fs-01234567.efs.eu-west-1.amazonaws.com", 2049)
    );
}
