//! One signed call to AWS, as the operator: profiles, SSO, web identity, processes, containers and
//! IMDS by `aws-config`, the signature by [`crate::aws::sign`], the transport by `reqwest`.
//!
//! Every call is bounded in time, memory and tries. Throttling and what the network or the service
//! breaks is tried again, so a call that must not happen twice carries a client token, as AWS's own
//! SDKs do it.

mod error;
mod protocol;

use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_smithy_http_client::tls;
use backon::{ExponentialBuilder, Retryable as _};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::USER_AGENT;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::Error;
pub use protocol::{Api, encode};

use crate::aws::{error_response, sign};
use crate::endpoints::{InvalidRegion, Region};

/// A whole call, connection and body included. The longest answer, a page of `FilterLogEvents`, has
/// 1 MB; the AWS SDKs wait 60 s for each read.
const CALL_DEADLINE: Duration = Duration::from_mins(1);

/// AWS's SDKs give a connection 3.1 s by default.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Bytes of an answer. `GetQueryResults` has the largest: 10,000 rows.
const LONGEST_ANSWER: usize = 64 * 1024 * 1024;
const TOO_LONG: &str = "the answer is larger than 64 MiB";

/// Tries of one call. With full jitter between 0.1 s and 20 s that is about a minute of throttling.
const TRIES: usize = 8;

/// AwsCalls AWS as the operator, in one region. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    config: SdkConfig,
    credentials: SharedCredentialsProvider,
    region: Region,
    tries: usize,
}

impl Client {
    /// A client for `region`, or for the region that environment or profile name. Sends nothing
    /// yet, except where the profile or the instance has to be asked for the region. Fails where no
    /// region is known.
    pub async fn load(region: Option<Region>) -> Result<Self, Error> {
        // Two libraries want a default; the second to ask finds it installed, which is no failure.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        let sdk_http = aws_smithy_http_client::Builder::new()
            .tls_provider(ring)
            .build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(sdk_http);
        if let Some(region) = &region {
            loader = loader.region(aws_config::Region::new(region.to_string()));
        }
        let config = loader.load().await;
        let region = match (region, config.region()) {
            (Some(region), _) => region,
            (None, Some(named)) => named
                .as_ref()
                .parse()
                .map_err(|error: InvalidRegion| Error::Setup(error.into()))?,
            (None, None) => {
                return Err(Error::Setup(
                    "no region is known: name it with --region, AWS_REGION, or in the profile"
                        .into(),
                ));
            }
        };
        let credentials = config
            .credentials_provider()
            .ok_or_else(|| Error::Setup("no credentials provider".into()))?;
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(CALL_DEADLINE);
        let http = with_ca_bundle(http)?
            .build()
            .map_err(|error| Error::Setup(error.to_string()))?;
        Ok(Self {
            http,
            config,
            credentials,
            region,
            tries: TRIES,
        })
    }

    /// Where it calls.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The same credentials, in another region.
    #[must_use]
    pub fn in_region(&self, region: Region) -> Self {
        Self {
            region,
            ..self.clone()
        }
    }

    /// The same, with another number of tries: for a caller that waits and repeats by itself.
    #[must_use]
    pub fn with_tries(&self, tries: usize) -> Self {
        Self {
            tries,
            ..self.clone()
        }
    }

    /// `operation` of a service that speaks AWS JSON, such as `DescribeTasks` of [`Api::ECS`].
    pub async fn json<A: DeserializeOwned>(
        &self,
        api: Api,
        operation: &str,
        input: &impl Serialize,
    ) -> Result<A, Error> {
        let request = self.json_request(api, operation, input)?;
        let body = self.send(api, operation, &request).await?;
        // CloudWatch Logs answers CreateLogGroup and its like with no body at all.
        let body = if body.is_empty() {
            Bytes::from_static(b"{}")
        } else {
            body
        };
        serde_json::from_slice(&body).map_err(|error| Error::unreadable(api, operation, &error))
    }

    /// A call of a service that speaks REST with JSON, such as [`Api::SCHEDULER`]. `path` is
    /// encoded and may have a query.
    pub async fn rest<A: DeserializeOwned>(
        &self,
        api: Api,
        operation: &str,
        (method, path): (hyper::Method, &str),
        input: Option<&serde_json::Value>,
    ) -> Result<A, Error> {
        let body = input
            .map(|input| Bytes::from(input.to_string()))
            .unwrap_or_default();
        let mut request = self.request(api, method, path, body)?;
        if input.is_some() {
            request.headers_mut().insert(
                "content-type",
                hyper::header::HeaderValue::from_static("application/json"),
            );
        }
        let body = self.send(api, operation, &request).await?;
        // Some answers are empty where the model has an empty structure.
        let body = if body.is_empty() {
            Bytes::from_static(b"{}")
        } else {
            body
        };
        serde_json::from_slice(&body).map_err(|error| Error::unreadable(api, operation, &error))
    }

    /// `action` of a service that speaks the Query protocol with XML, such as [`Api::STS`];
    /// `fields` as the wire has them.
    pub async fn query<A: DeserializeOwned>(
        &self,
        api: Api,
        action: &str,
        fields: &[(String, String)],
    ) -> Result<A, Error> {
        let request = self.query_request(api, action, fields)?;
        let body = self.send(api, action, &request).await?;
        let text = String::from_utf8_lossy(&body);
        quick_xml::de::from_str(&text).map_err(|error| Error::unreadable(api, action, &error))
    }

    /// The request of [`Client::json`], unsigned: what `--dry-run` shows.
    pub fn json_request(
        &self,
        api: Api,
        operation: &str,
        input: &impl Serialize,
    ) -> Result<Request<Bytes>, Error> {
        let body = serde_json::to_vec(input).map_err(|error| Error::Setup(error.to_string()))?;
        let request = self.request(api, hyper::Method::POST, "/", body.into())?;
        protocol::json(request, api, operation)
    }

    /// The request of [`Client::query`], unsigned.
    pub fn query_request(
        &self,
        api: Api,
        action: &str,
        fields: &[(String, String)],
    ) -> Result<Request<Bytes>, Error> {
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
    ) -> Result<Request<Bytes>, Error> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.endpoint(api)))
            .header(USER_AGENT, concat!("pullprobe/", env!("CARGO_PKG_VERSION")))
            .body(body);
        request.map_err(|error| Error::Setup(format!("{}: {error}", api.name)))
    }

    /// `AWS_ENDPOINT_URL_<SERVICE>` and `AWS_ENDPOINT_URL` or their names in the profile, else the
    /// service's own (AWS SDKs and tools reference guide, "Service-specific endpoints").
    fn endpoint(&self, api: Api) -> String {
        let named = self
            .config
            .service_config()
            .and_then(|config| config.load_config(api.endpoint_key()));
        let named = named.or_else(|| self.config.endpoint_url().map(str::to_owned));
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
    ) -> Result<Bytes, Error> {
        let once = || async { self.send_once(api, operation, request).await };
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(20))
            .with_jitter()
            .with_max_times(self.tries.saturating_sub(1));
        once.retry(pauses).when(Error::is_passing).await
    }

    async fn send_once(
        &self,
        api: Api,
        operation: &str,
        request: &Request<Bytes>,
    ) -> Result<Bytes, Error> {
        // Asked each time: the provider caches, and renews what is about to end.
        let credentials = self
            .credentials
            .provide_credentials()
            .await
            .map_err(|error| Error::no_credentials(&error))?;
        let mut signed = request.clone();
        let region = api.signing_region(&self.region);
        sign::sign(
            &mut signed,
            api.name,
            region,
            credentials,
            SystemTime::now(),
        )
        .map_err(|error| Error::Setup(error.to_string()))?;
        let unsent = |error: &reqwest::Error| Error::transport(api, operation, error);
        let request = reqwest::Request::try_from(signed).map_err(|error| unsent(&error))?;
        let mut answer = self
            .http
            .execute(request)
            .await
            .map_err(|error| unsent(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| unsent(&error))? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(Error::unreadable(api, operation, &TOO_LONG));
            }
            body.extend_from_slice(&chunk);
        }
        if answer.status().is_success() {
            return Ok(body.into());
        }
        Err(Error::refused(
            api,
            operation,
            error_response::read(answer.status().as_u16(), answer.headers(), &body),
        ))
    }
}

/// `AWS_CA_BUNDLE`, which the AWS CLI and SDKs honour, beside this machine's roots.
fn with_ca_bundle(builder: reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder, Error> {
    let Some(file) = std::env::var_os("AWS_CA_BUNDLE").filter(|file| !file.is_empty()) else {
        return Ok(builder);
    };
    let file = std::path::PathBuf::from(file);
    let wrong = |error: &dyn std::fmt::Display| {
        Error::Setup(format!("AWS_CA_BUNDLE {}: {error}", file.display()))
    };
    let pem = std::fs::read(&file).map_err(|error| wrong(&error))?;
    let roots = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| wrong(&error))?;
    Ok(builder.tls_certs_merge(roots))
}
