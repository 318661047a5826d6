//! From a command line and a file to what runs in a process that can do nothing else any more, and from the file again at
//! each SIGHUP. The order matters: [`crate::confinement`] has it.

use std::error::Error;
use std::path::PathBuf;

use onionbalance_proto::config::LogSettings;
use tokio::signal::unix::Signal;
use tracing::{error, info, warn};

use crate::cli::{Arguments, BadLevelVariable};
use crate::config::{self, Configuration, Frontends, ServiceTor};
use crate::confinement::{Bounds, OutOfBounds, Reach, confine};
use crate::generation::{Frontend, Generation};
use crate::runtime::{Link, Runtimes, Share, StatusBoard, Work};
use crate::signer::{ChildSigner, SignerClient, SignerError};
use crate::state::Memory;
use crate::status::{StatusPlace, StatusSockets};
use crate::tor::{self, Endpoint};

/// Everything that balances, what it was made from, and what it may become.
pub struct Balancer {
    arguments: Arguments,
    configuration: Configuration,
    bounds: Bounds,
    child: Option<ChildSigner>,
    runtimes: Runtimes,
}

impl Balancer {
    /// Begins to balance what the signer holds of `configuration`, in a process that is confined from then on. Waits for the
    /// signer's first answer: it may be asking a person for passphrases.
    pub async fn start(
        arguments: Arguments,
        configuration: Configuration,
        memory: Memory,
    ) -> Result<(Self, StatusSockets), Box<dyn Error>> {
        let mut signer = SignerClient::new(configuration.signer());
        let frontends = configuration.frontends(&signer.services().await?)?;
        for left_out in &frontends.left_out {
            warn!("{left_out}");
        }
        let child = signer.take_child();
        let places = configuration.status(variable("ONIONBALANCE_STATUS_SOCKET_LOCATION").map(PathBuf::from));
        let status = StatusSockets::bind(&places)?;
        let needs_socks = frontends.authorize();
        let work = work(&arguments, &configuration, frontends);
        let mut reach = files(&arguments, &configuration, &places)?;
        for endpoint in endpoints(&work) {
            reach.tor(endpoint, tor::cookie_file(endpoint).await.as_deref());
        }
        if needs_socks {
            reach.any_port();
        }
        if let Some(pid) = child.as_ref().and_then(ChildSigner::pid) {
            reach.child(pid);
        }
        let bounds = confine(&reach)?;
        let runtimes = Runtimes::start(signer, memory, work);
        Ok((Self { arguments, configuration, bounds, child, runtimes }, status))
    }

    /// Where to ask how all services stand.
    pub fn board(&self) -> StatusBoard {
        self.runtimes.board()
    }

    /// Balances, by the newest configuration that makes sense, until something is missing that does not come back.
    pub async fn serve(&mut self, hangup: &mut Signal) -> Box<dyn Error> {
        loop {
            tokio::select! {
                refused = self.runtimes.refused() => return refused.into(),
                ended = end(self.child.as_mut()) => return ended.into(),
                Some(()) = hangup.recv() => self.reload().await,
            }
        }
    }

    /// Reads the configuration anew and balances by it: by all of it, or, where anything is wrong with it, as before.
    async fn reload(&mut self) {
        match self.read_anew().await {
            Ok((configuration, work)) => {
                configuration.warn();
                let (services, backends) = configuration.counts();
                self.runtimes.configure(work);
                self.configuration = configuration;
                info!(services, backends, "read {} anew", self.arguments.config.display());
            }
            Err(problem) => error!("the configuration stays as it was: {problem}"),
        }
    }

    async fn read_anew(&self) -> Result<(Configuration, Work), Box<dyn Error>> {
        let configuration = Configuration::read(&self.arguments.config)?;
        configuration.check_lasting(&self.configuration)?;
        if let Some(child) = &self.child {
            child.reload();
        }
        let mut frontends = configuration.frontends(&self.runtimes.held().await?)?;
        if let Some(left_out) = frontends.left_out.pop() {
            return Err(left_out.into());
        }
        let needs_socks = frontends.authorize();
        let work = work(&self.arguments, &configuration, frontends);
        self.check_reach(&work, needs_socks)?;
        Ok((configuration, work))
    }

    /// Whether this process has not given up what the work needs.
    fn check_reach(&self, work: &Work, needs_socks: bool) -> Result<(), OutOfBounds> {
        for endpoint in endpoints(work) {
            self.bounds.may_connect(endpoint)?;
        }
        if needs_socks { self.bounds.may_connect_anywhere() } else { Ok(()) }
    }
}

/// What an earlier process has left, where the configuration or the service manager has a place for it.
pub fn state(configuration: &Configuration) -> Memory {
    state_file(configuration).map_or_else(Memory::default, Memory::read)
}

/// How and where to log.
pub fn log_settings(
    arguments: &Arguments,
    configuration: &Configuration,
) -> Result<LogSettings, BadLevelVariable> {
    let level = variable("ONIONBALANCE_LOG_LEVEL");
    let location = variable("ONIONBALANCE_LOG_LOCATION").map(PathBuf::from);
    arguments.log(configuration.log(), level, location)
}

/// The files that are needed once the process is confined.
fn files(
    arguments: &Arguments,
    configuration: &Configuration,
    places: &[StatusPlace],
) -> Result<Reach, BadLevelVariable> {
    let mut reach = Reach::default();
    reach.configuration(&arguments.config);
    let log = log_settings(arguments, configuration)?.location;
    let state = state_file(configuration);
    for file in places.iter().map(|place| &place.path).chain(&log).chain(&state) {
        reach.written(file);
    }
    Ok(reach)
}

fn state_file(configuration: &Configuration) -> Option<PathBuf> {
    // A colon stands between several.
    let directory = variable("STATE_DIRECTORY").and_then(|list| list.split(':').next().map(PathBuf::from));
    configuration.state_file(directory)
}

/// The end of a signer that is our child, for ever if there is none.
async fn end(child: Option<&mut ChildSigner>) -> SignerError {
    match child {
        Some(child) => child.ended().await,
        None => std::future::pending().await,
    }
}

fn work(arguments: &Arguments, configuration: &Configuration, frontends: Frontends) -> Work {
    let socket = variable("ONIONBALANCE_TOR_CONTROL_SOCKET").map(PathBuf::from);
    let default = Link {
        endpoints: arguments.endpoints(&configuration.tor(), socket),
        password: configuration.control_password(variable("ONIONBALANCE_TOR_CONTROL_PASSWORD")),
    };
    Work {
        v2: shares(frontends.v2, &default),
        v3: shares(frontends.v3, &default),
        tuning: configuration.tuning().clone(),
    }
}

/// The control ports of all tors.
fn endpoints(work: &Work) -> impl Iterator<Item = &Endpoint> {
    let links = work.v2.iter().map(|share| &share.link).chain(work.v3.iter().map(|share| &share.link));
    links.flat_map(|link| &link.endpoints)
}

/// The frontends of one generation, those together that have the same tor.
fn shares<G: Generation>(
    frontends: Vec<config::Frontend<G::Address, G::Backend>>,
    default: &Link,
) -> Vec<Share<G>> {
    let mut shares: Vec<Share<G>> = Vec::new();
    for config::Frontend { address, backends, tor } in frontends {
        info!(service = %address, backends = backends.len(), "balancing");
        let link = tor.map_or_else(|| default.clone(), |tor| own_link(tor, default));
        let frontend = Frontend { address, backends };
        match shares.iter_mut().find(|share| share.link == link) {
            Some(share) => share.frontends.push(frontend),
            None => shares.push(Share { link, frontends: vec![frontend] }),
        }
    }
    shares
}

fn own_link(tor: ServiceTor, default: &Link) -> Link {
    Link { endpoints: vec![tor.endpoint], password: tor.password.or_else(|| default.password.clone()) }
}

/// An environment variable that says something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
