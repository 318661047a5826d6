//! Version 2 onion services: the HSDirs of descriptors, opening a backend's descriptor, and composing the
//! frontend's.

pub mod backend;
pub mod directory;
pub mod frontend;
mod generation;
pub mod ring;
pub mod schedule;

pub use generation::V2;
