//! Secrets that another service reads on the task's behalf: Parameter Store from Secrets Manager,
//! and both with a key.

use super::Confidence;
use crate::cause::Cause;
use crate::observation::{Dependency, Failure, Observation};

type Candidates = Vec<(Cause, Confidence)>;

/// What stands before a secret's name in a parameter's (Systems Manager user guide, "Referencing
/// AWS Secrets Manager secrets from Parameter Store parameters").
const REFERENCE: &str = "/aws/reference/secretsmanager/";

/// A reference that leads nowhere: no parameter has to exist for it, so what is missing is the
/// secret, or its name is wrong. Parameter Store calls both a parameter that is not found. None for
/// other names.
pub(super) fn missing(seen: &Observation) -> Option<Candidates> {
    let dangling = seen.dependency == Dependency::Ssm
        && seen.failure() == Some(Failure::NotFound)
        && seen
            .subject
            .as_ref()
            .is_some_and(|subject| subject.contains(REFERENCE));
    let candidates = [
        (Cause::SecretNotFound, Confidence::Likely),
        (Cause::ParameterNotFound, Confidence::Possible),
    ];
    dangling.then(|| candidates.to_vec())
}

/// The service read the value and could not decrypt it, and names the key's state or nothing at
/// all: a key that is disabled or due for deletion is as closed as one whose policy says no
/// (Secrets Manager API reference, DecryptionFailure; Systems Manager API reference, InvalidKeyId).
/// None for other refusals.
pub(super) fn undecipherable(seen: &Observation) -> Option<Candidates> {
    let answer = seen.answer.as_ref().filter(|_| {
        matches!(
            seen.dependency,
            Dependency::SecretsManager | Dependency::Ssm
        )
    })?;
    let code = answer.code.trim_end_matches("Exception");
    UNDECIPHERABLE
        .contains(&code)
        .then(|| vec![(Cause::KmsKeyDenies, Confidence::Likely)])
}

const UNDECIPHERABLE: [&str; 3] = ["DecryptionFailure", "InvalidKeyId", "KMSInvalidState"];
