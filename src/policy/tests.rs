//! Tests the decisions of a table of policies, most of them AWS's own examples.

use serde::Deserialize;

use super::*;

/// Minimum number of requests in the table, so that a truncated table is noticed.
const MIN_CASES: usize = 150;

#[derive(Deserialize)]
struct Table {
    policy: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    source: String,
    document: String,
    cases: Vec<[String; 5]>,
}

fn request([action, resource, principal, context, _]: &[String; 5]) -> PolicyRequest {
    let role = |account: &str| RequestPrincipal::Role {
        arn: format!("arn:aws:iam::{account}:role/task"),
    };
    let principal = match principal.split_once([':', '@']) {
        Some(("service", name)) => RequestPrincipal::Service(name.to_owned()),
        Some(("role", account)) => role(account),
        _ => match principal.as_str() {
            "role" => role("111122223333"),
            "aws" => RequestPrincipal::AwsOwned,
            "?" => RequestPrincipal::Unknown,
            other => panic!("unknown principal {other}"),
        },
    };
    let mut request = PolicyRequest::new(principal, action, resource);
    for pair in context.split(';').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap();
        let value = match value {
            "-" => ContextValue::Absent,
            "*" => ContextValue::Foreign,
            values => ContextValue::Known(values.split(',').map(str::to_owned).collect()),
        };
        request.context.insert(key.to_lowercase(), value);
    }
    request
}

fn word(decision: &PolicyDecision) -> &'static str {
    match decision {
        PolicyDecision::Allowed { .. } => "allowed",
        PolicyDecision::ExplicitlyDenied { .. } => "denied",
        PolicyDecision::NotAllowed => "none",
        PolicyDecision::Unknown { .. } => "unknown",
    }
}

#[test]
fn decisions_match_the_table() {
    let table: Table = toml::from_str(include_str!("../../tests/data/policies.toml")).unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for Row {
        name,
        source,
        document,
        cases,
    } in &table.policy
    {
        assert!(!source.is_empty(), "{name} has no source");
        let document = PolicyDocument::parse(document).unwrap();
        for case in cases {
            count += 1;
            let decision = decide(&[("", &document)], &request(case));
            if word(&decision) != case[4] {
                wrong.push(format!("{name}: {case:?} is {decision:?}"));
            }
            if let PolicyDecision::Unknown { why } = &decision {
                assert!(!why.is_empty(), "{name}: {case:?} has no reason");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= MIN_CASES, "{count} cases");
}

#[test]
fn statement_that_decides_is_named() {
    let document = |text| PolicyDocument::parse(text).unwrap();
    let one = document(r#"{"Statement":{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"}}"#);
    let two = document(
        r#"{"Statement":[{"Effect":"Allow","Action":"x:y","Resource":"*"},
            {"Effect":"Deny","Action":"*","Resource":"*"}]}"#,
    );
    let request = PolicyRequest::new(RequestPrincipal::Unknown, "ecr:BatchGetImage", "*");
    assert_eq!(
        decide(&[("one", &one)], &request),
        PolicyDecision::Allowed {
            statement: "statement A".into()
        }
    );
    assert_eq!(
        decide(&[("one", &one), ("two", &two)], &request),
        PolicyDecision::ExplicitlyDenied {
            statement: "statement 2 of two".into()
        }
    );
    assert_eq!(decide(&[], &request), PolicyDecision::NotAllowed);
}

#[test]
fn invalid_policies_are_rejected_with_a_reason() {
    for (text, message) in [
        ("", "is not valid JSON"),
        ("Allow *", "is not valid JSON"),
        ("[]", "it is not an object"),
        ("{}", "it has no Statement"),
        (r#"{"Statement":["x"]}"#, "a statement is not an object"),
        (
            r#"{"Statement":{"Action":"*"}}"#,
            "a statement has no Effect",
        ),
        (
            r#"{"Statement":{"Effect":"Allow","Action":1,"Resource":"*"}}"#,
            "Action is not a text",
        ),
        (
            r#"{"Statement":{"Effect":"Allow","Action":"*","NotAction":"*"}}"#,
            "both Action and NotAction",
        ),
        (
            r#"{"Statement":{"Effect":"Allow","Action":"*","Condition":[]}}"#,
            "Condition is not an object",
        ),
    ] {
        let error = PolicyDocument::parse(text).unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn ten_thousand_statements_are_decided() {
    let statement = |n| format!(r#"{{"Effect":"Deny","Action":"s3:{n}*","Resource":"*"}}"#);
    let mut statements: Vec<_> = (0..10_000).map(statement).collect();
    statements.push(r#"{"Effect":"Allow","Action":"ecr:*","Resource":"*"}"#.into());
    let text = format!(r#"{{"Statement":[{}]}}"#, statements.join(","));
    let document = PolicyDocument::parse(&text).unwrap();
    let request = PolicyRequest::new(RequestPrincipal::Unknown, "ecr:BatchGetImage", "*");
    assert_eq!(
        decide(&[("", &document)], &request),
        PolicyDecision::Allowed {
            statement: "statement 10001".into()
        }
    );
    // Many wildcards must not take exponential time.
    let many = format!(
        r#"{{"Statement":{{"Effect":"Allow","Action":"{}","Resource":"*"}}}}"#,
        "*a".repeat(2_000)
    );
    let document = PolicyDocument::parse(&many).unwrap();
    let request = PolicyRequest::new(RequestPrincipal::Unknown, &"a".repeat(1_999), "*");
    assert_eq!(
        decide(&[("", &document)], &request),
        PolicyDecision::NotAllowed
    );
}
