//! A policy document, and whether a statement applies to a request.

use serde_json::{Map, Value};

use super::condition::{self, Condition};
use super::pattern;
use super::request::{PolicyRequest, RequestPrincipal};
use super::truth::{Truth, all, any};
use crate::arn::Arn;

/// A policy document.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyDocument {
    /// The statements, in order.
    pub statements: Vec<PolicyStatement>,
}

/// `Allow` or `Deny`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementEffect {
    /// `Allow`
    Allow,
    /// `Deny`
    Deny,
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyStatement {
    /// `Sid`.
    pub sid: Option<String>,
    /// `Effect`.
    pub effect: StatementEffect,
    principals: Option<Selection>,
    actions: Option<Selection>,
    resources: Option<Selection>,
    conditions: Vec<Condition>,
    /// Whether `${…}` is a policy variable, as in version 2012-10-17.
    has_variables: bool,
    /// An unknown element, which makes the statement's meaning unknown.
    unknown_element: Option<String>,
}

/// The values of an element or of its negation, such as `Action` and `NotAction`.
#[derive(Debug, Clone, PartialEq)]
struct Selection {
    is_negated: bool,
    values: Vec<Named>,
}

/// A value and, for a principal, its kind.
#[derive(Debug, Clone, PartialEq)]
struct Named {
    kind: String,
    value: String,
}

/// Why a text is not a policy document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// Not JSON.
    #[error("is not valid JSON ({0})")]
    Json(String),
    /// JSON that does not have the form of a policy document.
    #[error("is not a policy document: {0}")]
    Form(String),
}

impl PolicyDocument {
    /// Reads a document. Fails if the text is not valid JSON or not a policy document.
    pub fn parse(text: &str) -> Result<Self, InvalidPolicy> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| InvalidPolicy::Json(error.to_string()))?;
        Self::read(&value)
    }

    /// Reads a document from parsed JSON. Fails if it is not a policy document.
    pub fn read(value: &Value) -> Result<Self, InvalidPolicy> {
        let form = |text: &str| InvalidPolicy::Form(text.to_owned());
        let document = value
            .as_object()
            .ok_or_else(|| form("it is not an object"))?;
        let has_variables = document.get("Version").and_then(Value::as_str) == Some("2012-10-17");
        let statements = match document.get("Statement") {
            Some(Value::Array(statements)) => statements.iter().collect(),
            Some(statement @ Value::Object(_)) => vec![statement],
            _ => return Err(form("it has no Statement")),
        };
        let statements = statements
            .into_iter()
            .map(|statement| {
                let statement = statement
                    .as_object()
                    .ok_or_else(|| form("a statement is not an object"))?;
                PolicyStatement::read(statement, has_variables)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { statements })
    }
}

impl PolicyStatement {
    fn read(statement: &Map<String, Value>, has_variables: bool) -> Result<Self, InvalidPolicy> {
        let form = |text: String| InvalidPolicy::Form(text);
        let effect = match statement.get("Effect").and_then(Value::as_str) {
            Some("Allow") => StatementEffect::Allow,
            Some("Deny") => StatementEffect::Deny,
            _ => return Err(form("a statement has no Effect".into())),
        };
        let known = [
            "Sid",
            "Effect",
            "Principal",
            "NotPrincipal",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
        ];
        let unknown_element = statement
            .keys()
            .find(|key| !known.contains(&key.as_str()))
            .cloned();
        let selection = |name: &str| -> Result<Option<Selection>, InvalidPolicy> {
            let negated = format!("Not{name}");
            let (value, is_negated) = match (statement.get(name), statement.get(&negated)) {
                (None, None) => return Ok(None),
                (Some(value), None) => (value, false),
                (None, Some(value)) => (value, true),
                (Some(_), Some(_)) => {
                    return Err(form(format!("a statement has both {name} and {negated}")));
                }
            };
            let values =
                named(value).ok_or_else(|| form(format!("{name} is not a text or a list")))?;
            Ok(Some(Selection { is_negated, values }))
        };
        Ok(Self {
            sid: statement
                .get("Sid")
                .and_then(Value::as_str)
                .filter(|sid| !sid.is_empty())
                .map(str::to_owned),
            effect,
            principals: selection("Principal")?,
            actions: selection("Action")?,
            resources: selection("Resource")?,
            conditions: condition::read(statement.get("Condition"))?,
            has_variables,
            unknown_element,
        })
    }

    /// Returns the name for sentences: the `Sid`, or the number in the document.
    pub fn label(&self, number: usize) -> String {
        match &self.sid {
            Some(sid) => format!("statement {sid}"),
            None => format!("statement {}", number + 1),
        }
    }

    /// Whether the statement applies to the request.
    pub(super) fn applies(&self, request: &PolicyRequest) -> Truth {
        if let Some(element) = &self.unknown_element {
            return Truth::unknown(format!("the element {element} is not known"));
        }
        // A statement without an action is invalid, and so is one without a resource outside a
        // trust policy.
        let Some(actions) = &self.actions else {
            return Truth::unknown("a statement has neither Action nor NotAction");
        };
        let action = actions.select(|named| {
            let (pattern, action) = (named.value.to_lowercase(), request.action.to_lowercase());
            pattern::matches(&pattern, &action).into()
        });
        let resource = self.resources.as_ref().map_or(Truth::Yes, |resources| {
            resources.select(|named| match self.value(&named.value, request) {
                Ok(pattern) => pattern::matches_resource(&pattern, &request.resource),
                Err(variable) => Truth::unknown(format!("{variable} in a Resource")),
            })
        });
        // Action and resource come first, so that a condition gives its reason only where it
        // matters.
        let cheap = action.and(resource);
        if cheap == Truth::No {
            return Truth::No;
        }
        let principal = self.principals.as_ref().map_or(Truth::Yes, |principals| {
            let listed = any(principals
                .values
                .iter()
                .map(|named| matches_principal(named, &request.principal)));
            match (principals.is_negated, listed) {
                (false, listed) => listed,
                (true, Truth::Yes) => Truth::unknown(
                    "NotPrincipal excepts a role only together with its account and session",
                ),
                (true, listed) => !listed,
            }
        });
        let value = |text: &str| self.value(text, request);
        let conditions = self
            .conditions
            .iter()
            .map(|condition| condition.holds(request, &value));
        cheap.and(principal).and(all(conditions))
    }

    fn value(&self, text: &str, request: &PolicyRequest) -> Result<String, String> {
        if self.has_variables {
            pattern::fill_in(text, request)
        } else {
            Ok(text.to_owned())
        }
    }
}

impl Selection {
    fn select(&self, matches: impl Fn(&Named) -> Truth) -> Truth {
        let listed = any(self.values.iter().map(matches));
        if self.is_negated { !listed } else { listed }
    }
}

/// Returns the values of a text, a list, or an object of them by kind.
fn named(value: &Value) -> Option<Vec<Named>> {
    let of = |kind: &str, value: &Value| -> Option<Vec<Named>> {
        let texts: Vec<&str> = match value {
            Value::String(text) => vec![text],
            Value::Array(texts) => texts.iter().map(Value::as_str).collect::<Option<_>>()?,
            _ => return None,
        };
        let named = |text: &str| Named {
            kind: kind.to_owned(),
            value: text.to_owned(),
        };
        Some(texts.into_iter().map(named).collect())
    };
    match value {
        Value::Object(kinds) => {
            let mut all = Vec::new();
            for (kind, value) in kinds {
                all.extend(of(kind, value)?);
            }
            Some(all)
        }
        value => of("", value),
    }
}

/// Whether a principal of a statement includes that of a request (IAM user guide, "AWS JSON policy
/// elements: Principal").
fn matches_principal(named: &Named, principal: &RequestPrincipal) -> Truth {
    let Named { kind, value } = named;
    match (kind.as_str(), principal) {
        ("", _) | ("AWS", RequestPrincipal::Role { .. } | RequestPrincipal::AwsOwned)
            if value == "*" =>
        {
            Truth::Yes
        }
        (_, RequestPrincipal::Unknown) => Truth::unknown("the principal is not known"),
        ("AWS", RequestPrincipal::Role { arn }) => matches_role(value, arn),
        ("Service", RequestPrincipal::Service(service)) => (value == service).into(),
        ("CanonicalUser", RequestPrincipal::Role { .. } | RequestPrincipal::AwsOwned) => {
            Truth::unknown("a canonical user ID cannot be compared with a role")
        }
        _ => Truth::No,
    }
}

fn matches_role(value: &str, role: &str) -> Truth {
    let role_arn = role.parse::<Arn>();
    let account = role_arn.as_ref().map_or("", |arn| &arn.account);
    if value == role || value == account {
        return Truth::Yes;
    }
    let Ok(principal) = value.parse::<Arn>() else {
        let is_unique_id = value.starts_with("AROA") || value.starts_with("AIDA");
        return if is_unique_id {
            Truth::unknown(format!("the unique ID {value} cannot be compared"))
        } else {
            Truth::No
        };
    };
    if principal.account != account {
        return Truth::No;
    }
    let name = role_arn.as_ref().map_or("", |arn| arn.name());
    match (&*principal.service, &*principal.resource) {
        ("iam", "root") => Truth::Yes,
        ("sts", session) if session.starts_with(&format!("assumed-role/{name}/")) => {
            Truth::unknown("the name of the role's session cannot be known")
        }
        (_, resource) if resource.contains(['*', '?']) => {
            Truth::unknown(format!("{value} is not a valid principal"))
        }
        _ => Truth::No,
    }
}
