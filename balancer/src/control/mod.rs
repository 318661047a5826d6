//! The control socket: an operator on this machine drains backends and enables them again while the balancer
//! runs.
//!
//! One connection is one request in one line of JSON, and one line in return ([`request`]). The kernel
//! reports the user of the other end, which has to be root or the balancer's own. [`judge`] decides what a
//! request changes; the [`server`] applies that to the memory, from which all runtimes learn of it. The
//! signer has no part in it: it allows a backend whether it is drained or not.

pub(crate) mod judge;
pub(crate) mod request;
mod server;

pub use self::server::{ControlError, ControlSocket};
