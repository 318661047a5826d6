//! The deadlines of backends and services: the times at which the engine wakes them.
//!
//! An owner has one deadline, the earliest of these. Lengths are fields of [`super::Timing`]; those with a
//! range are random within it.
//!
//! | owner | purpose | counts from | length |
//! |---|---|---|---|
//! | backend | to give up an HSDir that does not answer a fetch | the fetch | `fetch_timeout` |
//! | backend | the next look at its HSDirs | the end of the last look | `refresh`; `look_again`, doubling up to `refresh`, if that was without result |
//! | backend | to take it for dead | the publication of its newest descriptor | `max_age` |
//! | service | to choose its points for the first time | the first backend found | `settle`; up to `first_requests` more while a backend has no result; none if all have one |
//! | service | to await a backend's result before that | the first request for it | `first_answer` |
//! | service | to choose its points again | the first of several changes | `debounce` |
//! | service | to give up its last points | the end of its last backend | `keep_last` |
//! | descriptor | to renew it | the last publication | `republish_from` to `republish_to` |
//! | descriptor | to give up a read-back of a refusing HSDir | the read-back | `fetch_timeout` |
//! | upload | to give it up | tor's acceptance of the post | `upload_timeout` |
//! | upload | to report an HSDir as silent | its first upload without an answer | `upload_timeout` |
//! | upload | to try it again | the last failure | `retry_first`, doubling up to `retry_max`; up to `offer_max` if no HSDir was asked |
//! | upload | to prove an acknowledgement | the acknowledgement; the last read-back that failed | none; as to try it again |
//! | upload | to give up the read-back that is to prove it | the read-back | `fetch_timeout` |
//!
//! Descriptors and their uploads belong to services. The lines before tor have a deadline of their own
//! ([`super::capacity::Capacity::deadline`]), and the looks at the wall clock are the caller's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// At most one deadline for each owner, ordered by time, so that an event costs nothing for owners that it
/// does not concern.
pub(super) struct Deadlines<O> {
    by_owner: BTreeMap<O, Duration>,
    by_time: BTreeSet<(Duration, O)>,
}

/// The earlier of two deadlines. `None` means never.
pub(super) fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (at, None) | (None, at) => at,
    }
}

impl<O: Copy + Ord> Deadlines<O> {
    pub(super) fn new() -> Self {
        Self { by_owner: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Sets, moves or removes an owner's deadline.
    pub(super) fn set(&mut self, owner: O, at: Option<Duration>) {
        let known = match at {
            Some(at) => self.by_owner.insert(owner, at),
            None => self.by_owner.remove(&owner),
        };
        if known == at {
            return;
        }
        if let Some(known) = known {
            self.by_time.remove(&(known, owner));
        }
        if let Some(at) = at {
            self.by_time.insert((at, owner));
        }
    }

    /// The earliest deadline; `None` if there is none.
    pub(super) fn first(&self) -> Option<Duration> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Removes the earliest deadline if it has come, and returns its owner.
    pub(super) fn next_due(&mut self, now: Duration) -> Option<O> {
        self.first().filter(|at| *at <= now)?;
        let (_, owner) = self.by_time.pop_first()?;
        self.by_owner.remove(&owner);
        Some(owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakes_in_order_and_forgets_what_moved() {
        let second = Duration::from_secs;
        let mut deadlines = Deadlines::new();
        deadlines.set('a', Some(second(5)));
        deadlines.set('b', Some(second(2)));
        deadlines.set('c', Some(second(3)));
        deadlines.set('a', Some(second(1)));
        deadlines.set('c', None);
        assert_eq!(deadlines.first(), Some(second(1)));
        assert_eq!(deadlines.next_due(second(4)), Some('a'));
        assert_eq!((deadlines.next_due(second(1)), deadlines.first()), (None, Some(second(2))));
        assert_eq!(deadlines.next_due(second(2)), Some('b'));
        assert_eq!((deadlines.next_due(second(4)), deadlines.first()), (None, None));
    }
}
