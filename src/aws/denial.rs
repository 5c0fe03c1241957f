//! Parses authorization errors of AWS services.
//!
//! ```text
//! User: <principal> is not authorized to perform: <service>:<Action>[ on resource: <arn>]
//!     [ <reason>]
//! reason = because no <kind> allows the <service>:<Action> action
//!        | with an explicit deny in a[n] <kind>[: <policy arn>]
//! ```
//!
//! Everything after the action is optional, and services vary (IAM user guide, "Troubleshoot access
//! denied error messages"). The text may be cut, re-wrapped, quoted or part of an SDK's message.

use crate::observation::{Denial, PolicyKind};
use crate::redact::shorten;
use crate::safe_text::SafeText;

/// Maximum number of characters of a text that are read. A stopped reason has at most 1,024, and a
/// service's error message is rarely longer.
const MAX_TEXT_CHARS: usize = 16_384;

/// Maximum number of characters of a field that are kept. An ARN has at most 2,048, and its first
/// 512 identify the resource for a reader.
const MAX_FIELD_CHARS: usize = 512;

/// Error messages of AWS KMS that Secrets Manager or Parameter Store pass on. They name no
/// principal, action or key.
const KMS_TEXTS: [&str; 3] = [
    "access to kms is not allowed",
    "ciphertext refers to a customer master key",
    "ciphertext references a key that doesn't exist or that you do not have access to",
];

/// The policy types as AWS names them, in lower case without spaces and hyphens.
const POLICY_TYPES: [(&str, PolicyKind); 10] = [
    ("identitybased", PolicyKind::Identity),
    ("resourcebased", PolicyKind::Resource),
    ("vpcendpoint", PolicyKind::VpcEndpoint),
    ("permissionsboundary", PolicyKind::PermissionsBoundary),
    ("permissionboundary", PolicyKind::PermissionsBoundary),
    ("session", PolicyKind::Session),
    ("servicecontrol", PolicyKind::ServiceControl),
    ("resourcecontrol", PolicyKind::ResourceControl),
    ("roletrust", PolicyKind::RoleTrust),
    ("trustpolicy", PolicyKind::RoleTrust),
];

/// Parses an authorization error. Returns `None` for any other text.
///
/// The policy is [`PolicyKind::KmsKey`] if the error comes from AWS KMS and does not name a policy
/// type.
pub fn parse(text: &str) -> Option<Denial> {
    let text = flatten(text);
    let is_kms_text = KMS_TEXTS.iter().any(|known| find(&text, known).is_some());
    let mut denial = statement(&text).or_else(|| is_kms_text.then(Denial::default))?;
    let is_kms_action = denial
        .action
        .as_deref()
        .is_some_and(|action| find(action, "kms:") == Some(0));
    if denial.policy.is_none() && (is_kms_action || is_kms_text) {
        denial.policy = Some(PolicyKind::KmsKey);
    }
    Some(denial)
}

/// Returns the policy type as AWS's error messages name it; `None` for AWS KMS, whose messages name
/// no policy.
pub fn policy_name(policy: PolicyKind) -> Option<&'static str> {
    match policy {
        PolicyKind::KmsKey => None,
        PolicyKind::Identity => Some("identity-based policy"),
        PolicyKind::Resource => Some("resource-based policy"),
        PolicyKind::VpcEndpoint => Some("VPC endpoint policy"),
        PolicyKind::PermissionsBoundary => Some("permissions boundary"),
        PolicyKind::Session => Some("session policy"),
        PolicyKind::ServiceControl => Some("service control policy"),
        PolicyKind::ResourceControl => Some("resource control policy"),
        PolicyKind::RoleTrust => Some("role trust policy"),
    }
}

/// Returns the text on one line, with escapes such as `\n` and `\"` resolved and `’` as `'`,
/// because users copy it from logs and emails.
fn flatten(text: &str) -> String {
    let unescaped = shorten(text, MAX_TEXT_CHARS)
        .replace("\\n", " ")
        .replace("\\t", " ")
        .replace("\\r", " ")
        .replace("\\\"", "\"")
        .replace('\u{2019}', "'");
    unescaped.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Parses the first sentence that names an action or, failing that, a principal.
fn statement(text: &str) -> Option<Denial> {
    const NOT_AUTHORIZED: &str = "not authorized to perform";
    let mut end = 0;
    let mut without_action = None;
    while let Some((before, after)) = split(&text[end..], NOT_AUTHORIZED) {
        let before = &text[end..end + before.len()];
        end = text.len() - after.len();
        let principal = principal(before);
        let after = split(after, NOT_AUTHORIZED).map_or(after, |(this, _)| this);
        if let Some((action, after)) = action(after) {
            return Some(details(principal, action, after));
        }
        // EC2 begins with "You are not authorized to perform this operation.", which names nothing.
        // A text that was cut ends here, after its principal.
        if principal.is_some() || find(before, "user:").is_some() {
            without_action.get_or_insert(Denial {
                principal,
                ..Denial::default()
            });
        }
    }
    without_action
}

/// Reads `User: <principal> is`, or a bare ARN and `is`.
fn principal(before: &str) -> Option<SafeText> {
    let before = before.trim_end();
    let is = before
        .len()
        .checked_sub(3)
        .and_then(|at| before.get(at..))
        .filter(|is| is.eq_ignore_ascii_case(" is"));
    let subject = is.map_or(before, |is| &before[..before.len() - is.len()]);
    if let Some(start) = find_last(subject, "user:") {
        let named = subject[start + "user:".len()..].trim_start();
        // An ARN has no spaces, so a space within it is a line break.
        return if named.starts_with("arn:") {
            field(&named.replace(' ', ""))
        } else {
            field(named)
        };
    }
    field(
        subject
            .rsplit(' ')
            .next()
            .filter(|word| word.starts_with("arn:"))?,
    )
}

/// Reads `service:Action`, and returns it with the text after it.
fn action(after: &str) -> Option<(SafeText, &str)> {
    let after = after.trim_start_matches([':', ' ', '[', '"', '\'', '`']);
    let end = after.find(' ').unwrap_or(after.len());
    let (word, rest) = after.split_at(wrapped_action(after).unwrap_or(end));
    // An action has no spaces, so a space within it is a line break.
    let word = word.replace(' ', "");
    let word = word.split(['"', '\'', '`', '…']).next()?;
    let word = word.trim_end_matches(['.', ',', ';', ')', ']', '"', '\'', '`', '…']);
    let (service, name) = word.split_once(':')?;
    let is_service = !service.is_empty()
        && service
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-');
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '*');
    (is_service && is_name).then(|| (SafeText::foreign(word, MAX_FIELD_CHARS), rest))
}

/// Returns the end of an action that a line break splits in two, recognized by the words that
/// follow it: only these come after an action.
fn wrapped_action(after: &str) -> Option<usize> {
    let (first, rest) = after.split_once(' ')?;
    let (second, rest) = rest.split_once(' ')?;
    let is_followed = ["on resource", "because no", "with an explicit"]
        .iter()
        .any(|next| find(rest, next) == Some(0));
    let is_part = |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric());
    (is_followed && first.contains(':') && is_part(second)).then(|| first.len() + 1 + second.len())
}

/// Reads what follows the action: the resource and the reason.
fn details(principal: Option<SafeText>, action: SafeText, after: &str) -> Denial {
    let because = find(after, "because no");
    let deny = find(after, "explicit deny");
    let start = because.into_iter().chain(deny).min();
    let (object, reason) = after.split_at(start.unwrap_or(after.len()));
    Denial {
        principal,
        action: Some(action),
        resource: resource(object, start.is_some()),
        policy: policy_kind(reason),
        explicit: deny.is_some() && start == deny,
        policy_arn: policy_arn(reason),
    }
}

/// Reads `on resource: <arn>`. If `has_reason`, a reason follows, so the ARN was not cut.
fn resource(object: &str, has_reason: bool) -> Option<SafeText> {
    let (_, named) = split(object, "on resource")?;
    let named = named.trim_start_matches([':', ' ']);
    if let Some(quoted) = named.strip_prefix(['"', '“']) {
        return field(quoted.split(['"', '”']).next()?);
    }
    // The words before "explicit deny" ("with an", "due to an") do not belong to the ARN.
    let named = ["with an", "due to an"]
        .iter()
        .find_map(|lead| Some(split(named, lead)?.0))
        .unwrap_or(named);
    let first = named.split(' ').next()?;
    // An ARN has no spaces, so a space between two known phrases is a line break.
    if has_reason {
        field(&named.replace(' ', ""))
    } else {
        field(first)
    }
}

/// Reads the policy type of `because no …` or `explicit deny in a …`.
fn policy_kind(reason: &str) -> Option<PolicyKind> {
    let compact: String = reason
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .take(64)
        .collect();
    let compact = compact.to_ascii_lowercase();
    let named = compact.strip_prefix("becauseno").or_else(|| {
        let named = compact.strip_prefix("explicitdenyin")?;
        Some(
            ["an", "the", "a"]
                .iter()
                .find_map(|article| named.strip_prefix(article))
                .unwrap_or(named),
        )
    })?;
    if let Some((_, kind)) = POLICY_TYPES
        .iter()
        .find(|(name, _)| named.starts_with(name))
    {
        return Some(*kind);
    }
    // The text was cut: a prefix is enough if it fits one type only.
    let prefix = named.trim_end_matches(['.', '…']);
    let mut kinds = POLICY_TYPES
        .iter()
        .filter(|(name, _)| prefix.len() >= 3 && name.starts_with(prefix))
        .map(|(_, kind)| *kind);
    let kind = kinds.next()?;
    kinds.all(|other| other == kind).then_some(kind)
}

/// Reads the ARN after the policy type.
fn policy_arn(reason: &str) -> Option<SafeText> {
    let (_, after) = split(reason, "policy:").or_else(|| split(reason, "boundary:"))?;
    field(
        after
            .trim_start()
            .split(' ')
            .next()
            .filter(|word| word.starts_with("arn:"))?,
    )
}

/// Returns a field without the punctuation around it, shortened; `None` if it was masked or cut.
fn field(text: &str) -> Option<SafeText> {
    let bare = text
        .trim()
        .trim_matches(['"', '\'', '`', '\\', '“', '”'])
        .trim_end_matches(['.', ',', ';', ')']);
    bare.contains(|c: char| c.is_alphanumeric() || c == '*')
        .then(|| SafeText::foreign(bare, MAX_FIELD_CHARS))
}

/// Splits the text around the first `phrase`, ignoring ASCII case.
fn split<'a>(text: &'a str, phrase: &str) -> Option<(&'a str, &'a str)> {
    let at = find(text, phrase)?;
    Some((&text[..at], &text[at + phrase.len()..]))
}

/// Returns the offset of the first occurrence of an ASCII phrase, ignoring case. It is a character
/// boundary, because no byte of a multi-byte character is ASCII.
fn find(text: &str, phrase: &str) -> Option<usize> {
    let first = phrase.as_bytes().first()?.to_ascii_lowercase();
    // The first byte rules out most offsets; comparing the whole phrase at each of them would take
    // most of the parser's time.
    let matches = |window: &[u8]| {
        window[0].to_ascii_lowercase() == first && window.eq_ignore_ascii_case(phrase.as_bytes())
    };
    text.as_bytes().windows(phrase.len()).position(matches)
}

fn find_last(text: &str, phrase: &str) -> Option<usize> {
    text.as_bytes()
        .windows(phrase.len())
        .rposition(|window| window.eq_ignore_ascii_case(phrase.as_bytes()))
}

#[cfg(test)]
mod tests;
