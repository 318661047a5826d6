//! The true state of the network: relays, their descriptors, and the documents of the authorities.

pub mod cache;
pub mod calendar;
pub mod consensus;
pub mod id;
pub mod relay;
pub mod ring;
