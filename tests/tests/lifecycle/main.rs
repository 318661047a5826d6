//! The balancer's process from its start to its end: a missing signer or tor, a tor that comes back elsewhere, reloads, signals,
//! and the messages to its service manager. Its tor is made up: it lets the balancer in and never becomes ready.

mod log;
mod manager;
mod reload;
mod signals;
mod signer;
mod status;
mod tor;
