//! Version 3 onion services: where their descriptors belong, how a backend's is opened and ours is put together.

pub mod directory;
pub mod ring;
pub mod schedule;
