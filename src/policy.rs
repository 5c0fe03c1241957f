//! Policies of IAM's language, decided in three values: allowed, not allowed, or unknown with the
//! reason. Pure.
//!
//! It covers what AWS's own examples for Amazon ECR, Amazon S3, Secrets Manager, roles and VPC
//! endpoints use. Whatever else a policy contains, such as a condition on a key whose value cannot
//! be known, makes the answer unknown and is named; it never counts as a yes.

mod condition;
mod document;
mod pattern;
mod request;
mod truth;

pub use document::{InvalidPolicy, PolicyDocument, PolicyStatement, StatementEffect};
pub(crate) use pattern::matches as matches_pattern;
pub use request::{ContextValue, PolicyRequest, RequestPrincipal};
use truth::Truth;

/// What one or more policies say to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyDecision {
    /// A statement allows it, and none denies it.
    Allowed {
        /// The statement.
        statement: String,
    },
    /// A statement denies it, which no `Allow` can override.
    ExplicitlyDenied {
        /// The statement.
        statement: String,
    },
    /// No statement allows it.
    NotAllowed,
    /// It depends on what cannot be known here.
    Unknown {
        /// What it depends on, in one clause.
        why: String,
    },
}

/// Decides a request by the documents of one kind of policy, which count as one: the identity-based
/// policies of a role, or the policy of an endpoint. Each comes with its name for sentences; it is
/// left out where there is only one.
pub fn decide(documents: &[(&str, &PolicyDocument)], request: &PolicyRequest) -> PolicyDecision {
    let mut allow = Truth::no();
    let mut allowed_by = None;
    let mut deny = Truth::no();
    for (name, document) in documents {
        for (number, statement) in document.statements.iter().enumerate() {
            let applies = statement.applies(request);
            let label = || {
                let label = statement.label(number);
                if documents.len() == 1 {
                    label
                } else {
                    format!("{label} of {name}")
                }
            };
            match statement.effect {
                StatementEffect::Deny if applies.is_yes() => {
                    return PolicyDecision::ExplicitlyDenied { statement: label() };
                }
                StatementEffect::Deny => deny = deny.or(applies),
                StatementEffect::Allow => {
                    if applies.is_yes() && allowed_by.is_none() {
                        allowed_by = Some(label());
                    }
                    allow = allow.or(applies);
                }
            }
        }
    }
    match (allow, deny) {
        // Neither a denial nor its absence changes this.
        (Truth::No, _) => PolicyDecision::NotAllowed,
        (Truth::Unknown(why), _) | (Truth::Yes, Truth::Unknown(why)) => PolicyDecision::Unknown {
            why: why.into_iter().collect::<Vec<_>>().join("; "),
        },
        (Truth::Yes, _) => PolicyDecision::Allowed {
            statement: allowed_by.unwrap_or_default(),
        },
    }
}

#[cfg(test)]
mod tests;
