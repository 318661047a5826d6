//! The private networks themselves, without a balancer.

mod changes;
mod v2;
mod v3;
