//! Both programs as processes: what they can still do once they serve, and what others can do to them.
//!
//! They run as the package runs them, started by root, each as a user of its own. Their tor is made up: it lets the balancer
//! in and never becomes ready.

mod files;
mod kernels;
mod others;
mod status;
mod system_calls;
mod work;
