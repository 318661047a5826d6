//! What the balancer's tor can do at a time: it takes one command after the other and builds 32 circuits for its client; what it is
//! asked beyond that queues inside it, in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::dice::Dice;
use super::time::Moment;

/// What tor is busy with.
pub struct Tor {
    /// When it has taken the last of all commands.
    free_from: Moment,
    /// When each of its circuits is done, the earliest first: it has no more than [`CIRCUITS`].
    circuits: BinaryHeap<Reverse<Moment>>,
    /// Until when the engine has to count each request: to its end, or until it may have given up waiting for that.
    outstanding: BinaryHeap<Reverse<Moment>>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    /// When it ends.
    pub ends: Moment,
    /// Whether it fails, and tor does not tell.
    pub is_lost: bool,
}

impl Fate {
    /// When tor tells the end; `None` if it does not.
    pub fn told_at(self) -> Option<Moment> {
        (!self.is_lost).then_some(self.ends)
    }
}

/// `MaxClientCircuitsPending`.
const CIRCUITS: usize = 32;
/// How long tor takes to take a request: 300 took 11.5 s.
const TAKING: Duration = Duration::from_millis(38);
/// For how long the engine counts a request that is not answered.
const COUNTED: Duration = Duration::from_mins(1);
/// How long most requests take from their circuit's beginning to their end.
const USUAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));
/// How long those take whose first circuit fails, or whose HSDir is slow.
const SLOW: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(15));
/// How long those take that tor tries again and again, until its own time-out.
const SLOWEST: (Duration, Duration) = (Duration::from_secs(15), Duration::from_mins(2));
/// Of 1000 requests so many are slow.
const SLOW_ONES: u64 = 50;
/// Of 1000 requests so many are the slowest.
const SLOWEST_ONES: u64 = 10;
/// Of 1000 requests so many come to nothing, and tor does not tell.
pub const SILENCE: u64 = 10;

/// A tor that was asked for nothing yet.
impl Default for Tor {
    fn default() -> Self {
        Self { free_from: Moment::ZERO, circuits: BinaryHeap::new(), outstanding: BinaryHeap::new() }
    }
}

impl Tor {
    /// Asks tor for something at an HSDir, which may not be reached at all.
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

    /// How many requests the engine has to count at least.
    pub fn outstanding(&mut self, now: Moment) -> usize {
        while self.outstanding.peek().is_some_and(|Reverse(until)| *until <= now) {
            self.outstanding.pop();
        }
        self.outstanding.len()
    }

    /// Another engine begins, which knows nothing of what tor was asked for before.
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
