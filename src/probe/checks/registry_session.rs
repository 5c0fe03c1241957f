//! Requests to the registry of one image, and their observations.

use std::sync::Arc;
use std::time::Instant;

use hyper::StatusCode;
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RANGE};

use crate::endpoints::is_s3_host;
use crate::observation::{
    Dependency, Failure, ImageDeployment, Observation, ObservationId, Outcome, Phase,
};
use crate::plan::Platform;
use crate::probe::aws_call::{CallResult, PhaseClient};
use crate::probe::context::{ProbeContext, observe};
use crate::probe::net::http::{Exchange, HttpRequest, ReadBody};
use crate::probe::redirects::{
    MAX_REDIRECT_HOSTS, RedirectHost, RedirectLocation, RedirectTargets,
};
use crate::probe::target::{ConnectedTarget, TargetHandle};
use crate::reference::Reference;
use crate::safe_text::{SafeText, safe_text};

/// The image that is pulled.
pub struct PulledImage {
    pub context: ProbeContext,
    pub reference: Reference,
    pub platform: Platform,
    /// Whether to download whole layers.
    pub full: bool,
    pub is_ecr: bool,
    /// Which of a service's deployments pulls the image, if known.
    pub deployment: Option<ImageDeployment>,
    /// The host to which the plan expects the registry to redirect for layers.
    pub layer_host: Option<LayerHost>,
    pub redirects: RedirectTargets,
}

/// A host from which the plan expects layers.
pub struct LayerHost {
    pub host: String,
    pub port: u16,
    pub handle: TargetHandle,
}

/// A request of a pull, which may be redirected.
pub struct PullRequest {
    pub path: String,
    pub accept: Option<&'static str>,
    pub read_body: ReadBody,
    /// The phase until the registry redirects to another host.
    pub phase: Phase,
    /// The phase after that.
    pub redirected_phase: Phase,
}

impl PulledImage {
    /// Returns the image's part of an observation ID.
    pub fn id(&self) -> String {
        let version = short_digest(self.reference.version());
        format!("{}:{version}", self.reference.repository)
    }

    /// Records an observation of the image.
    fn record(&self, mut observation: Observation) {
        observation.deployment = self.deployment;
        let pulled_by = match self.deployment {
            Some(ImageDeployment::Current) if observation.phase == Phase::Manifest => {
                "pinned by the current deployment"
            }
            Some(ImageDeployment::Next) => "next deployment",
            _ => "",
        };
        if observation.detail.is_empty() {
            observation.detail = pulled_by.into();
        } else if !pulled_by.is_empty() {
            observation.detail = safe_text![pulled_by, ": ", &observation.detail];
        }
        self.context.recorder.record(observation);
    }
}

/// The connected registry of an image, and the authorization for it.
pub struct RegistrySession<'a> {
    pub image: &'a PulledImage,
    pub registry: Arc<ConnectedTarget>,
    pub authorization: Option<HeaderValue>,
}

impl RegistrySession<'_> {
    /// Returns a client for the requests of `phase`.
    pub fn client(&self, phase: Phase) -> PhaseClient<'_> {
        PhaseClient {
            context: &self.image.context,
            target: &self.registry,
            phase,
        }
    }

    /// Returns a GET request with the session's authorization.
    pub fn request(
        &self,
        path: String,
        accept: Option<&'static str>,
        read_body: ReadBody,
    ) -> HttpRequest {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        HttpRequest {
            headers,
            ..HttpRequest::get(path, read_body)
        }
    }

    /// Sends a request to the registry and follows redirects as the puller does: the authorization
    /// goes to the registry only. `record` receives the observation of every host that redirects.
    /// Returns `None` if the probe cannot connect to a host, which that host's observations report.
    pub async fn get(&self, pull: PullRequest, record: impl Fn(Observation)) -> Option<CallResult> {
        let registry = &self.registry.target;
        let mut location = RedirectLocation::at(registry, pull.path);
        let mut target = Arc::clone(&self.registry);
        let mut phase = pull.phase;
        for sent in 1.. {
            let mut request = self.request(location.path.clone(), pull.accept, pull.read_body);
            if !location.is_at(registry) {
                request.headers.remove(AUTHORIZATION);
                if let ReadBody::Prefix(bytes) = pull.read_body
                    && let Ok(range) = HeaderValue::from_str(&format!("bytes=0-{}", bytes - 1))
                {
                    request.headers.insert(RANGE, range);
                }
            }
            let client = PhaseClient {
                context: &self.image.context,
                target: &target,
                phase,
            };
            let accept = |status: &StatusCode| status.is_success() || status.is_redirection();
            let mut result = client.call(&request, accept).await;
            let is_redirect = |response: &mut Exchange| {
                response.status.is_ok_and(|status| status.is_redirection())
            };
            let Some(response) = result.response.take_if(is_redirect) else {
                return Some(result);
            };
            let next = match location.next(&response.headers, sent) {
                Ok(next) => next,
                Err(why) => {
                    result.observation.outcome = Outcome::Failed {
                        failure: Failure::UnexpectedAnswer,
                    };
                    result.observation.detail = why.into();
                    return Some(result);
                }
            };
            if let Some(answer) = &mut result.observation.answer {
                answer.redirect_host = Some(next.host.clone());
            }
            record(result.observation);
            if next.is_at(registry) {
                phase = pull.phase;
                target = Arc::clone(&self.registry);
            } else {
                phase = pull.redirected_phase;
                let Some(handle) = self.handle_of(&next, phase) else {
                    let host = &next.host;
                    let why = format!(": host limit reached ({MAX_REDIRECT_HOSTS} per run)");
                    let why = safe_text![host, why];
                    return Some(CallResult::without_response(self.not_checked(phase, why)));
                };
                target = handle.connected().await?;
            }
            location = next;
        }
        None
    }

    /// Returns the handle of a redirect's target: the planned one if it is the same host. Returns
    /// `None` if the run has reached its limit of hosts.
    fn handle_of(&self, location: &RedirectLocation, phase: Phase) -> Option<TargetHandle> {
        match &self.image.layer_host {
            Some(planned) if (&planned.host, planned.port) == (&location.host, location.port) => {
                Some(planned.handle.clone())
            }
            _ => {
                let host = RedirectHost {
                    // Behind a pull-through cache, a host that is not Amazon S3's is the
                    // upstream's.
                    dependency: if is_s3_host(&location.host) {
                        Dependency::S3
                    } else {
                        Dependency::Registry
                    },
                    host: location.host.clone(),
                    port: location.port,
                };
                let redirects = &self.image.redirects;
                redirects.connect(&self.image.context, &host, phase)
            }
        }
    }

    /// Returns an observation that `phase` was not checked.
    pub fn not_checked(&self, phase: Phase, why: impl Into<SafeText>) -> Observation {
        let outcome = Outcome::NotChecked { why: why.into() };
        observe(&self.registry.target, phase, outcome, Instant::now())
    }

    /// Records an observation of the image.
    pub fn record(&self, mut observation: Observation) {
        observation.id.narrow(self.image.id());
        observation.subject = Some(self.image.reference.to_string());
        self.image.record(observation);
    }

    /// Records an observation of one of the image's blobs.
    pub fn record_blob(&self, mut observation: Observation, digest: &str) {
        observation.id.narrow(self.image.id());
        observation.id.narrow(short_digest(digest));
        observation.subject = Some(format!("{} {digest}", self.image.reference));
        self.image.record(observation);
    }

    /// Records an observation of a blob under another phase.
    pub fn record_blob_as(&self, phase: Phase, mut observation: Observation, digest: &str) {
        observation.phase = phase;
        observation.id = ObservationId::new(self.registry.target.key.clone(), phase);
        self.record_blob(observation, digest);
    }
}

/// Returns enough of a digest to tell blobs apart. Tags are returned unchanged.
pub fn short_digest(version: &str) -> &str {
    match version.strip_prefix("sha256:") {
        Some(hex) => hex.get(..12).unwrap_or(hex),
        None => version,
    }
}
