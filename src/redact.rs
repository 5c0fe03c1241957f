//! Prepares text from other programs for a report: removes secrets, joins lines, limits the length.

use crate::safe_text::is_hidden;

/// Replaces a secret.
pub const MASK: &str = "[redacted]";

/// An unbroken run of this many base64 characters counts as a token. The number is above the length
/// of digests (64) and of layer paths (130), and below that of session tokens (300 and more).
const MIN_TOKEN: usize = 256;

/// The longest word after `Basic` or `Bearer` that may be prose ("Basic authentication").
const MAX_PROSE_WORD: usize = 20;

/// Request headers whose value is a credential, in any notation.
const SECRET_HEADERS: [&str; 4] = [
    "authorization",
    "cookie",
    "x-registry-auth",
    "security-token",
];

/// Fields whose value is always a credential. They do not count before a bare colon, which also
/// separates the parts of an ARN.
const SECRET_FIELDS: [&str; 18] = [
    "secretaccesskey",
    "secret_access_key",
    "accesskeyid",
    "access_key_id",
    "sessiontoken",
    "session_token",
    "securitytoken",
    "authorizationtoken",
    "authorization_token",
    "accesstoken",
    "access_token",
    "refresh_token",
    "identitytoken",
    "client_secret",
    "secretstring",
    "secretbinary",
    "signatureprovided",
    "apikey",
];

/// Common words that name a credential only in `word=value`, `"word": "value"` or `<word>value`.
const SECRET_WORDS: [&str; 9] = [
    "token",
    "password",
    "passwd",
    "secret",
    "signature",
    "sig",
    "credential",
    "verify",
    "auth",
];

/// Prefixes by which tokens are recognized without a field name: those of GitHub, GitLab, Docker
/// Hub, npm, PyPI, Slack, Google, OpenAI and Stripe.
const TOKEN_PREFIXES: [&str; 19] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "dckr_pat_",
    "dckr_oat_",
    "npm_",
    "pypi-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "AIza",
    "sk-",
    "sk_live_",
    "rk_live_",
];

/// Minimum number of characters of such a token.
const MIN_PREFIXED_TOKEN: usize = 20;

/// Minimum length of a line of wrapped Base64: emails and PEM wrap at 64 or 76 characters.
const MIN_TOKEN_LINE: usize = 40;

/// Schemes of an `Authorization` value, which precede the credential.
const SCHEMES: [&str; 6] = [
    "basic",
    "bearer",
    "digest",
    "negotiate",
    "aws",
    "aws4-hmac-sha256",
];

/// Replaces pre-signed queries, `Authorization` values, access key IDs, tokens, and passwords in
/// URLs.
///
/// The function is idempotent. When in doubt, it removes too much.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let (kept, hidden) = if let Some(token) = token_len(rest) {
            (0, token)
        } else if is_word(next) {
            let (word, after) = rest.split_at(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
            push_word(word, &mut out);
            rest = after;
            let (kept, hidden) = secret_after(word, after);
            (kept, hidden + continuation(&after[kept..], hidden))
        } else {
            user_info(rest).unwrap_or((next.len_utf8(), 0))
        };
        out.push_str(&rest[..kept]);
        if hidden > 0 {
            out.push_str(MASK);
        }
        rest = &rest[kept + hidden..];
    }
    out
}

/// Returns the first `chars` characters.
pub fn shorten(text: &str, chars: usize) -> &str {
    text.char_indices()
        .nth(chars)
        .map_or(text, |(end, _)| &text[..end])
}

/// Joins the words with single spaces, without line breaks, control and invisible characters.
pub fn one_line(text: &str) -> String {
    let words = text
        .split(|c: char| c.is_whitespace() || is_hidden(c))
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

/// Returns the length of the rest of a hidden value that was wrapped: words that are not prose or,
/// if the value is hexadecimal, only hexadecimal digits.
fn continuation(text: &str, hidden: usize) -> usize {
    let value = text[..hidden].trim_end_matches(']');
    if hidden == 0 || value.ends_with("[redacted") {
        return 0;
    }
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    let was_hex = is_hex(value.rsplit(' ').next().unwrap_or(value));
    let mut end = hidden;
    loop {
        let rest = &text[end..];
        let word = rest.trim_start();
        let gap = rest.len() - word.len();
        let length = word.find(char::is_whitespace).unwrap_or(word.len());
        let (word, after) = word.split_at(length);
        let bare = word.trim_end_matches(['"', '\'', ')', ',', ';', '.']);
        let is_digits = |c: char| is_word(c) || matches!(c, '+' | '/' | '=' | '%' | '~');
        let is_rest = if was_hex {
            bare.len() >= 4 && is_hex(bare)
        } else {
            let mixed = bare.chars().skip(1).any(|c| c.is_ascii_uppercase())
                || bare.contains(|c: char| c.is_ascii_digit() || matches!(c, '+' | '='));
            let min = if end == hidden { MIN_REST } else { MIN_LAST };
            bare.len() >= min && bare.chars().all(is_digits) && mixed
        };
        // A name that precedes a sign is not part of the previous value.
        let is_name =
            after.trim_start().starts_with([':', '=']) || bare.trim_end_matches('=').contains('=');
        if gap == 0 || !is_rest || is_name {
            return end - hidden;
        }
        end += gap + bare.len();
    }
}

/// Minimum length at which the rest of a wrapped token is distinguished from a word.
const MIN_REST: usize = 6;

/// The same for what follows that rest.
const MIN_LAST: usize = 3;

/// Returns the length of the token that `text` begins with, if any.
fn token_len(text: &str) -> Option<usize> {
    jwt_len(text)
        .or_else(|| wrapped_len(text))
        .or_else(|| long_len(text))
}

/// Finds a JSON Web Token: three Base64 parts, the first of which begins with `{"` (RFC 7519).
fn jwt_len(text: &str) -> Option<usize> {
    let is_part = |c: char| is_word(c) || c == '.';
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let token = text
        .starts_with("eyJ")
        .then(|| text[..end].trim_end_matches('.'))?;
    (token.contains('.') && token.len() >= MIN_PREFIXED_TOKEN).then_some(token.len())
}

/// Finds lines of Base64 that together form a token.
fn wrapped_len(text: &str) -> Option<usize> {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let (mut end, mut digits) = (0, 0);
    loop {
        let rest = &text[end..];
        let line = if end == 0 { rest } else { rest.trim_start() };
        let length = line.find(|c| !is_base64(c)).unwrap_or(line.len());
        let is_last = length < MIN_TOKEN_LINE;
        let is_line = line[..length].contains(|c: char| c.is_ascii_uppercase()) && length > 3;
        if !is_line || end == 0 && is_last {
            break;
        }
        end += rest.len() - line.len() + length;
        digits += length;
        if is_last || !text[end..].starts_with(char::is_whitespace) {
            break;
        }
    }
    (digits >= MIN_TOKEN).then_some(end)
}

fn long_len(text: &str) -> Option<usize> {
    let is_base64 = |c: char| is_word(c) || matches!(c, '+' | '/' | '=');
    let long = text
        .chars()
        .take(MIN_TOKEN)
        .take_while(|&c| is_base64(c))
        .count()
        == MIN_TOKEN;
    long.then(|| text.find(|c| !is_base64(c)).unwrap_or(text.len()))
}

/// Writes `word` without the access key IDs in it (IAM user guide, "Unique identifiers": AKIA or
/// ASIA and 16 more characters).
fn push_word(word: &str, out: &mut String) {
    let is_token = TOKEN_PREFIXES.iter().any(|prefix| word.starts_with(prefix));
    if is_token && word.len() >= MIN_PREFIXED_TOKEN {
        out.push_str(MASK);
        return;
    }
    let is_upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    let mut rest = word;
    while let Some(at) = rest.find("AKIA").into_iter().chain(rest.find("ASIA")).min() {
        let key = rest[at..].find(|c| !is_upper(c)).unwrap_or(rest.len() - at);
        out.push_str(&rest[..at]);
        out.push_str(if key >= 20 { MASK } else { &rest[at..at + key] });
        rest = &rest[at + key..];
    }
    out.push_str(rest);
}

/// Returns how many bytes of `after` to keep and then how many to hide, given the word before it.
fn secret_after(word: &str, after: &str) -> (usize, usize) {
    let word = word.to_ascii_lowercase();
    if matches!(&*word, "basic" | "bearer") {
        return after_scheme(after).unwrap_or_default();
    }
    let Some(boundary) = Boundary::read(after) else {
        return (0, 0);
    };
    let ends_with = |names: &[&str]| names.iter().any(|name| word.ends_with(name));
    let is_secret = word.contains("x-amz-")
        || ends_with(&SECRET_HEADERS)
        || ends_with(&SECRET_FIELDS) && boundary.kind != BoundaryKind::BareColon
        || ends_with(&SECRET_WORDS) && boundary.kind == BoundaryKind::Field;
    if !is_secret {
        return (0, 0);
    }
    if boundary.kind == BoundaryKind::Colon
        && !word.contains("x-amz-")
        && is_prose(&after[boundary.len..])
    {
        return (0, 0);
    }
    let value = boundary.value_len(&after[boundary.len..]);
    let scheme = &after[boundary.len..boundary.len + value];
    if word.ends_with("authorization")
        && SCHEMES.iter().any(|name| scheme.eq_ignore_ascii_case(name))
    {
        let start = boundary.len + value;
        let gap = after[start..].len() - after[start..].trim_start_matches(' ').len();
        return (start + gap, plain_value_len(&after[start + gap..]));
    }
    (boundary.len, value)
}

/// Whether the text begins with two words of a sentence, as in "authorization: server message".
fn is_prose(text: &str) -> bool {
    let mut words = text
        .split(' ')
        .map(|word| word.trim_end_matches([':', ',', '.', ';']));
    let is_word = |word: &str| {
        let rest = word.strip_prefix(|c: char| c.is_ascii_alphabetic());
        let is_lower = |c: char| c.is_ascii_lowercase() || matches!(c, '-' | '_' | '\'');
        word.len() <= MAX_PROSE_WORD && rest.is_some_and(|rest| rest.chars().all(is_lower))
    };
    let is_scheme = |word: &str| SCHEMES.iter().any(|name| word.eq_ignore_ascii_case(name));
    let first = words.next().unwrap_or_default();
    is_word(first) && !is_scheme(first) && words.next().is_some_and(is_word)
}

/// Finds the credential after `Basic` or `Bearer`, unless it is prose ("Basic auth") or a challenge
/// (`realm=`).
fn after_scheme(after: &str) -> Option<(usize, usize)> {
    let token = after.trim_start_matches([' ', '+']);
    let gap = after.len() - token.len();
    let token = &token[..plain_value_len(token)];
    let bare = token.trim_end_matches(['.', ',', ';', ':', ')', '=']);
    let is_token68 = bare
        .chars()
        .all(|c| is_word(c) || matches!(c, '.' | '~' | '+' | '/'));
    let is_prose = bare.len() <= MAX_PROSE_WORD
        && bare
            .char_indices()
            .all(|(i, c)| c.is_ascii_lowercase() || c == '-' || i == 0);
    (gap > 0 && is_token68 && !is_prose).then_some((gap, token.len()))
}

/// Finds the user information of `://user:password@`.
fn user_info(text: &str) -> Option<(usize, usize)> {
    let authority = text.strip_prefix("://")?;
    let end = authority
        .find(['/', '?', '#', ' ', '"', '\'', '<', '>'])
        .unwrap_or(authority.len());
    Some((3, authority[..end].rfind('@').filter(|&at| at > 0)?))
}

fn plain_value_len(text: &str) -> usize {
    let is_end = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '&' | '"' | '\'' | '`' | '<' | '>' | '\\')
    };
    text.find(is_end).unwrap_or(text.len())
}

/// Returns the length of an equals sign that is escaped for a URL (once or repeatedly), for JSON or
/// for XML.
fn encoded_sign_len(text: &str) -> Option<usize> {
    let starts = |text: &str, sign: &str| {
        text.get(..sign.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(sign))
    };
    let bare = text.trim_start_matches('\\');
    let slashes = text.len() - bare.len();
    if slashes > 0 && starts(bare, "u003d") {
        return Some(slashes + "u003d".len());
    }
    if let Some(entity) = ["&#61;", "&#x3d;", "&equals;"]
        .iter()
        .find(|entity| starts(text, entity))
    {
        return Some(entity.len());
    }
    let escaped = text.strip_prefix('%')?;
    let inner = escaped.trim_start_matches("25");
    starts(inner, "3d").then_some(text.len() - inner.len() + 2)
}

/// The characters between a name and its value.
struct Boundary {
    len: usize,
    kind: BoundaryKind,
    quote: Option<char>,
    is_encoded: bool,
}

#[derive(PartialEq, Eq)]
enum BoundaryKind {
    /// `=`, `%3D`, `":` or `>`: only a field has these.
    Field,
    /// A colon and a space: a field, or prose.
    Colon,
    /// A colon alone: a field, or an ARN.
    BareColon,
}

impl Boundary {
    fn read(text: &str) -> Option<Self> {
        let unquoted = text.trim_start_matches(['\\', '"', '\'']);
        let is_quoted = unquoted.len() < text.len();
        let sign = unquoted.trim_start_matches(' ');
        let encoded = encoded_sign_len(text).or_else(|| encoded_sign_len(sign));
        let is_encoded = encoded.is_some() && sign.starts_with('%');
        let sign = if encoded_sign_len(text).is_some() {
            text
        } else {
            sign
        };
        let after = match sign.as_bytes().first()? {
            _ if encoded.is_some() => &sign[encoded.unwrap_or_default()..],
            b'=' | b':' => &sign[1..],
            b'>' if sign.len() == text.len() => &sign[1..],
            _ => return None,
        };
        let kind = match (sign.starts_with(':'), is_quoted, after.starts_with(' ')) {
            (false, ..) | (true, true, _) => BoundaryKind::Field,
            (true, false, true) => BoundaryKind::Colon,
            (true, false, false) => BoundaryKind::BareColon,
        };
        let value = after.trim_start_matches([' ', '[', '{', '(', '\\']);
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let value = quote.map_or(value, |quote| &value[quote.len_utf8()..]);
        // The mask is a value, although it begins with a bracket.
        let value = if after.trim_start().starts_with(MASK) {
            after.trim_start()
        } else {
            value
        };
        Some(Self {
            len: text.len() - value.len(),
            kind,
            quote,
            is_encoded,
        })
    }

    fn value_len(&self, text: &str) -> usize {
        let Some(quote) = self.quote else {
            let end = plain_value_len(text);
            // In an encoded query, the next parameter begins at an encoded ampersand.
            let next = ["%26", "%2526", "%252526"]
                .iter()
                .filter_map(|sign| text[..end].find(sign));
            return next.min().filter(|_| self.is_encoded).unwrap_or(end);
        };
        let mut is_escaped = false;
        let closing = text.find(|c| {
            let closes = c == quote && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            closes
        });
        closing.unwrap_or(text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(redact(text), expected);
        assert_eq!(redact(expected), expected, "redacting is idempotent");
    }

    #[test]
    fn hides_pre_signed_queries_in_any_escaping() {
        let url = "https://b.s3.us-west-2.amazonaws.com/e501/0462";
        check(
            &format!(
                "Get \"{url}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Security-Token=IQoJ%2Fab%2Bc&x=1\": timeout"
            ),
            &format!(
                "Get \"{url}?X-Amz-Algorithm=[redacted]&X-Amz-Security-Token=[redacted]&x=1\": timeout"
            ),
        );
        check(
            r"?a=1\u0026X-Amz-Signature=0a1b\u0026b=2",
            r"?a=1\u0026X-Amz-Signature=[redacted]\u0026b=2",
        );
        check(
            "?X-Amz-Signature%3D0a1b%26x%3D1 end",
            "?X-Amz-Signature%3D[redacted]%26x%3D1 end",
        );
        check(
            "?a=1&amp;x-amz-credential=AKIA/2019 end",
            "?a=1&amp;x-amz-credential=[redacted] end",
        );
        check(
            "?AWSAccessKeyId=abc&Signature=d%2F%3D&Expires=1",
            "?AWSAccessKeyId=[redacted]&Signature=[redacted]&Expires=1",
        );
        check(
            "'host:h x-amz-security-token:IQoJb3 x'",
            "'host:h x-amz-security-token:[redacted] x'",
        );
    }

    #[test]
    fn hides_authorization_values_and_keeps_prose() {
        check(
            "Authorization: Basic QVdTOmFiYw== and",
            "Authorization: Basic [redacted] and",
        );
        check(
            "map[Authorization:[Bearer abc]]",
            "map[Authorization:[Bearer [redacted]",
        );
        check(
            "{\"Authorization\":\"Basic QVdT\"}",
            "{\"Authorization\":\"[redacted]\"}",
        );
        check(
            "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/x, SignedHeaders=host, Signature=0a1b",
            "Authorization: AWS4-HMAC-SHA256 [redacted] SignedHeaders=host, Signature=[redacted]",
        );
        check("got basic dXNlcjpwYXNz", "got basic [redacted]");
        check(
            "Bearer mF_9.B5f-4.1JqM rejected",
            "Bearer [redacted] rejected",
        );
        for prose in [
            "no basic auth credentials",
            "Basic authentication required.",
            "Basic realm=\"https://1234.dkr.ecr.eu-west-2.amazonaws.com/\",service=\"ecr.amazonaws.com\"",
            "Bearer token invalid",
        ] {
            check(prose, prose);
        }
    }

    #[test]
    fn hides_keys_tokens_and_passwords() {
        check(
            "key ASIAIOSFODNN7EXAMPLE, role AROAIOSFODNN7EXAMPLE",
            "key [redacted], role AROAIOSFODNN7EXAMPLE",
        );
        check("u003dAKIAIOSFODNN7EXAMPLE-x AKIA", "u003d[redacted]-x AKIA");
        check(
            r#"{"SecretAccessKey":"a b\"c,d", "Token" : "t", "Code":"Ok"}"#,
            r#"{"SecretAccessKey":"[redacted]", "Token" : "[redacted]", "Code":"Ok"}"#,
        );
        check(
            "<SessionToken>IQoJ/+=</SessionToken>",
            "<SessionToken>[redacted]</SessionToken>",
        );
        check(
            "https://user:pass@proxy:3128/x@y",
            "https://[redacted]@proxy:3128/x@y",
        );
        check(
            &format!("message: {}.", "Ab+/".repeat(80)),
            "message: [redacted].",
        );
        check("Authorization: é", "Authorization: [redacted]");
    }

    #[test]
    fn hides_values_that_were_wrapped_or_escaped() {
        check(
            "?X-Amz-Signature=0a1b2c3d 4e5f6071 8293a4b5 end of it",
            "?X-Amz-Signature=[redacted] end of it",
        );
        check(
            "Authorization: Basic QVdTOmV5Snd ZWGxzYjJGa0lq b2k9 and",
            "Authorization: Basic [redacted] and",
        );
        check(
            "\"SessionToken\": \"IQoJb3JpZ2lu\" is expired",
            "\"SessionToken\": \"[redacted]\" is expired",
        );
        check(
            r"x-amz-signature\u003d0a1b\u0026x",
            r"x-amz-signature\u003d[redacted]\u0026x",
        );
        check(
            r"x-amz-signature\\u003d0a1b end",
            r"x-amz-signature\\u003d[redacted] end",
        );
        check(
            "X-Amz-Signature%253D0a1b%2526x%253D1",
            "X-Amz-Signature%253D[redacted]%2526x%253D1",
        );
        check(
            "x-amz-credential&#61;AKIA/2019 end",
            "x-amz-credential&#61;[redacted] end",
        );
        let lines = ["QVdTOmV5SndZWGxzYjJGa0lqb2k".repeat(2), "Zm9v".into()];
        let token = [&*lines[0]; 5].join(" ") + " " + &lines[1];
        check(&format!("token {token} is"), "token [redacted] is");
    }

    #[test]
    fn hides_tokens_that_are_known_by_their_form() {
        check(
            "with ghp_abcdefghijklmnopqrstuvwxyz0123 and glpat-abcdefghijklmnopqrst.",
            "with [redacted] and [redacted].",
        );
        check(
            "got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r.",
            "got [redacted].",
        );
    }

    #[test]
    fn ordinary_words_stay() {
        for prose in [
            "repository does not exist or may require authorization: server message: insufficient_scope",
            "WebIdentityToken: expired token in the request",
            "InvalidIdentityToken: Incorrect token audience",
            "access_token: not found",
            "pull access denied, repository does not exist or may require 'docker login': denied: requested access",
            "sk-learn and npm_config are not tokens",
        ] {
            check(prose, prose);
        }
    }

    #[test]
    fn keeps_error_messages_and_arns() {
        for text in [
            "User: arn:aws:sts::111122223333:assumed-role/r/s is not authorized to perform: secretsmanager:GetSecretValue \
             on resource: arn:aws:secretsmanager:eu-west-1:111122223333:secret:access_token:password:: because no \
             identity-based policy allows it",
            "Signature expired: 20171218T075729Z is now earlier than 20171218T080647Z (20171218T081147Z - 5 min.)",
            "The security token included in the request is invalid.",
            "arn:aws:s3:::prod-us-west-2-starport-layer-bucket/e501-012345678910-9cb60dc0-7284-5643-3987-da6dac0465f0/\
             04620aac-66a5-4167-8232-55ee7ef6d565",
            "sha256:79ab9c392fd2923886cd7d56fdbc7d3ee2c99c71849122b5afd5a8e31220ad13",
            "api/auth: 3 tries, token: expired, naïve “quotes” ✓",
            "",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn shortens_and_joins_at_character_boundaries() {
        assert_eq!(shorten("äöü", 2), "äö");
        assert_eq!(shorten("ä", 2), "ä");
        assert_eq!(one_line(" a\r\n\tb\u{0}\u{202e}c\u{1b}[0m "), "a b c [0m");
    }
}
