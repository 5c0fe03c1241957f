//! Secrets that one service reads through another: Parameter Store through Secrets Manager, and
//! both through KMS.

use super::Confidence;
use crate::cause::Cause;
use crate::observation::{Dependency, Failure, Observation};

type Candidates = Vec<(Cause, Confidence)>;

/// Prefix of a parameter's name that refers to a secret (Systems Manager user guide, "Referencing
/// AWS Secrets Manager secrets from Parameter Store parameters").
const REFERENCE: &str = "/aws/reference/secretsmanager/";

/// Returns the candidates for a dangling reference: it needs no parameter, so the secret is missing
/// or its name is wrong. Parameter Store reports both as a parameter that is not found. Returns
/// `None` for other names.
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

/// Returns the candidates if the service read the value but could not decrypt it. The error may not
/// give the reason: a key that is disabled or pending deletion blocks decryption just as its policy
/// can (Secrets Manager API reference, DecryptionFailure; Systems Manager API reference,
/// InvalidKeyId). Returns `None` for other refusals.
pub(super) fn not_decrypted(seen: &Observation) -> Option<Candidates> {
    let answer = seen.answer.as_ref().filter(|_| {
        matches!(
            seen.dependency,
            Dependency::SecretsManager | Dependency::Ssm
        )
    })?;
    let code = answer.code.trim_end_matches("Exception");
    DECRYPTION_ERRORS
        .contains(&code)
        .then(|| vec![(Cause::KmsKeyDenies, Confidence::Likely)])
}

const DECRYPTION_ERRORS: [&str; 3] = ["DecryptionFailure", "InvalidKeyId", "KMSInvalidState"];
