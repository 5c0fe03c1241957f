//! `fetch` of environment files: `GetBucketLocation`, then the object, both signed with the
//! credentials. No content is kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, RANGE};
use hyper::{Method, StatusCode};
use serde::Deserialize;

use crate::aws::credentials::Credentials;
use crate::aws::s3;
use crate::endpoints::{self, Region};
use crate::observation::{Dependency, Failure, Observation, ObservationId, Outcome, Phase};
use crate::plan::{EnvironmentFile, Plan, TargetIndex, TargetMap};
use crate::probe::aws_call::{Accept, CallResult, PhaseClient};
use crate::probe::context::{ProbeContext, SharedCredentials, observe};
use crate::probe::net::http::{HttpRequest, ReadBody};
use crate::probe::redirects::{MAX_REDIRECT_HOSTS, RedirectHost, RedirectTargets};
use crate::probe::target::{ConnectedTarget, TargetHandle, add_tries};
use crate::safe_text::safe_text;

/// Maximum number of bytes read of a GetBucketLocation response, which contains one short word.
const MAX_LOCATION_BYTES: usize = 16 * 1024;

/// Maximum number of files fetched concurrently. A container may have ten.
const MAX_CONCURRENT_FILES: usize = 4;

/// Starts one check for each bucket, which fetches all its environment files of the plan.
pub fn spawn_checks(
    plan: &Plan,
    context: &ProbeContext,
    targets: &TargetMap<TargetHandle>,
    credentials: &SharedCredentials,
    redirects: &RedirectTargets,
) {
    let mut buckets: BTreeMap<(TargetIndex, &str), Vec<EnvironmentFile>> = BTreeMap::new();
    for file in &plan.environment_files {
        buckets
            .entry((file.target, &file.bucket))
            .or_default()
            .push(file.clone());
    }
    for ((target, bucket), files) in buckets {
        let check = BucketCheck {
            context: context.clone(),
            target: targets[target].clone(),
            credentials: credentials.clone(),
            redirects: redirects.clone(),
            bucket: bucket.to_owned(),
            region: plan.region.clone(),
            files,
        };
        context.recorder.spawn(check.run());
    }
}

/// The environment files of one bucket.
struct BucketCheck {
    context: ProbeContext,
    /// The bucket's host in the task's Region, where the bucket need not be.
    target: TargetHandle,
    credentials: SharedCredentials,
    redirects: RedirectTargets,
    bucket: String,
    /// The task's Region.
    region: Region,
    files: Vec<EnvironmentFile>,
}

impl BucketCheck {
    async fn run(self) {
        let (target, credentials) = tokio::join!(self.target.connected(), self.credentials.clone());
        let (Some(target), Ok(credentials)) = (target, credentials.as_ref()) else {
            return;
        };
        let mut bucket = self.bucket_at(target, self.region.clone(), credentials);
        let located = bucket.check_location(&self.files[0]).await;
        if let Some(region) = located.filter(|region| *region != self.region) {
            // A bucket is served by its own Region only, so the SDKs continue at its host there.
            let host = RedirectHost {
                dependency: Dependency::EnvironmentFile,
                host: endpoints::bucket_host(&self.bucket, &region, self.context.variant()),
                port: 443,
            };
            let handle = self.redirects.connect(&self.context, &host, Phase::Fetch);
            let Some(handle) = handle else {
                let why = format!(": host limit reached ({MAX_REDIRECT_HOSTS} per run)");
                let why = safe_text![host.host, why];
                return bucket.record_all(&self.files, &Outcome::NotChecked { why });
            };
            let Some(target) = handle.connected().await else {
                let blocked_by = ObservationId::new(host.key(), Phase::Handshake);
                let blocked_by = blocked_by.to_string().into();
                return bucket.record_all(&self.files, &Outcome::NotReached { blocked_by });
            };
            bucket = self.bucket_at(target, region, credentials);
            bucket.check_location(&self.files[0]).await;
        }
        let checks: Vec<BoxFuture<'_, ()>> = self
            .files
            .iter()
            .map(|file| bucket.check_file(file).boxed())
            .collect();
        stream::iter(checks)
            .buffer_unordered(MAX_CONCURRENT_FILES)
            .collect::<()>()
            .await;
        bucket.target.close_idle();
    }

    fn bucket_at<'a>(
        &'a self,
        target: Arc<ConnectedTarget>,
        region: Region,
        credentials: &'a Credentials,
    ) -> Bucket<'a> {
        Bucket {
            context: &self.context,
            credentials,
            name: &self.bucket,
            target,
            region,
        }
    }
}

/// A bucket at the host of one Region.
struct Bucket<'a> {
    context: &'a ProbeContext,
    credentials: &'a Credentials,
    name: &'a str,
    target: Arc<ConnectedTarget>,
    region: Region,
}

impl Bucket<'_> {
    /// Calls GetBucketLocation, which needs its own permission, and records the result. Returns the
    /// bucket's Region, which a redirect or a refusal may name as well.
    async fn check_location(&self, first: &EnvironmentFile) -> Option<Region> {
        let path = s3::object_path(&self.target.target.host, self.name, "");
        let mut result = self
            .call(
                Method::GET,
                format!("{path}?location"),
                HeaderMap::new(),
                ReadBody::Whole(MAX_LOCATION_BYTES),
                StatusCode::is_success,
            )
            .await;
        let redirected =
            s3::bucket_region(&result.error_headers).filter(|region| *region != self.region);
        let located = result
            .response
            .as_ref()
            .and_then(|response| parse_location(&response.body));
        if let Some(region) = &redirected {
            // Not a failure: this is how S3 names the right host.
            result.observation.outcome = Outcome::Passed;
            result.observation.detail = safe_text![
                "S3 redirects to ",
                region.to_string(),
                ", the bucket's Region",
            ];
            if let Some(answer) = &mut result.observation.answer {
                answer.redirect_host = Some(endpoints::bucket_host(
                    self.name,
                    region,
                    self.context.variant(),
                ));
            }
        } else if result.observation.passed() {
            if let Some(region) = &located {
                result.observation.detail = safe_text!["the bucket is in ", region.to_string()];
            } else {
                result.observation.outcome = Outcome::Failed {
                    failure: Failure::UnexpectedAnswer,
                };
                result.observation.detail = "not a GetBucketLocation response".into();
            }
        }
        result.observation.id.narrow(self.name);
        let bucket_arn = first.arn.strip_suffix(&format!("/{}", first.key));
        result.observation.subject = Some(bucket_arn.unwrap_or(self.name).to_owned());
        self.context.recorder.record(result.observation);
        redirected.or(located)
    }

    /// Sends HEAD, as Fargate does first, then fetches one byte: a refused HEAD has no error
    /// message, and only reading needs the KMS key of an encrypted object.
    async fn check_file(&self, file: &EnvironmentFile) {
        let started = Instant::now();
        let path = s3::object_path(&self.target.target.host, self.name, &file.key);
        let nothing = ReadBody::Prefix(0);
        let head = self
            .call(
                Method::HEAD,
                path.clone(),
                HeaderMap::new(),
                nothing,
                StatusCode::is_success,
            )
            .await;
        if head.observation.answer.is_none() {
            return self.record(head.observation, file);
        }
        let size: Option<u64> = head.response.as_ref().and_then(|response| {
            let length = response.headers.get(CONTENT_LENGTH)?;
            length.to_str().ok()?.parse().ok()
        });
        let range = HeaderMap::from_iter([(RANGE, HeaderValue::from_static("bytes=0-0"))]);
        // An empty file has no first byte: 416.
        let accept = |status: &StatusCode| {
            status.is_success() || *status == StatusCode::RANGE_NOT_SATISFIABLE
        };
        let mut result = self.call(Method::GET, path, range, nothing, accept).await;
        if result.observation.passed() {
            result.observation.detail = size.map_or_else(
                || "present".into(),
                |size| safe_text!["present, ", size.to_string(), " bytes"],
            );
        }
        result.observation.attempts += head.observation.attempts;
        add_tries(&mut result.observation, &head.observation);
        result.observation.elapsed_ms = crate::millis(started.elapsed());
        self.record(result.observation, file);
    }

    async fn call(
        &self,
        method: Method,
        path: String,
        headers: HeaderMap,
        read_body: ReadBody,
        accept: Accept,
    ) -> CallResult {
        let client = PhaseClient {
            context: self.context,
            target: &self.target,
            phase: Phase::Fetch,
        };
        let signed = s3::signed_headers(
            &method,
            &self.target.authority(),
            &path,
            headers,
            self.region.as_str(),
            self.credentials,
        );
        match signed {
            Ok(headers) => {
                let request = HttpRequest {
                    method,
                    path,
                    headers,
                    body: Bytes::new(),
                    read_body,
                };
                client.call(&request, accept).await.require_service()
            }
            Err(error) => client.unsigned(error.to_string()),
        }
    }

    fn record_all(&self, files: &[EnvironmentFile], outcome: &Outcome) {
        for file in files {
            let target = &self.target.target;
            let observation = observe(target, Phase::Fetch, outcome.clone(), Instant::now());
            self.record(observation, file);
        }
    }

    fn record(&self, mut observation: Observation, file: &EnvironmentFile) {
        observation
            .id
            .narrow(format_args!("{}/{}", file.bucket, file.key));
        observation.subject = Some(file.arn.clone());
        self.context.recorder.record(observation);
    }
}

/// Parses a GetBucketLocation response. Two old Regions are special: us-east-1 is empty, and
/// eu-west-1 may be `EU` (Amazon S3 API reference).
fn parse_location(body: &[u8]) -> Option<Region> {
    #[derive(Deserialize)]
    enum Response {
        LocationConstraint(Constraint),
    }
    #[derive(Deserialize)]
    struct Constraint {
        #[serde(rename = "$text")]
        region: Option<String>,
    }
    let Response::LocationConstraint(constraint) =
        quick_xml::de::from_str(std::str::from_utf8(body).ok()?).ok()?;
    match constraint.region.as_deref().map(str::trim) {
        None | Some("") => "us-east-1".parse().ok(),
        Some("EU") => "eu-west-1".parse().ok(),
        Some(region) => region.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_location_of_old_and_new_regions() {
        let located = |inside: &str| {
            let xml = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LocationConstraint \
                 xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{inside}</LocationConstraint>"
            );
            parse_location(xml.as_bytes()).map(|region| region.to_string())
        };
        assert_eq!(located("eu-central-1").as_deref(), Some("eu-central-1"));
        assert_eq!(located("EU").as_deref(), Some("eu-west-1"));
        assert_eq!(located("").as_deref(), Some("us-east-1"));
        assert_eq!(located("the moon"), None);
        assert_eq!(
            parse_location(b"<LocationConstraint/>")
                .map(|region| region.to_string())
                .as_deref(),
            Some("us-east-1")
        );
        for other in [
            &b"<html>x</html>"[..],
            b"",
            b"\xff",
            b"<Error><Code>AccessDenied</Code></Error>",
        ] {
            assert_eq!(parse_location(other), None);
        }
    }
}
