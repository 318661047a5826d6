//! From the configuration to a server: everything that can be wrong is said before anything is served.

use std::path::{Path, PathBuf};

use onionbalance_proto::config::{self, Config, ConfigError};
use rand_core::OsRng;

use crate::keys::passphrase::Passphrases;
use crate::keys::{self, KeyFileError};
use crate::serve::Server;
use crate::service::{self, Allowed, Service};
use crate::system::secret_memory::{self, Kind, MemoryError};

/// A server that is ready, and what else the configuration says.
pub struct Setup {
    /// Holds the keys.
    pub server: Server,
    /// `signer-socket-location`, made relative to the configuration file.
    pub socket: Option<PathBuf>,
    /// The user to become.
    pub user: Option<String>,
    /// Where the keys of version 3 services are, if there are any.
    pub memory: Option<Kind>,
    /// What to log: the addresses that are held.
    pub summary: Vec<String>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The configuration, or a key that it names.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no place to keep keys.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// Reads the configuration at `path` and the keys it names, the encrypted ones among them with one of `passphrases`.
/// Relative paths in it start from its own directory.
pub fn load(path: &Path, passphrases: &Passphrases) -> Result<Setup, SetupError> {
    let (text, config) = read(path)?;
    let secrets = config.services.iter().map(|service| Allowed::of(&service.instances).secrets()).sum();
    let memory = match secrets {
        // Services of version 2 alone: their keys are elsewhere.
        0 => None,
        secrets => Some(secret_memory::reserve(secrets, config.signer_allow_locked_memory)?),
    };
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut services: Vec<Service> = Vec::with_capacity(config.services.len());
    for service in &config.services {
        let about = |what| ConfigError::about(&text, path, &service.key, what);
        let file = directory.join(&service.key);
        let held = hold(service, &file, passphrases)
            .map_err(|error| about(format!("the key file {} {error}", file.display())))?;
        if services.iter().any(|earlier| earlier.address() == held.address()) {
            let what = format!("the key file {} is another service's key once more", file.display());
            return Err(about(what).into());
        }
        services.push(held);
    }
    let summary = services.iter().map(Service::summary).collect();
    let socket = config.signer_socket.map(|socket| directory.join(socket));
    let server = Server::new(services, config.signer_requests_per_minute, config.signer_allowed_uids);
    Ok(Setup { server, socket, user: config.signer_user, memory, summary })
}

/// Reads the configuration at `path` anew and applies what may change while the keys stay: which backends are allowed, who
/// may ask, and how often. All of it, or nothing.
pub fn reload(path: &Path, server: &mut Server) -> Result<Vec<String>, ConfigError> {
    let (text, config) = read(path)?;
    let about = |key: &str, what: String| ConfigError::about(&text, path, key, what);
    for service in &config.services {
        let same = |held: &&Service| held.key() == service.key;
        match server.services().find(same) {
            Some(held) if held.version() == Allowed::of(&service.instances).version() => {}
            Some(_) => {
                let what = format!(
                    "the instances of {} are of another version now: restart the signer",
                    service.key
                );
                return Err(about(&service.key, what));
            }
            None => {
                let what = format!(
                    "the key {} is not held: keys are read at the start only, so restart the signer",
                    service.key
                );
                return Err(about(&service.key, what));
            }
        }
    }
    let is_listed = |held: &&Service| config.services.iter().any(|service| service.key == held.key());
    if let Some(gone) = server.services().find(|held| !is_listed(held)) {
        let what = format!(
            "the key {} is held and not listed any more: restart the signer to give it up",
            gone.key()
        );
        return Err(about(gone.key(), what));
    }
    server.reconfigure(config.signer_requests_per_minute, config.signer_allowed_uids);
    for service in &config.services {
        if let Some(held) = server.services_mut().find(|held| held.key() == service.key) {
            held.allow(Allowed::of(&service.instances), &mut OsRng);
        }
    }
    Ok(server.services().map(Service::summary).collect())
}

fn read(path: &Path) -> Result<(String, Config), ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))?;
    let config = Config::parse(&text, path)?;
    Ok((text, config))
}

/// The service with the key in `file`, which has to be of its instances' version.
fn hold(service: &config::Service, file: &Path, passphrases: &Passphrases) -> Result<Service, KeyFileError> {
    let key = service.key.clone();
    Ok(match Allowed::of(&service.instances) {
        Allowed::V2(backends) => {
            let secret = keys::v2::load(file, passphrases)?;
            Service::V2(service::v2::Service::new(key, secret, backends))
        }
        Allowed::V3(backends) => {
            Service::V3(service::v3::Service::new(key, keys::v3::load(file, passphrases)?, backends))
        }
    })
}
