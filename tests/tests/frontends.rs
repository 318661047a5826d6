//! Frontends of both versions on real networks, in one process: their tests wait side by side.

mod frontend;
mod frontend_v2;
