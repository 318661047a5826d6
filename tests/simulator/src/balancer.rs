//! The balancer: the engine, and models of the runtime, tor and the signer between it and the network.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::{
    BackendId, DescriptorSlot, Engine, EngineConfiguration, Event, Newest, Now, Point, ServiceSpec, Settings,
};
use onionbalance_proto::time::UnixTime;
use rustc_hash::FxHashMap;

use super::carrying::{Order, Round};
use super::dice::Dice;
use super::network::cache::Key;
use super::network::calendar::Calendar;
use super::network::consensus::Consensus;
use super::network::id::RelayId;
use super::onion_version::OnionVersion;
use super::showing::Shown;
use super::time::Moment;
use super::tor::Tor;
use super::world::{Happening, World};

/// The balancer, its tor and its signer.
pub struct Balancer<V: OnionVersion> {
    /// The engine; `None` while the balancer is down.
    pub engine: Option<Engine<V, Dice>>,
    /// The engine's next deadline.
    pub deadline: Option<Duration>,
    began: Moment,
    /// The time since which the machine has been asleep, with the balancer, its tor and its signer; `None`
    /// while it is awake.
    pub asleep: Option<Moment>,
    /// The time for which it has been asleep since the balancer began: the monotonic clock did not count it.
    slept: Duration,
    /// The state that the balancer keeps from one life to the next.
    remembered: BTreeMap<BackendId, Newest>,
    /// The present life of the balancer, and of its connection to tor.
    pub call: Call,
    /// The time until which this life of the balancer has looked for no backend in vain for long; `None`
    /// before its first look.
    pub first_looks: Option<Moment>,
    /// True if tor is connected.
    pub tor_ready: bool,
    /// True if the engine knows that.
    pub told_ready: bool,
    /// The load of tor.
    pub tor: Tor,
    /// The consensus of tor.
    pub consensus: Rc<Consensus>,
    /// The relays of that consensus of which tor has no microdescriptors.
    pub missing: Vec<RelayId>,
    /// The consensus that the balancer has read, with its directory.
    pub read: Option<(Rc<Consensus>, V::Directory)>,
    /// The network as the engine was last shown it.
    pub shown: Shown,
    /// The seconds by which the wall clock is ahead.
    pub clock_ahead: i64,
    /// The same before its last step.
    clock_was_ahead: i64,
    /// The publications that wait for the signer; the first one is being signed.
    pub orders: VecDeque<Order<V>>,
    /// The publications that are handed to tor when the machine wakes up.
    pub delayed: Vec<Box<Order<V>>>,
    /// True if the signer does not answer.
    pub signer_away: bool,
    /// The time at which the signer's present life began.
    pub signer_began: Moment,
    /// The last revisions that it has given since.
    pub signed: FxHashMap<Key, u64>,
    /// The end of the last upload of each descriptor to each HSDir.
    pub uploads: FxHashMap<(Key, RelayId), Moment>,
    /// The beginning of a service's last upload to an HSDir of which tor will report nothing.
    pub unheard: FxHashMap<(usize, RelayId), Moment>,
    /// The last revisions that any signer gave, with the time.
    pub given: FxHashMap<Key, (u64, Moment)>,
    /// The last texts of each descriptor that were signed.
    pub kept: FxHashMap<Key, Round<V>>,
    /// The sets that each service was last published with, the newest last.
    sets: FxHashMap<usize, VecDeque<Rc<[V]>>>,
}

/// The lives of the balancer and of its tor in which a request began. An answer that comes in a later life is
/// dropped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Call {
    /// The life of the balancer.
    pub life: u32,
    /// The life of its tor.
    pub tor: u32,
}

/// The longest time that tor takes to hand its directory out.
const READING: Duration = Duration::from_secs(8);
/// The time of the first looks of the balancer's life.
const FIRST_LOOKS: Duration = Duration::from_mins(2);
/// Longer than the runtime waits for an upload.
const HOUR: Duration = Duration::from_hours(1);
/// The time that the signer takes for a signature.
pub const SIGNING: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(60));
/// The seconds within which the signer's own counter has to reach a revision that was seen elsewhere, so that
/// the signer exceeds it.
pub const SIGNER_AHEAD: u64 = 3600;
/// The most sets that a service may have at a time.
const SETS: usize = 16;

impl<V: OnionVersion> Balancer<V> {
    /// A balancer that is down.
    pub fn new(consensus: Rc<Consensus>) -> Self {
        Self {
            engine: None,
            deadline: None,
            began: Moment::ZERO,
            asleep: None,
            slept: Duration::ZERO,
            remembered: BTreeMap::new(),
            call: Call { life: 0, tor: 0 },
            first_looks: None,
            tor_ready: true,
            told_ready: false,
            tor: Tor::default(),
            consensus,
            missing: Vec::new(),
            read: None,
            shown: Shown::default(),
            clock_ahead: 0,
            clock_was_ahead: 0,
            orders: VecDeque::new(),
            delayed: Vec::new(),
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
    pub fn engine(&self) -> Option<&Engine<V, Dice>> {
        self.engine.as_ref()
    }

    /// The next time at which the engine has to be woken.
    pub fn deadline(&self) -> Moment {
        let deadline = self.deadline.filter(|_| self.asleep.is_none());
        // Rounded up to the next whole millisecond.
        let at = |deadline| self.began.after(deadline + self.slept + Duration::from_nanos(999_999));
        deadline.map_or(Moment::NEVER, at)
    }

    /// The balancer's readings of both clocks.
    pub fn now(&self, now: Moment) -> Now {
        Now { elapsed: now.since(self.began).saturating_sub(self.slept), wall: self.wall(now) }
    }

    /// Drops the memory that cannot matter any more.
    pub fn clean(&mut self, calendar: Calendar, now: Moment) {
        // A period before the last one, even by a clock that is a day behind.
        let past = now.wall().minus(86_400).0 / calendar.period_secs() - 3;
        self.uploads.retain(|_, ends| *ends > now);
        self.unheard.retain(|_, began| now.since(*began) < HOUR);
        self.given.retain(|key, _| key.slot.period > past);
        self.kept.retain(|key, _| key.slot.period > past);
        self.signed.retain(|key, _| key.slot.period > past);
    }

    /// The introduction points of a service's descriptor. If they are equal to earlier ones, the earlier
    /// value is returned.
    pub fn set(&mut self, service: usize, points: Vec<V>) -> Rc<[V]> {
        let sets = self.sets.entry(service).or_default();
        let ids = || points.iter().map(Point::id);
        if let Some(known) = sets.iter().rev().find(|known| known.iter().map(Point::id).eq(ids())) {
            return known.clone();
        }
        if sets.len() >= SETS {
            sets.pop_front();
        }
        let set: Rc<[V]> = points.into();
        sets.push_back(set.clone());
        set
    }

    /// Restarts the signer, which then knows no revision that it has given.
    pub fn restart_signer(&mut self, now: Moment) {
        self.signer_began = now;
        self.signed.clear();
    }

    /// The time at which a descriptor was last given a revision; long ago if it was given none.
    pub fn given_at(&self, key: Key) -> Moment {
        self.given.get(&key).map_or(Moment::ZERO, |(_, at)| *at)
    }

    /// The highest floor that the signer exceeds: the value of its own counter an hour later.
    pub fn reach(&self, slot: DescriptorSlot, calendar: Calendar, now: Moment) -> u64 {
        V::revision(slot, calendar, self.wall(now).plus(SIGNER_AHEAD))
    }

    /// The same for all of the time since a moment, if the clock has last stepped at `stepped`.
    pub fn reach_since(
        &self,
        slot: DescriptorSlot,
        calendar: Calendar,
        since: Moment,
        stepped: Moment,
    ) -> u64 {
        let was_ahead = if since < stepped { self.clock_was_ahead } else { self.clock_ahead };
        let wall = since.wall().0.saturating_add_signed(self.clock_ahead.min(was_ahead));
        V::revision(slot, calendar, UnixTime(wall).plus(SIGNER_AHEAD))
    }

    /// Sets the wall clock.
    pub fn set_clock(&mut self, ahead: i64) {
        self.clock_was_ahead = std::mem::replace(&mut self.clock_ahead, ahead);
    }

    /// The time by the balancer's wall clock.
    pub fn wall(&self, now: Moment) -> UnixTime {
        UnixTime(now.wall().0.saturating_add_signed(self.clock_ahead))
    }
}

impl<V: OnionVersion> World<V> {
    /// Starts the balancer.
    pub fn start_balancer(&mut self) {
        self.forget_ended_drains();
        let newest = self.balancer.remembered.clone();
        let configuration = EngineConfiguration { newest, ..self.configuration() };
        self.watch.balancer_started();
        self.watch.health.configure(&configuration.services, self.now);
        let engine = Engine::new(configuration, self.dice.split());
        self.balancer.deadline = engine.next_deadline();
        self.balancer.engine = Some(engine);
        self.balancer.began = self.now;
        self.balancer.first_looks = None;
        self.balancer.slept = Duration::ZERO;
        self.trace_start();
        self.read_directory_soon();
    }

    /// Ends the balancer.
    pub fn stop_balancer(&mut self) {
        let Some(engine) = self.balancer.engine.take() else { return };
        self.balancer.deadline = None;
        self.balancer.remembered.extend(engine.newest());
        self.balancer.call.life += 1;
        self.balancer.orders.clear();
        self.balancer.told_ready = false;
        self.balancer.tor.meet_another_engine();
        self.balancer.kept.clear();
        self.balancer.read = None;
        self.balancer_was_away();
    }

    /// Lets the machine fall asleep: requests to tor in flight fail, and nothing reports it.
    pub fn fall_asleep(&mut self) {
        self.balancer.asleep = Some(self.now);
        self.balancer.call.tor += 1;
        self.watch.prompt.interrupt(self.now);
    }

    /// Wakes the machine up. The runtime looks at the clock within half a minute, and tor for a consensus.
    /// The signer goes on with its requests: each publication is answered.
    pub fn wake_up(&mut self) {
        let Some(since) = self.balancer.asleep.take() else { return };
        self.balancer.slept += self.now.since(since);
        if !self.balancer.orders.is_empty() {
            self.begin_signing();
        }
        for order in std::mem::take(&mut self.balancer.delayed) {
            self.queue.plan(self.now, Happening::Handed(self.balancer.call, order));
        }
        if !V::TELLS {
            // Version-2 HSDirs keep a copy for days. So they do not show whether the machine has slept or its
            // clock was set forward, and a backend that died meanwhile counts until its copy is too old by
            // the monotonic clock.
            self.clock_stepped = self.now;
        }
        self.watch.excuse_everything(self.now);
        self.watch.prompt.interrupt(self.now);
        for (number, service) in self.services.iter().enumerate() {
            self.watch.reconfigured(self.now, number, service.configured.is_some(), &self.users);
        }
        self.tell(Event::Configuration(Box::new(self.configuration())));
        self.show_network();
        self.balancer.consensus = self.authorities.newest();
        self.read_directory_soon();
    }

    /// Ends tor, with everything that it was doing.
    pub fn stop_tor(&mut self) {
        (self.balancer.tor_ready, self.balancer.told_ready) = (false, false);
        self.balancer.call.tor += 1;
        self.balancer.unheard.clear();
        self.watch.prompt.tor_lost(self.now);
        self.balancer.orders.clear();
        self.balancer.tor = Tor::default();
        self.tell(Event::TorLost);
    }

    /// Starts tor, which has fetched a consensus in the meantime.
    pub fn start_tor(&mut self) {
        self.balancer.tor_ready = true;
        self.balancer.consensus = self.authorities.newest();
        self.balancer.read = None;
        self.read_directory_soon();
    }

    /// Gives tor a newer consensus.
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

    /// Gives the balancer the directory that it has read.
    pub fn directory_read(&mut self, call: Call) {
        let away =
            !self.balancer.tor_ready || self.balancer.engine.is_none() || self.balancer.asleep.is_some();
        if call != self.balancer.call || away {
            return;
        }
        let consensus = self.balancer.consensus.clone();
        let first = self.balancer.read.is_none();
        self.some_relays_are_missing();
        let directory = V::directory(&consensus);
        self.balancer.read = Some((consensus, directory));
        self.show_network();
        if first {
            self.balancer.first_looks.get_or_insert(self.now.after(FIRST_LOOKS));
            self.balancer.told_ready = true;
            self.watch.prompt.resume(self.now);
            self.tell(Event::TorReady);
        }
    }

    /// The operator's configuration. A running balancer remembers its backends by itself.
    pub fn configuration(&self) -> EngineConfiguration {
        let configured = self.services.iter().filter(|service| service.configured.is_some());
        let spec = |service: &super::service::Service| ServiceSpec {
            id: service.id.clone(),
            backends: service.backends.iter().map(|number| self.backends[*number].id.clone()).collect(),
            weights: service
                .weights
                .iter()
                .map(|(number, weight)| (self.backends[*number].id.clone(), *weight))
                .collect(),
            drains: self.drains(number_of(&service.id.0)),
            checks: service
                .checks
                .iter()
                .filter(|(number, _)| service.backends.contains(number))
                .map(|(number, check)| (self.backends[*number].id.clone(), check.clone()))
                .collect(),
            max_points: V::MAX_POINTS,
            distinct: service.distinct,
            proof: V::PROOF,
        };
        EngineConfiguration {
            services: configured.map(spec).collect(),
            settings: Settings { timing: V::timing(), ..Settings::default() },
            newest: BTreeMap::new(),
        }
    }
}

/// The number in a service's or backend's name, after its first letter.
pub fn number_of(name: &str) -> usize {
    name[1..].parse().expect("a name that the simulator gave")
}
