//! A line of requests for tor, and the pace at which they may leave.

use std::collections::BTreeMap;
use std::time::Duration;

/// The time at which a request should leave its line. The earlier one leaves first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in super::super) enum Due {
    /// As soon as tor has room, regardless of the pace: for a request that is made once in the engine's life.
    Now,
    /// By this time, if possible, and at the pace.
    By(Duration),
}

/// The place of a request in its line.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(in super::super) struct Place {
    due: Due,
    /// The number of requests that had joined by then, this one included.
    number: u64,
}

/// Requests of one kind, which leave one after the other: those that are [`Due::Now`] at once, the others
/// evenly spaced.
pub(super) struct Line<T> {
    pace: Pace,
    /// The number of requests that have ever joined.
    joined: u64,
    /// The requests by the time at which each is due, and among equal times in the order of joining.
    waiting: BTreeMap<Place, T>,
    /// The time at which each waiting request joined, in the order of joining.
    since: BTreeMap<u64, Duration>,
}

impl<T> Line<T> {
    pub(super) fn new(per_minute: usize) -> Self {
        Self { pace: Pace::new(per_minute), joined: 0, waiting: BTreeMap::new(), since: BTreeMap::new() }
    }

    /// Sets the number of requests that may leave in a minute from now on.
    pub(super) fn allow(&mut self, per_minute: usize) {
        self.pace = Pace { due: self.pace.due, ..Pace::new(per_minute) };
    }

    /// Adds a request. It comes before those that are due later, and after those that are due at the same
    /// time. So no request waits forever, as long as the due time moves on with `now`, and a bounded number
    /// is [`Due::Now`].
    pub(super) fn join(&mut self, now: Duration, due: Due, request: T) -> Place {
        self.joined += 1;
        let place = Place { due, number: self.joined };
        self.waiting.insert(place, request);
        self.since.insert(self.joined, now);
        place
    }

    /// Moves a waiting request forward if it is due earlier than before. Returns its place.
    pub(super) fn hasten(&mut self, place: Place, due: Due) -> Place {
        if due >= place.due {
            return place;
        }
        let earlier = Place { due, ..place };
        if let Some(request) = self.waiting.remove(&place) {
            self.waiting.insert(earlier, request);
        }
        earlier
    }

    /// The first request; `None` if there is none or it may not leave now.
    pub(super) fn first(&self, now: Duration) -> Option<&T> {
        let (_, request) = self.waiting.first_key_value()?;
        (self.ready_at()? <= now).then_some(request)
    }

    /// Takes the first request out. A request that tor is asked for, and that was not [`Due::Now`], has to be
    /// counted by [`Line::spend`].
    pub(super) fn leave(&mut self) -> Option<T> {
        let (Place { number, .. }, request) = self.waiting.pop_first()?;
        self.since.remove(&number);
        Some(request)
    }

    /// Removes a waiting request.
    pub(super) fn remove(&mut self, place: Place) {
        self.waiting.remove(&place);
        self.since.remove(&place.number);
    }

    /// Counts a request that was made.
    pub(super) fn spend(&mut self, now: Duration) {
        self.pace.spend(now);
    }

    /// Notes that this much time has passed unnoticed: it counts neither as a wait nor as a rest.
    pub(super) fn wake_up(&mut self, slept: Duration) {
        self.pace.due = self.pace.due.saturating_add(slept);
        for since in self.since.values_mut() {
            *since = since.saturating_add(slept);
        }
    }

    /// Drops all requests; the pace goes on.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.since.clear();
    }

    /// The number of waiting requests.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The time at which the request that waits longest joined; `None` if none waits.
    pub(super) fn waiting_since(&self) -> Option<Duration> {
        self.since.values().next().copied()
    }

    /// The time from which the first request may leave, which may be in the past; `None` if none waits.
    pub(super) fn ready_at(&self) -> Option<Duration> {
        let (Place { due, .. }, _) = self.waiting.first_key_value()?;
        Some(if *due == Due::Now { Duration::ZERO } else { self.pace.ready_at() })
    }
}

/// A number of requests a minute at even distances, and after a rest [`BURST`] at once.
struct Pace {
    distance: Duration,
    /// The time by which a request may leave earlier than at even distances.
    burst: Duration,
    /// The time at which the next request would be due if all had come at even distances.
    due: Duration,
}

impl Pace {
    fn new(per_minute: usize) -> Self {
        let per_minute = u32::try_from(per_minute).unwrap_or(u32::MAX).max(1);
        let distance = MINUTE / per_minute;
        Self { distance, burst: distance * (per_minute.min(BURST) - 1), due: Duration::ZERO }
    }

    fn ready_at(&self) -> Duration {
        self.due.saturating_sub(self.burst)
    }

    fn spend(&mut self, now: Duration) {
        self.due = self.due.max(now) + self.distance;
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// The number of requests that may leave at once after a rest: as many as may be outstanding at one tor,
/// which takes them all within a second. So the requests of a few services leave at once.
pub(super) const BURST: u32 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets time pass in steps of 100 ms. Returns each request with the time at which it left.
    fn leave_all<T: Copy>(line: &mut Line<T>, time: Duration) -> Vec<(T, Duration)> {
        let mut left = Vec::new();
        for tenth in 0..time.as_millis() / 100 {
            let now = Duration::from_millis(u64::try_from(tenth).unwrap() * 100);
            while line.first(now).is_some() {
                left.push((line.leave().unwrap(), now));
                line.spend(now);
            }
            assert!(line.ready_at().is_none_or(|ready_at| ready_at > now));
        }
        left
    }

    #[test]
    fn a_minutes_requests_leave_evenly_after_a_burst_and_nobody_overtakes() {
        let mut line = Line::new(120);
        for request in 0..1000 {
            line.join(Duration::ZERO, Due::By(Duration::ZERO), request);
        }
        let left = leave_all(&mut line, MINUTE * 2);
        assert!(left.iter().map(|(request, _)| *request).eq(0..left.len()));
        let at_once = left.iter().filter(|(_, at)| *at == Duration::ZERO).count();
        assert_eq!(at_once, 24);
        assert_eq!(left.len(), 24 + 239);
        for pair in left[at_once..].windows(2) {
            assert_eq!(pair[1].1, pair[0].1 + Duration::from_millis(500));
        }
    }

    #[test]
    fn few_a_minute_are_a_small_burst() {
        let mut line = Line::new(2);
        for request in 0..6 {
            line.join(Duration::ZERO, Due::By(Duration::ZERO), request);
        }
        let seconds: Vec<_> = leave_all(&mut line, MINUTE * 3).iter().map(|(_, at)| at.as_secs()).collect();
        assert_eq!(seconds, [0, 0, 30, 60, 90, 120]);
    }

    #[test]
    fn those_that_are_due_now_leave_before_all_others_and_at_no_pace() {
        let mut line = Line::new(2);
        line.join(Duration::ZERO, Due::By(Duration::ZERO), 0);
        for request in 1..=50 {
            line.join(Duration::ZERO, Due::Now, request);
        }
        for request in 1..=50 {
            assert_eq!((line.ready_at(), line.first(Duration::ZERO)), (Some(Duration::ZERO), Some(&request)));
            line.leave();
        }
        // The pace is that of the others.
        assert_eq!(line.first(Duration::ZERO), Some(&0));
        (0..2).for_each(|_| line.spend(Duration::ZERO));
        assert_eq!((line.first(Duration::ZERO), line.ready_at()), (None, Some(MINUTE / 2)));
    }

    #[test]
    fn the_most_urgent_leaves_first_and_the_longest_wait_is_known() {
        let second = Duration::from_secs;
        let mut line = Line::new(60);
        line.join(second(1), Due::By(second(101)), 'a');
        line.join(second(2), Due::By(second(50)), 'b');
        line.join(second(3), Due::By(second(50)), 'c');
        assert_eq!(line.waiting_since(), Some(second(1)));
        assert_eq!((line.leave(), line.leave()), (Some('b'), Some('c')));
        assert_eq!((line.len(), line.waiting_since()), (1, Some(second(1))));
        let place = line.join(second(3), Due::By(second(200)), 'e');
        let place = line.hasten(place, Due::By(second(90)));
        line.hasten(place, Due::By(second(300)));
        assert_eq!((line.leave(), line.waiting_since()), (Some('e'), Some(second(1))));
        assert_eq!(line.leave(), Some('a'));
        assert_eq!((line.len(), line.waiting_since(), line.leave()), (0, None, None));
        line.join(second(4), Due::By(second(4)), 'd');
        line.clear();
        assert_eq!((line.waiting_since(), line.ready_at()), (None, None));
    }
}
