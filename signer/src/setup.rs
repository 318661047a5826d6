//! From the configuration to a server: everything that can be wrong is said before anything is served.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User, getegid};
use onionbalance_proto::config::{self, Address, Config, ConfigError, Instances, check_own_backends};
use rand_core::OsRng;

use crate::config_file::ConfigFile;
use crate::keys::passphrase::Passphrases;
use crate::keys::{self, KeyFileError, Secret};
use crate::serve::{Server, Services};
use crate::service::{self, Service};
use crate::system::secret_memory::{self, Kind, MemoryError};
use crate::system::user::{self, UserError};
use crate::trust::Trust;
use crate::{v2, v3};

/// A server that is ready, and what else the configuration says.
pub struct Setup {
    /// Holds the keys.
    pub server: Server,
    /// `signer-socket-location`, made relative to the configuration file.
    pub socket: Option<PathBuf>,
    /// The user to become.
    pub user: Option<User>,
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
    /// The user to become.
    #[error(transparent)]
    User(#[from] UserError),
}

/// Reads the configuration and the keys it names, the encrypted ones among them with one of `passphrases`. Relative paths in
/// it start from its own directory.
pub fn load(config_file: &ConfigFile, passphrases: &Passphrases) -> Result<Setup, SetupError> {
    let path = config_file.path();
    let (text, config) = config_file.read()?;
    let user = config.signer_user.as_deref().map(user::find).transpose()?;
    let trust = trust_with_keys(config_file, &config, user.as_ref())?;
    let secrets = config.services.iter().map(|service| service::secrets(&service.instances)).sum();
    let memory = match secrets {
        // Services of version 2 alone: their keys are elsewhere.
        0 => None,
        secrets => Some(secret_memory::reserve(secrets, config.signer_allow_locked_memory)?),
    };
    let mut services: Vec<Service> = Vec::with_capacity(config.services.len());
    let mut addresses = HashSet::new();
    for service in &config.services {
        let about = |what| ConfigError::about(&text, path, &service.key, what);
        let file = config_file.relative(service.key.as_ref());
        let held = hold(service, &file, &trust, passphrases)
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
    let socket = config.signer_socket.map(|socket| config_file.relative(&socket));
    let services = Services::new(services);
    let server = Server::new(services, config.signer_requests_per_minute, config.signer_allowed_uids);
    Ok(Setup { server, socket, user, memory, summary, warnings })
}

/// The users that may own keys, root and the signer's own, and the groups that may read them.
///
/// Another user that may speak to the signer is the balancer's, and is in the group of the socket, which is that of this
/// process, or in the one that lets it read the configuration. So keys that members of these may read are refused then.
fn trust_with_keys(
    config_file: &ConfigFile,
    config: &Config,
    user: Option<&User>,
) -> Result<Trust, SetupError> {
    let trust = match user {
        Some(user) => Trust::in_user(user).map_err(|errno| UserError::Refused(user.name.clone(), errno))?,
        None => Trust::in_this_process(),
    };
    let trust = trust.allowing_readers(config.signer_allow_readable_keys);
    let own = user.map_or(Uid::effective(), |user| user.uid);
    if config.signer_allowed_uids.iter().all(|uid| [0, own.as_raw()].contains(uid)) {
        return Ok(trust);
    }
    let mut shared = config_file.groups()?;
    shared.push(user.map_or_else(getegid, |user| user.gid));
    Ok(trust.without_groups(&shared))
}

/// The outcome of a reload.
pub struct Reloaded {
    /// A log line for each service with other backends than before.
    pub summary: Vec<String>,
    /// Warnings about the configuration.
    pub warnings: Vec<ConfigError>,
}

/// Reads the configuration again and applies what may change while the keys stay: which backends are allowed, who
/// may ask, and how often. All of it, or nothing.
pub fn reload(config_file: &ConfigFile, server: &mut Server) -> Result<Reloaded, ConfigError> {
    let path = config_file.path();
    let (text, config) = config_file.read()?;
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

/// Tells the address of a service by its key.
fn addresses_by_key<'a>(services: impl Iterator<Item = &'a Service>) -> impl Fn(&str) -> Option<Address> {
    let addresses: HashMap<&str, Address> = services.map(|held| (held.key(), held.address())).collect();
    move |key| addresses.get(key).copied()
}

/// The service with the key in `file`, which has to be of its instances' version.
fn hold(
    service: &config::Service,
    file: &Path,
    trust: &Trust,
    passphrases: &Passphrases,
) -> Result<Service, KeyFileError> {
    let secret = keys::load(file, trust, passphrases, &service.instances)?;
    let key = service.key.clone();
    let mut held = match secret {
        Secret::V2(secret) => Service::V2(v2::service::Service::new(key, secret, Vec::new())),
        Secret::V3(authority) => Service::V3(v3::service::Service::new(key, authority, Vec::new())),
    };
    held.allow(&service.instances, &mut OsRng);
    Ok(held)
}
