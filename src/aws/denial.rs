//! An authorisation refusal, taken apart.
//!
//! ```text
//! User: <principal> is not authorized to perform: <service>:<Action>[ on resource: <arn>][ <reason>]
//! reason = because no <kind> allows the <service>:<Action> action
//!        | with an explicit deny in a[n] <kind>[: <policy arn>]
//! ```
//!
//! Everything after the action is optional, and services vary (AWS IAM user guide, "Troubleshoot
//! access denied error messages"). The text may arrive cut short, re-wrapped, quoted or inside an
//! SDK's own words.

use crate::observation::{Denial, PolicyKind};
use crate::redact::shorten;

/// Characters of a text that are looked at. A stopped reason has 1,024 and a service's answer
/// hardly more.
const LONGEST_TEXT: usize = 16_384;

/// Characters of a field. An ARN has at most 2,048, of which the first 512 tell a person enough.
const LONGEST_FIELD: usize = 512;

/// What AWS Key Management Service's refusals have in common when they come through Secrets Manager
/// or Parameter Store: no principal, no action, no key.
const KMS_TEXTS: [&str; 3] = [
    "access to kms is not allowed",
    "ciphertext refers to a customer master key",
    "ciphertext references a key that doesn't exist or that you do not have access to",
];

/// The kinds of policy as AWS names them, less blanks and hyphens.
const KINDS: [(&str, PolicyKind); 10] = [
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

/// Take a refusal apart; `None` for a text that is none.
///
/// The policy is [`PolicyKind::KmsKey`] when it is AWS KMS that refuses and no kind of policy is
/// named.
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

/// One line, with escapes such as `\n` and `\"` resolved and `’` as `'`: texts are copied out of
/// logs and mails.
fn flatten(text: &str) -> String {
    let plain = shorten(text, LONGEST_TEXT)
        .replace("\\n", " ")
        .replace("\\t", " ")
        .replace("\\r", " ")
        .replace("\\\"", "\"")
        .replace('\u{2019}', "'");
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn statement(text: &str) -> Option<Denial> {
    const REFUSAL: &str = "not authorized to perform";
    let mut end = 0;
    let mut of_nobody_knows_what = None;
    while let Some((before, after)) = split(&text[end..], REFUSAL) {
        let before = &text[end..end + before.len()];
        end = text.len() - after.len();
        let principal = principal(before);
        let after = split(after, REFUSAL).map_or(after, |(this, _)| this);
        if let Some((action, after)) = action(after) {
            return Some(details(principal, action, after));
        }
        // EC2 first says "You are not authorized to perform this operation." A text cut short ends
        // here instead.
        if principal.is_some() || find(before, "user:").is_some() {
            of_nobody_knows_what.get_or_insert(Denial {
                principal,
                ..Denial::default()
            });
        }
    }
    of_nobody_knows_what
}

/// `User: <principal> is`, or a bare ARN and `is`.
fn principal(before: &str) -> Option<String> {
    let before = before.trim_end();
    let who = before
        .len()
        .checked_sub(3)
        .and_then(|at| before.get(at..))
        .filter(|is| is.eq_ignore_ascii_case(" is"));
    let who = who.map_or(before, |is| &before[..before.len() - is.len()]);
    if let Some(start) = find_last(who, "user:") {
        return field(&who[start + "user:".len()..]);
    }
    field(
        who.rsplit(' ')
            .next()
            .filter(|word| word.starts_with("arn:"))?,
    )
}

/// `service:Action`, and the text after it.
fn action(after: &str) -> Option<(String, &str)> {
    let after = after.trim_start_matches([':', ' ', '[', '"', '\'', '`']);
    let (word, rest) = after.split_at(after.find(' ').unwrap_or(after.len()));
    let word = word.trim_end_matches(['.', ',', ';', ')', ']', '"', '\'', '`', '…']);
    let (service, name) = word.split_once(':')?;
    let is_service = !service.is_empty()
        && service
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-');
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '*');
    (is_service && is_name).then(|| (shorten(word, LONGEST_FIELD).to_owned(), rest))
}

fn details(principal: Option<String>, action: String, after: &str) -> Denial {
    let because = find(after, "because no");
    let deny = find(after, "explicit deny");
    let start = because.into_iter().chain(deny).min();
    let (about, reason) = after.split_at(start.unwrap_or(after.len()));
    Denial {
        principal,
        action: Some(action),
        resource: resource(about, start.is_some()),
        policy: policy_kind(reason),
        explicit: deny.is_some() && start == deny,
        policy_arn: policy_arn(reason),
    }
}

fn resource(about: &str, is_bounded: bool) -> Option<String> {
    let (_, named) = split(about, "on resource")?;
    let named = named.trim_start_matches([':', ' ']);
    if let Some(quoted) = named.strip_prefix(['"', '“']) {
        return field(quoted.split(['"', '”']).next()?);
    }
    // The lead-in to an explicit deny ("with an", "due to an") is no part of it.
    let named = ["with an", "due to an"]
        .iter()
        .find_map(|lead| Some(split(named, lead)?.0))
        .unwrap_or(named);
    let first = named.split(' ').next()?;
    // An ARN has no blanks, so between two fixed points a blank is where a line was broken.
    if is_bounded {
        field(&named.replace(' ', ""))
    } else {
        field(first)
    }
}

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
    if let Some((_, kind)) = KINDS.iter().find(|(name, _)| named.starts_with(name)) {
        return Some(*kind);
    }
    // Cut short: enough if only one kind begins so.
    let stub = named.trim_end_matches(['.', '…']);
    let mut kinds = KINDS
        .iter()
        .filter(|(name, _)| stub.len() >= 3 && name.starts_with(stub))
        .map(|(_, kind)| *kind);
    let kind = kinds.next()?;
    kinds.all(|other| other == kind).then_some(kind)
}

fn policy_arn(reason: &str) -> Option<String> {
    let (_, after) = split(reason, "policy:").or_else(|| split(reason, "boundary:"))?;
    field(
        after
            .trim_start()
            .split(' ')
            .next()
            .filter(|word| word.starts_with("arn:"))?,
    )
}

/// A bounded field, without the punctuation around it; `None` for one that was masked or cut away.
fn field(text: &str) -> Option<String> {
    let bare = text
        .trim()
        .trim_matches(['"', '\'', '`', '\\', '“', '”'])
        .trim_end_matches(['.', ',', ';', ')']);
    bare.contains(|c: char| c.is_alphanumeric() || c == '*')
        .then(|| shorten(bare, LONGEST_FIELD).to_owned())
}

/// The text before and after the first `phrase`, in any case.
fn split<'a>(text: &'a str, phrase: &str) -> Option<(&'a str, &'a str)> {
    let at = find(text, phrase)?;
    Some((&text[..at], &text[at + phrase.len()..]))
}

/// Where an ASCII phrase first occurs, in any case. Always a character boundary: no byte of a
/// longer one is ASCII.
fn find(text: &str, phrase: &str) -> Option<usize> {
    let first = phrase.as_bytes().first()?.to_ascii_lowercase();
    // The first byte alone tells most places apart; the whole comparison at each of them is most of
    // a parser's time.
    let here = |window: &[u8]| {
        window[0].to_ascii_lowercase() == first && window.eq_ignore_ascii_case(phrase.as_bytes())
    };
    text.as_bytes().windows(phrase.len()).position(here)
}

fn find_last(text: &str, phrase: &str) -> Option<usize> {
    text.as_bytes()
        .windows(phrase.len())
        .rposition(|window| window.eq_ignore_ascii_case(phrase.as_bytes()))
}

#[cfg(test)]
mod tests;
