//! Whether a secret can be read from what the vault lets through, whatever is around it. The check
//! encodes and searches by itself and shares no code with the vault. Used by a test with seeds and by
//! a fuzz target.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use pullprobe::safe_text::{MAX_FOREIGN_CHARS, is_hidden, visible};
use pullprobe::vault::Vault;

/// Consecutive characters of a secret that no output may contain.
const KNOWN: usize = 8;

/// Characters of secrets. Every third one is a digit, so that no English word is part of a secret.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/+=_-.%&";

/// How a server repeats a secret, and how many characters of it contain [`KNOWN`] of the secret.
type Encoding = (fn(&str) -> String, usize);

fn each_byte(secret: &str, encoded: fn(u8) -> String) -> String {
    secret.bytes().map(encoded).collect::<Vec<_>>().concat()
}

const ENCODINGS: [Encoding; 9] = [
    (|secret| secret.to_owned(), KNOWN),
    (|secret| STANDARD.encode(secret), 12),
    (|secret| STANDARD.encode(format!("x{secret}")), 12),
    (|secret| STANDARD.encode(format!("xy{secret}")), 12),
    (|secret| URL_SAFE_NO_PAD.encode(secret), 12),
    (
        |secret| each_byte(secret, |byte| format!("%{byte:02X}")),
        3 * KNOWN,
    ),
    (
        |secret| each_byte(secret, |byte| format!("\\u{byte:04x}")),
        6 * KNOWN,
    ),
    (
        |secret| each_byte(secret, |byte| format!("{byte:02x}")),
        2 * KNOWN,
    ),
    (
        |secret| secret[secret.len() / 2 - KNOWN / 2 - 1..][..KNOWN + 2].to_owned(),
        KNOWN,
    ),
];

/// Plants a secret, all of which the bytes choose. Panics if it can be read.
pub fn check(bytes: &[u8]) {
    let [length, encoding, split, rest @ ..] = bytes else {
        return;
    };
    let length = 2 * KNOWN + usize::from(*length) % 40;
    let (key, around) = rest.split_at(rest.len().min(length));
    let secret: String = (0..length)
        .map(|n| {
            let byte = usize::from(key.get(n).copied().unwrap_or(31)) + n;
            char::from(if n % 3 == 2 {
                b"0123456789"[byte % 10]
            } else {
                LETTERS[byte % LETTERS.len()]
            })
        })
        .collect();
    let around = String::from_utf8_lossy(around);
    let at = around.floor_char_boundary(usize::from(*split).min(around.len()));
    let (before, after) = around.split_at(at);
    let (encode, window) = ENCODINGS[usize::from(*encoding) % ENCODINGS.len()];
    let encoded = encode(&secret);

    let vault = Vault::default();
    vault.add(&secret);
    // Whole words, and what a server put directly before and after.
    for text in [
        format!("{before} {encoded} {after}"),
        format!("{before}: \"{encoded}\", {after}"),
    ] {
        let shown = visible(&text, MAX_FOREIGN_CHARS);
        assert!(!shown.chars().any(is_hidden), "{shown:?}");
        assert_eq!(
            visible(&shown, usize::MAX),
            shown,
            "visible text stays as it is"
        );
        let redacted = vault.redact(&shown);
        let read = (0..encoded.len().saturating_sub(window - 1))
            .filter_map(|at| encoded.get(at..at + window))
            // The padding is not of the secret.
            .find(|part| !part.ends_with('=') && redacted.contains(part));
        assert!(read.is_none(), "{read:?} of {secret:?} is in {redacted:?}");
        assert_eq!(
            vault.redact(&redacted),
            redacted,
            "what is redacted stays as it is"
        );
    }
    // What is no secret stays: a run that holds another one shows the text.
    let other = Vault::default();
    other.add("Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7");
    let shown = visible(&around, MAX_FOREIGN_CHARS);
    assert_eq!(other.redact(&shown), shown);
}
