//! The decision what to fetch and what to publish: a deterministic state machine.
//!
//! [`Engine::handle`] takes one [`Event`] and returns the resulting [`Action`]s. [`Engine::next_deadline`] is
//! the time of the next [`Event::Tick`]. The same events at the same times, with the same random numbers,
//! give the same actions. There is no I/O here, no clock, no tor, and nothing of the formats of either
//! version: the responsible HSDirs are computed elsewhere and come in with [`Event::Network`], and
//! descriptors come in opened and go out as sets of introduction points.
//!
//! These promises hold for any input:
//! - An empty set is never published. While every backend is gone, the last set stays for a while.
//! - Within a period, an older descriptor of a backend never replaces a newer one, nor does it count as a
//!   sign of life.
//! - A descriptor that an HSDir has not acknowledged does not count as published there, and is uploaded
//!   again. The same holds for one that is not proven to be there if an acknowledgement is not enough.
//! - Tor is asked for a bounded number of circuits at a time, at even distances, and no request waits
//!   forever.
//! - An event costs time only for the backends and services that it concerns, and a bounded time. If all
//!   services have to choose again, some do so at once and the others in the following turns.
//!
//! The run loop around it always has this form. The runtime's loop takes the answers of tor and of the signer
//! as events.
//!
//! ```
//! # use std::collections::BTreeMap;
//! # use std::sync::mpsc::{self, RecvTimeoutError};
//! # use std::time::{Duration, Instant};
//! # use onionbalance::engine::{Action, Engine, EngineConfiguration, Event, Now, Point, Settings};
//! # use onionbalance_proto::relay::Fingerprint;
//! # use rand_core::OsRng;
//! # #[derive(Clone)]
//! # struct RelayPoint(Fingerprint);
//! # impl Point for RelayPoint {
//! #     type Id = Fingerprint;
//! #     const FAILED_IS_STRUCK_OFF: bool = false;
//! #     fn id(&self) -> Fingerprint { self.0 }
//! #     fn relay(&self) -> Fingerprint { self.0 }
//! # }
//! # fn carry_out(_: Action<RelayPoint>) {}
//! # let configuration =
//! #     EngineConfiguration { services: Vec::new(), settings: Settings::default(), newest: BTreeMap::new() };
//! # let (sender, events) = mpsc::channel();
//! # sender.send(Event::TorReady).unwrap();
//! # drop(sender);
//! let mut engine = Engine::<RelayPoint, _>::new(configuration, OsRng);
//! let began = Instant::now();
//! loop {
//!     let until = engine.next_deadline().unwrap_or(Duration::MAX);
//!     let event = match events.recv_timeout(until.saturating_sub(began.elapsed())) {
//!         Ok(event) => event,
//!         Err(RecvTimeoutError::Timeout) => Event::Tick,
//!         Err(RecvTimeoutError::Disconnected) => break,
//!     };
//!     let now = Now { elapsed: began.elapsed(), wall: onionbalance_process::now() };
//!     for action in engine.handle(now, event) {
//!         carry_out(action);
//!     }
//! }
//! ```

mod backend;
mod capacity;
mod clock;
mod context;
mod deadlines;
mod descriptor;
mod dispatch;
mod drains;
mod event;
mod health;
mod id;
mod look;
mod matching;
mod newest;
mod notice;
mod probing;
mod publication;
mod registry;
mod revision;
mod select;
mod service;
mod shares;
mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timers;
mod timing;
mod upload;
mod weights;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use onionbalance_proto::config::HealthCheck;
use onionbalance_proto::time::UnixTime;
use rand_core::RngCore;

pub use self::drains::{Drain, Drains};
pub use self::event::{
    Action, BackendView, Chosen, DescriptorCopy, EngineConfiguration, Event, FetchOutcome, Found,
    NetworkView, Now, Point, Post, ProbeOutcome, Proof, Revision, ServiceSpec, UploadOutcome,
};
pub use self::id::{BackendId, DescriptorSlot, ProbeId, PublicationId, ServiceId, Source};
pub use self::newest::Newest;
pub use self::notice::{HealthNotice, Notice};
pub use self::status::{
    BackendState, BackendStatus, DescriptorStatus, Gone, Health, HealthState, HsdirAnswer, HsdirStatus,
    LastProbe, Load, ServiceStatus, SourceStatus, UploadProblem, UploadState,
};
pub use self::timing::{Demand, Settings, Timing};
pub use self::weights::Weights;

use self::backend::Backend;
use self::capacity::{Capacity, Request};
use self::clock::Clock;
use self::context::Context;
use self::deadlines::Deadlines;
use self::dispatch::Owner;
use self::health::Witnesses;
use self::publication::{Publication, Publications};
use self::registry::{Number, Registry};
use self::service::{Backends, Service};

/// All services and backends, with their states.
pub struct Engine<P: Point, R> {
    settings: Settings,
    cx: Context<R>,
    clock: Clock,
    tor_ready: bool,
    services: Registry<ServiceId, Service<P>>,
    backends: Backends<P>,
    deadlines: Deadlines<Owner>,
    capacity: Capacity,
    publications: Publications,
    last_probe: ProbeId,
}

/// The least time between two turns in which backends and services are woken. If there is more work than fits
/// in one, something else can be done before the next.
const BETWEEN_TURNS: Duration = Duration::from_millis(1);

impl<P: Point, R: RngCore> Engine<P, R> {
    /// An engine that waits for [`Event::Network`] and [`Event::TorReady`], in either order.
    pub fn new(configuration: EngineConfiguration, rng: R) -> Self {
        let now = Now { elapsed: Duration::ZERO, wall: UnixTime(0) };
        let settings = configuration.settings.clone();
        let mut engine = Self {
            cx: Context {
                now,
                valid_after: UnixTime(0),
                timing: settings.timing.clone(),
                rng,
                notices: Vec::new(),
                silences: 0,
                witnesses: Witnesses::default(),
            },
            clock: Clock::default(),
            tor_ready: false,
            services: Registry::new(),
            backends: Backends::new(),
            deadlines: Deadlines::new(),
            capacity: Capacity::new(&settings),
            publications: Publications::new(),
            last_probe: ProbeId(0),
            settings,
        };
        engine.configure(configuration);
        engine
    }

    /// The newest descriptor of this backend that was ever seen; `None` before the first.
    pub fn newest_of(&self, backend: &BackendId) -> Option<Newest> {
        self.backends.get(self.backends.number(backend)?)?.newest()
    }

    /// The newest descriptors of all backends, for the configuration of a later engine.
    pub fn newest(&self) -> BTreeMap<BackendId, Newest> {
        let newest = |(id, backend): (&BackendId, &Backend<P>)| Some((id.clone(), backend.newest()?));
        self.backends.iter().filter_map(newest).collect()
    }

    /// Takes an event, and does everything else that has become due. The actions are to be carried out in
    /// their order.
    ///
    /// `now.elapsed` must not run backwards; if it does, it counts as unchanged. Events about things that the
    /// engine does not know, or no longer waits for, are ignored.
    pub fn handle(&mut self, now: Now, event: Event<P>) -> Vec<Action<P>> {
        let slept = self.clock.read(now);
        if !slept.is_zero() {
            self.wake_up(self.clock.engine_time(now.elapsed), slept);
        }
        let elapsed = self.clock.engine_time(now.elapsed).max(self.cx.now.elapsed);
        self.cx.now = Now { elapsed, ..now };
        self.take(event);
        self.wake();
        let mut actions = Vec::new();
        self.dispatch(&mut actions);
        actions.extend(self.cx.notices.drain(..).map(Action::Notice));
        actions
    }

    /// The time by `elapsed` at which [`Event::Tick`] has to come, unless another event comes before. It is
    /// always after the last event. `None`: no tick is needed.
    pub fn next_deadline(&self) -> Option<Duration> {
        let now = self.cx.now.elapsed;
        let wake_at = self.deadlines.first().map(|at| at.max(now + BETWEEN_TURNS));
        let deadlines = [wake_at, self.capacity.deadline(now)];
        deadlines.into_iter().flatten().min().map(|deadline| self.clock.monotonic(deadline))
    }

    /// The status of all services, in the order of their names.
    pub fn status(&self, now: Now) -> Vec<ServiceStatus> {
        let now = self.clock.engine_time(now.elapsed);
        self.services.iter().map(|(_, service)| service.status(now, &self.backends)).collect()
    }

    /// Notes that the machine `slept` until `now`, or that the wall clock was set forward. Waits of requests,
    /// and the time for which services keep their last set, do not include this time.
    fn wake_up(&mut self, now: Duration, slept: Duration) {
        self.capacity.wake_up(slept);
        self.publications.wake_up(slept);
        for backend in self.backends.values_mut() {
            backend.wake_up(now, slept, self.cx.timing.refresh);
        }
        for service in self.services.values_mut() {
            service.wake_up(slept);
        }
        for number in self.services.numbers() {
            self.service_touched(number);
        }
    }

    /// The requests that are outstanding at tor, and those that wait.
    pub fn load(&self, now: Now) -> Load {
        self.capacity.load(self.clock.engine_time(now.elapsed))
    }

    fn take(&mut self, event: Event<P>) {
        if is_answer(&event) {
            self.cx.silences = 0;
            self.cx.witnesses.note_answer(self.cx.now.elapsed);
        }
        match event {
            Event::Network(view) => self.set_network(&view),
            Event::Configuration(configuration) => self.configure(*configuration),
            Event::Fetched { backend: id, source, outcome } => {
                let Some(number) = self.backends.number(&id) else { return };
                self.capacity.answered(Request::Look(number, source));
                if let Some(backend) = self.backends.get_mut(number) {
                    let known = backend.newest();
                    let changed = backend.answer(&mut self.cx, source, outcome);
                    if !changed && backend.newest() != known {
                        self.renew_points(number);
                    }
                    self.backend_touched(number, changed);
                }
            }
            Event::Posted { id, revision } => self.posted(id, revision),
            Event::NotKept { id } => self.not_kept(id),
            Event::NotPosted { id, problem } => self.not_posted(id, problem),
            Event::Uploaded { id, hsdir, outcome } => {
                self.capacity.answered(Request::Upload(id, hsdir));
                let Some(Publication { service, slot, revision }) = self.publications.get(id) else { return };
                self.with_descriptor(service, slot, |descriptor, cx| {
                    descriptor.uploaded(cx, id, revision, hsdir, outcome);
                });
            }
            Event::ReadBack { service, slot, hsdir, found } => {
                let Some(number) = self.services.number(&service) else { return };
                self.capacity.answered(Request::ReadBack(number, slot, hsdir));
                self.with_descriptor(number, slot, |descriptor, cx| {
                    descriptor.read_back(cx, hsdir, &found);
                });
            }
            Event::Probed { id, backend, outcome } => self.probed(&backend, id, outcome),
            Event::Drains { service, drains } => {
                let Some(number) = self.services.number(&service) else { return };
                if let Some(service) = self.services.get_mut(number) {
                    service.set_drains(&mut self.cx, &drains, &self.backends);
                }
                self.service_touched(number);
            }
            Event::TorLost => self.lose_tor(),
            Event::TorReady => self.find_tor(),
            Event::Tick => {}
        }
    }

    /// Gives a backend's newer descriptor to its services, which list the same points already.
    fn renew_points(&mut self, number: Number<BackendId>) {
        let Some(backend) = self.backends.get(number) else { return };
        for user in &backend.users {
            if let Some(service) = self.services.get_mut(*user) {
                service.renew_points(backend);
            }
        }
    }

    fn posted(&mut self, id: PublicationId, revision: u64) {
        self.capacity.begun(self.cx.now.elapsed, id);
        let publication = self.publications.posted(self.cx.now.elapsed, id, revision);
        let Some(Publication { service, slot, .. }) = publication else { return };
        self.with_descriptor(service, slot, |descriptor, cx| descriptor.posted(cx, id, revision));
    }

    fn not_kept(&mut self, id: PublicationId) {
        self.capacity.not_begun(id);
        let Some(Publication { service, slot, .. }) = self.publications.not_posted(id) else { return };
        self.with_descriptor(service, slot, |descriptor, cx| descriptor.not_kept(cx, id));
    }

    fn not_posted(&mut self, id: PublicationId, problem: String) {
        self.capacity.not_begun(id);
        let Some(Publication { service, slot, .. }) = self.publications.not_posted(id) else { return };
        self.with_descriptor(service, slot, |descriptor, cx| descriptor.not_posted(cx, id, problem));
    }

    fn set_network(&mut self, view: &NetworkView) {
        self.cx.timing = self.settings.timing.for_period(view.period_length);
        self.cx.valid_after = view.valid_after;
        for backend in self.backends.values_mut() {
            let look = backend.set_view(&mut self.cx, view.backends.get(backend.id()));
            if look && self.tor_ready {
                backend.begin_look();
            }
        }
        for service in self.services.values_mut() {
            let slots = view.services.get(service.id());
            for place in service.places_besides(slots) {
                self.capacity.leave_posts(place);
            }
            if service.set_view(&self.cx, slots) {
                service.reconsider(&self.cx, &self.backends);
            }
        }
        let services = || self.services.iter().map(|(_, service)| service);
        let demand = Demand {
            backends: self.backends.len(),
            posts: services().map(Service::posts_wanted).sum(),
            read_backs: services().map(Service::read_backs_wanted).sum(),
            has_probes: services().any(Service::has_checks),
        };
        let settings = self.settings.for_period(view.period_length).for_load(demand);
        self.capacity.allow(&settings, demand);
        self.all_touched();
    }

    /// Adds and removes services and backends. The state of those that stay is kept.
    fn configure(&mut self, configuration: EngineConfiguration) {
        let EngineConfiguration { services: specs, settings, newest } = configuration;
        self.settings = settings;
        let services: BTreeSet<ServiceId> = specs.iter().map(|spec| spec.id.clone()).collect();
        let backends: BTreeSet<BackendId> = specs.iter().flat_map(|spec| &spec.backends).cloned().collect();
        // Only the deadlines of what stays are set again below.
        self.deadlines = Deadlines::new();
        self.services.retain(|id| services.contains(id));
        self.backends.retain(|id| backends.contains(id));
        for id in backends {
            self.backends.get_or_insert(id.clone(), || Backend::new(id));
        }
        for backend in self.backends.values_mut() {
            backend.users.clear();
        }
        for spec in &specs {
            self.configure_service(spec);
        }
        self.configure_checks(&specs);
        self.backends.shrink_to_fit();
        self.services.shrink_to_fit();
        self.remember(&newest);
        self.all_touched();
    }

    /// Takes the newest descriptors that an earlier engine had seen. Backends that are not configured are
    /// ignored.
    fn remember(&mut self, newest: &BTreeMap<BackendId, Newest>) {
        for (id, newest) in newest {
            let number = self.backends.number(id);
            if let Some(backend) = number.and_then(|number| self.backends.get_mut(number)) {
                backend.remember(self.cx.now.elapsed, *newest);
            }
        }
    }

    /// Takes the configuration of one service, all of whose backends are registered.
    fn configure_service(&mut self, spec: &ServiceSpec) {
        let mut known = BTreeSet::new();
        let once = spec.backends.iter().filter(|name| known.insert(*name));
        let mine: Vec<_> = once.filter_map(|name| self.backends.number(name)).collect();
        let number = self.services.get_or_insert(spec.id.clone(), || Service::new(spec));
        if let Some(service) = self.services.get_mut(number) {
            if service.reconfigure(&mut self.cx, spec, mine.clone(), &self.backends) {
                service.reconsider(&self.cx, &self.backends);
            }
        }
        for backend in mine {
            if let Some(backend) = self.backends.get_mut(backend) {
                backend.users.push(number);
            }
        }
    }

    /// Gives each backend the health checks that its services have for it.
    fn configure_checks(&mut self, specs: &[ServiceSpec]) {
        let mut checks: BTreeMap<&BackendId, Vec<Arc<HealthCheck>>> = BTreeMap::new();
        for (backend, check) in specs.iter().flat_map(|spec| &spec.checks) {
            let checks = checks.entry(backend).or_default();
            if !checks.contains(check) {
                checks.push(check.clone());
            }
        }
        for backend in self.backends.values_mut() {
            let checks = checks.remove(backend.id()).unwrap_or_default();
            backend.checks.set(checks);
        }
    }

    fn lose_tor(&mut self) {
        self.tor_ready = false;
        self.capacity.clear();
        self.cx.silences = 0;
        self.cx.witnesses.clear();
        self.publications.clear();
        for backend in self.backends.values_mut() {
            backend.tor_lost(self.cx.now.elapsed);
        }
        for service in self.services.values_mut() {
            service.tor_lost(self.cx.now.elapsed);
        }
        self.all_touched();
    }

    fn find_tor(&mut self) {
        self.lose_tor();
        self.tor_ready = true;
        for backend in self.backends.values_mut() {
            backend.begin_look();
        }
        self.all_touched();
    }
}

/// True if an event shows that an HSDir can be reached.
fn is_answer<P: Point>(event: &Event<P>) -> bool {
    match event {
        Event::Fetched { outcome, .. } => !matches!(outcome, FetchOutcome::Failed),
        Event::ReadBack { found, .. } => !matches!(found, Found::Failed),
        Event::Uploaded { outcome, .. } => {
            matches!(outcome, UploadOutcome::Stored | UploadOutcome::Unclear | UploadOutcome::Refused(_))
        }
        _ => false,
    }
}
