use super::*;
use crate::network_location::IpFamily;
use crate::observation::Dependency;
use crate::plan::{
    EfsVolume, ImageInput, LaunchType, LogGroupInput, PlanInput, ReachabilityCheck, TaskHost,
    ValueFrom,
};

const APP: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:1";

fn image(reference: &str) -> ImageInput {
    reference.parse().unwrap()
}

fn plan_in(region: &str, input: PlanInput) -> Plan {
    Plan::new(input, region.parse().unwrap()).unwrap()
}

fn plan(input: PlanInput) -> Plan {
    plan_in("eu-west-1", input)
}

fn requirements(input: PlanInput) -> Requirements {
    Requirements::of(&plan(input))
}

/// One of everything in the task's own Region, and some of it in another.
fn everything() -> PlanInput {
    PlanInput {
        images: vec![
            ImageInput {
                login: Some("registry/login".into()),
                ..image("ghcr.io/team/app:1")
            },
            image(APP),
            image("123456789012.dkr.ecr.us-east-1.amazonaws.com/other:1"),
            image("123456789012.dkr.ecr.eu-west-1.amazonaws.com/docker-hub/library/nginx:1"),
        ],
        secrets: [
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/db-AbCdEf:password::",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/partial",
            "arn:aws:ssm:eu-west-1:123456789012:parameter/app/mode",
            "/aws/reference/secretsmanager/app/behind",
        ]
        .map(|value| value.parse().unwrap())
        .into(),
        logs: vec![LogGroupInput {
            group: "/ecs/app".into(),
            region: None,
            stream_prefix: None,
            create_group: true,
        }],
        log_group: Some("/ecs/probe".into()),
        environment_files: vec!["arn:aws:s3:::my-bucket/app.env".into()],
        file_systems: vec![EfsVolume {
            id: "fs-0123456789abcdef0".into(),
            root_directory: None,
            access_point: None,
            iam: true,
            transit_encryption: true,
        }],
        connections: [
            (
                Dependency::SsmMessages,
                "ssmmessages.eu-west-1.amazonaws.com",
                443,
            ),
            (Dependency::Splunk, "splunk.corp", 8088),
        ]
        .map(|(dependency, host, port)| ReachabilityCheck {
            dependency,
            host: host.into(),
            port,
            tcp_only: false,
            subject: "x".into(),
        })
        .into(),
        ..PlanInput::default()
    }
}

#[test]
fn every_target_has_an_endpoint_or_a_reason() {
    let plan = plan(everything());
    let requirements = Requirements::of(&plan);
    let mut known: Vec<&str> = requirements
        .endpoints
        .iter()
        .flat_map(|e| &e.targets)
        .map(crate::observation::TargetKey::as_str)
        .collect();
    known.extend(
        requirements
            .outside_vpc
            .iter()
            .map(|outside| outside.target.as_str()),
    );
    known.sort_unstable();
    let mut all: Vec<_> = plan
        .targets
        .iter()
        .filter(|t| t.dependency != Dependency::Efs)
        .map(|t| t.key.as_str())
        .collect();
    all.sort_unstable();
    assert_eq!(known, all, "each once");
    let services: Vec<_> = requirements
        .endpoints
        .iter()
        .map(|e| (e.short_name(&requirements.region), e.private_dns))
        .collect();
    let s3 = services
        .iter()
        .filter(|(name, _)| *name == "s3")
        .collect::<Vec<_>>();
    assert_eq!(
        s3,
        [&("s3", false)],
        "layers and environment files go through one gateway"
    );
    for name in [
        "ecr.api",
        "ecr.dkr",
        "logs",
        "secretsmanager",
        "ssm",
        "ssmmessages",
    ] {
        assert!(services.contains(&(name, true)), "{name}: {services:?}");
    }
    let outside_vpc: Vec<_> = requirements
        .outside_vpc
        .iter()
        .map(|outside| outside.host.as_str())
        .collect();
    assert!(
        outside_vpc.contains(&"ghcr.io") && outside_vpc.contains(&"splunk.corp"),
        "{outside_vpc:?}"
    );
}

#[test]
fn endpoint_service_names_match_the_partition() {
    for (region, domain, prefix) in [
        (
            "cn-north-1",
            "amazonaws.com.cn",
            "cn.com.amazonaws.cn-north-1",
        ),
        (
            "us-gov-west-1",
            "amazonaws.com",
            "com.amazonaws.us-gov-west-1",
        ),
        ("us-iso-east-1", "c2s.ic.gov", "gov.ic.c2s.us-iso-east-1"),
    ] {
        let images = vec![image(&format!(
            "123456789012.dkr.ecr.{region}.{domain}/app"
        ))];
        let requirements = Requirements::of(&plan_in(
            region,
            PlanInput {
                images,
                ..PlanInput::default()
            },
        ));
        let mut names: Vec<_> = requirements
            .endpoints
            .iter()
            .map(|endpoint| endpoint.service.as_str())
            .collect();
        names.sort_unstable();
        let s3 = format!("com.amazonaws.{region}.s3");
        let mut expected = vec![
            format!("{prefix}.ecr.api"),
            format!("{prefix}.ecr.dkr"),
            s3.clone(),
        ];
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(
            requirements.gateway_endpoint().unwrap().endpoint_type,
            EndpointType::Gateway
        );
        assert!(
            requirements
                .security_group_rules
                .iter()
                .any(|rule| rule.peer == RulePeer::PrefixList(s3.clone())),
            "{region}"
        );
    }
}

#[test]
fn hosts_without_an_endpoint_have_the_reason() {
    for (reference, host, reason) in [
        ("nginx", "registry-1.docker.io", "not an AWS service"),
        ("ghcr.io/a/b", "ghcr.io", "not an AWS service"),
        (
            "public.ecr.aws/nginx/nginx",
            "public.ecr.aws",
            "Amazon ECR Public has no VPC endpoint",
        ),
        ("10.1.2.3:5000/a/b", "10.1.2.3", "private IP address"),
        (
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/a",
            "api.ecr.us-east-1.amazonaws.com",
            "it is in us-east-1; instead of the route, an interface endpoint in eu-west-1",
        ),
        (
            "123456789012.dkr.ecr-fips.eu-west-1.amazonaws.com/a",
            "123456789012.dkr.ecr-fips.eu-west-1.amazonaws.com",
            "FIPS names",
        ),
        (
            "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com/a",
            "api.ecr.us-east-1.amazonaws.com",
            "it is in us-east-1",
        ),
        (
            "registry.us-east-1.example.com/a/b",
            "registry.us-east-1.example.com",
            "in your own network",
        ),
        (
            "123456789012.dkr-ecr.eu-west-1.on.aws/a",
            "123456789012.dkr-ecr.eu-west-1.on.aws",
            "dual-stack",
        ),
    ] {
        let requirements = requirements(PlanInput {
            images: vec![image(reference)],
            ..PlanInput::default()
        });
        let outside = requirements
            .outside_vpc
            .iter()
            .find(|outside| outside.host == host)
            .unwrap_or_else(|| panic!("{reference}: {requirements:?}"));
        assert!(
            outside.reason.to_string().contains(reason),
            "{reference}: {}",
            outside.reason
        );
    }
}

fn describe(rules: &[SecurityGroupRule]) -> Vec<String> {
    rules
        .iter()
        .map(|rule| {
            format!(
                "{:?} {:?} {} {}",
                rule.tier, rule.direction, rule.port, rule.peer
            )
        })
        .collect()
}

#[test]
fn security_group_rules_are_stateful_and_narrow() {
    let pull = requirements(PlanInput {
        images: vec![image(APP)],
        ..PlanInput::default()
    });
    assert_eq!(
        describe(&pull.security_group_rules),
        [
            "Tasks Outbound 443 the security group of the interface endpoints",
            "Tasks Outbound 443 the prefix list com.amazonaws.eu-west-1.s3",
            "Endpoints Inbound 443 the security group of the tasks",
        ]
    );
    let all = describe(&requirements(everything()).security_group_rules);
    for rule in [
        "Tasks Outbound 2049 the security group of the mount targets",
        "FileSystems Inbound 2049 the security group of the tasks",
        "Tasks Outbound 443 0.0.0.0/0",
        "Tasks Outbound 8088 0.0.0.0/0",
    ] {
        assert!(all.iter().any(|known| known == rule), "{all:?}");
    }
    let private = requirements(PlanInput {
        images: vec![image("10.1.2.3:5000/a")],
        ..PlanInput::default()
    });
    assert_eq!(
        describe(&private.security_group_rules),
        ["Tasks Outbound 5000 10.1.2.3/32"]
    );
}

#[test]
fn network_acl_rules_allow_requests_and_responses() {
    let rules = |input: PlanInput| -> Vec<String> {
        let rules = requirements(input).network_acl_rules;
        let describe = |r: &NetworkAclRule| {
            format!(
                "{:?} {:?} {}-{} {}",
                r.tier, r.direction, r.from_port, r.to_port, r.peer
            )
        };
        rules.iter().map(describe).collect()
    };
    assert_eq!(
        rules(PlanInput {
            images: vec![image(APP)],
            ..PlanInput::default()
        }),
        [
            "Tasks Outbound 443-443 0.0.0.0/0",
            "Tasks Inbound 1024-65535 0.0.0.0/0",
            "Endpoints Outbound 1024-65535 the VPC's address range",
            "Endpoints Inbound 443-443 the VPC's address range",
        ],
        "S3's addresses are public, so the rule for 0.0.0.0/0 includes the rule for the VPC"
    );
    let only_logs = rules(PlanInput {
        log_group: Some("/ecs/app".into()),
        ..PlanInput::default()
    });
    assert_eq!(
        only_logs[0],
        "Tasks Outbound 443-443 the VPC's address range"
    );
    let all = rules(everything());
    for rule in [
        "Nat Inbound 443-443 the VPC's address range",
        "Nat Outbound 8088-8088 0.0.0.0/0",
    ] {
        assert!(all.iter().any(|known| known == rule), "{all:?}");
    }
    let mut unique = all.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), all.len());
}

/// Returns `action resource` of each statement.
fn allowed(policy: &Policy) -> Vec<String> {
    let pairs = policy.statement.iter().flat_map(|statement| {
        statement.action.iter().flat_map(|action| {
            statement
                .resource
                .iter()
                .map(move |arn| format!("{action} {arn}"))
        })
    });
    pairs.collect()
}

#[test]
fn execution_role_policy_is_exactly_what_ecs_requests() {
    let mut statements = allowed(&requirements(everything()).policies.execution_role);
    statements.sort();
    let mut expected = [
        "ecr:GetAuthorizationToken *",
        "ecr:BatchGetImage arn:aws:ecr:eu-west-1:123456789012:repository/team/app",
        "ecr:BatchGetImage arn:aws:ecr:eu-west-1:123456789012:repository/docker-hub/library/nginx",
        "ecr:BatchGetImage arn:aws:ecr:us-east-1:123456789012:repository/other",
        "ecr:GetDownloadUrlForLayer arn:aws:ecr:eu-west-1:123456789012:repository/team/app",
        "ecr:GetDownloadUrlForLayer arn:aws:ecr:eu-west-1:123456789012:repository/docker-hub/library/nginx",
        "ecr:GetDownloadUrlForLayer arn:aws:ecr:us-east-1:123456789012:repository/other",
        "logs:CreateLogStream arn:aws:logs:eu-west-1:*:log-group:/ecs/app:*",
        "logs:CreateLogStream arn:aws:logs:eu-west-1:*:log-group:/ecs/probe:*",
        "logs:PutLogEvents arn:aws:logs:eu-west-1:*:log-group:/ecs/app:*",
        "logs:PutLogEvents arn:aws:logs:eu-west-1:*:log-group:/ecs/probe:*",
        "logs:CreateLogGroup arn:aws:logs:eu-west-1:*:log-group:/ecs/app:*",
        "secretsmanager:GetSecretValue arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/db-AbCdEf",
        "secretsmanager:GetSecretValue arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/partial-??????",
        "secretsmanager:GetSecretValue arn:aws:secretsmanager:eu-west-1:*:secret:app/behind-??????",
        "secretsmanager:GetSecretValue arn:aws:secretsmanager:eu-west-1:*:secret:registry/login-??????",
        "ssm:GetParameters arn:aws:ssm:eu-west-1:123456789012:parameter/app/mode",
        "ssm:GetParameters arn:aws:ssm:eu-west-1:*:parameter/aws/reference/secretsmanager/app/behind",
        "s3:GetObject arn:aws:s3:::my-bucket/app.env",
        "s3:GetBucketLocation arn:aws:s3:::my-bucket",
    ];
    expected.sort_unstable();
    assert_eq!(statements, expected);
}

#[test]
fn task_role_policy_has_what_runs_with_the_task_role() {
    let requirements = requirements(everything());
    let task_role = allowed(&requirements.policies.task_role);
    assert!(
        task_role.contains(&"ssmmessages:OpenDataChannel *".to_owned()),
        "{task_role:?}"
    );
    let mount = "elasticfilesystem:ClientMount arn:aws:elasticfilesystem:eu-west-1:*:file-system/fs-0123456789abcdef0";
    assert!(task_role.contains(&mount.to_owned()), "{task_role:?}");
    let optional: Vec<_> = requirements
        .policies
        .optional
        .iter()
        .map(|optional| (optional.name, optional.role))
        .collect();
    assert_eq!(
        optional,
        [
            (CUSTOMER_MANAGED_KEY, IamRole::Execution),
            ("pull-through-cache", IamRole::Execution),
            ("file-system-write", IamRole::Task),
            ("file-system-root", IamRole::Task),
        ]
    );
    let key = &requirements.policies.optional[0].statement;
    assert_eq!(
        key.condition["StringEquals"]["kms:ViaService"],
        [
            "s3.eu-west-1.amazonaws.com",
            "secretsmanager.eu-west-1.amazonaws.com",
            "ssm.eu-west-1.amazonaws.com"
        ]
    );
}

#[test]
fn endpoint_policy_has_the_statements_of_its_service_and_region() {
    let requirements = requirements(everything());
    let of = |name: &str| {
        let endpoint = requirements
            .endpoints
            .iter()
            .find(|endpoint| endpoint.service.ends_with(name))
            .unwrap();
        let policy = endpoint.policy.as_ref().unwrap();
        assert!(
            policy
                .statement
                .iter()
                .all(|statement| statement.principal == Some("*")),
            "{name}"
        );
        allowed(policy)
    };
    assert_eq!(
        of(".s3"),
        [
            "s3:GetObject arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/*",
            "s3:GetObject arn:aws:s3:::my-bucket/app.env",
            "s3:GetBucketLocation arn:aws:s3:::my-bucket",
        ]
    );
    assert_eq!(of(".ecr.api"), of(".ecr.dkr"));
    assert!(
        of(".ecr.dkr")
            .iter()
            .all(|allowed| !allowed.contains("us-east-1")),
        "{:?}",
        of(".ecr.dkr")
    );
    assert_eq!(of(".ssmmessages").len(), 4);
    assert_eq!(of(".ssm").len(), 2);
}

#[test]
fn json_has_the_selected_parts() {
    let requirements = requirements(everything());
    let read = |parts: &[PlanPart]| -> serde_json::Value {
        serde_json::from_str(&requirements.to_json(parts).unwrap().unwrap()).unwrap()
    };
    assert_eq!(
        read(&[PlanPart::ExecutionRolePolicy])["Version"],
        Policy::VERSION
    );
    let groups = read(&[PlanPart::SecurityGroups]);
    let names: Vec<_> = groups
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(names, ["region", "schema", "security_groups"]);
    assert_eq!(read(&PlanPart::REQUIREMENTS).as_object().unwrap().len(), 11);
    assert!(requirements.to_json(&[PlanPart::Contacts]).is_none());
}

#[test]
fn only_some_services_have_cross_region_endpoints() {
    let secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf";
    let requirements = requirements(PlanInput {
        images: vec![image("123456789012.dkr.ecr.us-east-1.amazonaws.com/a")],
        secrets: vec![secret.parse().unwrap()],
        ..PlanInput::default()
    });
    let of = |host: &str| {
        let outside = requirements
            .outside_vpc
            .iter()
            .find(|outside| outside.host == host);
        outside.unwrap().reason.clone()
    };
    for host in [
        "api.ecr.us-east-1.amazonaws.com",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com",
        "prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com",
    ] {
        assert!(
            matches!(of(host), NoEndpointReason::CrossRegionEndpoint { .. }),
            "{host}"
        );
    }
    let other = of("secretsmanager.us-east-1.amazonaws.com");
    assert!(
        matches!(other, NoEndpointReason::OtherRegion { .. }),
        "{other}"
    );
}

const DUAL_STACK: &str = "123456789012.dkr-ecr.eu-west-1.on.aws/a";

#[test]
fn rules_have_the_ip_versions_of_the_subnet() {
    let of = |ip_family, reference: &str| {
        requirements(PlanInput {
            images: vec![image(reference)],
            secrets: vec!["db".parse::<ValueFrom>().unwrap()],
            ip_family,
            ..PlanInput::default()
        })
    };
    let ranges = |requirements: &Requirements| -> Vec<String> {
        let groups = requirements
            .security_group_rules
            .iter()
            .map(|rule| &rule.peer);
        let acls = requirements.network_acl_rules.iter().map(|rule| &rule.peer);
        let mut ranges: Vec<_> = groups.chain(acls).map(ToString::to_string).collect();
        ranges.retain(|range| range.contains("/0"));
        ranges.sort();
        ranges.dedup();
        ranges
    };
    let ipv6 = of(IpFamily::Ipv6, DUAL_STACK);
    assert_eq!(ranges(&ipv6), ["::/0"]);
    assert!(
        ipv6.network_acl_rules
            .iter()
            .all(|rule| rule.tier != NetworkTier::Nat),
        "IPv6 needs no NAT gateway"
    );
    assert_eq!(
        ranges(&of(IpFamily::DualStack, DUAL_STACK)),
        ["0.0.0.0/0", "::/0"]
    );
    assert_eq!(ranges(&of(IpFamily::Ipv4, DUAL_STACK)), ["0.0.0.0/0"]);
    // A network ACL without the range would drop what the security group allows.
    let in_both = of(IpFamily::DualStack, DUAL_STACK);
    for (flow, is_response) in [(Direction::Outbound, false), (Direction::Inbound, true)] {
        let mut rules = in_both.network_acl_rules.iter();
        let is_it = |rule: &&NetworkAclRule| {
            rule.tier == NetworkTier::Tasks
                && (rule.direction, rule.is_response) == (flow, is_response)
                && rule.peer.to_string() == "::/0"
        };
        assert!(rules.find(is_it).is_some(), "{flow:?}");
    }
    let has_note = |requirements: &Requirements, part: &str| {
        requirements.notes.iter().any(|note| note.contains(part))
    };
    let uri = "dual-stack URI: 123456789012.dkr-ecr.eu-west-1.on.aws/shop/app:1.4.";
    let ordinary = of(
        IpFamily::Ipv6,
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/app:1.4",
    );
    assert!(has_note(&ordinary, uri), "{:?}", ordinary.notes);
    assert!(!has_note(&ipv6, "dual-stack URI:"));
    assert!(has_note(&ipv6, "64:ff9b::/96") && has_note(&ipv6, "S3 gateway endpoint with IPv6"));
}

/// The controls are those of the endpoints in the list, and no others.
#[test]
fn controls_of_security_hub_are_those_of_the_endpoints() {
    let note = |images: &[&str], secret: Option<&str>| {
        let required = requirements(PlanInput {
            images: images.iter().map(|reference| image(reference)).collect(),
            secrets: secret
                .map(|secret| secret.parse().unwrap())
                .into_iter()
                .collect(),
            ..PlanInput::default()
        });
        let mut notes = required.notes.into_iter();
        notes
            .find(|note| note.contains("Security Hub"))
            .unwrap_or_default()
    };
    let of_image = note(&[APP], None);
    assert!(
        of_image.contains("EC2.55 (ecr.api), EC2.56 (ecr.dkr)"),
        "{of_image}"
    );
    assert!(!of_image.contains("EC2.57"), "{of_image}");
    assert!(note(&["nginx"], Some("/a")).contains("control EC2.57 (ssm)"));
    assert_eq!(note(&["nginx"], None), "");
}

#[test]
#[cfg(feature = "operator")]
fn a_name_that_no_parameter_can_have_is_said() {
    let has_note = |value: &str| {
        let required = requirements(PlanInput {
            secrets: vec![value.parse().unwrap()],
            ..PlanInput::default()
        });
        required.notes.iter().any(|note| note.contains(value))
    };
    assert!(has_note("web/password"));
    for name in [
        "/web/password",
        "password",
        "arn:aws:ssm:eu-west-1:123456789012:parameter/web/password",
    ] {
        assert!(!has_note(name), "{name}");
    }
}

#[test]
fn a_cache_with_an_unusual_prefix_has_a_note() {
    let notes = |reference: &str| {
        requirements(PlanInput {
            images: vec![image(reference)],
            ..PlanInput::default()
        })
        .notes
    };
    let has = |reference: &str, part: &str| notes(reference).iter().any(|n| n.contains(part));
    assert!(has(APP, "ROOT"));
    let cached = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/chainguard/python:latest";
    assert!(!has(cached, "ROOT") && has(cached, "The first pull through a pull-through cache"));
    assert!(!has("docker.io/library/nginx", "ROOT"));
}

#[test]
fn one_endpoint_replaces_both_hosts_of_service_connect() {
    let region = "eu-west-1".parse().unwrap();
    let requirements = requirements(PlanInput {
        connections: crate::plan::service_connect(&region).unwrap().into(),
        ..PlanInput::default()
    });
    let services: Vec<_> = requirements
        .endpoints
        .iter()
        .map(|e| e.service.as_str())
        .collect();
    assert_eq!(services, ["com.amazonaws.eu-west-1.ecs-agent"]);
    assert_eq!(requirements.outside_vpc, []);
    assert!(
        requirements
            .notes
            .iter()
            .any(|note| note.contains("One of the two is enough"))
    );
}

#[test]
fn a_secret_whose_last_six_letters_can_be_a_word_is_allowed_in_both_forms() {
    let arn = |name: &str| format!("arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}");
    let allowed_for = |name: &str| {
        let required = requirements(PlanInput {
            secrets: vec![arn(name).parse().unwrap()],
            ..PlanInput::default()
        });
        allowed(&required.policies.execution_role)
    };
    let get = |name: &str| format!("secretsmanager:GetSecretValue {}", arn(name));
    for word in [
        "secret", "config", "string", "Secret", "SECRET", "prod01", "PROD01", "123456", "202611",
        "Config", "apiKey", "DbPass", "v2beta",
    ] {
        let name = format!("app-{word}");
        let both = [get(&name), get(&format!("{name}-??????"))];
        assert_eq!(allowed_for(&name), both, "{name}");
    }
    for random in ["AbCdEf", "AbC123", "Ab12Cd", "1aB2cD", "aBCdef", "xY12zA"] {
        let name = format!("jwt-secret-{random}");
        assert_eq!(allowed_for(&name), [get(&name)], "{name}");
    }
    for partial in ["app", "db", "app-db", "app-password", "a-b_c-d"] {
        assert_eq!(
            allowed_for(partial),
            [get(&format!("{partial}-??????"))],
            "{partial}"
        );
    }
}

/// Returns the requirements of a task on instances with this network mode.
fn on_instances(launch_types: &[LaunchType], has_own_interface: bool) -> Requirements {
    requirements(PlanInput {
        host: TaskHost {
            launch_types: launch_types.to_vec(),
            has_own_interface,
            uses_instance_role: true,
            ..TaskHost::default()
        },
        ..everything()
    })
}

#[test]
fn an_instance_pulls_and_logs_through_its_own_interface_with_its_role() {
    let bridge = on_instances(&[LaunchType::Ec2], false);
    let tiers = |requirements: &Requirements| -> Vec<NetworkTier> {
        let mut tiers: Vec<_> = requirements
            .security_group_rules
            .iter()
            .filter(|rule| rule.direction == Direction::Outbound)
            .map(|rule| rule.tier)
            .collect();
        tiers.dedup();
        tiers
    };
    assert_eq!(tiers(&bridge), [NetworkTier::Instances]);
    let own = on_instances(&[LaunchType::Ec2], true);
    assert_eq!(tiers(&own), [NetworkTier::Tasks, NetworkTier::Instances]);
    let of_tasks = own
        .security_group_rules
        .iter()
        .filter(|rule| rule.tier == NetworkTier::Tasks)
        .flat_map(|rule| &rule.used_for);
    for used in of_tasks {
        assert!(!used.contains("ecr") && used != "logs", "{used}");
    }
    for requirements in [&bridge, &own] {
        for service in ["ecs", "ecs-agent", "ecs-telemetry"] {
            let name = format!("com.amazonaws.eu-west-1.{service}");
            assert!(
                requirements.endpoints.iter().any(|one| one.service == name),
                "{name}"
            );
        }
        assert_eq!(
            requirements.role(IamRole::Execution),
            "role of the container instances"
        );
        assert!(
            requirements
                .notes
                .iter()
                .any(|note| note.contains("container instance"))
        );
    }
    let managed = on_instances(&[LaunchType::ManagedInstances], true);
    let pulls = managed
        .security_group_rules
        .iter()
        .filter(|rule| rule.used_for.iter().any(|used| used == "ecr.dkr"))
        .filter(|rule| rule.direction == Direction::Outbound);
    let tiers: Vec<_> = pulls.map(|rule| rule.tier).collect();
    assert_eq!(
        tiers,
        [NetworkTier::Instances],
        "through that of the instance"
    );
}

#[test]
fn hosts_behind_registries_are_listed_and_never_called_complete() {
    let images = [
        "nginx",
        "ghcr.io/a/b:1",
        "quay.io/a/b:1",
        "public.ecr.aws/a/b:1",
        "eu.gcr.io/a/b:1",
    ];
    let requirements = requirements(PlanInput {
        images: images.map(image).to_vec(),
        ..PlanInput::default()
    });
    let others: Vec<_> = requirements
        .other_hosts
        .iter()
        .map(|other| other.host.as_str())
        .collect();
    for host in [
        "auth.docker.io",
        "production.cloudflare.docker.com",
        "production.cloudfront.docker.com",
        "pkg-containers.githubusercontent.com",
        "cdn01.quay.io",
        "*.cloudfront.net",
        "storage.googleapis.com",
    ] {
        assert!(others.contains(&host), "{host}");
    }
    assert!(
        requirements
            .notes
            .iter()
            .any(|note| note.contains("never complete"))
    );
    let used: Vec<_> = requirements
        .security_group_rules
        .iter()
        .flat_map(|rule| &rule.used_for)
        .collect();
    assert!(used.iter().any(|host| *host == "auth.docker.io"));
}
