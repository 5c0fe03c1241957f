//! A request as policies see it: principal, action, resource and context keys.

use std::collections::BTreeMap;

use crate::arn::Arn;

/// The principal of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestPrincipal {
    /// A session of this account's role makes the request.
    Role {
        /// ARN of the role.
        arn: String,
    },
    /// An AWS service that acts on its own behalf, such as `ecs-tasks.amazonaws.com`.
    Service(String),
    /// An account that AWS owns, such as the one with which Amazon ECR signs the URLs of layers.
    AwsOwned,
    /// Not known.
    Unknown,
}

/// The value of a context key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextValue {
    /// The request has these values.
    Known(Vec<String>),
    /// The request does not have the key.
    Absent,
    /// The request has a value that is only known not to be the customer's, such as the AWS-owned
    /// account that signs the URLs of layers.
    Foreign,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRequest {
    /// The caller.
    pub principal: RequestPrincipal,
    /// The action, such as `ecr:BatchGetImage`.
    pub action: String,
    /// ARN, or `*` for an action without resources.
    pub resource: String,
    /// Context keys in lowercase. A key that is not listed is unknown.
    pub context: BTreeMap<String, ContextValue>,
}

impl PolicyRequest {
    /// Returns a request with the keys that follow from its principal and from TLS.
    pub fn new(principal: RequestPrincipal, action: &str, resource: &str) -> Self {
        let mut request = Self {
            action: action.to_owned(),
            resource: resource.to_owned(),
            context: BTreeMap::new(),
            principal,
        };
        request.set("aws:SecureTransport", "true");
        match request.principal.clone() {
            RequestPrincipal::Role { arn } => {
                if let Ok(arn) = arn.parse::<Arn>() {
                    request.set("aws:PrincipalAccount", &arn.account);
                }
                request.set("aws:PrincipalArn", &arn);
                request.set("aws:PrincipalType", "AssumedRole");
                request.set("aws:PrincipalIsAWSService", "false");
                request.set("aws:ViaAWSService", "false");
                // Temporary credentials always carry this key, and ECS does not use MFA (IAM user
                // guide, "AWS global condition context keys").
                request.set("aws:MultiFactorAuthPresent", "false");
                // A role's session has no user.
                request
                    .context
                    .insert("aws:username".to_owned(), ContextValue::Absent);
            }
            RequestPrincipal::AwsOwned => {
                for key in [
                    "aws:PrincipalAccount",
                    "aws:PrincipalArn",
                    "aws:PrincipalOrgID",
                ] {
                    request
                        .context
                        .insert(key.to_lowercase(), ContextValue::Foreign);
                }
            }
            RequestPrincipal::Service(_) | RequestPrincipal::Unknown => {}
        }
        request
    }

    /// Sets a context key to a value.
    pub fn set(&mut self, key: &str, value: &str) {
        self.context.insert(
            key.to_lowercase(),
            ContextValue::Known(vec![value.to_owned()]),
        );
    }

    /// Returns the value of a key; `None` if it is not known.
    pub(super) fn value(&self, key: &str) -> Option<&ContextValue> {
        self.context.get(&key.to_lowercase())
    }
}
