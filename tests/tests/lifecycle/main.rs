//! The balancer's process from its start to its end: what may be missing when it starts, what may come back elsewhere, what
//! signals ask of it, and what its service manager hears. Its tor is made up: it lets the balancer in and never becomes ready.

mod log;
mod manager;
mod reload;
mod signals;
mod signer;
mod status;
mod tor;
