use super::*;

fn plan(image: &str) -> Plan {
    let input = PlanInput {
        images: vec![image.parse().unwrap()],
        ..PlanInput::default()
    };
    Plan::new(input, "eu-west-1".parse().unwrap()).unwrap()
}

#[test]
fn ecr_image_needs_token_registry_and_layer_bucket_of_its_region() {
    assert_eq!(
        plan("123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1.4").to_string(),
        "\
ecr.api  api.ecr.eu-west-1.amazonaws.com:443                                  resolve connect handshake authorize
ecr.dkr  123456789012.dkr.ecr.eu-west-1.amazonaws.com:443                     resolve connect handshake manifest blob
s3       prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com:443  resolve connect handshake fetch
"
    );
    let elsewhere = plan("123456789012.dkr.ecr.us-west-2.amazonaws.com/app:1.4");
    assert_eq!(
        elsewhere.target(elsewhere.images[0].layers.unwrap()).host,
        "prod-us-west-2-starport-layer-bucket.s3.us-west-2.amazonaws.com"
    );
}

#[test]
fn images_of_one_registry_share_targets() {
    let images = ["eu-west-1", "eu-west-1", "us-east-1"]
        .map(|region| {
            format!("123456789012.dkr.ecr.{region}.amazonaws.com/app")
                .parse()
                .unwrap()
        })
        .to_vec();
    let plan = Plan::new(
        PlanInput {
            images,
            ..PlanInput::default()
        },
        "eu-west-1".parse().unwrap(),
    )
    .unwrap();
    let keys: Vec<_> = plan
        .targets
        .iter()
        .map(|target| target.key.as_str())
        .collect();
    assert_eq!(
        keys,
        [
            "ecr.api",
            "ecr.api@api.ecr.us-east-1.amazonaws.com",
            "ecr.dkr",
            "s3",
            "ecr.dkr@123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "s3@prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com",
        ]
    );
}

#[test]
fn reads_only_the_json_of_a_plan() {
    let plan = plan("123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1.4");
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(Plan::from_json(&json).as_ref(), Ok(&plan));
    for broken in [
        "{}",
        "[]",
        "",
        &json.replace("plan/v1", "plan/v9"),
        &json.replace("\"images\"", "\"imagers\""),
    ] {
        if broken != json {
            assert!(Plan::from_json(broken).is_err(), "{broken}");
        }
    }
    let host = r#"{"schema":"pullprobe/plan/v1","region":"eu-west-1","platform":"linux/amd64",
        "connections":[{"dependency":"splunk","host":"a/b","subject":"x"}]}"#;
    assert!(
        Plan::from_json(host)
            .unwrap_err()
            .to_string()
            .contains("\"a/b\" is not a valid host name")
    );
    assert!(Plan::from_json(&host.replace("a/b", "a.b")).is_ok());
    let elsewhere = json.replace("api.ecr.eu-west-1", "api.ecr.eu-west-2");
    assert!(
        Plan::from_json(&elsewhere)
            .unwrap_err()
            .to_string()
            .contains("leave them out")
    );
}

#[test]
fn log_group_names_follow_the_rules_of_cloudwatch_logs() {
    for (group, complaint) in [
        ("x".repeat(600), "has 600"),
        (String::new(), "has 0"),
        ("a b".into(), "' '"),
    ] {
        let input = PlanInput {
            log_group: Some(group),
            ..PlanInput::default()
        };
        let error = Plan::new(input, "eu-west-1".parse().unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("log group") && error.contains(complaint),
            "{error}"
        );
    }
}

/// A task with many containers, registries, log groups and secrets, and one of everything else.
fn large(containers: usize, secrets: usize) -> Plan {
    let account = |n: usize| 111_111_111_111 + n % 3;
    let images = (0..containers).map(|n| {
        format!(
            "{}.dkr.ecr.eu-west-1.amazonaws.com/payments/service-{n:02}:2026.11.{n}",
            account(n)
        )
    });
    let logs = (0..containers).map(|n| LogGroupInput {
        group: format!("/ecs/production/payments/service-{n:02}"),
        region: None,
        stream_prefix: Some(format!("service-{n:02}")),
        create_group: n % 2 == 0,
    });
    let value_from = |n: usize| match n % 4 {
        0 => format!(
            "arn:aws:ssm:eu-west-1:123456789012:parameter/production/payments/service-{n:02}/database-url"
        ),
        1 => format!("/production/payments/service-{n:02}/database-password"),
        _ => format!(
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:production/payments/service-{n:02}-AbCdEf:database_password::"
        ),
    };
    let input = PlanInput {
        images: images.map(|image| image.parse().unwrap()).collect(),
        secrets: (0..secrets)
            .map(|n| value_from(n).parse().unwrap())
            .collect(),
        log_group: Some("/ecs/pullprobe".into()),
        logs: logs.collect(),
        log_stream_prefix: "pullprobe".into(),
        ip_family: IpFamily::Ipv4,
        environment_files: vec!["arn:aws:s3:::payments-configuration/production/common.env".into()],
        file_systems: vec![EfsVolume {
            id: "fs-0123456789abcdef0".into(),
            root_directory: Some("/exports".into()),
            access_point: Some("fsap-0123456789abcdef0".into()),
            iam: true,
            transit_encryption: true,
        }],
        connections: vec![ReachabilityCheck {
            dependency: Dependency::SsmMessages,
            host: "ssmmessages.eu-west-1.amazonaws.com".into(),
            port: 443,
            tcp_only: false,
            subject: "ECS Exec".into(),
        }],
        unchecked: vec![Unchecked {
            dependency: Dependency::Efs,
            subject: "fs-0".into(),
            why: "its policy".into(),
        }],
        platform: Some("linux/arm64".parse().unwrap()),
        host: TaskHost::default(),
        windows_file_systems: vec!["fs-0123456789abcdef1".into()],
        expect: Expect::Private,
        full: true,
        vpc_cidrs: vec!["10.0.0.0/16".parse().unwrap()],
        account: None,
        execution_role: Some("arn:aws:iam::123456789012:role/ecsTaskExecutionRole".into()),
        task_role: Some("arn:aws:iam::123456789012:role/app".into()),
    };
    Plan::new(input, "eu-west-1".parse().unwrap()).unwrap()
}

#[test]
fn ten_containers_and_forty_secrets_fit_an_override_with_quotes_escaped() {
    let plan = large(10, 40);
    let short = plan.to_short_json().unwrap();
    let overrides = serde_json::json!({ "containerOverrides": [{ "name": "pullprobe", "environment": [
        { "name": "PULLPROBE_IMAGE", "value": "" }, { "name": "PULLPROBE_LOG_GROUP", "value": "" },
        { "name": "PULLPROBE_PLAN", "value": short }] }] });
    let size = overrides.to_string().len();
    assert!(size < MAX_OVERRIDE_CHARS * 3 / 4, "{size} characters");
    assert_eq!(Plan::from_json(&short).as_ref(), Ok(&plan));
    let printed = plan.to_json().unwrap();
    assert!(
        printed.len() <= MAX_OVERRIDE_CHARS && printed.contains("api.ecr.eu-west-1.amazonaws.com"),
        "{}",
        printed.len()
    );
    assert_eq!(Plan::from_json(&printed), Ok(plan));
}

#[test]
fn long_names_digests_versions_and_many_accounts_fit_an_override() {
    let images = (0..10).map(|n| {
        let digest = "ab".repeat(32);
        format!(
            "{}.dkr.ecr.eu-west-1.amazonaws.com/payments/production/service-{n:02}@sha256:{digest}",
            111_111_111_111_u64 + n
        )
    });
    let secrets = (0..40).map(|n| {
        let service = format!("arn:aws:secretsmanager:eu-west-1:123456789012:secret:production/payments/service-{:02}", n / 4);
        format!("{service}/database/credentials-{n}-AbCdEf:database_password:AWSCURRENT:11111111-2222-3333-4444-5555555555{n:02}")
    });
    let logs = (0..10).map(|n| LogGroupInput {
        group: format!("/ecs/production/payments/service-{n:02}"),
        region: None,
        stream_prefix: Some(format!("service-{n:02}")),
        create_group: true,
    });
    let files = (0..10).map(|n| {
        format!("arn:aws:s3:::payments-configuration-production/service-{n:02}/common.env")
    });
    let input = PlanInput {
        images: images.map(|image| image.parse().unwrap()).collect(),
        secrets: secrets.map(|secret| secret.parse().unwrap()).collect(),
        logs: logs.collect(),
        environment_files: files.collect(),
        ..PlanInput::default()
    };
    let plan = Plan::new(input, "eu-west-1".parse().unwrap()).unwrap();
    let json = plan.to_json().unwrap();
    assert!(
        json.contains(
            r#""prefix":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:production/payments/service-""#
        ),
        "{json}"
    );
    assert_eq!(Plan::from_json(&json), Ok(plan));
}

#[test]
fn every_plan_survives_a_round_trip_or_is_rejected_with_its_size_and_a_hint() {
    let mut rejected = 0;
    for containers in 0..=10 {
        for secrets in [0, 1, 2, 3, 7, 40, 80, 160, 320] {
            let plan = large(containers, secrets);
            let whole = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<Plan>(&whole).unwrap(), plan);
            match plan.to_json() {
                Ok(json) => {
                    assert!(
                        serde_json::to_string(&json).unwrap().len() + 200 <= MAX_OVERRIDE_CHARS
                    );
                    assert_eq!(Plan::from_json(&json), Ok(plan));
                }
                Err(error) => {
                    rejected += 1;
                    let error = error.to_string();
                    let short = plan.to_short_json().unwrap();
                    let escaped = serde_json::to_string(&short).unwrap().len();
                    assert!(
                        escaped + 200 > MAX_OVERRIDE_CHARS && error.contains("s3://"),
                        "{escaped}: {error}"
                    );
                    // Only RunTask has this limit.
                    assert_eq!(Plan::from_json(&short).as_ref(), Ok(&plan));
                    assert_eq!(Plan::from_json(&plan.to_whole_json().unwrap()), Ok(plan));
                }
            }
        }
    }
    assert!(rejected > 10, "{rejected}");
}

#[test]
fn derives_targets_of_environment_files_file_systems_and_registry_logins() {
    let input = PlanInput {
        images: vec![ImageInput {
            login: Some("dockerhub".into()),
            ..image("nginx")
        }],
        environment_files: vec![
            "arn:aws:s3:::a.dotted.bucket/app.env".into(),
            "arn:aws:s3:::plain/a/b.env".into(),
        ],
        file_systems: vec![EfsVolume {
            id: "fs-0123".into(),
            root_directory: None,
            access_point: None,
            iam: false,
            transit_encryption: false,
        }],
        ..PlanInput::default()
    };
    let plan = Plan::new(input, "eu-west-1".parse().unwrap()).unwrap();
    assert_eq!(
        plan.to_string(),
        "\
secretsmanager    secretsmanager.eu-west-1.amazonaws.com:443  resolve connect handshake read
environment-file  s3.eu-west-1.amazonaws.com:443              resolve connect handshake fetch
environment-file  plain.s3.eu-west-1.amazonaws.com:443        resolve connect handshake fetch
efs               fs-0123.efs.eu-west-1.amazonaws.com:2049    resolve connect mount
registry          registry-1.docker.io:443                    resolve connect handshake manifest blob fetch
"
    );
    let file = &plan.environment_files[1];
    assert_eq!(
        (file.bucket.as_str(), file.key.as_str()),
        ("plain", "a/b.env")
    );
}

fn image(reference: &str) -> ImageInput {
    reference.parse().unwrap()
}

/// Changes bytes at random, because a plan may come from anywhere.
#[test]
fn damaged_plans_are_rejected_or_read_without_panic() {
    let whole = large(3, 9).to_json().unwrap();
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let alphabet: Vec<char> = "{}[]\":,\\/.-0a é\u{0}".chars().collect();
    let (mut rejected, mut read) = (0, 0);
    for _ in 0..3_000 {
        let mut damaged: Vec<char> = whole.chars().collect();
        for _ in 0..=random(3) {
            let (at, with) = (random(damaged.len()), alphabet[random(alphabet.len())]);
            match random(3) {
                0 => damaged[at] = with,
                1 => damaged.insert(at, with),
                _ => drop(damaged.remove(at)),
            }
        }
        match Plan::from_json(&damaged.into_iter().collect::<String>()) {
            Ok(plan) => {
                read += 1;
                assert_eq!(
                    serde_json::from_str::<Plan>(&serde_json::to_string(&plan).unwrap()).unwrap(),
                    plan
                );
            }
            Err(error) => {
                rejected += 1;
                assert!(error.to_string().len() < 3_000, "{error}");
            }
        }
    }
    assert!(rejected > 1_000 && read > 20, "{rejected} {read}");
}

#[test]
fn an_ipv6_only_task_uses_dual_stack_names() {
    let input = PlanInput {
        images: vec![
            "123456789012.dkr-ecr.eu-west-1.on.aws/app:1.4"
                .parse()
                .unwrap(),
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/old:1"
                .parse()
                .unwrap(),
        ],
        secrets: vec![
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf"
                .parse()
                .unwrap(),
            "/shop/token".parse().unwrap(),
        ],
        logs: vec![LogGroupInput {
            group: "/ecs/shop".into(),
            region: None,
            stream_prefix: None,
            create_group: false,
        }],
        environment_files: vec!["arn:aws:s3:::shop-config/prod.env".into()],
        connections: vec![execute_command(
            &"eu-west-1".parse().unwrap(),
            IpFamily::Ipv6,
        )],
        ip_family: IpFamily::Ipv6,
        ..PlanInput::default()
    };
    let plan = Plan::new(input, "eu-west-1".parse().unwrap()).unwrap();
    let hosts: Vec<_> = plan
        .targets
        .iter()
        .map(|target| target.host.as_str())
        .collect();
    assert_eq!(
        hosts,
        [
            "secretsmanager.eu-west-1.amazonaws.com",
            "ssm.eu-west-1.api.aws",
            "ecr.eu-west-1.api.aws",
            "logs.eu-west-1.api.aws",
            "shop-config.s3.dualstack.eu-west-1.amazonaws.com",
            "ssmmessages.eu-west-1.api.aws",
            "123456789012.dkr-ecr.eu-west-1.on.aws",
            // As in the task definition; the layer bucket is not derived.
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        ]
    );
    let json = plan.to_json().unwrap();
    assert!(json.contains(r#""ip_family":"ipv6""#), "{json}");
    assert_eq!(Plan::from_json(&json), Ok(plan.clone()));
    let in_ipv4 = plan.clone().in_ip_family(IpFamily::Ipv4).unwrap();
    assert!(!in_ipv4.to_json().unwrap().contains("ip_family"));
    let apis = |plan: &Plan| {
        plan.targets
            .iter()
            .filter(|t| t.host.ends_with(".api.aws"))
            .count()
    };
    assert_eq!(
        (apis(&plan), apis(&in_ipv4)),
        (4, 1),
        "the given connection stays"
    );
    // ECS starts tasks in a dual-stack subnet over IPv4.
    let dual_stack = plan.in_ip_family(IpFamily::DualStack).unwrap();
    assert_eq!(dual_stack.targets, in_ipv4.targets);
}
