//! Version 3 onion services: where their descriptors belong, how a backend's is opened and ours is put together.

pub mod backend;
pub mod directory;
pub mod frontend;
mod generation;
mod known_replicas;
pub mod ring;
pub mod schedule;

pub use generation::V3;
