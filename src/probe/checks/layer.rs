//! `blob`, `fetch`: the registry's redirects for configuration and layers, and the bytes behind
//! them, which are not kept.

use std::collections::BTreeSet;
use std::time::Instant;

use futures_util::stream::{self, StreamExt};
use hyper::header::{HeaderValue, LOCATION, RANGE};
use hyper::{StatusCode, Uri};

use crate::observation::{Dependency, Failure, Observation, Outcome, Phase, Speaker};
use crate::plan::Target;
use crate::probe::aws_call::{CallResult, PhaseClient};
use crate::probe::checks::manifest::{Descriptor, ImageConfig, ImageManifest};
use crate::probe::checks::registry_session::RegistrySession;
use crate::probe::context::observe;
use crate::probe::net::http::{self, Exchange, HttpRequest, ReadBody};
use crate::probe::redirects::{MAX_REDIRECT_HOSTS, RedirectHost};
use crate::probe::speaker;
use crate::probe::target::TargetHandle;

/// Bytes read of each layer. More than the initial congestion window of Linux and AWS (ten
/// segments, 14,600 bytes, RFC 6928), so that a path that loses full-sized segments is detected.
const LAYER_PREFIX_BYTES: usize = 32 * 1024;

/// Maximum number of bytes read of an image's configuration. Usual ones are below 100 KiB.
const MAX_CONFIG_BYTES: usize = 1024 * 1024;

/// Docker's own limit is 127 layers.
const MAX_LAYERS: usize = 128;

/// Blobs checked concurrently: containerd fetches three layers at a time, and each takes two
/// exchanges here.
const MAX_CONCURRENT_BLOBS: usize = 6;

/// A blob, and how much of it to read.
struct Blob {
    descriptor: Descriptor,
    is_config: bool,
    read_body: ReadBody,
}

impl RegistrySession<'_> {
    /// Checks the configuration and every layer of an image.
    pub async fn check_blobs(&self, manifest: ImageManifest) {
        let mut known = BTreeSet::new();
        let layers = manifest
            .layers
            .into_iter()
            .filter(|layer| known.insert(layer.digest.clone()))
            .take(MAX_LAYERS);
        let layer_read = if self.image.full {
            ReadBody::Digest
        } else {
            ReadBody::Prefix(LAYER_PREFIX_BYTES)
        };
        let layers = layers.map(|descriptor| Blob {
            descriptor,
            is_config: false,
            read_body: layer_read,
        });
        let config = std::iter::once(Blob {
            descriptor: manifest.config,
            is_config: true,
            read_body: ReadBody::Whole(MAX_CONFIG_BYTES),
        });
        stream::iter(config.chain(layers))
            .for_each_concurrent(MAX_CONCURRENT_BLOBS, |blob| self.check_blob(blob))
            .await;
    }

    async fn check_blob(&self, blob: Blob) {
        let digest = &blob.descriptor.digest;
        if !blob.descriptor.urls.is_empty() {
            let why =
                "foreign layer: only Windows fetches it, and not from the registry".to_owned();
            return self.record_blob(self.not_checked(Phase::Blob, why), digest);
        }
        let path = format!("/v2/{}/blobs/{digest}", self.image.reference.repository);
        let accept = |status: &StatusCode| status.is_success() || status.is_redirection();
        let request = self.request(path, None, blob.read_body);
        let CallResult {
            mut observation,
            response,
            ..
        } = self.client(Phase::Blob).call(&request, accept).await;
        let Some(response) = response else {
            return self.record_blob(observation, digest);
        };
        if response.status.is_ok_and(|status| status.is_success()) {
            // The registry serves the bytes itself: `fetch` has already happened.
            let fetched = check_bytes(observation.clone(), &response, &blob);
            if blob.is_config && fetched.is_of_the_service() {
                self.check_platform(&response.body);
            }
            if fetched.speaker == Some(Speaker::Intermediary) {
                observation.reject_foreign_answer();
            }
            observation.speaker = fetched.speaker;
            self.record_blob(observation, digest);
            return self.record_blob_as(Phase::Fetch, fetched, digest);
        }
        let location = response
            .headers
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|location| RedirectLocation::parse(location, &self.registry.target));
        let Some(location) = location else {
            observation.outcome = Outcome::Failed {
                failure: Failure::UnexpectedAnswer,
            };
            observation.detail = "the registry's redirect is not an https URL".into();
            return self.record_blob(observation, digest);
        };
        if let Some(answer) = &mut observation.answer {
            answer.redirect_host = Some(location.host.clone());
        }
        self.record_blob(observation, digest);
        self.fetch(location, &blob).await;
    }

    /// Fetches bytes from the host that the registry redirects to. Sends no `Authorization`,
    /// because S3 rejects a request with two credentials.
    async fn fetch(&self, location: RedirectLocation, blob: &Blob) {
        let digest = &blob.descriptor.digest;
        let Some(handle) = self.handle_of(&location) else {
            let why = format!(
                "{}: host limit reached ({MAX_REDIRECT_HOSTS} per run)",
                location.host
            );
            return self.record_blob(self.not_checked(Phase::Fetch, why), digest);
        };
        let Some(target) = handle.connected().await else {
            return;
        };
        let mut request = HttpRequest::get(location.path, blob.read_body);
        if let ReadBody::Prefix(bytes) = blob.read_body
            && let Ok(range) = HeaderValue::from_str(&format!("bytes=0-{}", bytes - 1))
        {
            request.headers.insert(RANGE, range);
        }
        let client = PhaseClient {
            context: &self.image.context,
            target: &target,
            phase: Phase::Fetch,
        };
        let CallResult {
            observation,
            response,
            ..
        } = client.call(&request, StatusCode::is_success).await;
        let observation = match &response {
            Some(response) => check_bytes(observation, response, blob),
            None => observation,
        };
        if blob.is_config
            && let Some(response) = &response
            && observation.is_of_the_service()
        {
            self.check_platform(&response.body);
        }
        self.record_blob(observation, digest);
    }

    /// Returns the target of a redirect: the planned one if it is the same host. Returns `None` if
    /// the run has reached its limit of hosts.
    fn handle_of(&self, location: &RedirectLocation) -> Option<TargetHandle> {
        match &self.image.layer_host {
            Some(planned) if (&planned.host, planned.port) == (&location.host, location.port) => {
                Some(planned.handle.clone())
            }
            _ => {
                let host = RedirectHost {
                    dependency: if self.image.is_ecr {
                        Dependency::S3
                    } else {
                        Dependency::Registry
                    },
                    host: location.host.clone(),
                    port: location.port,
                };
                self.image
                    .redirects
                    .connect(&self.image.context, &host, Phase::Fetch)
            }
        }
    }

    /// Records a failure if the configuration is for another platform. An image without an index
    /// names its platform only there.
    fn check_platform(&self, config: &[u8]) {
        let platform = serde_json::from_slice::<ImageConfig>(config)
            .ok()
            .and_then(ImageConfig::platform);
        let expected = &self.image.platform;
        let Some(platform) = platform.filter(|platform| platform != expected) else {
            return;
        };
        let outcome = Outcome::Failed {
            failure: Failure::WrongPlatform,
        };
        let target = &self.registry.target;
        let mut observation = observe(target, Phase::Manifest, outcome, Instant::now());
        observation.expected = vec![expected.to_string()];
        observation.presented = vec![platform.to_string()];
        observation.detail =
            format!("the image is for {platform}, but the task runs on {expected}");
        self.record(observation);
    }

    fn not_checked(&self, phase: Phase, why: String) -> Observation {
        let outcome = Outcome::NotChecked { why };
        observe(&self.registry.target, phase, outcome, Instant::now())
    }
}

/// Checks the digest if all bytes were read, and adds the throughput of a whole layer.
fn check_bytes(mut observation: Observation, exchange: &Exchange, blob: &Blob) -> Observation {
    let expected = &blob.descriptor.digest;
    let digest = match blob.read_body {
        ReadBody::Whole(_) => Some(http::sha256(&exchange.body)),
        ReadBody::Digest => exchange.sha256.clone(),
        ReadBody::Prefix(_) => None,
    };
    let digest = digest.filter(|_| expected.starts_with("sha256:"));
    let verified = digest
        .as_ref()
        .is_some_and(|digest| *expected == format!("sha256:{digest}"));
    let foreign = observation.speaker == Some(Speaker::Intermediary) || exchange.answer.bytes == 0;
    if verified {
        // The image's own content, from any server.
        observation.speaker = Some(Speaker::Service);
    } else if foreign && observation.speaker != Some(Speaker::Service) {
        // No layer is empty: the shortest archive has 29 bytes in gzip.
        observation.speaker = Some(Speaker::Intermediary);
        observation.reject_foreign_answer();
    } else if let Some(digest) = digest {
        if observation.speaker == Some(Speaker::Unknown) && speaker::is_aws_host(&observation.host)
        {
            // AWS labels every answer.
            observation.speaker = Some(Speaker::Intermediary);
        }
        observation.outcome = Outcome::Failed {
            failure: Failure::WrongDigest,
        };
        observation.detail = "the content does not match its digest".into();
        observation.expected = vec![expected.clone()];
        observation.presented = vec![format!("sha256:{digest}")];
    }
    if blob.read_body == ReadBody::Digest
        && let Some(answer) = &mut observation.answer
    {
        let millis = exchange.elapsed.as_millis().max(1);
        answer.bytes_per_s = u64::try_from(u128::from(answer.bytes) * 1000 / millis).ok();
    }
    observation
}

/// Where a redirect points.
struct RedirectLocation {
    host: String,
    port: u16,
    path: String,
}

impl RedirectLocation {
    /// Parses `Location`, absolute or relative to the registry. Returns `None` if it is not https.
    fn parse(location: &str, registry: &Target) -> Option<Self> {
        let uri: Uri = location.parse().ok()?;
        let path = uri.path_and_query()?.to_string();
        match (uri.scheme_str(), uri.host()) {
            (None, None) => Some(Self {
                host: registry.host.clone(),
                port: registry.port,
                path,
            }),
            (Some("https"), Some(host)) => Some(Self {
                host: host.to_lowercase(),
                port: uri.port_u16().unwrap_or(443),
                path,
            }),
            _ => None,
        }
    }
}
