//! Private Tor networks of real daemons on loopback, with the tools of tests and demo around them.
//!
//! Everything is blocking and on threads: a test that needs an async runtime brings its own. No part of this
//! crate is in the delivered programs.
//!
//! Child processes ([`process`]) and directories ([`owned`]) do not outlive the process that made them, even
//! if it is killed.

#![forbid(unsafe_code)]
#![expect(clippy::missing_errors_doc, reason = "an error ends the test, in its own words")]

pub mod booted;
pub mod deployment;
pub mod document;
pub mod emulated;
pub mod key_v2;
pub mod key_v3;
pub mod limits;
pub mod network;
pub mod onion;
pub mod owned;
pub mod pair;
mod parallel;
pub mod paths;
pub mod process;
pub mod programs;
pub mod provision;
pub mod terminal;
pub mod traffic;
pub mod wait;
