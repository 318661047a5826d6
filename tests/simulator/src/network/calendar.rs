//! The rhythm of the network: votes, runs of the shared random value, and time periods of version 3.
//!
//! A run has 24 votes, and a period is as long as a run and begins in the middle of one. In the public network they take a day. A
//! testing network votes more often, and everything that is counted in votes shrinks with that (tor: `get_time_period_length`). Nothing
//! else does here: the lifetime of descriptors, the schedule of backends, circuits and what goes wrong.

use std::time::Duration;

/// How long the network's periods are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Calendar {
    /// Even, and a divisor of a day's.
    period_minutes: u64,
}

impl Calendar {
    /// The public network's.
    pub const PUBLIC: Self = Self { period_minutes: DAY_MINUTES };

    /// That of a testing network with periods of so many minutes; `None` unless they are even and divide a day, so that votes are whole
    /// seconds apart, or if they are fewer than 6: tor knows none below 5.
    pub fn testing(period_minutes: u64) -> Option<Self> {
        let is_possible = period_minutes >= 6
            && period_minutes.is_multiple_of(2)
            && DAY_MINUTES.is_multiple_of(period_minutes);
        is_possible.then_some(Self { period_minutes })
    }

    /// Whether it is a testing network's.
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

    /// How many periods there are in a day.
    pub fn periods_a_day(self) -> u32 {
        u32::try_from(DAY_MINUTES / self.period_minutes).expect("no more than minutes")
    }

    /// A time of the public network, such that as much happens in a period as there in a day.
    pub fn shrunk(self, time: Duration) -> Duration {
        time / self.periods_a_day()
    }
}

const DAY_MINUTES: u64 = 24 * 60;
/// The number of votes in a run.
const VOTES: u64 = 24;
