//! One service: the introduction points of its descriptors, and the times at which they are chosen.

mod choice;
mod draining;
mod health;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use onionbalance_proto::config::HealthCheck;
use onionbalance_proto::relay::Fingerprint;
use rand_core::RngCore;

use super::backend::Backend;
use super::capacity::Place;
use super::context::Context;
use super::descriptor::{Descriptor, Turn};
use super::drains::Drains;
use super::event::{Chosen, Point, Proof, ServiceSpec};
use super::id::{BackendId, DescriptorSlot, ServiceId};
use super::notice::Notice;
use super::registry::{Number, Registry};
use super::shares;
use super::status::{BackendStatus, ServiceStatus};
use super::timers::{ServiceTimer, Timer, earliest, ended};
use super::weights::Weights;

/// The state of one service.
pub(super) struct Service<P: Point> {
    id: ServiceId,
    /// The backends, in the order of the configuration.
    backends: Vec<Number<BackendId>>,
    /// The weights of the configuration.
    configured_weights: Weights,
    /// The drains by command, none of which had ended by the last look at the wall clock.
    drains: Drains,
    /// The weights in force: the configured ones, with 0 for backends that are drained by command.
    weights: Weights,
    /// The health checks of those backends that have one.
    checks: BTreeMap<BackendId, Arc<HealthCheck>>,
    /// The next look at the wall clock for the end of a drain; `None` if no drain has an end.
    drain_look_at: Option<Duration>,
    max_points: usize,
    distinct: bool,
    proof: Proof,
    /// The sets of its descriptors, each for other HSDirs; never emptied while a backend may come back.
    sets: Vec<Vec<Chosen<P>>>,
    /// The descriptors in the order of their slots. They are few, and a map would have room for eleven.
    descriptors: Vec<Descriptor<P::Id>>,
    decide_at: Option<Duration>,
    /// The time at which the first of its backends was found, until its first set is chosen.
    found_first: Option<Duration>,
    /// True after its first set was chosen.
    begun: bool,
    /// The turn of new descriptors.
    turn: Turn,
    /// The time since which all backends have been gone while the last set stays; `None` if they are not.
    stale_since: Option<Duration>,
    /// The time since which drained backends have served because no other one is live; `None` if they do not.
    drained_serve_since: Option<Duration>,
    /// The time since which unwell backends have served because the probes of all fail; `None` if they do not.
    unwell_serve_since: Option<Duration>,
    /// The time of the first notice that descriptors are not on all their HSDirs; `None` without one.
    short_since: Option<Duration>,
    /// True after the notice that there is nothing to publish.
    told_nothing: bool,
}

impl<P: Point> Service<P> {
    /// A service whose backends are not known yet. [`Service::reconfigure`] has to follow.
    pub(super) fn new(spec: &ServiceSpec) -> Self {
        Self {
            id: spec.id.clone(),
            backends: Vec::new(),
            configured_weights: Weights::default(),
            drains: Drains::default(),
            weights: Weights::default(),
            checks: BTreeMap::new(),
            drain_look_at: None,
            max_points: spec.max_points,
            distinct: spec.distinct,
            proof: spec.proof,
            sets: Vec::new(),
            descriptors: Vec::new(),
            decide_at: None,
            found_first: None,
            begun: false,
            turn: Turn::First,
            stale_since: None,
            drained_serve_since: None,
            unwell_serve_since: None,
            short_since: None,
            told_nothing: false,
        }
    }

    /// Takes a configuration, and keeps the state of what stays; each of `backends` is there once.
    /// True if [`Service::reconsider`] has to follow, because there can be other sets.
    pub(super) fn reconfigure(
        &mut self,
        cx: &mut Context<impl RngCore>,
        spec: &ServiceSpec,
        backends: Vec<Number<BackendId>>,
        all: &Backends<P>,
    ) -> bool {
        let is_same = self.backends == backends
            && self.checks == spec.checks
            && (self.max_points, self.distinct) == (spec.max_points, spec.distinct);
        self.backends = backends;
        self.configured_weights.clone_from(&spec.weights);
        self.checks.clone_from(&spec.checks);
        self.max_points = spec.max_points;
        self.distinct = spec.distinct;
        let has_other_weights = self.take_drains(cx, &spec.drains, all);
        // A new engine has not read the wall clock yet.
        self.drain_look_at = self.drain_look_at.map(|_| cx.now.elapsed);
        !self.begun || !is_same || has_other_weights
    }

    /// Takes the drains in place of the earlier ones, and chooses at once if that changes a weight.
    pub(super) fn set_drains(
        &mut self,
        cx: &mut Context<impl RngCore>,
        drains: &Drains,
        backends: &Backends<P>,
    ) {
        if self.take_drains(cx, drains, backends) {
            self.reconsider(cx, backends);
        }
    }

    /// The places in line of its descriptors that are not in a new consensus.
    pub(super) fn places_besides(
        &self,
        view: Option<&BTreeMap<DescriptorSlot, Vec<Fingerprint>>>,
    ) -> Vec<Place> {
        let is_in = |slot| view.is_some_and(|view| view.contains_key(&slot));
        let vanished = self.descriptors.iter().filter(|descriptor| !is_in(descriptor.slot()));
        vanished.filter_map(|descriptor| descriptor.in_line).collect()
    }

    /// Takes the descriptors of a new consensus: some are new, some have vanished, some have other HSDirs.
    /// True if [`Service::reconsider`] has to follow, because there are new ones, or there can be other sets.
    pub(super) fn set_view(
        &mut self,
        cx: &Context<impl RngCore>,
        view: Option<&BTreeMap<DescriptorSlot, Vec<Fingerprint>>>,
    ) -> bool {
        let sets_wanted = self.sets_wanted();
        let mut new_ones = !self.begun;
        self.descriptors.retain(|descriptor| view.is_some_and(|view| view.contains_key(&descriptor.slot())));
        for (slot, hsdirs) in view.into_iter().flatten() {
            if let Some(descriptor) = self.descriptor(*slot) {
                descriptor.set_hsdirs(cx.now.elapsed, hsdirs);
                continue;
            }
            new_ones = true;
            let mut new = Descriptor::new(self.id.clone(), *slot, self.proof, self.turn);
            new.set_hsdirs(cx.now.elapsed, hsdirs);
            self.descriptors.push(new);
        }
        self.descriptors.sort_by_key(Descriptor::slot);
        self.descriptors.shrink_to_fit();
        new_ones || sets_wanted != self.sets_wanted()
    }

    /// Chooses at once after a change of the configuration or the network, unless the first set is still
    /// awaited.
    pub(super) fn reconsider(&mut self, cx: &Context<impl RngCore>, backends: &Backends<P>) {
        if self.begun {
            self.decide_at = Some(cx.now.elapsed);
        } else {
            self.backend_changed(cx, backends);
        }
    }

    /// Sets the time of the next choice after a change of one of its backends.
    ///
    /// The first choice comes when all backends have a result, or some time after the first was found. Later
    /// ones come shortly after the first of several changes.
    pub(super) fn backend_changed(&mut self, cx: &Context<impl RngCore>, backends: &Backends<P>) {
        if self.begun {
            let at = cx.now.elapsed + cx.timing.debounce;
            self.decide_at = Some(self.decide_at.map_or(at, |earlier| earlier.min(at)));
            return;
        }
        let mut mine = self.backends.iter().filter_map(|number| backends.get(*number));
        if mine.any(|backend| !backend.points().is_empty() && !self.weights.is_drained(backend.id())) {
            self.found_first.get_or_insert(cx.now.elapsed);
        }
        self.decide_at = self.decide_first_at(cx, backends);
    }

    /// Takes the points of a backend's newer descriptor in place of the same ones of its earlier one: their
    /// certificates are newer, and their relays' onion keys may be. The earlier ones would also take memory.
    pub(super) fn renew_points(&mut self, backend: &Backend<P>) {
        for chosen in self.sets.iter_mut().flatten().filter(|chosen| chosen.backend == *backend.id()) {
            let id = chosen.point.id();
            if let Some(newer) = backend.newest_points().iter().find(|point| point.id() == id) {
                chosen.point = newer.clone();
            }
        }
    }

    /// Notes the first request for one of its backends. True if the time of the choice may have changed.
    pub(super) fn backend_asked(&mut self, cx: &Context<impl RngCore>, backends: &Backends<P>) -> bool {
        let waits = self.found_first.is_some();
        if waits {
            self.decide_at = self.decide_first_at(cx, backends);
        }
        waits
    }

    /// Its backends, in the order of the configuration.
    pub(super) fn backends(&self) -> &[Number<BackendId>] {
        &self.backends
    }

    /// The number of read-backs that prove that it is published everywhere.
    pub(super) fn read_backs_wanted(&self) -> usize {
        match self.proof {
            Proof::Word => 0,
            Proof::ReadBack => self.descriptors.iter().map(Descriptor::hsdirs).sum(),
        }
    }

    /// The number of posts that publish it everywhere.
    pub(super) fn posts_wanted(&self) -> usize {
        let posts = |descriptor: &Descriptor<P::Id>| if self.distinct { descriptor.hsdirs() } else { 1 };
        self.descriptors.iter().map(posts).sum()
    }

    /// Chooses if that is due, and lets the descriptors do their due work.
    pub(super) fn tick(&mut self, cx: &mut Context<impl RngCore>, backends: &Backends<P>) {
        if self.drain_look_at.is_some_and(|at| at <= cx.now.elapsed) && self.end_drains(cx) {
            self.reconsider(cx, backends);
        }
        // The other timers end in a choice.
        if ended(self.timers(cx.timing.keep_last), cx.now.elapsed).next().is_some() {
            self.decide(cx, backends);
        }
        for descriptor in &mut self.descriptors {
            descriptor.tick(cx);
        }
    }

    fn timers(&self, keep_last: Duration) -> [Timer<ServiceTimer>; 3] {
        let last_set = self.stale_since.map(|since| since + keep_last);
        [
            (ServiceTimer::DrainEnd, self.drain_look_at),
            (ServiceTimer::Choice, self.decide_at),
            (ServiceTimer::LastSet, last_set),
        ]
    }

    /// Notes that this much time has passed unnoticed. The last set is not given up for it: the clock may be
    /// wrong.
    pub(super) fn wake_up(&mut self, slept: Duration) {
        self.stale_since = self.stale_since.map(|since| since.saturating_add(slept));
    }

    /// Notes that tor is lost: unfinished uploads have to be repeated.
    pub(super) fn tor_lost(&mut self, now: Duration) {
        for descriptor in &mut self.descriptors {
            descriptor.tor_lost(now);
        }
    }

    /// The introduction points of the set with this number; empty if there is none.
    pub(super) fn points(&self, set: usize) -> &[Chosen<P>] {
        self.sets.get(set).map_or(&[], Vec::as_slice)
    }

    /// Gives a notice of recovery once all descriptors are on all their HSDirs again.
    pub(super) fn note_recovery(&mut self, cx: &mut Context<impl RngCore>) {
        let told = self.descriptors.iter_mut().filter_map(Descriptor::take_short_since).min();
        self.short_since = [self.short_since, told].into_iter().flatten().min();
        let Some(since) = self.short_since else { return };
        if self.descriptors.iter().all(Descriptor::is_complete) {
            self.short_since = None;
            let after = cx.now.elapsed.saturating_sub(since);
            cx.notices.push(Notice::AllStored { service: self.id.clone(), after });
        }
    }

    /// Notes that one of its descriptors was published.
    pub(super) fn published(&mut self) {
        self.turn = Turn::Later;
    }

    /// True if there is something to publish.
    pub(super) fn has_points(&self) -> bool {
        !self.sets.is_empty()
    }

    /// True if one of its descriptors has been published.
    pub(super) fn is_published(&self) -> bool {
        self.descriptors.iter().any(Descriptor::is_published)
    }

    pub(super) fn id(&self) -> &ServiceId {
        &self.id
    }

    pub(super) fn descriptor(&mut self, slot: DescriptorSlot) -> Option<&mut Descriptor<P::Id>> {
        self.descriptors.iter_mut().find(|descriptor| descriptor.slot() == slot)
    }

    pub(super) fn descriptors(&mut self) -> impl Iterator<Item = (DescriptorSlot, &mut Descriptor<P::Id>)> {
        self.descriptors.iter_mut().map(|descriptor| (descriptor.slot(), descriptor))
    }

    /// The next time at which [`Service::tick`] has something to do, or a descriptor becomes due; `None` if
    /// there is none.
    pub(super) fn deadline(&self, keep_last: Duration) -> Option<Duration> {
        let descriptors = self.descriptors.iter().filter_map(Descriptor::deadline);
        descriptors.chain(earliest(self.timers(keep_last))).min()
    }

    pub(super) fn status(&self, now: Duration, backends: &Backends<P>) -> ServiceStatus {
        let mine = || self.backends.iter().filter_map(|number| backends.get(*number));
        let given = shares::given(&self.sets, &self.hsdirs_of_sets());
        let live = mine().filter(|backend| !self.offered(backend).is_empty()).map(Backend::id);
        let wished =
            if self.decide_at.is_none() { shares::wished(live, &self.weights) } else { BTreeMap::new() };
        let backend = |backend: &Backend<P>| BackendStatus {
            weight: self.configured_weights.of(backend.id()),
            drain: self.drains.of(backend.id()),
            share: self.has_points().then(|| given.get(backend.id()).copied().unwrap_or(0.0)),
            wished_share: wished.get(backend.id()).copied(),
            health: self.health_of(backend, now),
            ..backend.status(now)
        };
        ServiceStatus {
            service: self.id.clone(),
            points: self.count_listed(),
            stale_for: self.stale_since.map(|since| now.saturating_sub(since)),
            drained_serve_for: self.drained_serve_since.map(|since| now.saturating_sub(since)),
            unwell_serve_for: self.unwell_serve_since.map(|since| now.saturating_sub(since)),
            descriptors: self.descriptors.iter().map(|descriptor| descriptor.status(now)).collect(),
            backends: mine().map(backend).collect(),
        }
    }

    /// The number of HSDirs of each set.
    fn hsdirs_of_sets(&self) -> Vec<usize> {
        let mut hsdirs = vec![0; self.sets.len()];
        for set in self.descriptors.iter().flat_map(Descriptor::sets_of_hsdirs) {
            if let Some(hsdirs) = hsdirs.get_mut(set) {
                *hsdirs += 1;
            }
        }
        hsdirs
    }

    /// The number of introduction points that its descriptors list together.
    fn count_listed(&self) -> usize {
        let mut listed: Vec<P::Id> = self.sets.iter().flatten().map(|chosen| chosen.point.id()).collect();
        listed.sort_unstable();
        listed.dedup();
        listed.len()
    }
}

/// All backends by their names.
pub(super) type Backends<P> = Registry<BackendId, Backend<P>>;
