//! The number of a relay.

/// A relay's number; none is used twice.
pub type RelayId = usize;
