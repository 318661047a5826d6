//! The newest descriptor of a backend, which outlives the engine.

use std::time::Duration;

use onionbalance_proto::time::UnixTime;

/// The newest descriptor that was ever seen of a backend: what has to outlive the engine, so that after a restart an
/// older copy is not taken for news.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Newest {
    /// The period it is for.
    pub period: u64,
    /// Its revision counter (v2: its publication time).
    pub revision: u64,
    /// When the backend made it.
    pub published: UnixTime,
    /// When an HSDir was last seen to have it, rounded up to a whole hour, so that the state file changes no more often for it.
    pub seen: UnixTime,
}

impl Newest {
    /// Whether this is at least as new as `other`, of the same backend. Revisions of different periods cannot be compared: the
    /// later period is the newer, since no tor asks for an earlier one for long. A descriptor is newer in any case if it was seen so
    /// much later that no HSDir has the other one any more.
    pub fn supersedes(&self, other: &Self) -> bool {
        let is_forgotten = self.seen.since(other.seen) >= HELD_FOR.as_secs();
        is_forgotten || (self.period, self.revision, self.seen) >= (other.period, other.revision, other.seen)
    }
}

/// How long an HSDir can hold a descriptor after it was seen to: the 180 minutes that tor's descriptors say, and some for skew.
/// Those of version 2 hold one for days, and show it.
pub(super) const HELD_FOR: Duration = Duration::from_secs(3 * HOUR + HOUR / 4);

const HOUR: u64 = 60 * 60;
