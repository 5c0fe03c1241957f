//! What may be said of a secret's value: whether it is there and has the asked form.

use std::collections::BTreeSet;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::observation::{Answer, Failure, Observation, Outcome};

/// A value without the asked form. Nothing of the value is in it.
#[derive(Debug, PartialEq, Eq)]
pub struct WrongForm {
    code: &'static str,
    detail: String,
}

impl WrongForm {
    fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    /// The observation of the call that brought it.
    pub fn seen_in(self, mut observation: Observation, answer: Answer) -> Observation {
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

/// User name and password of a registry.
#[derive(Debug)]
pub struct Login {
    /// User name.
    pub username: SecretString,
    /// Password or access token.
    pub password: SecretString,
}

/// GetSecretValue's answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SecretValue {
    secret_string: Option<String>,
    secret_binary: Option<IgnoredAny>,
}

fn text_of(body: &[u8]) -> Result<SecretString, WrongForm> {
    match serde_json::from_slice(body) {
        Ok(SecretValue {
            secret_string: Some(text),
            ..
        }) => Ok(text.into()),
        Ok(SecretValue {
            secret_binary: Some(_),
            ..
        }) => Err(WrongForm::new(
            "NotJson",
            "the secret is binary: there is no text to look for a JSON key in",
        )),
        _ => Err(WrongForm::new(
            "NotJson",
            "the secret has no text to look for a JSON key in",
        )),
    }
}

/// The keys of a JSON object; its values are passed over.
struct Keys(BTreeSet<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Keys;

            fn expecting(&self, form: &mut fmt::Formatter<'_>) -> fmt::Result {
                form.write_str("a JSON object")
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

/// What a secret's value is, with the asked key in it.
pub fn of_secret(body: &[u8], json_key: Option<&str>) -> Result<String, WrongForm> {
    let value = match text_of(body) {
        Ok(value) => value,
        Err(wrong) => {
            let binary = wrong.detail.contains("binary") && json_key.is_none();
            return if binary {
                Ok("present, binary".into())
            } else {
                Err(wrong)
            };
        }
    };
    match (keys_of(&value), json_key) {
        (None, None) => Ok("present, no JSON object".into()),
        (Some(keys), None) => Ok(format!("present, a JSON object of {} keys", keys.len())),
        (Some(keys), Some(key)) if keys.contains(key) => Ok(format!(
            "present, a JSON object of {} keys, the asked one among them",
            keys.len()
        )),
        (Some(keys), Some(key)) => Err(WrongForm::new(
            "JsonKeyMissing",
            format!(
                "a JSON object of {} keys, without the key {key:?}",
                keys.len()
            ),
        )),
        (None, Some(_)) => Err(WrongForm::new(
            "NotJson",
            "the secret's value is not a JSON object",
        )),
    }
}

/// A registry's login, `{"username": …, "password": …}` (ECS developer guide, "Using non-AWS
/// container images"). Both have to be there and not empty, else the ECS agent calls the data
/// malformed.
pub fn of_login(body: &[u8]) -> Result<Login, WrongForm> {
    #[derive(Deserialize)]
    struct Written {
        username: Option<String>,
        password: Option<String>,
    }
    let value = text_of(body)?;
    let Ok(written) = serde_json::from_str::<Written>(value.expose_secret()) else {
        return Err(match keys_of(&value) {
            Some(_) => WrongForm::new(
                "JsonKeyMissing",
                "username and password of the registry have to be texts",
            ),
            None => WrongForm::new(
                "NotJson",
                "a JSON object with username and password is needed",
            ),
        });
    };
    let missing = |name: &str| {
        WrongForm::new(
            "JsonKeyMissing",
            format!("no {name} for the registry in the JSON object"),
        )
    };
    let part = |part: Option<String>, name| {
        part.filter(|part| !part.is_empty())
            .ok_or_else(|| missing(name))
    };
    Ok(Login {
        username: part(written.username, "username")?.into(),
        password: part(written.password, "password")?.into(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(value: &str) -> Vec<u8> {
        json!({ "SecretString": value }).to_string().into_bytes()
    }

    #[test]
    fn a_secrets_form_is_told_and_its_value_never() {
        let object = body(r#"{"user":"CANARY-1","password":"CANARY-2"}"#);
        assert!(
            of_secret(&object, Some("password"))
                .unwrap()
                .contains("2 keys")
        );
        assert_eq!(
            of_secret(&object, None).unwrap(),
            "present, a JSON object of 2 keys"
        );
        assert_eq!(
            of_secret(&body("CANARY-5"), None).unwrap(),
            "present, no JSON object"
        );
        assert_eq!(
            of_secret(br#"{"SecretBinary":"Q0FOQVJZ"}"#, None).unwrap(),
            "present, binary"
        );
        for (body, key, code) in [
            (object, Some("missing"), "JsonKeyMissing"),
            (body("CANARY-3"), Some("password"), "NotJson"),
            (body("[\"CANARY-4\"]"), Some("password"), "NotJson"),
            (
                br#"{"SecretBinary":"Q0FOQVJZ"}"#.to_vec(),
                Some("password"),
                "NotJson",
            ),
            (b"{}".to_vec(), None, "NotJson"),
        ] {
            let wrong = of_secret(&body, key).unwrap_err();
            assert_eq!(wrong.code, code);
            assert!(!wrong.detail.contains("CANARY"), "{}", wrong.detail);
        }
    }

    #[test]
    fn a_registrys_login_has_both_parts_or_is_none() {
        let login = of_login(&body(r#"{"username":"app","password":"CANARY"}"#)).unwrap();
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
            let wrong = of_login(&body(value)).unwrap_err();
            assert_eq!(wrong.code, code, "{value}");
            assert!(!wrong.detail.contains("CANARY"));
        }
    }
}
