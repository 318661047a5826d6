//! The part of health in a service's choice: unwell backends are not offered, unless the probes of all fail.

use std::time::Duration;

use rand_core::RngCore;

use super::super::backend::Backend;
use super::super::context::Context;
use super::super::event::Point;
use super::super::notice::{HealthNotice, Notice};
use super::super::status::Health;
use super::super::weights::Weights;
use super::{Backends, Service};

impl<P: Point> Service<P> {
    /// True if one of its backends has a health check.
    pub(in super::super) fn has_checks(&self) -> bool {
        !self.checks.is_empty()
    }

    /// The introduction points of one of its backends that can be published: none if it is not live, or if it
    /// is unwell.
    pub(super) fn offered<'a>(&self, backend: &'a Backend<P>) -> &'a [P] {
        let is_out = self.unwell_serve_since.is_none() && self.is_unwell(backend);
        if is_out { &[] } else { backend.points() }
    }

    /// Finds out if the probes of all backends fail that have one of these weights and are live. All are
    /// offered then: a visitor's try at each of them is better than none, and our own tor may be at fault.
    /// While none is live, nothing changes.
    pub(super) fn judge_health(
        &mut self,
        cx: &mut Context<impl RngCore>,
        backends: &Backends<P>,
        weights: &Weights,
    ) {
        let mine = self.backends.iter().filter_map(|number| backends.get(*number));
        let mut candidates = mine
            .filter(|backend| !backend.points().is_empty() && !weights.is_drained(backend.id()))
            .peekable();
        if candidates.peek().is_none() {
            return;
        }
        let all_fail = candidates.all(|backend| self.is_failing(backend));
        let (service, now) = (self.id.clone(), cx.now.elapsed);
        let notice = match (self.unwell_serve_since, all_fail) {
            (None, true) => {
                self.unwell_serve_since = Some(now);
                HealthNotice::AllUnwell { service }
            }
            (Some(since), false) => {
                self.unwell_serve_since = None;
                HealthNotice::SomeWell { service, after: now.saturating_sub(since) }
            }
            (None, false) | (Some(_), true) => return,
        };
        cx.notices.push(Notice::Health(notice));
    }

    /// The health of one of its backends; `None` if it has no check.
    pub(super) fn health_of(&self, backend: &Backend<P>, now: Duration) -> Option<Health> {
        self.checks.get(backend.id()).and_then(|check| backend.checks.status(check, now))
    }

    fn is_unwell(&self, backend: &Backend<P>) -> bool {
        self.checks.get(backend.id()).is_some_and(|check| backend.checks.is_unwell(check))
    }

    fn is_failing(&self, backend: &Backend<P>) -> bool {
        self.checks.get(backend.id()).is_some_and(|check| backend.checks.is_failing(check))
    }
}
