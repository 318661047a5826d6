//! Time that passes unnoticed: the machine is suspended, or its virtual machine paused.
//!
//! The monotonic clock (`CLOCK_MONOTONIC`) does not count this time; the wall clock shows it afterwards.
//! HSDirs forget and backends die in the meantime, so the engine's own time goes on by as much. Descriptors
//! that may have expired are renewed at once, as far as the budgets allow, all backends are looked for, and a
//! copy that no HSDir has any more is as old as the wall clock shows.
//!
//! A wall clock that is set forward looks the same, and has the same effect once. A clock that goes back and
//! forth has no further effect: time counts as slept only if the wall clock is further ahead than it was
//! within a quarter of an hour.

use std::time::Duration;

use super::event::Now;

/// The engine's time.
#[derive(Default)]
pub(super) struct Clock {
    /// The most seconds by which the wall clock was ahead of the monotonic one; `None` before the first
    /// reading.
    furthest: Option<i128>,
    /// The monotonic time since which it has been at least [`STEP`] less far ahead; `None` while it is not.
    behind_since: Option<Duration>,
    slept: Duration,
}

impl Clock {
    /// Takes a reading of both clocks. Returns the time slept since the last one: zero, or from [`STEP`] to
    /// [`LONGEST`].
    pub(super) fn read(&mut self, now: Now) -> Duration {
        let ahead = i128::from(now.wall.0) - i128::from(now.elapsed.as_secs());
        let by = ahead - *self.furthest.get_or_insert(ahead);
        if by >= STEP {
            (self.furthest, self.behind_since) = (Some(ahead), None);
            let slept = u64::try_from(by).map_or(LONGEST, Duration::from_secs).min(LONGEST);
            self.slept = self.slept.saturating_add(slept);
            return slept;
        }
        if by > -STEP {
            self.behind_since = None;
        } else if now.elapsed >= self.behind_since.get_or_insert(now.elapsed).saturating_add(BELIEVED_AFTER) {
            (self.furthest, self.behind_since) = (Some(ahead), None);
        }
        Duration::ZERO
    }

    /// The engine's time for a time of the monotonic clock.
    pub(super) fn engine_time(&self, monotonic: Duration) -> Duration {
        monotonic.saturating_add(self.slept)
    }

    /// The monotonic clock's time for a time of the engine.
    pub(super) fn monotonic(&self, engine_time: Duration) -> Duration {
        engine_time.saturating_sub(self.slept)
    }
}

/// The fewest seconds that count as sleep: no timer that matters is shorter.
const STEP: i128 = 60;
/// The time for which a wall clock that was set back is not believed: in that time the budgets allow
/// publishing everything once.
const BELIEVED_AFTER: Duration = Duration::from_secs(15 * 60);
/// The longest sleep that is counted: everything has expired by then.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use onionbalance_proto::time::UnixTime;

    use super::*;

    const HOUR: u64 = 3600;

    /// The seconds slept that a new clock returns for each of these readings: seconds of the monotonic clock
    /// and of the wall clock.
    fn slept(times: &[(u64, u64)]) -> Vec<u64> {
        let mut clock = Clock::default();
        let read = |(elapsed, wall): &(u64, u64)| {
            let now = Now { elapsed: Duration::from_secs(*elapsed), wall: UnixTime(*wall) };
            clock.read(now).as_secs()
        };
        times.iter().map(read).collect()
    }

    #[test]
    fn what_the_wall_clock_is_ahead_has_passed_unnoticed() {
        assert_eq!(
            slept(&[(5, 1005), (65, 1065), (66, 1066 + 4 * HOUR), (70, 1070 + 4 * HOUR)]),
            [0, 0, 14400, 0]
        );
        assert_eq!(slept(&[(0, 1000), (60, 1119)]), [0, 0]);
        assert_eq!(slept(&[(0, 1000), (60, 1100), (120, 1180)]), [0, 0, 60], "short pauses add up");
    }

    #[test]
    fn a_clock_that_goes_back_and_forth_adds_nothing() {
        let day = 24 * HOUR;
        let swings = [(0, 1000), (60, 1060 + day), (120, 1120), (180, 1180 + day), (240, 1240)];
        assert_eq!(slept(&swings), [0, day, 0, 0, 0]);
        let believed = [(0, day), (60, 60), (60 + HOUR, 60 + HOUR), (HOUR + 120, 5 * HOUR + 120)];
        assert_eq!(slept(&believed), [0, 0, 0, 4 * HOUR]);
    }

    #[test]
    fn no_time_is_too_long() {
        assert_eq!(slept(&[(0, 0), (1, u64::MAX), (2, 0)]), [0, LONGEST.as_secs(), 0]);
    }
}
