//! Hosts that are not in the plan, but named by a response.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::observation::{Dependency, Phase, TargetKey};
use crate::plan::Target;
use crate::probe::context::ProbeContext;
use crate::probe::target::TargetHandle;

/// Hosts that responses may add to one run.
pub const MAX_REDIRECT_HOSTS: usize = 16;

/// Hosts of redirects and token services. Each is connected once, whichever response names it
/// first.
#[derive(Clone, Default)]
pub struct RedirectTargets(Arc<Mutex<BTreeMap<RedirectHost, TargetHandle>>>);

/// A host that a response names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RedirectHost {
    pub dependency: Dependency,
    pub host: String,
    pub port: u16,
}

impl RedirectHost {
    /// Returns the target's key in observation IDs.
    pub fn key(&self) -> TargetKey {
        if self.port == 443 {
            TargetKey::at(self.dependency, &self.host)
        } else {
            TargetKey::at(self.dependency, &format!("{}:{}", self.host, self.port))
        }
    }
}

impl RedirectTargets {
    /// Returns the host's handle and starts to connect it if it is new. `phase` is what follows the
    /// handshake. Returns `None` for a host beyond [`MAX_REDIRECT_HOSTS`].
    pub fn connect(
        &self,
        context: &ProbeContext,
        host: &RedirectHost,
        phase: Phase,
    ) -> Option<TargetHandle> {
        let mut handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = handles.get(host) {
            return Some(known.clone());
        }
        if handles.len() >= MAX_REDIRECT_HOSTS {
            return None;
        }
        let target = Target {
            key: host.key(),
            dependency: host.dependency,
            host: host.host.clone(),
            port: host.port,
            phases: vec![Phase::Resolve, Phase::Connect, Phase::Handshake, phase],
        };
        let handle = TargetHandle::connect(context, &target);
        handles.insert(host.clone(), handle.clone());
        Some(handle)
    }
}
