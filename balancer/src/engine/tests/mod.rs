//! The engine's promises, one by one.

mod looks;
mod properties;
mod publishing;
mod refusals;
mod start;
