//! The load balancer: everything but the keys.
//!
//! [`runtime`] stands between the [`engine`], which decides, [`tor`] and the [`signer`]; [`v3`] knows the formats.

pub mod cli;
pub mod config;
pub mod engine;
pub mod log;
pub mod relay;
pub mod runtime;
pub mod signer;
pub mod status;
pub mod tor;
pub mod v3;
