//! The load balancer: everything but the keys.
//!
//! [`start`] makes what runs of a configuration, and [`confinement`] is what the process does to itself then. [`runtime`] stands
//! between the [`engine`], which decides, [`tor`] and the [`signer`]; [`v2`] and [`v3`] know the formats, and meet the runtime
//! in [`generation`].

#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod confinement;
pub mod engine;
pub mod generation;
pub mod log;
pub mod relay;
pub mod runtime;
pub mod signer;
pub mod start;
pub mod state;
pub mod status;
pub mod tor;
pub mod v2;
pub mod v3;
