//! From the configuration to services. Every problem of the configuration is reported before anything is
//! served.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::io;

use nix::unistd::{Uid, User, getegid};
use onionbalance_process::monotonic;
use onionbalance_proto::config::{Config, ConfigError, Instances, check_own_backends};
use onionbalance_trust::Trust;

use crate::allowed_users::AllowedUsers;
use crate::config_file::ConfigFile;
use crate::keys;
use crate::limit::RateLimit;
use crate::log::{self, Priority};
use crate::serve::{Server, Services};
use crate::service::Service;
use crate::system::access_list;
use crate::system::secret_memory::{self, Kind};
use crate::system::user;
use crate::v3;
use onionbalance_key_file::passphrase::Passphrases;

/// The most services that the log lists at the start and at a reload: the journal drops a burst of more
/// messages than its limit (journald.conf(5), `RateLimitBurst=`).
const MAX_LISTED: usize = 100;

/// The key with the users that may connect.
const ALLOWED_USERS: &str = "signer-allowed-uids";

/// The settings of the configuration, and the keys that it names.
pub struct Setup {
    /// The parsed configuration.
    pub config: Config,
    /// The services with their keys.
    pub services: Services,
    /// The user to become; `None` to stay.
    pub user: Option<User>,
    /// The users that may connect.
    pub allowed: AllowedUsers,
    /// The lines to log once the services are served.
    pub report: Report,
}

/// The lines to log after a configuration was applied.
pub struct Report {
    /// A line for each service whose allowed backends are new.
    services: Vec<String>,
    warnings: Vec<ConfigError>,
}

impl Report {
    /// Logs up to [`MAX_LISTED`] lines of each kind.
    pub fn log(&self) {
        for line in self.services.iter().take(MAX_LISTED) {
            log::line(Priority::Info, line);
        }
        if let Some(more) = self.services.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
            log::line(Priority::Info, format_args!("and {more} services more"));
        }
        for warning in self.warnings.iter().take(MAX_LISTED) {
            log::line(Priority::Warning, warning);
        }
    }
}

/// Reads the configuration and the keys that it names; encrypted keys are opened with one of `passphrases`.
/// Relative paths start from the configuration's directory.
///
/// # Errors
/// The configuration or a key is not valid, there is no memory for the keys, or the user to become is not
/// known.
pub fn load(config_file: &ConfigFile, passphrases: &Passphrases) -> Result<Setup, Box<dyn Error>> {
    let path = config_file.path();
    let (text, config) = config_file.read()?;
    let user = config.signer_user.as_deref().map(user::find).transpose()?;
    let unknown = |what: String| ConfigError::of_key(&text, path, ALLOWED_USERS, &what);
    let allowed = AllowedUsers::look_up(&config.signer_allowed_users).map_err(unknown)?;
    let trust = trust_with_keys(config_file, &config, user.as_ref(), &allowed)?;
    reserve_memory(&config)?;
    let now = monotonic();
    let mut services: Vec<Service> = Vec::with_capacity(config.services.len());
    let mut addresses = HashSet::new();
    for service in &config.services {
        let about = |what| ConfigError::about(&text, path, &service.key, what);
        let file = config_file.relative(service.key.as_ref());
        let secret = keys::load(&file, &trust, passphrases, &service.instances)
            .map_err(|error| about(format!("the key file {} {error}", file.display())))?;
        let limit = RateLimit::new(config.signer_requests_per_minute, now);
        let mut held = Service::new(service.key.clone(), secret, limit);
        if !addresses.insert(held.address()) {
            let what = format!("the key file {} has the same key as another service", file.display());
            return Err(about(what).into());
        }
        held.allow(&service.instances);
        services.push(held);
    }
    let held = by_key(&services);
    check_own_backends(&config.services, |key| Some(held.get(key)?.address()), &text, path)?;
    let report = Report {
        services: services.iter().map(Service::summary).collect(),
        warnings: config.without_instances(&text, path),
    };
    Ok(Setup { config, services: Services::new(services), user, allowed, report })
}

/// Reads the configuration again, and applies the settings that may change while the keys stay: the allowed
/// backends, the allowed users and the rate limits. Either all of them are applied or none.
///
/// # Errors
/// The configuration is not valid, or names other keys than those that are held.
pub fn reload(config_file: &ConfigFile, server: &mut Server) -> Result<Report, ConfigError> {
    let path = config_file.path();
    let (text, config) = config_file.read()?;
    let refused = |key: &str, what| Err(ConfigError::about(&text, path, key, what));
    let held = by_key(server.services.held());
    let mut listed: HashMap<&str, &Instances> = HashMap::new();
    for service in &config.services {
        let key = service.key.as_str();
        let Some(held) = held.get(key) else {
            let what =
                format!("the key {key} is not held: keys are read at the start only, so restart the signer");
            return refused(key, what);
        };
        if !held.fits(&service.instances) {
            let what = format!("the instances of {key} now have another version: restart the signer");
            return refused(key, what);
        }
        listed.insert(key, &service.instances);
    }
    if let Some(gone) = server.services.held().iter().find(|held| !listed.contains_key(held.key.as_str())) {
        let key = &gone.key;
        let what = format!("the key {key} is held but no longer listed: restart the signer to give it up");
        return refused(key, what);
    }
    check_own_backends(&config.services, |key| Some(held.get(key)?.address()), &text, path)?;
    let unknown = |what: String| ConfigError::of_key(&text, path, ALLOWED_USERS, &what);
    let uids = server.allowed.resolved(&config.signer_allowed_users).map_err(unknown)?;
    let mut services = Vec::new();
    for held in server.services.held_mut() {
        if listed.get(held.key.as_str()).is_some_and(|instances| held.allow(instances)) {
            services.push(held.summary());
        }
    }
    server.configure(&config);
    server.allowed.set(uids);
    Ok(Report { services, warnings: config.without_instances(&text, path) })
}

fn by_key(services: &[Service]) -> HashMap<&str, &Service> {
    services.iter().map(|held| (held.key.as_str(), held)).collect()
}

/// The users that may own keys (root and the signer's own), and the groups that may read them.
///
/// Any other user in `signer-allowed-uids` is the balancer's. It is in the socket's group, which is that of
/// this process, or in the group that may read the configuration. So keys that members of these groups may
/// read are refused then.
fn trust_with_keys(
    config_file: &ConfigFile,
    config: &Config,
    user: Option<&User>,
    allowed: &AllowedUsers,
) -> Result<Trust, Box<dyn Error>> {
    let mut trust =
        Trust::in_this_process(access_list::read).allowing_readers(config.signer_allow_readable_keys);
    let (mut own, mut group) = (Uid::effective(), getegid());
    if let Some(user) = user {
        let unknown =
            |errno| format!("signer-user: the groups of {} cannot be looked up: {errno}", user.name);
        trust = trust.in_user(user).map_err(unknown)?;
        (own, group) = (user.uid, user.gid);
    }
    if allowed.are_own(own) {
        return Ok(trust);
    }
    let mut shared = config_file.groups()?;
    shared.push(group);
    Ok(trust.without_groups(&shared))
}

/// Reserves memory for the secrets of all services that may be version 3. RSA keys are elsewhere.
fn reserve_memory(config: &Config) -> io::Result<()> {
    let services = config.services.iter().filter(|service| !matches!(service.instances, Instances::V2(_)));
    let secrets = services.count() * v3::service::SECRETS;
    if secrets > 0 && secret_memory::reserve(secrets, config.signer_allow_locked_memory)? == Kind::Locked {
        let what = "keys are in locked memory, which root can read: the kernel has no memfd_secret";
        log::line(Priority::Warning, what);
    }
    Ok(())
}
