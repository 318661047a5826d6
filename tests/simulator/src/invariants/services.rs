//! Invariants of every service at every minute.
//!
//! A service is checked after something has happened to it, and when time alone may have broken a promise: a
//! check in any other minute would have the same result.

use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::Point;
use onionbalance_proto::relay::Fingerprint;

use super::super::balancer::Balancer;
use super::super::network::cache::{Kept, Key};
use super::super::network::consensus::Consensus;
use super::super::network::id::RelayId;
use super::super::network::relay::Relay;
use super::super::onion_version::OnionVersion;
use super::super::promises::Waits;
use super::super::service::Spot;
use super::super::time::Moment;
use super::super::world::World;
use super::Invariant;
use super::alarm::Alarm;

impl<V: OnionVersion> World<V> {
    /// Notes that something keeps the balancer from its work, or has just ended.
    pub fn disturb(&mut self) {
        self.undisturbed = self.now;
        self.touch_all();
    }

    /// Notes an event after which a service need not be published before `until`, and for some time more.
    pub fn service_disturbed(&mut self, number: usize, until: Moment) {
        let service = &mut self.services[number];
        service.undisturbed = service.undisturbed.max(until);
        service.steady_until = None;
        service.touched = true;
    }

    /// Notes that the balancer begins again, without a last set.
    pub fn balancer_was_away(&mut self) {
        for service in &mut self.services {
            (service.supplied, service.last_supplied) = (None, None);
        }
    }

    /// True if something keeps the balancer from its work now.
    fn is_disturbed(&self) -> bool {
        let Some((consensus, _)) = &self.balancer.read else { return true };
        // Tor goes on with an old consensus for a day, and the signer with the period before the present one.
        let stale = self.now.since(consensus.valid_until()) > self.scenario.calendar.period();
        !self.can_see() || self.balancer.signer_away || stale
    }

    /// True if the balancer can tell which backends live.
    fn can_see(&self) -> bool {
        let Balancer { read, tor_ready, asleep, clock_ahead, .. } = &self.balancer;
        let is_connected = *tor_ready && !self.probing.is_cut_off;
        read.is_some() && is_connected && asleep.is_none() && *clock_ahead == 0
    }

    /// Checks a backend that the engine takes for too old.
    pub(super) fn check_alive(&mut self, backend: usize) {
        if !self.backends[backend].is_alive() {
            return;
        }
        self.report.taken_for_dead += 1;
        let mut alarm = Alarm { now: self.now, next: Moment::NEVER };
        let since = Moment(self.now.0.saturating_sub(Moment::ZERO.after(self.promises.seen).0));
        // A backend that has just been configured may be found in an old copy first.
        let known = self.users[backend].iter().filter_map(|service| self.services[*service].configured).min();
        let undisturbed = known.map_or(Moment::NEVER, |known| known.max(self.undisturbed));
        let undisturbed = undisturbed.after(self.promises.seen + self.promises.posted);
        if !self.is_disturbed() && undisturbed <= self.now && self.is_found(backend, since, &mut alarm) {
            let of = self.backends[backend].id.0.clone();
            self.fail(Invariant::Alive, &of, format!("it lives, and can be found since {since}"));
        }
    }

    /// Lets promises be kept later while the engine says that it is behind, because tor cannot do as much as
    /// is wanted. The engine gives the wait of requests. Promises are kept so much later, until all that has
    /// waited so long is done: from the engine's word that it has caught up on, that takes no longer than
    /// usual. A machine that sleeps says nothing, and requests do not wait meanwhile.
    fn hear_of_waits(&mut self) {
        let Some(engine) = self.balancer.engine().filter(|_| self.balancer.asleep.is_none()) else { return };
        let load = engine.load(self.balancer.now(self.now));
        if load.posts_waiting + load.read_backs_waiting == 0 {
            self.posts_idle = self.now;
        }
        let usual = self.promises.behind::<V>(&self.timing, Waits::default());
        if load.behind_for.is_some() {
            let known = self.behind.map(|(waits, _)| waits).unwrap_or_default();
            // The posts and read-backs that wait have come after the last minute in which none did.
            let posts = load.longest_wait.min(self.now.since(self.posts_idle));
            let waits = Waits { posts: known.posts.max(posts), all: known.all.max(load.longest_wait) };
            self.promises = usual.behind::<V>(&self.timing, waits);
            self.behind = Some((waits, self.now.after(usual.seen + usual.posted)));
            self.report.behind_minutes += 1;
            self.report.longest_wait = self.report.longest_wait.max(waits.all);
        } else if self.behind.is_some_and(|(_, until)| until <= self.now) {
            self.promises = usual;
            self.behind = None;
        }
    }

    /// Checks every service that is due.
    pub fn look_at_everything(&mut self) {
        self.hear_of_waits();
        let live = self.authorities.live(self.now);
        self.check_new_period();
        self.check_status();
        self.check_drains();
        self.check_probed();
        for number in 0..self.services.len() {
            let service = &self.services[number];
            if service.configured.is_none() {
                continue;
            }
            if service.touched || service.look_at <= self.now {
                self.services[number].touched = false;
                let mut alarm = Alarm { now: self.now, next: Moment::NEVER };
                self.look_at(number, &live, &mut alarm);
                self.services[number].look_at = alarm.next;
            }
            let look_ups = self.services[number].look_ups;
            self.report.look_ups.add(look_ups);
            self.report.service_minutes += 1;
            self.report.dark_minutes += u64::from(look_ups.dark > 0);
        }
    }

    fn look_at(&mut self, number: usize, live: &[Rc<Consensus>], alarm: &mut Alarm) {
        let supplied = self.is_supplied(number, alarm);
        let service = &self.services[number];
        let undisturbed = service.undisturbed.max(self.undisturbed).after(self.promises.posted);
        let free = !self.is_disturbed() && !service.poisoned && alarm.passed(undisturbed);
        let steady = free && supplied;
        let service = &mut self.services[number];
        if steady {
            service.steady_until = Some(Moment::NEVER);
        } else if service.steady_until == Some(Moment::NEVER) {
            // Nothing had changed before.
            service.steady_until = Some(self.now);
        }
        if steady {
            // A last set may be dropped some time after its backends counted as dead.
            let listed = self.check_stored(number, alarm);
            self.check_height(number, alarm);
            self.check_fair(number, alarm);
            self.check_weights(number, alarm);
            self.check_points(number, &listed, alarm);
            self.check_seen(number, &listed, alarm);
            self.check_health(number, &listed, alarm);
        }
        self.check_found(number, live, steady, alarm);
    }

    /// True if a backend has been found for long enough, or was before all of them went.
    fn is_supplied(&mut self, number: usize, alarm: &mut Alarm) -> bool {
        let now = self.now;
        let mut backends = self.services[number].backends.iter();
        let supplied = self.can_see() && backends.any(|backend| self.is_found(*backend, now, alarm));
        let service = &mut self.services[number];
        let listed = |since: Moment| {
            let from_the_start = self.balancer.first_looks.is_some_and(|until| since <= until);
            since.after(if from_the_start { self.promises.found } else { self.promises.seen })
        };
        let before = service.supplied.map(listed);
        service.supplied = if supplied { service.supplied.or(Some(now)) } else { None };
        let since = service.supplied.map(listed);
        if before.is_some_and(|before| before <= now) || since.is_some_and(|since| alarm.passed(since)) {
            // Nothing had changed before.
            service.last_supplied = Some(now);
            if supplied {
                return true;
            }
        }
        let Some(last) = service.last_supplied else { return false };
        !alarm.passed(last.after(self.promises.last_set))
    }

    /// True if a backend works and publishes, and all HSDirs at which the balancer looks for it, except
    /// two, have had its present introduction points since `since`. If tor chooses the HSDir, all of them
    /// must have its newest descriptor.
    fn is_found(&self, backend: usize, since: Moment, alarm: &mut Alarm) -> bool {
        let is_published = !self.probing.unpublished.contains(&backend);
        let backend = &self.backends[backend];
        let hsdirs =
            backend.spots.iter().flat_map(|spot| spot.hsdirs.iter().map(|hsdir| (spot.slot, *hsdir)));
        let (mut count, mut having) = (0, 0);
        let late = Duration::from_millis(self.now.0 - since.0);
        for (slot, (id, responsible)) in hsdirs {
            count += 1;
            let relay = self.relays.get(id);
            let kept = self.relays.kept(id, Key { owner: backend.address, slot }, self.now);
            having += usize::from(kept.is_some_and(|kept| {
                alarm.passed(kept.until);
                let had_since = if backend.sealed { kept.text.made } else { kept.same_since };
                let since = had_since.max(backend.since).max(responsible).max(relay.fit_since);
                relay.is_fit()
                    && Rc::ptr_eq(&kept.text.points, &backend.points)
                    && (!backend.sealed || kept.text.made == backend.published)
                    && alarm.passed(since.after(late))
            }));
        }
        let missing = if backend.sealed { 0 } else { 2 };
        backend.is_alive() && is_published && having > 0 && having + missing >= count
    }

    /// True if an HSDir could have had everything for so long that no excuse is left.
    pub(super) fn has_no_excuse(&self, relay: &Relay, since: Moment, alarm: &mut Alarm) -> bool {
        let forgot = relay.forgot_at.is_none_or(|at| alarm.passed(at.after(self.promises.renewed)));
        relay.is_fit() && alarm.passed(relay.fit_since.max(since).after(self.promises.posted)) && forgot
    }

    /// True if an HSDir holds, or held a moment ago, a higher revision than the balancer has published since,
    /// and the balancer waits until that is gone. A few HSDirs with a higher revision must not drive
    /// revisions up.
    pub(super) fn is_ahead(&self, key: Key, spot: &Spot, last: Option<&Kept<V>>, alarm: &mut Alarm) -> bool {
        if self.is_out_of_reach(key, last, alarm) {
            return true;
        }
        let given = self.balancer.given.get(&key).map_or(0, |(revision, _)| *revision);
        let ahead = |last: Option<&Kept<V>>, alarm: &mut Alarm| {
            let last = last.filter(|last| last.text.revision > given);
            last.is_some_and(|last| !alarm.passed(last.until.after(self.promises.posted)))
        };
        if !ahead(last, alarm) {
            return false;
        }
        let mut refusing = 0;
        for (id, _) in &spot.hsdirs {
            let relay = self.relays.get(*id);
            // An HSDir that became honest since the last renewal had acknowledged that: it gets nothing that
            // it could refuse.
            let sent = relay.is_fit() && alarm.passed(relay.fit_since.after(self.promises.renewed));
            refusing += usize::from(sent && ahead(self.relays.last(*id, key), alarm));
        }
        refusing * 2 < spot.hsdirs.len()
    }

    /// True if an HSDir holds, or held a moment ago, a revision that the signer does not exceed: it was
    /// signed before the signer's restart, by a clock that was further ahead than a revision may be, and the
    /// signer's counter has not come near enough since.
    fn is_out_of_reach(&self, key: Key, last: Option<&Kept<V>>, alarm: &mut Alarm) -> bool {
        let Some(last) = last.filter(|last| V::TELLS && last.text.made < self.balancer.signer_began) else {
            return false;
        };
        // When it comes within reach, replacing it takes some time.
        let since = Moment(alarm.now.0.saturating_sub(Moment::ZERO.after(self.promises.posted).0));
        let reach = self.balancer.reach_since(key.slot, self.scenario.calendar, since, self.clock_stepped);
        last.text.revision > reach && !alarm.passed(last.until.after(self.promises.posted))
    }

    /// Checks that every HSDir that could have each descriptor has it. Returns the lists of HSDirs without an
    /// excuse: each list once, with one of the HSDirs that have it.
    fn check_stored(&mut self, number: usize, alarm: &mut Alarm) -> Vec<(RelayId, Rc<[V]>)> {
        let mut missing = Vec::new();
        let mut listed: Vec<(RelayId, Rc<[V]>)> = Vec::new();
        for spot in &self.services[number].spots {
            let key = Key { owner: number, slot: spot.slot };
            let in_slot = self.relays.in_slot(key);
            for (id, since) in &spot.hsdirs {
                let last = in_slot.and_then(|in_slot| in_slot.last(*id));
                let kept = last.filter(|kept| kept.lasts(self.now));
                if let Some(kept) = kept {
                    alarm.passed(kept.until);
                    if listed.iter().any(|(_, known)| Rc::ptr_eq(known, &kept.text.points)) {
                        continue;
                    }
                }
                if !self.has_no_excuse(self.relays.get(*id), *since, alarm)
                    || self.is_ahead(key, spot, last, alarm)
                    || kept.is_none() && self.is_renewal_late(last, alarm)
                {
                    continue;
                }
                match kept {
                    Some(kept) => listed.push((*id, kept.text.points.clone())),
                    None => missing.push((spot.slot, *id)),
                }
            }
        }
        if let Some((slot, id)) = missing.first() {
            let of = self.services[number].id.0.clone();
            let relay = self.relays.get(*id);
            let (name, since) = (relay.fingerprint, relay.fit_since);
            let expected = format!("HSDir {name}, fit since {since}, should have the descriptor of {slot:?}");
            self.fail(Invariant::Stored, &of, expected);
        }
        listed
    }

    /// True if a renewal may still come, because it was promised for a time after HSDirs forget. This happens
    /// if the engine is behind, or has so much to do that a failed upload waits for an hour.
    fn is_renewal_late(&self, last: Option<&Kept<V>>, alarm: &mut Alarm) -> bool {
        let late = self.promises.renewed.saturating_sub(V::KEPT);
        last.is_some_and(|last| !alarm.passed(last.until.after(late)))
    }

    /// Checks that some time after a revision was given, every HSDir that could have it has it. In version 2
    /// clients take any revision of one hour.
    fn check_height(&mut self, number: usize, alarm: &mut Alarm) {
        let mut other = None;
        for spot in &self.services[number].spots {
            let key = Key { owner: number, slot: spot.slot };
            let Some((given, at)) = self.balancer.given.get(&key).copied() else { continue };
            if !V::TELLS || !alarm.passed(at.after(self.promises.posted)) {
                continue;
            }
            let in_slot = self.relays.in_slot(key);
            for (id, since) in &spot.hsdirs {
                let last = in_slot.and_then(|in_slot| in_slot.last(*id));
                let Some(kept) = last.filter(|kept| kept.lasts(self.now)) else { continue };
                if kept.text.revision != given
                    && self.has_no_excuse(self.relays.get(*id), *since, alarm)
                    && !self.is_ahead(key, spot, last, alarm)
                {
                    other = Some((*id, spot.slot, kept.text.revision, given));
                }
            }
        }
        if let Some((id, slot, revision, given)) = other {
            let of = self.services[number].id.0.clone();
            let name = self.relays.get(id).fingerprint;
            let expected =
                format!("HSDir {name} has {slot:?} with revision {revision}, and not with {given}");
            self.fail(Invariant::Height, &of, expected);
        }
    }

    /// Checks that the points which are listed where clients look belong to living backends.
    fn check_points(&mut self, number: usize, listed: &[(RelayId, Rc<[V]>)], alarm: &mut Alarm) {
        let service = &self.services[number];
        // While all backends are gone, the last set stays.
        let supplied = service.supplied.map(|since| since.after(self.promises.seen + self.promises.posted));
        if !supplied.is_some_and(|since| alarm.passed(since)) {
            return;
        }
        let listed = listed.iter().flat_map(|(id, points)| points.iter().map(|point| (*id, point.id())));
        for (hsdir, point) in listed {
            let fate = self.fates[point as usize];
            let own = fate.backend == usize::MAX || !self.services[number].backends.contains(&fate.backend);
            if own {
                let of = self.services[number].id.0.clone();
                let name = self.relays.get(hsdir).fingerprint;
                let expected = format!("HSDir {name} lists point {point}, which is of none of its backends");
                return self.fail(Invariant::Configured, &of, expected);
            }
            let Some(retired) = fate.retired else { continue };
            let backend = &self.backends[fate.backend];
            let rotated = backend.is_alive() && !backend.points.iter().any(|known| known.id() == point);
            let since = Moment(self.now.0.saturating_sub(Moment::ZERO.after(self.promises.seen).0));
            // By another clock a copy may have seemed younger than it is.
            let by_this_clock = retired.max(self.clock_stepped);
            if alarm.passed(by_this_clock.after(self.promises.buried))
                || rotated
                    && alarm.passed(retired.after(self.promises.seen))
                    && self.is_found(fate.backend, since, alarm)
            {
                let of = self.services[number].id.0.clone();
                let name = self.relays.get(hsdir).fingerprint;
                let backend = &self.backends[fate.backend].id;
                let expected = format!(
                    "HSDir {name} lists point {point} of {backend}, which has not worked since {retired}"
                );
                return self.fail(Invariant::Living, &of, expected);
            }
        }
    }

    /// Checks that every backend that has been found for long enough is listed, unless others have taken all
    /// of its places. Services with several sets and different weights are left out: a backend of low weight
    /// may be in one set only, and the HSDir of that set may be at fault.
    fn check_seen(&mut self, number: usize, listed: &[(RelayId, Rc<[V]>)], alarm: &mut Alarm) {
        let points = || listed.iter().flat_map(|(_, points)| points.iter());
        let since = Moment(self.now.0.saturating_sub(Moment::ZERO.after(self.promises.seen).0));
        let service = &self.services[number];
        if service.distinct && service.has_different_weights() {
            return;
        }
        let missing = service.serving().find(|backend| {
            !points().any(|point| self.fates[point.id() as usize].backend == **backend)
                && self.has_room(number, **backend, points().map(Point::relay))
                && self.is_surely_well(number, **backend, alarm)
                && self.is_found(**backend, since, alarm)
        });
        if let Some(missing) = missing.filter(|_| points().next().is_some()) {
            let (of, backend) = (service.id.0.clone(), self.backends[*missing].id.clone());
            self.fail(Invariant::Seen, &of, format!("{backend} lives, and none of its points is listed"));
        }
    }

    /// True if there is a place for a point of this backend beside all others that are, or could be, listed.
    fn has_room(&self, number: usize, backend: usize, listed: impl Iterator<Item = Fingerprint>) -> bool {
        let relays = |number: usize| self.backends[number].points.iter().map(Point::relay);
        let backends = &self.services[number].backends;
        let others = backends.iter().filter(|other| **other != backend).flat_map(|other| relays(*other));
        let others: Vec<Fingerprint> = others.chain(listed).collect();
        backends.len() <= V::MAX_POINTS && relays(backend).any(|relay| !others.contains(&relay))
    }
}
