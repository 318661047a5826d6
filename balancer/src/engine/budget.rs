//! What tor may be asked in a minute, and who waits for it.

use std::collections::VecDeque;
use std::time::Duration;

/// Requests in the order of their coming, of which only so many may go in any minute.
///
/// Exact: no interval of a minute sees more, unlike a bucket, which lets twice as many through when it starts
/// full.
pub(super) struct Line<T> {
    per_minute: usize,
    spent: VecDeque<Duration>,
    waiting: VecDeque<T>,
}

impl<T> Line<T> {
    pub(super) fn new(per_minute: usize) -> Self {
        Self { per_minute, spent: VecDeque::new(), waiting: VecDeque::new() }
    }

    /// From now on so many may go in any minute.
    pub(super) fn allow(&mut self, per_minute: usize) {
        self.per_minute = per_minute;
    }

    /// Adds a request at the end.
    pub(super) fn join(&mut self, request: T) {
        self.waiting.push_back(request);
    }

    /// The request at the front.
    pub(super) fn first(&self) -> Option<&T> {
        self.waiting.front()
    }

    /// Takes away the request at the front.
    pub(super) fn leave(&mut self) {
        self.waiting.pop_front();
    }

    /// Whether so many may go now. More than may go in a minute go together, after a minute without any.
    pub(super) fn affords(&mut self, now: Duration, count: usize) -> bool {
        while self.spent.front().is_some_and(|spent| *spent + MINUTE <= now) {
            self.spent.pop_front();
        }
        self.spent.is_empty() || self.spent.len() + count <= self.per_minute
    }

    /// The next request, if one waits and may go now. One that does go has to be paid for by [`Line::spend`].
    pub(super) fn next(&mut self, now: Duration) -> Option<T> {
        if self.affords(now, 1) { self.waiting.pop_front() } else { None }
    }

    /// Counts a request as made.
    pub(super) fn spend(&mut self, now: Duration) {
        self.spent.push_back(now);
    }

    /// So much time has passed unnoticed, in which tor did nothing either.
    pub(super) fn wake_up(&mut self, slept: Duration) {
        for spent in &mut self.spent {
            *spent = spent.saturating_add(slept);
        }
    }

    /// Sends everybody home; what was spent stays spent.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// When [`Line::next`] will give something that it does not give now.
    pub(super) fn deadline(&self) -> Option<Duration> {
        if self.waiting.is_empty() {
            return None;
        }
        self.spent.front().map(|spent| *spent + MINUTE)
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_never_sees_more_and_nobody_overtakes() {
        let mut line = Line::new(3);
        (0..100).for_each(|request| line.join(request));
        let mut went = Vec::new();
        for second in 0..300 {
            let now = Duration::from_secs(second);
            while let Some(request) = line.next(now) {
                line.spend(now);
                went.push((request, now));
            }
            assert!(line.deadline().is_none_or(|deadline| deadline > now));
        }
        assert_eq!(went.len(), 15);
        assert!(went.iter().map(|(request, _)| *request).eq(0..15));
        for window in went.windows(4) {
            assert!(window[0].1 + MINUTE <= window[3].1);
        }
    }

    #[test]
    fn what_waits_goes_at_the_deadline() {
        let mut line = Line::new(1);
        line.join('a');
        line.join('b');
        assert_eq!(line.next(Duration::ZERO), Some('a'));
        line.spend(Duration::ZERO);
        assert_eq!(line.next(Duration::from_millis(59_999)), None);
        assert_eq!(line.deadline(), Some(MINUTE));
        assert_eq!(line.next(MINUTE), Some('b'));
        line.clear();
        assert_eq!(line.deadline(), None);
    }
}
