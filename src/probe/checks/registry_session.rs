//! Requests to the registry of one image, and their observations.

use std::sync::Arc;

use hyper::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};

use crate::observation::{Observation, ObservationId, Phase};
use crate::plan::Platform;
use crate::probe::aws_call::PhaseClient;
use crate::probe::context::ProbeContext;
use crate::probe::net::http::{HttpRequest, ReadBody};
use crate::probe::redirects::RedirectTargets;
use crate::probe::target::{ConnectedTarget, TargetHandle};
use crate::reference::Reference;

/// The image that is pulled.
pub struct PulledImage {
    pub context: ProbeContext,
    pub reference: Reference,
    pub platform: Platform,
    /// Whether to download whole layers.
    pub full: bool,
    pub is_ecr: bool,
    /// The host from which layers are expected, before the registry redirects to it.
    pub layer_host: Option<LayerHost>,
    pub redirects: RedirectTargets,
}

/// A host from which the plan expects layers.
pub struct LayerHost {
    pub host: String,
    pub port: u16,
    pub handle: TargetHandle,
}

impl PulledImage {
    /// Returns the image's part of an observation ID.
    pub fn id(&self) -> String {
        let version = short_digest(self.reference.version());
        format!("{}:{version}", self.reference.repository)
    }
}

/// The connected registry of an image, and how to authenticate there.
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

    /// Records an observation of the image.
    pub fn record(&self, mut observation: Observation) {
        observation.id.narrow(self.image.id());
        observation.subject = Some(self.image.reference.to_string());
        self.image.context.recorder.record(observation);
    }

    /// Records an observation of one of the image's blobs.
    pub fn record_blob(&self, mut observation: Observation, digest: &str) {
        observation.id.narrow(self.image.id());
        observation.id.narrow(short_digest(digest));
        observation.subject = Some(format!("{} {digest}", self.image.reference));
        self.image.context.recorder.record(observation);
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
