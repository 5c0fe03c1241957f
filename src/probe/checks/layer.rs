//! `blob`, `fetch`: the registry's redirects and bytes from where they point, without keeping them.

use std::collections::BTreeSet;
use std::time::Instant;

use futures_util::stream::{self, StreamExt};
use hyper::header::{HeaderValue, LOCATION, RANGE};
use hyper::{StatusCode, Uri};

use crate::observation::{Dependency, Failure, Observation, Outcome, Phase};
use crate::plan::Target;
use crate::probe::aws_call::{self, CallResult};
use crate::probe::checks::image_pull::Session;
use crate::probe::checks::manifest::{Config, Descriptor, Manifest};
use crate::probe::net::http::{self, Ask, Exchange, Read};
use crate::probe::target;

/// First bytes of each layer. More than Linux's and AWS's initial congestion window (ten segments,
/// 14,600 bytes, RFC 6928), so that a path which loses full-sized segments shows.
const FIRST_BYTES: usize = 32 * 1024;

/// An image's configuration is below 100 KiB; one above this is not read.
const CONFIG_LIMIT: usize = 1024 * 1024;

/// Docker's own limit is 127 layers.
const MAX_LAYERS: usize = 128;

/// Blobs under way at once: containerd fetches three layers at a time, and each costs two exchanges
/// here.
const PARALLEL: usize = 6;

impl Session<'_> {
    /// Config and layers, several at once.
    pub async fn blobs(&self, manifest: Manifest) {
        let mut known = BTreeSet::new();
        let layers = manifest
            .layers
            .into_iter()
            .filter(|layer| known.insert(layer.digest.clone()))
            .take(MAX_LAYERS);
        let config = std::iter::once((manifest.config, true));
        stream::iter(config.chain(layers.map(|layer| (layer, false))))
            .for_each_concurrent(PARALLEL, |(blob, is_config)| self.blob(blob, is_config))
            .await;
    }

    async fn blob(&self, blob: Descriptor, is_config: bool) {
        if !blob.urls.is_empty() {
            let why =
                "a foreign layer: it is fetched from elsewhere, and only on Windows".to_owned();
            let observation = target::observe(
                &self.registry.target,
                Phase::Blob,
                Outcome::NotChecked { why },
                Instant::now(),
            );
            return self.record(observation, Some(&blob.digest));
        }
        let read = match (is_config, self.pull.full) {
            (true, _) => Read::All(CONFIG_LIMIT),
            (false, true) => Read::Digest,
            (false, false) => Read::First(FIRST_BYTES),
        };
        let path = format!(
            "/v2/{}/blobs/{}",
            self.pull.reference.repository, blob.digest
        );
        let welcome = |status: &StatusCode| status.is_success() || status.is_redirection();
        let CallResult {
            mut observation,
            answer,
            ..
        } = aws_call::ask(
            &self.pull.probe,
            &self.registry,
            Phase::Blob,
            &self.ask(path, None, read),
            welcome,
        )
        .await;
        let Some(answer) = answer else {
            return self.record(observation, Some(&blob.digest));
        };
        if answer.status.is_ok_and(|status| status.is_success()) {
            // The registry serves the bytes itself: what would be `fetch` has just happened.
            let fetched = judge_bytes(observation.clone(), &answer, &blob, read);
            if is_config {
                self.check_platform(&answer.body);
            }
            self.record(observation, Some(&blob.digest));
            return self.record_as(fetched, Phase::Fetch, &blob.digest);
        }
        let location = answer
            .headers
            .get(LOCATION)
            .and_then(|value| value.to_str().ok());
        let Some(place) =
            location.and_then(|location| Place::read(location, &self.registry.target))
        else {
            observation.outcome = Outcome::Failed {
                failure: Failure::UnexpectedAnswer,
            };
            observation.detail = "the registry redirects to no https address".into();
            return self.record(observation, Some(&blob.digest));
        };
        if let Some(answer) = &mut observation.answer {
            answer.redirect_host = Some(place.host.clone());
        }
        self.record(observation, Some(&blob.digest));
        self.fetch(place, &blob, is_config, read).await;
    }

    /// Bytes from where the redirect points, without the registry's `Authorization`: S3 refuses two
    /// credentials.
    async fn fetch(&self, place: Place, blob: &Descriptor, is_config: bool, read: Read) {
        let climb = match &self.pull.layers {
            Some((target, climb)) if (&target.host, target.port) == (&place.host, place.port) => {
                climb.clone()
            }
            _ => {
                let dependency = if self.pull.token.is_some() {
                    Dependency::S3
                } else {
                    Dependency::Registry
                };
                let climb = self.pull.discovered.climb(
                    &self.pull.probe,
                    dependency,
                    &place.host,
                    place.port,
                    &[Phase::Fetch],
                );
                let Some(climb) = climb else {
                    let why = format!("{}: more hosts than one run looks at", place.host);
                    let outcome = Outcome::NotChecked { why };
                    let left_out = target::observe(
                        &self.registry.target,
                        Phase::Fetch,
                        outcome,
                        Instant::now(),
                    );
                    return self.record(left_out, Some(&blob.digest));
                };
                climb
            }
        };
        let Some(reached) = climb.reached().await else {
            return;
        };
        let mut ask = Ask::get(place.path, read);
        if let Read::First(bytes) = read
            && let Ok(range) = HeaderValue::from_str(&format!("bytes=0-{}", bytes - 1))
        {
            ask.headers.insert(RANGE, range);
        }
        let CallResult {
            observation,
            answer,
            ..
        } = aws_call::ask(
            &self.pull.probe,
            &reached,
            Phase::Fetch,
            &ask,
            StatusCode::is_success,
        )
        .await;
        let observation = match &answer {
            Some(answer) => judge_bytes(observation, answer, blob, read),
            None => observation,
        };
        if is_config && let Some(answer) = &answer {
            self.check_platform(&answer.body);
        }
        self.record(observation, Some(&blob.digest));
    }

    /// An image without an index names its platform in its configuration only.
    fn check_platform(&self, config: &[u8]) {
        let platform = serde_json::from_slice::<Config>(config)
            .ok()
            .and_then(Config::platform);
        let Some(platform) = platform.filter(|platform| platform != &self.pull.platform) else {
            return;
        };
        let outcome = Outcome::Failed {
            failure: Failure::WrongPlatform,
        };
        let target = &self.registry.target;
        let mut observation = target::observe(target, Phase::Manifest, outcome, Instant::now());
        observation.expected = vec![self.pull.platform.to_string()];
        observation.presented = vec![platform.to_string()];
        observation.detail = format!(
            "the image is for {platform}, the task runs on {}",
            self.pull.platform
        );
        self.record(observation, None);
    }
}

/// Adds what the bytes themselves say: their digest where all were read, their speed where all were
/// asked for.
fn judge_bytes(
    mut observation: Observation,
    got: &Exchange,
    blob: &Descriptor,
    read: Read,
) -> Observation {
    let digest = match read {
        Read::All(_) => Some(http::sha256(&got.body)),
        Read::Digest => got.sha256.clone(),
        Read::First(_) => None,
    };
    if let Some(digest) = digest.filter(|_| blob.digest.starts_with("sha256:"))
        && blob.digest != format!("sha256:{digest}")
    {
        observation.outcome = Outcome::Failed {
            failure: Failure::WrongDigest,
        };
        observation.detail = "the bytes are not those that the digest promises".into();
        observation.expected = vec![blob.digest.clone()];
        observation.presented = vec![format!("sha256:{digest}")];
    }
    if read == Read::Digest
        && let Some(answer) = &mut observation.answer
    {
        let millis = got.elapsed.as_millis().max(1);
        answer.bytes_per_s = u64::try_from(u128::from(answer.bytes) * 1000 / millis).ok();
    }
    observation
}

/// Where a redirect points.
struct Place {
    host: String,
    port: u16,
    path: String,
}

impl Place {
    /// Reads `Location`, absolute or relative to the registry. Anything but https is none.
    fn read(location: &str, registry: &Target) -> Option<Self> {
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
