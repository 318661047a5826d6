//! The place of the control socket.

use std::path::PathBuf;

use super::{Configuration, StatusForm};

/// The control socket in the directory of the status socket.
pub(crate) const CONTROL_SOCKET: &str = "control.sock";

/// The place of the control socket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ControlPlace {
    /// The path of the socket.
    pub path: PathBuf,
    /// True if the file names it: the operator relies on it.
    pub is_named: bool,
}

impl Configuration {
    /// The control socket; `None`: there is none. Without `control-socket-location` it is beside the status
    /// socket for JSON, of which [`Configuration::status_sockets`] finds the place by the same arguments.
    pub fn control(
        &self,
        variable: Option<PathBuf>,
        runtime_directory: Option<PathBuf>,
    ) -> Option<ControlPlace> {
        if let Some(path) = &self.config.control_socket {
            return Some(ControlPlace { path: self.relative(path), is_named: true });
        }
        let places = self.status_sockets(variable, runtime_directory);
        let json = places.into_iter().find(|place| place.form == StatusForm::Json)?;
        let path = json.path.with_file_name(CONTROL_SOCKET);
        (path != json.path).then_some(ControlPlace { path, is_named: false })
    }
}
