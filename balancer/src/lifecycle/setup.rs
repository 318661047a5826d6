//! The combination of command line, configuration file and environment.

use std::path::{Path, PathBuf};

use onionbalance_proto::config::{ConfigError, LogAddresses, LogSettings};
use onionbalance_proto::wire::HeldService;
use tracing::field::display;
use tracing::{info, warn};

use crate::aside::aside;
use crate::cli::{Arguments, BadLogVariable, LogVariables};
use crate::config::{self, Configuration, ControlPlace, Frontends, SocksNeed, StatusPlace, TorPool};
use crate::confinement::Reach;
use crate::endpoint::Endpoint;
use crate::engine::{ServiceId, Weights};
use crate::environment::{directory, path_variable, variable};
use crate::log::Labels;
use crate::names::Names;
use crate::onion_version::{Frontend, OnionVersion};
use crate::runtime::{Share, Work};
use crate::signer::SignerPlace;
use crate::state::Memory;
use crate::tor::carrier::Link;
use crate::tor::{self, Meeting};

/// The most services that the log introduces: the journal drops more messages at a time (journald.conf(5),
/// `RateLimitBurst=`).
const MAX_LISTED: usize = 100;

/// A configuration with the command line and the environment.
#[derive(Clone)]
pub struct Setup {
    arguments: Arguments,
    pub(super) configuration: Configuration,
    log: LogSettings,
}

/// The reason for which a setup is not valid.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The environment is not valid.
    #[error(transparent)]
    Log(#[from] BadLogVariable),
}

impl Setup {
    /// Reads the file that `arguments` name.
    ///
    /// # Errors
    /// The file cannot be read or is not valid, or the environment is not valid.
    pub fn read(arguments: Arguments) -> Result<Self, SetupError> {
        let configuration = Configuration::read(&arguments.config)?;
        Self::of(arguments, configuration)
    }

    /// The setup of a configuration that was read.
    ///
    /// # Errors
    /// A file that is written is the configuration or a key, or the environment is not valid.
    pub fn of(arguments: Arguments, configuration: Configuration) -> Result<Self, SetupError> {
        let log = arguments.log(configuration.log(), log_variables())?;
        let setup = Self { arguments, configuration, log };
        let places = setup.status_places();
        let (state, control) = (setup.state_file(), setup.control_place());
        let control = control.as_ref().map(|place| &place.path);
        let written = places.iter().map(|place| &place.path).chain(&setup.log.location).chain(&state);
        let written = written.chain(control);
        setup.configuration.check_written(written.map(PathBuf::as_path))?;
        Ok(setup)
    }

    /// Reads the same file again.
    pub(super) fn read_again(&self) -> Result<Self, SetupError> {
        Self::read(self.arguments.clone())
    }

    /// Reads the same file again in a thread: with ten thousand backends it takes a second.
    pub(super) async fn read_again_aside(&self) -> Result<Self, SetupError> {
        let arguments = self.arguments.clone();
        aside(|| Self::read(arguments)).await
    }

    /// Reads the configuration as a reload will, and logs a failure: the process may have been root before,
    /// and have read a file that its user cannot read.
    pub fn warn_of_reload(&self) {
        if let Err(error) = self.read_again() {
            warn!("SIGHUP will be refused: {error}");
        }
    }

    /// The contents of the file.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The path of the file as the command line has it.
    pub(super) fn file(&self) -> &Path {
        &self.arguments.config
    }

    /// The settings of the log.
    pub fn log(&self) -> &LogSettings {
        &self.log
    }

    /// The settings of the log before the file is known, on standard error alone.
    pub fn log_without_file(arguments: &Arguments) -> LogSettings {
        let variables = LogVariables { location: None, ..log_variables() };
        // A variable that is not valid is reported when the file is known.
        arguments.log(LogSettings::default(), variables).unwrap_or_default()
    }

    /// The texts that replace addresses in the log; empty if it may have addresses. `held` are the services of
    /// the signer, as far as they are known.
    pub fn labels(&self, held: &[HeldService]) -> Labels {
        if self.hides_addresses() { self.configuration.labels(held) } else { Labels::new() }
    }

    fn hides_addresses(&self) -> bool {
        self.log.addresses == Some(LogAddresses::Hidden)
    }

    /// The state of an earlier process; empty if neither the configuration nor the service manager names a
    /// place for it.
    pub fn memory(&self) -> Memory {
        self.state_file().map_or_else(Memory::default, Memory::read)
    }

    fn state_file(&self) -> Option<PathBuf> {
        self.configuration.state_file(directory("STATE_DIRECTORY"))
    }

    /// The sockets that show the status.
    pub(super) fn status_places(&self) -> Vec<StatusPlace> {
        let variable = path_variable("ONIONBALANCE_STATUS_SOCKET_LOCATION");
        self.configuration.status(variable, directory("RUNTIME_DIRECTORY"))
    }

    /// The socket at which the balancer takes commands; `None`: there is none.
    pub(super) fn control_place(&self) -> Option<ControlPlace> {
        let variable = path_variable("ONIONBALANCE_STATUS_SOCKET_LOCATION");
        self.configuration.control(variable, directory("RUNTIME_DIRECTORY"))
    }

    /// True if this process starts the signer.
    pub(super) fn has_child_signer(&self) -> bool {
        matches!(self.configuration.signer(), SignerPlace::Child(_))
    }

    /// The files and ports that the confined process needs. Asks each tor for the path of its cookie.
    pub(super) async fn reach(&self, places: &[StatusPlace]) -> Reach {
        let mut reach = Reach::default();
        reach.configuration(&self.arguments.config);
        let (state, control) = (self.state_file(), self.control_place().map(|place| place.path));
        let files = places.iter().map(|place| &place.path).chain(&self.log.location);
        for file in files.chain(&state).chain(&control) {
            reach.written(file);
        }
        match self.configuration.socks_need() {
            SocksNeed::None => {}
            SocksNeed::Port(port) => reach.port(port),
            SocksNeed::AnyPort(_) => reach.any_port(),
        }
        let mut met_any = false;
        for endpoint in self.endpoints() {
            reach.tor(&endpoint);
            if let Meeting::Tor(cookie) = tor::meet(&endpoint).await {
                met_any = true;
                if let Some(cookie) = cookie {
                    reach.cookie(&cookie);
                }
            }
        }
        if !met_any {
            reach.await_tor();
        }
        reach
    }

    /// The control ports of all tors.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let mut endpoints = Vec::new();
        for pool in self.configuration.pools() {
            for endpoint in self.links(pool).into_iter().flat_map(|link| link.endpoints) {
                if !endpoints.contains(&endpoint) {
                    endpoints.push(endpoint);
                }
            }
        }
        endpoints
    }

    /// The work for these frontends, by pool of tors.
    pub(super) fn work(&self, frontends: Frontends) -> Work {
        let Frontends { v2, v3, names, .. } = frontends;
        let names = if self.hides_addresses() { names.without_addresses() } else { names };
        Work {
            v2: self.shares(v2, &names),
            v3: self.shares(v3, &names),
            tuning: self.configuration.tuning().clone(),
            names,
        }
    }

    /// The frontends of one version, grouped by their tors.
    fn shares<V: OnionVersion>(
        &self,
        frontends: Vec<config::Frontend<V::Address, V::Backend>>,
        names: &Names,
    ) -> Vec<Share<V>> {
        let mut shares: Vec<Share<V>> = Vec::new();
        if let Some(more) = frontends.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
            info!("balancing {more} services besides the following");
        }
        for (index, config::Frontend { address, backends, weights, checks, tors }) in
            frontends.into_iter().enumerate()
        {
            if index < MAX_LISTED {
                introduce::<V>(&address, &backends, &weights, names);
            }
            let tors = self.links(tors);
            let frontend = Frontend { address, backends, weights, checks };
            match shares.iter_mut().find(|share| share.tors == tors) {
                Some(share) => share.frontends.push(frontend),
                None => shares.push(Share { tors, frontends: vec![frontend] }),
            }
        }
        shares
    }

    /// The links to a service's own tors, else to those of all services.
    pub(crate) fn links(&self, own: Option<TorPool>) -> Vec<Link> {
        let default_password =
            || self.configuration.control_password(variable("ONIONBALANCE_TOR_CONTROL_PASSWORD"));
        let socks = self.configuration.socks();
        let (endpoints, password) = match own {
            Some(TorPool { endpoints, password }) => (Some(endpoints), password.or_else(default_password)),
            None => (self.configuration.tors().filter(|_| !self.arguments.has_tor()), default_password()),
        };
        let Some(endpoints) = endpoints else {
            // A single tor, at the first of these places that answers.
            let endpoints = self.arguments.endpoints(&self.configuration.tor());
            return vec![Link { endpoints, password, socks }];
        };
        let link = |one| Link { endpoints: vec![one], password: password.clone(), socks: socks.clone() };
        endpoints.into_iter().map(link).collect()
    }
}

/// Logs a service, the number of its backends and the names of the drained ones. For a service with a name
/// the log has the address here, and the name alone from here on.
fn introduce<V: OnionVersion>(
    address: &V::Address,
    backends: &[V::Backend],
    weights: &Weights,
    names: &Names,
) {
    let service = ServiceId::of(address);
    let shown = names.of_service(&service).filter(|_| names.shows_addresses()).map(|_| display(&service));
    let drained: Vec<&str> = weights.drained().map(|backend| names.backend(backend)).collect();
    let drained = (!drained.is_empty()).then(|| display(drained.join(",")));
    let name = names.service(&service);
    info!(service = %name, address = shown, backends = backends.len(), drained, "balancing");
    if let Some(line) = V::client_line(address, backends) {
        let service = names.service(&service);
        if names.shows_addresses() {
            info!(service = %service, "clients need this line in their torrc: {line}");
        } else {
            // The line has the address, and a cookie.
            info!(service = %service, "clients need a line in their torrc: see the status");
        }
    }
}

fn log_variables() -> LogVariables {
    LogVariables {
        level: variable("ONIONBALANCE_LOG_LEVEL"),
        location: path_variable("ONIONBALANCE_LOG_LOCATION"),
        addresses: variable("ONIONBALANCE_LOG_ADDRESSES"),
    }
}
