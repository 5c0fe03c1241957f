//! Hosts that only an answer named.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::target::{Climb, Probe};
use crate::observation::{Phase, Role};
use crate::plan::Target;

/// Redirects and token services. Each host is climbed once, whoever names it first.
#[derive(Clone, Default)]
pub struct Discovered(Arc<Mutex<BTreeMap<Place, Climb>>>);

/// Role, host and port.
type Place = (Role, String, u16);

/// Hosts that answers may add to a run.
const MAX_DISCOVERED: usize = 16;

impl Discovered {
    /// The climb of this host, begun now if it is new.
    pub fn climb(&self, probe: &Probe, role: Role, host: &str, port: u16, then: &[Phase]) -> Climb {
        let mut climbs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = climbs.len();
        let place = (role, host.to_owned(), port);
        if known >= MAX_DISCOVERED
            && let Some(any) = climbs.get(&place).or_else(|| climbs.values().next())
        {
            return any.clone();
        }
        let begin = || {
            let phases = [Phase::Resolve, Phase::Connect, Phase::Handshake].iter().chain(then).copied().collect();
            let key = format!("{role}@{host}");
            Climb::start(probe.clone(), Target { key, role, host: host.to_owned(), port, phases })
        };
        climbs.entry(place).or_insert_with(begin).clone()
    }
}
