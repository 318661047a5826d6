//! The places of the status, and the form that is shown at each.

use std::path::PathBuf;

/// Where the status is to be shown, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StatusPlace {
    /// The socket.
    pub path: PathBuf,
    /// What it shows.
    pub form: StatusForm,
}

/// What a reader gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StatusForm {
    /// Onionbalance 0.1.8's lines.
    Text,
    /// Onionbalance 0.2's JSON object.
    Json,
}
