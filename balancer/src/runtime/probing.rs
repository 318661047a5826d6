//! Probes of backends: the engine's requests for them, and their results.

use std::collections::HashMap;
use std::sync::Arc;

use onionbalance_proto::config::HealthCheck;

use super::{ConsensusAge, Runtime};
use crate::engine::{BackendId, Event, ProbeId, ProbeOutcome};
use crate::network::{Network, Probe, Probed, RequestId};
use crate::onion_version::OnionVersion;

/// The probes that the network has not answered.
#[derive(Debug, Default)]
pub(super) struct OpenProbes(HashMap<RequestId, (ProbeId, BackendId)>);

impl OpenProbes {
    /// Forgets all probes: they will not be answered.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl<V: OnionVersion, N: Network> Runtime<V, N> {
    /// Makes a probe of a backend.
    pub(super) fn probe(&mut self, id: ProbeId, backend: BackendId, check: Arc<HealthCheck>) {
        let request = self.next_request();
        let address = backend.to_string();
        self.probes.0.insert(request, (id, backend));
        self.network.probe(request, Probe { address, check });
    }

    /// Takes the end of a probe. A failure says nothing about the backend while tor does not know the
    /// network's present state.
    pub(super) fn on_probed(&mut self, request: RequestId, probed: &Probed) {
        let Some((id, backend)) = self.probes.0.remove(&request) else { return };
        self.tally.probed(&backend, probed);
        let outcome = match (probed, self.consensus.age()) {
            (Probed::Succeeded(after), _) => ProbeOutcome::Succeeded(*after),
            (Probed::Failed(failure), ConsensusAge::Current) => {
                ProbeOutcome::Failed(failure.to_string().into())
            }
            (Probed::Failed(_), ConsensusAge::Old(_)) => {
                ProbeOutcome::Unmade("tor has no current consensus".into())
            }
            (Probed::Failed(_), ConsensusAge::Early(_)) => {
                ProbeOutcome::Unmade("this machine's clock is behind".into())
            }
            (Probed::Unmade(reason), _) => ProbeOutcome::Unmade(reason.as_str().into()),
        };
        self.tell_engine(Event::Probed { id, backend, outcome });
    }
}
