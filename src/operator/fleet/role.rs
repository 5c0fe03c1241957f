//! The role that a worker assumes in the account of its target.

use aws_credential_types::Credentials;
use serde::Deserialize;

use crate::endpoints::Region;
use crate::operator::aws::{Api, CallError, Client};

/// Name of the role that the template of `fleet print --spoke` creates in every account.
pub const SPOKE_ROLE: &str = "pullprobe-fleet";

/// How long the credentials are valid: the longest time for a role that another role assumes (STS
/// API reference, AssumeRole). A worker has at most 15 minutes, and `fleet run` waits no longer.
const SESSION_SECONDS: u32 = 3_600;

/// Maximum number of attempts of AssumeRole: the state machine retries a throttled worker later.
const MAX_ATTEMPTS: usize = 5;

/// Maximum number of characters of a session name (STS API reference, AssumeRole).
const MAX_SESSION_NAME: usize = 64;

/// The role to assume, in any account.
#[derive(Debug, Clone)]
pub struct RoleToAssume {
    /// Its name, with its path.
    pub name: String,
    pub external_id: Option<String>,
    /// The operator's own account, which is called without assuming a role.
    pub own_account: Option<String>,
    /// ID of the run, for the session's name and tags.
    pub run: String,
}

impl RoleToAssume {
    /// Returns the ARN of the role in an account.
    pub fn arn(&self, account: &str, partition: &str) -> String {
        format!("arn:{partition}:iam::{account}:role/{}", self.name)
    }

    /// Assumes the role in an account, unless it is the operator's own, and returns a client for a
    /// Region.
    pub async fn client_for(
        &self,
        client: &Client,
        account: &str,
        region: &Region,
    ) -> Result<Client, CallError> {
        let there = client.in_region(region.clone());
        if self.own_account.as_deref() == Some(account) {
            return Ok(there);
        }
        let arn = self.arn(account, region.partition().name());
        let session: String = format!("pullprobe-{}", self.run)
            .chars()
            .take(MAX_SESSION_NAME)
            .collect();
        let mut fields = vec![
            ("RoleArn".to_owned(), arn),
            ("RoleSessionName".to_owned(), session),
            ("DurationSeconds".to_owned(), SESSION_SECONDS.to_string()),
            ("Tags.member.1.Key".to_owned(), "pullprobe:run".to_owned()),
            ("Tags.member.1.Value".to_owned(), self.run.clone()),
        ];
        let external_id = self.external_id.clone();
        fields.extend(external_id.map(|id| ("ExternalId".to_owned(), id)));
        let client_of_sts = client.with_max_attempts(MAX_ATTEMPTS);
        let response: AssumeRoleResponse =
            client_of_sts.query(Api::STS, "AssumeRole", &fields).await?;
        let issued = response.assume_role_result.credentials;
        let credentials = Credentials::new(
            issued.access_key_id,
            issued.secret_access_key,
            Some(issued.session_token),
            None,
            "AssumeRole",
        );
        Ok(there.with_credentials(credentials))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleResponse {
    assume_role_result: AssumeRoleResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleResult {
    credentials: IssuedCredentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IssuedCredentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
}
