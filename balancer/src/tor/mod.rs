//! The tor daemon: a client of its control port for the few commands and events that a balancer needs, and
//! the documents that it hands out.
//!
//! [`session`] makes a connection that is ready for work; [`info`] and [`hsdir`] add the commands to it.
//! Below them, [`control`] keeps commands, replies and events in step, and [`reply`] parses bytes.
//! [`documents`] parses tor's documents of the network. Above all of them, [`carrier`] makes a
//! [`crate::network::Network`] of it: it keeps a session open, and assigns events to requests. No module here
//! knows the purpose of requests, or decides on retries.

mod auth;
pub mod carrier;
pub mod client_authorization;
mod command;
mod connect;
pub mod control;
mod data;
pub mod documents;
pub mod event;
pub mod hsdir;
pub mod info;
pub mod lookup;
#[cfg(test)]
mod mock;
mod queue;
mod reconnect;
pub mod reply;
mod safecookie;
pub mod session;
mod session_error;
pub mod socks;
#[cfg(test)]
mod talk;
mod version;
mod words;

pub use auth::{AuthError, Meeting, Password, meet};
pub use control::{Connection, ControlError, Events};
pub use event::Event;
pub use info::InfoKey;
pub use reconnect::Reconnect;
pub use session::{Greeting, Session};
pub use session_error::{SessionError, Unreachable};
pub use version::{TorVersion, Unsuitable, VersionError};
