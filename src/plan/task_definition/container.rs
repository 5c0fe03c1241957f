//! One container: image, registry credentials, secrets, environment files, logs.

use super::TaskDefinitionReader;
use super::error::{Problem, TaskDefinitionError};
use super::node::Node;
use crate::observation::Dependency;
use crate::plan::{ImageInput, S3Object, Unchecked, ValueFrom};
use crate::reference::{Reference, Registry};

/// Maximum number of environment files of a container (ECS developer guide, "Use a file to pass
/// environment variables to a container").
const MAX_ENVIRONMENT_FILES: usize = 10;

/// The extension of an environment file (same source).
const ENVIRONMENT_FILE_EXTENSION: &str = ".env";

impl TaskDefinitionReader {
    pub(super) fn read_container(&mut self, container: &Node<'_>) {
        let steps = [
            Self::read_image,
            Self::read_secrets,
            Self::read_environment_files,
            Self::read_log_configuration,
            Self::read_credential_specs,
        ];
        for step in steps {
            let result = step(self, container);
            self.note(result);
        }
    }

    fn read_image(&mut self, container: &Node<'_>) -> Result<(), TaskDefinitionError> {
        let node = container.required("image")?;
        let image: Reference = node
            .text()?
            .parse()
            .map_err(|error| node.problem(Problem::ImageReference(error)))?;
        let login = match container.member("repositoryCredentials")? {
            Some(credentials) if matches!(image.registry, Registry::Ecr { .. }) => {
                return Err(credentials.error(
                    "an Amazon ECR image is pulled with the task execution role; remove it",
                ));
            }
            Some(credentials) => Some(registry_login(
                &credentials.required("credentialsParameter")?,
            )?),
            None => None,
        };
        self.input.images.push(ImageInput {
            image,
            login,
            added_by_aws: false,
            deployment: None,
        });
        Ok(())
    }

    fn read_secrets(&mut self, container: &Node<'_>) -> Result<(), TaskDefinitionError> {
        self.read_secrets_of(container, "secrets")
    }

    /// Reads the secrets of the member `name`.
    pub(super) fn read_secrets_of(
        &mut self,
        parent: &Node<'_>,
        name: &str,
    ) -> Result<(), TaskDefinitionError> {
        for secret in parent.elements(name)? {
            let result = secret.required("valueFrom").and_then(|value| {
                let secret: ValueFrom = value.text()?.parse().map_err(|e| value.error(e))?;
                self.input.secrets.push(secret);
                Ok(())
            });
            self.note(result);
        }
        Ok(())
    }

    /// Reads where the credential specification of a gMSA is. The container agent reads it with the
    /// task execution role (ECS API reference, ContainerDefinition).
    fn read_credential_specs(&mut self, container: &Node<'_>) -> Result<(), TaskDefinitionError> {
        let listed = container.elements("credentialSpecs")?;
        let options = container.elements("dockerSecurityOptions")?;
        for node in listed.iter().chain(&options) {
            let text = node.text()?;
            let is_domainless = text.starts_with("credentialspecdomainless:");
            let place = text
                .strip_prefix("credentialspecdomainless:")
                .or_else(|| text.strip_prefix("credentialspec:"));
            match place {
                Some(arn) if arn.contains(":s3:") => {
                    arn.parse::<S3Object>().map_err(|error| node.error(error))?;
                    self.input.environment_files.push(arn.to_owned());
                }
                Some(arn) if arn.starts_with("arn:") => {
                    let parameter: ValueFrom = arn.parse().map_err(|error| node.error(error))?;
                    self.input.secrets.push(parameter);
                }
                // A file on the instance, or a security option of Docker.
                _ => {}
            }
            if is_domainless {
                self.input.unchecked.push(Unchecked {
                    dependency: Dependency::SecretsManager,
                    subject: "gMSA credentials".into(),
                    why: "the credential specification names their secret, which the task \
                          execution role reads too"
                        .into(),
                });
            }
        }
        Ok(())
    }

    fn read_environment_files(&mut self, container: &Node<'_>) -> Result<(), TaskDefinitionError> {
        let files = container.elements("environmentFiles")?;
        if files.len() > MAX_ENVIRONMENT_FILES {
            return Err(container.error(format_args!(
                "{} environment files; ECS accepts at most {MAX_ENVIRONMENT_FILES}",
                files.len()
            )));
        }
        for file in files {
            let result = environment_file(&file);
            let result = result.map(|arn| self.input.environment_files.push(arn));
            self.note(result);
        }
        Ok(())
    }
}

/// Returns the ARN of an environment file.
fn environment_file(file: &Node<'_>) -> Result<String, TaskDefinitionError> {
    let value = file.required("value")?;
    let arn = value.text()?;
    file.required("type")?.one_of(&["s3"])?;
    arn.parse::<S3Object>()
        .map_err(|error| value.error(error))?;
    if arn.ends_with(ENVIRONMENT_FILE_EXTENSION) {
        Ok(arn.to_owned())
    } else {
        Err(value.error("the name of an environment file must end in .env"))
    }
}

/// Returns the secret's ARN, or its name in the task's Region (ECS API reference,
/// RepositoryCredentials).
fn registry_login(parameter: &Node<'_>) -> Result<String, TaskDefinitionError> {
    let secret = parameter.text()?;
    if !secret.starts_with("arn:") {
        return if is_secret_name(secret) {
            Ok(secret.to_owned())
        } else {
            Err(parameter.error("expected a secret's ARN, or its name in the task's Region"))
        };
    }
    match secret.parse() {
        Ok(ValueFrom::Secret { arn, .. }) if arn == secret => Ok(arn),
        Ok(ValueFrom::Secret { .. }) => Err(parameter.error(
            "credentialsParameter must be the whole secret; remove the JSON key and version",
        )),
        Ok(ValueFrom::Parameter { .. }) => Err(parameter
            .error("registry credentials are read from Secrets Manager, not from Parameter Store")),
        Err(error) => Err(parameter.error(error)),
    }
}

/// Whether `name` has 1 to 512 letters, digits and `/_+=.@-` (Secrets Manager API reference,
/// CreateSecret).
fn is_secret_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
    (1..=512).contains(&name.len()) && name.chars().all(allowed)
}
