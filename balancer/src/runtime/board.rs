//! Where to ask how everything is: the state of all runtimes and of the signer, for the status and the service manager.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::{ConsensusAge, ServiceReport};
use crate::engine::Load;
use crate::signer::Trouble;
use crate::tor::Endpoint;

/// How everything is.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// How long the process has been balancing, or has been waiting for what it needs to.
    pub uptime: Duration,
    /// Why there is no answer from the signer, if the last question got none.
    pub signer: Option<Trouble>,
    /// The tors, in the order in which their runtimes were started; empty until the signer has answered once.
    pub tors: Vec<TorState>,
}

/// One tor, and what is balanced by it.
#[derive(Clone, Debug)]
pub struct TorState {
    /// Where its control port is looked for, in this order.
    pub endpoints: Vec<Endpoint>,
    /// Whether it takes commands.
    pub is_ready: bool,
    /// How long it has been so.
    pub since: Duration,
    /// Whether its consensus is a current one.
    pub consensus: ConsensusAge,
    /// What is asked of it, and what waits for that.
    pub load: Load,
    /// The services, in the order of their names.
    pub services: Vec<ServiceReport>,
}

/// Somebody wants to know how the tor and the services of a runtime are.
pub type Inquiry = oneshot::Sender<TorState>;

/// Where to ask.
#[derive(Clone, Debug)]
pub struct StatusBoard {
    began: Instant,
    signer: watch::Receiver<Option<Trouble>>,
    runtimes: Arc<Mutex<Vec<mpsc::Sender<Inquiry>>>>,
}

impl StatusBoard {
    pub(super) fn new(signer: watch::Receiver<Option<Trouble>>) -> Self {
        Self { began: Instant::now(), signer, runtimes: Arc::default() }
    }

    /// Asks all runtimes. Waits as long as one of them is busy.
    pub async fn state(&self) -> State {
        let runtimes = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut tors = Vec::with_capacity(runtimes.len());
        for runtime in runtimes {
            let (inquiry, answer) = oneshot::channel();
            // One that has ended says nothing, and soon nobody does.
            if runtime.send(inquiry).await.is_ok() {
                tors.extend(answer.await);
            }
        }
        State { uptime: self.began.elapsed(), signer: self.signer.borrow().clone(), tors }
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
    /// Its control ports, as the configuration names them.
    pub fn places(&self) -> String {
        self.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
    }
}
