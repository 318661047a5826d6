//! Protection of the process and of the memory with its secrets. This is the only module with `unsafe`.
//!
//! The order of start: [`hardening`] before anything could fail with a key in memory; keys into
//! [`secret_memory`]; the process becomes the [`user`] of the configuration; [`activation`] or a socket of
//! our own; [`confinement`], after which no file but the configuration can be read and only the system calls
//! of serving can be made; then `READY=1`. A [`guard`] is around all work for peers.

pub mod access_list;
pub mod activation;
pub mod confinement;
pub mod guard;
pub mod hardening;
pub mod secret_memory;
pub mod signals;
pub mod stack;
pub mod user;
