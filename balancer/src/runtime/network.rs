//! Where everything is: the network as tor's consensus has it.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use super::{Report, Runtime, wall_clock};
use crate::engine::{BackendView, DescriptorSlot, Event, NetworkView};
use crate::tor::{Connection, ControlError, InfoKey};
use crate::v3::directory::{Directory, DirectoryError};
use crate::v3::schedule::DescriptorTerm;

/// How soon the directory is read again while tor still lacks microdescriptors, or has no consensus.
const AGAIN: Duration = Duration::from_secs(5);

impl Runtime {
    /// Begins to read the directory; what was being read is out of date.
    pub(super) fn read_directory(&mut self) {
        let Some(tor) = self.tor.clone() else { return };
        self.reading_directory.take().inspect(JoinHandle::abort);
        self.reading_directory = Some(tokio::spawn(read_directory(tor, self.reports.clone())));
    }

    pub(super) fn on_directory(&mut self, directory: Directory) {
        let lifetime = directory.lifetime();
        if !lifetime.reasonably_live(wall_clock()) {
            warn!(
                valid_until = lifetime.valid_until().0,
                "tor's consensus is more than a day off this machine's clock: clients may not find the service; set the clock"
            );
        }
        debug!(hsdirs = directory.hsdirs(), missing = directory.missing(), "a new consensus");
        let view = self.view(&directory);
        self.directory = Some(directory);
        self.tell_engine(Event::Network(view));
        if std::mem::take(&mut self.engine_waits_for_directory) {
            self.tell_engine(Event::TorReady);
        }
    }

    fn view(&self, directory: &Directory) -> NetworkView {
        let services = self.frontends.iter().map(|(id, frontend)| {
            let slot = |period| DescriptorSlot { period, replica: 0 };
            let stored = directory.store(&frontend.address);
            (
                id.clone(),
                stored.into_iter().map(|(term, hsdirs)| (slot(term.period.number), hsdirs)).collect(),
            )
        });
        let backends = self.backends.iter().map(|(id, address)| {
            let (period, hsdirs) = directory.fetch(address);
            (id.clone(), BackendView { period: period.number, hsdirs })
        });
        let period_length = Duration::from_secs(directory.schedule().first.period.length.seconds());
        NetworkView { period_length, services: services.collect(), backends: backends.collect() }
    }

    /// When and where the descriptor of this slot is published.
    pub(super) fn term(&self, slot: DescriptorSlot) -> Option<DescriptorTerm> {
        let schedule = self.directory.as_ref()?.schedule();
        [schedule.first, schedule.second].into_iter().find(|term| term.period.number == slot.period)
    }
}

/// Reads consensus and microdescriptors from tor until none is missing, and reports each directory that is more whole
/// than the one before.
async fn read_directory(tor: Connection, reports: mpsc::UnboundedSender<Report>) {
    let mut least_missing = usize::MAX;
    loop {
        match directory(&tor).await {
            Ok(directory) => {
                let missing = directory.missing();
                if missing < least_missing && reports.send(Report::Directory(Box::new(directory))).is_err() {
                    return;
                }
                least_missing = least_missing.min(missing);
                if missing == 0 {
                    return;
                }
                info!(missing, "tor still lacks microdescriptors of HSDirs");
            }
            Err(error) => warn!("cannot tell the HSDirs: {error}"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The directory as tor has it now.
async fn directory(tor: &Connection) -> Result<Directory, ReadError> {
    // A balancer is a client that tor does not see as one: without this tor would doze off after a day.
    tor.signal_active().await?;
    let testing = tor.is_testing_network().await?;
    let [consensus, microdescriptors] = tor.get_info([InfoKey::Consensus, InfoKey::Microdescriptors]).await?;
    Ok(Directory::new(consensus.as_bytes(), microdescriptors.as_bytes(), testing)?)
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Tor(#[from] ControlError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}
