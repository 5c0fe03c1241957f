//! The location of a task definition, `--task-definition`.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::str::FromStr;

#[cfg(not(feature = "operator"))]
use crate::plan::task_definition::MAX_SIZE as MAX_FILE;
use crate::plan::{S3Object, ValueFrom};
use crate::probe::TaskDefinitionLocation;
#[cfg(feature = "operator")]
use crate::template::MAX_FILE;

/// Location of a task definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `-`
    Stdin,
    /// A path.
    File(PathBuf),
    /// Amazon S3 or Parameter Store, where the probe reads it with its own credentials.
    Remote(TaskDefinitionLocation),
}

impl FromStr for Source {
    type Err = String;

    /// Parses `-`, `s3://…`, `ssm:…` or an ARN; any other text is a path.
    fn from_str(text: &str) -> Result<Self, String> {
        let object = |arn: &str| {
            let S3Object { bucket, key } = arn.parse::<S3Object>().map_err(|e| e.to_string())?;
            Ok(Self::Remote(TaskDefinitionLocation::Object { bucket, key }))
        };
        let parameter = |name: &str| {
            match name.parse::<ValueFrom>().map_err(|e| e.to_string())? {
            ValueFrom::Parameter { name, region } => {
                Ok(Self::Remote(TaskDefinitionLocation::Parameter { name, region }))
            }
            ValueFrom::Secret { .. } => {
                Err(
                "cannot read a task definition from Secrets Manager; use a Parameter Store parameter"
                    .to_owned(),
            )
            }
        }
        };
        if text == "-" {
            return Ok(Self::Stdin);
        }
        if text.is_empty() {
            return Err("expected a file, -, s3://BUCKET/KEY or ssm:/NAME".into());
        }
        if let Some(path) = text.strip_prefix("s3://") {
            return object(&format!("arn:aws:s3:::{path}"));
        }
        if let Some(name) = text.strip_prefix("ssm:") {
            return parameter(name);
        }
        match text.split(':').nth(2).filter(|_| text.starts_with("arn:")) {
            Some("s3") => object(text),
            Some("ssm" | "secretsmanager") => parameter(text),
            Some(_) => {
                Err(
                    "only ARNs of Amazon S3 objects and of parameters are supported; for the ARN of a task definition, \
                     pass the output of aws ecs describe-task-definition"
                        .into(),
                )
            }
            None => Ok(Self::File(text.into())),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("-"),
            Self::File(path) => path.display().fmt(f),
            Self::Remote(document) => document.fmt(f),
        }
    }
}

/// Maximum number of bytes read of a file: one more than the limit, so that a larger file is
/// detected.
const MAX_READ: u64 = MAX_FILE as u64 + 1;

impl Source {
    /// Reads the document. Fails if it is not on this machine.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut document = Vec::new();
        match self {
            Self::Stdin => io::stdin()
                .lock()
                .take(MAX_READ)
                .read_to_end(&mut document)?,
            Self::File(path) => File::open(path)?
                .take(MAX_READ)
                .read_to_end(&mut document)?,
            Self::Remote(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_is_a_file_unless_it_has_another_form() {
        let object = |bucket: &str, key: &str| {
            Ok(Source::Remote(TaskDefinitionLocation::Object {
                bucket: bucket.into(),
                key: key.into(),
            }))
        };
        let parameter = |name: &str, region: Option<&str>| {
            let region = region.map(|region| region.parse().unwrap());
            Ok(Source::Remote(TaskDefinitionLocation::Parameter {
                name: name.into(),
                region,
            }))
        };
        let arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/app/task";
        for (text, source) in [
            ("-", Ok(Source::Stdin)),
            ("task.json", Ok(Source::File("task.json".into()))),
            ("./s3:/x", Ok(Source::File("./s3:/x".into()))),
            ("s3://bucket/a/task.json", object("bucket", "a/task.json")),
            (
                "arn:aws:s3:::bucket/task.json",
                object("bucket", "task.json"),
            ),
            ("ssm:/app/task", parameter("/app/task", None)),
            (arn, parameter(arn, Some("eu-west-1"))),
        ] {
            assert_eq!(text.parse::<Source>(), source, "{text}");
            assert_eq!(
                source.unwrap().to_string().parse::<Source>().unwrap(),
                text.parse().unwrap()
            );
        }
        for (text, word) in [
            ("", "s3://BUCKET/KEY"),
            ("s3://bucket", "object"),
            ("ssm:", "1 to 2,048"),
            (
                "arn:aws:ecs:eu-west-1:123456789012:task-definition/app:1",
                "describe-task-definition",
            ),
            (
                "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app",
                "use a Parameter Store parameter",
            ),
        ] {
            let error = text.parse::<Source>().unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
