//! All runtimes of a process: one for each tor and version of onion services.

use std::sync::Arc;

use onionbalance_proto::config::Tuning;
use onionbalance_proto::wire::HeldService;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::board::StatusBoard;
use super::fleet::{Common, Fleet};
use super::{End, Share};
use crate::confinement::Confinement;
use crate::names::Names;
use crate::repeats::Occurrence;
use crate::signer::{SharedSigner, SignerClient, SignerError};
use crate::state::Memory;
use crate::tor::SessionError;
use crate::tor::carrier::{LinkError, Patience, ReadingTurns};
use crate::tor::control::Closed;
use crate::v2::V2;
use crate::v3::V3;

/// The whole work of one configuration.
pub struct Work {
    /// Frontends of version 2; each pool of tors once.
    pub v2: Vec<Share<V2>>,
    /// Frontends of version 3; each pool of tors once.
    pub v3: Vec<Share<V3>>,
    /// The pace of work, and the shape of descriptors.
    pub tuning: Tuning,
    /// The names of services and backends.
    pub names: Names,
}

/// The runtimes, which run as long as this exists.
pub struct Runtimes {
    common: Common,
    running: JoinSet<End<LinkError>>,
    v2: Fleet<V2>,
    v3: Fleet<V3>,
    board: StatusBoard,
}

impl Runtimes {
    /// No runtimes. Later ones share the signer and the memory.
    pub fn new(signer: SignerClient, memory: Memory, confinement: Confinement) -> Self {
        let board = StatusBoard::new(signer.trouble(), confinement.lacking());
        Self {
            common: Common {
                signer: SharedSigner::new(signer),
                memory,
                confinement,
                reading_turns: ReadingTurns::new(),
                tors_changed: Arc::new(Notify::new()),
            },
            running: JoinSet::new(),
            v2: Fleet::new(),
            v3: Fleet::new(),
            board,
        }
    }

    /// Balances the services of `work` from now on, and no others. The state of frontends and backends that
    /// stay at their tor is kept. `patience` applies to new tors: at a reload, one that refuses us must not
    /// end the others.
    pub fn apply(&mut self, work: Work, patience: Patience) {
        let Work { v2, v3, tuning, names } = work;
        self.v2.apply(v2, &tuning, &names, patience, &self.common, &mut self.running);
        self.v3.apply(v3, &tuning, &names, patience, &self.common, &mut self.running);
        self.board.set(self.v2.inquirers().chain(self.v3.inquirers()).collect());
    }

    /// The services whose keys the signer holds at present.
    ///
    /// # Errors
    /// The signer does not answer or is not ready.
    pub async fn held(&self) -> Result<Vec<HeldService>, SignerError> {
        self.common.signer.for_question().await.services().await
    }

    /// Notes a warning that the signer does not answer for the reason `problem`. `None`: it is not to be
    /// logged.
    pub fn note_trouble(&self, problem: &str) -> Option<Occurrence> {
        self.common.signer.note_trouble(problem, "", Instant::now())
    }

    /// Has the next question to a signer that was not ready asked at once.
    pub async fn end_rest_of_signer(&self) {
        self.common.signer.for_question().await.end_rest();
    }

    /// The state that outlives the process.
    pub fn memory(&self) -> &Memory {
        &self.common.memory
    }

    /// A board that collects the status of all services.
    pub fn board(&self) -> StatusBoard {
        self.board.clone()
    }

    /// Moves services when tors come and go. Returns when a tor will never accept us, with the reason. Cancel
    /// safe.
    pub async fn refused(&mut self) -> LinkError {
        loop {
            let now = Instant::now();
            let due = [self.v2.follow_tors(now), self.v3.follow_tors(now)].into_iter().flatten().min();
            tokio::select! {
                () = self.common.tors_changed.notified() => {}
                () = sleep_until(due) => {}
                // There are no runtimes before the signer has answered.
                Some(ended) = self.running.join_next() => match ended {
                    Ok(End::Refused(error)) => return error,
                    Ok(End::NotNeeded) => {}
                    // A runtime that panicked has printed its reason.
                    Err(_) => return SessionError::Control(Closed::ByUs.into()).into(),
                },
            }
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
