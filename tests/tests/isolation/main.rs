//! Both programs as processes: their remaining rights while they serve, and the rights of other processes
//! over them.
//!
//! They run as in the package, started by root, each as a user of its own. Their tor is made up: it
//! authenticates the balancer, and never becomes ready.

mod files;
mod kernels;
mod others;
mod status;
mod system_calls;
mod work;
