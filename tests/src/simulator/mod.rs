//! The balancer's engine on a made-up network: no sockets, no real time.
//!
//! [`World`] is everything there is: relays, authorities, backends and the engine, in [`balancer`] with what stands between
//! it and them, and in [`carrying`] and [`fetching`] what it says and hears. [`trouble`] is what goes wrong. [`invariants`]
//! are looked at at every simulated minute, and at everything that the engine says. Equal scenarios run equally; who finds a
//! promise broken says how to see it again, and [`trace`] shows what one service's part in it was.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::string_slice,
    reason = "nothing comes in from outside: what cannot be is an error of the simulator, which may end then"
)]

pub mod address;
pub mod backend;
pub mod balancer;
pub mod carrying;
pub mod dice;
mod fetching;
pub mod generation;
pub mod invariants;
pub mod network;
pub mod promises;
pub mod queue;
pub mod scenario;
pub mod service;
pub mod time;
pub mod tor;
pub mod trace;
pub mod trouble;
pub mod world;

use generation::{V2, V3};
use invariants::{Failure, Report};
use scenario::{Scenario, Version};
use trace::Trace;
use world::World;

/// Runs a scenario to its end, or until something is not as it has to be.
pub fn simulate(scenario: Scenario) -> Result<Report, Failure> {
    watch(scenario, None)
}

/// Does so under somebody's eyes.
pub fn watch(scenario: Scenario, trace: Option<Trace>) -> Result<Report, Failure> {
    match scenario.version {
        Version::V2 => World::<V2>::new(scenario, trace).run(),
        Version::V3 => World::<V3>::new(scenario, trace).run(),
    }
}
