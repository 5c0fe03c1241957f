//! A document that the probe reads as itself before a run: the task definition in Amazon S3 or
//! Parameter Store.
//!
//! The same ladder as a target's, so that what stands in the way is told as precisely.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper::{Method, StatusCode};
use rustls::RootCertStore;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, timeout_at};

use crate::aws::credentials::Credentials;
use crate::aws::sign;
use crate::endpoints::{self, Region, Service, Variant};
use crate::observation::{Dependency, Failure, Observation, Phase, TargetKey};
use crate::plan::Target;
use crate::plan::task_definition::MAX_SIZE;
use crate::probe::aws_call::{self, CallResult, SSM};
use crate::probe::net::http::{Ask, Read};
use crate::probe::net::tls::Tls;
use crate::probe::target::{Probe, Reached, TargetHandle};
use crate::probe::{ProbeContext, Recorder, SharedCredentials};

/// Where a document lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Amazon S3.
    Object {
        /// Bucket name.
        bucket: String,
        /// Object key.
        key: String,
    },
    /// Parameter Store.
    Parameter {
        /// ARN, or a name in the task's region.
        name: String,
        /// From the ARN.
        region: Option<Region>,
    },
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object { bucket, key } => write!(f, "s3://{bucket}/{key}"),
            Self::Parameter {
                name,
                region: Some(_),
            } => f.write_str(name),
            Self::Parameter { name, region: None } => write!(f, "ssm:{name}"),
        }
    }
}

/// Asks for `document` as whoever has the credentials, climbs no longer than `within`, and reads no
/// more than a task definition has. Fails with one sentence on what stood in the way and what to
/// do.
pub async fn read(
    document: &Document,
    task_region: &Region,
    setting: ProbeContext,
    roots: Arc<RootCertStore>,
    credentials: SharedCredentials,
    within: Duration,
) -> Result<Vec<u8>, String> {
    let until = Instant::now() + within;
    let (recorder, mut seen) = Recorder::new();
    let probe = Probe::new(Arc::new(setting), Tls::new(roots)?, recorder);
    let credentials = credentials.await;
    let credentials = credentials.as_ref().as_ref().map_err(|unavailable| {
        format!(
            "it can be read only with credentials, and there are none: {}",
            unavailable.detail
        )
    })?;
    let reader = Reader {
        probe,
        credentials,
        until,
    };
    match document {
        Document::Parameter { name, region } => {
            let region = region.as_ref().unwrap_or(task_region);
            let host = endpoints::api_host(Service::Ssm, region, Variant::default());
            let reached = reader.reach(Dependency::Ssm, host, &mut seen).await?;
            reader.parameter(name, region, &reached).await
        }
        Document::Object { bucket, key } => {
            let first = reader.object(bucket, key, task_region, &mut seen).await;
            match first {
                // A bucket is served by its own region alone.
                Err(Refused::Elsewhere(region)) => {
                    reader.object(bucket, key, &region, &mut seen).await
                }
                settled => settled,
            }
            .map_err(|refused| match refused {
                Refused::Elsewhere(region) => {
                    format!("Amazon S3 says that the bucket is in {region} and not there either")
                }
                Refused::CallResult(text) => text,
            })
        }
    }
}

/// Why there is no object.
enum Refused {
    Elsewhere(Region),
    CallResult(String),
}

struct Reader<'a> {
    probe: Probe,
    credentials: &'a Credentials,
    until: Instant,
}

/// What to do where the way is broken.
pub const LOCAL_FILE_HINT: &str = "hand the plan over with --plan instead, or name images with --image: that checks this way, too";

impl Reader<'_> {
    async fn reach(
        &self,
        dependency: Dependency,
        host: String,
        seen: &mut UnboundedReceiver<Box<Observation>>,
    ) -> Result<Arc<Reached>, String> {
        let phases = vec![Phase::Resolve, Phase::Connect, Phase::Handshake];
        let target = Target {
            key: TargetKey::of(dependency),
            dependency,
            host: host.clone(),
            port: 443,
            phases,
        };
        let climb = TargetHandle::start(self.probe.clone(), target);
        if let Ok(Some(reached)) = timeout_at(self.until, climb.reached()).await {
            return Ok(reached);
        }
        let mut seen = std::iter::from_fn(|| seen.try_recv().ok());
        let failed = seen.find(|observation| observation.failure().is_some());
        let why = failed.map_or_else(|| " in time".into(), |observation| said(&observation));
        Err(format!(
            "{host} cannot be reached from here{why}; {LOCAL_FILE_HINT}"
        ))
    }

    async fn parameter(
        &self,
        name: &str,
        region: &Region,
        reached: &Reached,
    ) -> Result<Vec<u8>, String> {
        let input = json!({ "Names": [name], "WithDecryption": true });
        let place = (&self.probe, reached, Phase::Read);
        // The plural, which execution roles have for their secrets.
        let CallResult {
            observation,
            answer,
            ..
        } = SSM
            .call(
                "GetParameters",
                input,
                place,
                region.as_str(),
                self.credentials,
            )
            .await;
        let Some(answer) = answer else {
            return Err(format!(
                "Parameter Store does not hand it out{}; the role needs ssm:GetParameters on it, and kms:Decrypt if it is \
                 encrypted with a key of your own",
                said(&observation)
            ));
        };
        let answer: Parameters = serde_json::from_slice(&answer.body).map_err(|_| {
            format!(
                "{} answers with something else than parameters",
                reached.target.host
            )
        })?;
        let value = answer
            .parameters
            .into_iter()
            .next()
            .map(|parameter| parameter.value);
        value
            .map(String::into_bytes)
            .ok_or_else(|| format!("there is no such parameter in {region}"))
    }

    async fn object(
        &self,
        bucket: &str,
        key: &str,
        region: &Region,
        seen: &mut UnboundedReceiver<Box<Observation>>,
    ) -> Result<Vec<u8>, Refused> {
        let host = endpoints::bucket_host(bucket, region);
        let in_path = if host.starts_with(&format!("{bucket}.")) {
            String::new()
        } else {
            format!("/{bucket}")
        };
        let reached = self
            .reach(Dependency::S3, host, seen)
            .await
            .map_err(Refused::CallResult)?;
        let ask = self
            .sign(&reached, format!("{in_path}/{}", encoded(key)), region)
            .map_err(Refused::CallResult)?;
        let CallResult {
            observation,
            answer,
            refused,
        } = aws_call::ask(
            &self.probe,
            &reached,
            Phase::Fetch,
            &ask,
            StatusCode::is_success,
        )
        .await;
        if let Some(answer) = answer {
            return Ok(answer.body.to_vec());
        }
        let named = refused
            .get("x-amz-bucket-region")
            .and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(elsewhere) = named.filter(|elsewhere| elsewhere != region) {
            return Err(Refused::Elsewhere(elsewhere));
        }
        let advice = match observation.failure() {
            Some(Failure::TooLarge) => format!("it has more than {MAX_SIZE} bytes"),
            Some(Failure::NotFound) => "there is no such object or bucket: check the name".into(),
            Some(Failure::Denied) => format!(
                "the role needs s3:GetObject on arn:{}:s3:::{bucket}/{key}, and with s3:ListBucket Amazon S3 tells a missing \
                 object from a forbidden one",
                region.partition().name()
            ),
            _ => LOCAL_FILE_HINT.into(),
        };
        Err(Refused::CallResult(format!(
            "Amazon S3 does not hand it out{}; {advice}",
            said(&observation)
        )))
    }

    fn sign(&self, reached: &Reached, path: String, region: &Region) -> Result<Ask, String> {
        let uri = format!("https://{}{path}", reached.authority());
        let mut request = hyper::Request::get(uri)
            .body(Bytes::new())
            .map_err(|error| error.to_string())?;
        sign::sign(
            &mut request,
            "s3",
            region.as_str(),
            self.credentials,
            SystemTime::now(),
        )
        .map_err(|error| error.to_string())?;
        let headers: HeaderMap = std::mem::take(request.headers_mut());
        Ok(Ask {
            method: Method::GET,
            path,
            headers,
            body: Bytes::new(),
            read: Read::All(MAX_SIZE),
        })
    }
}

/// How it failed, in brackets.
fn said(observation: &Observation) -> String {
    let Some(failure) = observation.failure() else {
        return String::new();
    };
    let at = observation
        .peer
        .map(|peer| format!(" at {peer}"))
        .unwrap_or_default();
    let code = observation
        .answer
        .as_ref()
        .map(|answer| answer.code.as_str())
        .filter(|code| !code.is_empty());
    let detail = code.unwrap_or(&observation.detail);
    let detail = if detail.is_empty() {
        String::new()
    } else {
        format!(", {detail}")
    };
    format!(" ({} {failure}{at}{detail})", observation.phase)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameters {
    #[serde(default)]
    parameters: Vec<Parameter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    value: String,
}

/// Everything but the unreserved characters and `/` (Amazon S3 API reference, `UriEncode`).
fn encoded(key: &str) -> String {
    let mut path = String::new();
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}
