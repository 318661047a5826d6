//! The balancer: the engine, and in place of the runtime, tor and the signer what stands between it and the network.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::{
    BackendId, DescriptorSlot, Engine, EngineConfiguration, Event, NetworkView, Newest, Now, Point,
    ServiceSpec, Settings, Source,
};
use onionbalance_proto::time::UnixTime;
use rustc_hash::FxHashMap;

use super::carrying::{Order, Round};
use super::dice::Dice;
use super::generation::Generation;
use super::network::cache::Key;
use super::network::consensus::{Consensus, INTERVAL};
use super::network::relay::RelayId;
use super::service::move_spots;
use super::time::Moment;
use super::tor::Tor;
use super::world::{Happening, World};

/// The balancer, its tor and its signer.
pub struct Balancer<G: Generation> {
    /// Not while the balancer is down.
    pub engine: Option<Engine<G, Dice>>,
    began: Moment,
    /// Since when the machine has been asleep, and with it the balancer, its tor and its signer.
    pub asleep: Option<Moment>,
    /// For how long it has been asleep since the balancer began: the monotonic clock stood still.
    slept: Duration,
    /// What the balancer remembers from one life to the next.
    remembered: BTreeMap<BackendId, Newest>,
    /// Which life of the balancer this is, and which connection to tor.
    pub call: Call,
    /// Whether tor is there.
    pub tor_ready: bool,
    /// Whether the engine knows that.
    pub told_ready: bool,
    /// What tor is busy with.
    pub tor: Tor,
    /// The consensus that tor has.
    pub consensus: Rc<Consensus>,
    /// The relays that it lists of which tor has no microdescriptors.
    pub missing: Vec<RelayId>,
    /// The one that the balancer has read.
    pub read: Option<(Rc<Consensus>, G::Directory)>,
    /// The number of the last look at the clock that was planned.
    clock_look: u32,
    /// By how many seconds the wall clock is ahead.
    pub clock_ahead: i64,
    /// What waits for the signer; the first is being signed.
    pub orders: VecDeque<Order<G>>,
    /// Whether the signer answers.
    pub signer_away: bool,
    /// When the signer's present life began.
    pub signer_began: Moment,
    /// The last revisions that it has given since.
    pub signed: FxHashMap<Key, u64>,
    /// When the last upload of each descriptor to each HSDir ends.
    pub uploads: FxHashMap<(Key, RelayId), Moment>,
    /// When the last upload of a service to an HSDir began of which nothing will be heard.
    pub unheard: FxHashMap<(usize, RelayId), Moment>,
    /// The last revisions that were given at all, and when.
    pub given: FxHashMap<Key, (u64, Moment)>,
    /// What was signed last of each descriptor.
    pub kept: FxHashMap<Key, Round<G>>,
    /// The sets that each service was published with last, the newest last.
    sets: FxHashMap<usize, VecDeque<Rc<[G]>>>,
}

/// In which life of the balancer and of its tor something was begun: what comes back later is heard by nobody.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Call {
    /// The balancer's.
    pub life: u32,
    /// Its tor's.
    pub tor: u32,
}

/// How long tor may take to hand its directory out.
const READING: Duration = Duration::from_secs(8);
/// How long the signer takes.
pub const SIGNING: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(60));
/// The signer exceeds a revision that was seen elsewhere if its own counter reaches that within so many seconds.
pub const SIGNER_AHEAD: u64 = 3600;
/// As many sets as a service may have at a time.
const SETS: usize = 16;

impl<G: Generation> Balancer<G> {
    /// A balancer that is down.
    pub fn new(consensus: Rc<Consensus>) -> Self {
        Self {
            engine: None,
            began: Moment::ZERO,
            asleep: None,
            slept: Duration::ZERO,
            remembered: BTreeMap::new(),
            call: Call { life: 0, tor: 0 },
            tor_ready: true,
            told_ready: false,
            tor: Tor::default(),
            consensus,
            missing: Vec::new(),
            read: None,
            clock_look: 0,
            clock_ahead: 0,
            orders: VecDeque::new(),
            signer_away: false,
            signer_began: Moment::ZERO,
            signed: FxHashMap::default(),
            uploads: FxHashMap::default(),
            unheard: FxHashMap::default(),
            given: FxHashMap::default(),
            kept: FxHashMap::default(),
            sets: FxHashMap::default(),
        }
    }

    /// The engine, unless the balancer is down.
    pub fn engine(&self) -> Option<&Engine<G, Dice>> {
        self.engine.as_ref()
    }

    /// When the engine wants to be woken.
    pub fn deadline(&self) -> Moment {
        let deadline = self.engine.as_ref().and_then(Engine::next_deadline).filter(|_| self.asleep.is_none());
        // To the next whole millisecond.
        let at = |deadline| self.began.after(deadline + self.slept + Duration::from_nanos(999_999));
        deadline.map_or(Moment::NEVER, at)
    }

    /// The two clocks as the balancer reads them.
    pub fn now(&self, now: Moment) -> Now {
        Now { elapsed: now.since(self.began).saturating_sub(self.slept), wall: self.wall(now) }
    }

    /// Forgets what concerns nothing any more that is still to come.
    pub fn clean(&mut self, now: Moment) {
        // A period before the last, even by a clock that is a day behind.
        let past = now.wall().0 / 86_400 - 4;
        self.uploads.retain(|_, ends| *ends > now);
        self.unheard.retain(|_, began| now.since(*began) < INTERVAL);
        self.given.retain(|key, _| key.slot.period > past);
        self.kept.retain(|key, _| key.slot.period > past);
        self.signed.retain(|key, _| key.slot.period > past);
    }

    /// The introduction points of a service's descriptor: the very same as before, if they are equal.
    pub fn set(&mut self, service: usize, points: Vec<G>) -> Rc<[G]> {
        let sets = self.sets.entry(service).or_default();
        let ids = || points.iter().map(Point::id);
        if let Some(known) = sets.iter().find(|known| known.iter().map(Point::id).eq(ids())) {
            return known.clone();
        }
        if sets.len() >= SETS {
            sets.pop_front();
        }
        let set: Rc<[G]> = points.into();
        sets.push_back(set.clone());
        set
    }

    /// The signer is restarted: it knows of no revision that it has given.
    pub fn restart_signer(&mut self, now: Moment) {
        self.signer_began = now;
        self.signed.clear();
    }

    /// The highest floor that the signer exceeds: the value of its own counter an hour later.
    pub fn reach(&self, slot: DescriptorSlot, now: Moment) -> u64 {
        G::revision(slot, self.wall(now).plus(SIGNER_AHEAD))
    }

    /// What the wall clock shows.
    pub fn wall(&self, now: Moment) -> UnixTime {
        UnixTime(now.wall().0.saturating_add_signed(self.clock_ahead))
    }
}

impl<G: Generation> World<G> {
    /// The balancer starts.
    pub fn start_balancer(&mut self) {
        let newest = self.balancer.remembered.clone();
        let configuration = EngineConfiguration { newest, ..self.configuration() };
        let engine = Engine::new(configuration, self.dice.split());
        self.balancer.engine = Some(engine);
        self.balancer.began = self.now;
        self.balancer.slept = Duration::ZERO;
        self.watch.balancer_started();
        self.trace_start();
        self.read_directory_soon();
    }

    /// The balancer ends.
    pub fn stop_balancer(&mut self) {
        let Some(engine) = self.balancer.engine.take() else { return };
        self.balancer.remembered.extend(engine.newest());
        self.balancer.call.life += 1;
        self.balancer.orders.clear();
        self.balancer.told_ready = false;
        self.balancer.tor.meet_another_engine();
        self.balancer.kept.clear();
        self.balancer.read = None;
        self.balancer_was_away();
    }

    /// The machine falls asleep: what was under way comes to nothing, and nobody is told.
    pub fn fall_asleep(&mut self) {
        self.balancer.asleep = Some(self.now);
        self.balancer.call.tor += 1;
        self.watch.prompt.interrupt();
    }

    /// The machine wakes up. The runtime looks at the clock within half a minute, and tor for a consensus.
    pub fn wake_up(&mut self) {
        let Some(since) = self.balancer.asleep.take() else { return };
        self.balancer.slept += self.now.since(since);
        self.watch.excuse_everything(self.now);
        self.watch.prompt.interrupt();
        for (number, service) in self.services.iter().enumerate() {
            self.watch.reconfigured(self.now, number, service.configured.is_some(), &self.users);
        }
        self.tell(Event::Configuration(Box::new(self.configuration())));
        self.show_network();
        self.balancer.consensus = self.authorities.newest();
        self.read_directory_soon();
    }

    /// Tor ends, and everything that it was doing with it.
    pub fn stop_tor(&mut self) {
        (self.balancer.tor_ready, self.balancer.told_ready) = (false, false);
        self.balancer.call.tor += 1;
        self.balancer.unheard.clear();
        self.watch.prompt.interrupt();
        self.balancer.orders.clear();
        self.balancer.tor = Tor::default();
        self.tell(Event::TorLost);
    }

    /// Tor is back; it has fetched a consensus meanwhile.
    pub fn start_tor(&mut self) {
        self.balancer.tor_ready = true;
        self.balancer.consensus = self.authorities.newest();
        self.balancer.read = None;
        self.read_directory_soon();
    }

    /// Tor has a newer consensus.
    pub fn tor_learns(&mut self, consensus: Rc<Consensus>) {
        if consensus.number > self.balancer.consensus.number {
            self.balancer.consensus = consensus;
            self.read_directory_soon();
        }
    }

    fn read_directory_soon(&mut self) {
        let at = self.now.after(self.dice.between(SIGNING.1, READING));
        self.queue.plan(at, Happening::DirectoryRead(self.balancer.call));
    }

    /// The balancer has read the directory.
    pub fn directory_read(&mut self, call: Call) {
        let away =
            !self.balancer.tor_ready || self.balancer.engine.is_none() || self.balancer.asleep.is_some();
        if call != self.balancer.call || away {
            return;
        }
        let consensus = self.balancer.consensus.clone();
        let first = self.balancer.read.is_none();
        self.some_relays_are_missing();
        let directory = G::directory(&consensus);
        self.balancer.read = Some((consensus, directory));
        self.show_network();
        if first {
            self.balancer.told_ready = true;
            self.watch.prompt.resume(self.now);
            self.tell(Event::TorReady);
        }
    }

    /// The clock may make other descriptors due.
    pub fn look_at_clock(&mut self, look: u32) {
        if look == self.balancer.clock_look && self.balancer.asleep.is_none() {
            self.show_network();
        }
    }

    /// Shows the engine where everything is.
    pub fn show_network(&mut self) {
        let wall = self.balancer.wall(self.now);
        let Some((consensus, directory)) = &self.balancer.read else { return };
        let period_length = Duration::from_hours(24);
        let mut view = NetworkView { period_length, services: BTreeMap::new(), backends: BTreeMap::new() };
        let mut changes = Vec::new();
        for (number, service) in self.services.iter_mut().enumerate() {
            if service.configured.is_some() {
                let address = &mut self.addresses[number];
                let slots = G::published(directory, address, wall).into_iter().collect();
                view.services.insert(service.id.clone(), slots);
                move_spots(&mut service.spots, G::kept(consensus, address, wall).iter(), self.now);
                changes.extend(G::changes_at(address, wall));
            }
        }
        let ready = self.balancer.told_ready && self.balancer.asleep.is_none();
        for (number, backend) in self.backends.iter_mut().enumerate() {
            let address = &mut self.addresses[backend.address];
            let mut place = G::backend(directory, address, wall);
            let can = ready && !self.users[number].is_empty();
            self.watch.prompt.shown(number, place.period, can, self.now);
            if backend.sealed {
                place.sources = vec![Source::Any];
            }
            view.backends.insert(backend.id.clone(), place);
            let places = G::kept(consensus, address, wall);
            let sought = G::looked_for(consensus, address, wall);
            let looked_at = places.iter().filter(|(slot, _)| sought.contains(slot));
            move_spots(&mut backend.spots, looked_at, self.now);
            changes.extend(G::changes_at(address, wall));
        }
        if let Some(at) = changes.into_iter().min() {
            self.balancer.clock_look += 1;
            let in_time = Duration::from_secs(at.since(wall));
            let look = Happening::ClockLook(self.balancer.clock_look);
            self.queue.plan(self.now.after(in_time), look);
        }
        self.watch.network_shown(self.now, &self.services);
        self.touch_all();
        self.tell(Event::Network(view));
    }

    /// What the operator has configured. A balancer that goes on remembers its backends by itself.
    pub fn configuration(&self) -> EngineConfiguration {
        let configured = self.services.iter().filter(|service| service.configured.is_some());
        let spec = |service: &super::service::Service| ServiceSpec {
            id: service.id.clone(),
            backends: service.backends.iter().map(|number| self.backends[*number].id.clone()).collect(),
            max_points: G::MAX_POINTS,
            distinct: service.distinct,
            proof: G::PROOF,
        };
        EngineConfiguration {
            services: configured.map(spec).collect(),
            settings: Settings { timing: G::timing(), ..Settings::default() },
            newest: BTreeMap::new(),
        }
    }
}

/// The number in a service's or backend's name, behind its first letter.
pub fn number_of(name: &str) -> usize {
    name[1..].parse().expect("a name that the simulator gave")
}
