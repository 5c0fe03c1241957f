//! What every check needs: settings, TLS, the recorder, credentials.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::future::{BoxFuture, Shared};

use crate::aws::credentials::{AgentFailure, Credentials};
use crate::endpoints::Variant;
use crate::network_location::{IpFamily, NetworkLocation, nat64_target};
use crate::observation::{Observation, Outcome, Phase, Scope, TargetKey};
use crate::plan::Target;
use crate::probe::net::resolve::StubResolver;
use crate::probe::net::tls::TlsClient;
use crate::probe::recorder::Recorder;
use crate::vantage::ClockDrift;

/// The result of loading credentials.
pub type LoadedCredentials = Arc<Result<Credentials, AgentFailure>>;

/// Credentials that are loaded once and awaited by several checks.
pub type SharedCredentials = Shared<BoxFuture<'static, LoadedCredentials>>;

/// Where a run probes from, and what it assumes.
pub struct ProbeSettings {
    /// Resolves the names of all targets.
    pub resolver: StubResolver,
    /// Where the task is in its VPC. Decides which addresses are private.
    pub location: NetworkLocation,
    /// Whether names with an interface VPC endpoint must resolve to addresses inside the VPC.
    pub expect_private: bool,
    /// Whether this is a machine that should have credentials: an ECS task, or one that names a
    /// source of them.
    pub expect_credentials: bool,
    /// Part of the log stream's name: the task ID on ECS, the run ID elsewhere.
    pub run_id: String,
    /// Clock drift reported by the task metadata endpoint.
    pub clock_drift: Option<ClockDrift>,
}

impl ProbeSettings {
    /// Returns settings for fetching the task definition before a run. The rest of the location is
    /// unknown, because it matters only to observations that are reported.
    pub fn for_fetch(resolver: StubResolver, ip_family: IpFamily) -> Self {
        Self {
            resolver: resolver.for_family(ip_family),
            location: NetworkLocation {
                ip_family: Some(ip_family),
                ..NetworkLocation::default()
            },
            expect_private: false,
            expect_credentials: true,
            run_id: String::new(),
            clock_drift: None,
        }
    }
}

/// Shared by all checks of a run.
#[derive(Clone)]
pub struct ProbeContext {
    pub settings: Arc<ProbeSettings>,
    /// Trusts the puller's root certificates.
    pub tls: TlsClient,
    /// Receives the observations.
    pub recorder: Recorder,
    /// Targets and scopes whose source ports have been tested. For each target, one healthy address
    /// of each scope is tested: rules of a network ACL name addresses, so a result for one service
    /// says nothing about the next.
    tested_ports: Arc<Mutex<BTreeSet<(TargetKey, Scope)>>>,
}

impl ProbeContext {
    /// Returns the context of a new run.
    pub fn new(settings: ProbeSettings, tls: TlsClient, recorder: Recorder) -> Self {
        Self {
            settings: Arc::new(settings),
            tls,
            recorder,
            tested_ports: Arc::default(),
        }
    }

    /// Returns which names of AWS services the task uses.
    pub fn variant(&self) -> Variant {
        let family = self.settings.location.ip_family;
        // Unknown outside ECS: most tasks have IPv4.
        family.unwrap_or_default().variant()
    }

    /// Whether the caller is the first to claim this target and scope, and so tests the source
    /// ports.
    pub fn claim_port_test(&self, target: &Target, scope: Scope) -> bool {
        self.tested_ports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((target.key.clone(), scope))
    }

    /// Returns an observation of `target` at `peer` that began at `started` and ends now.
    pub fn observe_at(
        &self,
        target: &Target,
        phase: Phase,
        outcome: Outcome,
        started: Instant,
        peer: SocketAddr,
    ) -> Observation {
        let mut observation = observe(target, phase, outcome, started);
        if !phase.is_exchange() {
            observation.id.narrow(peer.ip());
        }
        let scope = self.settings.location.scope(peer.ip());
        observation.peer = Some(peer);
        observation.scope = Some(scope);
        observation.owner = (scope == Scope::Public)
            .then(|| crate::ip_owner::owner(nat64_target(peer.ip()).unwrap_or(peer.ip())))
            .flatten();
        observation
    }
}

/// Returns an observation of `target` that began at `started` and ends now.
pub fn observe(target: &Target, phase: Phase, outcome: Outcome, started: Instant) -> Observation {
    let mut observation = Observation::new(target.key.clone(), target.dependency, phase, outcome);
    observation.host.clone_from(&target.host);
    observation.elapsed_ms = crate::millis(started.elapsed());
    observation
}
