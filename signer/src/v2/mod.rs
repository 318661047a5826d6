//! Version 2 services: what is signed for whom.

pub mod judge;
pub mod secret;
pub mod service;
