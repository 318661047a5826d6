//! What has to be so of every service at every minute.
//!
//! A service is looked at when something has happened to it, and when time alone may have broken a promise: looking at it
//! at every other minute would show the same again.

use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::{DescriptorSlot, Point};
use onionbalance::relay::Fingerprint;

use super::super::generation::{Generation, Places};
use super::super::network::consensus::Consensus;
use super::super::network::relay::{Key, Relay, RelayId};
use super::super::service::Spot;
use super::super::time::Moment;
use super::super::world::World;
use super::Invariant;

/// Tells what has passed, and when the next of the moments comes that it was asked about.
struct Alarm {
    now: Moment,
    next: Moment,
}

impl Alarm {
    fn passed(&mut self, moment: Moment) -> bool {
        if moment > self.now {
            self.next = self.next.min(moment);
        }
        moment <= self.now
    }
}

impl<G: Generation> World<G> {
    /// Something keeps the balancer from its work, or has just ceased to.
    pub fn disturb(&mut self) {
        self.undisturbed = self.now;
        self.touch_all();
    }

    /// Something has happened to a service after which it need not be published before that is over, and some time more.
    pub fn service_disturbed(&mut self, number: usize, until: Moment) {
        let service = &mut self.services[number];
        service.undisturbed = service.undisturbed.max(until);
        (service.supplied, service.last_supplied, service.steady_at) = (None, None, None);
        service.touched = true;
    }

    /// A balancer that begins anew knows no last set.
    pub fn balancer_was_away(&mut self) {
        for service in &mut self.services {
            (service.supplied, service.last_supplied) = (None, None);
        }
    }

    /// Whether something keeps the balancer from its work now.
    fn is_disturbed(&self) -> bool {
        let Some((consensus, _)) = &self.balancer.read else { return true };
        let stale = self.now.since(consensus.valid_until()) > Duration::from_hours(24);
        !self.can_see() || self.balancer.signer_away || stale
    }

    /// Whether the balancer can tell which backends live.
    fn can_see(&self) -> bool {
        self.balancer.read.is_some() && self.balancer.tor_ready && self.balancer.clock_ahead == 0
    }

    /// Looks at every service that it is time to look at.
    pub fn look_at_everything(&mut self) {
        for number in 0..self.services.len() {
            let service = &self.services[number];
            if service.configured.is_some() && (service.touched || service.look_at <= self.now) {
                self.services[number].touched = false;
                let mut alarm = Alarm { now: self.now, next: Moment::NEVER };
                self.look_at(number, &mut alarm);
                self.services[number].look_at = alarm.next;
            }
        }
    }

    fn look_at(&mut self, number: usize, alarm: &mut Alarm) {
        let supplied = self.is_supplied(number, alarm);
        let service = &self.services[number];
        let undisturbed = service.undisturbed.max(self.undisturbed).after(self.promises.posted);
        let free = !self.is_disturbed() && !service.poisoned && alarm.passed(undisturbed);
        let steady = free && supplied;
        if steady {
            self.services[number].steady_at = Some(self.now);
            // A last set may be dropped some time after its backends have been taken for dead.
            self.check_stored(number, alarm);
            let listed = self.listed(number, alarm);
            self.check_points(number, &listed, alarm);
            self.check_seen(number, &listed, alarm);
        }
        self.check_found(number, steady, alarm);
    }

    /// Whether a backend has been found for long enough, or was before all of them went.
    fn is_supplied(&mut self, number: usize, alarm: &mut Alarm) -> bool {
        let backends = self.services[number].backends.clone();
        let now = self.now;
        let found = |backend: &usize| self.is_found(*backend, now, &mut Alarm { now, next: now });
        let supplied = self.can_see() && backends.iter().any(found);
        let service = &mut self.services[number];
        service.supplied = if supplied { service.supplied.or(Some(now)) } else { None };
        let since = service.supplied.map(|since| since.after(self.promises.seen));
        if since.is_some_and(|since| alarm.passed(since)) {
            service.last_supplied = Some(now);
            alarm.passed(now.after(Duration::from_mins(10)));
            return true;
        }
        let Some(last) = service.last_supplied else { return false };
        !alarm.passed(last.after(self.promises.last_set))
    }

    /// Whether all HSDirs but two, where the balancer looks for a backend, have had its present introduction points since
    /// `since`, and it still works.
    fn is_found(&self, backend: usize, since: Moment, alarm: &mut Alarm) -> bool {
        let backend = &self.backends[backend];
        let hsdirs =
            backend.spots.iter().flat_map(|spot| spot.hsdirs.iter().map(|hsdir| (spot.slot, *hsdir)));
        let (mut count, mut having) = (0, 0);
        let late = Duration::from_millis(self.now.0 - since.0);
        for (slot, (id, responsible)) in hsdirs {
            count += 1;
            let relay = self.relays.get(id);
            let kept = relay.kept(Key { owner: backend.address, slot }, self.now);
            having += usize::from(kept.is_some_and(|kept| {
                let same = kept.text.points.iter().map(Point::id);
                relay.is_fit()
                    && same.eq(backend.points.iter().map(Point::id))
                    && alarm.passed(
                        kept.same_since.max(backend.since).max(responsible).max(relay.fit_since).after(late),
                    )
            }));
        }
        backend.is_alive() && having > 0 && having + 2 >= count
    }

    /// Whether an HSDir could have had everything for so long that there is no excuse left.
    fn has_no_excuse(&self, relay: &Relay<G>, since: Moment, alarm: &mut Alarm) -> bool {
        let forgot = relay.forgot_at.is_none_or(|at| alarm.passed(at.after(self.promises.renewed)));
        relay.is_fit() && alarm.passed(relay.fit_since.max(since).after(self.promises.posted)) && forgot
    }

    /// Whether an HSDir holds a higher revision than the balancer has published since, or did until just now, and it is one
    /// of few: then the balancer waits until that is gone, rather than letting a single HSDir drive revisions up.
    fn is_ahead(&self, Key { owner, slot }: Key, id: RelayId, alarm: &mut Alarm) -> bool {
        let given = self.balancer.given.get(&(owner, slot)).copied().unwrap_or(0);
        let key = Key { owner, slot };
        let mut ahead = |id: RelayId| {
            let last = self.relays.get(id).last(key).filter(|last| last.text.revision > given);
            last.is_some_and(|last| !alarm.passed(last.until.after(self.promises.posted)))
        };
        if !ahead(id) {
            return false;
        }
        let Some(spot) = self.services[owner].spots.iter().find(|spot| spot.slot == slot) else {
            return true;
        };
        let fit = spot.hsdirs.iter().filter(|(id, _)| self.relays.get(*id).is_fit());
        fit.filter(|(id, _)| ahead(*id)).count() * 2 < spot.hsdirs.len()
    }

    /// Every HSDir that could have each descriptor has it.
    fn check_stored(&mut self, number: usize, alarm: &mut Alarm) {
        let mut missing = Vec::new();
        for Spot { slot, hsdirs } in &self.services[number].spots {
            let key = Key { owner: number, slot: *slot };
            for (id, since) in hsdirs {
                let relay = self.relays.get(*id);
                match relay.kept(key, self.now) {
                    Some(kept) => _ = alarm.passed(kept.until),
                    None if self.is_ahead(key, *id, alarm) => {}
                    None if self.has_no_excuse(relay, *since, alarm) => missing.push((*slot, *id)),
                    None => {}
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
    }

    /// The points that are listed where clients look are those of backends that live.
    fn check_points(&mut self, number: usize, listed: &[(RelayId, Rc<[G]>)], alarm: &mut Alarm) {
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
            if alarm.passed(retired.after(self.promises.buried))
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

    /// What HSDirs list that have no excuse: each list once, and one of those that have it.
    fn listed(&self, number: usize, alarm: &mut Alarm) -> Vec<(RelayId, Rc<[G]>)> {
        let mut listed: Vec<(RelayId, Rc<[G]>)> = Vec::new();
        for Spot { slot, hsdirs } in &self.services[number].spots {
            for (id, since) in hsdirs {
                let relay = self.relays.get(*id);
                let key = Key { owner: number, slot: *slot };
                let Some(kept) = relay.kept(key, self.now) else { continue };
                let points = &kept.text.points;
                if !listed.iter().any(|(_, known)| Rc::ptr_eq(known, points))
                    && self.has_no_excuse(relay, *since, alarm)
                    && !self.is_ahead(key, *id, alarm)
                {
                    listed.push((*id, points.clone()));
                }
            }
        }
        listed
    }

    /// Every backend that has been found for long enough is listed, unless others have taken all of its places.
    fn check_seen(&mut self, number: usize, listed: &[(RelayId, Rc<[G]>)], alarm: &mut Alarm) {
        let points = || listed.iter().flat_map(|(_, points)| points.iter());
        let since = Moment(self.now.0.saturating_sub(Moment::ZERO.after(self.promises.seen).0));
        let service = &self.services[number];
        let missing = service.backends.iter().find(|backend| {
            !points().any(|point| self.fates[point.id() as usize].backend == **backend)
                && self.has_room(number, **backend, points().map(Point::relay))
                && self.is_found(**backend, since, alarm)
        });
        if let Some(missing) = missing.filter(|_| points().next().is_some()) {
            let (of, backend) = (service.id.0.clone(), self.backends[*missing].id.clone());
            self.fail(Invariant::Seen, &of, format!("{backend} lives, and none of its points is listed"));
        }
    }

    /// Whether there is a place for a point of this backend beside all others that are, or could be, listed.
    fn has_room(&self, number: usize, backend: usize, listed: impl Iterator<Item = Fingerprint>) -> bool {
        let relays = |number: usize| self.backends[number].points.iter().map(Point::relay);
        let backends = &self.services[number].backends;
        let others = backends.iter().filter(|other| **other != backend).flat_map(|other| relays(*other));
        let others: Vec<Fingerprint> = others.chain(listed).collect();
        backends.len() <= G::MAX_POINTS && relays(backend).any(|relay| !others.contains(&relay))
    }

    /// Clients with any live consensus find a descriptor, as long as one HSDir is left to find it at.
    fn check_found(&mut self, number: usize, steady: bool, alarm: &mut Alarm) {
        let service = &self.services[number];
        let owed_until = service.steady_at.map(|at| at.after(self.promises.absence));
        let owed = steady || owed_until.is_some_and(|until| !alarm.passed(until));
        let owed = owed && (!G::BY_THE_CLOCK || self.balancer.clock_ahead == 0);
        for consensus in self.authorities.live(self.now) {
            alarm.passed(consensus.valid_until());
            let sought = self.sought(number, &consensus);
            let (asked, serving) = self.ask(number, &sought, alarm);
            self.report.asked += asked;
            self.report.served += serving;
            if !owed || !self.is_owed(number, &sought, alarm) {
                self.report.excused += 1;
                continue;
            }
            self.report.owed += 1;
            if serving == 0 {
                let of = self.services[number].id.0.clone();
                let slots: Vec<DescriptorSlot> = sought.iter().map(|(slot, _)| *slot).collect();
                let from = consensus.valid_after;
                let expected = format!("clients with the consensus of {from} find {slots:?} at no HSDir");
                return self.fail(Invariant::Found, &of, expected);
            }
        }
    }

    /// Where clients with this consensus look for a service.
    fn sought(&mut self, number: usize, consensus: &Consensus) -> Rc<Places<RelayId>> {
        let (address, wall) = (&mut self.addresses[number], self.now.wall());
        let slots = G::looked_for(consensus, address, wall);
        let known = &mut self.services[number].sought;
        let same = |(number, places): &&(usize, Rc<Places<RelayId>>)| {
            *number == consensus.number && places.iter().map(|(slot, _)| *slot).eq(slots.iter().copied())
        };
        if let Some((_, places)) = known.iter().find(same) {
            return places.clone();
        }
        let places = Rc::new(G::sought(consensus, address, wall));
        // More than there are live consensuses.
        known.truncate(3);
        known.insert(0, (consensus.number, places.clone()));
        places
    }

    /// How many HSDirs a client would ask, and how many would have the service's descriptor.
    fn ask(&self, number: usize, sought: &Places<RelayId>, alarm: &mut Alarm) -> (u64, u64) {
        let (mut asked, mut serving) = (0, 0);
        for (slot, hsdirs) in sought {
            let key = Key { owner: number, slot: *slot };
            for id in hsdirs {
                asked += 1;
                if let Some(kept) = self.relays.get(*id).serves(key, self.now) {
                    alarm.passed(kept.until);
                    serving += 1;
                }
            }
        }
        (asked, serving)
    }

    /// Whether one of the HSDirs where clients look has no excuse not to have it.
    fn is_owed(&self, number: usize, sought: &Places<RelayId>, alarm: &mut Alarm) -> bool {
        let service = &self.services[number];
        let mut owed = false;
        for (slot, asked) in sought {
            let Some(spot) = service.spots.iter().find(|spot| spot.slot == *slot) else {
                // By a consensus of another day, or before the balancer has seen any.
                continue;
            };
            for (id, since) in &spot.hsdirs {
                let relay = self.relays.get(*id);
                let key = Key { owner: number, slot: *slot };
                owed |= asked.contains(id)
                    && self.has_no_excuse(relay, *since, alarm)
                    && !self.is_ahead(key, *id, alarm);
            }
        }
        owed
    }
}
