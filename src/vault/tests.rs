use super::*;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

const SECRET: &str = "wJalr/XUtnFEMI+K7MDENG\"bPxRfiCY<EXAMPLE>KEY ü";

fn vault(secrets: &[&str]) -> Vault {
    let vault = Vault::default();
    for secret in secrets {
        vault.add_value(secret);
    }
    vault
}

/// Returns what is left of the text that `secret` is put into.
fn shown(vault: &Vault, text: &str) -> String {
    let mut text = SafeText::foreign(text, 10_000);
    vault.scrub(&mut text);
    text.into_string()
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().concat()
}

/// Every way in which a server may write a secret.
fn encodings(secret: &str) -> Vec<(&'static str, String)> {
    let base64 = |before: &str| STANDARD.encode(format!("{before}{secret}"));
    let url_safe = |before: &str| URL_SAFE_NO_PAD.encode(format!("{before}{secret}"));
    let json = serde_json::to_string(secret).unwrap();
    let unicode = join(secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")));
    let percent = join(secret.bytes().map(|byte| format!("%{byte:02X}")));
    let escaped = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let entities = join(secret.chars().map(|c| format!("&#{};", u32::from(c))));
    let hex_entities = join(secret.chars().map(|c| format!("&#x{:X};", u32::from(c))));
    let named = secret
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;");
    let wrapped: String = secret
        .chars()
        .enumerate()
        .flat_map(|(n, c)| (n % 5 == 4).then_some('\n').into_iter().chain([c]))
        .collect();
    let hidden: String = secret.chars().flat_map(|c| [c, '\u{200b}']).collect();
    let utf16: Vec<u8> = secret.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let octal = join(secret.bytes().map(|byte| format!("\\{byte:03o}")));
    let in_a_name = secret
        .replace('"', "\\\"")
        .replace('<', "\\<")
        .replace('>', "\\>")
        .replace('+', "\\+");
    vec![
        ("raw", secret.to_owned()),
        ("upper", secret.to_uppercase()),
        ("lower", secret.to_lowercase()),
        ("wrapped", wrapped),
        ("hidden", hidden),
        ("base64", base64("")),
        ("base64+1", base64("a")),
        ("base64+2", base64("ab")),
        ("login", base64("AWS:")),
        ("url-safe base64", url_safe("")),
        ("url-safe base64+1", url_safe("a")),
        ("url-safe base64+2", url_safe("ab")),
        ("hex", hex::encode(secret)),
        ("HEX", hex::encode_upper(secret)),
        ("json", json.clone()),
        ("json in json", serde_json::to_string(&json).unwrap()),
        ("\\u", unicode),
        ("percent", percent),
        ("percent escaped", escaped.clone()),
        (
            "percent twice",
            utf8_percent_encode(&escaped, NON_ALPHANUMERIC).to_string(),
        ),
        (
            "percent of base64",
            utf8_percent_encode(&base64("a"), NON_ALPHANUMERIC).to_string(),
        ),
        ("base64 of base64", STANDARD.encode(base64(""))),
        ("base64 of hex", STANDARD.encode(hex::encode(secret))),
        ("hex of base64", hex::encode(base64("ab"))),
        ("entities", entities),
        ("hex entities", hex_entities),
        ("named entities", named),
        ("UTF-16 in hex", hex::encode(&utf16)),
        ("UTF-16 in base64", STANDARD.encode(&utf16)),
        ("octal", octal),
        ("a certificate's name", in_a_name),
        ("base64 in lower case", base64("").to_lowercase()),
        ("base64+1 in lower case", base64("a").to_lowercase()),
        (
            "url-safe base64+2 in lower case",
            url_safe("ab").to_lowercase(),
        ),
    ]
}

/// Fails if eight characters in a row of `encoded`, or of the secret, are in `text`.
fn check_gone(text: &str, encoded: &str, what: &str) {
    let (text, encoded) = (text.to_lowercase(), encoded.to_lowercase());
    for secret in [SECRET.to_lowercase(), encoded] {
        let chars: Vec<char> = secret.chars().collect();
        for window in chars.windows(8) {
            let window: String = window.iter().collect();
            // An escape alone proves nothing.
            let is_escape = !window.chars().any(|c| c.is_ascii_alphanumeric());
            assert!(
                is_escape || !text.contains(&window),
                "{what}: {window:?} in {text:?}"
            );
        }
    }
}

#[test]
fn a_secret_is_found_in_every_encoding_and_place() {
    let vault = vault(&[SECRET]);
    for (what, encoded) in encodings(SECRET) {
        for text in [
            encoded.clone(),
            format!("the value '{encoded}' is wrong"),
            format!("{{\"message\":\"{encoded}\"}}"),
            format!("https://h.example/x?y={encoded}&z=1"),
            format!("x{encoded}"),
        ] {
            let shown = shown(&vault, &text);
            assert!(shown.contains(MASK), "{what}: {shown}");
            check_gone(&shown, &encoded, what);
        }
    }
}

#[test]
fn eight_characters_of_a_secret_are_enough() {
    let vault = vault(&["correct-horse-battery-staple"]);
    assert_eq!(
        shown(&vault, "no such value: horse-ba"),
        "no such value: horse-ba".replace("horse-ba", MASK)
    );
    assert_eq!(
        shown(&vault, "horse-b is not enough"),
        "horse-b is not enough"
    );
    let cut = STANDARD.encode("correct-horse-battery-staple");
    assert_eq!(shown(&vault, &cut[..8]), MASK);
    assert_eq!(shown(&vault, &cut[3..14]), MASK);
    // Of a host's name.
    for start in 0..20 {
        let part = cut[start..start + 12].to_lowercase();
        let host = format!("{part}.example.com");
        assert_eq!(
            shown(&vault, &host),
            format!("{MASK}.example.com"),
            "{part}"
        );
    }
    let nested = STANDARD.encode(hex::encode("horse-battery"));
    assert_eq!(
        shown(&vault, &format!("and noise AbCd {}", &nested[..17])),
        format!("and noise AbCd {MASK}")
    );
}

#[test]
fn text_without_secrets_stays() {
    let database = r#"{"username":"postgres","password":"s3cr3t-Passw0rd!","engine":"postgres","port":5432,
        "host":"shop.cluster-abc.eu-west-1.rds.amazonaws.com","dbInstanceIdentifier":"shop","url":"https://example.com/a"}"#;
    let vault = vault(&[database]);
    vault.add_public(
        r#"{"host":"api.ecr.eu-west-1.amazonaws.com","secrets":["arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/shop-AbCdEf"]}"#,
    );
    for text in [
        "User: arn:aws:sts::123456789012:assumed-role/ecsTaskExecutionRole/17cb is not authorized to perform: \
         secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/shop-AbCdEf \
         because no identity-based policy allows the secretsmanager:GetSecretValue action",
        "api.ecr.eu-west-1.amazonaws.com",
        "authorization: server message",
        "WebIdentityToken: expired",
        "may require authorization: server message: insufficient_scope",
        "https://h.example/b",
        "password authentication failed for user \"postgres\"",
        "CN=Corporate Proxy CA, O=Example, C=US",
    ] {
        assert_eq!(shown(&vault, text), text);
    }
    assert_eq!(
        shown(
            &vault,
            "FATAL: s3cr3t-Passw0rd! at shop.cluster-abc.eu-west-1.rds.amazonaws.com"
        ),
        "FATAL: [redacted] at [redacted]"
    );
}

#[test]
fn a_short_secret_counts_as_a_whole_word() {
    let vault = vault(&[r#"{"a":"hunter2","b":"p4:x","c":"dev","d":4711,"e":true,"f":"test"}"#]);
    assert_eq!(
        shown(&vault, "login hunter2 failed"),
        "login [redacted] failed"
    );
    assert_eq!(shown(&vault, "login=hunter2&x"), "login=[redacted]&x");
    assert_eq!(shown(&vault, "app:p4:x"), "app:[redacted]");
    assert_eq!(shown(&vault, &STANDARD.encode("app:hunter2!")), MASK);
    for text in ["hunter22", "xhunter2", "a dev test took 4711 ms", "true"] {
        assert_eq!(shown(&vault, text), text);
    }
}

#[test]
fn what_a_request_proves_itself_with_is_secret() {
    let vault = Vault::default();
    vault.add_authorization("Basic QVdTOmV5SndZWGxzYjJGa0lqb2k=");
    vault.add_authorization(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLEKEY/20261123/eu-west-1/ecr/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, Signature=63e1ef0f863520f0e92bfb01d9fb5fe9",
    );
    vault.add_query("/layer?X-Amz-Credential=ASIAQUERYKEY1234%2F20261123&X-Amz-Signature=0a1b2c3d4e5f&X-Amz-Expires=36000000");
    vault.add_user_info("http://proxy-user:proxy%2Dpass@proxy.example:3128/");
    for (text, expected) in [
        ("QVdTOmV5SndZWGxzYjJGa0lqb2k=", MASK),
        ("eyJwYXlsb2FkIjoi", MASK),
        (
            "password eyJwYXlsb2FkIjoi of AWS",
            "password [redacted] of AWS",
        ),
        ("eyJwYXlsb2FkIjoi:AWS", "[redacted]:AWS"),
        ("63e1ef0f863520f0", MASK),
        ("AKIDEXAMPLEKEY", MASK),
        ("asiaquerykey1234.example.com", "[redacted].example.com"),
        ("0a1b2c3d4e5f", MASK),
        ("proxy-user and proxy-pass", "[redacted] and [redacted]"),
        (
            "SignedHeaders=content-type;host;x-amz-date, 20261123 36000000",
            "SignedHeaders=content-type;host;x-amz-date, 20261123 36000000",
        ),
        ("proxy.example:3128", "proxy.example:3128"),
    ] {
        assert_eq!(shown(&vault, text), expected, "{text}");
    }
}

#[test]
fn words_of_this_program_are_never_masked() {
    let vault = vault(&["the image index does not contain"]);
    let mut text = crate::safe_text::safe_text![
        "the image index does not contain ",
        "the image index".to_owned()
    ];
    vault.scrub(&mut text);
    assert_eq!(text, "the image index does not contain [redacted]");
}

#[test]
fn beyond_the_limit_nothing_foreign_is_shown() {
    const KEPT: &str = "k3pt-before-th3-limit";
    let vault = vault(&[KEPT]);
    let mut seed = 1_u64;
    for _ in 0..10 {
        let value: String = (0..64 * 1024)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from(b'a' + (seed >> 33).to_le_bytes()[0] % 26)
            })
            .collect();
        vault.add_value(&value);
    }
    assert!(vault.lock().secret.len() <= MAX_FINGERPRINTS);
    assert_eq!(shown(&vault, "anything"), MASK);
    let mut host = "api.ecr.eu-west-1.amazonaws.com".to_owned();
    vault.scrub_name(&mut host);
    assert_eq!(host, "api.ecr.eu-west-1.amazonaws.com", "names stay");
    let mut host = format!("{KEPT}.example.com");
    vault.scrub_name(&mut host);
    assert_eq!(host, format!("{MASK}.example.com"), "a secret does not");
}

#[test]
fn a_secret_that_is_added_again_takes_no_room() {
    let vault = vault(&[SECRET]);
    let kept = vault.lock().secret.len();
    for _ in 0..1_000 {
        vault.add_value(SECRET);
    }
    assert_eq!(vault.lock().secret.len(), kept);
    assert!(!vault.lock().is_full);
}

#[test]
fn comparing_takes_bounded_time() {
    let vault = vault(&[SECRET]);
    let mut nested = "A".repeat(700);
    for _ in 0..4 {
        nested = STANDARD.encode(nested);
    }
    for text in [
        "%25".repeat(3_000),
        nested,
        "41".repeat(5_000),
        "aB3+".repeat(2_500),
        "\\u0041".repeat(1_600),
    ] {
        let started = std::time::Instant::now();
        shown(&vault, &text);
        assert!(
            started.elapsed() < std::time::Duration::from_secs(1),
            "{text:.20}"
        );
    }
}

#[test]
fn knows_the_names_of_the_plan_and_ids_of_aws() {
    let vault = Vault::default();
    vault.add_public("arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/shop");
    vault.add_known("arn:aws:iam::123456789012:role/ecsTaskExecutionRole");
    for known in [
        "*",
        "secretsmanager:GetSecretValue",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/shop-AbCdEf",
        "arn:aws:sts::123456789012:assumed-role/ecsTaskExecutionRole/0123456789abcdef0123456789abcdef",
        "arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012",
    ] {
        assert!(vault.is_known(known), "{known}");
    }
    for foreign in [
        "CANARY-0001",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:CANARY-0001",
        "arn:aws:iam::123456789012:role/wJalrXUtnFEMI",
    ] {
        assert!(!vault.is_known(foreign), "{foreign}");
    }
}

#[test]
fn words_of_a_passphrase_are_found_in_base64() {
    let vault = vault(&["zebra horse lemon paint"]);
    for before in ["", "a", "ab"] {
        let encoded = URL_SAFE_NO_PAD.encode(format!("{before}zebra horse lemon paint"));
        assert_eq!(shown(&vault, &encoded), MASK);
    }
}
