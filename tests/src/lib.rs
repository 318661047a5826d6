//! Private Tor networks of real daemons on loopback, and what tests and the demo need around them; and the [`simulator`],
//! which needs none.
//!
//! Everything is blocking and on threads: a test that needs an async runtime brings its own. Nothing here is part of
//! the delivered programs.
//!
//! No process outlives the one that started it, however that one ends: see [`process`]; and no directory: see [`owned`].

#![forbid(unsafe_code)]

pub mod booted;
pub mod deployment;
pub mod document;
pub mod emulated;
pub mod key_v2;
pub mod key_v3;
pub mod limits;
pub mod network;
pub mod owned;
pub mod pair;
mod parallel;
pub mod paths;
pub mod process;
pub mod programs;
pub mod provision;
pub mod simulator;
pub mod terminal;
pub mod traffic;
pub mod wait;
