//! Simulated time: milliseconds since the simulation began, of which nothing in it knows but the simulator.

use std::fmt;
use std::time::Duration;

use onionbalance_proto::time::UnixTime;

/// A moment of the simulation, in milliseconds since it began.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(pub u64);

/// Midnight, 2026-01-01: the true time when a simulation begins.
const BEGIN: UnixTime = UnixTime(1_767_225_600);

impl Moment {
    /// The beginning.
    pub const ZERO: Self = Self(0);

    /// The end of time.
    pub const NEVER: Self = Self(u64::MAX);

    /// This much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to this moment; none if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// What a clock shows that is right.
    pub fn wall(self) -> UnixTime {
        BEGIN.plus(self.0 / 1000)
    }

    /// When a clock that is right shows this.
    pub fn at_wall(wall: UnixTime) -> Self {
        Self(wall.since(BEGIN).saturating_mul(1000))
    }
}

/// As `day 3, 04:05:06`.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        let (day, hour, minute) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        write!(f, "day {day}, {hour:02}:{minute:02}:{:02}", seconds % 60)
    }
}
