//! The load balancer: everything but the keys.
//!
//! [`runtime`] stands between the [`engine`], which decides, [`tor`] and the [`signer`]; [`v3`] knows the formats.

pub mod engine;
pub mod relay;
pub mod tor;
pub mod v3;
