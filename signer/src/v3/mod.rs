//! Version 3 services: the rules of signing, the rendering, the secrets.

pub mod authority;
pub mod delegation;
pub mod judge;
pub mod revision;
pub mod secret;
pub mod service;
