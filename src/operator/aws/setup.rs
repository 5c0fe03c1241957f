//! What is set before the first call: the profile and the endpoint, and what is wrong with them.

use std::sync::OnceLock;

use aws_config::profile;
use aws_credential_types::provider::error::CredentialsError;
use aws_types::os_shim_internal::{Env, Fs};
use hyper::Uri;

use super::error::{CallError, chain};
use super::protocol::Api;
use crate::redact::shorten;

/// What the command line sets instead of the environment, as that of the AWS CLI does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsSettings {
    /// `--profile`.
    pub profile: Option<String>,
    /// `--endpoint-url`.
    pub endpoint_url: Option<String>,
}

impl AwsSettings {
    /// Returns the flags that set the same in another process of this program.
    pub fn flags(&self) -> impl Iterator<Item = String> {
        let flags = [
            ("profile", &self.profile),
            ("endpoint-url", &self.endpoint_url),
        ];
        flags
            .into_iter()
            .filter_map(|(flag, value)| Some(format!("--{flag}={}", value.as_ref()?)))
    }
}

static SETTINGS: OnceLock<AwsSettings> = OnceLock::new();

/// Makes every client of this process use these settings. Only the first call counts.
pub fn use_settings(settings: AwsSettings) {
    let _ = SETTINGS.set(settings);
}

/// Returns the settings of this process.
pub fn settings() -> &'static AwsSettings {
    SETTINGS.get_or_init(AwsSettings::default)
}

/// Returns the name of the chosen profile: from the flag, or from the variables of the AWS CLI.
fn profile_name() -> Option<String> {
    let variable = |name| std::env::var(name).ok().filter(|name| !name.is_empty());
    settings()
        .profile
        .clone()
        .or_else(|| variable("AWS_PROFILE"))
        .or_else(|| variable("AWS_DEFAULT_PROFILE"))
}

/// Fails if the chosen profile does not exist: without it, a Region or the credentials would seem
/// to be missing.
pub(super) async fn check_profile() -> Result<(), CallError> {
    let Some(name) = profile_name() else {
        return Ok(());
    };
    #[expect(
        clippy::default_trait_access,
        reason = "the type is of a crate that is not a direct dependency"
    )]
    let files = Default::default();
    let profiles = profile::load(&Fs::real(), &Env::real(), &files, None).await;
    let profiles = profiles.map_err(|error| {
        CallError::Setup(format!(
            "the files of the AWS CLI cannot be read: {}; correct ~/.aws/config or ~/.aws/credentials",
            shorten(&chain(&error), MAX_DETAIL_CHARS)
        ))
    })?;
    if profiles.get_profile(&name).is_some() {
        return Ok(());
    }
    let mut known: Vec<&str> = profiles.profiles().collect();
    known.sort_unstable();
    let known = match known.as_slice() {
        [] => "there is none in ~/.aws/config and ~/.aws/credentials".to_owned(),
        names => format!(
            "there are {}",
            names[..names.len().min(MAX_NAMES)].join(", ")
        ),
    };
    Err(CallError::Setup(format!(
        "profile {name} does not exist: {known}; choose one with --profile or AWS_PROFILE"
    )))
}

/// Profiles named in an error.
const MAX_NAMES: usize = 8;

/// Characters of a library's text in an error: it is quoted where its kind is not known.
const MAX_DETAIL_CHARS: usize = 200;

/// Fails if the URL of a service is not one.
pub(super) fn check_endpoint(api: Api, url: &str) -> Result<(), CallError> {
    let has_scheme = url.starts_with("http://") || url.starts_with("https://");
    let has_host = url
        .parse::<Uri>()
        .is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    if has_scheme && has_host {
        return Ok(());
    }
    Err(CallError::Setup(format!(
        "{url} is not the URL of an endpoint for {}: write it as http://localhost:4566; it is from --endpoint-url, \
         AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_{} or endpoint_url in the profile",
        api.name,
        api.id.replace(' ', "_").to_uppercase(),
    )))
}

/// Says that there are no credentials, or why those of the profile cannot be used, and what to do.
pub(super) fn no_credentials(error: &CredentialsError) -> CallError {
    let profile = profile_name();
    let flag = profile
        .as_ref()
        .map(|name| format!(" --profile {name}"))
        .unwrap_or_default();
    let detail = chain(error);
    let is_sso = detail.to_ascii_lowercase().contains("sso");
    CallError::Setup(match error {
        CredentialsError::CredentialsNotLoaded(_) => format!(
            "no AWS credentials were found; log in with `aws sso login{flag}`, choose a profile with --profile, or set \
             AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ),
        _ if is_sso => {
            let whose = profile.map_or("this machine".to_owned(), |name| format!("profile {name}"));
            format!(
                "the login of {whose} has expired or is missing; log in with `aws sso login{flag}`"
            )
        }
        _ => format!(
            "the AWS credentials cannot be used: {}; log in again, or choose another profile with --profile",
            words(&detail, MAX_DETAIL_CHARS)
        ),
    })
}

/// Cuts a text between words.
fn words(text: &str, chars: usize) -> String {
    let cut = shorten(text, chars);
    if cut.len() == text.len() {
        return text.to_owned();
    }
    let end = cut.rfind(' ').unwrap_or(cut.len());
    format!("{}…", &cut[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_scheme_and_host() {
        for url in [
            "http://localhost:4566",
            "https://vpce-1.example.com",
            "http://[::1]:5555",
        ] {
            assert!(check_endpoint(Api::ECS, url).is_ok(), "{url}");
        }
        for url in [
            "localhost:4566",
            "127.0.0.1",
            "ftp://x",
            "http://",
            "https:///x",
            "http:// x",
        ] {
            let error = check_endpoint(Api::ECS, url).unwrap_err().to_string();
            assert!(error.contains("http://localhost:4566"), "{url}: {error}");
            assert!(error.contains("AWS_ENDPOINT_URL_ECS"), "{url}: {error}");
        }
    }

    #[test]
    fn a_text_is_cut_between_words() {
        assert_eq!(words("one two three", 9), "one two…");
        assert_eq!(words("one two", 9), "one two");
    }
}
