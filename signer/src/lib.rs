//! Holds the keys of onion services, judges what it is asked over one stream, renders and signs descriptors; nothing else.
//!
//! The way of a request: [`serve`] reads it, [`judge_v2`] or [`judge_v3`] decides, [`service`] renders and signs,
//! [`audit`] writes one line, [`serve`] answers. Keys come in through [`keys`], live in [`secret`], act through [`authority`], and
//! leave nowhere. [`manage`] makes them, in another process.
//! [`system`] locks the process down.

pub mod audit;
pub mod authority;
pub mod judge_v2;
pub mod judge_v3;
pub mod keys;
pub mod limit;
pub mod listen;
pub mod log;
pub mod manage;
pub mod not_ready;
pub mod revision;
pub mod secret;
pub mod serve;
pub mod service;
pub mod setup;
pub mod start;
pub mod system;
