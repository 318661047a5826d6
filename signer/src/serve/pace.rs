//! The pace of the loop under a flood: fast while there is credit, then so slow that a flood costs a small
//! part of one core. Connections take turns at either pace, so that a flood on some of them delays the others
//! and starves none.

use std::time::{Duration, Instant};

use crate::limit::RateLimit;

/// Turns in a round without credit.
const SLOW_TURNS: usize = 8;
/// The time between two rounds without credit.
const PAUSE: Duration = Duration::from_millis(50);
/// Turns for each permitted signature: its request and its reply, each in one part or two.
const TURNS_PER_SIGNATURE: u32 = 4;

/// One budget for the turns of all connections. A new connection does not add to it.
pub(super) struct Pace {
    credit: RateLimit,
    /// The end of the pause, before which connections have no turns; `None` without a pause.
    pub(super) paused_until: Option<Instant>,
}

impl Pace {
    /// A full budget for this number of services, each of which may be asked for `per_minute` signatures a
    /// minute.
    pub(super) fn new(services: usize, per_minute: u32, now: Instant) -> Self {
        let services = u32::try_from(services).unwrap_or(u32::MAX);
        // One more for the list of services.
        let signatures = per_minute.saturating_mul(services.saturating_add(1));
        let credit = RateLimit::new(signatures.saturating_mul(TURNS_PER_SIGNATURE), now);
        Self { credit, paused_until: None }
    }

    /// The most turns of a round that begins at `now`; each connection has one at most. Without credit a
    /// pause follows the round.
    pub(super) fn begin_round(&mut self, now: Instant) -> usize {
        let is_slow = !self.credit.has_credit(now);
        self.paused_until = is_slow.then_some(now + PAUSE);
        if is_slow { SLOW_TURNS } else { usize::MAX }
    }

    /// Counts a turn or an accepted connection.
    pub(super) fn count(&mut self, now: Instant) {
        // The result does not matter here: without credit the next round is slow.
        let _ = self.credit.take(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onionbalance_process::monotonic;

    #[test]
    fn a_flood_is_slowed_until_there_is_credit_again() {
        let start = monotonic();
        let mut pace = Pace::new(1, 1, start);
        for _ in 0..8 {
            assert_eq!(pace.begin_round(start), usize::MAX);
            assert_eq!(pace.paused_until, None);
            pace.count(start);
        }
        assert_eq!(pace.begin_round(start), SLOW_TURNS);
        assert_eq!(pace.paused_until, Some(start + PAUSE));
        let later = start + Duration::from_secs(8);
        assert_eq!((pace.begin_round(later), pace.paused_until), (usize::MAX, None));
    }
}
