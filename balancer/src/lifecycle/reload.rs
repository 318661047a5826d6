//! SIGHUP: a new configuration takes effect as a whole, or not at all.

use std::error::Error;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::agreement::Agreed;
use super::{Balancer, Setup};
use crate::config::{HEALTH_CHECKS, SocksNeed};
use crate::confinement::OutOfBounds;
use crate::tor::carrier::Patience;
use crate::tor::{self, Meeting};

/// The longest wait until the signer has read the same file. A service manager signals both programs at once.
const SIGNER_WITHIN: Duration = Duration::from_secs(5);
/// The time between two questions to a signer that has not read it yet.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A reload that was computed and checked: nothing can refuse it any more.
struct Reload {
    setup: Setup,
    /// `None` before the first answer of the signer.
    agreed: Option<Agreed>,
}

impl Balancer {
    /// Reads the configuration again, and balances by it if it is valid.
    pub(super) async fn reload(&mut self) {
        self.manager.reloading();
        match self.prepare().await {
            Ok(reload) => {
                self.apply(reload);
                self.board().set_reload(None);
            }
            Err(problem) => {
                self.board().set_reload(Some(problem.to_string()));
                error!(
                    problem = "RELOAD_REFUSED",
                    "reload refused, still running the previous configuration: {problem}"
                );
                // The signer may have taken the new one. It would refuse every request with a backend that it
                // no longer allows.
                self.agreement.begin_again();
            }
        }
        self.manager.ready();
    }

    async fn prepare(&self) -> Result<Reload, Box<dyn Error>> {
        // A thread that begins before a tor is met would not be confined like this one.
        let setup = if self.confinement.awaits_tor() {
            self.setup.read_again()?
        } else {
            self.setup.read_again_aside().await?
        };
        self.check_reach(&setup).await?;
        // The last step that can fail: from here on a signer that is our child has the new configuration.
        if let Some(child) = &self.child {
            child.reload();
        }
        // An operator who has repaired the signer reloads next.
        self.runtimes.end_rest_of_signer().await;
        let agreed =
            if self.agreement.has_begun() { Some(self.await_agreement(&setup).await?) } else { None };
        Ok(Reload { setup, agreed })
    }

    /// Checks that this process has not given up what the setup needs.
    async fn check_reach(&self, setup: &Setup) -> Result<(), OutOfBounds> {
        let known = self.setup.endpoints();
        for endpoint in setup.endpoints() {
            self.confinement.may_connect(&endpoint)?;
            if known.contains(&endpoint) {
                continue;
            }
            if let Meeting::Tor(Some(cookie)) = tor::meet(&endpoint).await {
                self.confinement.may_read_cookie(&cookie)?;
            }
        }
        match setup.configuration.socks_need() {
            SocksNeed::None => Ok(()),
            SocksNeed::Port(port) => self.confinement.may_connect_to_socks(Some(port), HEALTH_CHECKS),
            SocksNeed::AnyPort(purpose) => self.confinement.may_connect_to_socks(None, purpose),
        }
    }

    /// Asks the signer until it holds what `setup` lists, and nothing else.
    ///
    /// A separate signer that holds more does not stop the reload: only what is listed will be asked of it. A
    /// signer that is our child has then refused the configuration.
    async fn await_agreement(&self, setup: &Setup) -> Result<Agreed, Box<dyn Error>> {
        let deadline = Instant::now() + SIGNER_WITHIN;
        loop {
            let problem: Box<dyn Error> = match self.runtimes.held().await {
                Ok(held) => {
                    let agreed = Agreed::new(&setup.configuration, held)?;
                    match (agreed.left_out().last(), setup.configuration.excess(agreed.held())) {
                        (None, None) => return Ok(agreed),
                        (None, Some(excess)) if self.child.is_none() && Instant::now() >= deadline => {
                            warn!("{excess}");
                            return Ok(agreed);
                        }
                        (Some(problem), _) => problem.clone().into(),
                        (None, Some(problem)) => problem.into(),
                    }
                }
                Err(error) => error.into(),
            };
            if Instant::now() >= deadline {
                return Err(problem);
            }
            sleep(ASK_AGAIN).await;
        }
    }

    fn apply(&mut self, Reload { setup, agreed }: Reload) {
        self.verbosity.label(setup.labels(&[]));
        self.verbosity.configure(setup.log());
        setup.configuration.warn();
        for key in setup.configuration.differs_lastingly(&self.started_as.configuration) {
            warn!("{key} takes effect at the next restart of onionbalance");
        }
        self.setup = setup;
        match agreed {
            Some(agreed) => self.balance(agreed, Patience::Endless),
            None => self.agreement.begin_again(),
        }
        let (services, backends) = self.setup.configuration.counts();
        info!(services, backends, "reloaded {}", self.setup.file().display());
    }
}
