//! Checks whether a secret's value has the required shape. Only the shape is reported, never the
//! value.

use std::collections::BTreeSet;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::observation::{Answer, Failure, Observation, Outcome};
use crate::safe_text::{SafeText, safe_text};
use crate::vault::Vault;

/// Why a secret's value cannot be used. Contains no part of the value.
#[derive(Debug, PartialEq, Eq)]
pub struct ShapeMismatch {
    code: &'static str,
    detail: SafeText,
}

impl ShapeMismatch {
    fn not_json(detail: impl Into<SafeText>) -> Self {
        Self {
            code: "NotJson",
            detail: detail.into(),
        }
    }

    fn missing_key(detail: impl Into<SafeText>) -> Self {
        Self {
            code: "JsonKeyMissing",
            detail: detail.into(),
        }
    }

    /// Returns the observation of the call that read the secret as a failure with this mismatch.
    pub fn into_observation(self, mut observation: Observation, answer: Answer) -> Observation {
        observation.outcome = Outcome::Failed {
            failure: Failure::WrongForm,
        };
        observation.detail = self.detail;
        observation.answer = Some(Answer {
            code: self.code.into(),
            ..answer
        });
        observation
    }
}

/// User name and password for a registry.
#[derive(Debug)]
pub struct RegistryCredentials {
    pub username: SecretString,
    /// Password or access token.
    pub password: SecretString,
}

/// Response of GetSecretValue.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SecretValue {
    secret_string: Option<String>,
    /// In Base64.
    secret_binary: Option<String>,
}

/// Adds the value in a response of GetSecretValue to the vault.
pub fn hold(body: &[u8], vault: &Vault) {
    if let Ok(SecretValue {
        secret_string,
        secret_binary,
    }) = serde_json::from_slice(body)
    {
        for value in secret_string.into_iter().chain(secret_binary) {
            vault.add_value(SecretString::from(value).expose_secret());
        }
    }
}

/// Why a response of GetSecretValue has no text.
#[derive(Debug, Clone, Copy)]
enum NoText {
    Binary,
    Missing,
}

impl From<NoText> for ShapeMismatch {
    fn from(no_text: NoText) -> Self {
        match no_text {
            NoText::Binary => Self {
                code: BINARY,
                detail: "the secret is binary, and ECS reads SecretString only".into(),
            },
            NoText::Missing => Self::not_json("the response contains no SecretString"),
        }
    }
}

/// `answer.code` of a secret that was stored as binary.
pub const BINARY: &str = "SecretBinary";

/// The detail of a binary secret without a JSON key: the ECS agent passes an empty value on
/// (`GetSecretFromASMWithInput`).
pub const BINARY_DETAIL: &str = "present, binary: ECS passes an empty value to the container";

fn text_of(body: &[u8]) -> Result<SecretString, NoText> {
    match serde_json::from_slice(body) {
        Ok(SecretValue {
            secret_string: Some(text),
            ..
        }) => Ok(text.into()),
        Ok(SecretValue {
            secret_binary: Some(_),
            ..
        }) => Err(NoText::Binary),
        _ => Err(NoText::Missing),
    }
}

/// The keys of a JSON object. Its values are skipped.
struct Keys(BTreeSet<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Keys;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Keys, A::Error> {
                let mut keys = BTreeSet::new();
                while let Some((key, IgnoredAny)) = entries.next_entry()? {
                    keys.insert(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

fn keys_of(value: &SecretString) -> Option<BTreeSet<String>> {
    let keys: Option<Keys> = serde_json::from_str(value.expose_secret()).ok();
    keys.map(|keys| keys.0)
}

/// Describes a secret's value. Fails if `json_key` is required and missing.
pub fn check_secret(body: &[u8], json_key: Option<&str>) -> Result<SafeText, ShapeMismatch> {
    let value = match (text_of(body), json_key) {
        (Ok(value), _) => value,
        (Err(NoText::Binary), None) => return Ok(BINARY_DETAIL.into()),
        (Err(no_text), _) => return Err(no_text.into()),
    };
    match (keys_of(&value), json_key) {
        (None, None) => Ok("present, not a JSON object".into()),
        (Some(keys), None) => Ok(safe_text![
            "present, a JSON object with ",
            count(keys.len())
        ]),
        (Some(keys), Some(key)) if keys.contains(key) => Ok(safe_text![
            "present, a JSON object with ",
            count(keys.len()),
            ", including the required one",
        ]),
        (Some(keys), Some(key)) => Err(ShapeMismatch::missing_key(safe_text![
            "a JSON object with ",
            count(keys.len()),
            ", without the key ",
            format!("{key:?}"),
        ])),
        (None, Some(_)) => Err(ShapeMismatch::not_json(
            "the secret's value is not a JSON object",
        )),
    }
}

/// Reads a registry's login, `{"username": …, "password": …}` (ECS developer guide, "Using non-AWS
/// container images"). Fails if either is missing or empty, which the ECS agent reports as
/// malformed data.
pub fn read_login(body: &[u8]) -> Result<RegistryCredentials, ShapeMismatch> {
    #[derive(Deserialize)]
    struct LoginJson {
        username: Option<String>,
        password: Option<String>,
    }
    let value = text_of(body)?;
    let Ok(login) = serde_json::from_str::<LoginJson>(value.expose_secret()) else {
        return Err(match keys_of(&value) {
            Some(_) => ShapeMismatch::missing_key(
                "username and password of the registry must be JSON strings",
            ),
            None => ShapeMismatch::not_json(
                "the secret's value is not a JSON object with username and password",
            ),
        });
    };
    let required = |value: Option<String>, key: &'static str| {
        value.filter(|value| !value.is_empty()).ok_or_else(|| {
            ShapeMismatch::missing_key(safe_text![
                "the JSON object has no ",
                key,
                " for the registry",
            ])
        })
    };
    Ok(RegistryCredentials {
        username: required(login.username, "username")?.into(),
        password: required(login.password, "password")?.into(),
    })
}

/// Returns the number of keys with its noun.
fn count(keys: usize) -> String {
    match keys {
        1 => "1 key".to_owned(),
        _ => format!("{keys} keys"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(value: &str) -> Vec<u8> {
        json!({ "SecretString": value }).to_string().into_bytes()
    }

    #[test]
    fn reports_the_shape_of_a_secret_but_not_its_value() {
        let object = body(r#"{"user":"CANARY-1","password":"CANARY-2"}"#);
        assert!(
            check_secret(&object, Some("password"))
                .unwrap()
                .contains("2 keys")
        );
        assert_eq!(
            check_secret(&object, None).unwrap(),
            "present, a JSON object with 2 keys"
        );
        assert_eq!(
            check_secret(&body("CANARY-5"), None).unwrap(),
            "present, not a JSON object"
        );
        assert_eq!(
            check_secret(br#"{"SecretBinary":"Q0FOQVJZ"}"#, None).unwrap(),
            BINARY_DETAIL
        );
        for (body, key, code) in [
            (object, Some("missing"), "JsonKeyMissing"),
            (body("CANARY-3"), Some("password"), "NotJson"),
            (body("[\"CANARY-4\"]"), Some("password"), "NotJson"),
            (
                br#"{"SecretBinary":"Q0FOQVJZ"}"#.to_vec(),
                Some("password"),
                BINARY,
            ),
            (b"{}".to_vec(), None, "NotJson"),
        ] {
            let mismatch = check_secret(&body, key).unwrap_err();
            assert_eq!(mismatch.code, code);
            assert!(!mismatch.detail.contains("CANARY"), "{}", mismatch.detail);
        }
    }

    #[test]
    fn requires_username_and_password_of_a_registry_login() {
        let login = read_login(&body(r#"{"username":"app","password":"CANARY"}"#)).unwrap();
        assert_eq!(
            (
                login.username.expose_secret(),
                login.password.expose_secret()
            ),
            ("app", "CANARY")
        );
        assert!(!format!("{login:?}").contains("CANARY"));
        for (value, code) in [
            (r#"{"username":"app"}"#, "JsonKeyMissing"),
            (r#"{"username":"","password":"CANARY"}"#, "JsonKeyMissing"),
            (
                r#"{"username":"app","password":["CANARY"]}"#,
                "JsonKeyMissing",
            ),
            ("app:CANARY", "NotJson"),
        ] {
            let mismatch = read_login(&body(value)).unwrap_err();
            assert_eq!(mismatch.code, code, "{value}");
            assert!(!mismatch.detail.contains("CANARY"));
        }
    }
}
