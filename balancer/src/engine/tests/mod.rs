//! Tests of the engine's promises, one by one.

mod capacity;
mod clocks;
mod copies;
mod drains;
mod health;
mod looks;
mod proof;
mod properties;
mod publishing;
mod refusals;
mod sets;
mod signing;
mod slow_tor;
mod start;
mod turns;
mod weights;
mod without_backends;
