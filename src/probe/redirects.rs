//! Hosts that only an answer named.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::observation::{Dependency, Phase, TargetKey};
use crate::plan::Target;
use crate::probe::target::{Probe, TargetHandle};

/// Redirects and token services. Each host is climbed once, whoever names it first.
#[derive(Clone, Default)]
pub struct RedirectTargets(Arc<Mutex<BTreeMap<Place, TargetHandle>>>);

/// Role, host and port.
type Place = (Dependency, String, u16);

/// Hosts that answers may add to a run.
const MAX_DISCOVERED: usize = 16;

impl RedirectTargets {
    /// The climb of this host, begun now if it is new; none if it would be one too many.
    pub fn climb(
        &self,
        probe: &Probe,
        dependency: Dependency,
        host: &str,
        port: u16,
        then: &[Phase],
    ) -> Option<TargetHandle> {
        let mut climbs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (dependency, host.to_owned(), port);
        if let Some(known) = climbs.get(&place) {
            return Some(known.clone());
        }
        if climbs.len() >= MAX_DISCOVERED {
            return None;
        }
        let phases = [Phase::Resolve, Phase::Connect, Phase::Handshake]
            .iter()
            .chain(then)
            .copied()
            .collect();
        let key = Self::key(dependency, host, port);
        let climb = TargetHandle::start(
            probe.clone(),
            Target {
                key,
                dependency,
                host: host.to_owned(),
                port,
                phases,
            },
        );
        climbs.insert(place, climb.clone());
        Some(climb)
    }

    /// The key of a discovered target.
    pub fn key(dependency: Dependency, host: &str, port: u16) -> TargetKey {
        if port == 443 {
            TargetKey::at(dependency, host)
        } else {
            TargetKey::at(dependency, &format!("{host}:{port}"))
        }
    }
}
