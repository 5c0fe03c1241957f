//! The execution role of the functions, with least privilege. It is found by its name.

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::operator::aws::{Api, CallError};
use crate::operator::dry_run::AwsCalls;
use crate::operator::error::OperatorError;
use crate::render::hcl::{self, Item, attribute, block, file, raw};
use crate::render::template::{Template, TemplateFormat};
use crate::render::tree::Tree;

/// Name of the role that `install --lambda` creates.
pub const ROLE_NAME: &str = "pullprobe-lambda";

/// Name of its only policy.
pub const POLICY_NAME: &str = "attach-to-subnets";

/// The actions that Lambda performs with the role for a function in a VPC: those of the managed
/// policy AWSLambdaVPCAccessExecutionRole, without those for log groups, because the function
/// returns its report in the response.
const INTERFACE_ACTIONS: [&str; 6] = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
];

/// Returns the trust policy: AWS Lambda may assume the role.
pub fn trust() -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": "lambda.amazonaws.com" },
            "Action": "sts:AssumeRole",
        }],
    })
}

/// Returns the permissions: Lambda may manage network interfaces, but a function's code may not
/// (Lambda developer guide, "Giving Lambda functions access to resources in an Amazon VPC").
///
/// `partition` is that of the ARNs, such as `aws`.
pub fn policy(partition: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AttachFunctions",
                "Effect": "Allow",
                "Action": INTERFACE_ACTIONS,
                "Resource": "*",
            },
            {
                "Sid": "NotFromTheirCode",
                "Effect": "Deny",
                "Action": INTERFACE_ACTIONS,
                "Resource": "*",
                "Condition": { "ArnLike": {
                    "lambda:SourceFunctionArn": format!("arn:{partition}:lambda:*:*:function:*"),
                } },
            },
        ],
    })
}

/// Returns the role as a template for another tool.
pub fn print(format: TemplateFormat, partition: &str) -> Result<String, OperatorError> {
    match format {
        TemplateFormat::CloudFormation => cloudformation(partition),
        TemplateFormat::Terraform => Ok(terraform(partition)),
    }
}

fn cloudformation(partition: &str) -> Result<String, OperatorError> {
    let policies = Tree::map([
        ("PolicyName", POLICY_NAME.into()),
        ("PolicyDocument", Tree::from(&policy(partition))),
    ]);
    let mut template = Template {
        comment: format!(
            "Written by pullprobe install --lambda --print. Deploy it with:\n  aws cloudformation deploy --stack-name {ROLE_NAME} \\\n      \
             --capabilities CAPABILITY_NAMED_IAM --template-file FILE"
        ),
        description: DESCRIPTION.into(),
        ..Template::default()
    };
    template.resource(
        "FunctionRole",
        "AWS::IAM::Role",
        None,
        vec![
            ("RoleName", ROLE_NAME.into()),
            ("Description", DESCRIPTION.into()),
            ("AssumeRolePolicyDocument", Tree::from(&trust())),
            ("Policies", Tree::List(vec![policies])),
        ],
    );
    template.to_yaml().map_err(OperatorError::usage)
}

fn terraform(partition: &str) -> String {
    let role = vec![
        attribute("name", ROLE_NAME),
        attribute("description", DESCRIPTION),
        attribute("assume_role_policy", hcl::json(Tree::from(&trust()).into())),
    ];
    let policy = vec![
        attribute("name", POLICY_NAME),
        attribute("role", raw("aws_iam_role.pullprobe_lambda.id")),
        attribute("policy", hcl::json(Tree::from(&policy(partition)).into())),
    ];
    file(&[
        Item::Comment(
            "Written by pullprobe install --lambda --print. It needs the provider hashicorp/aws, version 5 or newer.".into(),
        ),
        Item::Space,
        block(r#"resource "aws_iam_role" "pullprobe_lambda""#, role),
        Item::Space,
        block(
            r#"resource "aws_iam_role_policy" "pullprobe_lambda""#,
            policy,
        ),
    ])
}

/// Returns the ARN of the role that `install --lambda` created, if it exists.
pub async fn find(calls: &AwsCalls) -> Result<Option<String>, CallError> {
    Ok(get(calls).await?.map(|role| role.arn))
}

async fn get(calls: &AwsCalls) -> Result<Option<Role>, CallError> {
    let fields = [("RoleName".to_owned(), ROLE_NAME.to_owned())];
    let response: Result<GetRoleResponse, _> = calls.read_query(Api::IAM, "GetRole", &fields).await;
    match response {
        Ok(response) => Ok(Some(response.result.role)),
        Err(error) if error.code() == "NoSuchEntity" => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a trust policy, as IAM returns it, lets AWS Lambda assume the role.
fn trusts_lambda(document: &str) -> bool {
    let document = percent_decode_str(document).decode_utf8_lossy();
    let document: Value = serde_json::from_str(&document).unwrap_or_default();
    // IAM accepts one value in place of a list.
    let list = |value: &Value| match value {
        Value::Array(values) => values.clone(),
        value => vec![value.clone()],
    };
    list(&document["Statement"]).iter().any(|statement| {
        let services = list(&statement["Principal"]["Service"]);
        let actions = list(&statement["Action"]);
        statement["Effect"] == "Allow"
            && services
                .iter()
                .any(|service| service == "lambda.amazonaws.com")
            && actions
                .iter()
                .any(|action| action == "sts:AssumeRole" || action == "sts:*" || action == "*")
    })
}

/// Creates the role, or gives it the right policies if it exists and trusts AWS Lambda. Returns its
/// ARN, and whether it is new. Fails without a change if it does not trust AWS Lambda.
pub async fn install(calls: &AwsCalls) -> Result<(String, bool), OperatorError> {
    let existing = get(calls).await?;
    if let Some(role) = &existing
        && !trusts_lambda(&role.assume_role_policy_document)
    {
        return Err(OperatorError::Usage(format!(
            "the role {} already exists, but its trust policy does not let lambda.amazonaws.com assume it, so it was not \
             changed; if it belongs to another tool, pass the ARN of a role for functions to `pullprobe launch --lambda-role`, \
             otherwise let lambda.amazonaws.com assume it (aws iam update-assume-role-policy), or delete it and run this again",
            role.arn
        )));
    }
    let existing = existing.map(|role| role.arn);
    let is_new = existing.is_none();
    let text = |value: &Value| value.to_string();
    if is_new {
        let fields = [
            ("RoleName".to_owned(), ROLE_NAME.to_owned()),
            ("AssumeRolePolicyDocument".to_owned(), text(&trust())),
            ("Description".to_owned(), DESCRIPTION.to_owned()),
            ("Tags.member.1.Key".to_owned(), "purpose".to_owned()),
            (
                "Tags.member.1.Value".to_owned(),
                "image pull rehearsal".to_owned(),
            ),
        ];
        calls.change_query(Api::IAM, "CreateRole", &fields).await?;
    }
    let partition = calls.client().region().partition().name();
    let fields = [
        ("RoleName".to_owned(), ROLE_NAME.to_owned()),
        ("PolicyName".to_owned(), POLICY_NAME.to_owned()),
        ("PolicyDocument".to_owned(), text(&policy(partition))),
    ];
    calls
        .change_query(Api::IAM, "PutRolePolicy", &fields)
        .await?;
    let arn = match existing {
        Some(arn) => arn,
        None if calls.is_dry() => ROLE_NAME.to_owned(),
        None => find(calls).await?.unwrap_or_else(|| ROLE_NAME.to_owned()),
    };
    Ok((arn, is_new))
}

/// Description of the role.
pub const DESCRIPTION: &str =
    "AWS Lambda functions with which pullprobe probes a subnet where no task starts";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetRoleResponse {
    #[serde(rename = "GetRoleResult")]
    result: GetRoleResult,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetRoleResult {
    role: Role,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Role {
    arn: String,
    /// Percent-encoded JSON.
    #[serde(default)]
    assume_role_policy_document: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::aws::percent_encode;

    #[test]
    fn only_a_role_that_lambda_may_assume_is_used() {
        assert!(trusts_lambda(&percent_encode(&trust().to_string())));
        let with = |effect: &str, service: Value, action: Value| {
            let statement = json!({
                "Effect": effect, "Principal": { "Service": service }, "Action": action,
            });
            trusts_lambda(&json!({ "Statement": statement }).to_string())
        };
        let both = json!(["ec2.amazonaws.com", "lambda.amazonaws.com"]);
        assert!(with(
            "Allow",
            both.clone(),
            json!(["sts:TagSession", "sts:AssumeRole"])
        ));
        assert!(!with("Deny", both.clone(), json!("sts:AssumeRole")));
        assert!(!with("Allow", both, json!("sts:TagSession")));
        let tasks = json!("ecs-tasks.amazonaws.com");
        assert!(!with("Allow", tasks, json!("sts:AssumeRole")));
        assert!(!trusts_lambda(""));
    }
}
