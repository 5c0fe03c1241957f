//! Fetches the task definition from Amazon S3 or Parameter Store before a run.
//!
//! It is fetched like any other target, so that an error is as precise as an observation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper::{Method, StatusCode};
use rustls::RootCertStore;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::aws::credentials::Credentials;
use crate::aws::s3;
use crate::endpoints::{self, Region, Service};
use crate::observation::{Dependency, Failure, Observation, Phase, TargetKey};
use crate::plan::Target;
use crate::plan::task_definition::MAX_SIZE;
use crate::probe::aws_call::{CallResult, GetParametersResponse, PhaseClient, SSM};
use crate::probe::context::{ProbeContext, ProbeSettings, SharedCredentials};
use crate::probe::net::http::{HttpRequest, ReadBody};
use crate::probe::net::tls::TlsClient;
use crate::probe::recorder::{ObservationReceiver, Recorder};
use crate::probe::target::{ConnectedTarget, TargetHandle};

/// What to do if the task definition cannot be fetched.
pub const LOCAL_FILE_HINT: &str = "pass the plan with --plan instead, or name images with --image; that checks this network path as well";

/// Where a task definition is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskDefinitionLocation {
    /// Amazon S3.
    Object {
        /// Bucket name.
        bucket: String,
        /// Object key.
        key: String,
    },
    /// Parameter Store.
    Parameter {
        /// ARN, or a name in the task's Region.
        name: String,
        /// The Region of an ARN.
        region: Option<Region>,
    },
}

impl fmt::Display for TaskDefinitionLocation {
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

/// Fetches a task definition of at most [`MAX_SIZE`] bytes with the credentials. Waits at most
/// `within` for the connection. Fails with a sentence that names the cause and what to do.
pub async fn fetch_task_definition(
    location: &TaskDefinitionLocation,
    task_region: &Region,
    settings: ProbeSettings,
    roots: Arc<RootCertStore>,
    credentials: SharedCredentials,
    within: Duration,
) -> Result<Vec<u8>, String> {
    let deadline = Instant::now() + within;
    let (recorder, mut observations) = Recorder::new();
    let context = ProbeContext::new(settings, TlsClient::new(roots)?, recorder);
    let credentials = credentials.await;
    let credentials = credentials.as_ref().as_ref().map_err(|unavailable| {
        format!(
            "it can only be read with credentials, and there are none: {}",
            unavailable.detail
        )
    })?;
    let fetcher = Fetcher {
        context,
        credentials,
        deadline,
    };
    match location {
        TaskDefinitionLocation::Parameter { name, region } => {
            let region = region.as_ref().unwrap_or(task_region);
            let host = endpoints::api_host(Service::Ssm, region, fetcher.context.variant());
            let target = fetcher
                .connect(Dependency::Ssm, host, &mut observations)
                .await?;
            fetcher.parameter(name, region, &target).await
        }
        TaskDefinitionLocation::Object { bucket, key } => {
            let first = fetcher
                .object(bucket, key, task_region, &mut observations)
                .await;
            match first {
                // A bucket is served by its own Region only.
                Err(ObjectError::InRegion(region)) => {
                    fetcher
                        .object(bucket, key, &region, &mut observations)
                        .await
                }
                result => result,
            }
            .map_err(|error| error.to_string())
        }
    }
}

/// Why an object could not be fetched.
enum ObjectError {
    /// S3 redirects to this Region.
    InRegion(Region),
    Failed(String),
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InRegion(region) => {
                write!(f, "Amazon S3 redirected twice, the second time to {region}")
            }
            Self::Failed(error) => f.write_str(error),
        }
    }
}

struct Fetcher<'a> {
    context: ProbeContext,
    credentials: &'a Credentials,
    /// Deadline for connections.
    deadline: Instant,
}

impl Fetcher<'_> {
    async fn connect(
        &self,
        dependency: Dependency,
        host: String,
        observations: &mut ObservationReceiver,
    ) -> Result<Arc<ConnectedTarget>, String> {
        let target = Target {
            key: TargetKey::of(dependency),
            dependency,
            host: host.clone(),
            port: 443,
            phases: vec![Phase::Resolve, Phase::Connect, Phase::Handshake],
        };
        let handle = TargetHandle::connect(&self.context, &target);
        if let Ok(Some(connected)) = timeout_at(self.deadline, handle.connected()).await {
            return Ok(connected);
        }
        let mut observations = std::iter::from_fn(|| observations.try_recv().ok());
        let failed = observations.find(|observation| observation.failure().is_some());
        let why = failed.map_or_else(
            || " in time".into(),
            |observation| describe_failure(&observation),
        );
        Err(format!("cannot connect to {host}{why}; {LOCAL_FILE_HINT}"))
    }

    async fn parameter(
        &self,
        name: &str,
        region: &Region,
        target: &ConnectedTarget,
    ) -> Result<Vec<u8>, String> {
        let client = PhaseClient {
            context: &self.context,
            target,
            phase: Phase::Read,
        };
        // Uses GetParameters, for which execution roles already have the permission.
        let input = json!({ "Names": [name], "WithDecryption": true });
        let CallResult {
            observation,
            response,
            ..
        } = SSM
            .call(
                client,
                "GetParameters",
                &input,
                region.as_str(),
                self.credentials,
            )
            .await;
        let Some(response) = response else {
            return Err(format!(
                "Parameter Store did not return it{}; the role needs ssm:GetParameters on it, and kms:Decrypt if it is \
                 encrypted with a customer managed key",
                describe_failure(&observation)
            ));
        };
        let response: GetParametersResponse =
            serde_json::from_slice(&response.body).map_err(|_| not_parameters(target))?;
        match response.parameters.first() {
            Some(parameter) => parameter
                .value
                .and_then(|value| serde_json::from_str(value.get()).ok())
                .map(String::into_bytes)
                .ok_or_else(|| not_parameters(target)),
            None => Err(format!("parameter not found in {region}")),
        }
    }

    async fn object(
        &self,
        bucket: &str,
        key: &str,
        region: &Region,
        observations: &mut ObservationReceiver,
    ) -> Result<Vec<u8>, ObjectError> {
        let host = endpoints::bucket_host(bucket, region, self.context.variant());
        let path = s3::object_path(&host, bucket, key);
        let target = self
            .connect(Dependency::S3, host, observations)
            .await
            .map_err(ObjectError::Failed)?;
        let request = self
            .sign(&target, path, region)
            .map_err(|error| ObjectError::Failed(error.to_string()))?;
        let client = PhaseClient {
            context: &self.context,
            target: &target,
            phase: Phase::Fetch,
        };
        let CallResult {
            observation,
            response,
            error_headers,
        } = client.call(&request, StatusCode::is_success).await;
        if let Some(response) = response {
            return Ok(response.body.to_vec());
        }
        let bucket_region = s3::bucket_region(&error_headers);
        if let Some(other) = bucket_region.filter(|other| other != region) {
            return Err(ObjectError::InRegion(other));
        }
        let advice = match observation.failure() {
            Some(Failure::TooLarge) => format!("it has more than {MAX_SIZE} bytes"),
            Some(Failure::NotFound) => "object or bucket not found".into(),
            Some(Failure::Denied) => format!(
                "the role needs s3:GetObject on arn:{}:s3:::{bucket}/{key}; with s3:ListBucket, Amazon S3 distinguishes a \
                 missing object from a forbidden one",
                region.partition().name()
            ),
            _ => LOCAL_FILE_HINT.into(),
        };
        Err(ObjectError::Failed(format!(
            "Amazon S3 did not return it{}; {advice}",
            describe_failure(&observation)
        )))
    }

    fn sign(
        &self,
        target: &ConnectedTarget,
        path: String,
        region: &Region,
    ) -> Result<HttpRequest, s3::S3RequestError> {
        let headers = s3::signed_headers(
            &Method::GET,
            &target.authority(),
            &path,
            HeaderMap::new(),
            region.as_str(),
            self.credentials,
        )?;
        Ok(HttpRequest {
            method: Method::GET,
            path,
            headers,
            body: Bytes::new(),
            read_body: ReadBody::Whole(MAX_SIZE),
        })
    }
}

fn not_parameters(target: &ConnectedTarget) -> String {
    format!(
        "{} did not return a GetParameters response",
        target.target.host
    )
}

/// Returns how the observation failed, in parentheses.
fn describe_failure(observation: &Observation) -> String {
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
