//! The engine's account of its services, compared with the world.

use std::rc::Rc;

use onionbalance::engine::{
    BackendState, BackendStatus, DescriptorStatus, HsdirStatus, ServiceStatus, UploadState,
};

use super::super::balancer::number_of;
use super::super::network::cache::Key;
use super::super::onion_version::{OnionVersion, PointId};
use super::super::world::World;
use super::Invariant;

/// The number of services whose status is checked each minute, on average: that of many takes long.
const A_MINUTE: u64 = 8;
/// In milliseconds.
const MINUTE: u64 = 60_000;

impl<V: OnionVersion> World<V> {
    /// Checks the status of all services: each minute if they are few.
    pub(super) fn check_status(&mut self) {
        let minutes = (self.services.len() as u64).div_ceil(A_MINUTE).max(1);
        if self.balancer.asleep.is_some() || !(self.now.0 / MINUTE).is_multiple_of(minutes) {
            return;
        }
        let now = self.balancer.now(self.now);
        let status = self.balancer.engine().map(|engine| engine.status(now)).unwrap_or_default();
        for service in status {
            let owner = number_of(&service.service.0);
            let descriptors = || service.descriptors.iter();
            let wrong = descriptors()
                .find_map(|descriptor| self.wrong_descriptor(owner, descriptor))
                .or_else(|| self.wrong_points(owner, &service))
                .or_else(|| self.wrong_publisher(owner, &service))
                .or_else(|| service.backends.iter().find_map(|backend| self.wrong_backend(backend)))
                .or_else(|| service.backends.iter().find_map(|backend| self.wrong_health(owner, backend)));
            if let Some(wrong) = wrong {
                return self.fail(Invariant::Status, &service.service.0, wrong);
            }
        }
    }

    /// The fault in the number of points, if all HSDirs count as stored: their sets have as many points
    /// together.
    fn wrong_points(&self, owner: usize, service: &ServiceStatus) -> Option<String> {
        // Without tor's consensus it has no descriptors.
        if service.descriptors.is_empty() {
            return None;
        }
        let mut listed: Vec<PointId> = Vec::new();
        for descriptor in &service.descriptors {
            if descriptor.hsdirs.is_empty() || !descriptor.hsdirs.iter().all(is_stored) {
                return None;
            }
            let held = self.watch.held.get(&Key { owner, slot: descriptor.slot })?;
            // Mostly all descriptors list the same.
            if listed != held.listed {
                listed.extend(&held.listed);
            }
        }
        listed.sort_unstable();
        listed.dedup();
        let points = service.points;
        // A last set that was dropped is not taken from HSDirs.
        (listed.len() != points && points > 0)
            .then(|| format!("{points} points are said to be listed, and {} are", listed.len()))
    }

    /// The report of another publisher of a service that has none.
    fn wrong_publisher(&self, owner: usize, service: &ServiceStatus) -> Option<String> {
        let is_reported = service.descriptors.iter().any(|descriptor| descriptor.other_ago.is_some());
        let has_none = self.services[owner].overwritten.is_none();
        (is_reported && has_none).then(|| "another publisher is reported, and there is none".to_owned())
    }

    /// The first HSDir that counts as stored and lacks its set, unless it has lost that.
    fn wrong_descriptor(&self, owner: usize, descriptor: &DescriptorStatus) -> Option<String> {
        let key = Key { owner, slot: descriptor.slot };
        let held = self.watch.held.get(&key)?;
        let in_slot = self.relays.in_slot(key);
        // HSDirs share sets.
        let mut right: Option<&Rc<[V]>> = None;
        let mut are_listed = |points| {
            let is_listed = |point: &V| held.listed.binary_search(&point.id()).is_ok();
            if !right.is_some_and(|right| Rc::ptr_eq(right, points)) {
                right = Some(points).filter(|points| points.iter().all(is_listed));
            }
            right.is_some()
        };
        let without = descriptor.hsdirs.iter().filter(|hsdir| is_stored(hsdir)).find_map(|hsdir| {
            let id = self.relays.find(hsdir.hsdir);
            let (relay, sent) = (self.relays.get(id), *held.sent.get(&id)?);
            // An HSDir that is at fault acknowledges what it discards, and loses what it had.
            let is_at_fault = !relay.is_fit() || relay.fit_since >= sent || relay.forgot_at >= Some(sent);
            let is_overwritten = self.services[owner].overwritten >= Some(sent);
            let has_expired = sent.after(V::KEPT) <= self.now;
            let kept = in_slot.and_then(|in_slot| in_slot.last(id)).filter(|kept| kept.lasts(self.now));
            let has = kept.is_some_and(|kept| are_listed(&kept.text.points));
            // An acknowledgement that comes after the next upload explains the refusal of that, and a stranger
            // may have published meanwhile.
            let is_ahead = kept.is_some_and(|kept| kept.text.revision > held.highest);
            (!is_at_fault && !is_overwritten && !has_expired && !is_ahead && !has).then_some(hsdir.hsdir)
        });
        without.map(|hsdir| format!("HSDir {hsdir} is said to have {:?}, and has not", descriptor.slot))
    }

    /// The fault in a backend's state: it is live from the notice that it was found to the notice that it is
    /// gone.
    fn wrong_backend(&self, backend: &BackendStatus) -> Option<String> {
        let is_live = backend.state == BackendState::Live;
        (self.watch.prompt.is_live(number_of(&backend.backend.0)) != is_live).then(|| {
            format!("{} is said to be {:?}, against the last notice of it", backend.backend, backend.state)
        })
    }
}

fn is_stored(hsdir: &HsdirStatus) -> bool {
    hsdir.state == UploadState::Stored
}
