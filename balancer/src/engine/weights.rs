//! The weights of a service's backends.

use std::collections::BTreeMap;

use super::drains::Drains;
use super::id::BackendId;

/// The parts of the visitors that a service's backends are to get, relative to each other. A backend without
/// an entry has the weight 1. One with the weight 0 is drained: none of its points are published.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Weights(BTreeMap<BackendId, u8>);

impl Weights {
    /// The weight of this backend.
    pub fn of(&self, backend: &BackendId) -> u8 {
        self.0.get(backend).copied().unwrap_or(1)
    }

    /// True if this backend gets no visitors.
    pub fn is_drained(&self, backend: &BackendId) -> bool {
        self.of(backend) == 0
    }

    /// These weights, with 0 for each backend that is drained by command.
    #[must_use]
    pub(super) fn drained_by(&self, drains: &Drains) -> Self {
        let mut weights = self.clone();
        weights.0.extend(drains.iter().map(|(backend, _)| (backend.clone(), 0)));
        weights
    }

    /// The backends that get no visitors.
    pub fn drained(&self) -> impl Iterator<Item = &BackendId> {
        self.0.iter().filter(|(_, weight)| **weight == 0).map(|(backend, _)| backend)
    }
}

impl FromIterator<(BackendId, u8)> for Weights {
    fn from_iter<I: IntoIterator<Item = (BackendId, u8)>>(weights: I) -> Self {
        Self(weights.into_iter().filter(|(_, weight)| *weight != 1).collect())
    }
}
