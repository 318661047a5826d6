//! What the process does to itself, and to the memory that its secrets are in. The only module with `unsafe`.
//!
//! The order of start: [`hardening`] before anything could fail with a key in memory; keys into [`secret_memory`];
//! [`user`] drops root; [`activation`] or a socket of our own; [`confinement`], after which no file but the configuration
//! can be read and no system call made that serving does not need; then `READY=1`. Around all work for peers there is a [`guard`].

pub mod access_list;
pub mod activation;
pub mod confinement;
pub mod guard;
pub mod hardening;
pub mod secret_memory;
pub mod signals;
pub mod stack;
pub mod user;
