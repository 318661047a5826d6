//! The operator's drains by command. They have dice of their own, and come in some simulations only.

use std::collections::BTreeMap;
use std::time::Duration;

use onionbalance::engine::{BackendId, Drain, Drains, Event, Notice, ServiceId};
use onionbalance_proto::time::UnixTime;

use super::balancer::number_of;
use super::dice::Dice;
use super::invariants::Invariant;
use super::onion_version::OnionVersion;
use super::time::Moment;
use super::world::{Happening, World};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
/// The simulations with drains, out of 1000.
const DRAINING: u64 = 400;
/// The commands that drain a backend, out of 1000; the others enable one.
const DRAIN: u64 = 600;
/// The drains with an end, out of 1000.
const TIMED: u64 = 600;
/// The drains that may take the last backend (`--force`), out of 1000.
const FORCED: u64 = 100;
/// The time after which the end of a drain is late: the engine looks at the clock every minute.
const LATE: Duration = Duration::from_mins(2);

/// The dice for a seed.
pub fn dice(seed: u64) -> Dice {
    Dice(seed ^ 0x4452_4149_4E49_4E47)
}

impl<V: OnionVersion> World<V> {
    /// Plans the first command, in some simulations.
    pub fn plan_drains(&mut self) {
        if self.draining.chance(DRAINING) {
            self.plan_command();
        }
    }

    fn plan_command(&mut self) {
        let at = self.now.after(self.draining.between(10 * MINUTE, 6 * HOUR));
        if at < self.calm_from() {
            self.queue.plan(at, Happening::Command);
        }
    }

    /// The operator drains a backend of a service, or enables one. Nobody answers while the balancer is down
    /// or the machine asleep.
    pub fn command(&mut self) {
        self.plan_command();
        let number = self.draining.index(self.services.len());
        let service = &self.services[number];
        if self.balancer.engine.is_none() || self.balancer.asleep.is_some() || service.configured.is_none() {
            return;
        }
        let mut drains = service.drains.clone();
        if self.draining.chance(DRAIN) {
            let is_forced = self.draining.chance(FORCED);
            let serving: Vec<usize> = service.serving().copied().collect();
            let may_be_drained = if is_forced { serving.len() } else { serving.len().saturating_sub(1) };
            let Some(backend) = serving.get(self.draining.index(serving.len().max(1))) else { return };
            if may_be_drained == 0 {
                return;
            }
            let seconds = self.draining.between(MINUTE, 8 * HOUR).as_secs();
            // In the calm at the end nothing changes any more.
            let ends = self.now.after(Duration::from_secs(seconds)) < self.calm_from();
            let is_timed = self.draining.chance(TIMED) && ends;
            let until = is_timed.then(|| self.balancer.wall(self.now).plus(seconds));
            drains.insert(*backend, Drain { until });
        } else if drains.pop_first().is_none() {
            return;
        }
        self.trace(|| format!("drains of service {number}: {drains:?}"));
        self.services[number].drains = drains;
        self.drains_changed(number);
        let (service, drains) = (self.services[number].id.clone(), self.drains(number));
        self.tell(Event::Drains { service, drains });
    }

    /// The drains of a service, as the state file has them.
    pub fn drains(&self, number: usize) -> Drains {
        let named = |(backend, drain): (&usize, &Drain)| (self.backends[*backend].id.clone(), *drain);
        self.services[number].drains.iter().map(named).collect()
    }

    /// Forgets drains that have ended while the balancer was down, or did not have their services: it does so
    /// itself at its start and at a reload.
    pub fn forget_ended_drains(&mut self) {
        let wall = self.balancer.wall(self.now);
        for service in &mut self.services {
            service.drains.retain(|_, drain| !has_ended(*drain, wall));
        }
    }

    fn drains_changed(&mut self, number: usize) {
        self.service_changed(number, true);
        self.plan_prompt_look(number);
    }

    /// Checks a notice of the end of a drain: it has to have an end, which has come.
    pub fn check_drain_end(&mut self, notice: &Notice) {
        let Notice::DrainEnded { service, backend } = notice else { return };
        let (number, backend) = (number_of(&service.0), number_of(&backend.0));
        let wall = self.balancer.wall(self.now);
        // The operator may have ended it in the minute in which the engine had not looked at the clock yet.
        let Some(drain) = self.services[number].drains.remove(&backend) else { return };
        if has_ended(drain, wall) {
            self.drains_changed(number);
        } else {
            let expected = format!("the drain of b{backend:04} goes on: {drain:?}, and it is {wall:?}");
            self.fail(Invariant::Drains, &service.0, expected);
        }
    }

    /// Checks that the engine drains what the operator has drained, and nothing else, and that no drain lasts
    /// longer than it was to.
    pub fn check_drains(&mut self) {
        let now = self.balancer.now(self.now);
        let Some(engine) = self.balancer.engine().filter(|_| self.balancer.asleep.is_none()) else {
            self.late_drains.clear();
            return;
        };
        let status = engine.status(now);
        let is = |backend: &BackendId, drain| (number_of(&backend.0), drain);
        for service in &status {
            let drains: BTreeMap<usize, Drain> =
                service.backends.iter().filter_map(|of| Some(is(&of.backend, of.drain?))).collect();
            let ordered = &mut self.services[number_of(&service.service.0)].drains;
            // One that has ended before its service was configured again does not begin.
            ordered.retain(|backend, drain| drains.contains_key(backend) || !has_ended(*drain, now.wall));
            if drains != *ordered {
                let expected = format!("drains are {ordered:?}, and not {drains:?}");
                return self.fail(Invariant::Drains, &service.service.0, expected);
            }
        }
        let is_over = |(_, drain): &(&usize, &Drain)| has_ended(**drain, now.wall);
        let over = self.services.iter().enumerate().filter(|(_, service)| service.configured.is_some());
        let over: Vec<(usize, usize)> = over
            .flat_map(|(number, service)| {
                service.drains.iter().filter(is_over).map(move |(backend, _)| (number, *backend))
            })
            .collect();
        self.late_drains.retain(|drain, _| over.contains(drain));
        for drain in over {
            let since = *self.late_drains.entry(drain).or_insert(self.now);
            if self.now.since(since) > LATE {
                let of: ServiceId = self.services[drain.0].id.clone();
                return self.fail(
                    Invariant::Drains,
                    &of.0,
                    format!("the drain of b{:04} has ended", drain.1),
                );
            }
        }
    }
}

/// True if a drain has ended by this reading of the balancer's clock.
fn has_ended(drain: Drain, wall: UnixTime) -> bool {
    drain.until.is_some_and(|until| until <= wall)
}

/// The drains that should have ended, each with the time since which that is known.
pub type LateDrains = BTreeMap<(usize, usize), Moment>;
