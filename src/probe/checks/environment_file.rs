//! Environment files: `GetBucketLocation`, then the object, as the execution role. Nothing of its
//! content is kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, RANGE};
use hyper::{Method, StatusCode};
use serde::Deserialize;

use crate::aws::credentials::Credentials;
use crate::aws::sign;
use crate::endpoints::{self, Region};
use crate::observation::{Dependency, Failure, Observation, Outcome, Phase};
use crate::plan::{EnvironmentFile, Plan, TargetIndex, TargetMap};
use crate::probe::aws_call::{self, CallResult};
use crate::probe::net::http::{Ask, Read};
use crate::probe::redirects::RedirectTargets;
use crate::probe::target::{self, Probe, Reached, TargetHandle};
use crate::probe::{SharedCredentials, checks::registry_auth};

/// A location has one short word in it.
const LOCATION_LIMIT: usize = 16 * 1024;

/// Files under way at once. A container may have ten of them.
const PARALLEL: usize = 4;

/// Starts fetching every environment file of the plan, bucket by bucket.
pub fn begin(
    plan: &Plan,
    probe: &Probe,
    climbs: &TargetMap<TargetHandle>,
    credentials: &SharedCredentials,
    discovered: &RedirectTargets,
) {
    let mut buckets: BTreeMap<(TargetIndex, &str), Vec<EnvironmentFile>> = BTreeMap::new();
    for file in &plan.environment_files {
        buckets
            .entry((file.target, &file.bucket))
            .or_default()
            .push(file.clone());
    }
    for ((target, bucket), files) in buckets {
        let fetch = Fetch {
            probe: probe.clone(),
            climb: climbs[target].clone(),
            credentials: credentials.clone(),
            discovered: discovered.clone(),
            bucket: bucket.to_owned(),
            region: plan.region.clone(),
        };
        probe.recorder.spawn(fetch.rehearse(files));
    }
}

struct Fetch {
    probe: Probe,
    climb: TargetHandle,
    credentials: SharedCredentials,
    discovered: RedirectTargets,
    bucket: String,
    region: Region,
}

impl Fetch {
    async fn rehearse(self, files: Vec<EnvironmentFile>) {
        let (reached, credentials) = tokio::join!(self.climb.reached(), self.credentials.clone());
        let (Some(reached), Ok(credentials)) = (reached, credentials.as_ref()) else {
            return;
        };
        let bucket = |reached, region| Bucket {
            probe: &self.probe,
            credentials,
            name: &self.bucket,
            reached,
            region,
        };
        let mut home = bucket(reached, self.region.clone());
        if let Some(region) = home
            .locate(&files[0])
            .await
            .filter(|region| *region != self.region)
        {
            // A bucket is served by its own region alone. The SDKs follow, and so do we, by name
            // and address.
            let host = endpoints::bucket_host(&self.bucket, &region);
            let climb = self.discovered.climb(
                &self.probe,
                Dependency::EnvironmentFile,
                &host,
                443,
                &[Phase::Fetch],
            );
            let Some(climb) = climb else {
                let why = format!("{host}: more hosts than one run looks at");
                return files.iter().for_each(|file| {
                    home.record_object(file, Outcome::NotChecked { why: why.clone() })
                });
            };
            let Some(reached) = climb.reached().await else {
                let blocked_by = format!(
                    "{}/handshake",
                    RedirectTargets::key(Dependency::EnvironmentFile, &host, 443)
                );
                let outcome = Outcome::NotReached { blocked_by };
                return files
                    .iter()
                    .for_each(|file| home.record_object(file, outcome.clone()));
            };
            home = bucket(reached, region);
            home.locate(&files[0]).await;
        }
        let fetches: Vec<BoxFuture<'_, ()>> =
            files.iter().map(|file| home.fetch(file).boxed()).collect();
        stream::iter(fetches)
            .buffer_unordered(PARALLEL)
            .collect::<()>()
            .await;
        home.reached.close();
    }
}

/// A bucket at one region's host.
struct Bucket<'a> {
    probe: &'a Probe,
    credentials: &'a Credentials,
    name: &'a str,
    reached: Arc<Reached>,
    region: Region,
}

impl Bucket<'_> {
    /// Asks where the bucket is, which needs a permission of its own. The answer is its region,
    /// also where it is a redirect or a refusal that only names it; none where nobody says.
    async fn locate(&self, first: &EnvironmentFile) -> Option<Region> {
        let mut said = self
            .ask(
                Method::GET,
                "?location",
                None,
                Read::All(LOCATION_LIMIT),
                StatusCode::is_success,
            )
            .await;
        let elsewhere = named_region(&said.refused).filter(|region| *region != self.region);
        let located = said
            .answer
            .as_ref()
            .and_then(|answer| read_location(&answer.body));
        if let Some(region) = &elsewhere {
            // Not a failure: it is how S3 says where to ask.
            said.observation.outcome = Outcome::Passed;
            said.observation.detail = format!("S3 says that the bucket is in {region}");
            if let Some(answer) = &mut said.observation.answer {
                answer.redirect_host = Some(endpoints::bucket_host(self.name, region));
            }
        } else if said.observation.passed() {
            if let Some(region) = &located {
                said.observation.detail = format!("the bucket is in {region}");
            } else {
                said.observation.outcome = Outcome::Failed {
                    failure: Failure::UnexpectedAnswer,
                };
                said.observation.detail = "the answer is none of GetBucketLocation".into();
            }
        }
        said.observation.id.narrow(self.name);
        let bucket_arn = first.arn.strip_suffix(&format!("/{}", first.key));
        said.observation.subject = Some(bucket_arn.unwrap_or(self.name).to_owned());
        self.probe.recorder.record(said.observation);
        elsewhere.or(located)
    }

    /// The object, first as Fargate looks for it (HEAD), then its first byte: a refusal to HEAD has
    /// no words, and only a read asks for the key of an encrypted object.
    async fn fetch(&self, file: &EnvironmentFile) {
        let started = Instant::now();
        let path = encoded(&file.key);
        let head = self
            .ask(
                Method::HEAD,
                "",
                Some(&path),
                Read::First(0),
                StatusCode::is_success,
            )
            .await;
        if head.observation.answer.is_none() {
            return self.record(head.observation, file);
        }
        let size = head.answer.as_ref().and_then(|answer| {
            answer
                .headers
                .get(CONTENT_LENGTH)?
                .to_str()
                .ok()?
                .parse()
                .ok()
        });
        // An empty file has no first byte: 416.
        let there = |status: &StatusCode| {
            status.is_success() || *status == StatusCode::RANGE_NOT_SATISFIABLE
        };
        let mut said = self
            .ask(Method::GET, "", Some(&path), Read::First(0), there)
            .await;
        if said.observation.passed() {
            let size: Option<u64> = size;
            said.observation.detail =
                size.map_or_else(|| "present".into(), |size| format!("present, {size} bytes"));
        }
        said.observation.attempts += head.observation.attempts;
        said.observation.elapsed_ms = crate::millis(started.elapsed());
        self.record(said.observation, file);
    }

    async fn ask(
        &self,
        method: Method,
        query: &str,
        key: Option<&str>,
        read: Read,
        welcome: fn(&StatusCode) -> bool,
    ) -> CallResult {
        let path = self.path(key.unwrap_or_default(), query);
        let mut headers = HeaderMap::new();
        if key.is_some() && method == Method::GET {
            headers.insert(RANGE, HeaderValue::from_static("bytes=0-0"));
        }
        match self.sign(method, path, headers, read) {
            Ok(ask) => aws_call::ask(self.probe, &self.reached, Phase::Fetch, &ask, welcome).await,
            Err(error) => {
                let outcome = Outcome::Failed {
                    failure: Failure::InvalidSignature,
                };
                let mut unsigned =
                    target::observe(&self.reached.target, Phase::Fetch, outcome, Instant::now());
                unsigned.detail = error;
                CallResult::without_answer(unsigned)
            }
        }
    }

    /// Virtual-hosted where the host has the bucket in it, else path-style.
    fn path(&self, key: &str, query: &str) -> String {
        if self
            .reached
            .target
            .host
            .starts_with(&format!("{}.", self.name))
        {
            format!("/{key}{query}")
        } else {
            format!("/{}/{key}{query}", self.name)
        }
    }

    fn sign(
        &self,
        method: Method,
        path: String,
        headers: HeaderMap,
        read: Read,
    ) -> Result<Ask, String> {
        let uri = format!("https://{}{path}", self.reached.authority());
        let mut request = hyper::Request::builder()
            .method(method.clone())
            .uri(uri)
            .body(Bytes::new());
        let request = request.as_mut().map_err(|error| error.to_string())?;
        *request.headers_mut() = headers;
        sign::sign(
            request,
            "s3",
            self.region.as_str(),
            self.credentials,
            SystemTime::now(),
        )
        .map_err(|error| error.to_string())?;
        Ok(Ask {
            method,
            path,
            headers: std::mem::take(request.headers_mut()),
            body: Bytes::new(),
            read,
        })
    }

    fn record_object(&self, file: &EnvironmentFile, outcome: Outcome) {
        self.record(
            target::observe(&self.reached.target, Phase::Fetch, outcome, Instant::now()),
            file,
        );
    }

    fn record(&self, mut observation: Observation, file: &EnvironmentFile) {
        observation
            .id
            .narrow(format_args!("{}/{}", file.bucket, file.key));
        observation.subject = Some(file.arn.clone());
        self.probe.recorder.record(observation);
    }
}

/// `x-amz-bucket-region`, in redirects and in refusals of a signature for another region.
fn named_region(refused: &HeaderMap) -> Option<Region> {
    refused
        .get("x-amz-bucket-region")?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// GetBucketLocation's answer. The oldest regions have names of their own in it: none is us-east-1,
/// `EU` eu-west-1 (Amazon S3 API reference).
fn read_location(body: &[u8]) -> Option<Region> {
    #[derive(Deserialize)]
    enum Answer {
        LocationConstraint(Word),
    }
    #[derive(Deserialize)]
    struct Word {
        #[serde(rename = "$text")]
        text: Option<String>,
    }
    let Answer::LocationConstraint(word) =
        quick_xml::de::from_str(std::str::from_utf8(body).ok()?).ok()?;
    match word.text.as_deref().map(str::trim) {
        None | Some("") => "us-east-1".parse().ok(),
        Some("EU") => "eu-west-1".parse().ok(),
        Some(region) => region.parse().ok(),
    }
}

/// A key in a path: everything but the unreserved characters and `/` (Amazon S3 API reference,
/// `UriEncode`).
fn encoded(key: &str) -> String {
    registry_auth::percent_encoded(key, b"-._~/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_region_whatever_its_age() {
        let answer = |inside: &str| {
            let xml = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LocationConstraint \
                 xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{inside}</LocationConstraint>"
            );
            read_location(xml.as_bytes()).map(|region| region.to_string())
        };
        assert_eq!(answer("eu-central-1").as_deref(), Some("eu-central-1"));
        assert_eq!(answer("EU").as_deref(), Some("eu-west-1"));
        assert_eq!(answer("").as_deref(), Some("us-east-1"));
        assert_eq!(answer("the moon"), None);
        assert_eq!(
            read_location(b"<LocationConstraint/>")
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
            assert_eq!(read_location(other), None);
        }
    }

    #[test]
    fn a_key_is_encoded_as_s3_signs_it() {
        assert_eq!(encoded("prod/my app+1.env"), "prod/my%20app%2B1.env");
        assert_eq!(encoded("a=ä:b,c"), "a%3D%C3%A4%3Ab%2Cc");
    }
}
