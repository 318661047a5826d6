//! The two programs on a real network, as separate processes, seen by operators and visitors.
//!
//! All tests share one network. Each has a frontend of its own, among those that the backends accept
//! introductions for, and a tor of its own for the balancer, so that tests do not disturb each other.

mod attacker;
mod calendar;
mod check;
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
mod weights;
