//! Everything on real networks that nothing disturbs. One process runs these tests, which wait in parallel.

mod frontend;
mod frontend_v2;
mod network_v2;
