//! `manifest`, `blob`, `fetch`: the pull, without keeping what is pulled.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{self, StreamExt};
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RANGE};
use hyper::{StatusCode, Uri};
use secrecy::{ExposeSecret, SecretString};

use super::authorize::SharedToken;
use super::call::{self, Said};
use super::discovered::Discovered;
use super::exchange::{self, Ask, Exchanged, Read};
use super::login;
use super::manifest::{self, Config, Descriptor, Document, Manifest};
use super::target::{Climb, Probe, Reached};
use crate::observation::{Failure, Observation, Outcome, Phase, Role};
use crate::plan::{Platform, Target};
use crate::reference::Reference;

/// First bytes of each layer. More than Linux's and AWS's initial congestion window (ten segments, 14,600 bytes, RFC
/// 6928), so that a path which loses full-sized segments shows.
const FIRST_BYTES: usize = 32 * 1024;

/// An image's configuration is below 100 KiB; one above this is not read.
const CONFIG_LIMIT: usize = 1024 * 1024;

/// One tag is asked for; registries that do not page send all.
const TAGS_LIMIT: usize = 1024 * 1024;

/// Docker's own limit is 127 layers.
const MAX_LAYERS: usize = 128;

/// Blobs under way at once: containerd fetches three layers at a time, and each costs two exchanges here.
const PARALLEL: usize = 6;

/// One image's pull.
pub struct Pull {
    pub probe: Probe,
    pub reference: Reference,
    pub platform: Platform,
    pub full: bool,
    pub registry: Climb,
    pub token: Option<SharedToken>,
    /// Where layers are expected.
    pub layers: Option<(Target, Climb)>,
    pub discovered: Discovered,
}

impl Pull {
    /// Token, manifest, redirects, bytes.
    pub async fn rehearse(self) {
        let token = async {
            match &self.token {
                Some(token) => token.clone().await.map(|token| basic(&token)),
                None => Some(None),
            }
        };
        let (registry, authorization) = tokio::join!(self.registry.reached(), token);
        let (Some(registry), Some(authorization)) = (registry, authorization) else { return };
        let session = Session { pull: &self, registry, authorization };
        if let Some((session, manifest)) = session.manifest().await {
            session.blobs(manifest).await;
        }
    }
}

fn basic(token: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Basic {}", token.expose_secret())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A pull with its registry reached.
struct Session<'a> {
    pull: &'a Pull,
    registry: Arc<Reached>,
    authorization: Option<HeaderValue>,
}

impl Session<'_> {
    fn ask(&self, path: String, accept: Option<&'static str>, read: Read) -> Ask {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        Ask { headers, ..Ask::get(path, read) }
    }

    /// The platform's manifest. Logs in where a registry asks for an anonymous token.
    async fn manifest(mut self) -> Option<(Self, Manifest)> {
        let reference = &self.pull.reference;
        let started = Instant::now();
        let mut said = self.get_manifest(reference.version()).await;
        let challenge = match &said.observation.answer {
            Some(answer) if answer.status == 401 && self.pull.token.is_none() => said.challenge.take(),
            _ => None,
        };
        if let Some(challenge) = challenge {
            let token = login::anonymous(&self.pull.probe, &self.pull.discovered, challenge).await;
            let bearer = token.and_then(|t| HeaderValue::from_str(&format!("Bearer {}", t.expose_secret())).ok());
            self.authorization = bearer.map(|mut value| {
                value.set_sensitive(true);
                value
            });
            if self.authorization.is_some() {
                said = self.get_manifest(reference.version()).await;
            }
        }
        if said.observation.failure() == Some(Failure::NotFound) {
            said.observation = self.repository_or_tag(said.observation).await;
        }
        let mut document = said.document;
        if let Some(Document::Index { manifests }) = &document {
            match manifest::choose(manifests, &self.pull.platform) {
                Ok(child) => {
                    let digest = child.digest.clone();
                    let index = said.observation;
                    said = self.get_manifest(&digest).await;
                    document = said.document;
                    // What only small segments brought is a failure, whichever of the two it was.
                    if !index.passed() && said.observation.passed() {
                        said.observation = index;
                    }
                    said.observation.detail = format!("index, {} is {}", self.pull.platform, short(&digest));
                }
                Err(present) => {
                    said.observation.outcome = Outcome::Failed { failure: Failure::WrongPlatform };
                    said.observation.expected = vec![self.pull.platform.to_string()];
                    said.observation.detail =
                        format!("the index has no {}, only {}", self.pull.platform, present.join(", "));
                    said.observation.presented = present;
                    document = None;
                }
            }
        }
        said.observation.elapsed_ms = crate::millis(started.elapsed());
        self.record(said.observation, None);
        match document? {
            Document::Manifest(manifest) => Some((self, manifest)),
            Document::Index { .. } => None,
        }
    }

    /// Registries other than ECR call a manifest unknown also where the whole repository is; its list of tags tells.
    async fn repository_or_tag(&self, mut missing: Observation) -> Observation {
        let ask =
            self.ask(format!("/v2/{}/tags/list?n=1", self.pull.reference.repository), None, Read::All(TAGS_LIMIT));
        let tags =
            call::ask(&self.pull.probe, &self.registry, Phase::Manifest, &ask, |status| status.is_success()).await;
        let unknown = tags.observation.answer.is_some_and(|answer| answer.code == "NAME_UNKNOWN");
        if let Some(answer) = missing.answer.as_mut().filter(|_| unknown) {
            answer.code = "NAME_UNKNOWN".into();
        }
        missing
    }

    async fn get_manifest(&self, version: &str) -> ManifestSaid {
        let path = format!("/v2/{}/manifests/{version}", self.pull.reference.repository);
        let ask = self.ask(path, Some(manifest::ACCEPT), Read::All(manifest::MANIFEST_LIMIT));
        let ok = |status| status == StatusCode::OK;
        let Said { mut observation, answer, refused } =
            call::ask(&self.pull.probe, &self.registry, Phase::Manifest, &ask, ok).await;
        let challenge = login::challenge(&refused);
        let document = answer.map(|answer| read_document(version, &answer.body));
        if let Some(Err(wrong)) = &document {
            observation.outcome = Outcome::Failed { failure: wrong.failure };
            observation.detail.clone_from(&wrong.detail);
            observation.expected.clone_from(&wrong.expected);
            observation.presented.clone_from(&wrong.presented);
        }
        ManifestSaid { observation, document: document.and_then(Result::ok), challenge }
    }

    /// Config and layers, several at once.
    async fn blobs(&self, manifest: Manifest) {
        let mut known = BTreeSet::new();
        let layers = manifest.layers.into_iter().filter(|layer| known.insert(layer.digest.clone())).take(MAX_LAYERS);
        let config = std::iter::once((manifest.config, true));
        stream::iter(config.chain(layers.map(|layer| (layer, false))))
            .for_each_concurrent(PARALLEL, |(blob, is_config)| self.blob(blob, is_config))
            .await;
    }

    async fn blob(&self, blob: Descriptor, is_config: bool) {
        if !blob.urls.is_empty() {
            let why = "a foreign layer: it is fetched from elsewhere, and only on Windows".to_owned();
            let observation =
                super::target::observe(&self.registry.target, Phase::Blob, Outcome::NotChecked { why }, Instant::now());
            return self.record(observation, Some(&blob.digest));
        }
        let read = match (is_config, self.pull.full) {
            (true, _) => Read::All(CONFIG_LIMIT),
            (false, true) => Read::Digest,
            (false, false) => Read::First(FIRST_BYTES),
        };
        let path = format!("/v2/{}/blobs/{}", self.pull.reference.repository, blob.digest);
        let welcome = |status: StatusCode| status.is_success() || status.is_redirection();
        let Said { mut observation, answer, .. } =
            call::ask(&self.pull.probe, &self.registry, Phase::Blob, &self.ask(path, None, read), welcome).await;
        let Some(answer) = answer else { return self.record(observation, Some(&blob.digest)) };
        if answer.status.is_ok_and(|status| status.is_success()) {
            // The registry serves the bytes itself: what would be `fetch` has just happened.
            let fetched = judge_bytes(observation.clone(), &answer, &blob, read);
            if is_config {
                self.check_platform(&answer.body);
            }
            self.record(observation, Some(&blob.digest));
            return self.record_as(fetched, Phase::Fetch, &blob.digest);
        }
        let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let Some(place) = location.and_then(|location| Place::read(location, &self.registry.target)) else {
            observation.outcome = Outcome::Failed { failure: Failure::UnexpectedAnswer };
            observation.detail = "the registry redirects to no https address".into();
            return self.record(observation, Some(&blob.digest));
        };
        if let Some(answer) = &mut observation.answer {
            answer.redirect_host = Some(place.host.clone());
        }
        self.record(observation, Some(&blob.digest));
        self.fetch(place, &blob, is_config, read).await;
    }

    /// Bytes from where the redirect points, without the registry's `Authorization`: S3 refuses two credentials.
    async fn fetch(&self, place: Place, blob: &Descriptor, is_config: bool, read: Read) {
        let climb = match &self.pull.layers {
            Some((target, climb)) if (&target.host, target.port) == (&place.host, place.port) => climb.clone(),
            _ => {
                let role = if self.pull.token.is_some() { Role::S3 } else { Role::Registry };
                self.pull.discovered.climb(&self.pull.probe, role, &place.host, place.port, &[Phase::Fetch])
            }
        };
        let Some(reached) = climb.reached().await else { return };
        let mut ask = Ask::get(place.path, read);
        if let Read::First(bytes) = read
            && let Ok(range) = HeaderValue::from_str(&format!("bytes=0-{}", bytes - 1))
        {
            ask.headers.insert(RANGE, range);
        }
        let welcome = |status: StatusCode| status.is_success();
        let Said { observation, answer, .. } = call::ask(&self.pull.probe, &reached, Phase::Fetch, &ask, welcome).await;
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
        let platform = serde_json::from_slice::<Config>(config).ok().and_then(Config::platform);
        let Some(platform) = platform.filter(|platform| platform != &self.pull.platform) else { return };
        let outcome = Outcome::Failed { failure: Failure::WrongPlatform };
        let target = &self.registry.target;
        let mut observation = super::target::observe(target, Phase::Manifest, outcome, Instant::now());
        observation.expected = vec![self.pull.platform.to_string()];
        observation.presented = vec![platform.to_string()];
        observation.detail = format!("the image is for {platform}, the task runs on {}", self.pull.platform);
        self.record(observation, None);
    }

    fn record_as(&self, mut observation: Observation, phase: Phase, digest: &str) {
        observation.phase = phase;
        observation.id = format!("{}/{phase}", self.registry.target.key);
        self.record(observation, Some(digest));
    }

    fn record(&self, mut observation: Observation, digest: Option<&str>) {
        let reference = &self.pull.reference;
        let (repository, version) = (&reference.repository, short(reference.version()));
        observation.id = format!("{}/{repository}:{version}", observation.id);
        observation.subject = Some(reference.to_string());
        if let Some(digest) = digest {
            observation.id = format!("{}/{}", observation.id, short(digest));
            observation.subject = Some(format!("{reference} {digest}"));
        }
        self.pull.probe.recorder.record(observation);
    }
}

/// Adds what the bytes themselves say: their digest where all were read, their speed where all were asked for.
fn judge_bytes(mut observation: Observation, got: &Exchanged, blob: &Descriptor, read: Read) -> Observation {
    let digest = match read {
        Read::All(_) => Some(exchange::sha256(&got.body)),
        Read::Digest => got.sha256.clone(),
        Read::First(_) => None,
    };
    if let Some(digest) = digest.filter(|_| blob.digest.starts_with("sha256:"))
        && blob.digest != format!("sha256:{digest}")
    {
        observation.outcome = Outcome::Failed { failure: Failure::WrongDigest };
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

struct ManifestSaid {
    observation: Observation,
    document: Option<Document>,
    challenge: Option<login::Challenge>,
}

/// Why an answer is no manifest.
struct Wrong {
    failure: Failure,
    detail: String,
    expected: Vec<String>,
    presented: Vec<String>,
}

fn read_document(version: &str, body: &[u8]) -> Result<Document, Wrong> {
    let presented = format!("sha256:{}", exchange::sha256(body));
    if version.starts_with("sha256:") && version != presented {
        return Err(Wrong {
            failure: Failure::WrongDigest,
            detail: "the manifest is not the one that its digest promises".into(),
            expected: vec![version.to_owned()],
            presented: vec![presented],
        });
    }
    Document::read(body).map_err(|detail| Wrong {
        failure: Failure::UnexpectedAnswer,
        detail,
        expected: Vec::new(),
        presented: Vec::new(),
    })
}

/// Enough of a digest to tell blobs apart; tags stay as they are.
fn short(version: &str) -> &str {
    match version.strip_prefix("sha256:") {
        Some(hex) => hex.get(..12).unwrap_or(hex),
        None => version,
    }
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
            (None, None) => Some(Self { host: registry.host.clone(), port: registry.port, path }),
            (Some("https"), Some(host)) => {
                Some(Self { host: host.to_lowercase(), port: uri.port_u16().unwrap_or(443), path })
            }
            _ => None,
        }
    }
}
