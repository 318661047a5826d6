//! The wait before the next attempt to connect to tor.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// Exponential backoff with jitter. It never ends, because a balancer outlives its tor.
#[derive(Debug, Default)]
pub struct Reconnect {
    failures: u32,
}

impl Reconnect {
    /// The wait after one more failure: 0.5 s, 1 s, 2 s … 30 s. `jitter`, any random number, takes up to half
    /// of it off, so that the balancers of one tor do not all return at once.
    pub fn next(&mut self, jitter: u32) -> Duration {
        let full = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(1.0 - f64::from(jitter) / f64::from(u32::MAX) / 2.0)
    }

    /// Makes the next wait the shortest again; called after a connection has proven to work.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_half_a_minute() {
        let mut reconnect = Reconnect::default();
        let waits: Vec<_> = (0..8).map(|_| reconnect.next(0).as_secs_f64()).collect();
        assert_eq!(waits, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        reconnect.reset();
        assert_eq!(reconnect.next(0), FIRST);
        for _ in 0..100 {
            assert!(reconnect.next(0) <= LONGEST);
        }
    }

    #[test]
    fn jitter_takes_off_up_to_a_half() {
        assert_eq!(Reconnect::default().next(u32::MAX), FIRST / 2);
        let some = Reconnect::default().next(u32::MAX / 2);
        assert!(FIRST / 2 < some && some < FIRST, "{some:?}");
    }
}
