//! Messages that the lexicon was not written from: templates of Go's SDK, containerd and ECS's
//! wrappers (docs/facts/denials.md#6, docs/facts/ecs-start.md#1), filled with other services,
//! Regions, addresses and texts.

use super::corpus::corpus;
use crate::cause::{Cause, Family};
use crate::diagnose::{Confidence, Finding};
use crate::explain::{Explanation, Step, explain};
use crate::observation::Dependency;

const SECRETS: &str = "ResourceInitializationError: unable to pull secrets or registry auth: ";
const OLD: &str = "execution resource retrieval failed: ";
const LOGGER: &str = "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: ";
const PULL: &str = "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref ";
const LAYER: &str = "CannotPullContainerError: ref pull has been retried 5 time(s): failed to copy: httpReadSeeker: failed open: ";

fn assert_is(text: &str, step: Step, family: Family, first: Cause) -> Explanation {
    let explained = explain(text);
    let cause = explained.findings.first().map(|finding| finding.cause);
    assert_eq!(
        (explained.step, explained.family, cause),
        (step, family, Some(first)),
        "{text}"
    );
    explained
}

#[test]
fn timeouts_of_every_service_in_every_region() {
    let transports = [
        "request send failed, Post \"https://HOST/\": dial tcp ADDRESS:443: i/o timeout",
        "https response error StatusCode: 0, RequestID: , request send failed, Post \"https://HOST/\": dial tcp ADDRESS:443: connect: connection timed out",
        "exceeded maximum number of attempts, 3, https response error StatusCode: 0, RequestID: , request send failed, Post \"https://HOST/\": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers) dial tcp ADDRESS:443: i/o timeout",
        "RequestError: send request failed caused by: Post https://HOST/: dial tcp ADDRESS:443: i/o timeout",
    ];
    let services = [
        (
            format!(
                "{SECRETS}unable to retrieve secret from asm: There is a connection issue between the task and AWS Secrets Manager. Check your task network configuration. failed to fetch secret arn:aws:secretsmanager:REGION:123456789012:secret:app/db-AbCdEf from secrets manager: operation error Secrets Manager: GetSecretValue, "
            ),
            "secretsmanager.REGION.amazonaws.com",
            Step::Secrets,
            Dependency::SecretsManager,
        ),
        (
            format!(
                "{SECRETS}{OLD}unable to retrieve secrets from ssm: service call has been retried 5 time(s): operation error SSM: GetParameters, "
            ),
            "ssm.REGION.amazonaws.com",
            Step::Secrets,
            Dependency::Ssm,
        ),
        (
            format!(
                "{SECRETS}The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task and Amazon ECR. Check your task network configuration. operation error ECR: GetAuthorizationToken, "
            ),
            "api.ecr.REGION.amazonaws.com",
            Step::RegistryAuth,
            Dependency::EcrApi,
        ),
        (
            format!(
                "{LOGGER}failed to create Cloudwatch log stream: operation error CloudWatch Logs: CreateLogStream, "
            ),
            "logs.REGION.amazonaws.com",
            Step::LogDriver,
            Dependency::Logs,
        ),
        (
            format!(
                "{PULL}210987654321.dkr.ecr.REGION.amazonaws.com/team/api:v7: failed to do request: Head \"https://HOST/v2/team/api/manifests/v7\": "
            ),
            "210987654321.dkr.ecr.REGION.amazonaws.com",
            Step::ImageManifest,
            Dependency::EcrDkr,
        ),
    ];
    for region in [
        "us-east-1",
        "ap-southeast-3",
        "eu-central-2",
        "cn-north-1",
        "us-gov-west-1",
        "il-central-1",
    ] {
        for (address, first) in [
            ("10.11.12.13", Cause::EndpointSecurityGroup),
            ("34.223.27.1", Cause::NoEgressRoute),
        ] {
            for (wrapper, host, step, dependency) in &services {
                for transport in transports {
                    let text = format!("{wrapper}{transport}").replace("HOST", host);
                    let text = text.replace("REGION", region).replace("ADDRESS", address);
                    let text = if region.starts_with("cn-") {
                        text.replace(".amazonaws.com", ".amazonaws.com.cn")
                    } else {
                        text
                    };
                    let explained = assert_is(&text, *step, Family::Network, first);
                    assert_eq!(explained.dependency, Some(*dependency), "{text}");
                    assert_eq!(explained.peer.unwrap().to_string(), address);
                    assert!(explained.host.unwrap().contains(region), "{text}");
                    let which = if first == Cause::NoEgressRoute {
                        "a public address"
                    } else {
                        "a private address"
                    };
                    assert!(
                        explained.proven.iter().any(|proof| proof.contains(which)),
                        "{:?}",
                        explained.proven
                    );
                }
            }
        }
    }
}

#[test]
fn denials_of_every_service_by_every_policy_type() {
    let actions = [
        (format!("{SECRETS}{OLD}unable to retrieve ecr registry auth: service call has been retried 1 time(s): operation error ECR: GetAuthorizationToken, "), "ecr:GetAuthorizationToken", "*", Step::RegistryAuth),
        (format!("{SECRETS}{OLD}unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret arn:aws:secretsmanager:sa-east-1:123456789012:secret:x-AbCdEf from secrets manager: "), "secretsmanager:GetSecretValue", "arn:aws:secretsmanager:sa-east-1:123456789012:secret:x-AbCdEf", Step::Secrets),
        (format!("{SECRETS}{OLD}unable to retrieve secrets from ssm: service call has been retried 1 time(s): "), "ssm:GetParameters", "arn:aws:ssm:sa-east-1:123456789012:parameter/x", Step::Secrets),
        (format!("{LOGGER}failed to create Cloudwatch log stream: "), "logs:CreateLogStream", "arn:aws:logs:sa-east-1:123456789012:log-group:/ecs/x:log-stream:y", Step::LogDriver),
        ("CannotPullContainerError: Error response from daemon: pull access denied for 123456789012.dkr.ecr.sa-east-1.amazonaws.com/x, repository does not exist or may require 'docker login': denied: ".to_owned(), "ecr:BatchGetImage", "arn:aws:ecr:sa-east-1:123456789012:repository/x", Step::ImageManifest),
    ];
    let reasons = [
        (
            "because no identity-based policy allows the ACTION action",
            Cause::IdentityPolicyMissingAction,
        ),
        (
            "with an explicit deny in an identity-based policy",
            Cause::IdentityPolicyDenies,
        ),
        (
            "because no VPC endpoint policy allows the ACTION action",
            Cause::EndpointPolicyDenies,
        ),
        (
            "with an explicit deny in a VPC endpoint policy",
            Cause::EndpointPolicyDenies,
        ),
        (
            "because no permissions boundary allows the ACTION action",
            Cause::PermissionsBoundaryDenies,
        ),
        (
            "because no session policy allows the ACTION action",
            Cause::SessionPolicyDenies,
        ),
        (
            "with an explicit deny in a service control policy: arn:aws:organizations::1:policy/o-a/service_control_policy/p-b",
            Cause::ServiceControlPolicyDenies,
        ),
        (
            "with an explicit deny in a resource control policy",
            Cause::ResourceControlPolicyDenies,
        ),
        (
            "because no resource-based policy allows the ACTION action",
            Cause::ResourcePolicyDenies,
        ),
        ("", Cause::PermissionDenied),
    ];
    for (wrapper, action, resource, step) in &actions {
        for (reason, first) in reasons {
            for (code, tail) in [
                (
                    "https response error StatusCode: 400, RequestID: 0c7a1b2e-0000-4000-8000-00000000abcd, api error AccessDeniedException: ",
                    "",
                ),
                (
                    "AccessDeniedException: ",
                    " status code: 400, request id: 0c7a1b2e-0000-4000-8000-00000000abcd",
                ),
            ] {
                let text = format!(
                    "{wrapper}{code}User: arn:aws:sts::123456789012:assumed-role/worker/0123abc is not authorized to perform: {action} on resource: {resource} {reason}{tail}"
                );
                let explained = assert_is(
                    &text.replace("ACTION", action),
                    *step,
                    Family::Permission,
                    first,
                );
                assert!(
                    explained
                        .proven
                        .iter()
                        .any(|proof| proof.starts_with("the service responded")),
                    "{text}"
                );
                let read = match first {
                    Cause::EndpointPolicyDenies => "aws ec2 describe-vpc-endpoints",
                    Cause::PermissionsBoundaryDenies => {
                        "get-role --role-name worker --query Role.PermissionsBoundary"
                    }
                    Cause::ServiceControlPolicyDenies => {
                        "--target-id 123456789012 --filter SERVICE_CONTROL_POLICY"
                    }
                    Cause::ResourceControlPolicyDenies => {
                        "--target-id 123456789012 --filter RESOURCE_CONTROL_POLICY"
                    }
                    Cause::ResourcePolicyDenies => "policy --",
                    _ => "list-attached-role-policies --role-name worker",
                };
                assert!(
                    explained.next.iter().any(|next| next.contains(read)),
                    "{read}: {:?}",
                    explained.next
                );
            }
        }
    }
}

#[test]
fn layers_come_from_amazon_s3_whatever_the_message_names() {
    let image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/cart:3";
    let text =
        format!("{LAYER}failed to do request: Get {image}: dial tcp 52.218.1.2:443: i/o timeout");
    let explained = assert_is(
        &text,
        Step::ImageLayer,
        Family::Network,
        Cause::S3GatewayMissing,
    );
    assert_eq!(explained.dependency, Some(Dependency::S3));
    assert_eq!(explained.owner.as_deref(), Some("S3 eu-west-1"));
    assert_eq!(
        explained.host.as_deref(),
        Some("prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com")
    );
    assert!(
        explained
            .proven
            .iter()
            .any(|proof| proof.contains("the layers, not the registry"))
    );
    assert!(explained.next_failures.is_empty());

    let url = "https://prod-us-west-2-starport-layer-bucket.s3.us-west-2.amazonaws.com/a/b?X-Amz-Signature=0011223344556677";
    let refused = assert_is(
        &format!("{LAYER}unexpected status code {url}: 403 Forbidden"),
        Step::ImageLayer,
        Family::Permission,
        Cause::S3EndpointPolicyDenies,
    );
    assert!(
        !refused.line().contains("0011223344556677"),
        "{}",
        refused.line()
    );
    assert_is(
        &format!(
            "{LAYER}failed to do request: Get \"{url}\": read tcp 10.0.1.2:40000->52.92.1.1:443: read: connection reset by peer"
        ),
        Step::ImageLayer,
        Family::Network,
        Cause::ConnectionReset,
    );
    assert_is(
        &format!(
            "{LAYER}failed to do request: Get \"{url}\": tls: failed to verify certificate: x509: certificate signed by unknown authority"
        ),
        Step::ImageLayer,
        Family::Tls,
        Cause::TlsIntercepted,
    );
}

#[test]
fn dns_failures() {
    let lookup = |rest: &str| {
        format!(
            "{SECRETS}{OLD}unable to retrieve ecr registry auth: service call has been retried 3 time(s): RequestError: send request failed caused by: Post \"https://api.ecr.eu-north-1.amazonaws.com/\": dial tcp: lookup api.ecr.eu-north-1.amazonaws.com {rest}"
        )
    };
    for (rest, first) in [
        ("on 10.20.0.2:53: no such host", Cause::NameNotFound),
        (
            "on 10.20.0.2:53: server misbehaving",
            Cause::ResolverFailure,
        ),
        (
            "on 192.168.7.7:53: read udp 10.20.1.5:33333->192.168.7.7:53: i/o timeout",
            Cause::ResolverUnreachable,
        ),
        (
            "on 169.254.169.253:53: dial udp 169.254.169.253:53: connect: no route to host, i/o timeout",
            Cause::ResolverUnreachable,
        ),
    ] {
        let explained = assert_is(&lookup(rest), Step::RegistryAuth, Family::Resolve, first);
        assert_eq!(
            explained.host.as_deref(),
            Some("api.ecr.eu-north-1.amazonaws.com")
        );
    }
    let slip = format!(
        "{PULL}123456789012.dkr.ecr.eu-west-1.amazonaw.com/app:1: failed to do request: Head \"https://123456789012.dkr.ecr.eu-west-1.amazonaw.com/v2/app/manifests/1\": dial tcp 104.21.9.9:443: i/o timeout"
    );
    assert_is(
        &slip,
        Step::ImageManifest,
        Family::Image,
        Cause::InvalidImageReference,
    );
    let hub = format!(
        "{PULL}docker.io/library/redis:7: failed to do request: Head \"https://registry-1.docker.io/v2/library/redis/manifests/7\": dial tcp [2600:1f18:2148:bc01::1]:443: connect: network is unreachable"
    );
    assert_is(
        &hub,
        Step::ImageManifest,
        Family::Network,
        Cause::NoEgressRoute,
    );
}

#[test]
fn missing_resources() {
    let asm = format!(
        "{SECRETS}{OLD}unable to retrieve secret from asm: service call has been retried 1 time(s): "
    );
    let v2 =
        "https response error StatusCode: 400, RequestID: 0c7a1b2e-0000-4000-8000-00000000abcd, ";
    for (text, step, family, first) in [
        (format!("{asm}failed to fetch secret x from secrets manager: operation error Secrets Manager: GetSecretValue, {v2}ResourceNotFoundException: Secrets Manager can't find the specified secret."), Step::Secrets, Family::Secret, Cause::SecretNotFound),
        (format!("{asm}failed to fetch secret x from secrets manager: operation error Secrets Manager: GetSecretValue, {v2}ResourceNotFoundException: Secrets Manager can’t find the specified secret value for staging label: AWSPENDING"), Step::Secrets, Family::Secret, Cause::SecretVersionMissing),
        (format!("{asm}retrieved secret from Secrets Manager did not contain json key password"), Step::Secrets, Family::Secret, Cause::SecretJsonKeyMissing),
        (format!("{asm}operation error Secrets Manager: GetSecretValue, {v2}api error AccessDeniedException: Access to KMS is not allowed"), Step::Secrets, Family::Permission, Cause::KmsKeyDenies),
        (format!("{SECRETS}{OLD}unable to retrieve secrets from ssm: service call has been retried 1 time(s): invalid ssm parameters: /a/b, /a/c"), Step::Secrets, Family::Secret, Cause::ParameterNotFound),
        (format!("{LOGGER}failed to create Cloudwatch log stream: operation error CloudWatch Logs: CreateLogStream, {v2}ResourceNotFoundException: The specified log group does not exist."), Step::LogDriver, Family::Logs, Cause::LogGroupMissing),
        (format!("{LOGGER}failed to create Cloudwatch log stream: ResourceNotFoundEx"), Step::LogDriver, Family::Logs, Cause::LogGroupMissing),
        ("CannotPullContainerError: pull image manifest has been retried 7 time(s): failed to resolve ref 123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:nope: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:nope: not found".into(), Step::ImageManifest, Family::Image, Cause::ImageNotFound),
        ("CannotPullContainerError: Error response from daemon: manifest for ghcr.io/acme/app:9 not found: manifest unknown".into(), Step::ImageManifest, Family::Image, Cause::ImageNotFound),
        ("CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref x: image Manifest does not contain descriptor matching platform 'linux/arm64'".into(), Step::ImageManifest, Family::Image, Cause::PlatformMismatch),
        ("CannotPullContainerError: inspect image has been retried 1 time(s): httpReadSeeker: failed open: unexpected status code https://registry-1.docker.io/v2/library/redis/manifests/sha256:ab: 429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit".into(), Step::ImageLayer, Family::Limit, Cause::RegistryRateLimited),
        (format!("{SECRETS}{OLD}unable to retrieve ecr registry auth: service call has been retried 3 time(s): ThrottlingException: Rate exceeded status code: 400, request id: 0c7a1b2e-0000"), Step::RegistryAuth, Family::Limit, Cause::Throttled),
        ("ResourceInitializationError: failed to download env files: file download command: non empty error stream: operation error S3: HeadObject, https response error StatusCode: 403, RequestID: 0011AABB, HostID: x, api error Forbidden: Forbidden.".into(), Step::EnvironmentFile, Family::Permission, Cause::PermissionDenied),
        ("(service api) was unable to place a task. Reason: You've reached the limit of network interfaces: NetworkInterfaceLimitExceeded.".into(), Step::NetworkInterface, Family::Placement, Cause::NetworkInterfaceUnavailable),
        ("(service api) failed to launch a task with (error ECS was unable to assume the role 'arn:aws:iam::123456789012:role/exec' that was provided for this task.)".into(), Step::AssumeRole, Family::Placement, Cause::RoleNotAssumable),
    ] {
        assert_is(&text, step, family, first);
    }
}

#[test]
fn an_answer_outranks_the_number_of_attempts() {
    let resource = "arn:aws:ssm:eu-west-1:123456789012:parameter/a";
    let denied = format!(
        "AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/exec/1 is not authorized to perform: ssm:GetParameters on resource: {resource} because no identity-based policy allows the ssm:GetParameters action"
    );
    for attempts in [1, 3, 5, 12] {
        for (what, answer, family, first) in [
            (
                "secrets from ssm",
                denied.as_str(),
                Family::Permission,
                Cause::IdentityPolicyMissingAction,
            ),
            (
                "secrets from ssm",
                "invalid ssm parameters: /a",
                Family::Secret,
                Cause::ParameterNotFound,
            ),
            (
                "secret from asm",
                "ResourceNotFoundException: Secrets Manager can't find the specified secret.",
                Family::Secret,
                Cause::SecretNotFound,
            ),
            (
                "secret from asm",
                "ResourceNotFoundException",
                Family::Secret,
                Cause::SecretNotFound,
            ),
            (
                "secret from asm",
                "AccessDeniedException: Access to KMS is not allowed",
                Family::Permission,
                Cause::KmsKeyDenies,
            ),
            (
                "secret from asm",
                "InvalidRequestException: You can't perform this operation on the secret because it was marked for deletion.",
                Family::Secret,
                Cause::SecretNotFound,
            ),
            (
                "secret from asm",
                "unexpected end of JSON input",
                Family::Secret,
                Cause::SecretNotJson,
            ),
            (
                "secret from asm",
                "invalid character 'x' in string escape code",
                Family::Secret,
                Cause::SecretNotJson,
            ),
        ] {
            let text = format!(
                "{SECRETS}{OLD}unable to retrieve {what}: service call has been retried {attempts} time(s): {answer}"
            );
            assert_is(&text, Step::Secrets, family, first);
        }
    }
    let silent = format!(
        "{SECRETS}{OLD}unable to retrieve secret from asm: service call has been retried 5 time(s): failed to fetch"
    );
    assert_is(
        &silent,
        Step::Secrets,
        Family::Network,
        Cause::NoEgressRoute,
    );
}

#[test]
fn only_a_pull_can_fail_to_become_pulled() {
    for state in [
        "created",
        "started",
        "running",
        "stopped",
        "execed",
        "inspecting",
        "exited",
        "resources provisioned",
    ] {
        let explained = explain(&format!(
            "DockerTimeoutError: Could not transition to {state}; timed out after waiting 3m0s"
        ));
        assert_eq!(
            (explained.step, explained.family),
            (Step::ContainerStart, Family::Unknown),
            "{state}"
        );
        assert!(explained.findings.is_empty(), "{state}");
    }
    for state in ["pulled", "manifest pulled"] {
        assert_is(
            &format!(
                "DockerTimeoutError: Could not transition to {state}; timed out after waiting 2h0m0s"
            ),
            Step::ImageManifest,
            Family::Network,
            Cause::ServiceSlow,
        );
    }
}

/// A registry other than Amazon ECR does not evaluate AWS roles or policies.
#[test]
fn foreign_registries_get_no_advice_about_iam() {
    for host in [
        "ghcr.io",
        "quay.io",
        "registry.gitlab.com",
        "mirror.example.com:5000",
        "registry-1.docker.io",
        "public.ecr.aws",
    ] {
        for answer in [
            format!("unexpected status from HEAD request to https://{host}/v2/acme/app/manifests/1: 403 Forbidden"),
            format!("unexpected status from HEAD request to https://{host}/v2/acme/app/manifests/1: 401 Unauthorized"),
            format!("unexpected status code https://{host}/v2/acme/app/manifests/1"),
            format!("Head \"https://{host}/v2/acme/app/manifests/1\": denied: denied"),
            "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed".to_owned(),
        ] {
            let explained = explain(&format!("{PULL}{host}/acme/app:1: {answer}"));
            assert_eq!(explained.dependency, Some(Dependency::Registry), "{host}: {answer}");
            let shown = explained.line();
            for wrong in ["aws iam", "aws ecr", "CloudTrail", "execution role", "endpoint-policy", "permission-denied"] {
                assert!(!shown.contains(wrong), "{wrong} in {shown}");
            }
        }
    }
}

#[test]
fn layers_are_never_manifests_and_manifests_never_layers() {
    let image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/cart:3";
    let cut = format!(
        "CannotPullContainerError: The task cannot pull {image} from the registry {image}. There is a connection issue between the task and the registry. Check your task network configuration. : "
    );
    let explained = assert_is(
        &format!("{cut}dial tcp 52.218.1.2:443: i/o timeout"),
        Step::ImageLayer,
        Family::Network,
        Cause::S3GatewayMissing,
    );
    assert_eq!(explained.dependency, Some(Dependency::S3));
    let head = format!(
        "{cut}failed to do request: Head \"https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/v2/shop/cart/manifests/3\": dial tcp 10.1.2.3:443: i/o timeout"
    );
    let explained = assert_is(
        &head,
        Step::ImageManifest,
        Family::Network,
        Cause::EndpointSecurityGroup,
    );
    assert_eq!(explained.dependency, Some(Dependency::EcrDkr));
}

#[test]
fn a_link_local_address_is_not_public() {
    let explained = explain(&format!(
        "{LOGGER}failed to create Cloudwatch log stream: RequestError: send request failed Get \"http://169.254.170.2/v2/credentials/1\": dial tcp 169.254.170.2:80: i/o timeout"
    ));
    assert_eq!(explained.family, Family::Credentials);
    assert!(
        !explained
            .proven
            .iter()
            .any(|proof| proof.contains("public")),
        "{:?}",
        explained.proven
    );
}

#[test]
fn a_certain_cause_has_no_siblings() {
    for labeled in corpus() {
        let explained = explain(&labeled.message);
        let is_certain = |finding: &Finding<String>| finding.confidence == Confidence::Certain;
        assert!(
            explained.findings.len() <= 1 || !explained.findings.iter().any(is_certain),
            "{}",
            labeled.message
        );
    }
}

/// Each reason has its own remedy, and none of them a launch, which could not be placed either.
#[test]
fn every_refusal_of_placement_has_its_own_remedy() {
    let event = "(service web) was unable to place a task because no container instance met all of its requirements. The closest matching (container-instance 5f) ";
    let managed = "(service web) was unable to place a task. Reason: ResourceInitializationError: Unable to launch instance(s) for capacity provider web-mi. ";
    let mut remedies = Vec::new();
    for text in [
        format!("{event}is missing an attribute required by your task."),
        format!("{event}is already using a port required by your task."),
        format!("{event}encountered error \"AGENT\"."),
        format!("{event}has insufficient CPU units available."),
        format!("{event}has insufficient memory available."),
        "TaskFailedToStart: RESOURCE:GPU".to_owned(),
        "TaskFailedToStart: EMPTY CAPACITY PROVIDER".to_owned(),
        "TaskFailedToStart: MemberOf placement constraint unsatisfied.".to_owned(),
        format!("{managed}UnfulfillableCapacity: x"),
        format!("{managed}InsufficientInstanceCapacity: x"),
        format!("{managed}VcpuLimitExceeded: x"),
        format!("{managed}MaxSpotInstanceCountExceeded: x"),
        "(service web) was unable to place a task. Reason: Your AWS account is currently blocked.".to_owned(),
        "(service web) was unable to place a task. Reason: You've reached the limit on the number of vCPUs you can run concurrently.".to_owned(),
        "(service web) was unable to place a task. Reason: Capacity is unavailable at this time.".to_owned(),
    ] {
        let explained = explain(&text);
        assert_eq!((explained.step, explained.family), (Step::NetworkInterface, Family::Placement), "{text}");
        assert!(!explained.next.iter().any(|next| next.contains("launch")), "{text}");
        remedies.push(explained.findings[0].remedy.clone());
    }
    let count = remedies.len();
    remedies.sort();
    remedies.dedup();
    assert_eq!(remedies.len(), count, "{remedies:#?}");
}

#[test]
fn the_infrastructure_role_is_not_the_execution_role() {
    let explained = assert_is(
        "(service web) was unable to place a task. Reason: ResourceInitializationError: Unable to launch instance(s) for capacity provider web-mi. UnauthorizedOperation: You are not authorized to perform this operation. User: arn:aws:sts::123456789012:assumed-role/infra/ECSManagedInstances is not authorized to perform: iam:PassRole on resource: arn:aws:iam::123456789012:role/inst because no identity-based policy allows the iam:PassRole action.",
        Step::NetworkInterface,
        Family::Permission,
        Cause::IdentityPolicyMissingAction,
    );
    assert!(
        explained.findings[0]
            .remedy
            .ends_with("the ECS infrastructure role infra.")
    );
}

#[test]
fn the_remedy_names_the_caller_of_the_denied_request() {
    for (principal, caller, command) in [
        (
            "arn:aws:sts::123456789012:assumed-role/exec/0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "a policy of the task execution role.",
            "aws iam list-attached-role-policies --role-name exec",
        ),
        (
            "arn:aws:iam::123456789012:user/ci/deployer",
            "a policy of the IAM user deployer.",
            "aws iam list-attached-user-policies --user-name deployer",
        ),
        (
            "arn:aws:sts::123456789012:assumed-role/nodes/i-0a1b2c3d4e5f60718",
            "a policy of the instance role nodes.",
            "aws iam list-attached-role-policies --role-name nodes",
        ),
        (
            "arn:aws:sts::123456789012:assumed-role/build/AWSCodeBuild-0a1b2c3d",
            "a policy of the role build, which is not the task's.",
            "aws iam list-attached-role-policies --role-name build",
        ),
    ] {
        let explained = assert_is(
            &format!(
                "denied: User: {principal} is not authorized to perform: ecr:BatchGetImage on resource: arn:aws:ecr:eu-west-1:123456789012:repository/web because no identity-based policy allows the ecr:BatchGetImage action"
            ),
            Step::ImageManifest,
            Family::Permission,
            Cause::IdentityPolicyMissingAction,
        );
        assert_eq!(explained.dependency, Some(Dependency::EcrDkr));
        assert!(
            explained.findings[0].remedy.ends_with(caller),
            "{}",
            explained.findings[0].remedy
        );
        assert_eq!(explained.next[0], command);
    }
}

#[test]
fn what_is_missing_is_named() {
    let explained = assert_is(
        &format!(
            "{SECRETS}{OLD}unable to retrieve secrets from ssm: service call has been retried 1 time(s): invalid ssm parameters: /shop/prod/api-key"
        ),
        Step::Secrets,
        Family::Secret,
        Cause::ParameterNotFound,
    );
    assert!(
        explained.findings[0]
            .summary
            .ends_with(": /shop/prod/api-key")
    );
    assert_eq!(
        explained.next[0],
        "aws ssm get-parameters --names /shop/prod/api-key"
    );
    let explained = assert_is(
        &format!(
            "{SECRETS}{OLD}unable to retrieve secret from asm: service call has been retried 1 time(s): retrieved secret from Secrets Manager did not contain json key DB_PASSWORD."
        ),
        Step::Secrets,
        Family::Secret,
        Cause::SecretJsonKeyMissing,
    );
    assert!(explained.findings[0].summary.ends_with(": DB_PASSWORD"));
    // A shell would read these characters.
    let explained = explain("invalid ssm parameters: /a$(id)");
    assert_eq!(explained.next[0], "aws ssm get-parameters --names NAME");
}

#[test]
fn an_image_of_docker_hub_may_be_a_name_without_registry() {
    for image in ["docker.io/library/web:1", "docker.io/acme/web:1"] {
        let explained = assert_is(
            &format!(
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {image}: pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed."
            ),
            Step::ImageManifest,
            Family::Image,
            Cause::RepositoryNotFound,
        );
        assert!(
            explained.findings[0]
                .remedy
                .starts_with("If you did not mean Docker Hub")
        );
        assert!(
            explained
                .proven
                .iter()
                .any(|fact| fact.starts_with("Docker Hub was queried"))
        );
    }
}

#[test]
fn other_texts_are_unknown() {
    for text in [
        "x",
        "Hello, my task does not start, what can I do?",
        "Essential container in task exited",
        "Scaling activity initiated by (deployment ecs-svc/1)",
        "exit code 137",
        // What an application or another tool says, in the words of the lexicon.
        "json: cannot unmarshal string into Go value of type main.Config",
        "invalid character '}' after object key",
        "HTTP 415: unsupported media type application/xml",
        "rpc error: code = Canceled desc = context canceled",
        "HTTP 403: access forbidden",
        "UnauthorizedOperation: You are not authorized to perform this operation.",
        "An error occurred (InsufficientInstanceCapacity) when calling the RunInstances operation",
        "Your account is currently blocked. You cannot log in.",
        "service checkout was unable to reach the database",
        "manifest for order 4711 not found",
    ] {
        let explained = explain(text);
        assert_eq!(
            (explained.family, explained.exit_code()),
            (Family::Unknown, 3),
            "{text}"
        );
        assert!(explained.findings.is_empty(), "{text}");
        let reads = if cfg!(feature = "operator") {
            "pullprobe explain --task TASK"
        } else {
            "aws ecs describe-tasks"
        };
        assert!(explained.next[0].starts_with(reads), "{text}");
    }
}
