//! The frontend's own descriptors, fetched back from HSDirs to see what they hold.

use std::collections::HashSet;

use crate::engine::{DescriptorSlot, ServiceId};
use crate::relay::Fingerprint;

/// The read-backs under way.
#[derive(Debug, Default)]
pub(super) struct ReadBacks(HashSet<(ServiceId, DescriptorSlot, Fingerprint)>);

impl ReadBacks {
    pub(super) fn expect(&mut self, service: ServiceId, slot: DescriptorSlot, hsdir: Fingerprint) {
        self.0.insert((service, slot, hsdir));
    }

    /// Whether this one was under way, which it no longer is.
    pub(super) fn end(&mut self, service: &ServiceId, slot: DescriptorSlot, hsdir: Fingerprint) -> bool {
        self.0.remove(&(service.clone(), slot, hsdir))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
