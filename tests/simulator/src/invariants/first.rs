//! Requests that the engine makes once in its life, and for which it needs to keep no pace.

use std::collections::{BTreeMap, BTreeSet};

use onionbalance::engine::DescriptorSlot;

/// The backends and descriptors that the engine knows of, and which of them it has not asked for or published yet.
#[derive(Default)]
pub struct First {
    /// The backends that were asked for.
    asked: BTreeSet<usize>,
    /// The descriptors that the engine was last shown of each service.
    shown: BTreeMap<usize, BTreeSet<DescriptorSlot>>,
    /// The descriptors that a service began with and that were not published yet, of the services of which any was.
    unpublished: BTreeMap<usize, BTreeSet<DescriptorSlot>>,
}

impl First {
    /// The engine is shown the descriptors of a service.
    pub fn shown(&mut self, service: usize, slots: BTreeSet<DescriptorSlot>) {
        if let Some(unpublished) = self.unpublished.get_mut(&service) {
            unpublished.retain(|slot| slots.contains(slot));
        }
        self.shown.insert(service, slots);
    }

    /// A backend is asked for. Returns whether it never was before.
    pub fn asks(&mut self, backend: usize) -> bool {
        self.asked.insert(backend)
    }

    /// A descriptor is published. Returns whether it is one of those that its service began with, and never was before.
    pub fn publishes(&mut self, service: usize, slot: DescriptorSlot) -> bool {
        let all = || self.shown.get(&service).cloned().unwrap_or_default();
        self.unpublished.entry(service).or_insert_with(all).remove(&slot)
    }

    /// A backend serves nobody.
    pub fn forget_backend(&mut self, backend: usize) {
        self.asked.remove(&backend);
    }

    /// A service is not configured.
    pub fn forget_service(&mut self, service: usize) {
        self.shown.remove(&service);
        self.unpublished.remove(&service);
    }
}
