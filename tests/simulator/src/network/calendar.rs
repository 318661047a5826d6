//! The rhythm of the network: votes, runs of the shared random value, and version-3 time periods.
//!
//! A run has 24 votes, and a period is as long as a run and begins in the middle of one. In the public
//! network they take a day. A testing network votes more often, and everything that is counted in votes
//! shrinks with that (tor: `get_time_period_length`). Nothing else does: the lifetime of descriptors, the
//! schedule of backends, circuits and faults stay.

use std::time::Duration;

/// The length of the network's periods.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Calendar {
    /// The length in minutes: even, and a divisor of a day's.
    period_minutes: u64,
}

impl Calendar {
    /// The public network's.
    pub const PUBLIC: Self = Self { period_minutes: DAY_MINUTES };

    /// The calendar of a testing network with periods of this number of minutes. It has to be even, a divisor
    /// of a day's, so that votes are whole seconds apart, and at least 6 (tor's least is 5); `None`
    /// otherwise.
    pub fn testing(period_minutes: u64) -> Option<Self> {
        let is_possible = period_minutes >= 6
            && period_minutes.is_multiple_of(2)
            && DAY_MINUTES.is_multiple_of(period_minutes);
        is_possible.then_some(Self { period_minutes })
    }

    /// True if it is a testing network's.
    pub fn is_testing(self) -> bool {
        self != Self::PUBLIC
    }

    /// The length of a time period in minutes.
    pub fn period_minutes(self) -> u64 {
        self.period_minutes
    }

    /// The length of a time period.
    pub fn period(self) -> Duration {
        Duration::from_secs(self.period_secs())
    }

    /// The length of a time period, and of a run, in seconds.
    pub fn period_secs(self) -> u64 {
        self.period_minutes * 60
    }

    /// The time from one vote to the next, in seconds.
    pub fn interval_secs(self) -> u64 {
        self.period_secs() / VOTES
    }

    /// The time from one vote to the next.
    pub fn interval(self) -> Duration {
        Duration::from_secs(self.interval_secs())
    }

    /// The number of periods in a day.
    pub fn periods_a_day(self) -> u32 {
        u32::try_from(DAY_MINUTES / self.period_minutes).expect("no more than minutes")
    }

    /// A time of the public network, shrunk like the period: as much happens in a period as there in a day.
    pub fn shrunk(self, time: Duration) -> Duration {
        time / self.periods_a_day()
    }
}

const DAY_MINUTES: u64 = 24 * 60;
/// The number of votes in a run.
const VOTES: u64 = 24;
