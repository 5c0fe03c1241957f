//! Secrets that Parameter Store reads from Secrets Manager.

use super::Confidence;
use crate::cause::Cause;
use crate::observation::{Failure, Observation, Role};

/// What stands before a secret's name in a parameter's (Systems Manager user guide, "Referencing AWS Secrets Manager
/// secrets from Parameter Store parameters").
const REFERENCE: &str = "/aws/reference/secretsmanager/";

/// A reference that leads nowhere: no parameter has to exist for it, so what is missing is the secret, or its name is
/// wrong. Parameter Store calls both a parameter that is not found. None for other names.
pub(super) fn missing(seen: &Observation) -> Option<Vec<(Cause, Confidence)>> {
    let dangling = seen.role == Role::Ssm
        && seen.failure() == Some(Failure::NotFound)
        && seen.subject.as_ref().is_some_and(|subject| subject.contains(REFERENCE));
    let candidates = [(Cause::SecretNotFound, Confidence::Likely), (Cause::ParameterNotFound, Confidence::Possible)];
    dangling.then(|| candidates.to_vec())
}
