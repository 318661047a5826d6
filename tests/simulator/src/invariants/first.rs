//! Requests that the engine makes once in its life, which are not bound by its pace.

use std::collections::{BTreeMap, BTreeSet};

use onionbalance::engine::DescriptorSlot;

/// The backends and descriptors that the engine knows, with those that it has not asked for or published yet.
#[derive(Default)]
pub struct First {
    /// The backends that were asked for.
    asked: BTreeSet<usize>,
    /// The descriptors of each service in the engine's last view of the network.
    shown: BTreeMap<usize, BTreeSet<DescriptorSlot>>,
    /// The unpublished ones of the descriptors with which a service began; no entry before the first is
    /// published.
    unpublished: BTreeMap<usize, BTreeSet<DescriptorSlot>>,
}

impl First {
    /// Notes that the engine is shown the descriptors of a service.
    pub fn shown(&mut self, service: usize, slots: BTreeSet<DescriptorSlot>) {
        if let Some(unpublished) = self.unpublished.get_mut(&service) {
            unpublished.retain(|slot| slots.contains(slot));
        }
        self.shown.insert(service, slots);
    }

    /// Notes a request for a backend. True if it is the first.
    pub fn asks(&mut self, backend: usize) -> bool {
        self.asked.insert(backend)
    }

    /// Notes a publication. True if it is the first of one of the descriptors with which its service began.
    pub fn publishes(&mut self, service: usize, slot: DescriptorSlot) -> bool {
        let all = || self.shown.get(&service).cloned().unwrap_or_default();
        self.unpublished.entry(service).or_insert_with(all).remove(&slot)
    }

    /// Forgets a backend that no service has any more.
    pub fn forget_backend(&mut self, backend: usize) {
        self.asked.remove(&backend);
    }

    /// Forgets a service that is no longer configured.
    pub fn forget_service(&mut self, service: usize) {
        self.shown.remove(&service);
        self.unpublished.remove(&service);
    }
}
