//! Version 2 services: the rules of signing, the rendering, the secrets.

pub mod judge;
pub mod secret;
pub mod service;
