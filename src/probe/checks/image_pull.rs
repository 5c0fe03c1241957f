//! `manifest`: from an image reference to the manifest of the platform, authenticated as the
//! registry requires; then the blobs.

use std::collections::BTreeMap;
use std::time::Instant;

use hyper::StatusCode;

use crate::observation::{Failure, ImageDeployment, Observation, ObservationId, Outcome, Phase};
use crate::plan::{ImagePull, Plan, TargetIndex, TargetMap};
use crate::probe::aws_call::CallResult;
use crate::probe::checks::ecr_token::{self, SharedEcrToken};
use crate::probe::checks::layer::MAX_CONCURRENT_BLOBS;
use crate::probe::checks::manifest::{self, ImageManifest, ManifestDocument};
use crate::probe::checks::registry_auth::{self, Challenge, SecretLogin, TokenSubject};
use crate::probe::checks::registry_session::{
    LayerHost, PullRequest, PulledImage, RegistrySession, short_digest,
};
use crate::probe::checks::secrets::{self, SharedLogin};
use crate::probe::context::{ProbeContext, SharedCredentials, observe};
use crate::probe::net::http::{self, ReadBody};
use crate::probe::redirects::{MAX_REDIRECT_HOSTS, RedirectHost, RedirectTargets};
use crate::probe::target::{TargetHandle, add_tries};
use crate::safe_text::{SafeText, safe_text};

/// Maximum number of bytes read of a list of tags. One tag is requested, but registries without
/// paging send all of them.
const MAX_TAG_LIST_BYTES: usize = 1024 * 1024;

/// Number of connections to the registry and to the layers' host in addition to the first of each:
/// containerd fetches three layers at a time (`max_concurrent_downloads`).
const SPARE_CONNECTIONS: usize = 2;

/// Maximum number of layers that overlayfs stacks, on which containerd unpacks images
/// (`OVL_MAX_STACK` in Linux's `fs/overlayfs`).
const MAX_STACKED_LAYERS: usize = 500;

/// Starts a check for every image of the plan. Images share tokens and logins.
pub fn spawn_image_pulls(
    plan: &Plan,
    context: &ProbeContext,
    targets: &TargetMap<TargetHandle>,
    credentials: &SharedCredentials,
    redirects: &RedirectTargets,
) {
    let mut tokens: BTreeMap<TargetIndex, SharedEcrToken> = BTreeMap::new();
    let mut logins: BTreeMap<(TargetIndex, &str), SharedLogin> = BTreeMap::new();
    for image in &plan.images {
        let token = image.token.map(|target| {
            let shared = tokens.entry(target).or_insert_with(|| {
                ecr_token::shared_token(context, &targets[target], credentials, &image.reference)
            });
            shared.clone()
        });
        let login = image.login.as_ref().map(|login| {
            let shared = logins
                .entry((login.target, &login.secret))
                .or_insert_with(|| {
                    secrets::spawn_login(context, &targets[login.target], credentials, login)
                });
            PullLogin {
                secret_arn: login.secret.clone(),
                read: secrets::login_id(plan.target(login.target), login),
                login: shared.clone(),
            }
        });
        let layer_host = image.layers.map(|index| {
            let target = plan.target(index);
            LayerHost {
                host: target.host.clone(),
                port: target.port,
                handle: targets[index].clone(),
            }
        });
        let check = PullCheck {
            image: PulledImage {
                context: context.clone(),
                reference: image.reference.clone(),
                platform: plan.platform.clone(),
                full: plan.full,
                is_ecr: token.is_some(),
                deployment: image.deployment,
                layer_host,
                redirects: redirects.clone(),
            },
            added_by_aws: image.added_by_aws,
            pinned_digest: pinned_digest(plan, image),
            registry: targets[image.registry].clone(),
            token,
            login,
        };
        context.recorder.spawn(check.run());
    }
}

/// For an image of the next deployment, returns the digest that the current one pulls from the same
/// repository.
fn pinned_digest(plan: &Plan, image: &ImagePull) -> Option<String> {
    if image.deployment != Some(ImageDeployment::Next) {
        return None;
    }
    let repository =
        |image: &ImagePull| (image.reference.host(), image.reference.repository.clone());
    let mut current = plan.images.iter().filter(|other| {
        other.deployment == Some(ImageDeployment::Current) && repository(other) == repository(image)
    });
    current.next()?.reference.digest.clone()
}

/// The pull of one image.
struct PullCheck {
    image: PulledImage,
    /// Whether AWS adds the image to the task, with a tag that AWS chooses.
    added_by_aws: bool,
    /// The digest that the current deployment pulls, if this is the next deployment's image. If
    /// both are the same, the image is not pulled twice.
    pinned_digest: Option<String>,
    registry: TargetHandle,
    /// The token, if the registry is Amazon ECR.
    token: Option<SharedEcrToken>,
    /// The login of another registry, if the task definition has `repositoryCredentials`.
    login: Option<PullLogin>,
}

/// A login that is read from a secret.
struct PullLogin {
    secret_arn: String,
    /// The observation of reading the secret.
    read: ObservationId,
    login: SharedLogin,
}

impl PullCheck {
    async fn run(self) {
        if self.token.is_some() {
            self.open_connections_for_blobs();
        }
        let token = async {
            match &self.token {
                Some(token) => {
                    let token = token.clone().await;
                    token.map(|token| registry_auth::basic_from_token(&token))
                }
                None => Some(None),
            }
        };
        let (registry, authorization) = tokio::join!(self.registry.connected(), token);
        let (Some(registry), Some(authorization)) = (registry, authorization) else {
            return;
        };
        let mut session = RegistrySession {
            image: &self.image,
            registry,
            authorization,
        };
        if let Some(manifest) = self.check_manifest(&mut session).await {
            if let (Some(_), Some(layers)) = (&self.token, &self.image.layer_host) {
                // These connections are ready when the registry's redirects arrive, one round trip
                // from now.
                let blobs = manifest.layers.len() + 1;
                let context = &self.image.context;
                layers
                    .handle
                    .warm_up_to(context, blobs.min(MAX_CONCURRENT_BLOBS));
            }
            session.check_blobs(manifest).await;
        }
        if let (Some(_), Some(registry)) = (&self.login, self.registry.connected().await) {
            registry.close_idle();
        }
    }

    /// Opens the connections that the blobs will use while the token and the manifest are being
    /// fetched: as many as containerd has concurrent downloads.
    fn open_connections_for_blobs(&self) {
        let context = &self.image.context;
        self.registry.warm_up(context, SPARE_CONNECTIONS);
        if let Some(layers) = &self.image.layer_host {
            layers.handle.warm_up(context, SPARE_CONNECTIONS);
        }
    }

    /// Fetches the manifest of the platform and records the result. Authenticates if the registry
    /// sends a challenge.
    async fn check_manifest(&self, session: &mut RegistrySession<'_>) -> Option<ImageManifest> {
        let reference = &self.image.reference;
        let started = Instant::now();
        let mut result = session.get_manifest(reference.version()).await?;
        if !self.image.is_ecr
            && is_unauthorized(&result.observation)
            && let Some(challenge) = result.challenge.take()
        {
            if let Err(blocked_by) = self.authenticate(session, &challenge).await {
                let outcome = Outcome::NotReached {
                    blocked_by: blocked_by.into(),
                };
                let target = &session.registry.target;
                session.record(observe(target, Phase::Manifest, outcome, started));
                return None;
            }
            if session.authorization.is_some() {
                result = session.get_manifest(reference.version()).await?;
            }
            if challenge == Challenge::Basic && session.authorization.is_some() {
                self.record_basic_login(session, &mut result.observation);
            }
        }
        if !self.image.is_ecr
            && matches!(
                result.observation.failure(),
                Some(Failure::Unauthenticated | Failure::Denied)
            )
        {
            registry_auth::add_presented_login(&mut result.observation, self.secret_arn());
        }
        if result.observation.failure() == Some(Failure::NotFound) {
            session
                .add_missing_repository(&mut result.observation)
                .await;
        }
        if self.added_by_aws && result.observation.failure() == Some(Failure::NotFound) {
            let why = "registry login works; the tag is only a placeholder, because AWS chooses the tag of this image";
            result.observation.outcome = Outcome::NotChecked { why: why.into() };
        }
        if self.pinned_digest.is_some() && self.pinned_digest == result.digest {
            result.observation.detail = "the same image as the current one".into();
            session.record(result.observation);
            return None;
        }
        let mut document = result.document;
        if let Some(ManifestDocument::Index { manifests }) = &document {
            match manifest::select_platform(manifests, &self.image.platform) {
                Ok(entry) => {
                    let digest = entry.digest.clone();
                    let index = result.observation;
                    result = session.get_manifest(&digest).await?;
                    document = result.document;
                    // If either document came only over small segments, the check failed.
                    if !index.passed() && result.observation.passed() {
                        result.observation = index;
                    } else {
                        add_tries(&mut result.observation, &index);
                    }
                    result.observation.detail = safe_text![
                        "index, ",
                        self.image.platform.to_string(),
                        " is ",
                        short_digest(&digest).to_owned(),
                    ];
                }
                Err(present) => {
                    result.observation.outcome = Outcome::Failed {
                        failure: Failure::WrongPlatform,
                    };
                    result.observation.expected = vec![self.image.platform.to_string().into()];
                    let platform = self.image.platform.to_string();
                    let mut detail = safe_text!["the image index does not contain ", platform];
                    for (index, only) in present.iter().enumerate() {
                        detail.push(if index == 0 { ", only " } else { ", " });
                        detail.push(only);
                    }
                    result.observation.detail = detail;
                    result.observation.presented = present;
                    document = None;
                }
            }
        }
        result.observation.elapsed_ms = crate::millis(started.elapsed());
        session.record(result.observation);
        match document? {
            ManifestDocument::Manifest(manifest) => Some(manifest),
            ManifestDocument::Index { .. } => None,
        }
    }

    fn secret_arn(&self) -> Option<&str> {
        self.login.as_ref().map(|login| login.secret_arn.as_str())
    }

    /// Answers a challenge with a token or with the login itself, and does nothing if Basic is
    /// required and there is no login. Fails with what blocks it: an observation's ID, or the limit
    /// of hosts.
    async fn authenticate(
        &self,
        session: &mut RegistrySession<'_>,
        challenge: &Challenge,
    ) -> Result<(), String> {
        let login = match &self.login {
            Some(login) => {
                let shared = login.login.clone().await;
                Some(shared.ok_or_else(|| login.read.to_string())?)
            }
            None => None,
        };
        let login = login
            .as_deref()
            .zip(self.secret_arn())
            .map(|(login, secret_arn)| SecretLogin { login, secret_arn });
        session.authorization = match challenge {
            Challenge::Basic => login.and_then(|login| registry_auth::basic(login.login)),
            Challenge::Bearer { host, port, path } => {
                let registry = &session.registry.target;
                let token_host = RedirectHost {
                    dependency: registry.dependency,
                    host: host.clone(),
                    port: *port,
                };
                let context = &self.image.context;
                // The token service of ghcr.io, quay.io and public.ecr.aws is the registry itself.
                let handle = if (host, port) == (&registry.host, &registry.port) {
                    Some(self.registry.clone())
                } else {
                    let redirects = &self.image.redirects;
                    redirects.connect(context, &token_host, Phase::Authorize)
                };
                let handle = handle
                    .ok_or_else(|| format!("the limit of {MAX_REDIRECT_HOSTS} hosts per run"))?;
                let Some(service) = handle.connected().await else {
                    let id = ObservationId::new(token_host.key(), Phase::Handshake);
                    return Err(id.to_string());
                };
                let subject = TokenSubject {
                    id: self.image.id(),
                    reference: self.image.reference.to_string(),
                };
                let token = registry_auth::fetch_token(context, &service, path, login, subject);
                Some(token.await.map_err(|id| id.to_string())?)
            }
        };
        Ok(())
    }

    /// Records how the registry answered the login. With Basic, there is no token service, so the
    /// registry's first response to the login decides; if that is a 401, the manifest was not
    /// reached.
    fn record_basic_login(&self, session: &RegistrySession<'_>, manifest: &mut Observation) {
        let target = &session.registry.target;
        let mut login = manifest.clone();
        login.phase = Phase::Authorize;
        login.id = ObservationId::new(target.key.clone(), Phase::Authorize);
        if is_unauthorized(manifest) {
            registry_auth::add_presented_login(&mut login, self.secret_arn());
            let blocked_by = login.id.clone().about(self.image.id());
            let blocked_by = blocked_by.to_string().into();
            let outcome = Outcome::NotReached { blocked_by };
            *manifest = observe(target, Phase::Manifest, outcome, Instant::now());
        } else if manifest.answer.is_some() {
            login.outcome = Outcome::Passed;
            login.detail.clear();
        } else {
            return;
        }
        session.record(login);
    }
}

impl RegistrySession<'_> {
    /// Adds the code `NAME_UNKNOWN` if the whole repository is missing. Registries other than ECR
    /// report an unknown manifest in this case too; only their list of tags distinguishes the two.
    async fn add_missing_repository(&self, missing: &mut Observation) {
        let path = format!("/v2/{}/tags/list?n=1", self.image.reference.repository);
        let request = self.request(path, None, ReadBody::Whole(MAX_TAG_LIST_BYTES));
        let client = self.client(Phase::Manifest);
        let tags = client.call(&request, StatusCode::is_success).await;
        let unknown = tags.error_code() == "NAME_UNKNOWN";
        if let Some(answer) = missing.answer.as_mut().filter(|_| unknown) {
            answer.code = "NAME_UNKNOWN".into();
        }
    }

    /// Fetches a manifest or an index. Returns `None` if the registry redirects to a host to which
    /// the probe cannot connect.
    async fn get_manifest(&self, version: &str) -> Option<ManifestResult> {
        let pull = PullRequest {
            path: format!(
                "/v2/{}/manifests/{version}",
                self.image.reference.repository
            ),
            accept: Some(manifest::MANIFEST_MEDIA_TYPES),
            read_body: ReadBody::Whole(manifest::MAX_MANIFEST_BYTES),
            phase: Phase::Manifest,
            redirected_phase: Phase::Manifest,
        };
        let result = self
            .get(pull, |redirecting| self.record(redirecting))
            .await?;
        let CallResult {
            mut observation,
            response,
            error_headers,
        } = result;
        let digest = response
            .as_ref()
            .map(|response| format!("sha256:{}", http::sha256(&response.body)));
        let document = response.and_then(|response| {
            let parsed = parse_manifest(version, &response.body);
            parsed
                .map_err(|unusable| unusable.add_to(&mut observation))
                .ok()
        });
        // The registry's login must not be sent to another host.
        let challenge = registry_auth::challenge(&error_headers)
            .filter(|_| *observation.target() == self.registry.target.key);
        Some(ManifestResult {
            observation,
            document,
            digest,
            challenge,
        })
    }
}

fn is_unauthorized(observation: &Observation) -> bool {
    observation
        .answer
        .as_ref()
        .is_some_and(|answer| answer.status == 401)
}

struct ManifestResult {
    observation: Observation,
    document: Option<ManifestDocument>,
    /// The digest of the response body.
    digest: Option<String>,
    /// The challenge of a 401 response.
    challenge: Option<Challenge>,
}

/// Why a response cannot be used as the manifest.
struct UnusableManifest {
    failure: Failure,
    detail: SafeText,
    expected: Vec<SafeText>,
    presented: Vec<SafeText>,
}

impl UnusableManifest {
    fn add_to(self, observation: &mut Observation) {
        observation.outcome = Outcome::Failed {
            failure: self.failure,
        };
        observation.detail = self.detail;
        observation.expected = self.expected;
        observation.presented = self.presented;
    }
}

fn parse_manifest(version: &str, body: &[u8]) -> Result<ManifestDocument, UnusableManifest> {
    let presented = format!("sha256:{}", http::sha256(body));
    if version.starts_with("sha256:") && version != presented {
        return Err(UnusableManifest {
            failure: Failure::WrongDigest,
            detail: "the manifest does not match its digest".into(),
            expected: vec![version.to_owned().into()],
            presented: vec![presented.into()],
        });
    }
    let unusable = |failure, detail| UnusableManifest {
        failure,
        detail,
        expected: Vec::new(),
        presented: Vec::new(),
    };
    match ManifestDocument::parse(body) {
        Ok(ManifestDocument::Manifest(manifest)) if manifest.layers.len() > MAX_STACKED_LAYERS => {
            let layers = manifest.layers.len();
            let detail = format!("{layers} layers; overlayfs stacks at most {MAX_STACKED_LAYERS}");
            Err(unusable(Failure::WrongForm, detail.into()))
        }
        parsed => {
            parsed.map_err(|invalid| unusable(Failure::UnexpectedAnswer, invalid.text().into()))
        }
    }
}
