//! Reads the task execution role: the results of `iam:SimulatePrincipalPolicy` or, failing that,
//! the role's policies.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::reader::Reader;
use super::xml::XmlNode;
use crate::inspect::RoleRequest;
use crate::inspect::snapshot::{ReadRole, SimulatedAction};
use crate::operator::aws::{Api, CallError};
use crate::operator::ecs::last_segment;

/// Maximum number of pages of a list. A role has at most 20 managed policies (IAM quotas).
const MAX_PAGES: usize = 10;

/// Reads the role, with a note on each part that could not be read. Returns `None` if no part could
/// be.
pub(super) async fn read(reader: &Reader, arn: &str, requests: &[RoleRequest]) -> Option<ReadRole> {
    let name = last_segment(arn);
    let mut role = ReadRole {
        arn: arn.to_owned(),
        ..ReadRole::default()
    };
    let response = call(reader, "GetRole", &[("RoleName", name)]).await;
    match response {
        Ok(response) => {
            let found = result(&response, "GetRoleResult").and_then(|result| result.child("Role"));
            role.exists = Some(true);
            role.trust_policy = found
                .and_then(|found| found.text("AssumeRolePolicyDocument"))
                .map(decoded);
            let boundary = found.and_then(|found| found.child("PermissionsBoundary"));
            let boundary = boundary.and_then(|boundary| boundary.text("PermissionsBoundaryArn"));
            role.has_boundary = Some(boundary.is_some());
            if let Some(boundary) = boundary {
                let document = managed_document(reader, boundary).await;
                role.boundary = reader.or_unread(document, "the role's permissions boundary");
            }
        }
        Err(error) if error.code() == "NoSuchEntity" => {
            role.exists = Some(false);
            return Some(role);
        }
        Err(error) => reader.note(&error, "the role's trust policy and permissions boundary"),
    }
    let simulation = simulate(reader, arn, requests).await;
    role.simulation = reader.or_unread(
        simulation,
        "what all of the role's policies allow together, including those of the organization",
    );
    if role.simulation.is_none() {
        let policies = policies(reader, name).await;
        role.policies = reader.or_unread(policies, "the role's own policies");
    }
    Some(role)
}

async fn call(
    reader: &Reader,
    action: &str,
    fields: &[(&str, &str)],
) -> Result<XmlNode, CallError> {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    reader.query(Api::IAM, action, &fields).await
}

fn result<'a>(response: &'a XmlNode, name: &str) -> Option<&'a XmlNode> {
    response.child(name)
}

/// IAM returns policies percent-encoded.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

async fn managed_document(reader: &Reader, arn: &str) -> Result<String, CallError> {
    let response = call(reader, "GetPolicy", &[("PolicyArn", arn)]).await?;
    let version = result(&response, "GetPolicyResult")
        .and_then(|result| result.child("Policy"))
        .map(|policy| policy.string("DefaultVersionId"))
        .unwrap_or_default();
    let fields = [("PolicyArn", arn), ("VersionId", version.as_str())];
    let response = call(reader, "GetPolicyVersion", &fields).await?;
    let document = result(&response, "GetPolicyVersionResult")
        .and_then(|result| result.child("PolicyVersion"))
        .map(|version| version.string("Document"))
        .unwrap_or_default();
    Ok(decoded(&document))
}

async fn list(
    reader: &Reader,
    action: &str,
    role: &str,
    set: &str,
) -> Result<Vec<XmlNode>, CallError> {
    let mut items = Vec::new();
    let mut marker = String::new();
    for _ in 0..MAX_PAGES {
        let mut fields = vec![("RoleName", role)];
        if !marker.is_empty() {
            fields.push(("Marker", &marker));
        }
        let response = call(reader, action, &fields).await?;
        let Some(page) = result(&response, &format!("{action}Result")).cloned() else {
            return Ok(items);
        };
        items.extend(page.items(set).cloned());
        if !page.is_true("IsTruncated") {
            return Ok(items);
        }
        marker = page.string("Marker");
    }
    Err(CallError::TooManyPages {
        action: Api::IAM.action(action),
        pages: MAX_PAGES,
    })
}

async fn policies(reader: &Reader, role: &str) -> Result<BTreeMap<String, String>, CallError> {
    let mut documents = BTreeMap::new();
    for policy in list(reader, "ListAttachedRolePolicies", role, "AttachedPolicies").await? {
        let document = managed_document(reader, &policy.string("PolicyArn")).await?;
        documents.insert(policy.string("PolicyName"), document);
    }
    let inline = list(reader, "ListRolePolicies", role, "PolicyNames").await?;
    for name in inline.iter().map(XmlNode::own_text) {
        let fields = [("RoleName", role), ("PolicyName", name)];
        let response = call(reader, "GetRolePolicy", &fields).await?;
        let document = result(&response, "GetRolePolicyResult")
            .map(|result| result.string("PolicyDocument"))
            .unwrap_or_default();
        documents.insert(name.to_owned(), decoded(&document));
    }
    Ok(documents)
}

async fn simulate(
    reader: &Reader,
    arn: &str,
    requests: &[RoleRequest],
) -> Result<Vec<SimulatedAction>, CallError> {
    let mut by_resource: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for request in requests {
        // A wildcard stands for a part of the ARN that is not known, which IAM cannot simulate.
        if request.resource == "*" || !request.resource.contains(['*', '?']) {
            let actions = by_resource.entry(&request.resource).or_default();
            actions.push(&request.action);
        }
    }
    let mut results = Vec::new();
    for (resource, actions) in by_resource {
        let mut fields = vec![
            ("PolicySourceArn".to_owned(), arn.to_owned()),
            ("ResourceArns.member.1".to_owned(), resource.to_owned()),
        ];
        for (number, action) in actions.iter().enumerate() {
            let name = format!("ActionNames.member.{}", number + 1);
            fields.push((name, (*action).to_owned()));
        }
        let response = reader
            .query(Api::IAM, "SimulatePrincipalPolicy", &fields)
            .await?;
        let Some(page) = result(&response, "SimulatePrincipalPolicyResult") else {
            continue;
        };
        results.extend(
            page.items("EvaluationResults")
                .map(|item| simulated(item, resource)),
        );
    }
    Ok(results)
}

fn simulated(item: &XmlNode, resource: &str) -> SimulatedAction {
    let is_false = |detail: &str, member: &str| {
        let detail = item.child(detail);
        detail.is_some_and(|detail| detail.text(member) == Some("false"))
    };
    SimulatedAction {
        action: item.string("EvalActionName"),
        resource: resource.to_owned(),
        decision: item.string("EvalDecision"),
        policies: item.texts("MatchedStatements", Some("SourcePolicyId")),
        missing_context: item.texts("MissingContextValues", None),
        denied_by_boundary: is_false(
            "PermissionsBoundaryDecisionDetail",
            "AllowedByPermissionsBoundary",
        ),
        denied_by_organization: is_false("OrganizationsDecisionDetail", "AllowedByOrganizations"),
    }
}
