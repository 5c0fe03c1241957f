//! `blob`, `fetch`: follows the registry's redirects for the configuration and layers, and reads
//! the bytes behind them, which are not kept.

use std::collections::BTreeSet;
use std::time::Instant;

use futures_util::stream::{self, StreamExt};

use crate::endpoints::is_aws_host;
use crate::observation::{Failure, Observation, Outcome, Phase, Speaker};
use crate::probe::aws_call::CallResult;
use crate::probe::checks::manifest::{Descriptor, ImageConfig, ImageManifest};
use crate::probe::checks::registry_session::{PullRequest, RegistrySession};
use crate::probe::context::observe;
use crate::probe::net::http::{self, Exchange, ReadBody};
use crate::safe_text::safe_text;

/// Number of bytes read of each layer: more than the initial congestion window of Linux and AWS
/// (ten segments, 14,600 bytes, RFC 6928), so that a path that loses full-sized segments is
/// detected.
const LAYER_PREFIX_BYTES: usize = 32 * 1024;

/// Maximum number of bytes read of an image's configuration. Usual ones are below 100 KiB.
const MAX_CONFIG_BYTES: usize = 1024 * 1024;

/// Maximum number of layers that are checked. Docker's own limit is 127.
const MAX_LAYERS: usize = 128;

/// Maximum number of blobs checked concurrently: containerd fetches three layers at a time, and
/// each takes two exchanges here.
pub const MAX_CONCURRENT_BLOBS: usize = 6;

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
            let why = "foreign layer: only Windows fetches it, and not from the registry";
            return self.record_blob(self.not_checked(Phase::Blob, why), digest);
        }
        let pull = PullRequest {
            path: format!("/v2/{}/blobs/{digest}", self.image.reference.repository),
            accept: None,
            read_body: blob.read_body,
            phase: Phase::Blob,
            redirected_phase: Phase::Fetch,
        };
        let record = |redirecting| self.record_blob(redirecting, digest);
        let Some(result) = self.get(pull, record).await else {
            return;
        };
        let CallResult {
            mut observation,
            response,
            ..
        } = result;
        let Some(response) = response else {
            return self.record_blob(observation, digest);
        };
        let fetched = check_bytes(observation.clone(), &response, &blob);
        if blob.is_config && fetched.is_of_the_service() {
            self.check_platform(&response.body);
        }
        if observation.phase == Phase::Fetch {
            return self.record_blob(fetched, digest);
        }
        if fetched.speaker == Some(Speaker::Intermediary) {
            observation.reject_foreign_answer();
        }
        observation.speaker = fetched.speaker;
        // The registry served the bytes itself, so this response is also the result of `fetch`.
        self.record_blob(observation, digest);
        self.record_blob_as(Phase::Fetch, fetched, digest);
    }

    /// Records a failure if the configuration is for another platform. Without an index, only the
    /// configuration names the image's platform.
    fn check_platform(&self, config: &[u8]) {
        let expected = &self.image.platform;
        let platform = serde_json::from_slice::<ImageConfig>(config)
            .ok()
            .and_then(|config| config.other_platform(expected));
        let Some(platform) = platform else {
            return;
        };
        let outcome = Outcome::Failed {
            failure: Failure::WrongPlatform,
        };
        let target = &self.registry.target;
        let mut observation = observe(target, Phase::Manifest, outcome, Instant::now());
        observation.expected = vec![expected.to_string().into()];
        observation.presented = vec![platform.clone()];
        observation.detail = safe_text![
            "the image is for ",
            platform,
            ", but the task runs on ",
            expected.to_string(),
        ];
        self.record(observation);
    }
}

/// Returns the observation with the result of the digest check, if all bytes were read, and with
/// the throughput, if they are a whole layer.
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
        // The content is the image's own, whichever server sent it.
        observation.speaker = Some(Speaker::Service);
    } else if foreign && observation.speaker != Some(Speaker::Service) {
        // No layer is empty: the shortest gzip archive has 29 bytes.
        observation.speaker = Some(Speaker::Intermediary);
        observation.reject_foreign_answer();
    } else if let Some(digest) = digest {
        if observation.speaker == Some(Speaker::Unknown) && is_aws_host(&observation.host) {
            // AWS labels every answer, and this one has no label.
            observation.speaker = Some(Speaker::Intermediary);
        }
        observation.outcome = Outcome::Failed {
            failure: Failure::WrongDigest,
        };
        observation.detail = "the content does not match its digest".into();
        observation.expected = vec![expected.into()];
        observation.presented = vec![format!("sha256:{digest}").into()];
    }
    if blob.read_body == ReadBody::Digest
        && let Some(answer) = &mut observation.answer
    {
        let millis = exchange.elapsed.as_millis().max(1);
        answer.bytes_per_s = u64::try_from(u128::from(answer.bytes) * 1000 / millis).ok();
    }
    observation
}
