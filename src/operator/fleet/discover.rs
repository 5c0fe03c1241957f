//! Lists the services of an organization's accounts as targets.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::role::RoleToAssume;
use super::target::FleetTarget;
use crate::endpoints::Region;
use crate::operator::aws::{Api, CallError, Client};
use crate::operator::ecs::last_segment;
use crate::operator::paging::{Page, all_pages};

/// Maximum number of pages of a list: of 20 accounts, or of 100 clusters or services.
const MAX_PAGES: usize = 1_000;

/// Returns the IDs of the organization's active accounts.
pub async fn accounts(client: &Client) -> Result<Vec<String>, CallError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Account {
        id: String,
        #[serde(default)]
        status: String,
        /// Replaces `Status`, which AWS retires in September 2026.
        state: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Response {
        #[serde(default)]
        accounts: Vec<Account>,
        next_token: Option<String>,
    }
    const OPERATION: &str = "ListAccounts";
    let all = all_pages(Api::ORGANIZATIONS, OPERATION, MAX_PAGES, async |token| {
        let body = token.map_or(json!({}), |token| json!({ "NextToken": token }));
        let response: Response = client.json(Api::ORGANIZATIONS, OPERATION, &body).await?;
        Ok(Page {
            items: response.accounts,
            next_token: response.next_token,
        })
    });
    let active = all.await?.into_iter().filter(|account| {
        let state = account.state.as_ref().unwrap_or(&account.status);
        state == "ACTIVE"
    });
    Ok(active.map(|account| account.id).collect())
}

/// Returns the services of an account in a Region.
pub async fn services(
    client: &Client,
    account: &str,
    region: &Region,
    role: &RoleToAssume,
) -> Result<Vec<FleetTarget>, CallError> {
    let client = role.client_for(client, account, region).await?;
    let mut targets = BTreeSet::new();
    for cluster in arns(&client, "ListClusters", "clusterArns", &json!({})).await? {
        let request = json!({ "cluster": cluster });
        for service in arns(&client, "ListServices", "serviceArns", &request).await? {
            targets.insert(FleetTarget {
                cluster: Some(last_segment(&cluster).to_owned()),
                service: Some(last_segment(&service).to_owned()),
                account: account.to_owned(),
                region: region.clone(),
                task_definition: None,
                subnets: Vec::new(),
                security_groups: Vec::new(),
            });
        }
    }
    Ok(targets.into_iter().collect())
}

/// Lists ARNs of Amazon ECS.
async fn arns(
    client: &Client,
    operation: &'static str,
    member: &str,
    request: &Value,
) -> Result<Vec<String>, CallError> {
    all_pages(Api::ECS, operation, MAX_PAGES, async |token| {
        let mut body = request.clone();
        body["maxResults"] = json!(100);
        if let Some(token) = token {
            body["nextToken"] = token.into();
        }
        let response: Value = client.json(Api::ECS, operation, &body).await?;
        let arns = response[member].as_array().into_iter().flatten();
        Ok(Page {
            items: arns
                .filter_map(|arn| arn.as_str().map(str::to_owned))
                .collect(),
            next_token: response["nextToken"].as_str().map(str::to_owned),
        })
    })
    .await
}
