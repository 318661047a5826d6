//! The network, as it really is: relays, what they keep, and what the authorities say of them.

pub mod consensus;
pub mod relay;
pub mod ring;
pub mod shelves;
