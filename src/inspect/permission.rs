//! The policies on the path: of the VPC endpoint, of the task execution role, and of the repository
//! or secret.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::change::ConfigurationChange;
use super::hop::{HopFault, HopKind, JudgedHop, Openness};
use super::needed_request::{NeededRequest, Signer};
use super::snapshot::{ObjectKind, ObjectState, ReadEndpoint, ReadRole, SimulatedAction, Snapshot};
use super::view::is_s3_service;
use crate::arn::Arn;
use crate::cause::Cause;
use crate::policy::{
    ContextValue, PolicyDecision, PolicyDocument, PolicyRequest, RequestPrincipal, decide,
    matches_pattern,
};

/// Name of the inline policy of a patch.
const PATCH_POLICY: &str = "pullprobe";

/// Returns the request with the context keys that are known. Whether a request goes through an
/// endpoint depends on the subnet, so without one both of its keys stay unknown.
fn policy_request(
    snapshot: &Snapshot,
    needed: &NeededRequest,
    endpoint: Option<&ReadEndpoint>,
) -> PolicyRequest {
    let principal = match (needed.signer, &snapshot.plan.execution_role) {
        (Signer::Ecr, _) => RequestPrincipal::AwsOwned,
        (Signer::ExecutionRole, Some(arn)) => RequestPrincipal::Role { arn: arn.clone() },
        (Signer::ExecutionRole, None) => RequestPrincipal::Unknown,
    };
    let mut request = PolicyRequest::new(principal, needed.action, &needed.resource);
    request.set("aws:RequestedRegion", snapshot.plan.region.as_str());
    match (needed.signer, resource_account(snapshot, needed)) {
        // The layer buckets belong to AWS.
        (Signer::Ecr, _) => {
            for key in ["aws:ResourceAccount", "aws:ResourceOrgID"] {
                let key = key.to_lowercase();
                request.context.insert(key, ContextValue::Foreign);
            }
        }
        (_, Some(account)) => request.set("aws:ResourceAccount", &account),
        (_, None) => {}
    }
    if let Some(endpoint) = endpoint {
        request.set("aws:SourceVpce", &endpoint.id);
        request.set("aws:SourceVpc", &endpoint.vpc);
    }
    request
}

fn resource_account(snapshot: &Snapshot, needed: &NeededRequest) -> Option<String> {
    let account = needed
        .resource
        .split(':')
        .nth(4)
        .filter(|part| !part.is_empty());
    match account {
        Some(account) => Some(account.to_owned()),
        // The registry's own account, for actions without resources.
        None if needed.resource == "*" => snapshot.task_account(),
        None => None,
    }
}

/// Whether a request that no statement allows may still be allowed, because a part of its ARN is
/// not known: the end of a secret's, or container and task in the name of a log stream.
fn may_match(document: &str, needed: &NeededRequest) -> bool {
    let resource = &needed.resource;
    let known = resource.split('?').next().unwrap_or_default();
    if resource.contains('?') && document.contains(known) {
        return true;
    }
    let Some((group, stream)) = resource.split_once(LOG_STREAM) else {
        return false;
    };
    if stream.is_empty() {
        return false;
    }
    let Ok(document) = serde_json::from_str::<Value>(document) else {
        return false;
    };
    let known = stream.split_inclusive('/').next().unwrap_or_default();
    texts(&document).into_iter().any(|pattern| {
        let Some((of_group, of_stream)) = pattern.split_once(LOG_STREAM) else {
            return false;
        };
        let literal = of_stream.split(['*', '?', '$']).next().unwrap_or_default();
        (of_group.contains("${") || matches_pattern(of_group, group))
            && (literal.starts_with(known) || known.starts_with(literal))
    })
}

/// What comes before the name of a log stream in its ARN.
const LOG_STREAM: &str = ":log-stream:";

/// Returns every text of a document.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// Returns which part of a request's ARN is not known, as a clause.
fn unknown_part(needed: &NeededRequest) -> String {
    if needed.resource.contains(LOG_STREAM) {
        "the name of the log stream is not known before the task runs".to_owned()
    } else {
        "the complete ARN of the secret is not known".to_owned()
    }
}

/// Checks the policy of a VPC endpoint for the requests of one target. A patch allows
/// `all_requests` that go through the endpoint, because it replaces the whole policy.
pub(super) fn endpoint_policy(
    snapshot: &Snapshot,
    endpoint: &ReadEndpoint,
    requests: &[NeededRequest],
    all_requests: &[NeededRequest],
) -> Option<JudgedHop> {
    const KIND: HopKind = HopKind::EndpointPolicy;
    let id = &endpoint.id;
    if requests.is_empty() {
        return None;
    }
    let Some(text) = endpoint
        .policy
        .as_deref()
        .filter(|text| !text.trim().is_empty())
    else {
        return Some(JudgedHop::open(
            KIND,
            id,
            "full access",
            "The endpoint has the default policy, which allows all requests.",
        ));
    };
    let document = match PolicyDocument::parse(text) {
        Ok(document) => document,
        Err(error) => {
            return Some(JudgedHop::unknown(
                KIND,
                id,
                "",
                format!("The endpoint's policy {error}, so what it allows is not known."),
            ));
        }
    };
    let mut allowed_by = Vec::new();
    let mut unknown = None;
    let mut missing = Vec::new();
    for needed in requests {
        let request = policy_request(snapshot, needed, Some(endpoint));
        match decide(&[(id, &document)], &request) {
            PolicyDecision::Allowed { statement } => allowed_by.push(statement),
            PolicyDecision::ExplicitlyDenied { statement } => {
                return Some(JudgedHop::closed(
                    KIND,
                    id,
                    format!("{statement} denies {}", needed.action),
                    format!(
                        "The endpoint's policy denies {} on {} ({statement}); change or remove that statement.",
                        needed.action, needed.pattern
                    ),
                    HopFault::new(endpoint_cause(endpoint), []),
                ));
            }
            PolicyDecision::NotAllowed if !may_match(text, needed) => {
                missing.push(needed);
            }
            PolicyDecision::NotAllowed => unknown = Some(unknown_part(needed)),
            PolicyDecision::Unknown { why } => unknown = Some(why),
        }
    }
    if let Some(first) = missing.first() {
        let actions = actions_of(&missing);
        let lacks = |needed: &&NeededRequest| {
            let request = policy_request(snapshot, needed, Some(endpoint));
            decide(&[(id, &document)], &request) == PolicyDecision::NotAllowed
        };
        let all_missing: Vec<_> = all_requests.iter().filter(lacks).collect();
        let change = with_statement(text, statement(&all_missing, true)).map(|document| {
            ConfigurationChange::SetEndpointPolicy {
                endpoint: id.clone(),
                vpc: endpoint.vpc.clone(),
                service: endpoint.service.clone(),
                is_gateway: endpoint.endpoint_type == "Gateway",
                document,
            }
        });
        let resource = if first.resource == "*" {
            String::new()
        } else {
            format!(" on {}", first.pattern)
        };
        return Some(JudgedHop::closed(
            KIND,
            id,
            format!("no statement allows {actions}{resource}"),
            format!("The endpoint's policy has no statement that allows {actions}{resource}."),
            HopFault::new(endpoint_cause(endpoint), change),
        ));
    }
    if let Some(why) = unknown {
        return Some(JudgedHop::unknown(
            KIND,
            id,
            "",
            format!("Whether the endpoint's policy allows the request cannot be decided: {why}."),
        ));
    }
    allowed_by.dedup();
    Some(JudgedHop::open(
        KIND,
        id,
        allowed_by.join(", "),
        "The endpoint's policy allows the requests.",
    ))
}

fn endpoint_cause(endpoint: &ReadEndpoint) -> Cause {
    if is_s3_service(&endpoint.service) {
        Cause::S3EndpointPolicyDenies
    } else {
        Cause::EndpointPolicyDenies
    }
}

fn actions_of(requests: &[&NeededRequest]) -> String {
    let mut actions: Vec<_> = requests.iter().map(|request| request.action).collect();
    actions.dedup();
    actions.join(", ")
}

/// Returns a statement that allows the requests and nothing else.
fn statement(requests: &[&NeededRequest], has_principal: bool) -> Value {
    let mut actions: Vec<_> = requests.iter().map(|request| request.action).collect();
    let mut resources: Vec<_> = requests.iter().map(|request| &request.pattern).collect();
    actions.sort_unstable();
    actions.dedup();
    resources.sort_unstable();
    resources.dedup();
    let mut statement = json!({ "Effect": "Allow" });
    if has_principal {
        statement["Principal"] = json!("*");
    }
    statement["Action"] = json!(actions);
    statement["Resource"] = json!(resources);
    statement
}

/// Returns a policy with one more statement.
fn with_statement(document: &str, statement: Value) -> Option<Value> {
    let mut document: Value = serde_json::from_str(document).ok()?;
    let statements = document.get_mut("Statement")?;
    match statements {
        Value::Array(statements) => statements.push(statement),
        other => *other = json!([other.clone(), statement]),
    }
    Some(document)
}

/// Checks that ECS may assume the task execution role.
pub(super) fn trust_policy(snapshot: &Snapshot) -> Option<JudgedHop> {
    const KIND: HopKind = HopKind::TrustPolicy;
    let arn = snapshot.plan.execution_role.as_deref()?;
    let unread = || {
        let why = "The trust policy could not be read (iam:GetRole), so whether Amazon ECS may assume the role is not known.";
        Some(JudgedHop::unknown(KIND, arn, "", why))
    };
    let Some(role) = &snapshot.role else {
        return unread();
    };
    if role.exists == Some(false) {
        return Some(JudgedHop::closed(
            KIND,
            arn,
            "the role does not exist",
            "The task execution role does not exist.",
            HopFault::new(Cause::RoleNotAssumable, []),
        ));
    }
    let Some(text) = role.trust_policy.as_deref() else {
        return unread();
    };
    let document = match PolicyDocument::parse(text) {
        Ok(document) => document,
        Err(error) => {
            return Some(JudgedHop::unknown(
                KIND,
                arn,
                "",
                format!("The trust policy {error}."),
            ));
        }
    };
    let service = RequestPrincipal::Service("ecs-tasks.amazonaws.com".to_owned());
    let mut request = PolicyRequest::new(service, "sts:AssumeRole", arn);
    if let Some(account) = snapshot.task_account() {
        request.set("aws:SourceAccount", &account);
        // The documented form of the condition matches every task and cluster of the account (ECS
        // developer guide, "Amazon ECS task execution IAM role").
        let region = &snapshot.plan.region;
        let partition = region.partition().name();
        request.set(
            "aws:SourceArn",
            &format!("arn:{partition}:ecs:{region}:{account}:task"),
        );
    }
    Some(match decide(&[("", &document)], &request) {
        PolicyDecision::Allowed { statement } => JudgedHop::open(
            KIND,
            arn,
            statement,
            "The trust policy lets Amazon ECS assume the role.",
        ),
        PolicyDecision::Unknown { why } => JudgedHop::unknown(
            KIND,
            arn,
            "",
            format!("Whether Amazon ECS may assume the role cannot be decided: {why}."),
        ),
        // The value above is only a part of the ARN that ECS sends.
        _ if text.contains("SourceArn") => JudgedHop::unknown(
            KIND,
            arn,
            "",
            "The trust policy has a condition on aws:SourceArn, whose value is not known before the task runs.",
        ),
        PolicyDecision::ExplicitlyDenied { statement } => JudgedHop::closed(
            KIND,
            arn,
            format!("{statement} denies sts:AssumeRole"),
            "The trust policy does not let Amazon ECS assume the role: it contains an explicit deny.",
            HopFault::new(Cause::RoleNotAssumable, []),
        ),
        PolicyDecision::NotAllowed => JudgedHop::closed(
            KIND,
            arn,
            "no statement allows sts:AssumeRole to ecs-tasks.amazonaws.com",
            "The trust policy does not let ecs-tasks.amazonaws.com assume the role.",
            HopFault::new(Cause::RoleNotAssumable, []),
        ),
    })
}

/// Checks the task execution role's policies for its own requests at a target.
pub(super) fn role_policies(snapshot: &Snapshot, requests: &[NeededRequest]) -> Option<JudgedHop> {
    const KIND: HopKind = HopKind::RolePolicy;
    let own: Vec<_> = requests
        .iter()
        .filter(|request| request.signer == Signer::ExecutionRole)
        .collect();
    if own.is_empty() {
        return None;
    }
    let Some(arn) = snapshot.plan.execution_role.as_deref() else {
        return Some(JudgedHop::unknown(
            KIND,
            "",
            "",
            "The task definition has no task execution role, and which credentials sign the requests was not read.",
        ));
    };
    let unknown = |why: &str| Some(JudgedHop::unknown(KIND, arn, "", why.to_owned()));
    let Some(role) = &snapshot.role else {
        return unknown(
            "The role's policies could not be read (iam:SimulatePrincipalPolicy, iam:ListAttachedRolePolicies).",
        );
    };
    if role.exists == Some(false) {
        return None;
    }
    if let Some(simulation) = &role.simulation {
        return Some(simulated(snapshot, role, &own, simulation));
    }
    if role.policies.is_none() {
        return unknown(
            "The role's policies could not be read (iam:SimulatePrincipalPolicy, iam:ListAttachedRolePolicies).",
        );
    }
    Some(read(snapshot, role, &own))
}

/// Returns the name of an inline policy for these requests: each service has its own, so that the
/// patches of two services do not replace each other, nor do two of one service.
fn policy_name(missing: &[&NeededRequest], document: &Value) -> String {
    let action = missing.first().map_or("", |request| request.action);
    let action = action.to_lowercase().replace(':', "-");
    let hash = Sha256::digest(document.to_string());
    format!("{PATCH_POLICY}-{action}-{}", hex::encode(&hash[..4]))
}

/// Returns the name of a role that is named by its ARN or, in a task definition, by its name.
fn role_name(arn: &str) -> String {
    arn.parse::<Arn>()
        .map_or_else(|_| arn.to_owned(), |arn| arn.name().to_owned())
}

fn missing_action(role: &ReadRole, missing: &[&NeededRequest], how: &str) -> JudgedHop {
    let actions = actions_of(missing);
    let resource = missing
        .first()
        .map(|request| request.pattern.clone())
        .unwrap_or_default();
    let document = json!({ "Version": "2012-10-17", "Statement": [statement(missing, false)] });
    let change = ConfigurationChange::PutRolePolicy {
        role: role_name(&role.arn),
        name: policy_name(missing, &document),
        document,
    };
    JudgedHop::closed(
        HopKind::RolePolicy,
        &role.arn,
        format!("no statement allows {actions} on {resource}"),
        format!(
            "No policy of the task execution role {} allows {actions} on {resource} ({how}).",
            role_name(&role.arn)
        ),
        HopFault::new(Cause::IdentityPolicyMissingAction, [change]),
    )
}

/// Returns the hop of a policy that denies the role a request, whatever others allow.
fn denied_to_role(cause: Cause, arn: &str, rule: String, why: String) -> JudgedHop {
    JudgedHop::closed(
        HopKind::RolePolicy,
        arn,
        rule,
        why,
        HopFault::new(cause, []),
    )
}

/// Reads the results of `iam:SimulatePrincipalPolicy`.
fn simulated(
    snapshot: &Snapshot,
    role: &ReadRole,
    requests: &[&NeededRequest],
    simulation: &[SimulatedAction],
) -> JudgedHop {
    const KIND: HopKind = HopKind::RolePolicy;
    const HOW: &str = "by iam:SimulatePrincipalPolicy";
    let arn = &role.arn;
    let mut missing = Vec::new();
    let mut unknown = None;
    for request in requests {
        let result = simulation
            .iter()
            .find(|one| one.action == request.action && one.resource == request.resource);
        let Some(result) = result else {
            unknown = Some(format!("{} was not simulated", request.action));
            continue;
        };
        let policies = result.policies.join(", ");
        match result.decision.as_str() {
            "allowed" if result.missing_context.is_empty() => {}
            // With a value that the simulation does not have, it may come out otherwise.
            _ if !result.missing_context.is_empty() => {
                unknown = Some(format!(
                    "{} depends on {}",
                    request.action,
                    result.missing_context.join(", ")
                ));
            }
            "explicitDeny" => {
                let cause = if result.denied_by_organization {
                    Cause::ServiceControlPolicyDenies
                } else if result.denied_by_boundary {
                    Cause::PermissionsBoundaryDenies
                } else {
                    Cause::IdentityPolicyDenies
                };
                return denied_to_role(
                    cause,
                    arn,
                    format!("{policies} denies {}", request.action),
                    format!(
                        "A policy of the task execution role denies {} ({HOW}); no other policy can override that.",
                        request.action
                    ),
                );
            }
            _ if result.denied_by_organization => {
                return denied_to_role(
                    Cause::ServiceControlPolicyDenies,
                    arn,
                    format!(
                        "the organization's policies do not allow {}",
                        request.action
                    ),
                    format!(
                        "A service control policy does not allow {} ({HOW}).",
                        request.action
                    ),
                );
            }
            _ if result.denied_by_boundary => {
                return denied_to_role(
                    Cause::PermissionsBoundaryDenies,
                    arn,
                    format!("the permissions boundary does not allow {}", request.action),
                    format!(
                        "The permissions boundary of the task execution role does not allow {} ({HOW}).",
                        request.action
                    ),
                );
            }
            // The simulated name of the log stream has a made-up container and task.
            _ if request.action == "logs:PutLogEvents" => unknown = Some(unknown_part(request)),
            _ => match resource_allows(snapshot, request) {
                Some(true) => {}
                Some(false) => missing.push(*request),
                None => unknown = Some(unread_policy(request)),
            },
        }
    }
    if !missing.is_empty() {
        return missing_action(role, &missing, HOW);
    }
    match unknown {
        Some(why) => JudgedHop::unknown(
            KIND,
            arn,
            "",
            format!("What the role may do cannot be decided: {why} ({HOW})."),
        ),
        None => JudgedHop::open(
            KIND,
            arn,
            "",
            format!("The role's policies allow the requests ({HOW})."),
        ),
    }
}

/// Evaluates the role's policies as they were read.
#[expect(
    clippy::too_many_lines,
    reason = "a list of cases, each with its own sentence"
)]
fn read(snapshot: &Snapshot, role: &ReadRole, requests: &[&NeededRequest]) -> JudgedHop {
    const KIND: HopKind = HopKind::RolePolicy;
    const HOW: &str = "from the role's own policies, without those of the organization";
    let arn = &role.arn;
    let mut documents = Vec::new();
    let mut texts = Vec::new();
    for (name, text) in role.policies.iter().flatten() {
        match PolicyDocument::parse(text) {
            Ok(document) => documents.push((name.as_str(), document)),
            Err(error) => {
                return JudgedHop::unknown(KIND, arn, name, format!("The policy {name} {error}."));
            }
        }
        texts.push(text);
    }
    let documents: Vec<_> = documents.iter().map(|(name, one)| (*name, one)).collect();
    // A boundary only takes away: what the role's policies lack is missing whatever it says.
    let mut unknown = None;
    let boundary = match (role.has_boundary, &role.boundary) {
        (Some(false), _) => None,
        (_, Some(text)) => match PolicyDocument::parse(text) {
            Ok(boundary) => Some(boundary),
            Err(error) => {
                unknown = Some(format!("the permissions boundary {error}"));
                None
            }
        },
        (Some(true), None) => {
            unknown = Some(
                "the role has a permissions boundary, which could not be read (iam:GetPolicyVersion)"
                    .to_owned(),
            );
            None
        }
        (None, None) => {
            unknown = Some(
                "whether it has a permissions boundary could not be read (iam:GetRole)".to_owned(),
            );
            None
        }
    };
    let mut missing = Vec::new();
    let mut allowed_by = Vec::new();
    for needed in requests {
        let request = policy_request(snapshot, needed, None);
        match decide(&documents, &request) {
            PolicyDecision::Allowed { statement } => allowed_by.push(statement),
            PolicyDecision::ExplicitlyDenied { statement } => {
                return denied_to_role(
                    Cause::IdentityPolicyDenies,
                    arn,
                    format!("{statement} denies {}", needed.action),
                    format!(
                        "A policy of the task execution role denies {} on {} ({statement}; {HOW}).",
                        needed.action, needed.pattern
                    ),
                );
            }
            PolicyDecision::NotAllowed if texts.iter().any(|text| may_match(text, needed)) => {
                unknown = Some(unknown_part(needed));
            }
            PolicyDecision::NotAllowed => match resource_allows(snapshot, needed) {
                Some(true) => allowed_by.push("the resource's own policy".to_owned()),
                Some(false) => missing.push(*needed),
                None => unknown = Some(unread_policy(needed)),
            },
            PolicyDecision::Unknown { why } => unknown = Some(why),
        }
        if let Some(boundary) = &boundary {
            match decide(&[("the permissions boundary", boundary)], &request) {
                PolicyDecision::Allowed { .. } => {}
                PolicyDecision::Unknown { why } => unknown = Some(why),
                PolicyDecision::NotAllowed
                    if may_match(role.boundary.as_deref().unwrap_or_default(), needed) =>
                {
                    unknown = Some(unknown_part(needed));
                }
                _ => {
                    return denied_to_role(
                        Cause::PermissionsBoundaryDenies,
                        arn,
                        format!("the permissions boundary does not allow {}", needed.action),
                        format!(
                            "The permissions boundary of the task execution role does not allow {} on {} ({HOW}).",
                            needed.action, needed.pattern
                        ),
                    );
                }
            }
        }
    }
    if !missing.is_empty() {
        return missing_action(role, &missing, HOW);
    }
    if let Some(why) = unknown {
        let why = format!("What the role may do cannot be decided: {why} ({HOW}).");
        return JudgedHop::unknown(KIND, arn, "", why);
    }
    allowed_by.sort();
    allowed_by.dedup();
    JudgedHop::open(
        KIND,
        arn,
        allowed_by.join(", "),
        format!("The role's policies allow the requests ({HOW})."),
    )
}

/// Returns why it is not known whether a request is allowed that the role's policies do not allow.
fn unread_policy(needed: &NeededRequest) -> String {
    format!(
        "no policy of the role allows {}, and whether the policy of {} does is not known",
        needed.action, needed.pattern
    )
}

/// Whether the policy of an object in the task's own account allows a request by itself: to the
/// role's ARN or to everyone. One that names the account leaves the decision to the role's policies
/// (IAM user guide, "Policy evaluation logic"). `None` if that is not known.
fn resource_allows(snapshot: &Snapshot, needed: &NeededRequest) -> Option<bool> {
    let Some((kind @ (ObjectKind::Repository | ObjectKind::Secret), key)) = &needed.object else {
        return Some(false);
    };
    let owner = needed.resource.split(':').nth(4).map(str::to_owned);
    if owner != snapshot.task_account() {
        return Some(false);
    }
    let object = snapshot.object(*kind, key)?;
    if object.state == ObjectState::Missing {
        return Some(false);
    }
    let Some(text) = &object.policy else {
        return object.is_policy_read.then_some(false);
    };
    let role = snapshot.plan.execution_role.as_deref()?;
    let mut document: Value = serde_json::from_str(text).ok()?;
    let statements = document.get_mut("Statement")?;
    if !statements.is_array() {
        *statements = json!([statements.clone()]);
    }
    let names = |principal: &Value| {
        let mut named = texts(principal).into_iter();
        named.any(|name| name == "*" || name == role)
    };
    statements.as_array_mut()?.retain(|statement| {
        let of = &statement["Principal"];
        statement["Effect"] == "Deny" || (of == "*" || names(&of["AWS"]))
    });
    let document = PolicyDocument::parse(&document.to_string()).ok()?;
    let request = policy_request(snapshot, needed, None);
    match decide(&[("", &document)], &request) {
        PolicyDecision::Allowed { .. } => Some(true),
        PolicyDecision::Unknown { .. } => None,
        _ => Some(false),
    }
}

/// Checks the resource-based policies of the objects at a target. In the task's own account the
/// role's policies are enough, and only a denial counts; in another account the resource's policy
/// must allow the request as well.
pub(super) fn resource_policies(snapshot: &Snapshot, requests: &[NeededRequest]) -> Vec<JudgedHop> {
    let mut steps: Vec<JudgedHop> = Vec::new();
    for needed in requests {
        let Some((kind, key)) = &needed.object else {
            continue;
        };
        if !matches!(kind, ObjectKind::Repository | ObjectKind::Secret) {
            continue;
        }
        let Some(step) = resource_policy(snapshot, needed, *kind, key) else {
            continue;
        };
        let is_new = !steps
            .iter()
            .any(|known| known.hop.object == step.hop.object && known.verdict() >= step.verdict());
        if is_new && (step.verdict() != Openness::Open || steps.is_empty()) {
            steps.retain(|known| {
                known.hop.object != step.hop.object || known.verdict() > step.verdict()
            });
            steps.push(step);
        }
    }
    steps
}

fn resource_policy(
    snapshot: &Snapshot,
    needed: &NeededRequest,
    kind: ObjectKind,
    key: &str,
) -> Option<JudgedHop> {
    const KIND: HopKind = HopKind::ResourcePolicy;
    let object = snapshot.object(kind, key)?;
    if object.state != ObjectState::Found {
        return None;
    }
    let arn = object.arn.as_deref().unwrap_or(&needed.pattern);
    let owner = needed.resource.split(':').nth(4).unwrap_or_default();
    let is_own = snapshot
        .task_account()
        .is_some_and(|account| account == owner);
    let Some(text) = &object.policy else {
        if object.is_policy_read {
            return (!is_own).then(|| {
                JudgedHop::closed(
                    KIND,
                    arn,
                    format!("no policy allows {} to another account", needed.action),
                    format!("{arn} belongs to account {owner} and has no policy, so the task's account has no access."),
                    HopFault::new(Cause::ResourcePolicyDenies, []),
                )
            });
        }
        return Some(JudgedHop::unknown(
            KIND,
            arn,
            "",
            format!("The policy of {arn} could not be read."),
        ));
    };
    let document = match PolicyDocument::parse(text) {
        Ok(document) => document,
        Err(error) => {
            return Some(JudgedHop::unknown(
                KIND,
                arn,
                "",
                format!("The policy {error}."),
            ));
        }
    };
    let request = policy_request(snapshot, needed, None);
    Some(match decide(&[("", &document)], &request) {
        PolicyDecision::ExplicitlyDenied { statement } => JudgedHop::closed(
            KIND,
            arn,
            format!("{statement} denies {}", needed.action),
            format!(
                "The policy of {arn} denies {} to the task execution role.",
                needed.action
            ),
            HopFault::new(Cause::ResourcePolicyDenies, []),
        ),
        PolicyDecision::Unknown { why } => JudgedHop::unknown(
            KIND,
            arn,
            "",
            format!("Whether the policy of {arn} allows the request cannot be decided: {why}."),
        ),
        PolicyDecision::NotAllowed if !is_own => JudgedHop::closed(
            KIND,
            arn,
            format!("no statement allows {}", needed.action),
            format!(
                "{arn} belongs to account {owner}, and its policy does not allow {} to the task execution role.",
                needed.action
            ),
            HopFault::new(Cause::ResourcePolicyDenies, []),
        ),
        PolicyDecision::Allowed { statement } => {
            JudgedHop::open(KIND, arn, statement, "The policy allows the request.")
        }
        PolicyDecision::NotAllowed => JudgedHop::open(
            KIND,
            arn,
            "no statement denies it",
            "The policy denies nothing, and in its own account the role's policies are enough.",
        ),
    })
}
