//! Frontends of both versions on real networks. One process runs their tests, which wait in parallel.

mod frontend;
mod frontend_v2;
