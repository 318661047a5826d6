//! Holds the keys of onion services. It judges the requests of one stream, and renders and signs descriptors;
//! nothing else.
//!
//! The way of a request: [`serve`] reads it and finds the [`service`], the judge of its version
//! ([`v2::judge`], [`v3::judge`]) decides, the service of its version ([`v2::service`], [`v3::service`])
//! renders and signs, [`serve`] logs one line and answers. [`keys`] takes the keys into secret memory:
//! [`onionbalance_key_file`] reads and opens them, [`onionbalance_trust`] judges which users could have
//! written them. [`system`] locks the process down. The package `onionbalance-key`, a program of its own,
//! makes keys.

pub mod allowed_users;
pub mod audit;
pub mod check;
pub mod config_file;
pub mod help;
pub mod keys;
pub mod limit;
pub mod log;
pub mod serve;
pub mod service;
pub mod setup;
pub mod start;
pub mod system;
pub mod v2;
pub mod v3;

pub use onionbalance_process::now;
