//! The two programs on a real v2 network, as separate processes, seen by operators and visitors.
//!
//! All tests share one network of tor 0.4.5.9. Each has frontends of its own, and a tor of its own for the
//! balancer, so that tests do not disturb each other.

mod authorized;
mod changes;
mod distinct;
mod lies;
mod observer;
mod publication;
mod rollover;
mod site;
mod two_tors;
