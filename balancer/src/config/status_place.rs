//! The places of the status, and the form that is shown at each.

use std::path::PathBuf;

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
