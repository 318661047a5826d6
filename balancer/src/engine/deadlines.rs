//! The deadlines of backends and services: the times at which the engine wakes them. Each has one, the
//! earliest end of its [`super::timers`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// At most one deadline for each owner, ordered by time, so that an event costs nothing for owners that it
/// does not concern.
pub(super) struct Deadlines<O> {
    /// By the owners' numbers.
    by_owner: Vec<Option<Duration>>,
    /// All deadlines, and former ones, which do not count. The first one counts.
    by_time: BinaryHeap<Reverse<(Duration, O)>>,
}

impl<O: Copy + Ord + Into<usize>> Deadlines<O> {
    pub(super) fn new() -> Self {
        Self { by_owner: Vec::new(), by_time: BinaryHeap::new() }
    }

    /// Sets, moves or removes an owner's deadline.
    pub(super) fn set(&mut self, owner: O, at: Option<Duration>) {
        let number = owner.into();
        if number >= self.by_owner.len() {
            self.by_owner.resize(number + 1, None);
        }
        let Some(known) = self.by_owner.get_mut(number) else { return };
        if std::mem::replace(known, at) == at {
            return;
        }
        if let Some(at) = at {
            self.by_time.push(Reverse((at, owner)));
        }
        if self.by_time.len() > 2 * self.by_owner.len() {
            self.forget_former();
        }
        self.pass_former();
    }

    /// The earliest deadline; `None` if there is none.
    pub(super) fn first(&self) -> Option<Duration> {
        self.by_time.peek().map(|Reverse((at, _))| *at)
    }

    /// Removes the earliest deadline if it has come, and returns its owner.
    pub(super) fn next_due(&mut self, now: Duration) -> Option<O> {
        self.first().filter(|at| *at <= now)?;
        let Reverse((_, owner)) = self.by_time.pop()?;
        if let Some(known) = self.by_owner.get_mut(owner.into()) {
            *known = None;
        }
        self.pass_former();
        Some(owner)
    }

    fn counts(&self, Reverse((at, owner)): &Reverse<(Duration, O)>) -> bool {
        self.by_owner.get((*owner).into()).is_some_and(|known| *known == Some(*at))
    }

    /// Removes former deadlines from the beginning.
    fn pass_former(&mut self) {
        while self.by_time.peek().is_some_and(|first| !self.counts(first)) {
            self.by_time.pop();
        }
    }

    /// Removes all former deadlines, and those that are there twice.
    fn forget_former(&mut self) {
        let mut all = std::mem::take(&mut self.by_time).into_vec();
        all.retain(|deadline| self.counts(deadline));
        all.sort_unstable();
        all.dedup();
        self.by_time = all.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakes_in_order_and_forgets_what_moved() {
        let second = Duration::from_secs;
        let mut deadlines = Deadlines::new();
        deadlines.set(1u8, Some(second(5)));
        deadlines.set(2, Some(second(2)));
        deadlines.set(3, Some(second(3)));
        deadlines.set(1, Some(second(1)));
        deadlines.set(3, None);
        assert_eq!(deadlines.first(), Some(second(1)));
        assert_eq!(deadlines.next_due(second(4)), Some(1));
        assert_eq!((deadlines.next_due(second(1)), deadlines.first()), (None, Some(second(2))));
        assert_eq!(deadlines.next_due(second(2)), Some(2));
        assert_eq!((deadlines.next_due(second(4)), deadlines.first()), (None, None));
    }

    #[test]
    fn a_deadline_that_moves_for_ever_takes_no_room() {
        let second = Duration::from_secs;
        let mut deadlines = Deadlines::new();
        for turn in 0..=250u8 {
            deadlines.set(turn % 4, Some(second(10 + u64::from(turn % 7))));
            deadlines.set(turn % 3, None);
            assert!(deadlines.by_time.len() <= 8);
        }
        deadlines.set(0, Some(second(3)));
        deadlines.set(0, Some(second(9)));
        deadlines.set(0, Some(second(3)));
        assert_eq!((deadlines.next_due(second(4)), deadlines.next_due(second(4))), (Some(0), None));
    }
}
