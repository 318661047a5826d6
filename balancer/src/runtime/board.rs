//! The state of all runtimes and of the signer, collected for the status and the service manager.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use onionbalance_proto::time::UnixTime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::{ConsensusAge, Happening, PostLoad, ServiceReport, Signatures};
use crate::endpoint::Endpoint;
use crate::engine::{Load, ServiceId};
use crate::onion_version::Rings;
use crate::signer::Trouble;

/// The state of the signer, of all tors and of all services.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The time for which the process has been balancing, or has been waiting for the signer.
    pub uptime: Duration,
    /// The trouble with the signer; `None` if it answered the last question.
    pub signer: Option<Trouble>,
    /// The refusal of the last reload; `None` if it was accepted, or if there was none.
    pub reload: Option<RefusedReload>,
    /// The ends of the delegations by which services are signed; without those whose key the signer has.
    pub delegations: Delegations,
    /// The tors, in the order in which their runtimes were started; empty until the signer has answered once.
    pub tors: Vec<TorState>,
}

/// The times at which delegations end, by their services.
pub type Delegations = BTreeMap<ServiceId, UnixTime>;

/// A reload that was refused: the balancer goes on with the configuration before it.
#[derive(Clone, Debug)]
pub struct RefusedReload {
    /// The time of the refusal.
    pub since: Instant,
    /// The reason.
    pub problem: String,
}

/// One tor, and the services that it balances.
#[derive(Clone, Debug)]
pub struct TorState {
    /// The places of its control port, in the order in which they are tried.
    pub endpoints: Vec<Endpoint>,
    /// True if it takes commands.
    pub is_ready: bool,
    /// The time since that changed.
    pub since: Duration,
    /// The age of its consensus.
    pub consensus: ConsensusAge,
    /// The requests that are outstanding at it, and those that wait.
    pub load: Load,
    /// The posts that it has taken.
    pub posts: PostLoad,
    /// The signer's answers to the descriptors of its services.
    pub signatures: Signatures,
    /// The rings of HSDirs by its consensus, which runtimes share; `None` before the first.
    pub rings: Option<Arc<dyn Rings>>,
    /// The services, in the order of their names.
    pub services: Vec<ServiceReport>,
    /// The notices of the last day, the latest first; [`MOST`](super::history::MOST) at most.
    pub history: Vec<Arc<Happening>>,
}

/// A question for the state of a runtime's tor and services, by the channel for the answer.
pub type Inquiry = oneshot::Sender<TorState>;

/// Asks all runtimes and the signer's watch for their state.
#[derive(Clone, Debug)]
pub struct StatusBoard {
    began: Instant,
    signer: watch::Receiver<Option<Trouble>>,
    reload: Arc<Mutex<Option<RefusedReload>>>,
    delegations: Arc<Mutex<Delegations>>,
    runtimes: Arc<Mutex<Vec<mpsc::Sender<Inquiry>>>>,
}

impl StatusBoard {
    pub(crate) fn new(signer: watch::Receiver<Option<Trouble>>) -> Self {
        let began = Instant::now();
        Self { began, signer, reload: Arc::default(), delegations: Arc::default(), runtimes: Arc::default() }
    }

    /// The state of all runtimes. Waits while one of them is busy.
    pub async fn state(&self) -> State {
        let runtimes = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut tors = Vec::with_capacity(runtimes.len());
        for runtime in runtimes {
            let (inquiry, answer) = oneshot::channel();
            // A runtime that has ended does not answer, and is removed soon.
            if runtime.send(inquiry).await.is_ok() {
                tors.extend(answer.await);
            }
        }
        let reload = self.reload.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let delegations = self.delegations.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let signer = self.signer.borrow().clone();
        State { uptime: self.began.elapsed(), signer, reload, delegations, tors }
    }

    /// Shows the end of a reload from now on: the reason for which it was refused, or `None`.
    pub fn set_reload(&self, refused: Option<String>) {
        let refused = refused.map(|problem| RefusedReload { since: Instant::now(), problem });
        *self.reload.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }

    /// Shows these delegations from now on.
    pub fn set_delegations(&self, delegations: Delegations) {
        *self.delegations.lock().unwrap_or_else(PoisonError::into_inner) = delegations;
    }

    pub(super) fn set(&self, runtimes: Vec<mpsc::Sender<Inquiry>>) {
        *self.runtimes.lock().unwrap_or_else(PoisonError::into_inner) = runtimes;
    }
}

impl State {
    /// All services, in the order in which the runtimes were started.
    pub fn services(&self) -> impl Iterator<Item = &ServiceReport> {
        self.tors.iter().flat_map(|tor| &tor.services)
    }
}

impl TorState {
    /// The control ports, as the configuration names them.
    pub fn places(&self) -> String {
        self.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
    }
}
