//! The state of all runtimes and of the signer, collected for the status and the service manager.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use onionbalance_proto::time::UnixTime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::{ConsensusAge, Happening, PostLoad, ServiceReport, Signatures, Usage};
use crate::confinement::Lacking;
use crate::endpoint::Endpoint;
use crate::engine::{Load, ServiceId};
use crate::network::Absence;
use crate::onion_version::Rings;
use crate::signer::Trouble;
use crate::tor::documents::consensus::Lifetime;

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
    /// The configuration; `None` before the process is confined.
    pub configuration: Option<Loaded>,
    /// The restrictions that this process lacks.
    pub lacking: Lacking,
    /// The use of the machine by this process.
    pub usage: Usage,
    /// The tors, in the order in which their runtimes were started; empty until the signer has answered once.
    pub tors: Vec<TorState>,
}

/// The configuration that is in force.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The path of its file.
    pub file: PathBuf,
    /// The time at which it was read.
    pub at: Instant,
    /// True if a reload read it; false if it is that of the start.
    pub is_reload: bool,
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
    /// Its version; `None` before it was first reached.
    pub version: Option<String>,
    /// The reason for which it takes no commands; `None` if it does, or if it is not known yet.
    pub absence: Option<Absence>,
    /// The number of times that it was lost and became ready again.
    pub reconnects: u64,
    /// The number of HSDirs in its consensus; `None` before the first consensus.
    pub hsdirs: Option<usize>,
    /// The lifetime of its consensus; `None` before the first.
    pub lifetime: Option<Lifetime>,
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
    configuration: Arc<Mutex<Option<Loaded>>>,
    lacking: Lacking,
    runtimes: Arc<Mutex<Vec<mpsc::Sender<Inquiry>>>>,
}

impl StatusBoard {
    pub(crate) fn new(signer: watch::Receiver<Option<Trouble>>, lacking: Lacking) -> Self {
        Self {
            began: Instant::now(),
            signer,
            reload: Arc::default(),
            delegations: Arc::default(),
            configuration: Arc::default(),
            lacking,
            runtimes: Arc::default(),
        }
    }

    /// The state of all runtimes. Waits while one of them is busy.
    pub async fn state(&self) -> State {
        let runtimes = locked(&self.runtimes).clone();
        let mut tors = Vec::with_capacity(runtimes.len());
        for runtime in runtimes {
            let (inquiry, answer) = oneshot::channel();
            // A runtime that has ended does not answer, and is removed soon.
            if runtime.send(inquiry).await.is_ok() {
                tors.extend(answer.await);
            }
        }
        State {
            uptime: self.began.elapsed(),
            signer: self.signer.borrow().clone(),
            reload: locked(&self.reload).clone(),
            delegations: locked(&self.delegations).clone(),
            configuration: locked(&self.configuration).clone(),
            lacking: self.lacking,
            usage: Usage::now(),
            tors,
        }
    }

    /// Shows that the configuration of the start is in force, from this file.
    pub fn set_configuration(&self, file: PathBuf) {
        *locked(&self.configuration) = Some(Loaded { file, at: Instant::now(), is_reload: false });
    }

    /// Shows the end of a reload from now on: the reason for which it was refused, or `None`.
    pub fn set_reload(&self, refused: Option<String>) {
        let now = Instant::now();
        if let (None, Some(loaded)) = (&refused, &mut *locked(&self.configuration)) {
            (loaded.at, loaded.is_reload) = (now, true);
        }
        *locked(&self.reload) = refused.map(|problem| RefusedReload { since: now, problem });
    }

    /// Shows these delegations from now on.
    pub fn set_delegations(&self, delegations: Delegations) {
        *locked(&self.delegations) = delegations;
    }

    pub(super) fn set(&self, runtimes: Vec<mpsc::Sender<Inquiry>>) {
        *locked(&self.runtimes) = runtimes;
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
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
