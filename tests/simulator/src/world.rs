//! The world: everything that exists, and the passing of time.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::{Event, Source, Timing};

use super::address::Address;
use super::backend::{Backend, Fate, first_rotation};
use super::balancer::{Balancer, Call};
use super::carrying::{Order, Upload};
use super::dice::Dice;
use super::draining::{self, LateDrains};
use super::invariants::watch::Watch;
use super::invariants::{Failure, Report};
use super::network::cache::Key;
use super::network::consensus::{Authorities, Consensus};
use super::network::id::RelayId;
use super::network::relay::Relays;
use super::onion_version::OnionVersion;
use super::probing::{Fault, Probe, Probing};
use super::promises::{Promises, Waits};
use super::queue::Queue;
use super::scenario::Scenario;
use super::service::Service;
use super::time::Moment;
use super::trace::Trace;
use super::trouble::Mend;
use super::weighing::{self, some_weights};

/// The state of everything.
pub struct World<V: OnionVersion> {
    /// The parameters of the simulation.
    pub scenario: Scenario,
    /// The engine's timers in this network.
    pub timing: Timing,
    /// The promises to this scenario's services.
    pub promises: Promises,
    /// The waits of requests by the engine's word while it was behind, and the end of the time for which that
    /// is an excuse.
    pub behind: Option<(Waits, Moment)>,
    /// The last minute at which neither a post nor a read-back waited for its turn at tor.
    pub posts_idle: Moment,
    /// The present moment.
    pub now: Moment,
    /// The source of random numbers.
    pub dice: Dice,
    /// The planned happenings.
    pub queue: Queue<Happening<V>>,
    /// The authorities, which make consensuses.
    pub authorities: Authorities,
    /// All relays that have ever existed.
    pub relays: Relays<V>,
    /// The histories of all introduction points.
    pub fates: Vec<Fate>,
    /// The addresses of the services, then those of the backends.
    pub addresses: Vec<Address>,
    /// All services that are ever configured.
    pub services: Vec<Service>,
    /// All backends, in the order of their numbers.
    pub backends: Vec<Backend<V>>,
    /// The services that each backend serves.
    pub users: Vec<BTreeSet<usize>>,
    /// The balancer, its tor and its signer.
    pub balancer: Balancer<V>,
    /// The time since which the balancer has had everything that it needs.
    pub undisturbed: Moment,
    /// The time of the last step of its clock.
    pub clock_stepped: Moment,
    /// The memory of the invariants.
    pub watch: Watch<V>,
    /// The trace of one service; `None` without one.
    pub trace: Option<Trace>,
    /// The figures so far.
    pub report: Report,
    /// The dice of weights.
    pub weighing: Dice,
    /// The dice of drains.
    pub draining: Dice,
    /// The drains that should have ended.
    pub late_drains: LateDrains,
    /// The health checks and their faults.
    pub probing: Probing,
    /// The first promise that was broken.
    pub failure: Option<Failure>,
}

/// A happening outside of the engine.
pub enum Happening<V: OnionVersion> {
    /// The authorities vote.
    Vote,
    /// A consensus is handed out.
    Consensus(Rc<Consensus>),
    /// The balancer's tor has fetched a consensus.
    TorLearns(Rc<Consensus>),
    /// The balancer has read the directory from tor.
    DirectoryRead(Call),
    /// The balancer looks at the clock.
    ClockLook(u32),
    /// A backend's tor has fetched a consensus.
    BackendLearns(usize, Rc<Consensus>),
    /// A backend's tor publishes.
    BackendPublishes {
        /// The number of the backend.
        backend: usize,
        /// The number of the planned wake.
        wake: u32,
    },
    /// A backend replaces an introduction point.
    BackendRotates(usize),
    /// Tor has an answer for a backend's descriptor.
    Fetched {
        /// The lives in which it was asked for.
        call: Call,
        /// The number of the backend.
        backend: usize,
        /// The source that was asked.
        source: Source,
    },
    /// The signer answers.
    Signed(Call),
    /// Texts that were signed before are handed to tor.
    Handed(Call, Box<Order<V>>),
    /// An upload ends.
    Uploaded(Box<Upload<V>>),
    /// An HSDir answers for one of the frontends' descriptors.
    ReadBack(Call, Key, RelayId),
    /// The time to gather changes of a service is over.
    PromptLook(Call, usize),
    /// Tor ends once more.
    TorEnds,
    /// A fault begins.
    Trouble,
    /// The operator changes weights.
    Weigh,
    /// The operator drains a backend or enables one.
    Command,
    /// The operator changes health checks.
    Recheck,
    /// A probe ends.
    Probed(Box<Probe>),
    /// A fault of probes begins.
    ProbingFault,
    /// A fault of probes ends.
    ProbingMended(Fault),
    /// A fault ends.
    Mended(Mend),
}

/// The backends that authorize their clients, out of 1000, if that changes the way in which tor can fetch
/// their descriptors.
const SEALED: u64 = 150;
/// The relays that come and go between two votes, out of 1000.
const CHURN: u64 = 8;
/// The time between two checks of everything in the public network.
const MINUTE: Duration = Duration::from_mins(1);
/// The time at the end in which no fault begins, and earlier ones have ended.
pub const CALM: Duration = Duration::from_hours(8);

impl<V: OnionVersion> World<V> {
    /// A world before its first happening, at some hour of its first day.
    pub fn new(scenario: Scenario, trace: Option<Trace>) -> Self {
        let mut dice = Dice(scenario.seed);
        let calendar = scenario.calendar;
        let now = Moment::ZERO.after(calendar.interval() * u32::try_from(dice.below(24)).unwrap_or(0));
        let relays = Relays::new(scenario.relays, &mut dice);
        let mut authorities = Authorities::new(calendar, dice.split());
        let consensus = authorities.vote(now, &relays).expect("they are there");
        authorities.publish(consensus.clone());
        let backends = scenario.backends;
        let mut configured = some_services(&scenario, now, &mut dice);
        let mut weighing = weighing::dice(scenario.seed);
        for service in configured.iter_mut().filter(|_| scenario.trouble) {
            service.weights = some_weights(&mut weighing, &service.backends);
        }
        let mut probing = Probing::new(scenario.seed);
        for (number, service) in configured.iter_mut().enumerate().filter(|_| scenario.trouble) {
            service.checks = probing.some_checks(number, &service.backends);
        }
        let services = configured.len();
        let posts =
            configured.iter().map(|service| if service.distinct { V::HSDIRS } else { V::DESCRIPTORS }).sum();
        let timing = V::timing().for_period(calendar.period());
        let mut world = Self {
            promises: Promises::new::<V>(calendar, &timing, (services, posts, backends)),
            timing,
            behind: None,
            posts_idle: now,
            now,
            queue: Queue::default(),
            authorities,
            relays,
            fates: Vec::new(),
            addresses: (0..services + backends).map(|number| Address::new(number, &mut dice)).collect(),
            services: configured,
            backends: (0..backends)
                .map(|number| {
                    let sealed = !V::TELLS && dice.chance(SEALED);
                    Backend::new(number, services + number, sealed, consensus.clone())
                })
                .collect(),
            users: vec![BTreeSet::new(); backends],
            balancer: Balancer::new(consensus),
            undisturbed: now,
            clock_stepped: now,
            watch: Watch::new(backends),
            trace,
            report: Report::default(),
            failure: None,
            weighing,
            draining: draining::dice(scenario.seed),
            late_drains: LateDrains::new(),
            probing,
            dice,
            scenario,
        };
        world.populate();
        world
    }

    /// Starts the backends, and plans what happens by itself.
    fn populate(&mut self) {
        self.count_users();
        for backend in 0..self.backends.len() {
            self.revive(backend);
            let first = self.now.after(first_rotation(&mut self.dice));
            self.queue.plan(first, Happening::BackendRotates(backend));
        }
        self.queue.plan(self.now.after(self.scenario.calendar.interval()), Happening::Vote);
        if self.scenario.trouble {
            self.plan_trouble();
            self.plan_weighing();
            self.plan_drains();
            self.plan_recheck();
            self.plan_probing_fault();
        }
        self.start_balancer();
    }

    /// Lets time pass until the end, or until a promise is broken.
    pub fn run(mut self) -> Result<Report, Failure> {
        let begin = self.now;
        self.pass(Duration::from_hours(24) * u32::try_from(self.scenario.days).unwrap_or(u32::MAX));
        if self.failure.is_none() {
            self.check_healed();
        }
        self.report.simulated = self.now.since(begin);
        self.report.digest = self.watch.digest();
        match self.failure {
            None => Ok(self.report),
            Some(failure) => Err(failure),
        }
    }

    /// Lets this much time pass, in whole minutes of the calendar; less if a promise is broken.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        let step = self.scenario.calendar.shrunk(MINUTE);
        let mut minute = self.now.after(step);
        while self.failure.is_none() && minute <= end {
            let (planned, deadline) = (self.queue.next_at(), self.balancer.deadline());
            self.now = planned.min(deadline).min(minute).max(self.now);
            if minute <= self.now {
                self.look_at_everything();
                minute = minute.after(step);
            } else if deadline < planned {
                self.tell(Event::Tick);
            } else if let Some((_, happening)) = self.queue.pop() {
                self.happen(happening);
            }
        }
    }

    fn happen(&mut self, happening: Happening<V>) {
        match happening {
            Happening::Vote => self.vote(),
            Happening::Consensus(consensus) => self.hand_out(&consensus),
            Happening::TorLearns(consensus) => self.tor_learns(consensus),
            Happening::DirectoryRead(call) => self.directory_read(call),
            Happening::ClockLook(look) => self.look_at_clock(look),
            Happening::BackendLearns(backend, consensus) => self.backend_learns(backend, consensus),
            Happening::BackendPublishes { backend, wake } => self.backend_wakes(backend, wake),
            Happening::BackendRotates(backend) => self.rotate(backend),
            Happening::Fetched { call, backend, source } => self.fetched(call, backend, source),
            Happening::Signed(call) => self.signed(call),
            Happening::Handed(call, order) => self.hand(call, order),
            Happening::Uploaded(upload) => self.uploaded(*upload),
            Happening::ReadBack(call, key, relay) => self.read_back(call, key, relay),
            Happening::PromptLook(call, service) => self.check_listed(call, service),
            Happening::TorEnds => self.tor_ends(),
            Happening::Trouble => self.trouble(),
            Happening::Weigh => self.weigh(),
            Happening::Command => self.command(),
            Happening::Recheck => self.recheck(),
            Happening::Probed(probe) => self.probed(*probe),
            Happening::ProbingFault => self.probing_fault(),
            Happening::ProbingMended(fault) => self.probing_mended(fault),
            Happening::Mended(mend) => self.mend(mend),
        }
    }

    /// Ends the time between two votes: relays come and go, and the authorities vote.
    fn vote(&mut self) {
        self.queue.plan(self.now.after(self.scenario.calendar.interval()), Happening::Vote);
        for _ in 0..self.relays.running.len() {
            if self.dice.chance(CHURN) {
                self.relays.depart(&mut self.dice);
                self.relays.arrive(self.now, &mut self.dice);
            }
        }
        self.relays.clean(self.now);
        self.balancer.clean(self.scenario.calendar, self.now);
        self.touch_all();
        if let Some(consensus) = self.authorities.vote(self.now, &self.relays) {
            let late = Duration::from_mins(if self.dice.chance(100) { self.dice.below(30) } else { 0 });
            let late = self.scenario.calendar.shrunk(late);
            self.queue.plan(self.now.after(late), Happening::Consensus(consensus));
        }
    }

    /// Hands a consensus out; each tor fetches it in its own time.
    fn hand_out(&mut self, consensus: &Rc<Consensus>) {
        self.authorities.publish(consensus.clone());
        self.touch_all();
        let interval = self.scenario.calendar.interval();
        let soon = |dice: &mut Dice| self.now.after(dice.between(Duration::from_secs(5), interval));
        self.queue.plan(soon(&mut self.dice), Happening::TorLearns(consensus.clone()));
        for backend in 0..self.backends.len() {
            self.queue.plan(soon(&mut self.dice), Happening::BackendLearns(backend, consensus.clone()));
        }
    }

    /// Computes the services that each backend serves.
    pub fn count_users(&mut self) {
        self.users.iter_mut().for_each(BTreeSet::clear);
        for (number, service) in self.services.iter().enumerate() {
            if service.configured.is_some() {
                for backend in &service.backends {
                    self.users[*backend].insert(number);
                }
            }
        }
    }

    /// Notes that something has happened to a service.
    pub fn touch(&mut self, service: usize) {
        self.services[service].touched = true;
    }

    /// Notes that something has happened to a backend.
    pub fn touch_users(&mut self, backend: usize) {
        for service in &self.users[backend] {
            self.services[*service].touched = true;
        }
    }

    /// Notes that something has happened to everything.
    pub fn touch_all(&mut self) {
        for service in &mut self.services {
            service.touched = true;
        }
    }
}

/// The services of a scenario, which share its backends.
fn some_services(scenario: &Scenario, now: Moment, dice: &mut Dice) -> Vec<Service> {
    let service = |number| {
        let few = 1 + dice.index(4);
        // Some services have more backends than a descriptor has room for.
        let count = if dice.chance(100) { 12 } else { few };
        let some = match scenario.each {
            Some(each) => (number * each..(number + 1) * each).collect(),
            None => (0..count).map(|_| dice.index(scenario.backends)).collect(),
        };
        let mut service = Service::new(number, dice.chance(500), some);
        service.configured = Some(now);
        service.undisturbed = now;
        service
    };
    (0..scenario.services).map(service).collect()
}
