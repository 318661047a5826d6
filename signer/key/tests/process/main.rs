//! Tests that run the real program.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop")]

mod commands;
mod delegate;
mod harness;
mod protection;
mod tors;
