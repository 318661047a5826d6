//! The balancer's engine on a made-up network: no sockets, no real time.
//!
//! [`World`] has everything: relays, authorities and backends, and in [`balancer`] the engine with its state.
//! [`carrying`] and [`fetching`] carry the engine's actions to them, and events back. [`trouble`] lets things
//! go wrong. [`invariants`] are checked at every simulated minute, and at every action of the engine. Equal
//! scenarios run equally: the report of a broken promise has the scenario that shows it again, and [`trace`]
//! shows the part that one service had in it. `docs/testing.md` explains all of it.

#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::string_slice,
    reason = "nothing comes in from outside: what cannot be is an error of the simulator, which may end then"
)]

pub mod address;
pub mod backend;
pub mod balancer;
pub mod carrying;
pub mod dice;
pub mod draining;
mod fetching;
pub mod invariants;
pub mod network;
pub mod onion_version;
pub mod probing;
pub mod promises;
pub mod queue;
pub mod scenario;
pub mod service;
mod showing;
pub mod time;
pub mod tor;
pub mod trace;
pub mod trouble;
pub mod weighing;
pub mod world;

use invariants::{Failure, Report};
use onion_version::{V2, V3};
use scenario::{Scenario, Version};
use trace::Trace;
use world::World;

/// Runs a scenario to its end, or until an invariant is broken.
pub fn simulate(scenario: Scenario) -> Result<Report, Failure> {
    watch(scenario, None)
}

/// Runs a scenario as [`simulate`] does, with a trace.
pub fn watch(scenario: Scenario, trace: Option<Trace>) -> Result<Report, Failure> {
    match scenario.version {
        Version::V2 => World::<V2>::new(scenario, trace).run(),
        Version::V3 => World::<V3>::new(scenario, trace).run(),
    }
}
