//! Backends: tors that publish their introduction points as tor does.

use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::BackendId;
use onionbalance_proto::relay::Fingerprint;

use super::address::Places;
use super::dice::Dice;
use super::network::cache::{Key, Text};
use super::network::consensus::Consensus;
use super::network::id::RelayId;
use super::onion_version::{OnionVersion, PointId};
use super::service::Spot;
use super::time::Moment;
use super::world::{Happening, World};

/// The state of one backend.
pub struct Backend<V> {
    /// The backend's name.
    pub id: BackendId,
    /// The index of its address.
    pub address: usize,
    /// True if it authorizes its clients, so that tor asks for it as a client (v2).
    pub sealed: bool,
    /// The state of its tor.
    pub state: State,
    /// The time since which it has been in that state.
    pub since: Moment,
    /// Its introduction points.
    pub points: Rc<[V]>,
    /// The time of its last publication.
    pub published: Moment,
    /// The consensus that its tor uses.
    consensus: Rc<Consensus>,
    /// The HSDirs to which it has published.
    places: Rc<Places<RelayId>>,
    /// The number of the planned wake that counts; earlier ones are void.
    wake: u32,
    /// The places at which the balancer should look for it.
    pub spots: Vec<Spot>,
}

/// The state of a backend's tor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// The tor is running.
    Alive,
    /// The tor has ended: its introduction points are lost.
    Dead,
    /// The tor is stopped, and continues later with the same introduction points.
    Frozen,
}

/// The history of an introduction point.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    /// The number of its backend.
    pub backend: usize,
    /// The time since which it has not worked; `None` while it works.
    pub retired: Option<Moment>,
}

/// The uploads of a backend that fail, out of 1000.
const FAILURES: u64 = 30;
/// The new introduction points that are at the relay of the one that they replace, out of 1000.
const SAME_RELAY: u64 = 200;
/// The time after which a backend replaces one of its introduction points: tor does so after 18 to 24 hours
/// with each.
const ROTATION: (Duration, Duration) = (Duration::from_hours(5), Duration::from_hours(9));

impl<V> Backend<V> {
    /// A backend before its start.
    pub fn new(number: usize, address: usize, sealed: bool, consensus: Rc<Consensus>) -> Self {
        Self {
            id: format!("b{number:04}").as_str().into(),
            address,
            sealed,
            state: State::Dead,
            since: Moment::ZERO,
            points: Rc::new([]),
            published: Moment::ZERO,
            consensus,
            places: Rc::default(),
            wake: 0,
            spots: Vec::new(),
        }
    }

    /// True if its tor is running.
    pub fn is_alive(&self) -> bool {
        self.state == State::Alive
    }
}

impl<V: OnionVersion> World<V> {
    /// Starts a backend with new introduction points; or continues a frozen one.
    pub fn revive(&mut self, number: usize) {
        if self.backends[number].state == State::Dead {
            let count = 1 + self.dice.index(4);
            let points: Vec<V> = (0..count).map(|_| self.new_point(number)).collect();
            self.backends[number].points = points.into();
        }
        for point in self.backends[number].points.iter() {
            self.fates[point.id() as usize].retired = None;
        }
        let backend = &mut self.backends[number];
        (backend.state, backend.since) = (State::Alive, self.now);
        self.publish_backend(number);
    }

    /// Ends or freezes a backend.
    pub fn strike_down(&mut self, number: usize, state: State) {
        let backend = &mut self.backends[number];
        (backend.state, backend.since) = (state, self.now);
        for point in backend.points.iter() {
            self.fates[point.id() as usize].retired.get_or_insert(self.now);
        }
        self.touch_users(number);
    }

    /// Replaces one of a backend's introduction points, and plans the next replacement.
    pub fn rotate(&mut self, number: usize) {
        let next = self.now.after(self.dice.between(ROTATION.0, ROTATION.1));
        self.queue.plan(next, Happening::BackendRotates(number));
        if !self.backends[number].is_alive() {
            return;
        }
        let mut points = self.backends[number].points.to_vec();
        let index = self.dice.index(points.len());
        let new = if self.dice.chance(SAME_RELAY) {
            self.new_point_at(number, points[index].relay())
        } else {
            self.new_point(number)
        };
        let old = std::mem::replace(&mut points[index], new);
        self.fates[old.id() as usize].retired = Some(self.now);
        self.backends[number].points = points.into();
        self.publish_backend(number);
    }

    /// Gives a backend's tor a consensus. It publishes to HSDirs that are new by it.
    pub fn backend_learns(&mut self, number: usize, consensus: Rc<Consensus>) {
        let backend = &mut self.backends[number];
        // A frozen tor takes the consensus that it finds when it continues.
        backend.consensus = consensus;
        let places = V::kept(&backend.consensus, &mut self.addresses[backend.address], self.now.wall());
        if backend.is_alive() && places != backend.places {
            self.publish_backend(number);
        }
    }

    /// Has a backend publish again, if this wake still counts.
    pub fn backend_wakes(&mut self, number: usize, wake: u32) {
        if self.backends[number].wake == wake && self.backends[number].is_alive() {
            self.publish_backend(number);
        }
    }

    /// Uploads a backend's descriptors to all their HSDirs.
    fn publish_backend(&mut self, number: usize) {
        let next = self.now.after(V::republish(&mut self.dice));
        let backend = &mut self.backends[number];
        backend.wake += 1;
        self.queue.plan(next, Happening::BackendPublishes { backend: number, wake: backend.wake });
        if self.probing.unpublished.contains(&number) {
            return;
        }
        backend.published = self.now;
        backend.places = V::kept(&backend.consensus, &mut self.addresses[backend.address], self.now.wall());
        let until = self.now.after(V::KEPT);
        let mut news = backend.sealed || backend.since == self.now;
        for (slot, hsdirs) in backend.places.iter() {
            let mut revision = V::revision(*slot, self.scenario.calendar, self.now.wall());
            if V::TELLS {
                // Tor's revisions grow with every descriptor that it makes.
                revision += u64::from(backend.wake % 32_768);
            }
            let text = Rc::new(Text { revision, made: self.now, points: backend.points.clone() });
            let key = Key { owner: backend.address, slot: *slot };
            for hsdir in hsdirs {
                news |= !self.relays.has(*hsdir, key, &text.points, self.now);
                if !self.dice.chance(FAILURES) {
                    self.relays.store(*hsdir, key, &text, (self.now, until), V::supersedes, V::TELLS);
                }
            }
        }
        if news {
            self.touch_users(number);
        }
    }

    fn new_point(&mut self, backend: usize) -> V {
        let relay = self.relays.running[self.dice.index(self.relays.running.len())];
        self.new_point_at(backend, self.relays.get(relay).fingerprint)
    }

    fn new_point_at(&mut self, backend: usize, relay: Fingerprint) -> V {
        let id = PointId::try_from(self.fates.len()).expect("fewer than 2^32 points");
        self.fates.push(Fate { backend, retired: None });
        V::new(id, relay)
    }
}

/// The time until a backend's first replacement of an introduction point.
pub fn first_rotation(dice: &mut Dice) -> Duration {
    dice.between(Duration::ZERO, ROTATION.1)
}
