//! The APIs with the AWS JSON protocol: one table for the probe and for the operator's commands,
//! from the `metadata` of the service models that `botocore` ships.

/// An AWS API with the AWS JSON 1.0 or 1.1 protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonApi {
    /// Signing name, also the prefix of IAM actions: `ecr`.
    pub signing_name: &'static str,
    /// `targetPrefix`: `X-Amz-Target` before the dot.
    pub target_prefix: &'static str,
}

/// Amazon ECR, version 2015-09-21.
pub const ECR: JsonApi = JsonApi {
    signing_name: "ecr",
    target_prefix: "AmazonEC2ContainerRegistry_V20150921",
};

/// CloudWatch Logs, version 2014-03-28.
pub const LOGS: JsonApi = JsonApi {
    signing_name: "logs",
    target_prefix: "Logs_20140328",
};

/// Secrets Manager, version 2017-10-17.
pub const SECRETS_MANAGER: JsonApi = JsonApi {
    signing_name: "secretsmanager",
    target_prefix: "secretsmanager",
};

/// Systems Manager, version 2014-11-06.
pub const SSM: JsonApi = JsonApi {
    signing_name: "ssm",
    target_prefix: "AmazonSSM",
};

/// Amazon ECS, version 2014-11-13.
#[cfg(feature = "operator")]
pub const ECS: JsonApi = JsonApi {
    signing_name: "ecs",
    target_prefix: "AmazonEC2ContainerServiceV20141113",
};

/// Route 53 Resolver, version 2018-04-01.
#[cfg(feature = "operator")]
pub const ROUTE53_RESOLVER: JsonApi = JsonApi {
    signing_name: "route53resolver",
    target_prefix: "Route53Resolver",
};

/// AWS Organizations, version 2016-11-28.
#[cfg(feature = "operator")]
pub const ORGANIZATIONS: JsonApi = JsonApi {
    signing_name: "organizations",
    target_prefix: "AWSOrganizationsV20161128",
};
