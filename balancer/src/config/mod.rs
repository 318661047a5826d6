//! The configuration as the balancer needs it: the file, what the environment adds to it, and what the signer says of the
//! services in it.

mod frontends;
mod status_place;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use onionbalance_proto::config::{
    self, Config, ConfigError, Instances, LogSettings, Service, TorDefaults, TorPlace, Tuning,
};
use tracing::warn;

pub use self::frontends::{Frontend, Frontends, TorPool};
pub use self::status_place::{StatusForm, StatusPlace};
use crate::signer::SignerPlace;
use crate::tor::{Endpoint, Password};

/// Where 0.1.8 showed its status unless it was told another place.
const STATUS_LOCATION: &str = "/var/run/onionbalance/control";

/// The socket of the status in the service manager's runtime directory.
const STATUS_SOCKET: &str = "status.sock";

/// Bytes of a configuration at most: many times a file of ten thousand services with ten backends each.
const LARGEST: u64 = 64 << 20;

/// The contents of the file.
#[derive(Clone)]
pub struct Configuration {
    /// The file's own path.
    path: PathBuf,
    text: String,
    config: Config,
}

impl Configuration {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        let config = Config::parse(&text, path)?;
        Ok(Self { path: path.to_owned(), text, config })
    }

    /// Logs what has another effect than the file says. Not before the log has begun, of which the file has a word to say.
    pub fn warn(&self) {
        for warning in &self.config.warnings {
            warn!("{}: {warning}", self.path.display());
        }
        for warning in self.config.without_instances(&self.text, &self.path) {
            warn!("{warning}");
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

    /// The tors of all services that name no others, if the file lists them.
    pub fn tors(&self) -> Option<Vec<Endpoint>> {
        self.config.tors.as_ref().map(|pool| self.endpoints(pool))
    }

    /// Where to look for the tor of services that name no other, if the file does not list tors.
    pub fn tor(&self) -> TorDefaults {
        let defaults = self.config.tor.clone();
        TorDefaults {
            socket: defaults.socket.map(|socket| socket.from_directory(self.directory())),
            ..defaults
        }
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

    /// Where to show the status. `variable` is `ONIONBALANCE_STATUS_SOCKET_LOCATION`; `runtime_directory` is the service
    /// manager's, where the status is shown as JSON if no place for that is named.
    ///
    /// 0.1.8 knew v2 services and took the file before the variable, the 0.2 series knew v3 services and took the variable
    /// before the file.
    pub fn status(&self, variable: Option<PathBuf>, runtime_directory: Option<PathBuf>) -> Vec<StatusPlace> {
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

    /// Checks that no file which is written, replaced or moved aside is the configuration itself or a key.
    ///
    /// # Errors
    /// The line, where the file names the path.
    pub fn check_written<'a>(&self, written: impl IntoIterator<Item = &'a Path>) -> Result<(), ConfigError> {
        let keys = self.config.services.iter().map(|service| self.relative(Path::new(&service.key)));
        let precious: Vec<PathBuf> = keys.chain([self.path.clone()]).collect();
        for path in written {
            if precious.iter().any(|precious| precious == path) || is_one_of(path, &precious) {
                let what = format!("{} is the configuration or a key: name another file", path.display());
                let name = path.strip_prefix(self.relative(Path::new(""))).unwrap_or(path);
                return Err(ConfigError::about(&self.text, &self.path, &name.display().to_string(), what));
            }
        }
        Ok(())
    }

    /// The keys which this file sets otherwise than `running`, and which cannot be changed while the process runs.
    pub fn differs_lastingly(&self, running: &Self) -> Vec<&'static str> {
        let (ours, theirs) = (&self.config, &running.config);
        let differs = [
            ("signer-socket-location", ours.signer_socket != theirs.signer_socket),
            ("status-socket-location", ours.status_socket != theirs.status_socket),
            ("STATUS_SOCKET_LOCATION", ours.status_text_socket != theirs.status_text_socket),
            ("state-file-location", ours.state_file != theirs.state_file),
            ("user", ours.user != theirs.user),
            ("LOG_LOCATION", ours.log.location != theirs.log.location),
        ];
        differs.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }

    /// The tors of each service that has some of its own, `None` for those that have not; each pool once.
    pub fn pools(&self) -> Vec<Option<TorPool>> {
        let mut pools = Vec::new();
        for pool in self.config.services.iter().map(|service| self.own_tors(service)) {
            if !pools.contains(&pool) {
                pools.push(pool);
            }
        }
        pools
    }

    /// Whether there is a v2 backend that authorizes its clients.
    pub fn authorizes_clients(&self) -> bool {
        let authorizes = |service: &Service| match &service.instances {
            Instances::V2(instances) => instances.iter().any(|instance| instance.auth.is_some()),
            Instances::None | Instances::V3(_) => false,
        };
        self.config.services.iter().any(authorizes)
    }

    fn own_tors(&self, service: &Service) -> Option<TorPool> {
        service.tor.as_ref().map(|pool| TorPool {
            endpoints: self.endpoints(pool),
            password: service.tor_control_password.clone().map(|password| Password::new(password.0)),
        })
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

    fn endpoints(&self, pool: &config::TorPool) -> Vec<Endpoint> {
        let endpoint = |place: &TorPlace| match place {
            TorPlace::Socket(socket) => Endpoint::Unix(self.relative(socket.path())),
            TorPlace::Port { host, port } => Endpoint::Tcp { host: host.clone(), port: *port },
        };
        pool.places().iter().map(endpoint).collect()
    }

    /// Relative paths start from the file's own directory.
    fn relative(&self, path: &Path) -> PathBuf {
        self.directory().join(path)
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// Whether a file that is there already is one of these under another name.
fn is_one_of(path: &Path, others: &[PathBuf]) -> bool {
    let inode = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    let Some(own) = inode(path) else { return false };
    others.iter().any(|other| inode(other) == Some(own))
}

/// Reads a file that is one, and is not endless.
fn read_text(path: &Path) -> io::Result<String> {
    // Without this flag the end of a pipe that nobody writes to would be waited for (fifo(7)).
    let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    if file.take(LARGEST + 1).read_to_string(&mut text)? as u64 > LARGEST {
        return Err(io::Error::other(format!("it has more than {LARGEST} bytes")));
    }
    Ok(text)
}

/// 0.1.8's, if it is prepared: nobody has asked for a status there.
fn usual_status_location() -> Option<PathBuf> {
    let path = Path::new(STATUS_LOCATION);
    path.parent().is_some_and(Path::is_dir).then(|| path.to_owned())
}

#[cfg(test)]
mod tests;
