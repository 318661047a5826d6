//! The newest descriptor of a backend, which outlives the engine.

use std::time::Duration;

use onionbalance_proto::time::UnixTime;

/// The newest descriptor of a backend that was ever seen. It outlives the engine, so that an older copy is
/// not taken for a newer one after a restart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Newest {
    /// The number of its time period.
    pub period: u64,
    /// The revision counter (v2: the publication time).
    pub revision: u64,
    /// The time at which the backend made it.
    pub published: UnixTime,
    /// The last time at which an HSDir was seen to have it, rounded up to a whole hour, so that the state
    /// file does not change more often for it. The latest that it can have been, if the clock was wrong.
    pub seen: UnixTime,
}

impl Newest {
    /// True if this is at least as new as `other`, of the same backend. Revisions of different periods cannot
    /// be compared: the later period is newer, because no tor asks for an earlier one for long. In any case a
    /// descriptor is newer if it was seen so much later that no HSDir has the other one any more.
    pub fn supersedes(&self, other: &Self) -> bool {
        let is_forgotten = self.seen.since(other.seen) >= HELD_FOR.as_secs();
        is_forgotten || (self.period, self.revision, self.seen) >= (other.period, other.revision, other.seen)
    }
}

/// The longest time for which an HSDir can hold a descriptor after it was last seen there: the 180 minutes of
/// tor's descriptors, and some for skew. Version-2 HSDirs hold one for days, and keep showing it.
pub(super) const HELD_FOR: Duration = Duration::from_secs(3 * HOUR + HOUR / 4);

const HOUR: u64 = 60 * 60;
