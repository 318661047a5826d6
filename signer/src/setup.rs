//! From the configuration to a server: everything that can be wrong is said before anything is served.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use onionbalance_proto::config::{self, Address, Config, ConfigError, Instances, check_own_backends};
use rand_core::OsRng;

use crate::keys::passphrase::Passphrases;
use crate::keys::{self, KeyFileError, Secret};
use crate::serve::{Server, Services};
use crate::service::{self, Service};
use crate::system::secret_memory::{self, Kind, MemoryError};
use crate::{v2, v3};

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
    /// Warnings about the configuration.
    pub warnings: Vec<ConfigError>,
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
    let secrets = config.services.iter().map(|service| service::secrets(&service.instances)).sum();
    let memory = match secrets {
        // Services of version 2 alone: their keys are elsewhere.
        0 => None,
        secrets => Some(secret_memory::reserve(secrets, config.signer_allow_locked_memory)?),
    };
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut services: Vec<Service> = Vec::with_capacity(config.services.len());
    let mut addresses = HashSet::new();
    for service in &config.services {
        let about = |what| ConfigError::about(&text, path, &service.key, what);
        let file = directory.join(&service.key);
        let held = hold(service, &file, passphrases)
            .map_err(|error| about(format!("the key file {} {error}", file.display())))?;
        if !addresses.insert(held.address()) {
            let what = format!("the key file {} is another service's key once more", file.display());
            return Err(about(what).into());
        }
        services.push(held);
    }
    check_own_backends(&config.services, addresses_by_key(services.iter()), &text, path)?;
    let summary = services.iter().map(Service::summary).collect();
    let warnings = config.without_instances(&text, path);
    let socket = config.signer_socket.map(|socket| directory.join(socket));
    let services = Services::new(services);
    let server = Server::new(services, config.signer_requests_per_minute, config.signer_allowed_uids);
    Ok(Setup { server, socket, user: config.signer_user, memory, summary, warnings })
}

/// The outcome of a reload.
pub struct Reloaded {
    /// A log line for each service with other backends than before.
    pub summary: Vec<String>,
    /// Warnings about the configuration.
    pub warnings: Vec<ConfigError>,
}

/// Reads the configuration at `path` again and applies what may change while the keys stay: which backends are allowed, who
/// may ask, and how often. All of it, or nothing.
pub fn reload(path: &Path, server: &mut Server) -> Result<Reloaded, ConfigError> {
    let (text, config) = read(path)?;
    let about = |key: &str, what: String| ConfigError::about(&text, path, key, what);
    let held: HashMap<&str, &Service> = server.services().iter().map(|held| (held.key(), held)).collect();
    for service in &config.services {
        let key = &service.key;
        let held = held.get(key.as_str()).ok_or_else(|| {
            about(
                key,
                format!("the key {key} is not held: keys are read at the start only, so restart the signer"),
            )
        })?;
        if !held.fits(&service.instances) {
            let what = format!("the instances of {key} are of another version now: restart the signer");
            return Err(about(key, what));
        }
    }
    let listed: HashMap<&str, &Instances> =
        config.services.iter().map(|service| (service.key.as_str(), &service.instances)).collect();
    if let Some(gone) = server.services().iter().find(|held| !listed.contains_key(held.key())) {
        let key = gone.key();
        let what = format!("the key {key} is held and not listed any more: restart the signer to give it up");
        return Err(about(key, what));
    }
    check_own_backends(&config.services, addresses_by_key(server.services().iter()), &text, path)?;
    let mut summary = Vec::new();
    for held in server.services_mut().iter_mut() {
        if listed.get(held.key()).is_some_and(|instances| held.allow(instances, &mut OsRng)) {
            summary.push(held.summary());
        }
    }
    server.reconfigure(config.signer_requests_per_minute, config.signer_allowed_uids.clone());
    Ok(Reloaded { summary, warnings: config.without_instances(&text, path) })
}

fn read(path: &Path) -> Result<(String, Config), ConfigError> {
    let text = read_text(path).map_err(|error| ConfigError::unreadable(path, &error))?;
    let config = Config::parse(&text, path)?;
    Ok((text, config))
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

/// Bytes of a configuration at most: many times a file of ten thousand services with ten backends each.
const LARGEST: u64 = 64 << 20;

/// Tells the address of a service by its key.
fn addresses_by_key<'a>(services: impl Iterator<Item = &'a Service>) -> impl Fn(&str) -> Option<Address> {
    let addresses: HashMap<&str, Address> = services.map(|held| (held.key(), held.address())).collect();
    move |key| addresses.get(key).copied()
}

/// The service with the key in `file`, which has to be of its instances' version.
fn hold(service: &config::Service, file: &Path, passphrases: &Passphrases) -> Result<Service, KeyFileError> {
    let secret = match &service.instances {
        Instances::None => keys::load(file, passphrases)?,
        Instances::V2(_) => Secret::V2(keys::v2::load(file, passphrases)?),
        Instances::V3(_) => Secret::V3(keys::v3::load(file, passphrases)?),
    };
    let key = service.key.clone();
    let mut held = match secret {
        Secret::V2(secret) => Service::V2(v2::service::Service::new(key, secret, Vec::new())),
        Secret::V3(authority) => Service::V3(v3::service::Service::new(key, authority, Vec::new())),
    };
    held.allow(&service.instances, &mut OsRng);
    Ok(held)
}
