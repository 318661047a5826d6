//! The real program, spoken to over real sockets.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

mod conversation;
mod harness;
mod isolation;
mod passphrase;
mod socket;
mod start;
