//! The services that an operator calls, and how a request of each is written.

use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use super::Error;
use crate::endpoints::{self, Partition, Region, Service, Variant};

/// A service's name on the wire. The values are those of the service models that `botocore` ships
/// (`metadata`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// For signatures, and in IAM actions: `ecs`.
    pub name: &'static str,
    /// `serviceId` of the model: it names the variable and the profile key of a custom endpoint.
    pub id: &'static str,
    /// What `X-Amz-Target` begins with; empty for services that do not speak AWS JSON.
    target: &'static str,
    /// `jsonVersion`.
    json: &'static str,
    /// `apiVersion`, for the Query protocol.
    version: &'static str,
    place: Place,
}

/// Where a service is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In every region, by the name that the probe knows as well.
    Known(Service),
    /// In every region: `<prefix>.<region>.<suffix>`.
    Regional(&'static str),
    /// Once in a partition.
    Iam,
}

impl Api {
    /// Amazon ECS.
    pub const ECS: Self = Self::json(
        "ecs",
        "ECS",
        "AmazonEC2ContainerServiceV20141113",
        Service::Ecs,
    );
    /// Amazon ECR.
    pub const ECR: Self = Self::json(
        "ecr",
        "ECR",
        "AmazonEC2ContainerRegistry_V20150921",
        Service::EcrApi,
    );
    /// CloudWatch Logs.
    pub const LOGS: Self = Self::json("logs", "CloudWatch Logs", "Logs_20140328", Service::Logs);
    /// CloudWatch, for alarms. Its model lists the Query protocol beside JSON.
    pub const CLOUDWATCH: Self = Self::xml(
        "monitoring",
        "CloudWatch",
        "2010-08-01",
        Place::Regional("monitoring"),
    );
    /// EventBridge Scheduler: REST.
    pub const SCHEDULER: Self = Self::xml(
        "scheduler",
        "Scheduler",
        "2021-06-30",
        Place::Known(Service::Scheduler),
    );
    /// AWS STS.
    pub const STS: Self = Self::xml("sts", "STS", "2011-06-15", Place::Known(Service::Sts));
    /// Amazon EC2.
    pub const EC2: Self = Self::xml("ec2", "EC2", "2016-11-15", Place::Known(Service::Ec2));
    /// AWS IAM.
    pub const IAM: Self = Self::xml("iam", "IAM", "2010-05-08", Place::Iam);

    const fn json(
        name: &'static str,
        id: &'static str,
        target: &'static str,
        service: Service,
    ) -> Self {
        Self {
            name,
            id,
            target,
            json: "1.1",
            version: "",
            place: Place::Known(service),
        }
    }

    const fn xml(
        name: &'static str,
        id: &'static str,
        version: &'static str,
        place: Place,
    ) -> Self {
        Self {
            name,
            id,
            target: "",
            json: "",
            version,
            place,
        }
    }

    /// The host that serves it in `region`.
    pub(super) fn host(self, region: &Region) -> String {
        let suffix = region.partition().dns_suffix();
        match self.place {
            Place::Known(service) => endpoints::api_host(service, region, Variant::default()),
            Place::Regional(prefix) => format!("{prefix}.{region}.{suffix}"),
            Place::Iam => match region.partition() {
                Partition::Aws => "iam.amazonaws.com".into(),
                Partition::AwsUsGov => "iam.us-gov.amazonaws.com".into(),
                _ => format!("iam.{}.{suffix}", self.signing_region(region)),
            },
        }
    }

    /// The region that its signatures name. IAM has one endpoint in a partition, in that
    /// partition's first region.
    pub(super) fn signing_region(self, region: &Region) -> &str {
        match (self.place, region.partition()) {
            (Place::Iam, Partition::Aws) => "us-east-1",
            (Place::Iam, Partition::AwsCn) => "cn-north-1",
            (Place::Iam, Partition::AwsUsGov) => "us-gov-west-1",
            (Place::Iam, Partition::AwsIso) => "us-iso-east-1",
            (Place::Iam, Partition::AwsIsoB) => "us-isob-east-1",
            _ => region.as_str(),
        }
    }

    /// `ecs:RunTask`, as a policy names it. CloudWatch signs as `monitoring` and is called
    /// `cloudwatch` there.
    pub(super) fn action(self, operation: &str) -> String {
        let prefix = if self.name == "monitoring" {
            "cloudwatch"
        } else {
            self.name
        };
        format!("{prefix}:{operation}")
    }

    /// `AWS_ENDPOINT_URL_CLOUDWATCH_LOGS` and `cloudwatch_logs`: the id with underscores (AWS SDKs
    /// and tools reference guide, "Service-specific endpoints").
    pub(super) fn endpoint_key(self) -> aws_types::service_config::ServiceConfigKey<'static> {
        let key = aws_types::service_config::ServiceConfigKey::builder();
        #[expect(
            clippy::expect_used,
            reason = "all three are set, which is all that it asks for"
        )]
        key.service_id(self.id)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build()
            .expect("three names")
    }
}

/// Adds what AWS JSON 1.1 wants beside the body.
pub(super) fn json(
    mut request: Request<Bytes>,
    api: Api,
    operation: &str,
) -> Result<Request<Bytes>, Error> {
    let wrong = |_| Error::Setup(format!("{operation:?} is no operation's name"));
    let target = HeaderValue::try_from(format!("{}.{operation}", api.target)).map_err(wrong)?;
    let kind =
        HeaderValue::try_from(format!("application/x-amz-json-{}", api.json)).map_err(wrong)?;
    request
        .headers_mut()
        .insert(HeaderName::from_static("x-amz-target"), target);
    request.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(request)
}

/// Adds what the Query protocol wants beside the body.
pub(super) fn query(mut request: Request<Bytes>) -> Request<Bytes> {
    let form = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
    request.headers_mut().insert(CONTENT_TYPE, form);
    request
}

/// The body of the Query protocol.
pub(super) fn form(api: Api, action: &str, fields: &[(String, String)]) -> String {
    let first = [("Action", action), ("Version", api.version)];
    let all = first.into_iter().chain(
        fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    all.map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect::<Vec<_>>()
        .join("&")
}

/// Percent-encoding of everything that is not unreserved (RFC 3986 section 2.3): right in a form, a
/// path and a query.
pub fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_of_the_partition() {
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
    fn a_form_keeps_what_it_carries_apart() {
        let fields = [("Name".to_owned(), "a&b=c d/é".to_owned())];
        assert_eq!(
            form(Api::STS, "Get", &fields),
            "Action=Get&Version=2011-06-15&Name=a%26b%3Dc%20d%2F%C3%A9"
        );
    }
}
