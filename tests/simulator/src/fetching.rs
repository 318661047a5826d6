//! Fetching backends' descriptors, and reporting the outcomes to the engine.

use onionbalance::engine::{BackendId, DescriptorCopy, DescriptorSlot, Event, FetchOutcome, Source};

use super::balancer::{Call, number_of};
use super::carrying::FAILURES;
use super::network::cache::Key;
use super::network::id::RelayId;
use super::network::relay::Given;
use super::onion_version::OnionVersion;
use super::service::Spot;
use super::world::{Happening, World};

impl<V: OnionVersion> World<V> {
    /// Asks for a backend's descriptor.
    pub fn fetch(&mut self, backend: &BackendId, from: Vec<Source>) {
        let (call, backend) = (self.balancer.call, number_of(&backend.0));
        for source in from {
            let relay = match source {
                Source::Hsdir { hsdir, .. } => Some(self.relays.find(hsdir)),
                Source::Any => None,
            };
            self.report.fetches += 1;
            if let Some(at) = self.ask_tor(relay).told_at() {
                self.report.late_fetches += u64::from(at.since(self.now) > V::timing().fetch_timeout);
                self.queue.plan(at, Happening::Fetched { call, backend, source });
            }
        }
    }

    /// Takes tor's answer for a backend's descriptor.
    pub fn fetched(&mut self, call: Call, number: usize, source: Source) {
        if call != self.balancer.call {
            return;
        }
        let (slot, given) = match source {
            Source::Hsdir { hsdir, replica } => self.give_tor(number, self.relays.find(hsdir), replica),
            Source::Any => self.give_tor_as_a_client(number),
        };
        let outcome = match given {
            _ if self.dice.chance(FAILURES) || self.is_missing(source) => FetchOutcome::Failed,
            Given::Nothing => return,
            Given::Failed => FetchOutcome::Failed,
            Given::NotFound => FetchOutcome::NotFound,
            Given::Garbage => FetchOutcome::Invalid("garbage".into()),
            Given::Text(text) => {
                let wall = self.balancer.wall(self.now);
                let published = V::published_at(text.made.wall(), wall);
                if !self.users[number].is_empty() {
                    let is_young = wall.since(published) < V::timing().max_age.as_secs();
                    let is_asked_for = self.is_asked_for(number, slot);
                    let is_other =
                        self.watch.delivered(number, slot.period, &text, (is_young, is_asked_for), self.now);
                    // The last set gets a dead backend's newest points, and the engine reports no such change.
                    if is_other && !self.watch.prompt.is_live(number) {
                        self.watch.changed[number] = self.now;
                    }
                    self.watch.prompt.offer(number, slot.period, text.points.clone(), self.now);
                }
                FetchOutcome::Copy(DescriptorCopy {
                    revision: text.revision,
                    published,
                    period: slot.period,
                    points: text.points.to_vec(),
                })
            }
        };
        let backend = self.backends[number].id.clone();
        self.tell(Event::Fetched { backend, source, outcome });
    }

    /// True if tor lacks the HSDir's microdescriptor.
    fn is_missing(&self, source: Source) -> bool {
        matches!(source, Source::Hsdir { hsdir, .. } if self.relays.get(self.relays.find(hsdir)).is_missing)
    }

    /// True if the engine looks for this descriptor of a backend, by the consensus that the balancer has
    /// read.
    fn is_asked_for(&self, number: usize, slot: DescriptorSlot) -> bool {
        let address = &self.addresses[self.backends[number].address];
        let read = self.balancer.read.as_ref();
        read.is_some_and(|(consensus, _)| {
            V::looked_for(consensus, address, self.balancer.wall(self.now)).any(|sought| sought == slot)
        })
    }

    /// The answer of an HSDir for the replica of the descriptor that tor looks for by its own consensus.
    fn give_tor(&self, number: usize, relay: RelayId, replica: u8) -> (DescriptorSlot, Given<V>) {
        let backend = &self.backends[number];
        let wall = self.balancer.wall(self.now);
        let mut looked_for = V::looked_for(&self.balancer.consensus, &self.addresses[backend.address], wall);
        let slot = looked_for.find(|slot| slot.replica == replica).expect("a replica that there is");
        (slot, self.relays.give(relay, Key { owner: backend.address, slot }, self.now))
    }

    /// The answer to a fetch as a client: tor asks one HSDir after the other, in an order of its own, until
    /// one has a descriptor.
    fn give_tor_as_a_client(&mut self, number: usize) -> (DescriptorSlot, Given<V>) {
        let spots = &self.backends[number].spots;
        let hsdirs = |spot: &Spot| spot.hsdirs.iter().map(|(hsdir, _)| (*hsdir, spot.slot.replica)).collect();
        let mut places: Vec<(RelayId, u8)> = spots.iter().flat_map::<Vec<_>, _>(hsdirs).collect();
        let mut last = (spots[0].slot, Given::Failed);
        while !places.is_empty() {
            let (hsdir, replica) = places.swap_remove(self.dice.index(places.len()));
            last = self.give_tor(number, hsdir, replica);
            if matches!(last.1, Given::Text(_)) {
                break;
            }
        }
        last
    }
}
