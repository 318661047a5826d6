//! Faults: how often they come, and what each of them does. [`Mend`] ends them.

mod mend;

use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::Event;

pub use self::mend::Mend;
use super::backend::{Fate, State};
use super::balancer::SIGNER_AHEAD;
use super::network::cache::{Key, Text};
use super::network::id::RelayId;
use super::network::relay::{FAULTY, Manner};
use super::onion_version::{OnionVersion, PointId};
use super::time::Moment;
use super::world::{CALM, Happening, World};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
/// The number of descriptors that a signer signs within a minute.
const REQUESTS: u64 = 120;

impl<V: OnionVersion> World<V> {
    /// The time from which on no fault begins.
    pub fn calm_from(&self) -> Moment {
        let end = Moment::ZERO.after(24 * HOUR * u32::try_from(self.scenario.days).unwrap_or(u32::MAX));
        Moment(end.0.saturating_sub(Moment::ZERO.after(CALM).0))
    }

    /// Plans the next fault. With more services it comes sooner.
    pub fn plan_trouble(&mut self) {
        let often = 3 * HOUR / u32::try_from(crowds(self.services.len())).unwrap_or(u32::MAX);
        let at = self.now.after(self.dice.between(MINUTE, often));
        if at < self.calm_from() {
            self.queue.plan(at, Happening::Trouble);
        }
    }

    /// True if a fault of this kind does not come this time. Faults come as often as those of single services
    /// need it. The other kinds come as often as there are more backends, or as with few services if they
    /// concern everything: clients would be owed nothing for days. The HSDirs of one service are those of
    /// many others, too.
    fn is_too_often(&mut self, kind: u64) -> bool {
        let all = crowds(self.services.len());
        let wanted = match kind {
            0..=4 | 8 | 10..=12 | 15.. => 1,
            5..=7 => crowds(self.backends.len()),
            _ => all,
        };
        wanted < all && self.dice.index(all) >= wanted
    }

    /// Begins a fault.
    pub fn trouble(&mut self) {
        self.plan_trouble();
        let kind = self.dice.below(17);
        if self.is_too_often(kind) {
            return;
        }
        self.trace(|| format!("trouble {kind}"));
        match kind {
            0..=2 => self.relays_turn(),
            3 => self.relays_forget(),
            4 => self.hsdirs_of_a_service_turn(),
            5 | 6 => self.backend_fails(),
            7 => self.all_backends_of_a_service_fail(),
            8 => self.signer_leaves(),
            9 => self.signer_poisons(),
            10 => self.tor_ends(),
            11 => self.balancer_ends(),
            12 => self.clock_steps(),
            13 => self.operator_changes_something(),
            14 => self.stranger_publishes(),
            15 => self.machine_sleeps(),
            _ => self.network_suffers(),
        }
    }

    fn some_service(&mut self) -> usize {
        self.dice.index(self.services.len())
    }

    fn relay_turns(&mut self, relay: RelayId, manner: Manner) {
        let now = self.now;
        self.relays.get_mut(relay).turn(manner, now);
        self.trace(|| format!("{} is {manner:?} now", self.relays.get(relay).fingerprint));
        self.mend_after(10 * MINUTE, 6 * HOUR, Mend::Relay(relay));
        self.touch_all();
    }

    fn relays_turn(&mut self) {
        let count = 1 + self.dice.index((self.relays.running.len() / 20).max(1));
        let manner = FAULTY[self.dice.index(FAULTY.len())];
        for _ in 0..count {
            let relay = self.relays.running[self.dice.index(self.relays.running.len())];
            self.relay_turns(relay, manner);
        }
    }

    fn relays_forget(&mut self) {
        for _ in 0..=self.dice.index((self.relays.running.len() / 10).max(1)) {
            let relay = self.relays.running[self.dice.index(self.relays.running.len())];
            if self.dice.chance(500) {
                self.relays.lose_everything(relay, self.now);
            } else {
                self.relays.drop_oldest(relay, self.now);
            }
        }
        self.touch_all();
    }

    fn hsdirs_of_a_service_turn(&mut self) {
        let service = self.some_service();
        let manner = FAULTY[self.dice.index(FAULTY.len())];
        let hsdirs: Vec<RelayId> =
            self.services[service].spots.iter().flat_map(|spot| &spot.hsdirs).map(|(id, _)| *id).collect();
        for hsdir in hsdirs {
            if self.relays.get(hsdir).up && self.dice.chance(800) {
                self.relay_turns(hsdir, manner);
            }
        }
    }

    fn backend_fails(&mut self) {
        let backend = self.dice.index(self.backends.len());
        self.fail_backend(backend, 30 * HOUR);
    }

    fn fail_backend(&mut self, backend: usize, longest: Duration) {
        if self.backends[backend].is_alive() {
            let state = if self.dice.chance(500) { State::Dead } else { State::Frozen };
            self.strike_down(backend, state);
            self.mend_after(MINUTE, longest, Mend::Backend(backend));
        }
    }

    fn all_backends_of_a_service_fail(&mut self) {
        let service = self.some_service();
        for backend in self.services[service].backends.clone() {
            self.fail_backend(backend, 40 * HOUR);
        }
    }

    fn signer_leaves(&mut self) {
        self.balancer.restart_signer(self.now);
        self.balancer.signer_away = true;
        self.disturb();
        let longest = if self.dice.chance(200) { 5 * HOUR } else { 30 * MINUTE };
        self.mend_after(Duration::from_secs(1), longest, Mend::Signer);
    }

    fn signer_poisons(&mut self) {
        let service = self.some_service();
        self.services[service].poisoned = true;
        self.touch(service);
        self.mend_after(10 * MINUTE, 6 * HOUR, Mend::Poison(service));
    }

    /// Ends tor for a while.
    pub fn tor_ends(&mut self) {
        if self.balancer.tor_ready && self.balancer.asleep.is_none() {
            self.stop_tor();
            self.disturb();
            self.mend_after(Duration::from_secs(2), 30 * MINUTE, Mend::Tor);
        }
    }

    /// Plans that tor may end again shortly after its start, when it has just got many requests.
    fn tor_may_end_again(&mut self) {
        let at = self.now.after(self.dice.between(Duration::from_secs(5), 2 * MINUTE));
        if self.dice.chance(300) && at < self.calm_from() {
            self.queue.plan(at, Happening::TorEnds);
        }
    }

    /// Has tor read a consensus: it may lack the microdescriptors of some relays until it reads the next one,
    /// and has got those that it lacked.
    pub fn some_relays_are_missing(&mut self) {
        for relay in std::mem::take(&mut self.balancer.missing) {
            let relay = self.relays.get_mut(relay);
            (relay.is_missing, relay.fit_since) = (false, self.now);
        }
        if self.scenario.trouble && self.dice.chance(60) && self.now < self.calm_from() {
            let running = &self.relays.running;
            let some = (0..=running.len() / 20).map(|_| running[self.dice.index(running.len())]);
            self.balancer.missing = some.collect();
            for relay in &self.balancer.missing {
                self.relays.get_mut(*relay).is_missing = true;
            }
        }
        self.touch_all();
    }

    fn balancer_ends(&mut self) {
        if self.balancer.engine().is_some() && self.balancer.asleep.is_none() {
            self.stop_balancer();
            self.disturb();
            self.mend_after(Duration::from_secs(1), 30 * MINUTE, Mend::Balancer);
        }
    }

    fn machine_sleeps(&mut self) {
        let up =
            self.balancer.tor_ready && self.balancer.engine().is_some() && self.balancer.asleep.is_none();
        // While a clock was set back a short time ago, the length of that cannot be told.
        let right = self.balancer.clock_ahead == 0 && self.now.since(self.clock_stepped) > HOUR;
        if up && right {
            self.fall_asleep();
            self.disturb();
            let longest = self.mostly_short();
            self.mend_after(10 * MINUTE, longest, Mend::Machine);
        }
    }

    /// The longest time for which the balancer is kept from everything that it owes. Half of the times are
    /// short, so that the promises apply most of the time.
    fn mostly_short(&mut self) -> Duration {
        if self.dice.chance(500) { 12 * HOUR } else { 2 * HOUR }
    }

    fn clock_steps(&mut self) {
        if self.balancer.clock_ahead == 0 && self.balancer.asleep.is_none() {
            // HSDirs of version 2 keep the latest publication time: a descriptor that was signed in the
            // future stays for that long.
            let ahead = V::TELLS && self.dice.chance(500);
            self.balancer.set_clock(if ahead { 86_400 } else { -86_400 });
            self.clock_has_stepped();
            let longest = self.mostly_short();
            self.mend_after(10 * MINUTE, longest, Mend::Clock);
        }
    }

    /// Has the balancer notice a step of the clock within half a minute, if it matters.
    fn clock_has_stepped(&mut self) {
        self.disturb();
        self.clock_stepped = self.now;
        self.watch.excuse_everything(self.now);
        self.watch.prompt.force_looks();
        if V::BY_THE_CLOCK {
            self.watch.period_changed_back();
            self.show_network();
        }
    }

    fn operator_changes_something(&mut self) {
        let service = self.some_service();
        if self.services[service].configured.is_none() {
            return;
        }
        if self.services[service].backends.len() > 1 && self.dice.chance(700) {
            let which = self.dice.index(self.services[service].backends.len());
            let backend = self.services[service].backends.iter().nth(which).copied().unwrap_or_default();
            self.services[service].backends.remove(&backend);
            self.reconfigure(service, true);
            self.mend_after(10 * MINUTE, 12 * HOUR, Mend::Listed { backend, service });
        } else if self.services.len() > 1 {
            self.reconfigure(service, false);
            self.mend_after(10 * MINUTE, 12 * HOUR, Mend::Service(service));
        }
    }

    /// Changes or removes a service in the operator's configuration.
    pub fn reconfigure(&mut self, number: usize, configured: bool) {
        let service = &mut self.services[number];
        service.drains.retain(|backend, _| service.backends.contains(backend));
        self.service_changed(number, configured);
        self.tell(Event::Configuration(Box::new(self.configuration())));
        self.show_network();
    }

    /// Notes that the operator has changed or removed a service.
    pub fn service_changed(&mut self, number: usize, configured: bool) {
        self.services[number].configured = configured.then_some(self.now);
        self.service_disturbed(number, self.now);
        (self.services[number].supplied, self.services[number].last_supplied) = (None, None);
        self.count_users();
        // A machine that sleeps gets the configuration when it wakes up.
        if self.balancer.asleep.is_none() {
            self.forget_ended_drains();
            self.watch.reconfigured(self.now, number, configured, &self.users);
        }
    }

    /// Has a stranger publish descriptors of the service. The stranger has its key and a clock that is ahead;
    /// or it was in the balancer's place and had the signer, which has forgotten that, sign again and again
    /// with the highest revision that it gives.
    fn stranger_publishes(&mut self) {
        let number = self.some_service();
        let hostile = self.dice.chance(500);
        let (ahead, requests) = if V::TELLS && hostile {
            (SIGNER_AHEAD, 1 + self.dice.below(REQUESTS))
        } else if V::TELLS {
            (self.dice.below(SIGNER_AHEAD), 0)
        } else {
            (0, 0)
        };
        let consensus = self.authorities.newest();
        let relay = self.relays.get(self.relays.running[0]).fingerprint;
        let id = PointId::try_from(self.fates.len()).expect("fewer than 2^32 points");
        self.fates.push(Fate { backend: usize::MAX, retired: None });
        let points: Rc<[V]> = Rc::new([V::new(id, relay)]);
        let until = self.now.after(V::KEPT);
        let wall = self.now.wall();
        for (slot, hsdirs) in V::kept(&consensus, &mut self.addresses[number], wall).iter() {
            let slot = *slot;
            let revision = V::revision(slot, self.scenario.calendar, wall.plus(ahead)) + requests;
            let text = Rc::new(Text { revision, made: self.now, points: points.clone() });
            for hsdir in hsdirs {
                let key = Key { owner: number, slot };
                self.relays.store(*hsdir, key, &text, (self.now, until), V::supersedes, V::TELLS);
            }
        }
        self.services[number].overwritten = Some(self.now);
        // The balancer notices it at its next renewal.
        self.service_disturbed(number, self.now.after(self.timing.republish_to));
    }

    fn network_suffers(&mut self) {
        if self.dice.chance(500) {
            let longest = if self.dice.chance(200) { 20 * HOUR } else { 6 * HOUR };
            self.authorities.away_until =
                self.now.after(self.dice.between(HOUR, longest)).min(self.calm_from());
        } else {
            for _ in 0..self.relays.running.len() / 10 {
                self.relays.depart(&mut self.dice);
                self.relays.arrive(self.now, &mut self.dice);
            }
            self.touch_all();
        }
    }
}

/// The number of faults among so many services, or backends, that come in the place of one among few.
fn crowds(count: usize) -> usize {
    1 + count / 10
}

#[cfg(test)]
mod tests {
    use super::super::network::cache::KEPT_V3;
    use super::super::onion_version::V3;
    use super::super::scenario::{Scenario, Version};
    use super::*;

    /// The number of HSDirs that have had the time to store the descriptors of services, and the number of
    /// these that have one for which `is_wanted` is true.
    fn count(world: &World<V3>, is_wanted: impl Fn(Key, &Text<V3>) -> bool) -> (usize, usize) {
        let (mut all, mut wanted) = (0, 0);
        for (owner, service) in world.services.iter().enumerate() {
            for spot in &service.spots {
                let key = Key { owner, slot: spot.slot };
                for (id, since) in &spot.hsdirs {
                    if world.relays.get(*id).is_fit() && since.after(world.promises.posted) <= world.now {
                        let kept = world.relays.kept(*id, key, world.now);
                        all += 1;
                        wanted += usize::from(kept.is_some_and(|kept| is_wanted(key, &kept.text)));
                    }
                }
            }
        }
        (all, wanted)
    }

    /// A restarted signer with a correct clock signs nothing higher than it signed while its clock was a day
    /// ahead. HSDirs refuse that, and serve what they have for three hours; with the next retry they have the
    /// new descriptor.
    #[test]
    fn what_was_signed_by_a_clock_that_was_ahead_is_waited_out() {
        let calm = Scenario { days: 1, trouble: false, ..Scenario::crowd(Version::V3) };
        let mut world = World::<V3>::new(calm, None);
        world.pass(3 * HOUR);
        world.balancer.set_clock(86_400);
        world.clock_has_stepped();
        world.pass(3 * HOUR);
        world.balancer.set_clock(0);
        world.clock_has_stepped();
        world.pass(HOUR);
        let (all, ahead) = count(&world, |key, text| {
            text.revision > world.balancer.reach(key.slot, world.scenario.calendar, world.now)
        });
        assert!(all > 400 && ahead * 20 > all * 19, "{ahead} of {all}");

        let restart = world.now;
        world.balancer.restart_signer(restart);
        world.disturb();
        world.pass(KEPT_V3 + world.promises.posted + MINUTE);
        assert!(world.failure.is_none(), "{}", world.failure.unwrap());
        let (all, new) = count(&world, |key, text| {
            text.made > restart
                && text.revision <= world.balancer.reach(key.slot, world.scenario.calendar, world.now) + 1
        });
        assert_eq!(new, all);
    }
}
