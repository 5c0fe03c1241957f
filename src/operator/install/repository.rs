//! The repository in the operator's private registry of Amazon ECR: its name, its creation, the
//! registry's token, and the image that is there.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::image;
use crate::arn::{Arn, is_account_id};
use crate::endpoints::{Region, Variant, registry_host};
use crate::operator::aws::{Api, CallError};
use crate::operator::dry_run::AwsCalls;
use crate::operator::error::OperatorError;
use crate::plan::Platform;
use crate::reference::{Reference, Registry, is_host};
use crate::safe_text::visible_string;

/// Repository that `install` pushes to, and `launch` looks in.
pub const DEFAULT_REPOSITORY: &str = "pullprobe";

/// Tag of the image: the version of this binary.
pub const TAG: &str = env!("CARGO_PKG_VERSION");

/// Number of characters of a repository name (Amazon ECR API reference, CreateRepository).
const NAME_LENGTH: std::ops::RangeInclusive<usize> = 2..=256;

/// A repository as the operator names it: by its name, URI or ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryName {
    pub name: String,
    /// Of the URI or ARN.
    pub account: Option<String>,
    /// Of the URI or ARN.
    pub region: Option<Region>,
}

impl RepositoryName {
    /// Reads a name, a URI or an ARN. Fails on another registry, a tag, and what Amazon ECR does
    /// not accept as a name.
    pub fn read(text: &str) -> Result<Self, OperatorError> {
        let failed = |what: &str| OperatorError::Usage(format!("--repository {text}: {what}"));
        let (name, account, region) = if text.starts_with("arn:") {
            let arn: Arn = text
                .parse()
                .map_err(|error| failed(&format!("the ARN {error}")))?;
            let name = arn.resource.strip_prefix("repository/");
            let name = name.filter(|_| arn.service == "ecr");
            let name =
                name.ok_or_else(|| failed("this is not the ARN of an Amazon ECR repository"))?;
            let region = arn
                .region
                .parse()
                .map_err(|error| failed(&format!("{error}")))?;
            (name.to_owned(), Some(arn.account.clone()), Some(region))
        } else if text
            .split_once('/')
            .is_some_and(|(first, _)| is_host(first))
        {
            let reference: Reference = text.parse().map_err(|error| failed(&format!("{error}")))?;
            let Registry::Ecr {
                account, region, ..
            } = reference.registry
            else {
                return Err(failed(
                    "`install` pushes only to your own private Amazon ECR registry; pass a repository name there, such as \
                     pullprobe or team/pullprobe",
                ));
            };
            if reference.tag.is_some() || reference.digest.is_some() {
                return Err(failed(&format!(
                    "leave out the tag: it is always the version, {TAG}"
                )));
            }
            (reference.repository, Some(account), Some(region))
        } else {
            if text.contains([':', '@']) {
                return Err(failed(&format!(
                    "leave out the tag: it is always the version, {TAG}"
                )));
            }
            (text.to_owned(), None, None)
        };
        if !is_repository_name(&name) {
            return Err(failed(
                "a repository name has 2 to 256 lower-case letters and digits, which . - _ and / may separate, such as \
                 team/pullprobe",
            ));
        }
        Ok(Self {
            name,
            account,
            region,
        })
    }

    /// Fails if the repository is not in this account.
    fn check_account(&self, account: &str) -> Result<(), OperatorError> {
        match self.account.as_deref().filter(|named| *named != account) {
            Some(named) => Err(OperatorError::Usage(format!(
                "--repository is in account {named}, and your credentials are of account {account}: tasks pull the probe from \
                 their own account, so use credentials of account {named} (AWS_PROFILE), or pass only the name, {}",
                self.name
            ))),
            None => Ok(()),
        }
    }

    /// Fails if the repository is not in this Region.
    pub fn check_region(&self, region: &Region) -> Result<(), OperatorError> {
        match self.region.as_ref().filter(|named| *named != region) {
            Some(named) => Err(OperatorError::Usage(format!(
                "--repository is in {named}, and --region is {region}: tasks pull the probe from their own Region, so pass \
                 --region {named}, or only the name, {}",
                self.name
            ))),
            None => Ok(()),
        }
    }
}

/// Whether Amazon ECR accepts the name:
/// `(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*` (API reference,
/// CreateRepository).
fn is_repository_name(name: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    NAME_LENGTH.contains(&name.len()) && name.split(['/', '.', '-', '_']).all(is_word)
}

/// A repository of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcrRepository {
    pub name: String,
    /// Registry's host and repository name, without a tag.
    pub uri: String,
    pub arn: String,
    /// Whether it did not exist before. In a dry run it still does not.
    pub is_new: bool,
}

/// `Repository`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Repository {
    #[serde(deserialize_with = "visible_string")]
    repository_uri: String,
    #[serde(deserialize_with = "visible_string")]
    repository_arn: String,
}

#[derive(Debug, Deserialize)]
struct DescribeRepositoriesResponse {
    repositories: Vec<Repository>,
}

#[derive(Debug, Deserialize)]
struct CreateRepositoryResponse {
    repository: Repository,
}

/// `CreateRepository`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateRepositoryRequest<'a> {
    repository_name: &'a str,
    image_tag_mutability: &'static str,
}

impl EcrRepository {
    /// Finds the repository, and creates it with immutable tags if it does not exist.
    pub async fn find_or_create(
        calls: &AwsCalls,
        named: &RepositoryName,
    ) -> Result<Self, OperatorError> {
        let name = &named.name;
        let region = calls.client().region();
        named.check_region(region)?;
        if named.account.is_some() {
            named.check_account(&calls.caller_account().await?)?;
        }
        let (found, is_new) = if let Some(found) = describe(calls, name).await? {
            (Some(found), false)
        } else {
            let request = CreateRepositoryRequest {
                repository_name: name,
                image_tag_mutability: "IMMUTABLE",
            };
            let created: Result<Option<CreateRepositoryResponse>, _> =
                calls.change(Api::ECR, "CreateRepository", &request).await;
            match created {
                Ok(created) => (created.map(|created| created.repository), true),
                // Another process was faster.
                Err(error) if error.code() == "RepositoryAlreadyExistsException" => {
                    (describe(calls, name).await?, false)
                }
                Err(error) => return Err(error.into()),
            }
        };
        let (uri, arn) = if let Some(found) = found {
            (found.repository_uri, found.repository_arn)
        } else {
            // In a dry run nothing was created.
            let account = match &named.account {
                Some(account) => account.clone(),
                None => calls.caller_account().await?,
            };
            (uri(&account, region, name), arn(&account, region, name))
        };
        Ok(Self {
            name: name.clone(),
            uri,
            arn,
            is_new,
        })
    }
}

async fn describe(calls: &AwsCalls, name: &str) -> Result<Option<Repository>, CallError> {
    let request = json!({ "repositoryNames": [name] });
    let response: Result<DescribeRepositoriesResponse, _> =
        calls.read(Api::ECR, "DescribeRepositories", &request).await;
    match response {
        Ok(response) => Ok(response.repositories.into_iter().next()),
        Err(error) if is_not_there(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_not_there(error: &CallError) -> bool {
    ["RepositoryNotFoundException", "ImageNotFoundException"].contains(&error.code())
}

fn uri(account: &str, region: &Region, name: &str) -> String {
    format!(
        "{}/{name}",
        registry_host(account, region, Variant::default())
    )
}

fn arn(account: &str, region: &Region, name: &str) -> String {
    let partition = region.partition().name();
    let resource = format!("repository/{name}");
    Arn::pattern(partition, "ecr", region.as_str(), Some(account), resource).to_string()
}

/// Returns the reference of the probe's image that `launch` looks for in an account.
pub fn default_reference(account: &str, region: &Region) -> String {
    format!("{}:{TAG}", uri(account, region, DEFAULT_REPOSITORY))
}

/// Returns the ARN of the repository that `launch` looks in.
pub fn repository_arn(account: &str, region: &Region) -> String {
    arn(account, region, DEFAULT_REPOSITORY)
}

/// The token of the registry, and where it counts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistryToken {
    /// Base64 of user name and password, which is the value of Basic authentication.
    pub authorization_token: String,
    /// URL of the registry.
    pub proxy_endpoint: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizationTokenResponse {
    authorization_data: Vec<RegistryToken>,
}

impl RegistryToken {
    /// Gets a token, which is valid for twelve hours.
    pub async fn get(calls: &AwsCalls) -> Result<Self, OperatorError> {
        let operation = "GetAuthorizationToken";
        let response: AuthorizationTokenResponse =
            calls.read(Api::ECR, operation, &json!({})).await?;
        response
            .authorization_data
            .into_iter()
            .next()
            .ok_or_else(|| {
                OperatorError::Failed(format!(
                    "{}: the response contains no token; check AWS_ENDPOINT_URL, or try again",
                    Api::ECR.action(operation)
                ))
            })
    }
}

/// The probe's image as it is in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledImage {
    pub reference: String,
    /// Empty for an image that is not an index.
    pub platforms: BTreeSet<String>,
}

impl InstalledImage {
    /// Whether the image can run on a platform, as far as its index says.
    pub fn runs_on(&self, platform: &Platform) -> bool {
        self.platforms.is_empty() || self.platforms.contains(&platform.to_string())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BatchGetImageResponse {
    images: Vec<StoredImage>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredImage {
    registry_id: String,
    image_manifest: String,
}

/// Finds the image that `install` pushed: in the operator's account and Region, repository
/// `pullprobe`, tag of this version.
pub async fn find_installed_image(calls: &AwsCalls) -> Result<Option<InstalledImage>, CallError> {
    let request = json!({
        "repositoryName": DEFAULT_REPOSITORY,
        "imageIds": [{ "imageTag": TAG }],
        "acceptedMediaTypes": [image::INDEX, image::MANIFEST],
    });
    let response: Result<BatchGetImageResponse, _> =
        calls.read(Api::ECR, "BatchGetImage", &request).await;
    let response = match response {
        Ok(response) => response,
        Err(error) if is_not_there(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(response
        .images
        .into_iter()
        .next()
        .filter(|stored| is_account_id(&stored.registry_id))
        .map(|stored| InstalledImage {
            reference: default_reference(&stored.registry_id, calls.client().region()),
            platforms: platforms_of(&stored.image_manifest),
        }))
}

/// Returns the platforms of an index; none of any other document.
fn platforms_of(manifest: &str) -> BTreeSet<String> {
    let index: Value = serde_json::from_str(manifest).unwrap_or_default();
    let manifests = index["manifests"].as_array().into_iter().flatten();
    manifests
        .filter_map(|manifest| {
            let platform = &manifest["platform"];
            let os = platform["os"].as_str()?;
            Some(format!("{os}/{}", platform["architecture"].as_str()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RepositoryName, String> {
        RepositoryName::read(text).map_err(|error| error.to_string())
    }

    #[test]
    fn repository_is_a_name_a_uri_or_an_arn() {
        let name = read("team/pull-probe.x_1").unwrap();
        assert_eq!((name.account, name.region), (None, None));
        for text in [
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/probe",
            "arn:aws:ecr:eu-west-1:123456789012:repository/team/probe",
        ] {
            let named = read(text).unwrap();
            assert_eq!(named.name, "team/probe", "{text}");
            assert_eq!(named.account.as_deref(), Some("123456789012"), "{text}");
            let region = named.region.clone().unwrap();
            assert_eq!(region.as_str(), "eu-west-1", "{text}");
            assert!(named.check_account("123456789012").is_ok(), "{text}");
            assert!(named.check_region(&region).is_ok(), "{text}");
            let other = named.check_account("210987654321").unwrap_err();
            assert!(
                other.to_string().contains("account 210987654321"),
                "{other}"
            );
            let other = named.check_region(&"us-east-1".parse().unwrap());
            assert!(
                other
                    .unwrap_err()
                    .to_string()
                    .contains("--region eu-west-1")
            );
        }
    }

    #[test]
    fn other_registries_tags_and_bad_names_are_refused() {
        for (text, word) in [
            ("ghcr.io/me/pullprobe", "private Amazon ECR registry"),
            ("localhost:5000/pullprobe", "private Amazon ECR registry"),
            ("public.ecr.aws/a/pullprobe", "private Amazon ECR registry"),
            ("pullprobe:1.0", "leave out the tag"),
            (
                "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pullprobe:1",
                "leave out the tag",
            ),
            ("Pullprobe", "lower-case"),
            ("a", "2 to 256"),
            ("team//probe", "lower-case"),
            ("", "2 to 256"),
            ("team/../v2/other", "lower-case"),
            (
                "arn:aws:s3:::bucket",
                "not the ARN of an Amazon ECR repository",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn platforms_are_those_of_the_index() {
        let index = r#"{"manifests":[{"platform":{"os":"linux","architecture":"arm64"}},{}]}"#;
        assert_eq!(
            platforms_of(index),
            BTreeSet::from(["linux/arm64".to_owned()])
        );
        assert!(platforms_of("{}").is_empty() && platforms_of("<html>").is_empty());
    }
}
