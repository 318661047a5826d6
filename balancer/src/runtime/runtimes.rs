//! All runtimes of one process: one for each tor and generation of onion services.

use std::sync::Arc;

use onionbalance_proto::config::Tuning;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

use super::{Inquiry, Link, Runtime};
use crate::engine::ServiceStatus;
use crate::generation::{Frontend, Generation};
use crate::signer::SignerClient;
use crate::tor::SessionError;

/// Inquiries that wait for an answer; beyond that, who inquires waits.
const INQUIRIES: usize = 4;

/// The runtimes, which run as long as this exists.
pub struct Runtimes {
    signer: Arc<Mutex<SignerClient>>,
    tuning: Tuning,
    running: JoinSet<SessionError>,
    board: StatusBoard,
}

/// Where to ask how all services stand.
#[derive(Clone, Debug, Default)]
pub struct StatusBoard(Vec<mpsc::Sender<Inquiry>>);

impl Runtimes {
    /// None yet; all will share the signer.
    pub fn new(signer: SignerClient, tuning: Tuning) -> Self {
        let signer = Arc::new(Mutex::new(signer));
        Self { signer, tuning, running: JoinSet::new(), board: StatusBoard::default() }
    }

    /// Begins to balance these frontends by the tor behind `link`.
    pub fn start<G: Generation>(&mut self, frontends: Vec<Frontend<G>>, link: Link) {
        let (inquirer, inquiries) = mpsc::channel(INQUIRIES);
        let (runtime, reports) = Runtime::new(frontends, self.signer.clone(), &self.tuning);
        self.running.spawn(runtime.run(reports, link, inquiries));
        self.board.0.push(inquirer);
    }

    /// Where to ask how all services stand.
    pub fn board(&self) -> StatusBoard {
        self.board.clone()
    }

    /// Waits until one of the tors turns out never to let us in.
    pub async fn refused(&mut self) -> SessionError {
        match self.running.join_next().await {
            Some(Ok(refused)) => refused,
            // A runtime that panicked has said so.
            _ => SessionError::Control(crate::tor::control::Closed::ByUs.into()),
        }
    }
}

impl StatusBoard {
    /// How all services stand now, in the order in which the runtimes were started.
    pub async fn services(&self) -> Vec<ServiceStatus> {
        let mut services = Vec::new();
        for runtime in &self.0 {
            let (inquiry, answer) = oneshot::channel();
            // One that has ended says nothing, and soon nobody does.
            if runtime.send(inquiry).await.is_ok() {
                services.extend(answer.await.unwrap_or_default());
            }
        }
        services
    }
}
