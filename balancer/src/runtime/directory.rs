//! Reading the network's directory, and showing the engine the resulting HSDirs.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::Runtime;
use super::survey::{Survey, Surveyed, View};
use crate::age::Age;
use crate::engine::{DescriptorSlot, Event};
use crate::network::{Documents, Network};
use crate::onion_version::{Directory, OnionVersion};

/// The time until the directory is read again while tor lacks microdescriptors, or has no consensus. It
/// doubles with each reading that brings nothing, up to five minutes. Tor may lack one microdescriptor for as
/// long as the consensus lists it, and a reading of the public network's directory is 10 MB.
const AGAIN: Duration = Duration::from_secs(5);
const MOST_DOUBLINGS: u32 = 6;
/// The topic of failures to read the directory.
const TOPIC: &str = "directory";
/// The time between two looks at the wall clock: it may step, it goes on while the machine sleeps, and it
/// determines the age of consensuses.
const CLOCK: Duration = Duration::from_secs(30);

/// The progress of reading the directory.
#[derive(Debug, Default)]
pub(super) struct Reading {
    state: ReadingState,
    /// The fewest HSDirs that were missing in a directory since this reading began; `None` before the first
    /// directory.
    least_missing: Option<usize>,
    /// The number of readings in a row that brought nothing.
    in_vain: u32,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum ReadingState {
    /// Nothing is to be read.
    #[default]
    Idle,
    /// The network was asked. `again` is true if the answer will be out of date.
    Asked { again: bool },
    /// The network is to be asked at this time.
    Due(Instant),
}

impl Reading {
    /// Notes that there is a new directory: nothing is known of it.
    fn begin(&mut self) {
        self.least_missing = None;
        self.in_vain = 0;
    }

    /// The time until the next reading, after one that was nearer to a whole directory or in vain.
    fn wait(&mut self, is_nearer: bool) -> Duration {
        if is_nearer {
            self.in_vain = 0;
        }
        let wait = AGAIN * 2_u32.pow(self.in_vain.min(MOST_DOUBLINGS));
        self.in_vain = self.in_vain.saturating_add(1);
        wait
    }
}

impl<V: OnionVersion, N: Network> Runtime<V, N> {
    /// Begins to read the directory. A reading in progress is out of date, and is repeated.
    pub(super) fn read_directory(&mut self) {
        self.reading.begin();
        match self.reading.state {
            ReadingState::Asked { .. } => self.reading.state = ReadingState::Asked { again: true },
            _ => self.ask_for_directory(),
        }
    }

    fn ask_for_directory(&mut self) {
        self.reading.state = ReadingState::Asked { again: false };
        self.network.read_directory();
    }

    /// Ends the reading: nothing is to be read.
    pub(super) fn stop_reading(&mut self) {
        self.reading = Reading::default();
    }

    /// Takes the directory if it is more complete than the last one. It is read again until nothing is
    /// missing.
    pub(super) fn on_directory(&mut self, documents: Result<Documents, String>) {
        let asked_again = self.reading.state == ReadingState::Asked { again: true };
        let least_before = self.reading.least_missing;
        let directory =
            documents.and_then(|documents| V::directory(&documents).map_err(|error| error.to_string()));
        let is_whole = match directory {
            Ok(directory) => {
                if let Some(after) = self.repeats.end_all(TOPIC, Instant::now()) {
                    info!("tor gives the HSDirs again after {}", Age(after));
                }
                self.take_directory(directory)
            }
            Err(problem) => {
                if let Some(times) = self.repeats.note(TOPIC, &problem, "", Instant::now()) {
                    warn!("cannot tell the HSDirs: {problem}; trying again{times}");
                }
                false
            }
        };
        if asked_again {
            self.reading.begin();
            self.ask_for_directory();
        } else if is_whole {
            self.reading.state = ReadingState::Idle;
        } else {
            let is_nearer = self.reading.least_missing != least_before;
            self.reading.state = ReadingState::Due(Instant::now() + self.reading.wait(is_nearer));
        }
    }

    /// Takes the directory. True if nothing is missing in it.
    fn take_directory(&mut self, directory: V::Directory) -> bool {
        let missing = directory.missing();
        if self.reading.least_missing.is_some_and(|least| least <= missing) {
            return missing == 0;
        }
        if missing > 0 {
            info!(missing, "tor still lacks microdescriptors of HSDirs");
        }
        self.reading.least_missing = Some(missing);
        debug!(hsdirs = directory.hsdirs(), missing, "a new consensus");
        self.directory = Some(self.directories.share(directory));
        self.show_network();
        missing == 0
    }

    /// Does what the clocks demand: reads the directory, judges the consensus by its age, and shows the
    /// engine the network again if time periods have changed.
    pub(super) fn heed_the_clock(&mut self) {
        if matches!(self.reading.state, ReadingState::Due(at) if at <= Instant::now()) {
            self.ask_for_directory();
        }
        let (now, View { made, until, .. }) = (onionbalance_process::now(), &self.view);
        if self.access.is_ready() {
            self.consensus.judge(self.directory.as_deref().map(Directory::lifetime), now);
        }
        if until.is_some_and(|until| until <= now || now < *made) {
            self.show_network();
        }
    }

    /// The next time at which [`Runtime::heed_the_clock`] may have something to do.
    pub(super) fn next_look_at_the_clock(&self) -> Instant {
        let left = self.view.until.map(|until| Duration::from_secs(until.since(onionbalance_process::now())));
        let look = Instant::now() + left.map_or(CLOCK, |left| left.min(CLOCK));
        match self.reading.state {
            ReadingState::Due(at) => look.min(at),
            _ => look,
        }
    }

    /// The particulars of the descriptor in this slot; `None` if it is not published by the present
    /// directory.
    pub(super) fn term(&self, slot: DescriptorSlot) -> Option<V::Term> {
        self.directory.as_ref()?.term(slot)
    }

    /// Begins a survey of all services and backends, which ends at [`Runtime::on_surveyed`].
    pub(super) fn show_network(&mut self) {
        let Some(directory) = self.directory.clone() else { return };
        let (frontends, backends) = (self.frontends.clone(), self.backends.clone());
        let survey = Survey { directory, frontends, backends, now: onionbalance_process::now() };
        self.view.until = None;
        self.surveys.begin(survey, self.directories.turns(), self.reports.to_us.clone());
    }

    /// Shows the engine the result of a survey; if that is out of date, begins another survey.
    pub(super) fn on_surveyed(&mut self, surveyed: Surveyed<V>) {
        let Some((view, network)) = self.surveys.end(surveyed) else { return self.show_network() };
        self.view = view;
        self.tell_engine(Event::Network(network));
        if self.access.is_ready() && std::mem::take(&mut self.engine_waits_for_directory) {
            self.tell_engine(Event::TorReady);
        }
    }
}
