//! The places of the status, the form that is shown at each, and the users who may read it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use onionbalance_proto::config::{MetricsPlace, SocketMode};

use super::Configuration;

/// The status socket of 0.1.8 by default.
const STATUS_LOCATION: &str = "/var/run/onionbalance/control";

/// The socket of the status in the service manager's runtime directory.
pub(crate) const STATUS_SOCKET: &str = "status.sock";

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

impl Configuration {
    /// The sockets that show the status. `variable` is `ONIONBALANCE_STATUS_SOCKET_LOCATION`;
    /// `runtime_directory` is the service manager's, which gets a JSON socket if neither file nor variable
    /// names one.
    ///
    /// The order of file and variable depends on the version of the services: 0.1.8 knew v2 services and gave
    /// the file precedence, the 0.2 series knew v3 services and gave the variable precedence.
    pub(crate) fn status_sockets(
        &self,
        variable: Option<PathBuf>,
        runtime_directory: Option<PathBuf>,
    ) -> Vec<StatusPlace> {
        let text = self.config.status_text_socket.as_ref().map(|path| self.relative(path));
        let json = self.config.status_socket.as_ref().map(|path| self.relative(path));
        let (text, json) = match (text, json, variable) {
            (None, None, variable) if self.is_v2_only() => (variable.or_else(usual_status_location), None),
            (None, None, variable) => (None, variable),
            (Some(text), None, _) => (Some(text), None),
            (text, Some(json), variable) => (text, Some(variable.unwrap_or(json))),
        };
        let json = json.or_else(|| Some(runtime_directory?.join(STATUS_SOCKET)));
        let text = text.map(|path| StatusPlace { path, form: StatusForm::Text });
        text.into_iter().chain(json.map(|path| StatusPlace { path, form: StatusForm::Json })).collect()
    }

    /// The sockets that show the status, as in [`Configuration::status_sockets`]. The socket of
    /// `metrics-listen` is one more for JSON, unless its place is one of the others.
    pub fn status(&self, variable: Option<PathBuf>, runtime_directory: Option<PathBuf>) -> Vec<StatusPlace> {
        let mut places = self.status_sockets(variable, runtime_directory);
        if let Some(path) =
            self.metrics_socket().filter(|path| places.iter().all(|place| place.path != *path))
        {
            places.push(StatusPlace { path, form: StatusForm::Json });
        }
        places
    }

    /// The users who may read the status.
    pub fn status_readers(&self) -> StatusReaders {
        StatusReaders { group: self.config.status_socket_group.clone(), mode: self.config.status_socket_mode }
    }

    /// The TCP port of the metrics; `None`: none is opened.
    pub fn metrics_port(&self) -> Option<SocketAddr> {
        match self.config.metrics_listen {
            Some(MetricsPlace::Port(address)) => Some(address),
            Some(MetricsPlace::Socket(_)) | None => None,
        }
    }

    /// The path of the socket of the metrics; `None`: the file names none.
    pub(crate) fn metrics_socket(&self) -> Option<PathBuf> {
        match &self.config.metrics_listen {
            Some(MetricsPlace::Socket(path)) => Some(self.relative(path)),
            Some(MetricsPlace::Port(_)) | None => None,
        }
    }
}

/// 0.1.8's default path, if its directory exists: the operator has not asked for this socket.
fn usual_status_location() -> Option<PathBuf> {
    let path = Path::new(STATUS_LOCATION);
    path.parent().is_some_and(Path::is_dir).then(|| path.to_owned())
}
