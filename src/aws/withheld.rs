//! What is kept of the error of a call that reads secrets: its status, its code if AWS or the
//! registries document it, its request ID, and those parts of a denial that the run already knew.
//! The server holds the secret's value, and may repeat it anywhere else.

use crate::aws::error_response::ErrorResponse;
use crate::observation::Denial;
use crate::safe_text::{SafeText, safe_text};

/// Error codes of the calls that read secrets: API references of Secrets Manager (GetSecretValue),
/// Systems Manager (GetParameters), Amazon S3 ("Error responses"), Amazon ECR
/// (GetAuthorizationToken), their common errors, and the distribution specification.
const CODES: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AllAccessDisabled",
    "AuthorizationHeaderMalformed",
    "BadDigest",
    "BucketRegionError",
    "DecryptionFailure",
    "DENIED",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "InternalServerException",
    "InternalServiceError",
    "InvalidAccessKeyId",
    "InvalidArgument",
    "InvalidBucketName",
    "InvalidClientTokenId",
    "InvalidKeyId",
    "InvalidObjectState",
    "InvalidParameterException",
    "InvalidRange",
    "InvalidRequest",
    "InvalidRequestException",
    "InvalidSecurity",
    "InvalidSignatureException",
    "InvalidToken",
    "InvalidTokenException",
    "KMS.AccessDeniedException",
    "KMS.DisabledException",
    "KMS.InvalidStateException",
    "KMS.NotFoundException",
    "KMSAccessDeniedException",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSNotFoundException",
    "MalformedHttpRequestException",
    "MANIFEST_UNKNOWN",
    "MethodNotAllowed",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NAME_UNKNOWN",
    "NoSuchBucket",
    "NoSuchKey",
    "NoSuchVersion",
    "NotAuthorized",
    "NotSignedUp",
    "OptInRequired",
    "ParameterNotFound",
    "ParameterVersionNotFound",
    "PermanentRedirect",
    "PreconditionFailed",
    "ProvisionedThroughputExceededException",
    "RequestAbortedException",
    "RequestEntityTooLargeException",
    "RequestExpired",
    "RequestExpiredException",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "RequestTimeoutException",
    "ResourceNotFoundException",
    "SerializationException",
    "ServerException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "SignatureDoesNotMatch",
    "SlowDown",
    "TemporaryRedirect",
    "Throttling",
    "ThrottlingException",
    "TOOMANYREQUESTS",
    "TooManyRequestsException",
    "UNAUTHORIZED",
    "UnauthorizedOperation",
    "UnknownOperationException",
    "UnrecognizedClientException",
    "UNSUPPORTED",
    "ValidationError",
    "ValidationException",
];

/// Replaces any other code.
const UNDOCUMENTED: &str = "undocumented";

/// Parts of documented messages that rules look for or that name what to change, each with the text
/// that is shown instead.
const MESSAGES: &[(&str, &str)] = &[
    (
        "staging label",
        "Secrets Manager can't find the specified secret value for staging label",
    ),
    (
        "versionid",
        "Secrets Manager can't find the specified secret value for VersionId",
    ),
    (
        "can't find the specified secret",
        "Secrets Manager can't find the specified secret.",
    ),
    (
        "marked for deletion",
        "You can't perform this operation on the secret because it was marked for deletion.",
    ),
    (
        "marked deleted",
        "You can't perform this operation on the secret because it was marked deleted.",
    ),
    (
        "access to kms is not allowed",
        "Access to KMS is not allowed",
    ),
    (
        "ciphertext refers to a customer master key",
        "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are \
         not allowed to access.",
    ),
    (
        "security token included in the request is expired",
        "The security token included in the request is expired",
    ),
    (
        "security token included in the request is invalid",
        "The security token included in the request is invalid.",
    ),
    ("signature expired", "Signature expired"),
    ("signature not yet current", "Signature not yet current"),
    (
        "signature we calculated does not match",
        "The request signature we calculated does not match the signature you provided.",
    ),
    (
        "missing authentication token",
        "Missing Authentication Token",
    ),
    (
        "the specified key does not exist",
        "The specified key does not exist.",
    ),
    (
        "the specified bucket does not exist",
        "The specified bucket does not exist",
    ),
    ("rate exceeded", "Rate exceeded"),
];

/// Upper limits in characters, which distinguish a documented sentence from a web page.
const LENGTHS: [(usize, &str); 2] = [
    (0, "no message"),
    (
        200,
        "a message of up to 200 characters, not shown because the call reads secrets",
    ),
];
const LONG: &str = "a long message, not shown because the call reads secrets";

impl ErrorResponse {
    /// Returns the response without what the server may have taken from a secret. `is_known` tells
    /// whether the run already knew a part of an ARN.
    #[must_use]
    pub fn withhold(mut self, is_known: &dyn Fn(&str) -> bool) -> Self {
        self.code = documented_code(&self.code).into();
        if !is_request_id(&self.request_id) {
            self.request_id.clear();
        }
        self.denial = self.denial.map(|denial| known_parts(denial, is_known));
        self.message = match &self.denial {
            Some(denial) => sentence(denial),
            None => documented_message(&self.message).into(),
        };
        self
    }
}

/// Returns the code if it is documented, `undocumented` if not, and an empty text for an empty
/// code.
pub fn documented_code(code: &str) -> &'static str {
    match code {
        "" => "",
        code => CODES
            .iter()
            .find(|known| **known == code)
            .unwrap_or(&UNDOCUMENTED),
    }
}

fn documented_message(message: &str) -> &'static str {
    let lower = message.to_lowercase();
    let documented = MESSAGES.iter().find(|(part, _)| lower.contains(part));
    if let Some((_, shown)) = documented {
        return shown;
    }
    let length = message.chars().count();
    let class = LENGTHS.iter().find(|(limit, _)| length <= *limit);
    match class {
        Some((0, _)) => "",
        Some((_, class)) => class,
        None => LONG,
    }
}

fn known_parts(denial: Denial, is_known: &dyn Fn(&str) -> bool) -> Denial {
    let known = |part: Option<SafeText>| part.filter(|part| is_known(part));
    Denial {
        principal: known(denial.principal),
        action: known(denial.action),
        resource: known(denial.resource),
        policy_arn: known(denial.policy_arn),
        ..denial
    }
}

/// Returns AWS's sentence with the parts that are left.
fn sentence(denial: &Denial) -> SafeText {
    let mut sentence = SafeText::default();
    if let Some(principal) = &denial.principal {
        sentence.push(safe_text!["User: ", principal, " is "]);
    }
    sentence.push("not authorized to perform: ");
    match &denial.action {
        Some(action) => sentence.push(action),
        None => sentence.push("an action that is not shown, because the call reads secrets"),
    }
    if let Some(resource) = &denial.resource {
        sentence.push(safe_text![" on resource: ", resource]);
    }
    if let Some(policy) = denial.policy.and_then(super::denial::policy_name) {
        sentence.push(if denial.explicit {
            " with an explicit deny in a "
        } else {
            " because no "
        });
        sentence.push(policy);
        if !denial.explicit {
            sentence.push(" allows it");
        }
    }
    sentence
}

/// Whether the text has the form of an AWS request ID.
pub fn is_request_id(text: &str) -> bool {
    is_uuid(text) || is_s3_request_id(text)
}

/// Whether the text has the form of a request ID of the AWS JSON APIs.
fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// Whether the text has the form of an Amazon S3 request ID, such as `79104EXAMPLEB723`.
fn is_s3_request_id(text: &str) -> bool {
    text.len() == 16
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}
