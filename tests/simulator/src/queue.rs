//! Planned happenings.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::time::Moment;

/// All planned happenings, the earliest first; at the same moment, the one that was planned first.
pub struct Queue<H> {
    heap: BinaryHeap<Reverse<Planned<H>>>,
    planned: u64,
}

struct Planned<H> {
    at: Moment,
    number: u64,
    happening: H,
}

/// An empty queue.
impl<H> Default for Queue<H> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), planned: 0 }
    }
}

impl<H> Queue<H> {
    /// Plans a happening.
    pub fn plan(&mut self, at: Moment, happening: H) {
        self.planned += 1;
        self.heap.push(Reverse(Planned { at, number: self.planned, happening }));
    }

    /// The time of the next happening.
    pub fn next_at(&self) -> Moment {
        self.heap.peek().map_or(Moment::NEVER, |Reverse(planned)| planned.at)
    }

    /// The next happening with its time; `None` if there is none.
    pub fn pop(&mut self) -> Option<(Moment, H)> {
        self.heap.pop().map(|Reverse(planned)| (planned.at, planned.happening))
    }
}

impl<H> Ord for Planned<H> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<H> PartialOrd for Planned<H> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<H> PartialEq for Planned<H> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<H> Eq for Planned<H> {}
