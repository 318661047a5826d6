//! The formats that the balancer and its signer must agree on, to the byte.
//!
//! No I/O, no secrets, no clock: time and randomness are arguments. Each format has one module, with its
//! encoder beside its decoder. The balancer uses both. The signer decodes frames, the configuration, onion
//! addresses and v2 descriptors. It encodes its replies and everything that it signs, and parses no v3
//! document.

#![forbid(unsafe_code)]

mod base32;
pub mod config;
#[cfg(feature = "fixture")]
pub mod fixture;
pub mod journal;
pub mod netdoc;
pub mod relay;
mod text;
pub mod time;
pub mod v2;
pub mod v3;
pub mod wire;
