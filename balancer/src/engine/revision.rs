//! The revision that a descriptor needs, so that its HSDirs take it.
//!
//! An HSDir stores a descriptor only if its revision counter is greater than that of the one that it holds.
//! The signer makes counters as tor does. Another publisher of the same service, with another clock or
//! another scheme, may have left a higher one.

use std::time::Duration;

/// The known or guessed revision that the HSDirs of one descriptor hold.
#[derive(Default)]
pub(super) struct Floor {
    seen: Option<u64>,
    guess: Option<Guess>,
}

/// A floor that was not seen on any HSDir.
#[derive(Clone, Copy)]
struct Guess {
    /// Our own revision that was refused first.
    base: u64,
    /// The distance of the guess above it.
    step: u64,
    /// The time of the guess.
    made: Duration,
}

impl Floor {
    /// The revision that the next publication has to exceed; `None` if any will do.
    pub(super) fn value(&self) -> Option<u64> {
        self.seen.max(self.guess.map(|guess| guess.base.saturating_add(guess.step)))
    }

    /// True if a publication of this `revision` is not above the floor, so that a refusal is explained.
    pub(super) fn covers(&self, revision: u64) -> bool {
        self.value().is_some_and(|floor| floor >= revision)
    }

    /// Notes that an HSDir holds a descriptor of this revision.
    pub(super) fn see(&mut self, revision: u64) {
        self.seen = self.seen.max(Some(revision));
    }

    /// Guesses higher after `refused` was too low and nothing better is known. False if the guess was the
    /// last one: then it only keeps up with the signer's maximum.
    pub(super) fn raise(&mut self, now: Duration, refused: u64) -> bool {
        let (next, is_new) = match self.guess {
            None => (Guess { base: refused, step: FIRST_STEP, made: now }, true),
            Some(guess) if guess.step < LAST_STEP => {
                (Guess { step: (guess.step * 2).min(LAST_STEP), made: now, ..guess }, true)
            }
            Some(guess) if now >= guess.made + KEEPS_UP_AFTER => {
                (Guess { step: guess.step.saturating_add(FIRST_STEP), made: now, ..guess }, false)
            }
            Some(_) => return false,
        };
        self.guess = Some(next);
        is_new
    }

    /// Notes that every HSDir took the last round. Its revision counts, and not the guess, which the signer
    /// may not have reached: a later refusal starts a new row of guesses above the revision that was refused.
    pub(super) fn accepted(&mut self) {
        self.guess = None;
    }
}

/// The approximate growth of tor's counters per second (the order-preserving encryption of rend-spec-v3,
/// appendix F).
const PER_SECOND: u64 = 32768;
const FIRST_STEP: u64 = 600 * PER_SECOND;
/// The time after which the last guess is raised by [`FIRST_STEP`]. The signer's maximum grows with its clock,
/// and a revision that it could not exceed at first comes within its reach: an HSDir holds one for three
/// hours.
const KEEPS_UP_AFTER: Duration = Duration::from_secs(600);
/// The largest step of a row of guesses. The signer counts no further than an hour ahead of its clock, and
/// answers a higher floor with its maximum. The last guess exceeds all earlier maxima: the seconds of its
/// counter are random steps, so that hours differ in length.
const LAST_STEP: u64 = 4800 * PER_SECOND;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_double_and_end_beyond_an_hour() {
        let mut floor = Floor::default();
        assert!(!floor.covers(0));
        let mut values = Vec::new();
        while floor.raise(Duration::ZERO, 1000 + values.len() as u64) {
            values.push((floor.value().unwrap() - 1000) / PER_SECOND);
        }
        assert_eq!(values, [600, 1200, 2400, 4800]);
    }

    #[test]
    fn the_last_guess_keeps_up_with_the_signers_clock() {
        let mut floor = Floor::default();
        while floor.raise(Duration::ZERO, 0) {}
        for minutes in [1, 9, 10, 11, 19, 20, 200] {
            assert!(!floor.raise(Duration::from_mins(minutes), 0), "no reason to try sooner");
        }
        assert_eq!(floor.value().unwrap() / PER_SECOND, 4800 + 3 * 600);
    }

    #[test]
    fn what_was_seen_stands() {
        let mut floor = Floor::default();
        floor.see(10_000_000_000);
        floor.see(5);
        assert!(floor.raise(Duration::ZERO, 7));
        assert_eq!(floor.value(), Some(10_000_000_000));
        assert!(floor.covers(10_000_000_000));
        assert!(!floor.covers(10_000_000_001));
    }

    #[test]
    fn guessing_starts_anew_after_success() {
        let mut floor = Floor::default();
        floor.see(17);
        floor.raise(Duration::ZERO, 1000);
        floor.raise(Duration::ZERO, 1000);
        floor.accepted();
        assert_eq!(floor.value(), Some(17));
        floor.raise(Duration::ZERO, 50_000_000);
        assert_eq!(floor.value(), Some(50_000_000 + FIRST_STEP));
    }
}
