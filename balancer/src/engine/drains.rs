//! The drains of a service by command, beside those by a weight of 0.

use std::collections::BTreeMap;

use onionbalance_proto::time::UnixTime;

use super::id::BackendId;

/// The backends of one service that get no visitors because the operator has asked for it while the balancer
/// runs. Each is treated as one of weight 0.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Drains(BTreeMap<BackendId, Drain>);

/// One drain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Drain {
    /// The time of the wall clock at which it ends by itself; `None`: the operator ends it.
    pub until: Option<UnixTime>,
}

impl Drain {
    /// True if it has ended by this reading of the wall clock. A clock that is set back prolongs a drain.
    pub fn has_ended(self, wall: UnixTime) -> bool {
        self.until.is_some_and(|until| until <= wall)
    }
}

impl Drains {
    /// The drain of this backend; `None` if it is not drained by command.
    pub fn of(&self, backend: &BackendId) -> Option<Drain> {
        self.0.get(backend).copied()
    }

    /// Drains a backend. An earlier drain of it is replaced.
    pub fn insert(&mut self, backend: BackendId, drain: Drain) {
        self.0.insert(backend, drain);
    }

    /// Ends the drain of a backend.
    pub fn remove(&mut self, backend: &BackendId) {
        self.0.remove(backend);
    }

    /// Keeps the drains that pass.
    pub fn retain(&mut self, passes: impl Fn(&BackendId, Drain) -> bool) {
        self.0.retain(|backend, drain| passes(backend, *drain));
    }

    /// All of them, in the order of the backends' names.
    pub fn iter(&self) -> impl Iterator<Item = (&BackendId, Drain)> {
        self.0.iter().map(|(backend, drain)| (backend, *drain))
    }

    /// The number of drains.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if nothing is drained by command.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(BackendId, Drain)> for Drains {
    fn from_iter<I: IntoIterator<Item = (BackendId, Drain)>>(drains: I) -> Self {
        Self(drains.into_iter().collect())
    }
}
