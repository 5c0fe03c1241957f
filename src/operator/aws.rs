//! The operator's AWS client. `aws-config` finds credentials (profiles, SSO, web identity,
//! processes, containers, IMDS), [`crate::aws::sign`] signs, `reqwest` sends.
//!
//! Every call is bounded in time, memory and attempts. Throttled calls, network errors and service
//! failures are retried, so a call that must not happen twice carries a client token, as in AWS's
//! own SDKs.
//!
//! The probe does not use this client: it times each step of its own connection, which no client
//! library lets it do.

mod error;
mod protocol;
mod setup;
mod waiting;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use aws_config::meta::region::ProvideRegion as _;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use backon::{ExponentialBuilder, Retryable as _};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::{debug, info};

pub use error::CallError;
pub use protocol::{Api, ItemSet, percent_encode};
pub use setup::{AwsSettings, settings, use_settings};
pub use waiting::Notice;

use crate::aws::credentials::{self as probe, AgentFailure};
use crate::aws::{error_response, sign};
use crate::endpoints::{InvalidRegion, NO_REGION, Region};
use crate::observation::Failure;
use crate::safe_text::visible;
use waiting::Waiting;

/// Limit for a whole call, connection and body included. The AWS SDKs wait 60 s for each read, and
/// a usual response, such as a page of `FilterLogEvents`, has at most 1 MB.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// The AWS SDKs allow 3.1 s for a connection by default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest response that is read, in bytes. `GetQueryResults` returns the largest: 10,000 rows.
const MAX_RESPONSE_SIZE: usize = 64 * 1024 * 1024;

/// Attempts of one call. With jittered pauses of 0.2 s to 20 s they outlast about a minute of
/// throttling.
const MAX_ATTEMPTS: usize = 8;

/// Calls AWS with the operator's credentials, in one Region. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    config: SdkConfig,
    credentials: SharedCredentialsProvider,
    region: Region,
    max_attempts: usize,
    timeout: Duration,
    waiting: Waiting,
}

impl Client {
    /// Returns a client for `region`, or for the Region of the environment or profile. Sends
    /// nothing, unless the Region comes from the instance metadata. Fails if no Region is set.
    pub async fn load(region: Option<Region>) -> Result<Self, CallError> {
        let settings = setup::settings();
        setup::check_profile().await?;
        let mut loader =
            aws_config::defaults(BehaviorVersion::latest()).http_client(sdk_http_client());
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(url) = &settings.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(region) = &region {
            loader = loader.region(aws_config::Region::new(region.to_string()));
        }
        let config = loader.load().await;
        let region = match (region, config.region()) {
            (Some(region), _) => region,
            (None, Some(named)) => named
                .as_ref()
                .parse()
                .map_err(|error: InvalidRegion| CallError::Setup(error.into()))?,
            (None, None) => {
                return Err(CallError::Setup(format!(
                    "{NO_REGION} or a Region in your profile"
                )));
            }
        };
        let credentials = config
            .credentials_provider()
            .ok_or_else(|| CallError::Setup("no credentials provider".into()))?;
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT);
        let http = with_ca_bundle(http)?
            .build()
            .map_err(|error| CallError::Setup(error.to_string()))?;
        Ok(Self {
            http,
            config,
            credentials,
            region,
            max_attempts: MAX_ATTEMPTS,
            timeout: CALL_TIMEOUT,
            waiting: Waiting::default(),
        })
    }

    /// Returns a client that hands its notices of waiting to `notice`, instead of writing them to
    /// standard error.
    #[must_use]
    pub fn with_notice(&self, notice: Notice) -> Self {
        Self {
            waiting: Waiting::new(notice),
            ..self.clone()
        }
    }

    /// Returns the Region that it calls.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Returns the HTTP client, for a protocol without AWS signatures: that of a registry.
    pub(super) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Whether calls of a service are encrypted. They are, unless the operator has set an endpoint
    /// without encryption.
    pub(super) fn is_encrypted(&self, api: Api) -> bool {
        !self.endpoint(api).starts_with("http://")
    }

    /// Returns a client for another Region with the same credentials.
    #[must_use]
    pub fn in_region(&self, region: Region) -> Self {
        Self {
            region,
            ..self.clone()
        }
    }

    /// Returns a client with another number of attempts, for a caller that retries by itself.
    #[must_use]
    pub fn with_max_attempts(&self, max_attempts: usize) -> Self {
        Self {
            max_attempts,
            ..self.clone()
        }
    }

    /// Returns a client with another limit for a whole call, for one that waits for its work to
    /// end.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            timeout,
            ..self.clone()
        }
    }

    /// Returns a client with other credentials, such as those of an assumed role.
    #[must_use]
    pub fn with_credentials(&self, credentials: Credentials) -> Self {
        Self {
            credentials: SharedCredentialsProvider::new(credentials),
            ..self.clone()
        }
    }

    /// Sends a signed request for an object or bucket to Amazon S3, and returns the response
    /// without its body, whatever its status. A throttled or failed request is repeated.
    pub(super) async fn s3(
        &self,
        operation: &str,
        request: &Request<Bytes>,
    ) -> Result<reqwest::Response, CallError> {
        let send = || async {
            let mut facts = ResponseFacts::default();
            let result = self.send_to_s3(operation, request, &mut facts).await;
            (facts, result)
        };
        self.repeat(Api::S3, operation, send).await
    }

    async fn send_to_s3(
        &self,
        operation: &str,
        request: &Request<Bytes>,
        facts: &mut ResponseFacts,
    ) -> Result<reqwest::Response, CallError> {
        let mut response = self.execute(Api::S3, operation, request, facts).await?;
        let status = response.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(self.refusal(Api::S3, operation, &mut response).await?);
        }
        Ok(response)
    }

    /// Builds a request of Amazon S3, unsigned. `path` is percent-encoded.
    pub(super) fn s3_request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Bytes>, CallError> {
        self.request(Api::S3, method, path, body)
    }

    /// Reads the error of a response.
    pub(super) async fn refusal(
        &self,
        api: Api,
        operation: &str,
        response: &mut reqwest::Response,
    ) -> Result<CallError, CallError> {
        let action = || api.action(operation);
        let body = read_body(response, MAX_RESPONSE_SIZE, action).await?;
        let (status, headers) = (response.status().as_u16(), response.headers());
        Ok(CallError::refused(
            action(),
            error_response::read(status, headers, &body),
        ))
    }

    /// Calls an operation of a service with the AWS JSON protocol, such as `DescribeTasks` of
    /// [`Api::ECS`].
    pub async fn json<A: DeserializeOwned>(
        &self,
        api: Api,
        operation: &str,
        input: &impl Serialize,
    ) -> Result<A, CallError> {
        let request = self.json_request(api, operation, input)?;
        let body = self.send(api, operation, &request).await?;
        read_json(api, operation, &body)
    }

    /// Calls an operation of a service with the REST-JSON protocol, such as [`Api::SCHEDULER`].
    pub async fn rest<A: DeserializeOwned>(
        &self,
        api: Api,
        call: &RestCall<'_>,
        body: Option<&serde_json::Value>,
    ) -> Result<A, CallError> {
        let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let mut request = self.request(api, call.method.clone(), call.path, bytes)?;
        if body.is_some() {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, json);
        }
        let body = self.send(api, call.operation, &request).await?;
        read_json(api, call.operation, &body)
    }

    /// Calls an action of a service with the Query protocol and XML responses, such as
    /// [`Api::STS`]. `fields` are the form fields, without `Action` and `Version`.
    pub async fn query<A: DeserializeOwned>(
        &self,
        api: Api,
        action: &str,
        fields: &[(String, String)],
    ) -> Result<A, CallError> {
        let text = self.query_xml(api, action, fields).await?;
        quick_xml::de::from_str(&text)
            .map_err(|error| CallError::unreadable(api.action(action), &error))
    }

    /// Calls an action of a service with the Query protocol and returns the XML of its response.
    pub async fn query_xml(
        &self,
        api: Api,
        action: &str,
        fields: &[(String, String)],
    ) -> Result<String, CallError> {
        let request = self.query_request(api, action, fields)?;
        let body = self.send(api, action, &request).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Calls a reading operation of a service with the REST-XML protocol, such as [`Api::ROUTE53`],
    /// and returns the XML of its response.
    pub async fn rest_xml(&self, api: Api, call: &RestCall<'_>) -> Result<String, CallError> {
        let request = self.request(api, call.method.clone(), call.path, Bytes::new())?;
        let body = self.send(api, call.operation, &request).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Builds the request of [`Client::json`], unsigned.
    fn json_request(
        &self,
        api: Api,
        operation: &str,
        input: &impl Serialize,
    ) -> Result<Request<Bytes>, CallError> {
        // By way of a Value, so that the members are in the order that a dry run shows.
        let body = serde_json::to_value(input)
            .map_err(|error| CallError::Setup(error.to_string()))?
            .to_string();
        let request = self.request(api, hyper::Method::POST, "/", body.into())?;
        protocol::json(request, api, operation)
    }

    /// Builds the request of [`Client::query`], unsigned.
    fn query_request(
        &self,
        api: Api,
        action: &str,
        fields: &[(String, String)],
    ) -> Result<Request<Bytes>, CallError> {
        let request = self.request(
            api,
            hyper::Method::POST,
            "/",
            protocol::form(api, action, fields).into(),
        )?;
        Ok(protocol::query(request))
    }

    fn request(
        &self,
        api: Api,
        method: hyper::Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Bytes>, CallError> {
        let endpoint = self.endpoint(api);
        setup::check_endpoint(api, &endpoint)?;
        let request = Request::builder()
            .method(method)
            .uri(format!("{endpoint}{path}"))
            .header(USER_AGENT, concat!("pullprobe/", env!("CARGO_PKG_VERSION")))
            .body(body);
        request.map_err(|error| CallError::Setup(format!("{}: {error}", api.name)))
    }

    /// Returns the service's URL: from `AWS_ENDPOINT_URL_<SERVICE>`, `AWS_ENDPOINT_URL` or their
    /// profile settings, else AWS's own (AWS SDKs and tools reference guide, "Service-specific
    /// endpoints").
    fn endpoint(&self, api: Api) -> String {
        let named = self
            .config
            .service_config()
            .and_then(|config| config.load_config(api.endpoint_key()));
        // The command line's wins over what the environment says of a single service.
        let from_flag = setup::settings().endpoint_url.clone();
        let named = from_flag
            .or(named)
            .or_else(|| self.config.endpoint_url().map(str::to_owned));
        match named {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("https://{}", api.host(&self.region)),
        }
    }

    async fn send(
        &self,
        api: Api,
        operation: &str,
        request: &Request<Bytes>,
    ) -> Result<Bytes, CallError> {
        let send = || async {
            let mut facts = ResponseFacts::default();
            let result = self.exchange(api, operation, request, &mut facts).await;
            (facts, result)
        };
        self.repeat(api, operation, send).await
    }

    async fn exchange(
        &self,
        api: Api,
        operation: &str,
        request: &Request<Bytes>,
        facts: &mut ResponseFacts,
    ) -> Result<Bytes, CallError> {
        let mut response = self.execute(api, operation, request, facts).await?;
        if !response.status().is_success() {
            return Err(self.refusal(api, operation, &mut response).await?);
        }
        let body = read_body(&mut response, MAX_RESPONSE_SIZE, || api.action(operation)).await?;
        facts.response_bytes = Some(body.len());
        Ok(body.into())
    }

    /// Calls `send` again while its error may pass, and logs how each attempt ended: neither a
    /// header nor a body, which may hold secrets.
    async fn repeat<T, F>(
        &self,
        api: Api,
        operation: &str,
        send: impl Fn() -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = (ResponseFacts, Result<T, CallError>)>,
    {
        let waiting = &self.waiting;
        let action = api.action(operation);
        let started = Instant::now();
        waiting.begin(&action);
        let attempts = AtomicUsize::new(0);
        let send_once = || async {
            let attempt = attempts.fetch_add(1, Ordering::Relaxed) + 1;
            let began = Instant::now();
            let (facts, result) = waiting.during(&action, started, send()).await;
            let error = result.as_ref().err().map(CallError::in_short);
            info!(
                %action,
                region = api.signing_region(&self.region),
                attempt,
                status = facts.status,
                ms = crate::millis(began.elapsed()),
                request_id = facts.request_id,
                error,
                "AWS call"
            );
            debug!(
                host = facts.host,
                credentials_ms = facts.credentials_ms,
                request_bytes = facts.request_bytes,
                response_bytes = facts.response_bytes,
                "its connection"
            );
            result
        };
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(20))
            .with_jitter()
            .with_max_times(self.max_attempts.saturating_sub(1));
        send_once
            .retry(pauses)
            .when(CallError::is_transient)
            .notify(|error, pause| {
                info!(%action, pause_ms = crate::millis(pause), "will call again");
                waiting.retry(&action, error, pause, started);
            })
            .await
    }

    /// Signs a request, sends it once, and returns the response without its body.
    async fn execute(
        &self,
        api: Api,
        operation: &str,
        request: &Request<Bytes>,
        facts: &mut ResponseFacts,
    ) -> Result<reqwest::Response, CallError> {
        let began = Instant::now();
        facts.host = request.uri().host().map(str::to_owned);
        facts.request_bytes = request.body().len();
        // For each attempt: the provider caches credentials and renews them before they expire.
        let credentials = self
            .credentials
            .provide_credentials()
            .await
            .map_err(|error| setup::no_credentials(&error))?;
        facts.credentials_ms = Some(crate::millis(began.elapsed()));
        let mut signed = request.clone();
        let region = api.signing_region(&self.region);
        sign::sign(
            &mut signed,
            api.name,
            region,
            credentials,
            SystemTime::now(),
        )
        .map_err(|error| CallError::Setup(error.to_string()))?;
        let transport_error =
            |error: &reqwest::Error| CallError::transport(api.action(operation), error);
        let mut request =
            reqwest::Request::try_from(signed).map_err(|error| transport_error(&error))?;
        *request.timeout_mut() = Some(self.timeout);
        let response = self.http.execute(request).await;
        let response = response.map_err(|error| transport_error(&error))?;
        facts.status = Some(response.status().as_u16());
        facts.request_id = request_id(response.headers());
        Ok(response)
    }
}

/// What the log says of one attempt of a call.
#[derive(Debug, Default)]
struct ResponseFacts {
    host: Option<String>,
    request_bytes: usize,
    response_bytes: Option<usize>,
    credentials_ms: Option<u64>,
    status: Option<u16>,
    request_id: Option<String>,
}

/// Maximum number of characters of a request ID: a UUID has 36, Amazon S3's have 16.
const MAX_REQUEST_ID: usize = 64;

/// Returns the ID with which AWS Support finds a call.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    const NAMES: [&str; 3] = ["x-amzn-requestid", "x-amz-request-id", "x-amz-requestid"];
    let id = NAMES
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok())?;
    Some(visible(id, MAX_REQUEST_ID))
}

/// Reads the body of a response, of at most `limit` bytes. `action` names the request in an error.
pub(super) async fn read_body(
    response: &mut reqwest::Response,
    limit: usize,
    action: impl Fn() -> String,
) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| CallError::transport(action(), &error))?
    {
        if body.len() + chunk.len() > limit {
            return Err(CallError::TooLarge {
                action: action(),
                limit,
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Time limit for the credentials of a profile: those of AWS IAM Identity Center and of assumed
/// roles take one or two calls.
const PROFILE_TIMEOUT: Duration = Duration::from_secs(5);

/// Loads the credentials of the AWS CLI's files: of the profile in `AWS_PROFILE`, or of the default
/// one. `None` if the files have none.
pub async fn profile_credentials() -> Option<Result<probe::Credentials, AgentFailure>> {
    let started = Instant::now();
    let config = ProviderConfig::default()
        .with_http_client(sdk_http_client())
        .with_region(ProfileFileRegionProvider::new().region().await);
    let provider = ProfileFileCredentialsProvider::builder()
        .configure(&config)
        .build();
    let loaded = tokio::time::timeout(PROFILE_TIMEOUT, provider.provide_credentials()).await;
    let failed = |detail: &dyn fmt::Display| {
        let what = format!(
            "the credentials of the AWS CLI's profile could not be loaded: {detail}; log in with `aws sso login`, choose a \
             profile with AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        );
        Some(Err(AgentFailure::new(Failure::NoCredentials, what)))
    };
    match loaded {
        Ok(Ok(found)) => Some(Ok(probe::Credentials {
            access_key_id: found.access_key_id().into(),
            secret_access_key: found.secret_access_key().into(),
            session_token: found.session_token().map(Into::into),
            expires_at: found.expiry().and_then(|end| end.try_into().ok()),
            role_arn: None,
            role_name: None,
            source: probe::CredentialSource::Profile,
            elapsed: started.elapsed(),
        })),
        Ok(Err(CredentialsError::CredentialsNotLoaded(_))) => None,
        Ok(Err(error)) => failed(&error::chain(&error)),
        Err(_) => failed(&format_args!(
            "no answer within {} s",
            PROFILE_TIMEOUT.as_secs()
        )),
    }
}

/// Returns the Region of the AWS CLI's profile.
pub async fn profile_region() -> Option<Region> {
    let named = ProfileFileRegionProvider::new().region().await?;
    named.as_ref().parse().ok()
}

/// Returns the HTTP client of `aws-config`.
fn sdk_http_client() -> SharedHttpClient {
    // Fails if a default is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    aws_smithy_http_client::Builder::new()
        .tls_provider(ring)
        .build_https()
}

/// One operation of a REST-JSON service.
#[derive(Debug, Clone)]
pub struct RestCall<'a> {
    /// Name in the service model, such as `GetSchedule`.
    pub operation: &'static str,
    pub method: Method,
    /// Percent-encoded path and query.
    pub path: &'a str,
}

/// Reads a JSON response. Some operations, such as `CreateLogGroup`, respond without a body where
/// the model has an empty structure.
fn read_json<A: DeserializeOwned>(api: Api, operation: &str, body: &[u8]) -> Result<A, CallError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| CallError::unreadable(api.action(operation), &error))
}

/// Adds the certificates of `AWS_CA_BUNDLE`, which the AWS CLI and SDKs honor, to this machine's
/// roots.
fn with_ca_bundle(builder: reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder, CallError> {
    let Some(file) = std::env::var_os("AWS_CA_BUNDLE").filter(|file| !file.is_empty()) else {
        return Ok(builder);
    };
    let file = std::path::PathBuf::from(file);
    let bundle_error = |error: &dyn std::fmt::Display| {
        CallError::Setup(format!("AWS_CA_BUNDLE {}: {error}", file.display()))
    };
    let pem = std::fs::read(&file).map_err(|error| bundle_error(&error))?;
    let roots =
        reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| bundle_error(&error))?;
    Ok(builder.tls_certs_merge(roots))
}
