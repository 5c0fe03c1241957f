//! The services that the operator calls, and their protocols.

use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::error::CallError;
use crate::aws::json_api::{self, JsonApi};
use crate::endpoints::{self, Partition, Region, Service, Variant};

/// A service's names and protocol, from the `metadata` of the service models that `botocore` ships.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// Signing name, also the prefix of IAM actions: `ecs`.
    pub name: &'static str,
    /// `serviceId`, which names the variable and profile key of a custom endpoint.
    pub id: &'static str,
    /// `targetPrefix`; empty unless the protocol is AWS JSON.
    target_prefix: &'static str,
    /// `jsonVersion`; empty unless the protocol is AWS JSON.
    json_version: &'static str,
    /// `apiVersion`, for the Query protocol.
    query_version: &'static str,
    host: HostName,
}

/// How a service's host name is formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HostName {
    /// As for the probe, by [`endpoints::api_host`].
    Probed(Service),
    /// `<prefix>.<region>.<suffix>`.
    Regional(&'static str),
    /// IAM has one endpoint in each partition.
    Iam,
    /// Route 53 has one endpoint in each partition.
    Route53,
    /// Organizations has one endpoint in each partition.
    Organizations,
}

impl Api {
    /// Amazon ECS.
    pub const ECS: Self = Self::aws_json(json_api::ECS, "ECS", HostName::Probed(Service::Ecs));
    /// Amazon ECR.
    pub const ECR: Self = Self::aws_json(json_api::ECR, "ECR", HostName::Probed(Service::EcrApi));
    /// CloudWatch Logs.
    pub const LOGS: Self = Self::aws_json(
        json_api::LOGS,
        "CloudWatch Logs",
        HostName::Probed(Service::Logs),
    );
    /// CloudWatch, for alarms. Its model lists the Query protocol beside JSON.
    pub const CLOUDWATCH: Self = Self::other(
        "monitoring",
        "CloudWatch",
        "2010-08-01",
        HostName::Regional("monitoring"),
    );
    /// EventBridge Scheduler: REST.
    pub const SCHEDULER: Self = Self::other(
        "scheduler",
        "Scheduler",
        "2021-06-30",
        HostName::Probed(Service::Scheduler),
    );
    /// AWS Lambda: REST.
    pub const LAMBDA: Self = Self::other(
        "lambda",
        "Lambda",
        "2015-03-31",
        HostName::Regional("lambda"),
    );
    /// AWS STS.
    pub const STS: Self = Self::other("sts", "STS", "2011-06-15", HostName::Probed(Service::Sts));
    /// Amazon EC2.
    pub const EC2: Self = Self::other("ec2", "EC2", "2016-11-15", HostName::Probed(Service::Ec2));
    /// AWS Secrets Manager.
    pub const SECRETS_MANAGER: Self = Self::aws_json(
        json_api::SECRETS_MANAGER,
        "Secrets Manager",
        HostName::Probed(Service::SecretsManager),
    );
    /// AWS Systems Manager, for Parameter Store.
    pub const SSM: Self = Self::aws_json(json_api::SSM, "SSM", HostName::Probed(Service::Ssm));
    /// Route 53: REST with XML.
    pub const ROUTE53: Self = Self::other("route53", "Route 53", "2013-04-01", HostName::Route53);
    /// Route 53 Resolver.
    pub const ROUTE53_RESOLVER: Self = Self::aws_json(
        json_api::ROUTE53_RESOLVER,
        "Route53Resolver",
        HostName::Regional("route53resolver"),
    );
    /// Route 53 Profiles: REST.
    pub const ROUTE53_PROFILES: Self = Self::other(
        "route53profiles",
        "Route53Profiles",
        "2018-05-10",
        HostName::Regional("route53profiles"),
    );
    /// Amazon S3: REST with XML. The bucket is part of the path.
    pub const S3: Self = Self::other("s3", "S3", "2006-03-01", HostName::Regional("s3"));
    /// Amazon SNS.
    pub const SNS: Self = Self::other("sns", "SNS", "2010-03-31", HostName::Regional("sns"));
    /// AWS Organizations, which has one endpoint in each partition.
    pub const ORGANIZATIONS: Self = Self::aws_json(
        json_api::ORGANIZATIONS,
        "Organizations",
        HostName::Organizations,
    );
    /// AWS IAM.
    pub const IAM: Self = Self::other("iam", "IAM", "2010-05-08", HostName::Iam);

    const fn aws_json(api: JsonApi, id: &'static str, host: HostName) -> Self {
        Self {
            name: api.signing_name,
            id,
            target_prefix: api.target_prefix,
            json_version: "1.1",
            query_version: "",
            host,
        }
    }

    const fn other(
        name: &'static str,
        id: &'static str,
        version: &'static str,
        host: HostName,
    ) -> Self {
        Self {
            name,
            id,
            target_prefix: "",
            json_version: "",
            query_version: version,
            host,
        }
    }

    /// Returns its host name in `region`.
    pub(super) fn host(self, region: &Region) -> String {
        let suffix = region.partition().dns_suffix();
        match self.host {
            HostName::Probed(service) => endpoints::api_host(service, region, Variant::default()),
            HostName::Regional(prefix) => format!("{prefix}.{region}.{suffix}"),
            HostName::Route53 => match region.partition() {
                Partition::AwsUsGov => "route53.us-gov.amazonaws.com".into(),
                _ => format!("route53.{suffix}"),
            },
            HostName::Organizations => {
                format!("organizations.{}.{suffix}", self.signing_region(region))
            }
            HostName::Iam => match region.partition() {
                Partition::Aws => "iam.amazonaws.com".into(),
                Partition::AwsUsGov => "iam.us-gov.amazonaws.com".into(),
                _ => format!("iam.{}.{suffix}", self.signing_region(region)),
            },
        }
    }

    /// Returns the Region to sign for. IAM and Route 53 have one endpoint in each partition, in one
    /// of its Regions.
    pub(super) fn signing_region(self, region: &Region) -> &str {
        match (self.host, region.partition()) {
            (HostName::Iam | HostName::Route53 | HostName::Organizations, Partition::Aws) => {
                "us-east-1"
            }
            (HostName::Iam, Partition::AwsCn) => "cn-north-1",
            (HostName::Route53 | HostName::Organizations, Partition::AwsCn) => "cn-northwest-1",
            (HostName::Iam | HostName::Route53 | HostName::Organizations, Partition::AwsUsGov) => {
                "us-gov-west-1"
            }
            (HostName::Iam | HostName::Route53, Partition::AwsIso) => "us-iso-east-1",
            (HostName::Iam | HostName::Route53, Partition::AwsIsoB) => "us-isob-east-1",
            _ => region.as_str(),
        }
    }

    /// Returns the IAM action, such as `ecs:RunTask`. CloudWatch signs as `monitoring`, but its
    /// actions begin with `cloudwatch`.
    pub fn action(self, operation: &str) -> String {
        let prefix = if self.name == "monitoring" {
            "cloudwatch"
        } else {
            self.name
        };
        format!("{prefix}:{operation}")
    }

    /// Returns the key of a custom endpoint, which becomes `AWS_ENDPOINT_URL_CLOUDWATCH_LOGS` and
    /// `cloudwatch_logs` (AWS SDKs and tools reference guide, "Service-specific endpoints").
    pub(super) fn endpoint_key(self) -> aws_types::service_config::ServiceConfigKey<'static> {
        let key = aws_types::service_config::ServiceConfigKey::builder();
        #[expect(clippy::expect_used, reason = "all three required members are set")]
        key.service_id(self.id)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build()
            .expect("all members are set")
    }
}

/// Adds the headers of AWS JSON.
pub(super) fn json(
    mut request: Request<Bytes>,
    api: Api,
    operation: &str,
) -> Result<Request<Bytes>, CallError> {
    let invalid = |_| CallError::Setup(format!("{operation:?} is not a valid operation name"));
    let target =
        HeaderValue::try_from(format!("{}.{operation}", api.target_prefix)).map_err(invalid)?;
    let kind = HeaderValue::try_from(format!("application/x-amz-json-{}", api.json_version))
        .map_err(invalid)?;
    request
        .headers_mut()
        .insert(HeaderName::from_static("x-amz-target"), target);
    request.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(request)
}

/// Adds the headers of the Query protocol.
pub(super) fn query(mut request: Request<Bytes>) -> Request<Bytes> {
    let form = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
    request.headers_mut().insert(CONTENT_TYPE, form);
    request
}

/// Returns the body of a Query request.
pub(super) fn form(api: Api, action: &str, fields: &[(String, String)]) -> String {
    let first = [("Action", action), ("Version", api.query_version)];
    let all = first.into_iter().chain(
        fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    all.map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value)))
        .collect::<Vec<_>>()
        .join("&")
}

/// A list in an XML response of Amazon EC2, which is absent or empty without items.
#[derive(Debug, Deserialize)]
pub struct ItemSet<T> {
    #[serde(default = "Vec::new")]
    pub item: Vec<T>,
}

impl<T> Default for ItemSet<T> {
    fn default() -> Self {
        Self { item: Vec::new() }
    }
}

/// All but the unreserved characters of RFC 3986 section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Percent-encodes text for a path segment, a query or a form.
pub fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_follow_the_partition() {
        let host = |api: Api, region: &str| api.host(&region.parse().unwrap());
        assert_eq!(host(Api::ECS, "eu-west-1"), "ecs.eu-west-1.amazonaws.com");
        assert_eq!(
            host(Api::CLOUDWATCH, "cn-north-1"),
            "monitoring.cn-north-1.amazonaws.com.cn"
        );
        assert_eq!(host(Api::IAM, "eu-west-1"), "iam.amazonaws.com");
        assert_eq!(
            host(Api::IAM, "cn-northwest-1"),
            "iam.cn-north-1.amazonaws.com.cn"
        );
        assert_eq!(
            Api::IAM.signing_region(&"eu-west-1".parse().unwrap()),
            "us-east-1"
        );
    }

    #[test]
    fn form_values_are_percent_encoded() {
        let fields = [("Name".to_owned(), "a&b=c d/é".to_owned())];
        assert_eq!(
            form(Api::STS, "Get", &fields),
            "Action=Get&Version=2011-06-15&Name=a%26b%3Dc%20d%2F%C3%A9"
        );
    }
}
