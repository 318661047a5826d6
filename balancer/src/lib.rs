//! The load balancer: everything except the keys.
//!
//! [`lifecycle`] makes a running process of a configuration, and [`confinement`] restricts it. [`runtime`]
//! connects the [`engine`], which decides, with the [`network`], which [`tor`] carries, and the [`signer`];
//! [`v2`] and [`v3`] know the formats, and implement [`onion_version`].

#![forbid(unsafe_code)]

pub mod age;
mod aside;
pub mod cli;
pub mod commands;
pub mod config;
pub mod confinement;
pub mod control;
pub mod endpoint;
pub mod engine;
mod environment;
pub mod lifecycle;
mod local_socket;
pub mod log;
pub mod names;
pub mod network;
pub mod onion_version;
mod plural;
pub mod repeats;
pub mod runtime;
mod sibling;
pub mod signer;
pub mod state;
pub mod status;
pub mod tor;
pub mod v2;
pub mod v3;
