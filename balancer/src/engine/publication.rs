//! Which publication was of what, for as long as an answer may come.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::{DescriptorSlot, PublicationId, ServiceId};
use super::registry::Number;

/// The publications of the last minutes.
pub(super) struct Publications {
    next: u64,
    recent: BTreeMap<PublicationId, Publication>,
}

/// One publication.
pub(super) struct Publication {
    pub(super) service: Number<ServiceId>,
    pub(super) slot: DescriptorSlot,
    issued: Duration,
    /// The revision that the signer gave it, once tor has accepted it.
    pub(super) revision: Option<u64>,
}

impl Publications {
    pub(super) fn new() -> Self {
        Self { next: 0, recent: BTreeMap::new() }
    }

    /// The name that the next publication will have.
    pub(super) fn next_id(&self) -> PublicationId {
        PublicationId(self.next)
    }

    /// Registers a publication under [`Publications::next_id`], and forgets those that nobody will speak of
    /// again.
    pub(super) fn issue(&mut self, now: Duration, service: Number<ServiceId>, slot: DescriptorSlot) {
        while self.recent.first_key_value().is_some_and(|(_, old)| old.issued + REMEMBERED <= now) {
            self.recent.pop_first();
        }
        let id = self.next_id();
        self.next += 1;
        self.recent.insert(id, Publication { service, slot, issued: now, revision: None });
    }

    pub(super) fn get_mut(&mut self, id: PublicationId) -> Option<&mut Publication> {
        self.recent.get_mut(&id)
    }

    /// Forgets all publications, not their names.
    pub(super) fn clear(&mut self) {
        self.recent.clear();
    }
}

/// Longer than any time-out: what comes later is not worth knowing.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
