//! The network, as it really is: relays, what they keep, and what the authorities say of them.

pub mod cache;
pub mod consensus;
pub mod relay;
pub mod ring;
