//! How high a descriptor's revision has to be for its HSDirs to take it.
//!
//! An HSDir stores only what has a strictly greater revision counter than what it holds. The signer makes
//! counters as tor does; another publisher of the same service with another clock or another scheme may have
//! left a higher one.

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
        self.seen.max(self.guess.map(|guess| guess.base.saturating_add(guess.step)))
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

    /// Every HSDir took what was published. Its revision counts, and not the guess, which the signer may not have reached: a later
    /// refusal starts a new row of guesses above the revision that it refused.
    pub(super) fn accepted(&mut self) {
        self.guess = None;
    }
}

/// Tor's counters grow by about this much per second (the order-preserving encryption of rend-spec-v3,
/// appendix F).
const PER_SECOND: u64 = 32768;
const FIRST_STEP: u64 = 600 * PER_SECOND;
/// The signer counts no further than an hour ahead of its clock, and answers to a higher floor with as much. The last guess exceeds
/// all that it gave before: the seconds of its counter are random steps, so that one hour is longer than another.
const LAST_STEP: u64 = 4800 * PER_SECOND;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_double_and_end_beyond_an_hour() {
        let mut floor = Floor::default();
        assert!(!floor.covers(0));
        let mut values = Vec::new();
        while floor.raise(1000 + values.len() as u64) {
            values.push((floor.value().unwrap() - 1000) / PER_SECOND);
        }
        assert_eq!(values, [600, 1200, 2400, 4800]);
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
        floor.see(17);
        floor.raise(1000);
        floor.raise(1000);
        floor.accepted();
        assert_eq!(floor.value(), Some(17));
        floor.raise(50_000_000);
        assert_eq!(floor.value(), Some(50_000_000 + FIRST_STEP));
    }
}
