//! The count of version-3 descriptors that tor has posted: tor loses memory with each (docs/scale.md, "Tor's
//! memory").

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

const HOUR: Duration = Duration::from_secs(60 * 60);
/// The number of hours that are remembered.
const DAY: usize = 24;
/// The time by which tor's count of its uptime may fall behind in the same process: it ignores jumps of the
/// clock.
const SLACK: Duration = Duration::from_secs(5 * 60);

/// The posts that tor has taken since this process began to count.
#[derive(Debug)]
pub(super) struct PostCount {
    began: Instant,
    /// Posts by the hours since `began`; the index is the number of the hour modulo [`DAY`].
    hours: [u64; DAY],
    /// The number of the last hour in `hours`.
    hour: u64,
    /// The uptime of tor's process when it was last ready, and the time of that; `None` if tor did not report
    /// it.
    tor: Option<(Duration, Instant)>,
    since_start: u64,
    /// True after the warning that tor is due for a restart.
    is_warned: bool,
}

/// The posts of version-3 descriptors that one tor has taken.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PostLoad {
    /// Posts since the start of tor's process, or since this process's if that was later.
    pub since_start: u64,
    /// Posts within [`PostLoad::day`], by any process of tor.
    pub last_day: u64,
    /// 24 hours, or the time since this process began if that is shorter.
    pub day: Duration,
    /// True if tor has taken as many posts since its start as `tor-restart-hint` allows.
    pub is_restart_due: bool,
}

impl PostCount {
    /// A count that begins at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, hours: [0; DAY], hour: 0, tor: None, since_start: 0, is_warned: false }
    }

    /// Notes that tor is ready, and that its process has been running for `uptime`. The count since its start
    /// begins again if that is another process than before, or if tor does not report it.
    pub(super) fn tor_ready(&mut self, now: Instant, uptime: Option<Duration>) {
        let is_same = match (self.tor, uptime) {
            (Some((before, at)), Some(uptime)) => uptime + SLACK >= before + now.duration_since(at),
            _ => false,
        };
        self.tor = uptime.map(|uptime| (uptime, now));
        if is_same {
            return;
        }
        if std::mem::take(&mut self.is_warned) {
            info!("tor was restarted, after {} posts", self.since_start);
        }
        self.since_start = 0;
    }

    /// Counts a post that tor has taken.
    pub(super) fn taken(&mut self, now: Instant) {
        self.advance(now);
        self.since_start += 1;
        if let Some(posts) = self.hours.get_mut(place(self.hour)) {
            *posts += 1;
        }
    }

    /// Warns once if tor has taken `hint` posts since its start; `None`: any number is allowed.
    pub(super) fn judge(&mut self, hint: Option<u64>) {
        let is_due = self.is_due(hint);
        if is_due && !self.is_warned {
            warn!(
                problem = "TOR_RESTART_DUE",
                "tor has taken {} posts since it started, and loses memory with each: restart it. Descriptors stay published \
                 meanwhile",
                self.since_start
            );
        }
        self.is_warned = is_due;
    }

    /// The posts that were counted until `now`.
    pub(super) fn load(&mut self, now: Instant, hint: Option<u64>) -> PostLoad {
        self.advance(now);
        let elapsed = now.duration_since(self.began);
        let counted: u64 = self.hours.iter().sum();
        let day = elapsed.min(HOUR * 24);
        let last_day = if elapsed < HOUR * 24 {
            counted
        } else {
            // 23 whole hours and a part of one are remembered.
            let remembered = 23 * HOUR.as_secs() + elapsed.as_secs() % HOUR.as_secs();
            counted.saturating_mul(day.as_secs()).div_ceil(remembered)
        };
        PostLoad { since_start: self.since_start, last_day, day, is_restart_due: self.is_due(hint) }
    }

    fn is_due(&self, hint: Option<u64>) -> bool {
        hint.is_some_and(|hint| self.since_start >= hint)
    }

    /// Forgets the hours that are more than a day ago.
    fn advance(&mut self, now: Instant) {
        let hour = now.duration_since(self.began).as_secs() / HOUR.as_secs();
        for passed in (self.hour + 1..=hour).take(DAY) {
            if let Some(posts) = self.hours.get_mut(place(passed)) {
                *posts = 0;
            }
        }
        self.hour = hour;
    }
}

/// The index of an hour in the remembered ones.
fn place(hour: u64) -> usize {
    usize::try_from(hour % DAY as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_day_is_the_last_24_hours_or_the_time_since_the_start() {
        let began = Instant::now();
        let mut count = PostCount::new(began);
        let mut loads = Vec::new();
        // Ten posts at the start, and then one in each half hour for two days.
        for _ in 0..10 {
            count.taken(began);
        }
        for half_hour in 1..=96 {
            let now = began + MINUTE * 30 * half_hour;
            count.taken(now);
            let PostLoad { since_start, last_day, day, .. } = count.load(now, None);
            loads.push((half_hour, since_start, last_day, day));
        }
        assert_eq!(loads[0], (1, 11, 11, MINUTE * 30));
        assert_eq!(loads[46], (47, 57, 57, HOUR * 23 + MINUTE * 30));
        for (half_hour, since_start, last_day, day) in &loads[49..] {
            assert_eq!((*since_start, *day), (u64::from(*half_hour) + 10, HOUR * 24));
            assert!((47..=50).contains(last_day), "{last_day} after {half_hour} half hours");
        }
        // A week without posts.
        let later = began + HOUR * 24 * 9;
        let PostLoad { since_start, last_day, .. } = count.load(later, None);
        assert_eq!((since_start, last_day), (106, 0));
    }

    #[test]
    fn another_process_of_tor_begins_at_zero() {
        let began = Instant::now();
        for (uptime_after, since_start) in [
            // Only the connection was lost.
            (Some(HOUR + HOUR), 1),
            (Some(HOUR + MINUTE * 59), 1),
            // The process of tor is a new one.
            (Some(MINUTE), 0),
            (Some(HOUR), 0),
            (None, 0),
        ] {
            let mut count = PostCount::new(began);
            count.tor_ready(began, Some(HOUR));
            count.taken(began);
            count.tor_ready(began + HOUR, uptime_after);
            let load = count.load(began + HOUR, None);
            assert_eq!((load.since_start, load.last_day), (since_start, 1), "{uptime_after:?}");
        }
    }

    #[test]
    fn the_warning_is_given_once_for_each_process() {
        let now = Instant::now();
        let mut count = PostCount::new(now);
        count.tor_ready(now, Some(MINUTE));
        let mut warned = Vec::new();
        for posts in 1..=4 {
            count.taken(now);
            count.judge(Some(3));
            warned.push(count.is_warned);
            assert_eq!(count.load(now, Some(3)).is_restart_due, posts >= 3);
        }
        assert_eq!(warned, [false, false, true, true]);
        count.tor_ready(now + HOUR, Some(MINUTE));
        count.judge(Some(3));
        assert!(!count.is_warned && !count.load(now + HOUR, Some(3)).is_restart_due);
        // Without a hint any number is allowed.
        for _ in 0..10 {
            count.taken(now + HOUR);
        }
        count.judge(None);
        assert!(!count.is_warned);
    }
}
