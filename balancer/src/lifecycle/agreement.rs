//! The agreement of the configuration and the signer: a service is balanced if the signer holds its key, with
//! the backends that the signer allows. The balancer asks the signer again for the rest.

use std::time::Duration;

use onionbalance_proto::config::ConfigError;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::wire::HeldService;
use rand_core::{OsRng, RngCore};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::Balancer;
use crate::config::{Configuration, Frontends};
use crate::engine::{BackendId, ServiceId};
use crate::repeats::Repeats;
use crate::signer::SignerError;
use crate::tor::Reconnect;
use crate::tor::carrier::Patience;

/// The time between two questions to a signer that has answered. If a service manager listens for a signer
/// that is not ready, each question starts it once more.
const AGAIN: Duration = Duration::from_secs(30);
/// The time between two questions about delegations: a restart of the signer installs the next one, and
/// onionbalance is not told.
const DELEGATIONS: Duration = Duration::from_secs(600);
/// The topic of warnings about missing services and backends.
const TOPIC: &str = "agreement";

/// The part of the configuration that the signer has as well.
pub(super) struct Agreement {
    /// The services in the last answer of the signer; `None` before the first answer.
    held: Option<Vec<HeldService>>,
    /// The time of the next question; `None` if nothing is missing, and no delegation ends.
    due: Option<Instant>,
    wait: Reconnect,
    /// True after a warning without its end.
    has_warned: bool,
    repeats: Repeats,
}

/// The services that the signer holds, and the frontends that a configuration makes of them. Computed and
/// checked before anything of the running balancer changes.
pub(super) struct Agreed {
    held: Vec<HeldService>,
    frontends: Frontends,
}

impl Agreed {
    /// The frontends of `configuration` for which the signer holds the keys.
    ///
    /// # Errors
    /// The configuration is not valid with the addresses of these keys.
    pub(super) fn new(configuration: &Configuration, held: Vec<HeldService>) -> Result<Self, ConfigError> {
        Ok(Self { frontends: configuration.frontends(&held)?, held })
    }

    /// The services that the signer holds.
    pub(super) fn held(&self) -> &[HeldService] {
        &self.held
    }

    /// The entries of the configuration that the signer does not agree to.
    pub(super) fn left_out(&self) -> &[ConfigError] {
        &self.frontends.left_out
    }
}

impl Default for Agreement {
    /// The state before the first question.
    fn default() -> Self {
        Self {
            held: None,
            due: Some(Instant::now()),
            wait: Reconnect::default(),
            has_warned: false,
            repeats: Repeats::default(),
        }
    }
}

impl Agreement {
    /// Waits until the signer is to be asked; forever if nothing is missing.
    pub(super) async fn due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// True if the signer has ever answered.
    pub(super) fn has_begun(&self) -> bool {
        self.held.is_some()
    }

    /// Has the signer asked at once, because the configuration has changed.
    pub(super) fn begin_again(&mut self) {
        self.due = Some(Instant::now());
    }

    /// Notes the signer's answer, and the first entry that is missing in it. The signer is asked again if
    /// there is one.
    fn note(&mut self, held: Vec<HeldService>, missing: Option<String>) {
        match missing {
            None => {
                if self.has_warned {
                    info!("the signer holds all keys and allows all backends of the configuration");
                }
                let is_delegated = held.iter().any(|held| delegation(held).is_some());
                let due = is_delegated.then(|| Instant::now() + DELEGATIONS);
                *self = Self { held: Some(held), due, ..Self::default() };
            }
            Some(missing) => {
                self.held = Some(held);
                if let Some(times) = self.repeats.note(TOPIC, &missing, "", Instant::now()) {
                    warn!("{missing}{times}");
                }
                self.ask_after(AGAIN);
            }
        }
    }

    /// Has the signer asked again after this time, because of a warning.
    fn ask_after(&mut self, wait: Duration) {
        self.has_warned = true;
        self.due = Some(Instant::now() + wait);
    }
}

impl Balancer {
    /// Asks the signer for its services, and balances them.
    ///
    /// # Errors
    /// The configuration is not valid with the addresses of the keys that the signer holds.
    pub(super) async fn ask_signer(&mut self) -> Result<(), ConfigError> {
        match self.runtimes.held().await {
            Ok(held) => {
                let agreed = Agreed::new(&self.setup.configuration, held)?;
                if self.agreement.held.as_ref() == Some(&agreed.held) {
                    let missing = missing(agreed.left_out());
                    self.agreement.note(agreed.held, missing);
                } else {
                    let is_first = !self.agreement.has_begun();
                    self.balance(agreed, if is_first { Patience::UntilRefused } else { Patience::Endless });
                }
            }
            Err(error) => {
                let again = match error {
                    SignerError::NotReady(_) => AGAIN,
                    _ => self.agreement.wait.next(OsRng.next_u32()),
                };
                let problem = error.to_string();
                if let Some(times) = self.runtimes.note_trouble(&problem) {
                    warn!(problem = "SIGNER_UNREACHABLE", "waiting for the signer: {problem}{times}");
                }
                self.agreement.ask_after(again);
            }
        }
        Ok(())
    }

    /// Balances these frontends by the present setup, at the start and after a reload alike.
    pub(super) fn balance(&mut self, agreed: Agreed, patience: Patience) {
        let missing = missing(agreed.left_out());
        let Agreed { held, frontends } = agreed;
        self.verbosity.label(self.setup.labels(&held));
        self.board().set_delegations(held.iter().filter_map(delegation).collect());
        self.forget_drains(&held);
        self.runtimes.apply(self.setup.work(frontends), patience);
        self.agreement.note(held, missing);
    }
}

impl Balancer {
    /// Forgets the drains that have ended, and those of backends that the configuration no longer lists. Those of
    /// services whose keys the signer does not hold stay: their addresses are not known.
    fn forget_drains(&self, held: &[HeldService]) {
        let memory = self.runtimes.memory();
        memory.forget_ended_drains(onionbalance_process::now());
        let drains = memory.drains();
        if drains.is_empty() {
            return;
        }
        let listed = self.setup.configuration.listed(held, |service| drains.contains_key(service));
        let is_listed = |service: &ServiceId, backend: &BackendId| {
            listed.get(service).is_none_or(|backends| backends.contains(backend))
        };
        memory.forget_drains(is_listed);
    }
}

/// A service with the end of its delegation; `None` if the signer has its key.
fn delegation(held: &HeldService) -> Option<(ServiceId, UnixTime)> {
    let HeldService::V3 { held, delegation_ends } = held else { return None };
    Some((ServiceId::of(&held.address), (*delegation_ends)?))
}

/// A message about the first missing entry, with the number of further ones; `None` if nothing is missing.
fn missing(left_out: &[ConfigError]) -> Option<String> {
    let (first, more) = left_out.split_first()?;
    Some(if more.is_empty() { first.to_string() } else { format!("{first} (and {} more)", more.len()) })
}
