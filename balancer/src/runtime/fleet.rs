//! The runtimes of one version: one for each tor, with its services.

use std::sync::Arc;

use onionbalance_proto::config::Tuning;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::board::Inquiry;
use super::directories::Directories;
use super::kept::MOST_BYTES;
use super::pool::{self, Presence, Share, Standing};
use super::{End, Runtime};
use crate::age::Age;
use crate::confinement::Confinement;
use crate::names::Names;
use crate::onion_version::{Frontend, OnionVersion};
use crate::signer::SharedSigner;
use crate::state::Memory;
use crate::tor::carrier::{ControlPort, Link, LinkError, Patience, ReadingTurns};

/// The most inquiries that wait for one runtime; further inquirers wait to send theirs.
const INQUIRIES: usize = 4;

/// The parts that all runtimes share.
pub(super) struct Common {
    pub(super) signer: SharedSigner,
    pub(super) memory: Memory,
    pub(super) confinement: Confinement,
    pub(super) reading_turns: ReadingTurns,
    /// Notified when a tor becomes ready or is lost.
    pub(super) tors_changed: Arc<Notify>,
}

/// The frontends that a runtime balances from now on, and their settings.
pub struct Configuration<V: OnionVersion> {
    pub(super) frontends: Vec<Frontend<V>>,
    pub(super) tuning: Tuning,
    pub(super) names: Names,
    /// The most bytes of signed texts that it may keep.
    pub(super) kept_bytes: usize,
}

/// The runtimes of one version.
pub(super) struct Fleet<V: OnionVersion> {
    shares: Vec<Share<V>>,
    tuning: Tuning,
    names: Names,
    directories: Directories<V::Directory>,
    members: Vec<Member<V>>,
}

/// A runtime, which ends when this is dropped.
struct Member<V: OnionVersion> {
    link: Link,
    presence: Presence,
    standing: Standing,
    configurations: mpsc::UnboundedSender<Configuration<V>>,
    inquirer: mpsc::Sender<Inquiry>,
    /// The number of its frontends.
    frontends: usize,
}

impl<V: OnionVersion> Fleet<V> {
    /// A fleet without runtimes.
    pub(super) fn new() -> Self {
        Self {
            shares: Vec::new(),
            tuning: Tuning::default(),
            names: Names::default(),
            directories: Directories::default(),
            members: Vec::new(),
        }
    }

    /// Configures the runtimes of tors that stay, starts those of new ones, and ends the others.
    pub(super) fn apply(
        &mut self,
        shares: Vec<Share<V>>,
        tuning: &Tuning,
        names: &Names,
        patience: Patience,
        common: &Common,
        running: &mut JoinSet<End<LinkError>>,
    ) {
        (self.shares, self.tuning, self.names) = (shares, tuning.clone(), names.clone());
        let assigned = self.configurations();
        let mut old = std::mem::take(&mut self.members);
        for (link, configuration) in assigned {
            let known = old.iter().position(|member| member.link == link);
            let member = if let Some(index) = known {
                let mut member = old.swap_remove(index);
                member.configure(configuration);
                member
            } else {
                Member::start(link, configuration, self.directories.clone(), patience, common, running)
            };
            self.members.push(member);
        }
    }

    /// Moves services away from a tor that has been away for too long, and back to one that has returned.
    /// Returns the time of the next call; `None` if there is nothing to do before a tor comes or goes.
    pub(super) fn follow_tors(&mut self, now: Instant) -> Option<Instant> {
        let mut has_changed = false;
        for member in &mut self.members {
            member.standing.note(member.presence.is_ready(), now);
            has_changed |= member.standing.change(now);
        }
        // A service with a single tor cannot move.
        if has_changed && self.shares.iter().any(|share| share.tors.len() > 1) {
            let before: Vec<usize> = self.members.iter().map(|member| member.frontends).collect();
            self.redistribute();
            for (member, before) in self.members.iter().zip(before) {
                member.log_move(before);
            }
        }
        self.members.iter().filter_map(|member| member.standing.due()).min()
    }

    pub(super) fn inquirers(&self) -> impl Iterator<Item = mpsc::Sender<Inquiry>> {
        self.members.iter().map(|member| member.inquirer.clone())
    }

    fn redistribute(&mut self) {
        for (link, configuration) in self.configurations() {
            if let Some(member) = self.members.iter_mut().find(|member| member.link == link) {
                member.configure(configuration);
            }
        }
    }

    /// The configuration for the runtime of each tor.
    fn configurations(&self) -> Vec<(Link, Configuration<V>)> {
        let member = |link: &Link| self.members.iter().find(|member| member.link == *link);
        // A tor that is not known yet has a minute to become ready.
        let has_services = |link: &Link| member(link).is_none_or(|member| member.standing.has_services());
        let assigned = pool::assign(&self.shares, has_services);
        let kept_bytes = MOST_BYTES / assigned.len().max(1);
        let configuration = |frontends| Configuration {
            frontends,
            tuning: self.tuning.clone(),
            names: self.names.clone(),
            kept_bytes,
        };
        assigned.into_iter().map(|(link, frontends)| (link, configuration(frontends))).collect()
    }
}

impl<V: OnionVersion> Member<V> {
    fn start(
        link: Link,
        configuration: Configuration<V>,
        directories: Directories<V::Directory>,
        patience: Patience,
        common: &Common,
        running: &mut JoinSet<End<LinkError>>,
    ) -> Self {
        let Common { signer, memory, confinement, reading_turns, tors_changed } = common;
        let frontends = configuration.frontends.len();
        let presence = Presence::new(tors_changed.clone());
        let (confinement, turns) = (confinement.clone(), reading_turns.clone());
        let network = ControlPort::start(link.clone(), V::VERSION, patience, confinement, turns);
        let (signer, memory) = (signer.clone(), memory.clone());
        let runtime = Runtime::new(configuration, network, signer, memory, presence.clone(), directories);
        let (configurations, from_us) = mpsc::unbounded_channel();
        let (inquirer, inquiries) = mpsc::channel(INQUIRIES);
        running.spawn(runtime.run(link.endpoints.clone(), from_us, inquiries));
        let standing = Standing::new(Instant::now());
        Self { link, presence, standing, configurations, inquirer, frontends }
    }

    fn configure(&mut self, configuration: Configuration<V>) {
        self.frontends = configuration.frontends.len();
        // The send fails only for a runtime that has ended; the set of running ones reports its end.
        let _ = self.configurations.send(configuration);
    }

    fn log_move(&self, before: usize) {
        let (tor, now) = (&self.link, self.frontends);
        let since = Age(self.standing.age());
        match (before, now) {
            (0, 0) => {}
            (_, 0) => {
                warn!(
                    problem = "TOR_UNREACHABLE",
                    "tor at {tor} has been away for {since}: other tors balance its services, {before} in number"
                );
            }
            (0, _) => {
                info!("tor at {tor} has been back for {since}: it balances services again, {now} in number");
            }
            _ => {}
        }
    }
}
