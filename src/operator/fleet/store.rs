//! Where a fleet's results go: a bucket of Amazon S3, or a directory.
//!
//! ```text
//! PREFIX reports/date=2026-11-27/account=123456789012/region=eu-west-1/RUN.TARGET.ndjson
//!        comparisons/date=…/account=…/region=…/RUN.TARGET.json    one for each target
//!        inspections/date=…/account=…/region=…/RUN.TARGET.json    where a subnet does not pass
//!        results/date=…/account=…/region=…/RUN.TARGET.json        the result of each target
//!        comparisons/date=…/RUN.json  pages/date=…/RUN.html  summaries/date=…/RUN.json
//! ```

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use hyper::body::Bytes;

use super::target::FleetTarget;
use crate::operator::aws::{Api, CallError};
use crate::operator::error::OperatorError;
use crate::operator::paging::all_pages;
use crate::operator::s3::{Bucket, LineSplitter, WriteCondition};

/// A run: its ID, and the day on which it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetRun {
    id: String,
    date: String,
}

impl FleetRun {
    /// Takes an ID of letters, digits and `- _ .`, and a time of RFC 3339 or a date. Both become
    /// part of keys.
    pub fn new(id: &str, time: &str) -> Result<Self, OperatorError> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        let date = time.get(.."2026-11-27".len()).unwrap_or_default();
        let is_date = date.parse::<jiff::civil::Date>().is_ok();
        if !(1..=80).contains(&id.len()) || !id.chars().all(is_allowed) || !is_date {
            return Err(OperatorError::Usage(format!(
                "the run {id:?} of {time:?} is not valid; expected an ID of at most 80 letters, digits, - and _, and a date such as 2026-11-27"
            )));
        }
        Ok(Self {
            id: id.to_owned(),
            date: date.to_owned(),
        })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn date(&self) -> &str {
        &self.date
    }

    /// Returns the key of a target's file.
    pub fn target_key(&self, kind: &str, target: &FleetTarget, extension: &str) -> String {
        format!(
            "{}account={}/region={}/{}.{}.{extension}",
            self.prefix(kind),
            target.account,
            target.region,
            self.id,
            target.id()
        )
    }

    /// Returns the key of a file of the whole run.
    pub fn key(&self, kind: &str, extension: &str) -> String {
        format!("{}{}.{extension}", self.prefix(kind), self.id)
    }

    /// Returns the prefix of a day's keys.
    pub fn prefix(&self, kind: &str) -> String {
        format!("{kind}/date={}/", self.date)
    }

    /// Whether a key is that of a target's file of this run.
    pub fn has_key(&self, key: &str) -> bool {
        let name = key.rsplit('/').next().unwrap_or_default();
        let rest = name.strip_prefix(&self.id);
        rest.is_some_and(|rest| rest.starts_with('.') && rest.matches('.').count() == 2)
    }
}

/// Where results go.
#[derive(Debug, Clone)]
pub enum ResultStore {
    /// A bucket, and a prefix of its keys that is empty or ends in a slash.
    Bucket(Box<Bucket>, String),
    Directory(PathBuf),
}

/// Maximum number of objects that are read, or of files of a directory.
const MAX_KEYS: usize = 1_000_000;

/// Maximum number of objects that are listed, in pages of a thousand (Amazon S3 API reference,
/// ListObjectsV2): foreign ones are only counted.
const MAX_LISTED: usize = 10_000_000;
const MAX_PAGES: usize = MAX_LISTED / 1_000;

impl ResultStore {
    /// Returns a location that an operator can copy.
    pub fn location(&self, key: &str) -> String {
        match self {
            Self::Bucket(bucket, prefix) => format!("s3://{}/{prefix}{key}", bucket.name()),
            Self::Directory(directory) => directory.join(key).display().to_string(),
        }
    }

    /// Returns a file; `None` if there is none.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, OperatorError> {
        match self {
            Self::Bucket(bucket, prefix) => {
                let found = bucket.get(&format!("{prefix}{key}")).await?;
                Ok(found.map(|(body, _)| body))
            }
            Self::Directory(directory) => match fs::read(directory.join(key)) {
                Ok(body) => Ok(Some(body)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(file_error(&directory.join(key), &error)),
            },
        }
    }

    /// Writes a file, or replaces it.
    pub async fn put(
        &self,
        key: &str,
        body: String,
        content_type: &'static str,
    ) -> Result<(), OperatorError> {
        match self {
            Self::Bucket(bucket, prefix) => {
                let key = format!("{prefix}{key}");
                let body = Bytes::from(body);
                let always = WriteCondition::Always;
                bucket.put(&key, body, content_type, &always).await?;
                Ok(())
            }
            Self::Directory(directory) => {
                let file = directory.join(key);
                let parent = file.parent().unwrap_or(directory);
                fs::create_dir_all(parent)
                    .and_then(|()| fs::write(&file, body))
                    .map_err(|error| file_error(&file, &error))
            }
        }
    }

    /// Returns the keys that begin with `prefix`, a directory, in their order.
    pub async fn keys(&self, prefix: &str) -> Result<Vec<String>, OperatorError> {
        match self {
            Self::Bucket(bucket, base) => {
                let (all, _) = list(bucket, &format!("{base}{prefix}"), |_| true).await?;
                let keys = all.iter().filter_map(|key| key.strip_prefix(base.as_str()));
                Ok(keys.map(str::to_owned).collect())
            }
            Self::Directory(directory) => {
                let mut files = Vec::new();
                walk(&directory.join(prefix), &mut files)
                    .map_err(|error| file_error(&directory.join(prefix), &error))?;
                let mut keys: Vec<String> = files
                    .iter()
                    .filter_map(|file| file.strip_prefix(directory).ok()?.to_str())
                    .map(|key| key.replace('\\', "/"))
                    .collect();
                keys.sort();
                Ok(keys)
            }
        }
    }

    /// Calls `on_line` with each line of a file; with `None` for one of more than `max` bytes.
    pub async fn lines(
        &self,
        key: &str,
        max: usize,
        mut on_line: impl FnMut(Option<&[u8]>),
    ) -> Result<(), OperatorError> {
        match self {
            Self::Bucket(bucket, prefix) => {
                bucket
                    .lines(&format!("{prefix}{key}"), max, on_line)
                    .await?;
                Ok(())
            }
            Self::Directory(directory) => {
                let file = directory.join(key);
                let mut read = || -> io::Result<()> {
                    let mut reader = BufReader::new(fs::File::open(&file)?);
                    let mut lines = LineSplitter::new(max);
                    loop {
                        let chunk = reader.fill_buf()?;
                        let length = chunk.len();
                        if length == 0 {
                            break;
                        }
                        lines.add(chunk, &mut on_line);
                        reader.consume(length);
                    }
                    lines.end(&mut on_line);
                    Ok(())
                };
                read().map_err(|error| file_error(&file, &error))
            }
        }
    }
}

/// Returns the keys of a bucket that begin with `prefix` and that `keep` accepts, and how many
/// others there are. Fails if there are too many of them.
pub async fn list(
    bucket: &Bucket,
    prefix: &str,
    keep: impl Fn(&str) -> bool,
) -> Result<(Vec<String>, usize), CallError> {
    let too_many = |count: usize| {
        CallError::Setup(format!(
            "s3://{}/{prefix} has more than {count} objects; pass a longer prefix, such as that of a day",
            bucket.name()
        ))
    };
    let (mut kept, mut others) = (0, 0);
    let keys = all_pages(Api::S3, "ListObjectsV2", MAX_PAGES, async |token| {
        let mut page = bucket.list(prefix, token.as_deref()).await?;
        let listed = page.items.len();
        page.items.retain(|key| keep(key));
        kept += page.items.len();
        others += listed - page.items.len();
        if kept > MAX_KEYS {
            return Err(too_many(MAX_KEYS));
        }
        Ok(page)
    });
    match keys.await {
        Ok(keys) => Ok((keys, others)),
        Err(CallError::TooManyPages { .. }) => Err(too_many(MAX_LISTED)),
        Err(error) => Err(error),
    }
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if files.len() >= MAX_KEYS {
            return Err(io::Error::other("it has more than a million files"));
        }
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn file_error(file: &Path, error: &io::Error) -> OperatorError {
    OperatorError::Failed(format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_partitioned_and_belong_to_one_run() {
        let run = FleetRun::new("nightly-1", "2026-11-27T03:00:00Z").unwrap();
        let target = FleetTarget {
            account: "123456789012".into(),
            region: "eu-west-1".parse().unwrap(),
            cluster: None,
            service: Some("web".into()),
            task_definition: None,
            subnets: Vec::new(),
            security_groups: Vec::new(),
        };
        let key = run.target_key("reports", &target, "ndjson");
        let id = target.id();
        assert_eq!(
            key,
            format!(
                "reports/date=2026-11-27/account=123456789012/region=eu-west-1/nightly-1.{id}.ndjson"
            )
        );
        assert!(run.has_key(&key) && !run.has_key(&run.key("comparisons", "json")));
        let other = FleetRun::new("nightly-10", "2026-11-27").unwrap();
        assert!(
            !other.has_key(&key) && !run.has_key(&other.target_key("reports", &target, "ndjson"))
        );
        for (id, time) in [
            ("a/b", "2026-11-27"),
            ("", "2026-11-27"),
            ("a", "today"),
            ("a", "2026-13-40"),
        ] {
            assert!(FleetRun::new(id, time).is_err(), "{id} {time}");
        }
    }
}
