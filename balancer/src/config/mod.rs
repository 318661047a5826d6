//! The configuration as the balancer needs it: the file, supplemented by the environment and by the signer's
//! list of services.

mod control_place;
mod faults;
mod frontends;
mod labels;
mod status_place;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;
use onionbalance_proto::config::{
    self, Config, ConfigError, Instances, LogSettings, METRICS_LISTEN, Service, SocksPlace, TorDefaults,
    TorPlace, Tuning,
};
use tracing::warn;

pub(crate) use self::control_place::CONTROL_SOCKET;
pub use self::control_place::ControlPlace;
use self::faults::Faults;
pub(crate) use self::frontends::for_frontend;
pub use self::frontends::{Frontend, Frontends, TorPool};
pub(crate) use self::status_place::STATUS_SOCKET;
pub use self::status_place::{StatusForm, StatusPlace, StatusReaders};
use crate::endpoint::Endpoint;
use crate::signer::SignerPlace;
use crate::tor::Password;
use crate::tor::socks::SocksPort;

/// The most bytes of a configuration: many times a file of ten thousand services with ten backends each.
const LARGEST: u64 = 64 << 20;

/// The contents of the file. Clones share them.
#[derive(Clone)]
pub struct Configuration {
    /// The path of the file.
    path: PathBuf,
    /// The directory from which relative paths start.
    directory: PathBuf,
    text: Arc<str>,
    config: Arc<Config>,
}

impl Configuration {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, has more than 64 MiB, or is not valid.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        let config = Config::parse(&text, path)?;
        Ok(Self::of(path, own_directory(path), text, config))
    }

    /// Reads the file at `path`, and looks for all of its errors. Relative paths start from `directory`;
    /// `None`: from the file's own.
    ///
    /// # Errors
    /// The file cannot be read, or has more than 64 MiB.
    pub fn examine(path: &Path, directory: Option<&Path>) -> io::Result<Examined> {
        let text = read_text(path)?;
        let Faults { errors, is_complete, rest } = Faults::of(&text, path);
        let directory = directory.unwrap_or_else(|| own_directory(path));
        let rest = rest.map(|config| Self::of(path, directory, text, config));
        Ok(Examined { errors, is_complete, rest })
    }

    fn of(path: &Path, directory: &Path, text: String, config: Config) -> Self {
        Self {
            path: path.to_owned(),
            directory: directory.to_owned(),
            text: text.into(),
            config: config.into(),
        }
    }

    /// The values of the file.
    pub fn contents(&self) -> &Config {
        &self.config
    }

    /// The text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Logs a warning for each setting that has another effect than the file suggests. The log has to have
    /// begun, which the file configures.
    pub fn warn(&self) {
        for warning in &self.config.warnings {
            warn!("{}: {warning}", self.path.display());
        }
        for warning in self.config.without_instances(&self.text, &self.path) {
            warn!("{warning}");
        }
    }

    /// The place of the signer.
    pub fn signer(&self) -> SignerPlace {
        match &self.config.signer_socket {
            Some(socket) => SignerPlace::Socket(self.relative(socket)),
            None => SignerPlace::Child(self.path.clone()),
        }
    }

    /// The name of the user to become; `None` to stay.
    pub fn user(&self) -> Option<&str> {
        self.config.user.as_deref()
    }

    /// The tors of all services that name no others; `None` if the file does not list them.
    pub fn tors(&self) -> Option<Vec<Endpoint>> {
        self.config.tors.as_ref().map(|pool| self.endpoints(pool))
    }

    /// The places to look for the tor of services that name no other, if the file does not list tors.
    pub fn tor(&self) -> TorDefaults {
        let defaults = self.config.tor.clone();
        TorDefaults {
            socket: defaults.socket.map(|socket| socket.from_directory(&self.directory)),
            ..defaults
        }
    }

    /// The password of that tor's control port; `None` without one. `variable` is
    /// `ONIONBALANCE_TOR_CONTROL_PASSWORD`, which takes precedence over the file.
    pub fn control_password(&self, variable: Option<String>) -> Option<Password> {
        let in_file = || self.config.control_password.clone().map(|password| password.0);
        variable.or_else(in_file).map(Password::new)
    }

    /// The pace of work, and the shape of descriptors.
    pub fn tuning(&self) -> &Tuning {
        &self.config.tuning
    }

    /// The level and the file of the log.
    pub fn log(&self) -> LogSettings {
        let settings = self.config.log.clone();
        LogSettings { location: settings.location.map(|location| self.relative(&location)), ..settings }
    }

    /// An error about the value of a top-level key, with its line.
    pub(crate) fn error_of_key(&self, key: &str, what: &str) -> ConfigError {
        ConfigError::of_key(&self.text, &self.path, key, what)
    }

    /// Checks that no file which is written, replaced or moved aside is the configuration itself or a key.
    ///
    /// # Errors
    /// A file is one of these. The error has the line in which the configuration names it.
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

    /// The keys with other values than in `running` that take effect at a restart only.
    pub fn differs_lastingly(&self, running: &Self) -> Vec<&'static str> {
        let (ours, theirs) = (&self.config, &running.config);
        let differs = [
            ("signer-socket-location", ours.signer_socket != theirs.signer_socket),
            ("status-socket-location", ours.status_socket != theirs.status_socket),
            ("status-socket-group", ours.status_socket_group != theirs.status_socket_group),
            ("status-socket-mode", ours.status_socket_mode != theirs.status_socket_mode),
            ("control-socket-location", ours.control_socket != theirs.control_socket),
            (METRICS_LISTEN, ours.metrics_listen != theirs.metrics_listen),
            ("STATUS_SOCKET_LOCATION", ours.status_text_socket != theirs.status_text_socket),
            ("state-file-location", ours.state_file != theirs.state_file),
            ("user", ours.user != theirs.user),
            ("LOG_LOCATION", ours.log.location != theirs.log.location),
        ];
        differs.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }

    /// The tors of each service that has tors of its own, and `None` if a service has not; each pool once.
    pub fn pools(&self) -> Vec<Option<TorPool>> {
        let mut pools = Vec::new();
        for pool in self.config.services.iter().map(|service| self.own_tors(service)) {
            if !pools.contains(&pool) {
                pools.push(pool);
            }
        }
        pools
    }

    /// The SOCKS port that the file names for health checks; `None`: each tor names its own.
    pub fn socks(&self) -> Option<SocksPort> {
        self.config.tor_socks.as_ref().map(|place| match place {
            SocksPlace::Port(address) => SocksPort::Tcp(*address),
            SocksPlace::Socket(path) => SocksPort::Unix(self.relative(path)),
        })
    }

    /// The part of tor's SOCKS ports that the process has to reach.
    pub fn socks_need(&self) -> SocksNeed {
        let authorizes = |service: &Service| match &service.instances {
            Instances::V2(instances) => instances.iter().any(|instance| instance.auth.is_some()),
            Instances::None | Instances::V3(_) => false,
        };
        if self.config.services.iter().any(authorizes) {
            return SocksNeed::AnyPort("backends with `auth` are fetched through");
        }
        match self.socks() {
            _ if !self.config.has_health_checks() => SocksNeed::None,
            Some(SocksPort::Unix(_)) => SocksNeed::None,
            Some(SocksPort::Tcp(address)) => SocksNeed::Port(address.port()),
            None => SocksNeed::AnyPort(HEALTH_CHECKS),
        }
    }

    /// The tors of this service alone; `None` if it has none.
    pub(crate) fn own_tors(&self, service: &Service) -> Option<TorPool> {
        service.tor.as_ref().map(|pool| TorPool {
            endpoints: self.endpoints(pool),
            password: service.tor_control_password.clone().map(|password| Password::new(password.0)),
        })
    }

    /// The number of services, and the number of backends of all services, for the log.
    pub fn counts(&self) -> (usize, usize) {
        let services = &self.config.services;
        (services.len(), services.iter().map(|service| service.instances.count()).sum())
    }

    /// The path of the state file; `None` to keep no state. `directory` is the first of the service manager's
    /// `$STATE_DIRECTORY`, which gets the file if the configuration names none.
    pub fn state_file(&self, directory: Option<PathBuf>) -> Option<PathBuf> {
        let named = self.config.state_file.as_ref().map(|path| self.relative(path));
        named.or_else(|| Some(directory?.join("state.json")))
    }

    /// True if every service is v2, as in a configuration of 0.1.8.
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

    /// The path in the configuration, which starts from the file's own directory if it is relative.
    pub fn relative(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }
}

/// The TCP ports that a process needs for tor's SOCKS ports. AF_UNIX sockets need nothing here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SocksNeed {
    /// No port.
    None,
    /// This port, for health checks.
    Port(u16),
    /// Any port, since tor names its own later. The text says what for, and continues "tor's SOCKS port".
    AnyPort(&'static str),
}

/// The purpose of health checks' SOCKS port, as in [`SocksNeed::AnyPort`].
pub(crate) const HEALTH_CHECKS: &str = "health checks go through";

/// The outcome of a search for all errors of a configuration.
pub struct Examined {
    /// The errors; none exactly if the programs accept the file.
    pub errors: Vec<ConfigError>,
    /// False: some part of the file could not be judged because of these errors.
    pub is_complete: bool,
    /// The configuration without the places of the errors; `None`: nothing usable is left.
    pub rest: Option<Configuration>,
}

/// The directory of a file; empty if its path is a name alone.
fn own_directory(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// True if the file at `path` exists and is one of `others`, under any name.
fn is_one_of(path: &Path, others: &[PathBuf]) -> bool {
    let inode = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    let Some(own) = inode(path) else { return false };
    others.iter().any(|other| inode(other) == Some(own))
}

/// The text of a regular file of at most [`LARGEST`] bytes.
fn read_text(path: &Path) -> io::Result<String> {
    // Without this flag opening a pipe that has no writer would block (fifo(7)).
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

#[cfg(test)]
mod tests;
