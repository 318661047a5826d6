//! How high a descriptor's revision has to be for its HSDirs to take it.
//!
//! An HSDir stores only what has a strictly greater revision counter than what it holds. The signer makes
//! counters as tor does; another publisher of the same service with another clock or another scheme may have
//! left a higher one.

use onionbalance_proto::v3::revision::END;

/// What is known, or guessed, about the revisions that the HSDirs of one descriptor hold.
#[derive(Default)]
pub(super) struct Floor {
    seen: Option<u64>,
    guess: Option<Guess>,
}

/// A floor that nobody saw.
#[derive(Clone, Copy)]
struct Guess {
    /// Our own revision that was refused first.
    base: u64,
    /// How far above it the guess is.
    step: u64,
}

impl Floor {
    /// The revision that the next publication has to exceed.
    pub(super) fn value(&self) -> Option<u64> {
        self.seen.max(self.guess.map(|guess| guess.base.saturating_add(guess.step).min(GUESS_MAX)))
    }

    /// Whether it is no wonder that a publication of this `revision` was refused.
    pub(super) fn covers(&self, revision: u64) -> bool {
        self.value().is_some_and(|floor| floor >= revision)
    }

    /// A descriptor of this revision lies on an HSDir.
    pub(super) fn see(&mut self, revision: u64) {
        self.seen = self.seen.max(Some(revision));
    }

    /// Guesses higher because `refused` was too low and nothing better is known; says whether it could.
    pub(super) fn raise(&mut self, refused: u64) -> bool {
        let next = match self.guess {
            None => Guess { base: refused, step: FIRST_STEP },
            Some(Guess { step: LAST_STEP.., .. }) => return false,
            Some(guess) => Guess { step: (guess.step * 2).min(LAST_STEP), ..guess },
        };
        self.guess = Some(next);
        true
    }

    /// Every HSDir took what was published: a later refusal starts a new row of guesses above what was taken.
    pub(super) fn accepted(&mut self) {
        self.seen = self.value();
        self.guess = None;
    }
}

/// Tor's counters grow by about this much per second (the order-preserving encryption of rend-spec-v3,
/// appendix F).
const PER_SECOND: u64 = 32768;
const FIRST_STEP: u64 = 600 * PER_SECOND;
/// The most that two publishers on tor's scheme can be apart within the life of a descriptor.
const LAST_STEP: u64 = 2 * 86400 * PER_SECOND;
/// With each try the signer counts on from the guess. One that is started anew has to be told what was reached, and takes no
/// floor from [`END`] on: this leaves room for four tries a second in the three days that a descriptor is published.
const GUESS_MAX: u64 = END - (1 << 20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_double_and_end_at_two_days() {
        let mut floor = Floor::default();
        assert!(!floor.covers(0));
        let mut values = Vec::new();
        while floor.raise(1000 + values.len() as u64) {
            values.push((floor.value().unwrap() - 1000) / PER_SECOND);
        }
        assert_eq!(values, [600, 1200, 2400, 4800, 9600, 19200, 38400, 76800, 153_600, 172_800]);
    }

    #[test]
    fn what_was_seen_stands() {
        let mut floor = Floor::default();
        floor.see(10_000_000_000);
        floor.see(5);
        assert!(floor.raise(7));
        assert_eq!(floor.value(), Some(10_000_000_000));
        assert!(floor.covers(10_000_000_000));
        assert!(!floor.covers(10_000_000_001));
    }

    #[test]
    fn guessing_starts_anew_after_success() {
        let mut floor = Floor::default();
        floor.raise(1000);
        floor.raise(1000);
        let reached = floor.value();
        floor.accepted();
        assert_eq!(floor.value(), reached);
        floor.raise(50_000_000);
        assert_eq!(floor.value(), Some(50_000_000 + FIRST_STEP));
    }

    #[test]
    fn guesses_leave_room_to_count_on() {
        let mut floor = Floor::default();
        floor.raise(END - LAST_STEP);
        while floor.raise(0) {}
        assert_eq!(floor.value(), Some(GUESS_MAX));
        floor.accepted();
        floor.raise(GUESS_MAX + 95);
        assert_eq!(floor.value(), Some(GUESS_MAX));
        floor.see(GUESS_MAX + 95);
        assert_eq!(floor.value(), Some(GUESS_MAX + 95));
    }
}
