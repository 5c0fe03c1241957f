//! `manifest`: from a reference to the platform's own manifest, logged in as the registry wants it.

use std::sync::Arc;
use std::time::Instant;

use hyper::StatusCode;
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};

use crate::observation::{Failure, Observation, ObservationId, Outcome, Phase};
use crate::plan::{Platform, Target};
use crate::probe::aws_call::{self, CallResult};
use crate::probe::checks::ecr_token::SharedToken;
use crate::probe::checks::manifest::{self, Document, Manifest};
use crate::probe::checks::registry_auth::{self, Challenge, Presented, SharedLogin};
use crate::probe::net::http::{self, Ask, Read};
use crate::probe::redirects::RedirectTargets;
use crate::probe::target::{self, Probe, Reached, TargetHandle};
use crate::reference::Reference;

/// One tag is asked for; registries that do not page send all.
const TAGS_LIMIT: usize = 1024 * 1024;

/// One image's pull.
pub struct Pull {
    pub probe: Probe,
    pub reference: Reference,
    /// AWS adds it to the task, with a tag of its own choice.
    pub injected: bool,
    pub platform: Platform,
    pub full: bool,
    pub registry: TargetHandle,
    /// ECR's.
    pub token: Option<SharedToken>,
    /// Another registry's, where the task definition has `repositoryCredentials`.
    pub login: Option<LoginOfPull>,
    /// Where layers are expected.
    pub layers: Option<(Target, TargetHandle)>,
    pub discovered: RedirectTargets,
}

/// A login that is read from a secret.
pub struct LoginOfPull {
    /// The secret's ARN.
    pub secret: String,
    /// The id of the observation that tells how reading it went.
    pub read: ObservationId,
    /// User name and password, as soon as they are there.
    pub login: SharedLogin,
}

impl Pull {
    /// Token, manifest, redirects, bytes.
    pub async fn rehearse(self) {
        let token = async {
            match &self.token {
                Some(token) => token
                    .clone()
                    .await
                    .map(|token| registry_auth::basic_of(&token)),
                None => Some(None),
            }
        };
        let (registry, authorization) = tokio::join!(self.registry.reached(), token);
        let (Some(registry), Some(authorization)) = (registry, authorization) else {
            return;
        };
        let session = Session {
            pull: &self,
            registry,
            authorization,
        };
        if let Some((session, manifest)) = session.manifest().await {
            session.blobs(manifest).await;
        }
        if let (Some(_), Some(registry)) = (&self.login, self.registry.reached().await) {
            registry.close();
        }
    }
}

/// A pull with its registry reached.
pub struct Session<'a> {
    pub pull: &'a Pull,
    pub registry: Arc<Reached>,
    authorization: Option<HeaderValue>,
}

impl Session<'_> {
    /// A request with the pull's own authorization.
    pub fn ask(&self, path: String, accept: Option<&'static str>, read: Read) -> Ask {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        Ask {
            headers,
            ..Ask::get(path, read)
        }
    }

    /// The platform's manifest. Logs in where a registry asks for an anonymous token.
    async fn manifest(mut self) -> Option<(Self, Manifest)> {
        let reference = &self.pull.reference;
        let started = Instant::now();
        let mut said = self.get_manifest(reference.version()).await;
        if self.pull.token.is_none()
            && is_401(&said.observation)
            && let Some(challenge) = said.challenge.take()
        {
            match self.log_in(&challenge).await {
                Ok(()) => {}
                Err(blocked_by) => {
                    let outcome = Outcome::NotReached { blocked_by };
                    self.record(
                        target::observe(&self.registry.target, Phase::Manifest, outcome, started),
                        None,
                    );
                    return None;
                }
            }
            if self.authorization.is_some() {
                said = self.get_manifest(reference.version()).await;
            }
            if challenge == Challenge::Basic && self.authorization.is_some() {
                self.record_basic(&mut said.observation);
            }
        }
        if self.pull.token.is_none()
            && matches!(
                said.observation.failure(),
                Some(Failure::Unauthenticated | Failure::Denied)
            )
        {
            registry_auth::presented(&mut said.observation, self.secret());
        }
        if said.observation.failure() == Some(Failure::NotFound) {
            said.observation = self.repository_or_tag(said.observation).await;
        }
        if self.pull.injected && said.observation.failure() == Some(Failure::NotFound) {
            let why = "the registry lets us in; the tag of an image that AWS adds is AWS's choice, and this is not it";
            said.observation.outcome = Outcome::NotChecked { why: why.into() };
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
                    said.observation.detail =
                        format!("index, {} is {}", self.pull.platform, short(&digest));
                }
                Err(present) => {
                    said.observation.outcome = Outcome::Failed {
                        failure: Failure::WrongPlatform,
                    };
                    said.observation.expected = vec![self.pull.platform.to_string()];
                    said.observation.detail = format!(
                        "the index has no {}, only {}",
                        self.pull.platform,
                        present.join(", ")
                    );
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

    fn secret(&self) -> Option<&str> {
        self.pull.login.as_ref().map(|login| login.secret.as_str())
    }

    /// Answers a challenge: with a token of the token service, with the login itself, or not at all
    /// where none is to be had. Fails with the id of what stood in the way.
    async fn log_in(&mut self, challenge: &Challenge) -> Result<(), String> {
        let login = match &self.pull.login {
            Some(wanted) => Some(
                wanted
                    .login
                    .clone()
                    .await
                    .ok_or_else(|| wanted.read.to_string())?,
            ),
            None => None,
        };
        let login = login
            .as_deref()
            .zip(self.secret())
            .map(|(login, secret)| Presented { login, secret });
        self.authorization = match challenge {
            Challenge::Basic => login.and_then(|presented| registry_auth::basic(presented.login)),
            Challenge::Bearer { host, port, path } => {
                let registry = &self.registry.target;
                // The token service of ghcr.io, quay.io and public.ecr.aws is the registry itself.
                let climb = if (host, port) == (&registry.host, &registry.port) {
                    Some(self.pull.registry.clone())
                } else {
                    self.pull.discovered.climb(
                        &self.pull.probe,
                        registry.dependency,
                        host,
                        *port,
                        &[Phase::Authorize],
                    )
                };
                let climb = climb.ok_or("the number of hosts that one run looks at")?;
                let Some(service) = climb.reached().await else {
                    return Err(format!(
                        "{}/handshake",
                        RedirectTargets::key(registry.dependency, host, *port)
                    ));
                };
                let reference = &self.pull.reference;
                let subject = (self.name(), reference.to_string());
                Some(
                    registry_auth::fetch_token(&self.pull.probe, &service, path, login, subject)
                        .await?,
                )
            }
        };
        Ok(())
    }

    /// With Basic the registry judges the login itself: its first answer to it is how the login
    /// went, and where it says no, nothing is known of the manifest.
    fn record_basic(&self, manifest: &mut Observation) {
        let mut login = manifest.clone();
        login.phase = Phase::Authorize;
        login.id = ObservationId::new(self.registry.target.key.clone(), Phase::Authorize);
        if is_401(manifest) {
            registry_auth::presented(&mut login, self.secret());
            let blocked_by = login.id.clone().about(self.name()).to_string();
            let outcome = Outcome::NotReached { blocked_by };
            *manifest = target::observe(
                &self.registry.target,
                Phase::Manifest,
                outcome,
                Instant::now(),
            );
        } else if manifest.answer.is_some() {
            login.outcome = Outcome::Passed;
            login.detail = String::new();
        } else {
            return;
        }
        self.record(login, None);
    }

    /// Registries other than ECR call a manifest unknown also where the whole repository is; its
    /// list of tags tells.
    async fn repository_or_tag(&self, mut missing: Observation) -> Observation {
        let ask = self.ask(
            format!("/v2/{}/tags/list?n=1", self.pull.reference.repository),
            None,
            Read::All(TAGS_LIMIT),
        );
        let tags = aws_call::ask(
            &self.pull.probe,
            &self.registry,
            Phase::Manifest,
            &ask,
            StatusCode::is_success,
        )
        .await;
        let unknown = tags
            .observation
            .answer
            .is_some_and(|answer| answer.code == "NAME_UNKNOWN");
        if let Some(answer) = missing.answer.as_mut().filter(|_| unknown) {
            answer.code = "NAME_UNKNOWN".into();
        }
        missing
    }

    async fn get_manifest(&self, version: &str) -> ManifestResult {
        let path = format!("/v2/{}/manifests/{version}", self.pull.reference.repository);
        let ask = self.ask(
            path,
            Some(manifest::ACCEPT),
            Read::All(manifest::MANIFEST_LIMIT),
        );
        let ok = |status: &StatusCode| *status == StatusCode::OK;
        let CallResult {
            mut observation,
            answer,
            refused,
        } = aws_call::ask(&self.pull.probe, &self.registry, Phase::Manifest, &ask, ok).await;
        let challenge = registry_auth::challenge(&refused);
        let document = answer.map(|answer| read_document(version, &answer.body));
        if let Some(Err(wrong)) = &document {
            observation.outcome = Outcome::Failed {
                failure: wrong.failure,
            };
            observation.detail.clone_from(&wrong.detail);
            observation.expected.clone_from(&wrong.expected);
            observation.presented.clone_from(&wrong.presented);
        }
        ManifestResult {
            observation,
            document: document.and_then(Result::ok),
            challenge,
        }
    }

    /// The same, as another rung's.
    pub fn record_as(&self, mut observation: Observation, phase: Phase, digest: &str) {
        observation.phase = phase;
        observation.id = ObservationId::new(self.registry.target.key.clone(), phase);
        self.record(observation, Some(digest));
    }

    /// Records what was seen of the image, or of one of its blobs.
    pub fn record(&self, mut observation: Observation, digest: Option<&str>) {
        let reference = &self.pull.reference;
        observation.id.narrow(self.name());
        observation.subject = Some(reference.to_string());
        if let Some(digest) = digest {
            observation.id.narrow(short(digest));
            observation.subject = Some(format!("{reference} {digest}"));
        }
        self.pull.probe.recorder.record(observation);
    }

    /// The image's part of an observation's id.
    fn name(&self) -> String {
        format!(
            "{}:{}",
            self.pull.reference.repository,
            short(self.pull.reference.version())
        )
    }
}

fn is_401(observation: &Observation) -> bool {
    observation
        .answer
        .as_ref()
        .is_some_and(|answer| answer.status == 401)
}

struct ManifestResult {
    observation: Observation,
    document: Option<Document>,
    challenge: Option<Challenge>,
}

/// Why an answer is no manifest.
struct Wrong {
    failure: Failure,
    detail: String,
    expected: Vec<String>,
    presented: Vec<String>,
}

fn read_document(version: &str, body: &[u8]) -> Result<Document, Wrong> {
    let presented = format!("sha256:{}", http::sha256(body));
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
