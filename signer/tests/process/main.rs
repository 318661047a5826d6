//! The real program over real sockets.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

mod activation;
mod check;
mod confinement;
mod conversation;
mod delegation;
mod floods;
mod harness;
mod hostile;
mod isolation;
mod log;
mod memory;
mod mounts;
#[path = "../oracle/mod.rs"]
mod oracle;
mod passphrase;
mod permissions;
mod reload;
mod signals;
mod socket;
mod start;
