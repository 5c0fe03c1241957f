//! Objects of Amazon S3: listed, read line by line, and written.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use hyper::{Method, Request, StatusCode};
use serde::Deserialize;

use super::aws::{Api, CallError, Client, percent_encode, read_body};
use super::paging::Page;
use crate::aws::s3::{bucket_region, object_path};
use crate::plan::is_bucket_name;

/// Largest object that is read as a whole, in bytes.
const MAX_OBJECT: usize = 64 * 1024 * 1024;

/// Limit for a whole object: a report of each of a thousand subnets has 250 MB.
const OBJECT_TIMEOUT: Duration = Duration::from_mins(5);

/// Largest page of a list: a thousand keys of 1,024 bytes, and their XML.
const MAX_PAGE: usize = 8 * 1024 * 1024;

/// `s3://BUCKET/KEY`, of an object or of all objects whose keys begin so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Uri {
    pub bucket: String,
    /// Key, or its beginning; may be empty.
    pub key: String,
}

impl FromStr for S3Uri {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("{text:?}: expected s3://BUCKET/PREFIX, such as s3://my-bucket/reports/");
        let rest = text.strip_prefix("s3://").ok_or_else(expected)?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if !is_bucket_name(bucket) || key.len() > 1024 {
            return Err(expected());
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        })
    }
}

impl fmt::Display for S3Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// A bucket, called in its own Region.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: Client,
    name: String,
}

/// What must hold for an object to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteCondition {
    Always,
    /// There is no object with this key.
    IsNew,
    /// The object is still the one with this ETag.
    IsUnchanged(String),
}

impl Bucket {
    /// Finds the Region of a bucket. Fails if there is no such bucket.
    pub async fn find(client: &Client, name: &str) -> Result<Self, CallError> {
        let path = object_path("", name, "");
        let request = client.s3_request(Method::HEAD, &path, Bytes::new())?;
        let response = client.s3("HeadBucket", &request).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Err(CallError::Setup(format!(
                "there is no bucket {name}; check its name and your AWS account"
            )));
        }
        // Also in redirects and refusals, which the next request explains with a message.
        let client = match bucket_region(response.headers()) {
            Some(region) => client.in_region(region),
            None => client.clone(),
        };
        Ok(Self {
            client: client.with_timeout(OBJECT_TIMEOUT),
            name: name.to_owned(),
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns a page of the keys that begin with `prefix`, in their order.
    pub async fn list(&self, prefix: &str, token: Option<&str>) -> Result<Page<String>, CallError> {
        const OPERATION: &str = "ListObjectsV2";
        // The signature covers the query in the order of its names.
        let mut query = String::new();
        if let Some(token) = token {
            query = format!("continuation-token={}&", percent_encode(token));
        }
        let prefix = percent_encode(prefix);
        let path = format!("/{}?{query}list-type=2&prefix={prefix}", self.name);
        let request = self.client.s3_request(Method::GET, &path, Bytes::new())?;
        let mut response = self.client.s3(OPERATION, &request).await?;
        if !response.status().is_success() {
            return Err(self
                .client
                .refusal(Api::S3, OPERATION, &mut response)
                .await?);
        }
        let action = || Api::S3.action(OPERATION);
        let body = read_body(&mut response, MAX_PAGE, action).await?;
        let page: ListPage = quick_xml::de::from_reader(body.as_slice())
            .map_err(|error| CallError::unreadable(action(), &error))?;
        Ok(Page {
            items: page.contents.into_iter().map(|object| object.key).collect(),
            next_token: page.next_continuation_token,
        })
    }

    /// Returns an object and its ETag; `None` if there is no object with this key.
    pub async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, String)>, CallError> {
        let Some(mut response) = self.open(key).await? else {
            return Ok(None);
        };
        let tag = response.headers().get("etag");
        let tag = tag.and_then(|tag| tag.to_str().ok()).unwrap_or_default();
        let tag = tag.to_owned();
        let body = read_body(&mut response, MAX_OBJECT, || Api::S3.action("GetObject")).await?;
        Ok(Some((body, tag)))
    }

    /// Calls `on_line` with each line of an object, without its end. A line of more than `max`
    /// bytes is passed as `None`. Returns whether there is such an object.
    pub async fn lines(
        &self,
        key: &str,
        max: usize,
        mut on_line: impl FnMut(Option<&[u8]>),
    ) -> Result<bool, CallError> {
        let Some(mut response) = self.open(key).await? else {
            return Ok(false);
        };
        let mut lines = LineSplitter::new(max);
        let transport = |error| CallError::transport(Api::S3.action("GetObject"), &error);
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            lines.add(&chunk, &mut on_line);
        }
        lines.end(&mut on_line);
        Ok(true)
    }

    async fn open(&self, key: &str) -> Result<Option<reqwest::Response>, CallError> {
        const OPERATION: &str = "GetObject";
        let request = self.request(Method::GET, key, Bytes::new())?;
        let mut response = self.client.s3(OPERATION, &request).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(response)),
            _ => Err(self
                .client
                .refusal(Api::S3, OPERATION, &mut response)
                .await?),
        }
    }

    /// Writes an object. Returns `false` if the condition does not hold.
    pub async fn put(
        &self,
        key: &str,
        body: Bytes,
        content_type: &'static str,
        condition: &WriteCondition,
    ) -> Result<bool, CallError> {
        const OPERATION: &str = "PutObject";
        let mut request = self.request(Method::PUT, key, body)?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let header: Option<(HeaderName, HeaderValue)> = match condition {
            WriteCondition::Always => None,
            WriteCondition::IsNew => Some((IF_NONE_MATCH, HeaderValue::from_static("*"))),
            WriteCondition::IsUnchanged(tag) => HeaderValue::try_from(tag.as_str())
                .ok()
                .map(|tag| (IF_MATCH, tag)),
        };
        if let Some((name, value)) = header {
            headers.insert(name, value);
        }
        let mut response = self.client.s3(OPERATION, &request).await?;
        match response.status() {
            status if status.is_success() => Ok(true),
            // Another request with the same key came first.
            StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT => Ok(false),
            _ => Err(self
                .client
                .refusal(Api::S3, OPERATION, &mut response)
                .await?),
        }
    }

    fn request(&self, method: Method, key: &str, body: Bytes) -> Result<Request<Bytes>, CallError> {
        let path = object_path("", &self.name, key);
        self.client.s3_request(method, &path, body)
    }
}

/// A page of `ListObjectsV2`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ListPage {
    contents: Vec<ListedObject>,
    next_continuation_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedObject {
    key: String,
}

/// Splits what arrives in pieces into lines, without their ends. Empty lines are left out, and of a
/// line of more than `max` bytes is passed `None`.
pub(super) struct LineSplitter {
    line: Vec<u8>,
    max: usize,
    /// Whether the line is too long, and its rest is skipped.
    is_too_long: bool,
}

impl LineSplitter {
    pub(super) fn new(max: usize) -> Self {
        Self {
            line: Vec::new(),
            max,
            is_too_long: false,
        }
    }

    pub(super) fn add(&mut self, mut chunk: &[u8], on_line: &mut impl FnMut(Option<&[u8]>)) {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            self.append(&chunk[..end]);
            self.end(on_line);
            chunk = &chunk[end + 1..];
        }
        self.append(chunk);
    }

    fn append(&mut self, part: &[u8]) {
        if self.is_too_long || self.line.len() + part.len() > self.max {
            self.is_too_long = true;
            self.line.clear();
        } else {
            self.line.extend_from_slice(part);
        }
    }

    pub(super) fn end(&mut self, on_line: &mut impl FnMut(Option<&[u8]>)) {
        if self.is_too_long {
            on_line(None);
        } else if !self.line.is_empty() {
            on_line(Some(&self.line));
        }
        self.line.clear();
        self.is_too_long = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_name_a_bucket_and_a_prefix() {
        let uri: S3Uri = "s3://my-bucket/a/b".parse().unwrap();
        assert_eq!(
            (uri.bucket.as_str(), uri.key.as_str()),
            ("my-bucket", "a/b")
        );
        assert_eq!(
            "s3://abc".parse::<S3Uri>().unwrap().to_string(),
            "s3://abc/"
        );
        for bad in ["", "s3:/x", "s3://", "s3://My_Bucket/a", "https://abc/d"] {
            let error = bad.parse::<S3Uri>().unwrap_err();
            assert!(error.contains("s3://BUCKET/PREFIX"), "{error}");
        }
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let text = b"one\n\ntwo\nmuch too long\nlast";
        for size in 1..=text.len() {
            let (mut splitter, mut lines) = (LineSplitter::new(4), Vec::new());
            let mut on_line = |line: Option<&[u8]>| lines.push(line.map(<[u8]>::to_vec));
            for chunk in text.chunks(size) {
                splitter.add(chunk, &mut on_line);
            }
            splitter.end(&mut on_line);
            let expected = [Some("one"), Some("two"), None, Some("last")];
            let expected = expected.map(|line| line.map(|line| line.as_bytes().to_vec()));
            assert_eq!(lines, expected);
        }
    }
}
