//! The faults of the demo. Each has the name of the cause that the probe must find, and changes
//! only how the servers and the paths behave: the probe does not know of it.

use hyper::StatusCode;
use jiff::SignedDuration;

use super::names::{SERVICES, TASK_ADDRESS, private_address, public_address};
use super::path::{HostAddress, PathState};
use super::scenario::{
    DnsNames, Operation, PresentedCertificate, ResolverBehavior, ResponseDelay, Scenario,
    TaskCredentials,
};
use super::service_error::ServiceError;
use crate::cause::Cause;
use crate::observation::Dependency;

/// A fault that the demo can show.
#[derive(Debug)]
pub struct Fault {
    /// The cause that the probe must find.
    pub cause: Cause,
    /// What is wrong, in one sentence.
    pub description: &'static str,
    apply: fn(&mut Scenario),
}

impl Fault {
    /// Returns the fault whose cause has the code `name`.
    pub fn find(name: &str) -> Result<&'static Self, UnknownFault> {
        ALL.iter()
            .find(|fault| fault.cause.code() == name)
            .ok_or_else(|| UnknownFault(name.to_owned()))
    }

    /// Returns a subnet that has only this fault.
    pub fn scenario(&self) -> Scenario {
        let mut scenario = Scenario::healthy();
        (self.apply)(&mut scenario);
        scenario
    }
}

/// A name that no fault has.
#[derive(Debug, thiserror::Error)]
#[error("unknown fault {0:?}; `pullprobe demo --list` lists all {count}", count = ALL.len())]
pub struct UnknownFault(String);

const fn fault(cause: Cause, description: &'static str, apply: fn(&mut Scenario)) -> Fault {
    Fault {
        cause,
        description,
        apply,
    }
}

/// Every fault, in the order of the causes' families.
pub static ALL: &[Fault] = &[
    // Credentials.
    fault(
        Cause::NoCredentials,
        "The task definition has no task role (`taskRoleArn`).",
        |aws| aws.credentials = TaskCredentials::None,
    ),
    fault(
        Cause::CredentialsExpired,
        "The task's credentials have expired and were not renewed.",
        |aws| {
            aws.credentials = TaskCredentials::Expired;
        },
    ),
    fault(
        Cause::CredentialsInvalid,
        "The task's access key does not exist.",
        |aws| {
            aws.credentials = TaskCredentials::Unknown;
        },
    ),
    fault(
        Cause::ClockSkew,
        "The clock of the task's host is eleven minutes slow.",
        |aws| {
            aws.clock_ahead = SignedDuration::from_mins(11);
        },
    ),
    // Names.
    fault(
        Cause::ResolverUnreachable,
        "The VPC's DHCP option set names a DNS resolver that does not respond.",
        |aws| {
            aws.resolver = ResolverBehavior::Silent;
        },
    ),
    fault(
        Cause::ResolverFailure,
        "The company's DNS resolver returns SERVFAIL because its forwarder is down.",
        |aws| {
            aws.resolver = ResolverBehavior::ServFail;
        },
    ),
    fault(
        Cause::NameNotFound,
        "The company's DNS resolver has an empty zone for amazonaws.com.",
        |aws| {
            aws.dns_names = DnsNames::NoneOfAws;
        },
    ),
    fault(
        Cause::PrivateZoneShadowsName,
        "A private hosted zone for dkr.ecr.us-east-1.amazonaws.com lacks this account's record.",
        |aws| aws.dns_names = DnsNames::AllBut(Dependency::EcrDkr),
    ),
    fault(
        Cause::NamePointsElsewhere,
        "The DNS record of ecr.dkr points to the interface endpoint for CloudWatch Logs.",
        |aws| {
            aws.host(Dependency::EcrDkr).server = Dependency::Logs;
        },
    ),
    fault(
        Cause::PublicAnswerWherePrivateExpected,
        "CloudWatch Logs is reached through a NAT gateway although an interface endpoint is expected.",
        |aws| {
            aws.expect_private = true;
            remove_endpoint(aws, Dependency::Logs, PathState::Open);
        },
    ),
    // Paths.
    fault(
        Cause::NoEgressRoute,
        "The subnet has neither interface endpoints nor a NAT gateway.",
        |aws| {
            for service in SERVICES {
                remove_endpoint(aws, service, PathState::Silent);
            }
        },
    ),
    fault(
        Cause::InterfaceEndpointMissing,
        "Every interface endpoint exists except the one for ecr.api.",
        |aws| {
            remove_endpoint(aws, Dependency::EcrApi, PathState::Silent);
        },
    ),
    fault(
        Cause::S3GatewayMissing,
        "The subnet's route table has no route to a gateway endpoint for Amazon S3.",
        |aws| {
            aws.set_path(PathState::Silent, |service| service == Dependency::S3);
        },
    ),
    fault(
        Cause::EndpointSecurityGroup,
        "The security group of the ecr.dkr endpoint does not allow HTTPS from the task.",
        |aws| {
            aws.set_path(PathState::Silent, |service| service == Dependency::EcrDkr);
        },
    ),
    fault(
        Cause::TaskSecurityGroupEgress,
        "The task's security group allows no outbound traffic.",
        |aws| {
            aws.set_path(PathState::Silent, |_| true);
        },
    ),
    fault(
        Cause::NetworkAcl,
        "The subnet's network ACL blocks all traffic; only the ECR endpoints are inside the subnet.",
        |aws| {
            for service in [Dependency::EcrApi, Dependency::EcrDkr] {
                move_into_task_subnet(aws, service);
            }
            aws.set_path(PathState::Silent, |service| {
                !matches!(service, Dependency::EcrApi | Dependency::EcrDkr)
            });
        },
    ),
    fault(
        Cause::EndpointAddressUnreachable,
        "One of the three addresses of the ecr.api endpoint does not respond.",
        |aws| {
            if let Some(first) = private_address(Dependency::EcrApi) {
                let [a, b, _, last] = first.octets();
                let zones = [
                    (9, PathState::Open),
                    (10, PathState::Open),
                    (11, PathState::Silent),
                ];
                aws.host(Dependency::EcrApi).addresses = zones
                    .map(|(zone, path)| HostAddress::new([a, b, zone, last].into(), path))
                    .into();
            }
        },
    ),
    fault(
        Cause::ConnectionRefused,
        "A firewall rejects connections to the ECR layer bucket with a TCP reset.",
        |aws| {
            aws.set_path(PathState::Refused, |service| service == Dependency::S3);
        },
    ),
    fault(
        Cause::ConnectionReset,
        "A firewall resets every connection to ecr.dkr when it reads the server name.",
        |aws| {
            aws.set_path(PathState::Reset, |service| service == Dependency::EcrDkr);
        },
    ),
    fault(
        Cause::MtuBlackHole,
        "A tunnel to ecr.api silently drops large segments.",
        |aws| {
            aws.set_path(PathState::LargeSegmentsLost, |service| {
                service == Dependency::EcrApi
            });
        },
    ),
    fault(
        Cause::ServiceUnresponsive,
        "ecr.api accepts the request and never responds.",
        |aws| {
            aws.host(Dependency::EcrApi).delay = ResponseDelay::Forever;
        },
    ),
    fault(
        Cause::ServiceSlow,
        "ecr.api takes three and a half seconds to respond.",
        |aws| {
            aws.host(Dependency::EcrApi).delay = ResponseDelay::Slow;
        },
    ),
    // TLS.
    fault(
        Cause::TlsIntercepted,
        "A firewall inspects TLS with a certificate authority that Fargate does not trust.",
        |aws| {
            aws.hosts
                .values_mut()
                .for_each(|host| host.certificate = PresentedCertificate::Intercepted);
        },
    ),
    fault(
        Cause::TlsWrongName,
        "A proxy in front of the registry presents a certificate for its own name.",
        |aws| {
            aws.host(Dependency::EcrDkr).certificate = PresentedCertificate::ForAnotherName;
        },
    ),
    fault(
        Cause::TlsExpired,
        "A proxy in front of the ECR layer bucket presents an expired certificate.",
        |aws| {
            aws.host(Dependency::S3).certificate = PresentedCertificate::Expired;
        },
    ),
    fault(
        Cause::TlsStalled,
        "ecr.dkr accepts connections but does not answer the TLS handshake.",
        |aws| {
            aws.set_path(PathState::Stalled, |service| service == Dependency::EcrDkr);
        },
    ),
    // Policies.
    fault(
        Cause::IdentityPolicyMissingAction,
        "The task execution role allows ecr:GetAuthorizationToken but not ecr:BatchGetImage.",
        |aws| {
            let error = ServiceError::pull_denied(
                "ecr:BatchGetImage",
                "because no identity-based policy allows the ecr:BatchGetImage action",
            );
            deny(aws, Operation::BatchGetImage, error);
        },
    ),
    fault(
        Cause::IdentityPolicyDenies,
        "A policy of the task execution role explicitly denies ecr:GetAuthorizationToken.",
        |aws| {
            deny_token(aws, "with an explicit deny in an identity-based policy");
        },
    ),
    fault(
        Cause::PermissionsBoundaryDenies,
        "The permissions boundary of the task execution role does not allow Amazon ECR.",
        |aws| {
            deny_token(
                aws,
                "because no permissions boundary allows the ecr:GetAuthorizationToken action",
            );
        },
    ),
    fault(
        Cause::SessionPolicyDenies,
        "The role was assumed with a session policy that does not allow Amazon ECR.",
        |aws| {
            deny_token(
                aws,
                "because no session policy allows the ecr:GetAuthorizationToken action",
            );
        },
    ),
    fault(
        Cause::ServiceControlPolicyDenies,
        "A service control policy of the organization denies Amazon ECR in this Region.",
        |aws| {
            deny_token(
                aws,
                "with an explicit deny in a service control policy: \
             arn:aws:organizations::123456789012:policy/o-demo/service_control_policy/p-demo1234",
            );
        },
    ),
    fault(
        Cause::ResourceControlPolicyDenies,
        "A resource control policy of the organization denies this VPC access to image layers.",
        |aws| {
            let error = ServiceError::pull_denied(
                "ecr:GetDownloadUrlForLayer",
                "with an explicit deny in a resource control policy",
            );
            deny(aws, Operation::GetDownloadUrlForLayer, error);
        },
    ),
    fault(
        Cause::EndpointPolicyDenies,
        "The policy of the ecr.api endpoint allows only other accounts.",
        |aws| {
            deny_token(
                aws,
                "because no VPC endpoint policy allows the ecr:GetAuthorizationToken action",
            );
        },
    ),
    fault(
        Cause::S3EndpointPolicyDenies,
        "The policy of the S3 gateway endpoint does not allow the ECR layer bucket.",
        |aws| {
            let error = ServiceError::new(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied");
            deny(aws, Operation::GetObject, error);
        },
    ),
    fault(
        Cause::ResourcePolicyDenies,
        "The repository policy does not allow this account.",
        |aws| {
            let error = ServiceError::pull_denied(
                "ecr:BatchGetImage",
                "because no resource-based policy allows the ecr:BatchGetImage action",
            );
            deny(aws, Operation::BatchGetImage, error);
        },
    ),
    fault(
        Cause::KmsKeyDenies,
        "The task execution role can read the secret but not use its KMS key.",
        |aws| {
            let error = ServiceError::json("AccessDeniedException", "Access to KMS is not allowed");
            deny(aws, Operation::GetSecretValue, error);
        },
    ),
    fault(
        Cause::PermissionDenied,
        "CloudWatch Logs denies CreateLogStream without naming the policy.",
        |aws| {
            let stream =
                "arn:aws:logs:us-east-1:123456789012:log-group:/ecs/app:log-stream:pullprobe";
            deny(
                aws,
                Operation::CreateLogStream,
                ServiceError::access_denied("logs:CreateLogStream", stream, ""),
            );
        },
    ),
    // Image, secrets and logs.
    fault(
        Cause::RepositoryNotFound,
        "The repository was deleted.",
        |aws| aws.resources.repository = None,
    ),
    fault(
        Cause::ImageNotFound,
        "The image tag was never pushed.",
        |aws| aws.resources.tag = "1.3",
    ),
    fault(
        Cause::PlatformMismatch,
        "The image was built on a laptop, for arm64 only.",
        |aws| {
            aws.resources.architectures = vec!["arm64"];
        },
    ),
    fault(
        Cause::LayerUnavailable,
        "The image manifest exists, but its layers are missing from the bucket.",
        |aws| {
            aws.resources.layers = false;
        },
    ),
    fault(
        Cause::RegistryLoginFailed,
        "The registry rejects the authorization token, as if it were from another Region.",
        |aws| {
            aws.resources.token_accepted = false;
        },
    ),
    fault(
        Cause::SecretNotFound,
        "The secret in the task definition does not exist.",
        |aws| aws.resources.secret = None,
    ),
    fault(
        Cause::SecretJsonKeyMissing,
        "The secret has no JSON key \"password\".",
        |aws| {
            aws.resources.secret = Some(r#"{"username":"app"}"#);
        },
    ),
    fault(
        Cause::SecretNotJson,
        "The secret is a plain string, but the task definition names a JSON key in it.",
        |aws| {
            aws.resources.secret = Some("correct horse");
        },
    ),
    fault(
        Cause::ParameterNotFound,
        "The parameter in the task definition does not exist.",
        |aws| {
            aws.resources.parameter = None;
        },
    ),
    fault(
        Cause::LogGroupMissing,
        "The log group does not exist.",
        |aws| aws.resources.log_groups.clear(),
    ),
    // Limits.
    fault(
        Cause::Throttled,
        "The account calls GetAuthorizationToken more often than its quota allows.",
        |aws| {
            deny(
                aws,
                Operation::GetAuthorizationToken,
                ServiceError::json("ThrottlingException", "Rate exceeded"),
            );
        },
    ),
];

fn deny(aws: &mut Scenario, operation: Operation, error: ServiceError) {
    aws.denials.insert(operation, error);
}

fn deny_token(aws: &mut Scenario, reason: &str) {
    deny(
        aws,
        Operation::GetAuthorizationToken,
        ServiceError::access_denied("ecr:GetAuthorizationToken", "*", reason),
    );
}

/// Removes the interface endpoint of `service`, so that its name resolves to a public address.
fn remove_endpoint(aws: &mut Scenario, service: Dependency, path: PathState) {
    aws.host(service).addresses = vec![HostAddress::new(public_address(service), path)];
}

/// Moves the interface endpoint of `service` into the task's subnet, where network ACLs do not
/// apply.
fn move_into_task_subnet(aws: &mut Scenario, service: Dependency) {
    if let Some([a, b, _, last]) = private_address(service).map(|address| address.octets()) {
        let [_, _, subnet, _] = TASK_ADDRESS.octets();
        aws.host(service).addresses = vec![HostAddress::new(
            [a, b, subnet, last].into(),
            PathState::Open,
        )];
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn causes_are_unique_and_descriptions_are_sentences() {
        let causes: BTreeSet<_> = ALL.iter().map(|fault| fault.cause).collect();
        assert_eq!(causes.len(), ALL.len());
        for fault in ALL {
            assert!(
                fault.description.ends_with('.') && fault.description.len() < 110,
                "{}",
                fault.cause
            );
            assert_eq!(Fault::find(fault.cause.code()).unwrap().cause, fault.cause);
        }
        assert!(
            Fault::find("gremlins")
                .unwrap_err()
                .to_string()
                .contains("--list")
        );
    }
}
