//! Amazon Resource Names: one parser for all of them.
//!
//! `arn:partition:service:region:account:resource`, where the resource is `id`, `type/id` or
//! `type:id` and may contain further slashes and colons (IAM user guide, "Amazon Resource Names").

use std::fmt;
use std::str::FromStr;

/// An Amazon Resource Name. Region and account are empty where the service leaves them out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arn {
    /// `aws`, `aws-cn`, `aws-us-gov`, …
    pub partition: String,
    /// Service namespace, such as `ecs`.
    pub service: String,
    /// Region; empty for global resources such as IAM roles.
    pub region: String,
    /// Account ID; empty for S3 buckets.
    pub account: String,
    /// Everything after the fifth colon.
    pub resource: String,
}

/// Why a text is not an ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidArn {
    /// It does not begin with `arn:`.
    NoPrefix,
    /// It has fewer than six parts.
    TooFewParts,
    /// The named part is empty.
    EmptyPart(&'static str),
}

impl fmt::Display for InvalidArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPrefix => f.write_str("does not begin with arn:"),
            Self::TooFewParts => {
                f.write_str("is not of the form arn:partition:service:region:account:resource")
            }
            Self::EmptyPart(part) => write!(f, "has an empty {part}"),
        }
    }
}

impl std::error::Error for InvalidArn {}

impl FromStr for Arn {
    type Err = InvalidArn;

    fn from_str(text: &str) -> Result<Self, InvalidArn> {
        let rest = text.strip_prefix("arn:").ok_or(InvalidArn::NoPrefix)?;
        let mut parts = rest.splitn(5, ':').map(str::to_owned);
        let mut next = || parts.next().ok_or(InvalidArn::TooFewParts);
        let arn = Self {
            partition: next()?,
            service: next()?,
            region: next()?,
            account: next()?,
            resource: next()?,
        };
        for (part, value) in [
            ("partition", &arn.partition),
            ("service", &arn.service),
            ("resource", &arn.resource),
        ] {
            if value.is_empty() {
                return Err(InvalidArn::EmptyPart(part));
            }
        }
        Ok(arn)
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            partition,
            service,
            region,
            account,
            resource,
        } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

impl Arn {
    /// The account of a [`pattern`](Self::pattern) that matches every account.
    const ANY_ACCOUNT: &str = "*";

    /// Returns an ARN for the `Resource` of a policy statement, where `resource` may contain the
    /// wildcards `*` and `?`. Without an `account` it matches every account (IAM user guide, "IAM
    /// JSON policy elements: Resource").
    pub fn pattern(
        partition: &str,
        service: &str,
        region: &str,
        account: Option<&str>,
        resource: impl Into<String>,
    ) -> Self {
        Self {
            partition: partition.to_owned(),
            service: service.to_owned(),
            region: region.to_owned(),
            account: account.unwrap_or(Self::ANY_ACCOUNT).to_owned(),
            resource: resource.into(),
        }
    }

    /// Whether this is a pattern that matches every account.
    pub fn matches_any_account(&self) -> bool {
        self.account == Self::ANY_ACCOUNT
    }

    /// Whether the ARN has only valid characters, and no more of them than AWS allows (IAM API
    /// reference, `arnType`: 2,048).
    pub fn is_plain(&self) -> bool {
        let text = self.to_string();
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_/+=,.@:*".contains(&b);
        text.len() <= 2_048
            && text.bytes().all(is_plain)
            && self.account.bytes().all(|b| b.is_ascii_digit())
    }

    /// Returns the resource's type, the text before its first `/` or `:`; `None` for a bare ID.
    pub fn resource_type(&self) -> Option<&str> {
        self.split_resource().map(|(kind, _)| kind)
    }

    /// Returns the resource without its type: `cluster/id` for `task/cluster/id`.
    pub fn resource_id(&self) -> &str {
        self.split_resource().map_or(&self.resource, |(_, id)| id)
    }

    /// Returns the last segment of the resource: a task's ID, a role's name without its path.
    pub fn name(&self) -> &str {
        let id = self.resource_id();
        id.rsplit('/').next().unwrap_or(id)
    }

    /// Returns the cluster's name, if this is an ECS cluster, or a task, service, container
    /// instance or task set of the long format (`task/cluster/id`; ECS developer guide, "Amazon
    /// Resource Names (ARNs) and IDs").
    pub fn cluster_name(&self) -> Option<&str> {
        if self.service != "ecs" {
            return None;
        }
        let (kind, id) = self.split_resource()?;
        match kind {
            "cluster" => Some(id),
            "task" | "service" | "container-instance" | "task-set" => {
                id.split_once('/').map(|(cluster, _)| cluster)
            }
            _ => None,
        }
    }

    /// Returns the role's name, if this is an IAM role, with or without a path, or a session of an
    /// assumed role (`assumed-role/name/session`).
    pub fn role_name(&self) -> Option<&str> {
        match (self.service.as_str(), self.split_resource()?) {
            ("iam", ("role", _)) => Some(self.name()),
            ("sts", ("assumed-role", id)) => id.split('/').next(),
            _ => None,
        }
    }

    /// Returns the user's name, if this is an IAM user, with or without a path.
    pub fn user_name(&self) -> Option<&str> {
        match (self.service.as_str(), self.split_resource()?) {
            ("iam", ("user", _)) => Some(self.name()),
            _ => None,
        }
    }

    /// Returns the family and revision, if this is an ECS task definition.
    pub fn task_definition(&self) -> Option<(&str, &str)> {
        match (self.service.as_str(), self.split_resource()?) {
            ("ecs", ("task-definition", id)) => id.split_once(':'),
            _ => None,
        }
    }

    fn split_resource(&self) -> Option<(&str, &str)> {
        self.resource.split_once(['/', ':'])
    }
}

/// Whether the text is the ID of an AWS account: twelve digits (AWS Account Management guide).
pub fn is_account_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arn(text: &str) -> Arn {
        text.parse().unwrap()
    }

    #[test]
    fn prints_as_it_was_read() {
        for text in [
            "arn:aws:s3:::bucket/a/b.env",
            "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:prod/db-AbCdEf:key::",
            "arn:aws:ecs:us-east-1:123456789012:task/prod/0123",
        ] {
            assert_eq!(arn(text).to_string(), text);
        }
    }

    #[test]
    fn names_its_parts() {
        let task = arn("arn:aws:ecs:us-east-1:123456789012:task/prod/0123");
        assert_eq!((task.name(), task.cluster_name()), ("0123", Some("prod")));
        assert_eq!(task.resource_type(), Some("task"));
        let old = arn("arn:aws:ecs:us-east-1:123456789012:task/0123");
        assert_eq!((old.name(), old.cluster_name()), ("0123", None));
        let cluster = arn("arn:aws:ecs:us-east-1:123456789012:cluster/prod");
        assert_eq!(cluster.cluster_name(), Some("prod"));
        let family = arn("arn:aws:ecs:us-east-1:123456789012:task-definition/web:7");
        assert_eq!(family.task_definition(), Some(("web", "7")));
        let role = arn("arn:aws:iam::123456789012:role/service/path/exec");
        assert_eq!(role.role_name(), Some("exec"));
        let session = arn("arn:aws:sts::123456789012:assumed-role/exec/17cb");
        assert_eq!(session.role_name(), Some("exec"));
        let topic = arn("arn:aws:sns:us-east-1:123456789012:topic");
        assert_eq!(
            (topic.resource_type(), topic.resource_id()),
            (None, "topic")
        );
        assert_eq!((topic.cluster_name(), topic.role_name()), (None, None));
    }

    #[test]
    fn a_pattern_without_an_account_matches_every_account() {
        let open = Arn::pattern("aws", "logs", "eu-west-1", None, "log-group:/ecs/app:*");
        assert_eq!(
            open.to_string(),
            "arn:aws:logs:eu-west-1:*:log-group:/ecs/app:*"
        );
        assert!(open.matches_any_account());
        let own = Arn::pattern("aws", "s3", "", Some(""), "bucket/*");
        assert_eq!(own.to_string(), "arn:aws:s3:::bucket/*");
        assert!(!own.matches_any_account());
    }

    #[test]
    fn errors_name_the_missing_part() {
        let error = |text: &str| text.parse::<Arn>().unwrap_err();
        assert_eq!(error("web"), InvalidArn::NoPrefix);
        assert_eq!(error("arn:aws:ecs"), InvalidArn::TooFewParts);
        assert_eq!(
            error("arn:aws:ecs:us-east-1:1:"),
            InvalidArn::EmptyPart("resource")
        );
        assert_eq!(
            error("arn::ecs:us-east-1:1:x"),
            InvalidArn::EmptyPart("partition")
        );
    }
}
