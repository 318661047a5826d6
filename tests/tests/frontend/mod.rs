//! The two programs at work on a real network, as separate processes: what operators and visitors see.
//!
//! All tests share one network. Each has a frontend, an address, of its own among those whose introductions the backends
//! accept, and a tor of its own for the balancer, so none disturbs another.

mod attacker;
mod calendar;
mod child_signer;
mod control_port;
mod delegation;
mod lies;
mod made_up;
mod many_backends;
mod observer;
mod production;
mod reload;
mod secrets;
mod signer_restart;
mod site;
mod units;
