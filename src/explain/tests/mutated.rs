//! Mutated messages: cut, with words missing, with numbers changed, two concatenated.
//! Deterministic: every cut and every missing word, and a fixed sequence of random numbers for the
//! rest.

use super::corpus::{Labeled, corpus};
use super::held_out;
use crate::cause::Family;
use crate::diagnose::Confidence;
use crate::explain::{Explanation, Step, explain};

/// Whether failures of the family occur before a service responds.
fn is_path_family(family: Family) -> bool {
    matches!(family, Family::Network | Family::Resolve | Family::Tls)
}

/// Asserts what holds for every text.
fn check(text: &str) -> Explanation {
    let explained = explain(text);
    if is_path_family(explained.family) {
        for finding in &explained.findings {
            assert_ne!(
                finding.confidence,
                Confidence::Certain,
                "{} is certain for: {text}",
                finding.cause
            );
        }
    }
    assert_eq!(explained.exit_code(), explained.family.exit_code());
    assert!(!explained.next.is_empty(), "no next command for: {text}");
    explained
}

/// Whether a message is about a failure of the path, which must never be explained as a denial.
fn is_path_failure(labeled: &Labeled) -> bool {
    labeled.family.ends_with("network") || ["dns", "env-file"].contains(&labeled.family.as_str())
}

fn path_failures() -> Vec<Labeled> {
    let held_out = held_out::path_failures()
        .into_iter()
        .map(|message| Labeled {
            message,
            family: "network".to_owned(),
            cause: String::new(),
        });
    corpus()
        .into_iter()
        .filter(is_path_failure)
        .chain(held_out)
        .collect()
}

fn assert_no_permission(text: &str) {
    let explained = check(text);
    assert_ne!(explained.family, Family::Permission, "{text}");
    let denied = explained.findings.iter().find(|finding| {
        // A text that is cut before its reason, after a single attempt, may be about any error that
        // a service returns.
        finding.family == Family::Permission && explained.family != Family::Unknown
    });
    assert_eq!(denied, None, "{text}");
}

/// A linear congruential generator (Knuth's MMIX constants): the same numbers on every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }
}

#[test]
fn any_cut_is_safe() {
    for labeled in corpus() {
        for end in 0..=labeled.message.len() {
            let text = String::from_utf8_lossy(&labeled.message.as_bytes()[..end]).into_owned();
            if is_path_failure(&labeled) {
                assert_no_permission(&text);
            } else {
                check(&text);
            }
            // Users rarely paste an end without its beginning, so every seventh is enough.
            if end % 7 > 0 {
                continue;
            }
            let tail = String::from_utf8_lossy(&labeled.message.as_bytes()[end..]).into_owned();
            if is_path_failure(&labeled) {
                assert_no_permission(&tail);
            } else {
                check(&tail);
            }
        }
    }
}

/// A cut message may become unknown, but once it names the step, the step stays.
#[test]
fn cuts_do_not_change_the_step() {
    let text = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: \
                unable to retrieve ecr registry auth: service call has been retried 3 time(s): RequestError: send request \
                failed caused by: Post \"https://api.ecr.us-west-2.amazonaws.com/\": dial tcp 52.94.184.143:443: i/o timeout";
    let whole = text.len();
    for end in (text.find("registry auth: service").unwrap() + 13)..whole {
        let explained = explain(&text[..end]);
        assert_eq!(explained.step, Step::RegistryAuth, "{}", &text[..end]);
        assert!(
            matches!(explained.family, Family::Unknown | Family::Network),
            "{}",
            &text[..end]
        );
    }
}

#[test]
fn missing_words_do_not_turn_a_timeout_into_a_denial() {
    for labeled in path_failures() {
        let words: Vec<&str> = labeled.message.split(' ').collect();
        for lost in 0..words.len() {
            for length in 1..=3 {
                let kept = words
                    .iter()
                    .enumerate()
                    .filter(|(n, _)| !(lost..lost + length).contains(n));
                assert_no_permission(&kept.map(|(_, word)| *word).collect::<Vec<_>>().join(" "));
            }
        }
    }
}

#[test]
fn changed_numbers_do_not_turn_a_timeout_into_a_denial() {
    let mut numbers = Numbers(7);
    for labeled in path_failures() {
        for _ in 0..40 {
            let text: String = labeled
                .message
                .chars()
                .map(|c| {
                    if c.is_ascii_digit() {
                        char::from(b'0' + u8::try_from(numbers.below(10)).unwrap())
                    } else {
                        c
                    }
                })
                .collect();
            assert_no_permission(&text);
        }
    }
}

#[test]
fn of_two_messages_the_path_failure_comes_first() {
    let all = corpus();
    // If a reason is cut after `retried 5 time(s): failed to fetch`, the message that follows is
    // taken for its end.
    let is_cut = |text: &str| text.ends_with("failed to fetch") || text.ends_with("...");
    for labeled in path_failures()
        .into_iter()
        .filter(|labeled| !is_cut(&labeled.message))
    {
        for other in &all {
            let first = check(&format!("{}{}", labeled.message, other.message));
            assert_ne!(
                first.family,
                Family::Permission,
                "{} + {}",
                labeled.message,
                other.message
            );
            let last = check(&format!("{}\n\n{}", other.message, labeled.message));
            assert_ne!(
                last.family,
                Family::Permission,
                "{} + {}",
                other.message,
                labeled.message
            );
        }
    }
}

/// Formatting changes neither the step nor the family.
#[test]
fn formatting_does_not_change_the_explanation() {
    let entities = |text: &str| {
        text.replace('&', "&amp;")
            .replace('"', "&quot;")
            .replace('\'', "&#39;")
            .replace('<', "&lt;")
    };
    let narrow = |text: &str, width: usize| {
        let chars: Vec<char> = text.chars().collect();
        chars
            .chunks(width)
            .map(|line| line.iter().collect::<String>())
            .collect::<Vec<_>>()
    };
    let words = |text: &str, count: usize| {
        let words: Vec<&str> = text.split(' ').collect();
        let lines = words.chunks(count).map(|line| line.join(" "));
        lines.collect::<Vec<_>>()
    };
    for labeled in corpus() {
        let original = explain(&labeled.message);
        let text = &labeled.message;
        let formatted = [
            ("wrapped at words", text.replace(' ', "\n   ")),
            ("wrapped anywhere", narrow(text, 23).join("\n")),
            (
                "quoted in an email",
                format!("> {}", narrow(text, 71).join("\n> ")),
            ),
            (
                "in a comment of a shell",
                format!("# {}", narrow(text, 71).join("\n# ")),
            ),
            (
                "in a comment of a program",
                format!("  // {}\n  // x", narrow(text, 61).join("\n  // ")),
            ),
            (
                "in a block comment",
                format!("/**\n * {}\n */", narrow(text, 67).join("\n * ")),
            ),
            (
                "in a table",
                format!("| {} |", words(text, 6).join(" |\n| ")),
            ),
            ("escaped", entities(text)),
            ("escaped twice", entities(&entities(text))),
            ("in JSON", serde_json::to_string(text).unwrap()),
            ("with typographic quotes", text.replace('\'', "\u{2019}")),
            ("in upper case", text.to_uppercase()),
            (
                "in a service event",
                format!("(service web-7) was unable to place a task. Reason: {text}"),
            ),
            (
                "in a German email",
                format!(
                    "Hallo zusammen,\n\nseit gestern startet unser Dienst nicht mehr, die Meldung lautet:\n\n«{text}»\n\nHat jemand eine Idee? Grüße, Jörg"
                ),
            ),
            (
                "in a Japanese email",
                format!(
                    "タスクが起動しません。エラーは次の通りです：\n「{text}」\nよろしくお願いします。"
                ),
            ),
            (
                "masked",
                text.replace(
                    |c: char| c.is_ascii_digit() && !text.contains("dial tcp"),
                    "x",
                ),
            ),
        ];
        for (how, formatted) in formatted {
            let explained = check(&formatted);
            if how == "masked" && explained.family == Family::Unknown {
                continue;
            }
            assert_eq!(explained.family, original.family, "{how}: {formatted}");
            if how != "masked" && how != "in upper case" {
                assert_eq!(explained.step, original.step, "{how}: {formatted}");
            }
        }
    }
}

#[test]
fn noise_is_safe() {
    let mut numbers = Numbers(11);
    let messages: Vec<Vec<char>> = corpus()
        .iter()
        .map(|labeled| labeled.message.chars().collect())
        .collect();
    let odd = [
        '\0',
        '\u{feff}',
        '&',
        '<',
        '>',
        '\\',
        '"',
        '’',
        '\u{1f600}',
        ':',
        '\n',
        'ß',
        '(',
    ];
    for _ in 0..3_000 {
        let mut text = messages[numbers.below(messages.len())].clone();
        for _ in 0..=numbers.below(12) {
            let at = numbers.below(text.len());
            match numbers.below(4) {
                0 => text.insert(at, odd[numbers.below(odd.len())]),
                1 => drop(text.drain(at..(at + numbers.below(9)).min(text.len()))),
                2 => text.truncate(at.max(1)),
                _ => {
                    let other = &messages[numbers.below(messages.len())];
                    let from = numbers.below(other.len());
                    text.splice(at..at, other[from..].iter().take(40).copied());
                }
            }
            if text.is_empty() {
                text.push('x');
            }
        }
        check(&text.into_iter().collect::<String>());
    }
}
