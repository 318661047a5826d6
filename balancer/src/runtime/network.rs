//! Where everything is: the network as tor's consensus has it, at present.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use onionbalance_proto::time::UnixTime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::survey::{Survey, Surveyed};
use super::{Report, Runtime, wall_clock};
use crate::engine::{BackendId, DescriptorSlot, Event, ServiceId};
use crate::generation::{Directory, Generation};
use crate::tor::Connection;
use crate::tor::event::DescriptorId;

/// How soon the directory is read again while tor still lacks microdescriptors, or has no consensus.
const AGAIN: Duration = Duration::from_secs(5);
/// The wall clock may step: it is looked at this often, where what is published depends on it.
const CLOCK: Duration = Duration::from_secs(30);

/// What the engine was told of the network, by one consensus and at one time.
#[derive(Debug)]
pub(super) struct View {
    /// Whose descriptors these are.
    pub(super) backends: HashMap<DescriptorId, BackendId>,
    /// Those that are published here.
    pub(super) own: HashMap<DescriptorId, (ServiceId, DescriptorSlot)>,
    made: UnixTime,
    /// When, by the clock alone, it is out of date. `None` too while a survey is under way.
    pub(super) until: Option<UnixTime>,
}

impl View {
    /// That of a network of which nothing is known yet.
    pub(super) fn new(now: UnixTime) -> Self {
        Self { backends: HashMap::new(), own: HashMap::new(), made: now, until: None }
    }
}

impl<G: Generation> Runtime<G> {
    /// Begins to read the directory; what was being read is out of date.
    pub(super) fn read_directory(&mut self) {
        let Some(tor) = &self.tor else { return };
        self.reading_directory.take().inspect(JoinHandle::abort);
        let reading = read_directory::<G>(tor.connection.clone(), self.reports.clone());
        self.reading_directory = Some(tokio::spawn(reading));
    }

    pub(super) fn on_directory(&mut self, directory: G::Directory) {
        let lifetime = directory.lifetime();
        if !lifetime.reasonably_live(wall_clock()) {
            warn!(
                valid_until = lifetime.valid_until().0,
                "tor's consensus is more than a day off this machine's clock: clients may not find the service; set the clock"
            );
        }
        debug!(hsdirs = directory.hsdirs(), missing = directory.missing(), "a new consensus");
        self.directory = Some(Arc::new(directory));
        self.show_network();
    }

    /// Shows the engine the network anew if time periods have changed since it was shown.
    pub(super) fn heed_the_clock(&mut self) {
        let (now, View { made, until, .. }) = (wall_clock(), &self.view);
        if until.is_some_and(|until| until <= now || now < *made) {
            self.show_network();
        }
    }

    /// When [`Runtime::heed_the_clock`] may have something to do.
    pub(super) fn next_look_at_the_clock(&self) -> Option<Instant> {
        let left = Duration::from_secs(self.view.until?.since(wall_clock()));
        Some(Instant::now() + left.min(CLOCK))
    }

    /// Has it worked out where everything is, for [`Runtime::on_surveyed`].
    pub(super) fn show_network(&mut self) {
        let Some(directory) = self.directory.clone() else { return };
        let (frontends, backends) = (self.frontends.clone(), self.backends.clone());
        let survey = Survey { directory, frontends, backends, now: wall_clock() };
        self.view.until = None;
        self.surveys.begin(survey, self.reports.clone());
    }

    pub(super) fn on_surveyed(&mut self, surveyed: Surveyed<G>) {
        let Some((view, network)) = self.surveys.end(surveyed) else { return self.show_network() };
        self.view = view;
        self.tell_engine(Event::Network(network));
        if self.tor.is_some() && std::mem::take(&mut self.engine_waits_for_directory) {
            self.tell_engine(Event::TorReady);
        }
    }
}

/// Reads the directory from tor until nothing is missing, and reports each one that is more whole than the one before.
async fn read_directory<G: Generation>(tor: Connection, reports: mpsc::UnboundedSender<Report<G>>) {
    let mut least_missing = usize::MAX;
    loop {
        match directory::<G>(&tor).await {
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
async fn directory<G: Generation>(
    tor: &Connection,
) -> Result<G::Directory, crate::generation::DirectoryError> {
    // A balancer is a client that tor does not see as one: without this tor would doze off after a day.
    tor.signal_active().await?;
    G::read_directory(tor).await
}
