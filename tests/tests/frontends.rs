//! Frontends of both versions on real networks, and backends on a version-2 network, which take as long. One
//! process runs their tests, which wait in parallel.

mod frontend;
mod frontend_v2;
mod network_v2;
