//! Every cause with its code, family and page, in one table, so that none can be forgotten.
//!
//! A cause's page is an embedded Markdown file in `src/cause/pages/`, which `pullprobe causes CODE`
//! prints. Its second paragraph is the cause's summary and its third the remedy; the table of
//! docs/causes.md and every finding quote them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::observation::Dependency;

/// A family of causes, which decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// A name does not resolve, or resolves to the wrong address.
    Resolve,
    /// The path is silent, refused or reset.
    Network,
    /// TLS.
    Tls,
    /// Missing, expired or invalid credentials; a wrong clock.
    Credentials,
    /// A policy denies the request.
    Permission,
    /// Repository, tag, digest or platform.
    Image,
    /// Secret or parameter.
    Secret,
    /// Log group.
    Logs,
    /// EFS, environment file or disk.
    Storage,
    /// Rate limit or throttling.
    Limit,
    /// Network interface, addresses, capacity, role assumption.
    Placement,
    /// Not known.
    Unknown,
}

impl Family {
    /// Returns the exit code of a failed run whose first finding is of this family.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Resolve => 10,
            Self::Network => 11,
            Self::Tls => 12,
            Self::Credentials => 13,
            Self::Permission => 14,
            Self::Image => 15,
            Self::Secret => 16,
            Self::Logs => 17,
            Self::Storage => 18,
            Self::Limit => 19,
            Self::Placement => 20,
            Self::Unknown => 3,
        }
    }

    /// Returns the name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Network => "network",
            Self::Tls => "tls",
            Self::Credentials => "credentials",
            Self::Permission => "permission",
            Self::Image => "image",
            Self::Secret => "secret",
            Self::Logs => "logs",
            Self::Storage => "storage",
            Self::Limit => "limit",
            Self::Placement => "placement",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

macro_rules! causes {
    ($($variant:ident $code:literal $family:ident;)+) => {
        /// What is wrong.
        ///
        /// Declared in ranking order: how common a cause is among those that the same evidence
        /// supports (from user reports: a missing endpoint before a security group, a security
        /// group before a network ACL, a stale name last).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        pub enum Cause {
            $(
                #[doc = concat!("`", $code, "`: see its page.")]
                #[serde(rename = $code)]
                $variant,
            )+
        }

        impl Cause {
            /// Every cause.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the kebab-case code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// Returns the family.
            pub const fn family(self) -> Family {
                match self { $(Self::$variant => Family::$family),+ }
            }

            /// Returns the whole page, in Markdown.
            #[cfg(feature = "operator")]
            pub const fn page(self) -> &'static str {
                match self { $(Self::$variant => include_str!(concat!("cause/pages/", $code, ".md"))),+ }
            }

            /// Returns the page, in Markdown, as the image has it: without the sections for the
            /// console and Terraform.
            #[cfg(not(feature = "operator"))]
            pub const fn page(self) -> &'static str {
                match self { $(
                    Self::$variant => include_str!(concat!(env!("OUT_DIR"), "/pages/", $code, ".md"))
                ),+ }
            }
        }
    };
}

causes! {
    NoCredentials "no-credentials" Credentials;
    CredentialsExpired "credentials-expired" Credentials;
    CredentialsInvalid "credentials-invalid" Credentials;
    ClockSkew "clock-skew" Credentials;

    ResolverUnreachable "resolver-unreachable" Resolve;
    ResolverFailure "resolver-failure" Resolve;
    PrivateZoneShadowsName "private-zone-shadows-name" Resolve;
    NameNotFound "name-not-found" Resolve;
    PublicAnswerWherePrivateExpected "public-answer-where-private-expected" Resolve;

    HostWithoutIpv6 "host-without-ipv6" Network;
    InterfaceEndpointMissing "interface-endpoint-missing" Network;
    PrivateDnsDisabled "private-dns-disabled" Network;
    S3GatewayMissing "s3-gateway-missing" Network;
    PublicIpMissing "public-ip-missing" Network;
    NatGatewayUnhealthy "nat-gateway-unhealthy" Network;
    VpcBlockPublicAccess "vpc-block-public-access" Network;
    RouteTableDiffers "route-table-differs" Network;
    EndpointSecurityGroup "endpoint-security-group" Network;
    TaskSecurityGroupEgress "task-security-group-egress" Network;
    NetworkAcl "network-acl" Network;
    NoEgressRoute "no-egress-route" Network;
    AnsweredByIntermediary "answered-by-intermediary" Network;
    NamePointsElsewhere "name-points-elsewhere" Resolve;
    PullThroughUpstreamUnreachable "pull-through-upstream-unreachable" Network;
    EndpointAddressUnreachable "endpoint-address-unreachable" Network;
    ConnectionRefused "connection-refused" Network;
    ConnectionReset "connection-reset" Network;
    MtuBlackHole "mtu-black-hole" Network;
    ServiceUnresponsive "service-unresponsive" Network;
    ServiceSlow "service-slow" Network;

    TlsIntercepted "tls-intercepted" Tls;
    TlsUntrusted "tls-untrusted" Tls;
    TlsWrongName "tls-wrong-name" Tls;
    TlsExpired "tls-expired" Tls;
    TlsStalled "tls-stalled" Tls;

    IdentityPolicyMissingAction "identity-policy-missing-action" Permission;
    IdentityPolicyDenies "identity-policy-denies" Permission;
    PermissionsBoundaryDenies "permissions-boundary-denies" Permission;
    SessionPolicyDenies "session-policy-denies" Permission;
    ServiceControlPolicyDenies "service-control-policy-denies" Permission;
    ResourceControlPolicyDenies "resource-control-policy-denies" Permission;
    EndpointPolicyDenies "endpoint-policy-denies" Permission;
    S3EndpointPolicyDenies "s3-endpoint-policy-denies" Permission;
    ResourcePolicyDenies "resource-policy-denies" Permission;
    KmsKeyDenies "kms-key-denies" Permission;
    PermissionDenied "permission-denied" Permission;

    RepositoryNotFound "repository-not-found" Image;
    ImageNotFound "image-not-found" Image;
    PlatformMismatch "platform-mismatch" Image;
    TooManyLayers "too-many-layers" Image;
    LayerUnavailable "layer-unavailable" Image;
    RegistryLoginFailed "registry-login-failed" Image;
    InvalidImageReference "invalid-image-reference" Image;

    SecretNotFound "secret-not-found" Secret;
    SecretJsonKeyMissing "secret-json-key-missing" Secret;
    SecretIsBinary "secret-is-binary" Secret;
    SecretNotJson "secret-not-json" Secret;
    SecretVersionMissing "secret-version-missing" Secret;
    ParameterNotFound "parameter-not-found" Secret;
    InvalidValueFrom "invalid-value-from" Secret;

    LogGroupMissing "log-group-missing" Logs;
    LogStreamMissing "log-stream-missing" Logs;

    FileSystemUnreachable "file-system-unreachable" Storage;
    FileSystemDenied "file-system-denied" Storage;
    EnvironmentFileMissing "environment-file-missing" Storage;
    DiskFull "disk-full" Storage;

    RegistryRateLimited "registry-rate-limited" Limit;
    Throttled "throttled" Limit;

    NetworkInterfaceUnavailable "network-interface-unavailable" Placement;
    NoFreeAddress "no-free-address" Placement;
    RoleNotAssumable "role-not-assumable" Placement;
    CapacityUnavailable "capacity-unavailable" Placement;

    Unknown "unknown" Unknown;
}

impl Cause {
    /// Returns one sentence on what is wrong, which also reads after "because".
    pub fn summary(self) -> &'static str {
        paragraph(self.page(), 1)
    }

    /// Returns one sentence on what to change.
    pub fn remedy(self) -> &'static str {
        let line = paragraph(self.page(), 2);
        line.strip_prefix("Remedy: ").unwrap_or(line)
    }

    /// Returns one sentence on what to change for this dependency. Amazon EFS listens on TCP 2049,
    /// and has mount targets instead of endpoints.
    pub fn remedy_for(self, dependency: Dependency) -> String {
        match (self, dependency) {
            (Self::TaskSecurityGroupEgress, Dependency::Efs) => {
                "Allow outbound TCP 2049 in the task's security group, to the mount targets' \
                 security group."
                    .to_owned()
            }
            (_, Dependency::Efs) => self.remedy().replace("TCP 443", "TCP 2049"),
            _ => self.remedy().to_owned(),
        }
    }

    /// Returns what the rule rests on: `lab-proven`, `message-corpus` or `AWS documentation only`.
    pub fn rests_on(self) -> &'static str {
        let section = self
            .page()
            .split("## What this rests on")
            .nth(1)
            .unwrap_or_default();
        section.trim_start().lines().next().unwrap_or_default()
    }
}

fn paragraph(page: &str, n: usize) -> &str {
    page.split("\n\n").nth(n).unwrap_or_default().trim()
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl FromStr for Cause {
    type Err = String;

    fn from_str(code: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|cause| cause.code() == code)
            .ok_or_else(|| {
                format!(
                    "unknown cause {code:?}; `pullprobe causes` lists all {}",
                    Self::ALL.len()
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_the_parts_that_others_quote() {
        for cause in Cause::ALL {
            let page = cause.page();
            assert!(
                page.starts_with(&format!("# {cause}\n")),
                "{cause}: the title is not the code"
            );
            assert!(
                !cause.summary().is_empty() && !cause.summary().contains('\n'),
                "{cause}: summary"
            );
            assert!(
                paragraph(page, 2).starts_with("Remedy: ") && !cause.remedy().contains('\n'),
                "{cause}: remedy"
            );
            for heading in [
                "What it means",
                "What proves it",
                "What looks the same",
                "How to fix it",
            ] {
                assert!(
                    page.contains(&format!("\n## {heading}\n")),
                    "{cause}: no section {heading:?}"
                );
            }
            assert!(
                ["lab-proven", "message-corpus", "AWS documentation only"]
                    .contains(&cause.rests_on()),
                "{cause}: rests on {:?}",
                cause.rests_on()
            );
        }
    }

    #[test]
    fn remedies_for_a_file_system_name_its_port() {
        for cause in [Cause::NetworkAcl, Cause::TaskSecurityGroupEgress] {
            let (efs, s3) = [Dependency::Efs, Dependency::S3]
                .map(|dependency| cause.remedy_for(dependency))
                .into();
            assert!(efs.contains("TCP 2049") && !efs.contains("443"), "{efs}");
            assert!(s3 == cause.remedy() && s3.contains("TCP 443"), "{s3}");
        }
    }

    #[test]
    fn codes_round_trip() {
        for cause in Cause::ALL {
            assert_eq!(cause.code().parse(), Ok(*cause));
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.code());
        }
        assert!(
            "s3-gateway"
                .parse::<Cause>()
                .unwrap_err()
                .contains("pullprobe causes")
        );
    }
}
