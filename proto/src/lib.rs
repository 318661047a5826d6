//! The formats that the balancer and its signer must agree on, to the byte.
//!
//! No I/O, no secrets, no clock: time and randomness are arguments. Each format has one module, with its
//! encoder beside its decoder. The signer uses the decoders of frames, of the configuration and of v2
//! descriptors, and the encoders of everything that it signs.

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
