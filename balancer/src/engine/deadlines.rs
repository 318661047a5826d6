//! Who wants to be woken when.

use std::collections::BTreeSet;
use std::time::Duration;

/// At most one deadline for each owner, ordered by time, so that an event costs nothing for whom it does not
/// concern.
pub(super) struct Deadlines<O> {
    owners: Vec<(O, Option<Duration>)>,
    by_time: BTreeSet<(Duration, Alarm)>,
}

/// Stands for an owner: cheaper to compare than a name, a hundred million times in a simulated year.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Alarm(usize);

impl<O: Clone> Deadlines<O> {
    pub(super) fn new() -> Self {
        Self { owners: Vec::new(), by_time: BTreeSet::new() }
    }

    /// Adds an owner, who has no deadline yet.
    pub(super) fn enter(&mut self, owner: O) -> Alarm {
        self.owners.push((owner, None));
        Alarm(self.owners.len() - 1)
    }

    /// Sets, moves or removes an owner's deadline.
    pub(super) fn set(&mut self, alarm: Alarm, at: Option<Duration>) {
        let Some((_, known)) = self.owners.get_mut(alarm.0) else { return };
        if *known == at {
            return;
        }
        if let Some(known) = *known {
            self.by_time.remove(&(known, alarm));
        }
        if let Some(at) = at {
            self.by_time.insert((at, alarm));
        }
        *known = at;
    }

    /// The earliest deadline.
    pub(super) fn first(&self) -> Option<Duration> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Removes the deadlines that have come, and returns their owners, the earliest first.
    pub(super) fn due(&mut self, now: Duration) -> Vec<O> {
        let mut due = Vec::new();
        while self.first().is_some_and(|at| at <= now) {
            let Some((_, alarm)) = self.by_time.pop_first() else { break };
            if let Some((owner, known)) = self.owners.get_mut(alarm.0) {
                *known = None;
                due.push(owner.clone());
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakes_in_order_and_forgets_what_moved() {
        let second = Duration::from_secs;
        let mut deadlines = Deadlines::new();
        let [a, b, c] = ['a', 'b', 'c'].map(|owner| deadlines.enter(owner));
        deadlines.set(a, Some(second(5)));
        deadlines.set(b, Some(second(2)));
        deadlines.set(c, Some(second(3)));
        deadlines.set(a, Some(second(1)));
        deadlines.set(c, None);
        assert_eq!(deadlines.first(), Some(second(1)));
        assert_eq!(deadlines.due(second(4)), ['a', 'b']);
        assert_eq!(deadlines.first(), None);
    }
}
