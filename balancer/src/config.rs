//! The configuration as the balancer needs it: the file, and what the signer says of the services in it.

use std::path::{Path, PathBuf};

use onionbalance_proto::config::{Config, ConfigError, Instances};
use onionbalance_proto::v3::OnionAddress;
use onionbalance_proto::wire::HeldService;
use tracing::warn;

use crate::signer::SignerPlace;
use crate::tor::Password;

/// What the file says.
pub struct Configuration {
    /// The file's own path.
    path: PathBuf,
    text: String,
    config: Config,
}

/// A frontend and its backends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frontend {
    /// The frontend's address, of which the signer holds the key.
    pub address: OnionAddress,
    /// The backends' addresses, each once.
    pub backends: Vec<OnionAddress>,
}

impl Configuration {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        let config = Config::parse(&text, path)?;
        for warning in &config.warnings {
            warn!("{}: {warning}", path.display());
        }
        Ok(Self { path: path.to_owned(), text, config })
    }

    /// Where the signer is.
    pub fn signer(&self) -> SignerPlace {
        match &self.config.signer_socket {
            Some(socket) => SignerPlace::Socket(self.relative(socket)),
            None => SignerPlace::Child(self.path.clone()),
        }
    }

    /// Where to show the status. `variable` is `ONIONBALANCE_STATUS_SOCKET_LOCATION`, which goes before the file.
    pub fn status_socket(&self, variable: Option<PathBuf>) -> Option<PathBuf> {
        variable.or_else(|| self.config.status_socket.as_ref().map(|socket| self.relative(socket)))
    }

    /// The password of tor's control port. `variable` is `ONIONBALANCE_TOR_CONTROL_PASSWORD`.
    pub fn control_password(&self, variable: Option<String>) -> Option<Password> {
        variable
            .or_else(|| self.config.control_password.clone().map(|password| password.0))
            .map(Password::new)
    }

    /// The frontends: the file's services with the addresses of the keys that the signer holds for them.
    pub fn frontends(&self, held: &[HeldService]) -> Result<Vec<Frontend>, ConfigError> {
        let mut frontends = Vec::with_capacity(self.config.services.len());
        for service in &self.config.services {
            let about = |what| ConfigError::about(&self.text, &self.path, &service.key, what);
            let held = held.iter().find(|held| held.key() == service.key).ok_or_else(|| {
                about(format!(
                    "the signer does not hold the key {}: restart it with this configuration",
                    service.key
                ))
            })?;
            let (HeldService::V3(held), Instances::V3(instances)) = (held, &service.instances) else {
                return Err(about(format!(
                    "the instances of {} are v2 onion services, which this program does not balance",
                    service.key
                )));
            };
            let mut backends = Vec::with_capacity(instances.len());
            for instance in instances {
                if backends.contains(&instance.address) {
                    warn!(
                        "{}: {} is listed twice for {}",
                        self.path.display(),
                        instance.address,
                        held.address
                    );
                } else {
                    backends.push(instance.address);
                }
                if !held.backends.contains(&instance.address) {
                    warn!(
                        "the signer will not sign for {}, which it does not know as a backend of {}: \
                         restart it with this configuration",
                        instance.address, held.address
                    );
                }
            }
            frontends.push(Frontend { address: held.address, backends });
        }
        Ok(frontends)
    }

    /// Relative paths start from the file's own directory.
    fn relative(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }
}
