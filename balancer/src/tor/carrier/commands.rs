//! The queue of commands for tor, which takes one at a time.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;

use onionbalance_proto::relay::Fingerprint;
use tokio::time::Instant;

use super::GIVEN_UP;
use super::turns::Turn;
use crate::network::{DescriptorName, Documents, Lookup, Post, RequestId, Version};
use crate::tor::hsdir::{HsFetchError, HsPostError, Posted};
use crate::tor::lookup;
use crate::tor::{Connection, ControlError, InfoKey, TorVersion};

/// A tor that is ready for commands.
#[derive(Clone, Debug)]
pub(super) struct Tor {
    pub(super) connection: Connection,
    pub(super) version: TorVersion,
}

/// A request that is sent to tor.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "all that may wait are a megabyte, beside the texts")]
pub(super) enum Command {
    Directory(Version, Turn),
    Fetch(RequestId, Lookup, Fingerprint),
    Post(RequestId, Post),
}

/// The outcome of a command.
pub(super) enum Done {
    Directory(Result<Documents, ControlError>),
    Fetch(RequestId, Result<(), HsFetchError>),
    Post(RequestId, Result<Posted, HsPostError>),
}

/// The commands to one tor.
#[derive(Default)]
pub(super) struct Commands {
    /// The commands with the moment at which each came.
    waiting: VecDeque<(Instant, Command)>,
    running: Option<Pin<Box<dyn Future<Output = Done> + Send>>>,
}

impl Commands {
    /// Adds a command to the queue.
    pub(super) fn push(&mut self, command: Command, now: Instant) {
        self.waiting.push_back((now, command));
    }

    /// Begins the next command and returns it; `None` if one is running or none waits.
    pub(super) fn begin(&mut self, tor: &Tor) -> Option<Command> {
        if self.running.is_some() {
            return None;
        }
        let (_, command) = self.waiting.pop_front()?;
        self.running = Some(Box::pin(command.clone().run(tor.clone())));
        Some(command)
    }

    /// Waits for the end of the running command. The future may be dropped and created again.
    pub(super) async fn done(&mut self) -> Done {
        let Some(running) = &mut self.running else { return pending().await };
        let done = running.await;
        self.running = None;
        done
    }

    /// Takes the commands out of the queue that have waited for too long.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Command> {
        let over = self.waiting.iter().take_while(|(came, _)| *came + GIVEN_UP <= now).count();
        self.waiting.drain(..over).map(|(_, command)| command).collect()
    }

    /// The time at which [`Commands::expire`] returns something; `None` if nothing waits.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|(came, _)| *came + GIVEN_UP)
    }

    /// The number of waiting commands.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Drops all commands.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.running = None;
    }
}

impl Command {
    async fn run(self, tor: Tor) -> Done {
        let Tor { connection, version } = tor;
        match self {
            Self::Directory(of, _turn) => Done::Directory(directory(&connection, of).await),
            Self::Fetch(request, lookup, hsdir) => {
                let lookup = tors_lookup(&lookup, version);
                Done::Fetch(request, connection.hs_fetch(&lookup, &[hsdir]).await)
            }
            // One HSPOST for all HSDirs: with each one tor leaks memory of the descriptor's size.
            Self::Post(request, Post { name, text, to }) => {
                let address = match &name {
                    DescriptorName::V3 { address, .. } => Some(address),
                    DescriptorName::V2 { .. } => None,
                };
                Done::Post(request, connection.hs_post(address, &to, &text).await)
            }
        }
    }
}

async fn directory(tor: &Connection, of: Version) -> Result<Documents, ControlError> {
    match of {
        Version::V3 => {
            let is_testing = tor.is_testing_network().await?;
            let [consensus, microdescriptors] =
                tor.get_documents([InfoKey::Consensus, InfoKey::Microdescriptors]).await?;
            Ok(Documents::V3 { consensus, microdescriptors, is_testing })
        }
        Version::V2 => {
            let keys =
                [InfoKey::RouterStatuses, InfoKey::ValidAfter, InfoKey::FreshUntil, InfoKey::ValidUntil];
            let [router_statuses, times @ ..] = tor.get_info(keys).await?;
            Ok(Documents::V2 { router_statuses, times })
        }
    }
}

/// A version 2 descriptor is asked for by its id: once at each HSDir, without tor's retries and rate limits.
fn tors_lookup(lookup: &Lookup, version: TorVersion) -> lookup::Lookup {
    match lookup {
        Lookup::V3(address) => lookup::Lookup::V3(*address),
        Lookup::V2 { id, .. } if version.fetches_v2_by_id() => lookup::Lookup::V2Id(*id),
        Lookup::V2 { address, .. } => lookup::Lookup::V2(*address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tor_that_cannot_fetch_by_id_is_asked_by_address() {
        let (address, id) =
            ("lijeinqkg3odt3fl".parse().unwrap(), "kkj45bfm57jmgw5ryxr6zmszjje2tdey".parse().unwrap());
        let lookup = Lookup::V2 { address, id };
        assert_eq!(tors_lookup(&lookup, TorVersion([0, 4, 5, 10])), lookup::Lookup::V2Id(id));
        assert_eq!(tors_lookup(&lookup, TorVersion([0, 4, 2, 8])), lookup::Lookup::V2(address));
    }
}
