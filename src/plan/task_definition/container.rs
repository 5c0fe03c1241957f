//! One container: image, login, secrets, environment files, logs.

use super::Reader;
use super::node::{Mistake, Node};
use crate::plan::{ImageInput, ValueFrom, object_of};
use crate::reference::{Reference, Registry};

/// ECS developer guide, "Use a file to pass environment variables to a container": ten files.
const MAX_FILES: usize = 10;

/// Ibid., the extension.
const ENVIRONMENT_FILE: &str = ".env";

impl Reader {
    pub(super) fn container(&mut self, container: &Node<'_>) {
        let parts = [
            Self::image,
            Self::secrets,
            Self::environment_files,
            Self::log,
        ];
        for part in parts {
            let result = part(self, container);
            self.note(result);
        }
    }

    fn image(&mut self, container: &Node<'_>) -> Result<(), Mistake> {
        let node = container.needed("image")?;
        let image: Reference = node.text()?.parse().map_err(|error| node.mistake(error))?;
        let login = match container.member("repositoryCredentials")? {
            Some(given) if matches!(image.registry, Registry::Ecr { .. }) => {
                return Err(given
                    .mistake("an Amazon ECR image is pulled as the execution role: leave it out"));
            }
            Some(given) => Some(login(&given.needed("credentialsParameter")?)?),
            None => None,
        };
        self.wanted.images.push(ImageInput {
            image,
            login,
            injected: false,
        });
        Ok(())
    }

    fn secrets(&mut self, container: &Node<'_>) -> Result<(), Mistake> {
        let read = secrets(container, "secrets")?;
        self.wanted.secrets.extend(read);
        Ok(())
    }

    fn environment_files(&mut self, container: &Node<'_>) -> Result<(), Mistake> {
        let files = container.elements("environmentFiles")?;
        if files.len() > MAX_FILES {
            let text = format!("{} environment files: ECS takes {MAX_FILES}", files.len());
            return Err(container.mistake(text));
        }
        for file in files {
            let value = file.needed("value")?;
            let arn = value.text()?;
            file.needed("type")?.one_of(&["s3"])?;
            object_of(arn).map_err(|error| value.mistake(error))?;
            if !arn.ends_with(ENVIRONMENT_FILE) {
                return Err(value.mistake("an environment file's name ends with .env"));
            }
            self.wanted.environment_files.push(arn.to_owned());
        }
        Ok(())
    }
}

/// The secrets under this name.
pub(super) fn secrets(of: &Node<'_>, name: &str) -> Result<Vec<ValueFrom>, Mistake> {
    let read = |secret: Node<'_>| {
        let value = secret.needed("valueFrom")?;
        value.text()?.parse().map_err(|error| value.mistake(error))
    };
    of.elements(name)?.into_iter().map(read).collect()
}

/// A secret's ARN, or its name in the task's region (API reference, RepositoryCredentials).
fn login(parameter: &Node<'_>) -> Result<String, Mistake> {
    let secret = parameter.text()?;
    // Secrets Manager, CreateSecret: letters, digits and /_+=.@-
    let is_name = |name: &str| {
        (1..=512).contains(&name.len())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c))
    };
    if !secret.starts_with("arn:") {
        return if is_name(secret) {
            Ok(secret.to_owned())
        } else {
            Err(parameter.mistake("a secret's ARN is needed, or its name in the task's region"))
        };
    }
    match secret.parse() {
        Ok(ValueFrom::Secret { arn, .. }) if arn == secret => Ok(arn),
        Ok(ValueFrom::Secret { .. }) => {
            Err(parameter.mistake("the whole secret is the login: leave out what follows its name"))
        }
        Ok(ValueFrom::Parameter { .. }) => {
            Err(parameter.mistake("a login is read from Secrets Manager, not from Parameter Store"))
        }
        Err(error) => Err(parameter.mistake(error)),
    }
}
