//! Conditions of a statement (IAM user guide, "IAM JSON policy elements: Condition operators").

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use serde_json::Value;

use super::document::InvalidPolicy;
use super::pattern;
use super::request::{ContextValue, PolicyRequest};
use super::truth::{Truth, all, any};

/// One key of one operator, with its values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    /// The operator as in the document, such as `ForAnyValue:StringLike`.
    name: String,
    /// `None` for an unknown operator.
    operator: Option<Operator>,
    quantifier: Option<Quantifier>,
    if_exists: bool,
    key: String,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    ForAllValues,
    ForAnyValue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Operator {
    comparison: Comparison,
    is_negated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    EqualIgnoringCase,
    Like,
    Arn,
    Bool,
    Address,
    Number(Order),
    Date(Order),
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds<T: PartialOrd>(self, a: &T, b: &T) -> bool {
        match self {
            Self::Equal => a == b,
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
        }
    }
}

impl Operator {
    fn of(name: &str) -> Option<Self> {
        use Comparison::{Address, Arn, Bool, Date, Equal, EqualIgnoringCase, Like, Null, Number};
        let (comparison, is_negated) = match name {
            "StringEquals" => (Equal, false),
            "StringNotEquals" => (Equal, true),
            "StringEqualsIgnoreCase" => (EqualIgnoringCase, false),
            "StringNotEqualsIgnoreCase" => (EqualIgnoringCase, true),
            "StringLike" => (Like, false),
            "StringNotLike" => (Like, true),
            "ArnEquals" | "ArnLike" => (Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Arn, true),
            "Bool" => (Bool, false),
            "IpAddress" => (Address, false),
            "NotIpAddress" => (Address, true),
            "NumericEquals" => (Number(Order::Equal), false),
            "NumericNotEquals" => (Number(Order::Equal), true),
            "NumericLessThan" => (Number(Order::Less), false),
            "NumericLessThanEquals" => (Number(Order::LessOrEqual), false),
            "NumericGreaterThan" => (Number(Order::Greater), false),
            "NumericGreaterThanEquals" => (Number(Order::GreaterOrEqual), false),
            "DateEquals" => (Date(Order::Equal), false),
            "DateNotEquals" => (Date(Order::Equal), true),
            "DateLessThan" => (Date(Order::Less), false),
            "DateLessThanEquals" => (Date(Order::LessOrEqual), false),
            "DateGreaterThan" => (Date(Order::Greater), false),
            "DateGreaterThanEquals" => (Date(Order::GreaterOrEqual), false),
            "Null" => (Null, false),
            _ => return None,
        };
        Some(Self {
            comparison,
            is_negated,
        })
    }
}

/// Reads the element `Condition`.
pub(super) fn read(value: Option<&Value>) -> Result<Vec<Condition>, InvalidPolicy> {
    let form = |text: &str| InvalidPolicy::Form(text.to_owned());
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let operators = value
        .as_object()
        .ok_or_else(|| form("Condition is not an object"))?;
    let mut conditions = Vec::new();
    for (name, keys) in operators {
        let keys = keys
            .as_object()
            .ok_or_else(|| form("an operator of Condition is not an object"))?;
        for (key, values) in keys {
            let values =
                texts(values).ok_or_else(|| form("a value of Condition is a structure"))?;
            conditions.push(Condition::new(name, key, values));
        }
    }
    Ok(conditions)
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        value => Some(vec![text(value)?]),
    }
}

impl Condition {
    fn new(name: &str, key: &str, values: Vec<String>) -> Self {
        let (quantifier, rest) = match name.split_once(':') {
            Some(("ForAllValues", rest)) => (Some(Quantifier::ForAllValues), rest),
            Some(("ForAnyValue", rest)) => (Some(Quantifier::ForAnyValue), rest),
            _ => (None, name),
        };
        let (base, if_exists) = match rest.strip_suffix("IfExists") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        Self {
            name: name.to_owned(),
            operator: Operator::of(base).filter(|operator| {
                operator.comparison != Comparison::Null || (!if_exists && quantifier.is_none())
            }),
            quantifier,
            if_exists,
            key: key.to_owned(),
            values,
        }
    }

    /// Whether the condition holds. `fill_in` replaces the policy variables of a value.
    pub fn holds(
        &self,
        request: &PolicyRequest,
        fill_in: &dyn Fn(&str) -> Result<String, String>,
    ) -> Truth {
        let Some(operator) = self.operator else {
            return Truth::unknown(format!("the condition operator {} is not known", self.name));
        };
        let unknown = || {
            Truth::unknown(format!(
                "a condition depends on {}, whose value cannot be known here",
                self.key
            ))
        };
        let Some(value) = request.value(&self.key) else {
            return unknown();
        };
        if operator.comparison == Comparison::Null {
            let is_absent = *value == ContextValue::Absent;
            return any(self
                .values
                .iter()
                .map(|value| Truth::from((value == "true") == is_absent)));
        }
        let present = match value {
            ContextValue::Known(present) => present,
            ContextValue::Absent => {
                return Truth::from(match self.quantifier {
                    _ if self.if_exists => true,
                    Some(Quantifier::ForAllValues) => true,
                    Some(Quantifier::ForAnyValue) => false,
                    None => operator.is_negated,
                });
            }
            ContextValue::Foreign => {
                // A value with a wildcard or a variable may still include it.
                let is_plain = |value: &String| !value.contains(['*', '?', '$']);
                let can_tell = matches!(
                    operator.comparison,
                    Comparison::Equal | Comparison::Like | Comparison::Arn
                ) && self.values.iter().all(is_plain);
                return if can_tell {
                    Truth::from(operator.is_negated)
                } else {
                    unknown()
                };
            }
        };
        let one = |present: &String| {
            let matched = any(self.values.iter().map(|value| match fill_in(value) {
                Ok(value) => compare(operator.comparison, &value, present),
                Err(variable) => Truth::unknown(format!("{variable} in a condition")),
            }));
            if operator.is_negated {
                !matched
            } else {
                matched
            }
        };
        match self.quantifier {
            Some(Quantifier::ForAnyValue) => any(present.iter().map(one)),
            Some(Quantifier::ForAllValues) => all(present.iter().map(one)),
            // IAM documents a quantifier for keys with several values, so the result is open.
            None if present.len() != 1 => unknown(),
            None => one(&present[0]),
        }
    }
}

/// Compares a policy's value with a request's.
fn compare(comparison: Comparison, expected: &str, present: &str) -> Truth {
    let unreadable = || Truth::unknown(format!("{expected} and {present} cannot be compared"));
    Truth::from(match comparison {
        Comparison::Equal => expected == present,
        Comparison::EqualIgnoringCase => expected.to_lowercase() == present.to_lowercase(),
        Comparison::Like => pattern::matches(expected, present),
        Comparison::Arn => pattern::matches_arn(expected, present),
        Comparison::Bool => expected.eq_ignore_ascii_case(present),
        Comparison::Address => {
            let network = expected
                .parse::<IpNet>()
                .or_else(|_| expected.parse::<IpAddr>().map(IpNet::from));
            match (network, present.parse::<IpAddr>()) {
                (Ok(network), Ok(address)) => network.contains(&address),
                _ => return unreadable(),
            }
        }
        Comparison::Number(order) => match (present.parse::<f64>(), expected.parse::<f64>()) {
            (Ok(present), Ok(expected)) => order.holds(&present, &expected),
            _ => return unreadable(),
        },
        Comparison::Date(order) => match (date(present), date(expected)) {
            (Some(present), Some(expected)) => order.holds(&present, &expected),
            _ => return unreadable(),
        },
        Comparison::Null => return unreadable(),
    })
}

/// Reads an ISO 8601 date, or seconds since 1970.
fn date(text: &str) -> Option<Timestamp> {
    let seconds = text.parse::<i64>().ok();
    match seconds {
        Some(seconds) => Timestamp::from_second(seconds).ok(),
        None => text.parse().ok(),
    }
}
