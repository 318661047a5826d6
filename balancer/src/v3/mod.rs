//! Version 3 onion services: the HSDirs of descriptors, opening a backend's descriptor, and composing the
//! frontend's.

pub mod backend;
pub mod directory;
pub mod frontend;
mod generation;
mod known_replicas;
pub mod ring;
pub mod schedule;

pub use generation::V3;
