//! The configuration as the balancer needs it: the file, what the environment adds to it, and what the signer says of the
//! services in it.

mod frontends;

use std::path::{Path, PathBuf};

use onionbalance_proto::config::{
    Config, ConfigError, Instances, LogSettings, TorDefaults, TorPlace, Tuning,
};
use tracing::warn;

pub use self::frontends::{Frontend, Frontends, ServiceTor};
use crate::signer::SignerPlace;
use crate::status::{Form, StatusPlace};
use crate::tor::{Endpoint, Password};

/// Where 0.1.8 showed its status unless it was told another place.
const STATUS_LOCATION: &str = "/var/run/onionbalance/control";

/// What the file says.
pub struct Configuration {
    /// The file's own path.
    path: PathBuf,
    text: String,
    config: Config,
}

impl Configuration {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        let config = Config::parse(&text, path)?;
        Ok(Self { path: path.to_owned(), text, config })
    }

    /// Logs what has another effect than the file says. Not before the log has begun, of which the file has a word to say.
    pub fn warn(&self) {
        for warning in &self.config.warnings {
            warn!("{}: {warning}", self.path.display());
        }
    }

    /// Where the signer is.
    pub fn signer(&self) -> SignerPlace {
        match &self.config.signer_socket {
            Some(socket) => SignerPlace::Socket(self.relative(socket)),
            None => SignerPlace::Child(self.path.clone()),
        }
    }

    /// The user to become.
    pub fn user(&self) -> Option<&str> {
        self.config.user.as_deref()
    }

    /// Where tor is, for services that name no other.
    pub fn tor(&self) -> TorDefaults {
        let defaults = self.config.tor.clone();
        TorDefaults { socket: defaults.socket.map(|socket| self.relative(&socket)), ..defaults }
    }

    /// The password of that tor's control port. `variable` is `ONIONBALANCE_TOR_CONTROL_PASSWORD`, which goes before the file.
    pub fn control_password(&self, variable: Option<String>) -> Option<Password> {
        let in_file = || self.config.control_password.clone().map(|password| password.0);
        variable.or_else(in_file).map(Password::new)
    }

    /// The pace, and the shape of what is published.
    pub fn tuning(&self) -> &Tuning {
        &self.config.tuning
    }

    /// How and where to log.
    pub fn log(&self) -> LogSettings {
        let settings = self.config.log.clone();
        LogSettings { location: settings.location.map(|location| self.relative(&location)), ..settings }
    }

    /// Where to show the status. `variable` is `ONIONBALANCE_STATUS_SOCKET_LOCATION`.
    ///
    /// 0.1.8 knew v2 services and took the file before the variable, the 0.2 series knew v3 services and took the variable
    /// before the file.
    pub fn status(&self, variable: Option<PathBuf>) -> Vec<StatusPlace> {
        let text = self.config.status_text_socket.as_ref().map(|path| self.relative(path));
        let json = self.config.status_socket.as_ref().map(|path| self.relative(path));
        let as_text = |path| StatusPlace { path, form: Form::Text };
        let as_json = |path| StatusPlace { path, form: Form::Json };
        match (text, json, variable) {
            (None, None, None) if self.is_v2_only() => {
                usual_status_location().map(as_text).into_iter().collect()
            }
            (None, None, Some(variable)) if self.is_v2_only() => vec![as_text(variable)],
            (None, None, variable) => variable.map(as_json).into_iter().collect(),
            (Some(text), None, _) => vec![as_text(text)],
            (text, Some(json), variable) => {
                text.map(as_text).into_iter().chain([as_json(variable.unwrap_or(json))]).collect()
            }
        }
    }

    /// What this file says otherwise than `running`, and cannot be changed while the process runs.
    pub fn check_lasting(&self, running: &Self) -> Result<(), ConfigError> {
        let changed = [
            ("signer-socket-location", self.config.signer_socket != running.config.signer_socket),
            ("status-socket-location", self.config.status_socket != running.config.status_socket),
            ("STATUS_SOCKET_LOCATION", self.config.status_text_socket != running.config.status_text_socket),
            ("state-file-location", self.config.state_file != running.config.state_file),
            ("LOG_LEVEL", self.config.log.level != running.config.log.level),
            ("LOG_LOCATION", self.config.log.location != running.config.log.location),
        ];
        match changed.into_iter().find(|(_, changed)| *changed) {
            Some((key, _)) => {
                let line = self.text.lines().position(|line| line.starts_with(key));
                let what = format!("{key} is read at the start only: restart onionbalance to change it");
                Err(ConfigError {
                    file: self.path.display().to_string(),
                    line: line.map(|index| index + 1),
                    what,
                })
            }
            None => Ok(()),
        }
    }

    /// How many services there are, and how many backends in all of them, for the log.
    pub fn counts(&self) -> (usize, usize) {
        let services = &self.config.services;
        (services.len(), services.iter().map(|service| service.instances.count()).sum())
    }

    /// Where to keep what outlives the process, if anywhere. `directory` is the first of the service manager's
    /// `$STATE_DIRECTORY`, where a file that the configuration does not name would be.
    pub fn state_file(&self, directory: Option<PathBuf>) -> Option<PathBuf> {
        let named = self.config.state_file.as_ref().map(|path| self.relative(path));
        named.or_else(|| Some(directory?.join("state.json")))
    }

    /// Whether there is nothing that 0.1.8 did not know.
    fn is_v2_only(&self) -> bool {
        self.config.services.iter().all(|service| matches!(service.instances, Instances::V2(_)))
    }

    /// Where a service's own tor is.
    fn endpoint(&self, place: &TorPlace) -> Endpoint {
        match place {
            TorPlace::Socket(path) => Endpoint::Unix(self.relative(path)),
            TorPlace::Port { host, port } => Endpoint::Tcp { host: host.clone(), port: *port },
        }
    }

    /// Relative paths start from the file's own directory.
    fn relative(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }
}

/// 0.1.8's, if it is prepared: nobody has asked for a status there.
fn usual_status_location() -> Option<PathBuf> {
    let path = Path::new(STATUS_LOCATION);
    path.parent().is_some_and(Path::is_dir).then(|| path.to_owned())
}

#[cfg(test)]
mod tests;
