//! Warnings that would fill the log: each reason is logged at once, then rarely, with a count.
//!
//! A reason is logged when it occurs first, then with its first occurrence after 1, 5 and 15 minutes, and
//! after each hour. It has a topic, and subjects: the services or backends that it affects. It ends with its
//! last subject; then the next occurrence is a first one again.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// The most reasons that are counted; a further one takes the place of the one that occurred longest ago.
const MAX_REASONS: usize = 256;
/// The most subjects of a reason that are remembered. Further ones do not delay its end.
const MAX_SUBJECTS: usize = 1024;
/// A reason that has not occurred for this time has ended.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(2 * 60 * 60);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The occurrences of all reasons.
#[derive(Debug, Default)]
pub struct Repeats(HashMap<Reason, Count>);

/// A reason: its topic, and its text.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Reason {
    topic: &'static str,
    text: String,
}

#[derive(Debug)]
struct Count {
    first: Instant,
    last: Instant,
    /// The time from which on an occurrence is logged.
    due: Instant,
    times: u64,
    subjects: BTreeSet<String>,
}

/// An occurrence that is to be logged. As text it is empty, or ` (17 times)`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Occurrence {
    /// The number of occurrences up to this one, at least 1.
    times: u64,
    /// True if the reason has affected several subjects.
    pub is_shared: bool,
}

impl Occurrence {
    /// The occurrence of a reason that is not counted.
    pub const ONLY: Self = Self { times: 1, is_shared: false };
}

impl fmt::Display for Occurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.times {
            1 => Ok(()),
            times => write!(f, " ({times} times)"),
        }
    }
}

impl Repeats {
    /// Notes an occurrence at the time `now`. `None`: it is not to be logged.
    pub fn note(
        &mut self,
        topic: &'static str,
        text: &str,
        subject: &str,
        now: Instant,
    ) -> Option<Occurrence> {
        self.0.retain(|_, count| now.duration_since(count.last) < FORGOTTEN_AFTER);
        let reason = Reason { topic, text: text.to_owned() };
        if self.0.len() >= MAX_REASONS && !self.0.contains_key(&reason) {
            self.forget_oldest();
        }
        let count = self.0.entry(reason).or_insert_with(|| Count::new(now));
        (count.last, count.times) = (now, count.times.saturating_add(1));
        if count.subjects.len() < MAX_SUBJECTS && !count.subjects.contains(subject) {
            count.subjects.insert(subject.to_owned());
        }
        if now < count.due {
            return None;
        }
        count.due = count.first + next_due(now.duration_since(count.first));
        Some(Occurrence { times: count.times, is_shared: count.subjects.len() > 1 })
    }

    /// Ends the reasons of a topic that affect no other subject than this one. Returns the time since the
    /// first of them occurred; `None` if none ends.
    pub fn end(&mut self, topic: &'static str, subject: &str, now: Instant) -> Option<Duration> {
        self.end_if(now, |reason, count| {
            reason.topic == topic && count.subjects.remove(subject) && count.subjects.is_empty()
        })
    }

    /// Ends all reasons of a topic. Returns the time since the first of them occurred; `None` if there are
    /// none.
    pub fn end_all(&mut self, topic: &'static str, now: Instant) -> Option<Duration> {
        self.end_if(now, |reason, _| reason.topic == topic)
    }

    fn end_if(
        &mut self,
        now: Instant,
        mut is_over: impl FnMut(&Reason, &mut Count) -> bool,
    ) -> Option<Duration> {
        let mut first: Option<Instant> = None;
        self.0.retain(|reason, count| {
            let is_over = is_over(reason, count);
            if is_over {
                first = Some(first.map_or(count.first, |first| first.min(count.first)));
            }
            !is_over
        });
        first.map(|first| now.duration_since(first))
    }

    fn forget_oldest(&mut self) {
        let oldest = self.0.iter().min_by_key(|(_, count)| count.last).map(|(reason, _)| reason.clone());
        if let Some(oldest) = oldest {
            self.0.remove(&oldest);
        }
    }
}

impl Count {
    fn new(now: Instant) -> Self {
        Self { first: now, last: now, due: now, times: 0, subjects: BTreeSet::new() }
    }
}

/// The time from the first occurrence to the next that is logged, `elapsed` after the first.
fn next_due(elapsed: Duration) -> Duration {
    let early = [MINUTE, 5 * MINUTE, 15 * MINUTE].into_iter().find(|due| elapsed < *due);
    early.unwrap_or_else(|| HOUR * u32::try_from(elapsed.as_secs() / HOUR.as_secs() + 1).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNER: &str = "signer";

    /// The texts of the occurrences that are logged, with their times in seconds since `start`.
    fn logged(
        repeats: &mut Repeats,
        start: Instant,
        seconds: impl Iterator<Item = u64>,
    ) -> Vec<(u64, String)> {
        let note = |second| {
            let occurrence = repeats.note(SIGNER, "away", "", start + Duration::from_secs(second))?;
            Some((second, occurrence.to_string()))
        };
        seconds.filter_map(note).collect()
    }

    #[test]
    fn a_reason_is_logged_at_once_and_then_rarely() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let wanted = [
            (0, ""),
            (60, " (13 times)"),
            (300, " (61 times)"),
            (900, " (181 times)"),
            (3600, " (721 times)"),
            (7200, " (1441 times)"),
            (10800, " (2161 times)"),
        ];
        let wanted = wanted.map(|(second, text)| (second, text.to_owned()));
        assert_eq!(logged(&mut repeats, start, (0..=4 * 3600 - 5).step_by(5)), wanted);
    }

    #[test]
    fn a_reason_that_occurs_rarely_is_logged_each_time() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let wanted = [(0, ""), (4000, " (2 times)"), (8000, " (3 times)"), (8000 + 7200, "")];
        let wanted = wanted.map(|(second, text)| (second, text.to_owned()));
        assert_eq!(logged(&mut repeats, start, [0, 4000, 8000, 8000 + 7200].into_iter()), wanted);
    }

    #[test]
    fn a_reason_begins_again_after_its_end() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let mut note = |subject: &str| repeats.note(SIGNER, "away", subject, start);
        assert_eq!(note("shop"), Some(Occurrence::ONLY));
        assert_eq!(note("wiki"), None);
        assert_eq!(repeats.end("another topic", "shop", start), None);
        assert_eq!(repeats.end(SIGNER, "shop", start), None);
        assert_eq!(repeats.note(SIGNER, "away", "shop", start), None);
        let later = start + MINUTE;
        let shared = Occurrence { times: 4, is_shared: true };
        assert_eq!(repeats.note(SIGNER, "away", "shop", later), Some(shared));
        assert_eq!(repeats.end(SIGNER, "shop", later), None);
        assert_eq!(repeats.end(SIGNER, "wiki", later), Some(MINUTE));
        assert_eq!(repeats.note(SIGNER, "away", "shop", later), Some(Occurrence::ONLY));
        assert_eq!(repeats.note(SIGNER, "hangs", "shop", later), Some(Occurrence::ONLY));
        assert_eq!(repeats.end_all(SIGNER, later + MINUTE), Some(MINUTE));
        assert_eq!(repeats.end_all(SIGNER, later), None);
        assert_eq!(repeats.note(SIGNER, "hangs", "shop", later), Some(Occurrence::ONLY));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        for number in 0..2 * MAX_REASONS {
            let now = start + Duration::from_millis(number as u64);
            assert!(repeats.note(SIGNER, &number.to_string(), "", now).is_some());
        }
        assert_eq!(repeats.0.len(), MAX_REASONS);
        let newest = (2 * MAX_REASONS - 1).to_string();
        for number in 0..2 * MAX_SUBJECTS {
            assert_eq!(repeats.note(SIGNER, &newest, &number.to_string(), start + MINUTE / 2), None);
        }
        assert!(repeats.0.values().all(|count| count.subjects.len() <= MAX_SUBJECTS));
    }
}
