//! The balancer's process from its start to its end: a missing signer or tor, a tor that returns with other
//! paths, reloads, signals, and the messages to its service manager. Its tor is made up: it authenticates the
//! balancer, and never becomes ready. The commands besides balancing are here, too.

mod check;
mod config;
mod control;
mod log;
mod manager;
mod metrics;
mod reload;
mod signals;
mod signer;
mod status;
mod tor;
