//! The places of the status, the form that is shown at each, and the users who may read it.

use std::path::PathBuf;

use onionbalance_proto::config::SocketMode;

/// The place of a status socket, and its form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StatusPlace {
    /// The path of the socket.
    pub path: PathBuf,
    /// The form in which the socket shows the status.
    pub form: StatusForm,
}

/// The form of the status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StatusForm {
    /// The lines of Onionbalance 0.1.8.
    Text,
    /// The JSON object of Onionbalance 0.2.
    Json,
}

/// The users who may read the status, by the group and the mode of its sockets.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StatusReaders {
    /// The group that the configuration names; `None`:
    /// [`STATUS_GROUP`](onionbalance_proto::config::STATUS_GROUP) if this machine has it and the process may
    /// give it away, else the process's own.
    pub group: Option<String>,
    /// The mode of the sockets.
    pub mode: SocketMode,
}
