//! The limits of the balancer's tor: it takes one command after the other, and builds 32 circuits for its
//! client. Further requests queue inside it, in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::dice::Dice;
use super::time::Moment;

/// The load of tor.
pub struct Tor {
    /// The time at which it has taken the last of all commands.
    free_from: Moment,
    /// The ends of its circuits, the earliest first; no more than [`CIRCUITS`].
    circuits: BinaryHeap<Reverse<Moment>>,
    /// The times until which the engine has to count each request: to its end, or until the engine may have
    /// given it up.
    outstanding: BinaryHeap<Reverse<Moment>>,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    /// The time at which it ends.
    pub ends: Moment,
    /// True if it fails, and tor does not report it.
    pub is_lost: bool,
}

impl Fate {
    /// The time at which tor reports the end; `None` if it does not.
    pub fn told_at(self) -> Option<Moment> {
        (!self.is_lost).then_some(self.ends)
    }
}

/// The most client circuits that are pending (`MaxClientCircuitsPending`).
const CIRCUITS: usize = 32;
/// The time that tor needs to take a request: 300 took 11.5 s.
const TAKING: Duration = Duration::from_millis(38);
/// The time for which the engine counts a request that is not answered.
const COUNTED: Duration = Duration::from_mins(1);
/// The circuits of a probe: to an introduction point, and to the rendezvous.
const CIRCUITS_OF_PROBE: usize = 2;
/// The time for which the engine counts the circuits of a probe that has no result.
const COUNTED_FOR_PROBE: Duration = Duration::from_secs(10);
/// The time that most requests take from their circuit's beginning to their end.
const USUAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));
/// The time of requests whose first circuit fails, or whose HSDir is slow.
const SLOW: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(15));
/// The time of requests that tor retries until its own time-out.
const SLOWEST: (Duration, Duration) = (Duration::from_secs(15), Duration::from_mins(2));
/// The slow requests, out of 1000.
const SLOW_ONES: u64 = 50;
/// The slowest requests, out of 1000.
const SLOWEST_ONES: u64 = 10;
/// The requests that fail without a report, out of 1000.
pub const SILENCE: u64 = 10;

/// A tor without requests.
impl Default for Tor {
    fn default() -> Self {
        Self { free_from: Moment::ZERO, circuits: BinaryHeap::new(), outstanding: BinaryHeap::new() }
    }
}

impl Tor {
    /// Asks tor for something at an HSDir, which `is_reached` by circuits or not.
    pub fn ask(&mut self, now: Moment, is_reached: bool, dice: &mut Dice) -> Fate {
        self.free_from = self.free_from.max(now).after(TAKING);
        let free = if self.circuits.len() < CIRCUITS { None } else { self.circuits.pop() };
        let begins = free.map_or(self.free_from, |Reverse(free)| free.max(self.free_from));
        let is_lost = !is_reached || dice.chance(SILENCE);
        let (least, most) = match dice.below(1000) {
            _ if is_lost => SLOWEST,
            ..SLOWEST_ONES => SLOWEST,
            chance if chance < SLOWEST_ONES + SLOW_ONES => SLOW,
            _ => USUAL,
        };
        let ends = begins.after(dice.between(least, most));
        self.circuits.push(Reverse(ends));
        self.outstanding.push(Reverse(ends.min(now.after(COUNTED))));
        Fate { ends, is_lost }
    }

    /// Builds the two circuits of a probe, one beside the other, which is given up at `until`. Returns the
    /// time at which both are built.
    pub fn build_for_probe(&mut self, now: Moment, until: Moment, dice: &mut Dice) -> Moment {
        let mut built = now;
        for _ in 0..CIRCUITS_OF_PROBE {
            let free = if self.circuits.len() < CIRCUITS { None } else { self.circuits.pop() };
            let begins = free.map_or(now, |Reverse(free)| free.max(now));
            let ends = begins.after(dice.between(USUAL.0, USUAL.1));
            self.circuits.push(Reverse(ends));
            self.outstanding.push(Reverse(ends.min(until).min(now.after(COUNTED_FOR_PROBE))));
            built = built.max(ends);
        }
        built
    }

    /// The least number of requests that the engine has to count.
    pub fn outstanding(&mut self, now: Moment) -> usize {
        while self.outstanding.peek().is_some_and(|Reverse(until)| *until <= now) {
            self.outstanding.pop();
        }
        self.outstanding.len()
    }

    /// Forgets the requests of an earlier engine.
    pub fn meet_another_engine(&mut self) {
        self.outstanding.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hundreds_at_once_are_late_and_few_at_a_time_are_not() {
        let mut dice = Dice(1);
        let late = |fates: &[(Moment, Fate)]| {
            let late = |(asked, fate): &&(Moment, Fate)| fate.ends.since(*asked) > Duration::from_secs(15);
            fates.iter().filter(late).count()
        };
        let mut tor = Tor::default();
        let at_once: Vec<_> =
            (0..300).map(|_| (Moment::ZERO, tor.ask(Moment::ZERO, true, &mut dice))).collect();
        assert!((100..200).contains(&late(&at_once)), "{}", late(&at_once));
        assert_eq!(tor.outstanding(Moment::ZERO), 300);
        assert_eq!(tor.outstanding(Moment::ZERO.after(COUNTED)), 0);
        let mut tor = Tor::default();
        let spread: Vec<_> = (0..300)
            .map(|number| Moment(number * 200))
            .map(|now| (now, tor.ask(now, true, &mut dice)))
            .collect();
        assert!(late(&spread) < 15, "{}", late(&spread));
    }
}
