//! All runtimes of one process: one for each tor and generation of onion services.

use onionbalance_proto::config::Tuning;
use onionbalance_proto::wire::HeldService;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::board::{Inquiry, StatusBoard};
use super::{End, Runtime};
use crate::confinement::Confinement;
use crate::generation::{Frontend, Generation};
use crate::names::Names;
use crate::signer::{SharedSigner, SignerClient, SignerError};
use crate::state::Memory;
use crate::tor::SessionError;
use crate::tor::carrier::{ControlPort, Link, LinkError, Patience};
use crate::tor::control::Closed;
use crate::v2::V2;
use crate::v3::V3;

/// Inquiries that wait for an answer; beyond that, who inquires waits.
const INQUIRIES: usize = 4;

/// The frontends of one generation that one tor balances.
pub struct Share<G: Generation> {
    /// The tor.
    pub link: Link,
    /// The frontends; at least one.
    pub frontends: Vec<Frontend<G>>,
}

/// Everything that is to be balanced, as one configuration has it.
pub struct Work {
    /// Frontends of version 2; each tor once.
    pub v2: Vec<Share<V2>>,
    /// Frontends of version 3; each tor once.
    pub v3: Vec<Share<V3>>,
    /// The pace, and the shape of what is published.
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

/// What all runtimes share.
struct Common {
    signer: SharedSigner,
    memory: Memory,
    confinement: Confinement,
}

/// The runtimes of one generation.
struct Fleet<G: Generation>(Vec<Member<G>>);

/// A runtime, which ends when this is dropped.
struct Member<G: Generation> {
    link: Link,
    configurations: mpsc::UnboundedSender<Configuration<G>>,
    inquirer: mpsc::Sender<Inquiry>,
}

/// What a runtime is to balance from now on.
pub struct Configuration<G: Generation> {
    pub(super) frontends: Vec<Frontend<G>>,
    pub(super) tuning: Tuning,
    pub(super) names: Names,
}

impl Runtimes {
    /// None yet. Those that come share the signer and the memory.
    pub fn new(signer: SignerClient, memory: Memory, confinement: Confinement) -> Self {
        let board = StatusBoard::new(signer.trouble());
        Self {
            common: Common { signer: SharedSigner::new(signer), memory, confinement },
            running: JoinSet::new(),
            v2: Fleet(Vec::new()),
            v3: Fleet(Vec::new()),
            board,
        }
    }

    /// Balances what `work` says from now on, and nothing else. What is known of frontends and backends that stay at their
    /// tor is kept. `patience` is that with tors which are not known yet: one that will not have us must not end what has
    /// been running well.
    pub fn apply(&mut self, work: Work, patience: Patience) {
        let Work { v2, v3, tuning, names } = work;
        self.v2.apply(v2, &tuning, &names, patience, &self.common, &mut self.running);
        self.v3.apply(v3, &tuning, &names, patience, &self.common, &mut self.running);
        self.board.set(self.v2.inquirers().chain(self.v3.inquirers()).collect());
    }

    /// The services whose keys the signer holds at present.
    pub async fn held(&self) -> Result<Vec<HeldService>, SignerError> {
        self.common.signer.for_question().await.services().await
    }

    /// The next question to a signer that was not ready is asked at once.
    pub async fn end_rest_of_signer(&self) {
        self.common.signer.for_question().await.end_rest();
    }

    /// Where to ask how all services stand.
    pub fn board(&self) -> StatusBoard {
        self.board.clone()
    }

    /// Waits until one of the tors turns out never to let us in.
    pub async fn refused(&mut self) -> LinkError {
        loop {
            match self.running.join_next().await {
                Some(Ok(End::Refused(error))) => return error,
                Some(Ok(End::NotNeeded)) => {}
                // A runtime that panicked has said so.
                Some(Err(_)) => return SessionError::Control(Closed::ByUs.into()).into(),
                // There is none before the signer has answered.
                None => std::future::pending().await,
            }
        }
    }
}

impl<G: Generation> Fleet<G> {
    /// Tells the runtimes of those tors that stay, starts those of new ones, and ends the others.
    fn apply(
        &mut self,
        shares: Vec<Share<G>>,
        tuning: &Tuning,
        names: &Names,
        patience: Patience,
        common: &Common,
        running: &mut JoinSet<End<LinkError>>,
    ) {
        let mut old = std::mem::take(&mut self.0);
        for Share { link, frontends } in shares {
            let known = old.iter().position(|member| member.link == link);
            if let Some(index) = known {
                let member = old.swap_remove(index);
                // One that has ended is collected by whoever waits for that.
                let configuration = Configuration { frontends, tuning: tuning.clone(), names: names.clone() };
                let _ = member.configurations.send(configuration);
                self.0.push(member);
            } else {
                let Common { signer, memory, confinement } = common;
                let network = ControlPort::start(link.clone(), G::VERSION, patience, confinement.clone());
                let (signer, memory) = (signer.clone(), memory.clone());
                let runtime = Runtime::new(frontends, network, signer, memory, tuning, names.clone());
                let (configurations, from_us) = mpsc::unbounded_channel();
                let (inquirer, inquiries) = mpsc::channel(INQUIRIES);
                running.spawn(runtime.run(link.endpoints.clone(), from_us, inquiries));
                self.0.push(Member { link, configurations, inquirer });
            }
        }
    }

    fn inquirers(&self) -> impl Iterator<Item = mpsc::Sender<Inquiry>> {
        self.0.iter().map(|member| member.inquirer.clone())
    }
}
