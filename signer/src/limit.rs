//! A bound on the number of events in a minute.

use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// A bucket of permissions that refills evenly and holds one minute's worth.
pub struct RateLimit {
    interval: Duration,
    /// The remaining permissions, as the time that their refill takes; [`MINUTE`] if the bucket is full.
    credit: Duration,
    seen: Instant,
}

impl RateLimit {
    /// A full bucket of `per_minute` permissions, at least one.
    pub fn new(per_minute: u32, now: Instant) -> Self {
        Self { interval: MINUTE / per_minute.max(1), credit: MINUTE, seen: now }
    }

    /// Takes a permission. False if none is left.
    pub fn take(&mut self, now: Instant) -> bool {
        let has_credit = self.has_credit(now);
        if has_credit {
            self.credit = self.credit.saturating_sub(self.interval);
        }
        has_credit
    }

    /// True if a permission is left.
    pub fn has_credit(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.seen);
        self.seen = now;
        self.credit = self.credit.saturating_add(passed).min(MINUTE);
        self.credit >= self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onionbalance_process::monotonic;

    #[test]
    fn allows_its_number_a_minute_and_no_more() {
        let start = monotonic();
        let mut limit = RateLimit::new(30, start);
        assert_eq!((0..100).filter(|_| limit.take(start)).count(), 30);
        assert!(!limit.take(start + Duration::from_secs(1)));
        assert!(limit.take(start + Duration::from_secs(2)));
        let minutes =
            (0..600).filter(|tenth| limit.take(start + Duration::from_millis(2000 + tenth * 100))).count();
        assert!((29..=31).contains(&minutes), "{minutes}");
    }
}
