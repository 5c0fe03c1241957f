//! Values that both templates have, with references between double braces, such as `{{Bucket}}`.

use crate::render::hcl::{Expression, quote, raw};
use crate::render::template::substitute;
use crate::render::tree::Tree;

/// What a reference is called in each tool: its name, the text between `${` and `}` in
/// CloudFormation, and the expression of Terraform with what follows it.
const REFERENCES: &[(&str, &str, &str, &str)] = &[
    (
        "Partition",
        "AWS::Partition",
        "data.aws_partition.current.partition",
        "",
    ),
    (
        "Account",
        "AWS::AccountId",
        "data.aws_caller_identity.current.account_id",
        "",
    ),
    ("HubAccount", "HubAccount", "var.hub_account", ""),
    ("ExternalId", "ExternalId", "var.external_id", ""),
    ("Bucket", "Bucket", "aws_s3_bucket.fleet.id", ""),
    ("BucketArn", "Bucket.Arn", "aws_s3_bucket.fleet.arn", ""),
    ("Topic", "Topic", "aws_sns_topic.fleet.arn", ""),
    (
        "Worker",
        "WorkerFunction.Arn",
        "aws_lambda_function.worker.arn",
        "",
    ),
    (
        "Reducer",
        "ReduceFunction.Arn",
        "aws_lambda_function.reduce.arn",
        "",
    ),
    // CloudFormation's attribute ends so already.
    (
        "WorkerLog",
        "WorkerLog.Arn",
        "aws_cloudwatch_log_group.worker.arn",
        ":*",
    ),
    (
        "ReduceLog",
        "ReduceLog.Arn",
        "aws_cloudwatch_log_group.reduce.arn",
        ":*",
    ),
    (
        "WorkerName",
        "WorkerFunction",
        "aws_lambda_function.worker.function_name",
        "",
    ),
    ("Region", "AWS::Region", "data.aws_region.current.id", ""),
    (
        "StateMachine",
        "StateMachine",
        "aws_sfn_state_machine.fleet.arn",
        "",
    ),
];

/// Replaces each reference with what `replace` returns for it, and the text between with what
/// `literal` returns.
fn expand(
    text: &str,
    literal: impl Fn(&str) -> String,
    replace: impl Fn(&(&str, &str, &str, &str)) -> String,
) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else {
            break;
        };
        out += &literal(before);
        if let Some(reference) = REFERENCES.iter().find(|known| known.0 == name) {
            out += &replace(reference);
        }
        rest = after;
    }
    out + &literal(rest)
}

/// Returns the value for CloudFormation, with `Fn::Sub` where it has references.
pub fn cloudformation(value: Tree) -> Tree {
    // `${!date}` stands for `${date}` in it.
    let literal = |text: &str| text.replace("${", "${!");
    value.with_texts(&|text| {
        if text.contains("{{") {
            substitute(expand(&text, literal, |known| format!("${{{}}}", known.1)))
        } else {
            Tree::Text(text)
        }
    })
}

/// Returns the value for a state machine's `Definition`, and each substitution that it needs.
pub fn definition(value: Tree) -> (Tree, Tree) {
    let value = value.with_texts(&|text| {
        Tree::Text(expand(&text, str::to_owned, |known| match known.0 {
            // cfn-lint knows the integrations of Step Functions by their ARNs.
            "Partition" => "aws".to_owned(),
            name => format!("${{{name}}}"),
        }))
    });
    let text = serde_json::to_string(&value).unwrap_or_default();
    let used = REFERENCES
        .iter()
        .filter(|known| text.contains(&format!("${{{}}}", known.0)))
        .map(|known| (known.0.to_owned(), substitute(format!("${{{}}}", known.1))));
    (value, Tree::Map(used.collect()))
}

/// Returns the value for Terraform.
pub fn terraform(value: Tree) -> Expression {
    match value {
        Tree::Text(text) if text.contains("{{") => {
            let quoted = expand(
                &text,
                |literal| {
                    let quoted = quote(literal);
                    quoted[1..quoted.len() - 1].to_owned()
                },
                |known| format!("${{{}}}{}", known.2, known.3),
            );
            // A reference alone is not a template.
            let alone = quoted
                .strip_prefix("${")
                .and_then(|rest| rest.strip_suffix('}'));
            match alone.filter(|alone| !alone.contains('{')) {
                Some(reference) => raw(reference),
                None => raw(format!("\"{quoted}\"")),
            }
        }
        Tree::List(items) => Expression::List(items.into_iter().map(terraform).collect()),
        Tree::Map(entries) => Expression::Object(
            entries
                .into_iter()
                .map(|(name, value)| (name, terraform(value)))
                .collect(),
        ),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_become_those_of_each_tool() {
        let value = || Tree::from("{{BucketArn}}/results/*");
        let json = serde_json::to_string(&cloudformation(value())).unwrap();
        assert_eq!(json, r#"{"Fn::Sub":"${Bucket.Arn}/results/*"}"#);
        let athena = cloudformation("{{Bucket}}/${date}/".into());
        let json = serde_json::to_string(&athena).unwrap();
        assert_eq!(json, r#"{"Fn::Sub":"${Bucket}/${!date}/"}"#);
        let written = |value: Tree| match terraform(value) {
            Expression::Raw(text) => text,
            other => format!("{other:?}"),
        };
        assert_eq!(
            written(value()),
            r#""${aws_s3_bucket.fleet.arn}/results/*""#
        );
        assert_eq!(written("{{Topic}}".into()), "aws_sns_topic.fleet.arn");
        assert_eq!(written("a${b}".into()), r#""a$${b}""#);
        let (value, names) = definition(Tree::from("{{Worker}}"));
        assert_eq!(value, "${Worker}".into());
        let names = serde_json::to_string(&names).unwrap();
        assert_eq!(names, r#"{"Worker":{"Fn::Sub":"${WorkerFunction.Arn}"}}"#);
    }
}
