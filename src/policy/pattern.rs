//! Wildcards and policy variables.

use super::request::{ContextValue, PolicyRequest};
use super::truth::Truth;

/// A piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// This character.
    Char(char),
    /// `?`
    One,
    /// `*`
    Many,
}

/// Whether `text` matches a pattern with `*` and `?`.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    matches_pieces(&pieces(pattern), &text.chars().collect::<Vec<_>>())
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let piece = |c| match c {
        '*' => Piece::Many,
        '?' => Piece::One,
        c => Piece::Char(c),
    };
    pattern.chars().map(piece).collect()
}

/// Matches while backtracking to the last `*` only, which suffices and bounds the time by the
/// product of both lengths.
fn matches_pieces(pattern: &[Piece], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Piece::Many) => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(Piece::One) => {
                p += 1;
                t += 1;
            }
            Some(Piece::Char(c)) if *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((after, at)) => {
                    star = Some((after, at + 1));
                    p = after;
                    t = at + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|piece| *piece == Piece::Many)
}

/// Whether a resource matches an ARN pattern. IAM compares segment by segment, and only a `*` at
/// the end of a segment reaches beyond a colon (IAM user guide, "IAM JSON policy elements:
/// Resource"). A match that needs more is unknown.
pub(super) fn matches_resource(pattern: &str, resource: &str) -> Truth {
    if pattern == "*" {
        return Truth::Yes;
    }
    if !matches(pattern, resource) {
        return Truth::No;
    }
    let segments: Vec<_> = pattern.split(':').collect();
    let parts: Vec<_> = resource.split(':').collect();
    if matches_segments(&segments, &parts) {
        Truth::Yes
    } else {
        Truth::unknown(format!(
            "the wildcard in {pattern} would have to match across a colon"
        ))
    }
}

fn matches_segments(segments: &[&str], parts: &[&str]) -> bool {
    match (segments, parts) {
        ([], []) => true,
        ([first, rest @ ..], parts) if first.ends_with('*') => (1..=parts.len()).any(|taken| {
            matches(first, &parts[..taken].join(":")) && matches_segments(rest, &parts[taken..])
        }),
        ([first, rest @ ..], [part, parts @ ..]) => {
            matches(first, part) && matches_segments(rest, parts)
        }
        _ => false,
    }
}

/// Whether two ARNs match as `ArnLike` and `ArnEquals` compare them, each of the six parts by
/// itself (IAM user guide, "Condition operators"). Not parsed as [`crate::arn::Arn`]: a pattern may
/// have empty parts.
pub(super) fn matches_arn(pattern: &str, arn: &str) -> bool {
    let split = |text: &str| text.splitn(6, ':').map(str::to_owned).collect::<Vec<_>>();
    let (pattern, arn) = (split(pattern), split(arn));
    pattern.len() == arn.len()
        && pattern
            .iter()
            .zip(&arn)
            .all(|(pattern, part)| matches(pattern, part))
}

/// Replaces policy variables, such as `${aws:PrincipalAccount}`, with their values. Fails with the
/// name of a variable whose value is not known. Policies of version 2008-10-17 have no variables.
pub(super) fn fill_in(text: &str, request: &PolicyRequest) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((variable, after)) = after.split_once('}') else {
            break;
        };
        out.push_str(before);
        rest = after;
        let (name, default) = match variable.split_once(',') {
            Some((name, default)) => (name.trim(), Some(default.trim().trim_matches('\''))),
            None => (variable.trim(), None),
        };
        // These stand for the literal characters, which this comparison cannot tell from wildcards.
        if matches!(name, "*" | "?" | "$") {
            return Err(format!("the character ${{{name}}}"));
        }
        match request.value(name) {
            Some(ContextValue::Known(values)) if values.len() == 1 => out.push_str(&values[0]),
            Some(ContextValue::Absent) if default.is_some() => {
                out.push_str(default.unwrap_or_default());
            }
            _ => return Err(format!("the policy variable ${{{name}}}")),
        }
    }
    out.push_str(rest);
    Ok(out)
}
