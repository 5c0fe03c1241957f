//! The faults of the demo. Each is named as the cause that the probe must find, and is realised by
//! what the servers and the paths really do: the probe is told nothing.

use hyper::StatusCode;
use jiff::SignedDuration;

use super::path::Path;
use super::refusal::Refusal;
use super::scenario::{
    Certificate, Credentials, Names, Operation, Pace, Resolver, Scenario, TASK_ADDRESS,
    private_address, public_address,
};
use crate::cause::Cause;
use crate::observation::Dependency;

/// Something that can be wrong.
#[derive(Debug)]
pub struct Fault {
    /// What the probe must find.
    pub cause: Cause,
    /// What happened, in one sentence.
    pub story: &'static str,
    bend: fn(&mut Scenario),
}

impl Fault {
    /// The fault of this name, which is its cause's code. Fails with a sentence.
    pub fn find(name: &str) -> Result<&'static Self, String> {
        ALL.iter()
            .find(|fault| fault.cause.code() == name)
            .ok_or_else(|| {
                format!(
                    "the demo has no fault {name:?}: `pullprobe demo --list` shows the {} it has",
                    ALL.len()
                )
            })
    }

    /// A subnet that has this fault and no other.
    pub fn setting(&self) -> Scenario {
        let mut setting = Scenario::healthy();
        (self.bend)(&mut setting);
        setting
    }
}

const fn fault(cause: Cause, story: &'static str, bend: fn(&mut Scenario)) -> Fault {
    Fault { cause, story, bend }
}

/// Every fault, in the order of the causes' families.
pub static ALL: &[Fault] = &[
    // Credentials.
    fault(
        Cause::NoCredentials,
        "The task definition names no task role.",
        |aws| aws.credentials = Credentials::None,
    ),
    fault(
        Cause::CredentialsExpired,
        "The task's credentials ran out and were not renewed.",
        |aws| {
            aws.credentials = Credentials::Expired;
        },
    ),
    fault(
        Cause::CredentialsInvalid,
        "The task's keys belong to nobody whom AWS knows.",
        |aws| {
            aws.credentials = Credentials::Unknown;
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
        "The VPC's DHCP options name a resolver that nobody can reach.",
        |aws| {
            aws.resolver = Resolver::Silent;
        },
    ),
    fault(
        Cause::ResolverFailure,
        "The company's resolver answers SERVFAIL: its forwarder is down.",
        |aws| {
            aws.resolver = Resolver::Fails;
        },
    ),
    fault(
        Cause::NameNotFound,
        "The company's resolver holds an empty zone amazonaws.com.",
        |aws| {
            aws.names = Names::NoneOfAws;
        },
    ),
    fault(
        Cause::PrivateZoneShadowsName,
        "A private hosted zone dkr.ecr.us-east-1.amazonaws.com lacks the record of this account.",
        |aws| aws.names = Names::AllBut(Dependency::EcrDkr),
    ),
    fault(
        Cause::NamePointsElsewhere,
        "The record of ecr.dkr points to the endpoint of CloudWatch Logs.",
        |aws| {
            aws.site(Dependency::EcrDkr).inhabitant = Dependency::Logs;
        },
    ),
    fault(
        Cause::PublicAnswerWherePrivateExpected,
        "CloudWatch Logs is reached through a NAT gateway, where an interface endpoint was expected.",
        |aws| {
            aws.expect_private = true;
            move_outside(aws, Dependency::Logs, Path::Open);
        },
    ),
    // Paths.
    fault(
        Cause::NoEgressRoute,
        "The subnet has neither interface endpoints nor a NAT gateway.",
        |aws| {
            for service in super::scenario::SERVICES {
                move_outside(aws, service, Path::Silent);
            }
        },
    ),
    fault(
        Cause::InterfaceEndpointMissing,
        "All endpoints were made but the one for ecr.api.",
        |aws| {
            move_outside(aws, Dependency::EcrApi, Path::Silent);
        },
    ),
    fault(
        Cause::S3GatewayMissing,
        "The subnet's route table lacks the gateway endpoint for Amazon S3.",
        |aws| {
            aws.set_path(Path::Silent, |service| service == Dependency::S3);
        },
    ),
    fault(
        Cause::EndpointSecurityGroup,
        "The security group of the ecr.dkr endpoint does not let the task in.",
        |aws| {
            aws.set_path(Path::Silent, |service| service == Dependency::EcrDkr);
        },
    ),
    fault(
        Cause::TaskSecurityGroupEgress,
        "The task's security group lets nothing out.",
        |aws| {
            aws.set_path(Path::Silent, |_| true);
        },
    ),
    fault(
        Cause::NetworkAcl,
        "The subnet's network ACL lets nothing past its border; ECR's endpoints are within.",
        |aws| {
            for service in [Dependency::EcrApi, Dependency::EcrDkr] {
                move_into_the_subnet(aws, service);
            }
            aws.set_path(Path::Silent, |service| {
                !matches!(service, Dependency::EcrApi | Dependency::EcrDkr)
            });
        },
    ),
    fault(
        Cause::EndpointAddressUnreachable,
        "One of the three addresses of ecr.api is dead.",
        |aws| {
            if let Some(first) = private_address(Dependency::EcrApi) {
                let [a, b, _, last] = first.octets();
                let addresses = [(9, Path::Open), (10, Path::Open), (11, Path::Silent)];
                aws.site(Dependency::EcrApi).addresses = addresses
                    .map(|(zone, path)| ([a, b, zone, last].into(), path))
                    .into();
            }
        },
    ),
    fault(
        Cause::ConnectionRefused,
        "A firewall answers for the layer bucket with a reset.",
        |aws| {
            aws.set_path(Path::Refused, |service| service == Dependency::S3);
        },
    ),
    fault(
        Cause::ConnectionReset,
        "A middlebox resets every connection to ecr.dkr once it reads the name.",
        |aws| {
            aws.set_path(Path::Reset, |service| service == Dependency::EcrDkr);
        },
    ),
    fault(
        Cause::MtuBlackHole,
        "A tunnel on the way to ecr.api loses large segments and tells nobody.",
        |aws| {
            aws.set_path(Path::LargeSegmentsLost, |service| {
                service == Dependency::EcrApi
            });
        },
    ),
    fault(
        Cause::ServiceUnresponsive,
        "ecr.api takes the request and never answers.",
        |aws| {
            aws.site(Dependency::EcrApi).pace = Pace::Never;
        },
    ),
    fault(
        Cause::ServiceSlow,
        "ecr.api takes three and a half seconds for every answer.",
        |aws| {
            aws.site(Dependency::EcrApi).pace = Pace::Late;
        },
    ),
    // TLS.
    fault(
        Cause::TlsIntercepted,
        "A firewall opens TLS with an authority that Fargate does not know.",
        |aws| {
            aws.sites
                .values_mut()
                .for_each(|site| site.certificate = Certificate::Intercepted);
        },
    ),
    fault(
        Cause::TlsWrongName,
        "A proxy before the registry presents a certificate of its own name.",
        |aws| {
            aws.site(Dependency::EcrDkr).certificate = Certificate::ForAnotherName;
        },
    ),
    fault(
        Cause::TlsExpired,
        "The certificate of the layer bucket's proxy is past its time.",
        |aws| {
            aws.site(Dependency::S3).certificate = Certificate::Expired;
        },
    ),
    fault(
        Cause::TlsStalled,
        "ecr.dkr accepts connections and never begins TLS.",
        |aws| {
            aws.set_path(Path::Stalled, |service| service == Dependency::EcrDkr);
        },
    ),
    // Policies.
    fault(
        Cause::IdentityPolicyMissingAction,
        "The execution role may log in and not pull.",
        |aws| {
            let no = Refusal::pull(
                "ecr:BatchGetImage",
                "because no identity-based policy allows the ecr:BatchGetImage action",
            );
            refuse(aws, Operation::BatchGetImage, no);
        },
    ),
    fault(
        Cause::IdentityPolicyDenies,
        "A policy of the execution role denies GetAuthorizationToken.",
        |aws| {
            refuse_token(aws, "with an explicit deny in an identity-based policy");
        },
    ),
    fault(
        Cause::PermissionsBoundaryDenies,
        "The execution role's permissions boundary leaves ECR out.",
        |aws| {
            refuse_token(
                aws,
                "because no permissions boundary allows the ecr:GetAuthorizationToken action",
            );
        },
    ),
    fault(
        Cause::SessionPolicyDenies,
        "The role was assumed with a session policy that leaves ECR out.",
        |aws| {
            refuse_token(
                aws,
                "because no session policy allows the ecr:GetAuthorizationToken action",
            );
        },
    ),
    fault(
        Cause::ServiceControlPolicyDenies,
        "The organization denies ECR in this region.",
        |aws| {
            refuse_token(
                aws,
                "with an explicit deny in a service control policy: \
             arn:aws:organizations::123456789012:policy/o-demo/service_control_policy/p-demo1234",
            );
        },
    ),
    fault(
        Cause::ResourceControlPolicyDenies,
        "The organization's data perimeter denies layers to this VPC.",
        |aws| {
            let no = Refusal::pull(
                "ecr:GetDownloadUrlForLayer",
                "with an explicit deny in a resource control policy",
            );
            refuse(aws, Operation::GetDownloadUrlForLayer, no);
        },
    ),
    fault(
        Cause::EndpointPolicyDenies,
        "The policy of the ecr.api endpoint allows other accounts only.",
        |aws| {
            refuse_token(
                aws,
                "because no VPC endpoint policy allows the ecr:GetAuthorizationToken action",
            );
        },
    ),
    fault(
        Cause::S3EndpointPolicyDenies,
        "The gateway endpoint's policy leaves the layer bucket out.",
        |aws| {
            let no = Refusal {
                status: StatusCode::FORBIDDEN,
                code: "AccessDenied",
                message: "Access Denied".into(),
            };
            refuse(aws, Operation::GetObject, no);
        },
    ),
    fault(
        Cause::ResourcePolicyDenies,
        "The repository's policy does not name this account.",
        |aws| {
            let no = Refusal::pull(
                "ecr:BatchGetImage",
                "because no resource-based policy allows the ecr:BatchGetImage action",
            );
            refuse(aws, Operation::BatchGetImage, no);
        },
    ),
    fault(
        Cause::KmsKeyDenies,
        "The execution role may read the secret and not use its key.",
        |aws| {
            let no = Refusal::json("AccessDeniedException", "Access to KMS is not allowed");
            refuse(aws, Operation::GetSecretValue, no);
        },
    ),
    fault(
        Cause::PermissionDenied,
        "CloudWatch Logs says no and does not say which policy did.",
        |aws| {
            let stream =
                "arn:aws:logs:us-east-1:123456789012:log-group:/ecs/app:log-stream:pullprobe";
            refuse(
                aws,
                Operation::CreateLogStream,
                Refusal::access("logs:CreateLogStream", stream, ""),
            );
        },
    ),
    // What is asked for.
    fault(
        Cause::RepositoryNotFound,
        "The repository was deleted.",
        |aws| aws.contents.repository = None,
    ),
    fault(Cause::ImageNotFound, "The tag was never pushed.", |aws| {
        aws.contents.tag = "1.3"
    }),
    fault(
        Cause::PlatformMismatch,
        "The image was built on a laptop, for arm64 only.",
        |aws| {
            aws.contents.architectures = vec!["arm64"];
        },
    ),
    fault(
        Cause::LayerUnavailable,
        "The manifest is there; the layers are gone from the bucket.",
        |aws| {
            aws.contents.layers = false;
        },
    ),
    fault(
        Cause::RegistryLoginFailed,
        "The registry does not take the token, as if it were another region's.",
        |aws| {
            aws.contents.token_accepted = false;
        },
    ),
    fault(
        Cause::SecretNotFound,
        "The secret of the task definition does not exist.",
        |aws| aws.contents.secret = None,
    ),
    fault(
        Cause::SecretJsonKeyMissing,
        "The secret has no key \"password\".",
        |aws| {
            aws.contents.secret = Some(r#"{"username":"app"}"#);
        },
    ),
    fault(
        Cause::SecretNotJson,
        "The secret is a bare password, where a JSON object with a key was asked for.",
        |aws| {
            aws.contents.secret = Some("correct horse");
        },
    ),
    fault(
        Cause::ParameterNotFound,
        "The parameter of the task definition does not exist.",
        |aws| {
            aws.contents.parameter = None;
        },
    ),
    fault(
        Cause::LogGroupMissing,
        "Nobody created the log group.",
        |aws| aws.contents.log_groups.clear(),
    ),
    // Limits.
    fault(
        Cause::Throttled,
        "GetAuthorizationToken is asked too often in this account.",
        |aws| {
            refuse(
                aws,
                Operation::GetAuthorizationToken,
                Refusal::json("ThrottlingException", "Rate exceeded"),
            );
        },
    ),
];

fn refuse(aws: &mut Scenario, operation: Operation, refusal: Refusal) {
    aws.refusals.insert(operation, refusal);
}

fn refuse_token(aws: &mut Scenario, reason: &str) {
    refuse(
        aws,
        Operation::GetAuthorizationToken,
        Refusal::access("ecr:GetAuthorizationToken", "*", reason),
    );
}

/// The service has no interface endpoint: its name answers with a public address.
fn move_outside(aws: &mut Scenario, service: Dependency, path: Path) {
    aws.site(service).addresses = vec![(public_address(service), path)];
}

/// The service's interface endpoint is in the task's own subnet, where no network ACL acts.
fn move_into_the_subnet(aws: &mut Scenario, service: Dependency) {
    if let Some([a, b, _, last]) = private_address(service).map(|address| address.octets()) {
        let [_, _, subnet, _] = TASK_ADDRESS.octets();
        aws.site(service).addresses = vec![([a, b, subnet, last].into(), Path::Open)];
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn causes_are_unique_and_stories_are_sentences() {
        let causes: BTreeSet<_> = ALL.iter().map(|fault| fault.cause).collect();
        assert_eq!(causes.len(), ALL.len());
        for fault in ALL {
            assert!(
                fault.story.ends_with('.') && fault.story.len() < 110,
                "{}",
                fault.cause
            );
            assert_eq!(Fault::find(fault.cause.code()).unwrap().cause, fault.cause);
        }
        assert!(Fault::find("gremlins").unwrap_err().contains("--list"));
    }
}
