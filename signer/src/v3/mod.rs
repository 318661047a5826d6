//! Version 3 services: what is signed for whom.

pub mod authority;
pub mod delegation;
pub mod judge;
pub mod revision;
pub mod secret;
pub mod service;
