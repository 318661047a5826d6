//! The deadlines of backends and services: the times at which the engine wakes them. Each has one, the
//! earliest end of its [`super::timers`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// At most one deadline for each owner, ordered by time, so that an event costs nothing for owners that it
/// does not concern.
pub(super) struct Deadlines<O> {
    by_owner: BTreeMap<O, Duration>,
    by_time: BTreeSet<(Duration, O)>,
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
