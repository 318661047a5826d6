//! The next time at which something has to be checked again.

use super::super::time::Moment;

/// Compares moments with the present, and keeps the next of those that have not passed.
pub(super) struct Alarm {
    pub(super) now: Moment,
    /// [`Moment::NEVER`] if none is left.
    pub(super) next: Moment,
}

impl Alarm {
    /// True if the moment has passed.
    pub(super) fn passed(&mut self, moment: Moment) -> bool {
        if moment > self.now {
            self.next = self.next.min(moment);
        }
        moment <= self.now
    }
}
