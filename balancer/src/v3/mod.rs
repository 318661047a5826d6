//! Version 3 onion services: the HSDirs of descriptors, opening a backend's descriptor, and composing the
//! frontend's.

pub mod backend;
pub mod directory;
pub mod frontend;
mod known_replicas;
mod onion_version;
pub mod ring;
pub mod schedule;

pub use onion_version::V3;
