//! Showing the engine the network, as the runtime does: with each directory, and whenever the clock changes the
//! places of a descriptor.

use std::collections::BTreeMap;
use std::time::Duration;

use onionbalance::engine::{Event, NetworkView, Source};
use onionbalance_proto::time::UnixTime;
use rustc_hash::FxHashMap;

use super::balancer::Balancer;
use super::onion_version::OnionVersion;
use super::service::move_spots;
use super::world::{Happening, World};

/// The network as the engine was last shown it.
pub struct Shown {
    view: NetworkView,
    /// The times by the balancer's clock at which the parts of the view change, by the addresses' numbers;
    /// `None` if the clock does not change one. In version 2 each has a time of day of its own, and computing
    /// all of them each time would take a third of a simulation.
    changes: FxHashMap<usize, Option<UnixTime>>,
    /// The number of the last look at the clock that was planned.
    clock_look: u32,
}

/// The state before the first view.
impl Default for Shown {
    fn default() -> Self {
        let (services, backends, period_length) = Default::default();
        let view = NetworkView { period_length, valid_after: UnixTime(0), services, backends };
        Self { view, changes: FxHashMap::default(), clock_look: 0 }
    }
}

impl Shown {
    /// Forgets the view: every part of the next one is computed.
    fn forget(&mut self) {
        (self.view.services, self.view.backends) = (BTreeMap::new(), BTreeMap::new());
        self.changes.clear();
    }

    /// True if the part of this address has to be computed.
    fn is_due(&self, address: usize, wall: UnixTime) -> bool {
        self.changes.get(&address).is_none_or(|changes| changes.is_some_and(|at| at <= wall))
    }
}

impl<V: OnionVersion> World<V> {
    /// Looks at the clock, by which other descriptors may be due.
    pub fn look_at_clock(&mut self, look: u32) {
        if look == self.balancer.shown.clock_look && self.balancer.asleep.is_none() {
            self.show_changes();
        }
    }

    /// Shows the engine the network.
    pub fn show_network(&mut self) {
        self.balancer.shown.forget();
        self.show_changes();
    }

    /// Shows the engine the network, of which only the parts that the clock has changed are computed.
    fn show_changes(&mut self) {
        let wall = self.balancer.wall(self.now);
        let Balancer { read, shown, told_ready, asleep, .. } = &mut self.balancer;
        let Some((consensus, directory)) = read else { return };
        shown.view.period_length = self.scenario.calendar.period();
        shown.view.valid_after = consensus.valid_after;
        for (number, service) in self.services.iter_mut().enumerate() {
            if service.configured.is_none() || !shown.is_due(number, wall) {
                continue;
            }
            let address = &mut self.addresses[number];
            let slots: BTreeMap<_, _> = V::published(directory, address, wall).into_iter().collect();
            self.watch.first.shown(number, slots.keys().copied().collect());
            shown.view.services.insert(service.id.clone(), slots);
            move_spots(&mut service.spots, V::kept(consensus, address, wall).iter(), self.now);
            shown.changes.insert(number, V::changes_at(address, wall));
        }
        let ready = *told_ready && asleep.is_none();
        for (number, backend) in self.backends.iter_mut().enumerate() {
            if !shown.is_due(backend.address, wall) {
                continue;
            }
            let address = &mut self.addresses[backend.address];
            let mut place = V::backend(directory, address, wall);
            let can = ready && !self.users[number].is_empty();
            self.watch.prompt.shown(number, place.period, can, self.now);
            if backend.sealed {
                place.sources = vec![Source::Any];
            }
            shown.view.backends.insert(backend.id.clone(), place);
            let places = V::kept(consensus, address, wall);
            let sought = V::looked_for(consensus, address, wall);
            let looked_at = places.iter().filter(|(slot, _)| sought.clone().any(|sought| sought == *slot));
            move_spots(&mut backend.spots, looked_at, self.now);
            shown.changes.insert(backend.address, V::changes_at(address, wall));
        }
        if let Some(at) = shown.changes.values().flatten().min() {
            shown.clock_look += 1;
            let in_time = Duration::from_secs(at.since(wall));
            self.queue.plan(self.now.after(in_time), Happening::ClockLook(shown.clock_look));
        }
        let view = shown.view.clone();
        self.watch.network_shown(self.now, &self.services);
        self.touch_all();
        self.tell(Event::Network(view));
    }
}
