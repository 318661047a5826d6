//! From a command line and a file to what runs, at the start and again at each SIGHUP.

use std::error::Error;
use std::path::PathBuf;

use tracing::{error, info, warn};

use crate::cli::Arguments;
use crate::config::{self, Configuration, Frontends, ServiceTor};
use crate::generation::{Frontend, Generation};
use crate::runtime::{Link, Runtimes, Share, Work};
use crate::signer::SignerClient;
use crate::state::Memory;

/// Everything that balances, and what it was made from.
pub struct Balancer {
    arguments: Arguments,
    configuration: Configuration,
    runtimes: Runtimes,
}

impl Balancer {
    /// Begins to balance what the signer holds of `configuration`. Waits for the signer's first answer: it may be asking a
    /// person for passphrases.
    pub async fn start(
        arguments: Arguments,
        configuration: Configuration,
        mut signer: SignerClient,
        memory: Memory,
    ) -> Result<Self, Box<dyn Error>> {
        let frontends = configuration.frontends(&signer.services().await?)?;
        for left_out in &frontends.left_out {
            warn!("{left_out}");
        }
        let runtimes = Runtimes::start(signer, memory, work(&arguments, &configuration, frontends));
        Ok(Self { arguments, configuration, runtimes })
    }

    /// The runtimes.
    pub fn runtimes(&mut self) -> &mut Runtimes {
        &mut self.runtimes
    }

    /// Reads the configuration anew and balances by it: by all of it, or, where anything is wrong with it, as before.
    pub async fn reload(&mut self) {
        match self.read_anew().await {
            Ok((configuration, frontends)) => {
                configuration.warn();
                let (services, backends) = configuration.counts();
                self.runtimes.configure(work(&self.arguments, &configuration, frontends));
                self.configuration = configuration;
                info!(services, backends, "read {} anew", self.arguments.config.display());
            }
            Err(problem) => error!("the configuration stays as it was: {problem}"),
        }
    }

    async fn read_anew(&self) -> Result<(Configuration, Frontends), Box<dyn Error>> {
        let configuration = Configuration::read(&self.arguments.config)?;
        configuration.check_lasting(&self.configuration)?;
        let mut frontends = configuration.frontends(&self.runtimes.held().await?)?;
        match frontends.left_out.pop() {
            Some(left_out) => Err(left_out.into()),
            None => Ok((configuration, frontends)),
        }
    }
}

fn work(arguments: &Arguments, configuration: &Configuration, frontends: Frontends) -> Work {
    let default = Link {
        endpoints: arguments
            .endpoints(&configuration.tor(), variable("ONIONBALANCE_TOR_CONTROL_SOCKET").map(PathBuf::from)),
        password: configuration.control_password(variable("ONIONBALANCE_TOR_CONTROL_PASSWORD")),
    };
    Work {
        v2: shares(frontends.v2, &default),
        v3: shares(frontends.v3, &default),
        tuning: configuration.tuning().clone(),
    }
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
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
