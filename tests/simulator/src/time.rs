//! Simulated time: milliseconds since the simulation began, which only the simulator knows.

use std::fmt;
use std::time::Duration;

use onionbalance_proto::time::UnixTime;

/// A moment of the simulation, in milliseconds since it began.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(pub u64);

/// Midnight, 2026-01-01: the true time when a simulation begins.
const BEGIN: UnixTime = UnixTime(1_767_225_600);

impl Moment {
    /// The beginning of the simulation.
    pub const ZERO: Self = Self(0);

    /// A time that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// This much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        let millis = time.as_secs().saturating_mul(1000).saturating_add(time.subsec_millis().into());
        Self(self.0.saturating_add(millis))
    }

    /// The time from `earlier` to this moment; zero if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The time by a correct clock.
    pub fn wall(self) -> UnixTime {
        BEGIN.plus(self.0 / 1000)
    }

    /// The moment at which a correct clock shows this.
    pub fn at_wall(wall: UnixTime) -> Self {
        Self(wall.since(BEGIN).saturating_mul(1000))
    }
}

/// Displays it as `day 3, 04:05:06`.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        let (day, hour, minute) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        write!(f, "day {day}, {hour:02}:{minute:02}:{:02}", seconds % 60)
    }
}
