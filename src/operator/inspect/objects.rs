//! Reads whether repositories, images, secrets, parameters and log groups exist. Values of secrets
//! and parameters are never read.

use serde_json::{Value, json};

use super::reader::Reader;
use crate::arn::Arn;
use crate::endpoints::Region;
use crate::inspect::repository_key;
use crate::inspect::snapshot::{ObjectKind, ObjectState, ReadObject};
use crate::operator::aws::{Api, CallError};
use crate::operator::dry_run::AwsCalls;
use crate::plan::{ImagePull, Plan, ValueFrom};
use crate::reference::Registry;
use crate::safe_text::{MAX_FOREIGN_CHARS, visible};

/// Reads every object of the plan.
pub(super) async fn read(reader: &Reader, plan: &Plan) -> Vec<ReadObject> {
    let (images, secrets, logs) = tokio::join!(
        images(reader, plan),
        secrets(reader, plan),
        log_groups(reader, plan)
    );
    [images, secrets, logs].concat()
}

fn object(kind: ObjectKind, key: &str, state: ObjectState) -> ReadObject {
    ReadObject {
        kind,
        key: key.to_owned(),
        state,
        arn: None,
        policy: None,
        is_policy_read: false,
        kms_key: None,
    }
}

/// Returns an ARN of a response.
fn arn_in(value: &Value) -> Option<String> {
    Some(visible(value.as_str()?, MAX_FOREIGN_CHARS))
}

/// Returns the state of an object whose call failed: missing if the service says so by this code.
fn failed(reader: &Reader, error: &CallError, missing: &[&str], adds: &str) -> ObjectState {
    if missing.contains(&error.code()) {
        return ObjectState::Missing;
    }
    reader.note(error, adds);
    let code = error.code();
    let why = if code.is_empty() { "no answer" } else { code };
    let why = visible(why, MAX_FOREIGN_CHARS);
    ObjectState::Unknown(format!("{}: {why}", error.action()))
}

async fn images(reader: &Reader, plan: &Plan) -> Vec<ReadObject> {
    let mut objects: Vec<ReadObject> = Vec::new();
    for image in &plan.images {
        let Registry::Ecr {
            account, region, ..
        } = &image.reference.registry
        else {
            continue;
        };
        let Some(key) = repository_key(image) else {
            continue;
        };
        let calls = reader.in_region(region);
        if !objects.iter().any(|known| known.key == key) {
            let found =
                repository(reader, &calls, &key, account, &image.reference.repository).await;
            objects.push(found);
        }
        let registry = format!("{account}/{region}");
        if !objects.iter().any(|known| known.key == registry) {
            objects.push(registry_policy(reader, plan, &calls, &registry).await);
        }
        if let Some(known) = objects.iter_mut().find(|known| known.key == key)
            && known.state == ObjectState::Missing
            && is_cached(reader, &calls, image, account).await
        {
            known.state = ObjectState::Unknown(FILLED_BY_CACHE.into());
        }
        let is_found = objects
            .iter()
            .any(|known| known.key == key && known.state == ObjectState::Found);
        if is_found {
            let mut read = read_image(reader, &calls, image, account).await;
            if read.state == ObjectState::Missing && is_cached(reader, &calls, image, account).await
            {
                read.state = ObjectState::Unknown(FILLED_BY_CACHE.into());
            }
            objects.push(read);
        }
    }
    objects
}

/// Why what does not exist may still be pulled.
const FILLED_BY_CACHE: &str = "it does not exist yet, and a pull-through cache rule may create it";

/// Whether a pull-through cache rule covers the image's repository.
async fn is_cached(reader: &Reader, calls: &AwsCalls, image: &ImagePull, account: &str) -> bool {
    let body = json!({ "registryId": account });
    let response: Result<Value, _> = calls
        .read(Api::ECR, "DescribePullThroughCacheRules", &body)
        .await;
    let Some(response) = reader.or_unread(response, "pull-through cache rules") else {
        return image.reference.pulls_through().is_some();
    };
    let rules = response["pullThroughCacheRules"]
        .as_array()
        .into_iter()
        .flatten();
    let mut prefixes = rules.filter_map(|rule| rule["ecrRepositoryPrefix"].as_str());
    let repository = &image.reference.repository;
    prefixes.any(|prefix| {
        prefix == "ROOT" || repository.starts_with(&format!("{}/", prefix.trim_end_matches('/')))
    })
}

async fn repository(
    reader: &Reader,
    calls: &AwsCalls,
    key: &str,
    account: &str,
    name: &str,
) -> ReadObject {
    const ADDS: &str = "whether the repository exists";
    let body = json!({ "registryId": account, "repositoryNames": [name] });
    let response: Result<Value, _> = calls.read(Api::ECR, "DescribeRepositories", &body).await;
    let mut found = match response {
        Ok(response) => ReadObject {
            arn: arn_in(&response["repositories"][0]["repositoryArn"]),
            kms_key: response["repositories"][0]["encryptionConfiguration"]["kmsKey"]
                .as_str()
                .map(str::to_owned),
            ..object(ObjectKind::Repository, key, ObjectState::Found)
        },
        Err(error) => {
            let state = failed(reader, &error, &["RepositoryNotFoundException"], ADDS);
            return object(ObjectKind::Repository, key, state);
        }
    };
    let body = json!({ "registryId": account, "repositoryName": name });
    let response: Result<Value, _> = calls.read(Api::ECR, "GetRepositoryPolicy", &body).await;
    match response {
        Ok(response) => {
            found.policy = response["policyText"].as_str().map(str::to_owned);
            found.is_policy_read = true;
        }
        Err(error) if error.code() == "RepositoryPolicyNotFoundException" => {
            found.is_policy_read = true;
        }
        Err(error) => reader.note(&error, "the policies of repositories"),
    }
    found
}

/// Reads the policy of the account's own private registry; that of another account cannot be read.
async fn registry_policy(reader: &Reader, plan: &Plan, calls: &AwsCalls, key: &str) -> ReadObject {
    let mut found = object(ObjectKind::Registry, key, ObjectState::Found);
    let account = key.split('/').next().unwrap_or_default();
    let own = plan.execution_role.as_deref();
    let own = own.and_then(|role| role.parse::<Arn>().ok());
    if own.is_some_and(|own| own.account != account) {
        return found;
    }
    let response: Result<Value, _> = calls.read(Api::ECR, "GetRegistryPolicy", &json!({})).await;
    match response {
        // The caller may work in another account than the task.
        Ok(response) if response["registryId"].as_str() == Some(account) => {
            found.policy = response["policyText"].as_str().map(str::to_owned);
            found.is_policy_read = true;
        }
        Ok(_) => {}
        Err(error) if error.code() == "RegistryPolicyNotFoundException" => {
            found.is_policy_read = true;
        }
        Err(error) => reader.note(&error, "the policy of the private registry"),
    }
    found
}

async fn read_image(
    reader: &Reader,
    calls: &AwsCalls,
    image: &ImagePull,
    account: &str,
) -> ReadObject {
    let reference = &image.reference;
    let id = match (&reference.digest, &reference.tag) {
        (Some(digest), _) => json!({ "imageDigest": digest }),
        (None, tag) => json!({ "imageTag": tag.as_deref().unwrap_or("latest") }),
    };
    let body =
        json!({ "registryId": account, "repositoryName": reference.repository, "imageIds": [id] });
    let response: Result<Value, _> = calls.read(Api::ECR, "DescribeImages", &body).await;
    let key = reference.to_string();
    let state = match response {
        Ok(response) => match response["imageDetails"][0]["imageStatus"].as_str() {
            Some("ARCHIVED") => ObjectState::Unusable(
                "is archived; restore it with aws ecr update-image-storage-class".into(),
            ),
            _ => ObjectState::Found,
        },
        Err(error) => failed(
            reader,
            &error,
            &["ImageNotFoundException"],
            "whether the image exists",
        ),
    };
    object(ObjectKind::Image, &key, state)
}

async fn secrets(reader: &Reader, plan: &Plan) -> Vec<ReadObject> {
    let mut objects: Vec<ReadObject> = Vec::new();
    let is_known = |objects: &[ReadObject], key: &str| objects.iter().any(|known| known.key == key);
    for secret in &plan.secrets {
        match &secret.value_from {
            ValueFrom::Secret { arn, region, .. } if !is_known(&objects, arn) => {
                objects.push(read_secret(reader, plan, arn, region).await);
            }
            ValueFrom::Parameter { name, region } if !is_known(&objects, name) => {
                let region = region.as_ref().unwrap_or(&plan.region);
                let is_behind = secret.value_from.secret_behind().is_some()
                    || is_of_another_account(plan, name);
                objects.push(parameter(reader, name, region, is_behind).await);
            }
            _ => {}
        }
    }
    for login in plan.images.iter().filter_map(|image| image.login.as_ref()) {
        if !is_known(&objects, &login.secret) {
            objects.push(read_secret(reader, plan, &login.secret, &login.region).await);
        }
    }
    objects
}

/// Why nothing is said of an object of another account.
const OF_ANOTHER_ACCOUNT: &str = "it belongs to another account";

/// Whether an ARN names another account than the task's role.
fn is_of_another_account(plan: &Plan, name: &str) -> bool {
    let account = |arn: &str| Some(arn.parse::<Arn>().ok()?.account);
    let own = plan.execution_role.as_deref().and_then(account);
    name.starts_with("arn:") && own.is_some() && account(name) != own
}

async fn read_secret(reader: &Reader, plan: &Plan, id: &str, region: &Region) -> ReadObject {
    let calls = reader.in_region(region);
    let body = json!({ "SecretId": id });
    let response: Result<Value, _> = calls
        .read(Api::SECRETS_MANAGER, "DescribeSecret", &body)
        .await;
    let mut found = match response {
        Ok(response) => {
            let state = if response["DeletedDate"].is_null() {
                ObjectState::Found
            } else {
                ObjectState::Unusable("is scheduled for deletion".into())
            };
            ReadObject {
                arn: arn_in(&response["ARN"]),
                kms_key: own_key(&response["KmsKeyId"], "alias/aws/secretsmanager"),
                ..object(ObjectKind::Secret, id, state)
            }
        }
        Err(error) => {
            let missing = ["ResourceNotFoundException"];
            let mut state = failed(reader, &error, &missing, "whether the secret exists");
            if state == ObjectState::Missing && is_of_another_account(plan, id) {
                state = ObjectState::Unknown(OF_ANOTHER_ACCOUNT.into());
            }
            return object(ObjectKind::Secret, id, state);
        }
    };
    let response: Result<Value, _> = calls
        .read(Api::SECRETS_MANAGER, "GetResourcePolicy", &body)
        .await;
    if let Some(response) = reader.or_unread(response, "the policies of secrets") {
        found.policy = response["ResourcePolicy"].as_str().map(str::to_owned);
        found.is_policy_read = true;
    }
    found
}

/// Returns a key unless it is the default one of its service, which every principal of the account
/// may use through the service.
fn own_key(key: &Value, default: &str) -> Option<String> {
    key.as_str()
        .filter(|key| !key.is_empty() && !key.ends_with(default))
        .map(str::to_owned)
}

async fn parameter(reader: &Reader, name: &str, region: &Region, is_behind: bool) -> ReadObject {
    let kind = ObjectKind::Parameter;
    let bare = name
        .split_once(":parameter/")
        .map_or(name, |(_, resource)| resource);
    if is_behind || bare.trim_start_matches('/').starts_with("aws/") {
        let why = "it is not a parameter of this account".to_owned();
        return object(kind, name, ObjectState::Unknown(why));
    }
    // An ARN does not tell whether the name begins with a slash; one with a hierarchy does.
    let names = if name.starts_with("arn:") {
        vec![bare.to_owned(), format!("/{bare}")]
    } else {
        vec![name.to_owned()]
    };
    let body =
        json!({ "ParameterFilters": [{ "Key": "Name", "Option": "Equals", "Values": names }] });
    let response: Result<Value, _> = reader
        .in_region(region)
        .read(Api::SSM, "DescribeParameters", &body)
        .await;
    match response {
        Ok(response) => {
            let found = response["Parameters"].as_array();
            let Some(found) = found.and_then(|found| found.first()) else {
                return object(kind, name, ObjectState::Missing);
            };
            let kms_key = match found["Type"].as_str() {
                Some("SecureString") if found["KeyId"].is_null() => {
                    Some("of the SecureString".to_owned())
                }
                Some("SecureString") => own_key(&found["KeyId"], "alias/aws/ssm"),
                _ => None,
            };
            ReadObject {
                kms_key,
                ..object(kind, name, ObjectState::Found)
            }
        }
        Err(error) => {
            let state = failed(reader, &error, &[], "whether the parameter exists");
            object(kind, name, state)
        }
    }
}

async fn log_groups(reader: &Reader, plan: &Plan) -> Vec<ReadObject> {
    let mut objects: Vec<ReadObject> = Vec::new();
    for log in plan.logs.iter().filter(|log| !log.create_group) {
        let key = format!("{}/{}", log.region, log.group);
        if objects.iter().any(|known| known.key == key) {
            continue;
        }
        let body = json!({ "logGroupNamePrefix": log.group });
        let response: Result<Value, _> = reader
            .in_region(&log.region)
            .read(Api::LOGS, "DescribeLogGroups", &body)
            .await;
        let state = match response {
            Ok(response) => {
                let groups = response["logGroups"].as_array().into_iter().flatten();
                let is_found = groups
                    .into_iter()
                    .any(|group| group["logGroupName"].as_str() == Some(&log.group));
                match (is_found, response["nextToken"].is_null()) {
                    (true, _) => ObjectState::Found,
                    (false, true) => ObjectState::Missing,
                    (false, false) => {
                        ObjectState::Unknown("there are many log groups of this name".into())
                    }
                }
            }
            Err(error) => failed(reader, &error, &[], "whether the log group exists"),
        };
        objects.push(object(ObjectKind::LogGroup, &key, state));
    }
    objects
}
