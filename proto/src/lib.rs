//! What the balancer and its signer must agree on, to the byte.
//!
//! No I/O, no secrets, no clock: time and randomness come in as arguments. Each format stands in one module, with
//! its encoder beside its decoder; the signer uses the encoders only.

#![forbid(unsafe_code)]

mod base32;
pub mod config;
#[cfg(feature = "fixture")]
pub mod fixture;
pub mod journal;
pub mod netdoc;
mod text;
pub mod time;
pub mod v2;
pub mod v3;
pub mod wire;
