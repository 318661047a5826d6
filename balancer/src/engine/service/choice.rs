//! The choice of a service's introduction points: its time, and the result.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand_core::RngCore;

use super::super::backend::Backend;
use super::super::context::Context;
use super::super::descriptor::Descriptor;
use super::super::event::{Chosen, Point};
use super::super::id::BackendId;
use super::super::notice::Notice;
use super::super::select::{Offered, select};
use super::super::weights::Weights;
use super::{Backends, Service};

/// The most sets of a descriptor. All of them are signed together, and the signer takes no more at a time: as
/// many as a descriptor of the public network has HSDirs.
const MAX_SETS: usize = 8;

impl<P: Point> Service<P> {
    /// The time of the first choice; `None` while no backend was found.
    ///
    /// The service waits for backends that are in line for their first look, and for those that were just
    /// asked for. Otherwise most of many services would be published with some of their backends, and again
    /// with all.
    pub(super) fn decide_first_at(
        &self,
        cx: &Context<impl RngCore>,
        backends: &Backends<P>,
    ) -> Option<Duration> {
        let mine = || self.backends.iter().filter_map(|number| backends.get(*number));
        if mine().all(Backend::has_result) {
            return Some(cx.now.elapsed);
        }
        let settled = self.found_first? + cx.timing.settle;
        let latest = settled + cx.timing.first_requests;
        let mut open = mine().filter(|backend| !backend.has_result());
        // `None`: one was not asked yet.
        let answered = open
            .try_fold(settled, |at, backend| Some(at.max(backend.first_asked()? + cx.timing.first_answer)));
        Some(answered.map_or(latest, |answered| answered.min(latest)))
    }

    /// Does not wait for further changes after a first one. Returns false if there was none.
    pub(in super::super) fn decide_at_once(
        &mut self,
        cx: &mut Context<impl RngCore>,
        backends: &Backends<P>,
    ) -> bool {
        let has_changed = self.decide_at.is_some();
        if has_changed {
            self.decide(cx, backends);
        }
        has_changed
    }

    /// Chooses the introduction points.
    pub(super) fn decide(&mut self, cx: &mut Context<impl RngCore>, backends: &Backends<P>) {
        (self.decide_at, self.found_first) = (None, None);
        let drained_serve = self.is_none_live_but_drained(backends);
        let alike = Weights::default();
        let weights = if drained_serve { alike } else { self.weights.clone() };
        self.judge_health(cx, backends, &weights);
        let sets = self.choose(backends, &weights, |backend| self.offered(backend));
        if sets.is_empty() {
            self.keep_last(cx, backends);
        } else {
            self.sets = sets;
            self.begun = true;
            self.note_drained(cx, drained_serve);
            self.stale_since = None;
            self.told_nothing = false;
        }
        if !self.sets.is_empty() {
            let ids = |set: &Vec<Chosen<P>>| set.iter().map(|chosen| chosen.point.id()).collect();
            let sets = Arc::new(self.sets.iter().map(ids).collect());
            for descriptor in &mut self.descriptors {
                descriptor.set_points(cx.now.elapsed, &sets);
            }
        }
    }

    /// True if drained backends are live, and the others were looked for and are not. They have to serve
    /// then: a service without introduction points is worse than a visitor at a drained backend.
    fn is_none_live_but_drained(&self, backends: &Backends<P>) -> bool {
        let mine = self.backends.iter().filter_map(|number| backends.get(*number));
        let (drained, others): (Vec<_>, Vec<_>) =
            mine.partition(|backend| self.weights.is_drained(backend.id()));
        others.iter().all(|backend| backend.has_result() && backend.points().is_empty())
            && drained.iter().any(|backend| !backend.points().is_empty())
    }

    /// Gives a notice if drained backends begin to serve, or cease to.
    fn note_drained(&mut self, cx: &mut Context<impl RngCore>, serve: bool) {
        let (service, now) = (self.id.clone(), cx.now.elapsed);
        match (self.drained_serve_since, serve) {
            (None, true) => {
                self.drained_serve_since = Some(now);
                cx.notices.push(Notice::DrainedServe { service });
            }
            (Some(since), false) => {
                self.drained_serve_since = None;
                cx.notices.push(Notice::DrainedRest { service, after: now.saturating_sub(since) });
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// Chooses by these weights among the points that `offered` returns for each of its backends.
    fn choose<'a>(
        &self,
        backends: &'a Backends<P>,
        weights: &Weights,
        offered: impl Fn(&'a Backend<P>) -> &'a [P],
    ) -> Vec<Vec<Chosen<P>>> {
        let offer = |backend: &'a Backend<P>| {
            let weight = weights.of(backend.id());
            Offered { backend: backend.id(), weight, points: offered(backend) }
        };
        let mine = self.backends.iter().filter_map(|number| backends.get(*number));
        let count = if self.distinct { self.sets_wanted().min(MAX_SETS) } else { 1 };
        select(mine.map(offer), self.max_points, count)
    }

    /// The number of different sets that there can be: the largest number of HSDirs of a period's
    /// descriptors.
    pub(super) fn sets_wanted(&self) -> usize {
        self.descriptors.iter().map(Descriptor::sets_wanted).max().unwrap_or(1)
    }

    /// Keeps the last set when no backend is live, without the points of backends that are no longer
    /// configured, until it has stayed too long. Those of drained ones are left out if there are others.
    fn keep_last(&mut self, cx: &mut Context<impl RngCore>, backends: &Backends<P>) {
        let now = cx.now.elapsed;
        for set in &mut self.sets {
            set.retain(|chosen| {
                let number = backends.number(&chosen.backend);
                number.is_some_and(|number| self.backends.contains(&number))
            });
        }
        if !self.are_all_drained() {
            for set in &mut self.sets {
                set.retain(|chosen| !self.weights.is_drained(&chosen.backend));
            }
        }
        self.sets.retain(|set| !set.is_empty());
        self.renew_last(backends);
        let service = self.id.clone();
        if self.sets.is_empty() {
            self.stale_since = None;
            // The configuration has a warning of its own for a service that lists no backends.
            if !self.backends.is_empty() && !std::mem::replace(&mut self.told_nothing, true) {
                cx.notices.push(Notice::NothingToPublish { service });
            }
        } else if let Some(since) = self.stale_since {
            if since + cx.timing.keep_last <= now {
                self.sets.clear();
                self.stale_since = None;
                self.told_nothing = true;
                cx.notices.push(Notice::LastSetDropped { service });
            }
        } else {
            self.stale_since = Some(now);
            cx.notices.push(Notice::KeepingLastSet { service });
        }
    }

    /// Takes the newest introduction points of the listed backends: if our clock is wrong and the backends
    /// are not dead, they still publish.
    fn renew_last(&mut self, backends: &Backends<P>) {
        let listed: BTreeSet<BackendId> =
            self.sets.iter().flatten().map(|chosen| chosen.backend.clone()).collect();
        let alike = Weights::default();
        let weights = if self.are_all_drained() { &alike } else { &self.weights };
        let newest = self.choose(backends, weights, |backend| {
            if listed.contains(backend.id()) { backend.newest_points() } else { &[] }
        });
        if !newest.is_empty() {
            self.sets = newest;
        }
    }

    /// True if the sets list drained backends only.
    fn are_all_drained(&self) -> bool {
        self.sets.iter().flatten().all(|chosen| self.weights.is_drained(&chosen.backend))
    }
}
