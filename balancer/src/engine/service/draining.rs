//! Drains by command in the life of a service: their beginning, their end, and the weights that follow.

use std::time::Duration;

use rand_core::RngCore;

use super::super::context::Context;
use super::super::drains::Drains;
use super::super::event::Point;
use super::super::id::BackendId;
use super::super::notice::Notice;
use super::{Backends, Service};

/// The longest time between two looks at the wall clock while a drain has an end: the clock may be set in
/// the meantime.
const LOOK: Duration = Duration::from_secs(60);

impl<P: Point> Service<P> {
    /// Takes the drains in place of the earlier ones, with a notice for each difference. Those of backends
    /// that the service does not list are ignored. True if weights are others now.
    pub(super) fn take_drains(
        &mut self,
        cx: &mut Context<impl RngCore>,
        drains: &Drains,
        backends: &Backends<P>,
    ) -> bool {
        let is_listed = |backend: &BackendId| {
            backends.number(backend).is_some_and(|number| self.backends.contains(&number))
        };
        let mut new = drains.clone();
        new.retain(|backend, drain| is_listed(backend) && !drain.has_ended(cx.now.wall));
        let old = std::mem::replace(&mut self.drains, new);
        let service = &self.id;
        for (backend, drain) in self.drains.iter().filter(|(backend, drain)| old.of(backend) != Some(*drain))
        {
            let (service, backend) = (service.clone(), backend.clone());
            cx.notices.push(Notice::BackendDrained { service, backend, until: drain.until });
        }
        let is_gone = |backend: &BackendId| self.drains.of(backend).is_none() && is_listed(backend);
        for (backend, drain) in old.iter().filter(|(backend, _)| is_gone(backend)) {
            let (service, backend) = (service.clone(), backend.clone());
            cx.notices.push(if drain.has_ended(cx.now.wall) {
                Notice::DrainEnded { service, backend }
            } else {
                Notice::BackendEnabled { service, backend }
            });
        }
        self.plan_drain_end(cx);
        self.apply_drains()
    }

    /// Ends the drains whose time has come. True if weights are others now.
    pub(super) fn end_drains(&mut self, cx: &mut Context<impl RngCore>) -> bool {
        let wall = cx.now.wall;
        for (backend, _) in self.drains.iter().filter(|(_, drain)| drain.has_ended(wall)) {
            cx.notices.push(Notice::DrainEnded { service: self.id.clone(), backend: backend.clone() });
        }
        self.drains.retain(|_, drain| !drain.has_ended(wall));
        self.plan_drain_end(cx);
        self.apply_drains()
    }

    /// Sets the weights from the configured ones and the drains. True if they are others now.
    fn apply_drains(&mut self) -> bool {
        let weights = self.configured_weights.drained_by(&self.drains);
        let has_changed = self.weights != weights;
        self.weights = weights;
        has_changed
    }

    /// Plans the next look at the wall clock: at the end of the first drain, after [`LOOK`] at the latest.
    fn plan_drain_end(&mut self, cx: &Context<impl RngCore>) {
        let first = self.drains.iter().filter_map(|(_, drain)| drain.until).min();
        self.drain_look_at = first.map(|until| {
            let left = Duration::from_secs(until.since(cx.now.wall));
            cx.now.elapsed + left.min(LOOK)
        });
    }
}
