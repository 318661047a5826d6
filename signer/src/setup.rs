//! From the configuration to a server: everything that can be wrong is said before anything is served.

use std::path::{Path, PathBuf};

use onionbalance_proto::config::{self, Config, ConfigError, InstanceV2, Instances};

use crate::keys::passphrase::Passphrases;
use crate::serve::Server;
use crate::service::Service;
use crate::{judge_v2, keys, service};

/// A server that is ready, and where it should listen.
pub struct Setup {
    /// Holds the keys.
    pub server: Server,
    /// `signer-socket-location`, made relative to the configuration file.
    pub socket: Option<PathBuf>,
    /// What to log: the addresses that are held.
    pub summary: Vec<String>,
}

/// Reads the configuration at `path` and the keys it names, the encrypted ones among them with one of `passphrases`.
/// Relative paths in it start from its own directory.
pub fn load(path: &Path, passphrases: &Passphrases) -> Result<Setup, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))?;
    let config = Config::parse(&text, path)?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut services: Vec<Service> = Vec::with_capacity(config.services.len());
    for service in &config.services {
        let about = |what| ConfigError::about(&text, path, &service.key, what);
        let file = directory.join(&service.key);
        let held = hold(service, &file, passphrases)
            .map_err(|error| about(format!("the key file {} {error}", file.display())))?;
        if services.iter().any(|earlier| earlier.address() == held.address()) {
            return Err(about(format!("the key file {} is another service's key once more", file.display())));
        }
        services.push(held);
    }
    let summary = services
        .iter()
        .zip(&config.services)
        .map(|(held, service)| {
            format!("holding {} for {} backends", held.address(), service.instances.count())
        })
        .collect();
    let socket = config.signer_socket.map(|socket| directory.join(socket));
    let server = Server::new(services, config.signer_requests_per_minute, config.signer_allowed_uids);
    Ok(Setup { server, socket, summary })
}

/// The service with the key in `file`, which has to be of its instances' version.
fn hold(service: &config::Service, file: &Path, passphrases: &Passphrases) -> Result<Service, KeyFileError> {
    let key = service.key.clone();
    Ok(match &service.instances {
        Instances::V2(instances) => {
            let backend = |instance: &InstanceV2| judge_v2::Backend {
                address: instance.address,
                cookie: instance.auth.clone(),
            };
            let secret = keys::v2::load(file, passphrases)?;
            Service::V2(service::v2::Service::new(key, secret, instances.iter().map(backend).collect()))
        }
        Instances::V3(instances) => {
            let backends = instances.iter().map(|instance| instance.address).collect();
            Service::V3(service::v3::Service::new(key, keys::v3::load(file)?, backends))
        }
    })
}

/// Why a key file of either version holds no usable key.
#[derive(Debug, thiserror::Error)]
enum KeyFileError {
    #[error(transparent)]
    V2(#[from] keys::v2::KeyFileError),
    #[error(transparent)]
    V3(#[from] keys::v3::KeyFileError),
}
