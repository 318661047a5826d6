//! The access to the network: if requests are carried, since when, and by which program.

use std::time::Duration;

use tokio::time::Instant;

use super::pool::Presence;
use crate::network::Absence;

/// The access of one runtime to its network.
#[derive(Debug)]
pub(super) struct Access {
    presence: Presence,
    is_ready: bool,
    /// The time at which that last changed.
    changed: Instant,
    version: Option<String>,
    absence: Option<Absence>,
    /// The number of times that the network became ready.
    times_ready: u64,
}

impl Access {
    /// The access to a network that is not ready yet. `presence` reports changes to the fleet.
    pub(super) fn new(presence: Presence) -> Self {
        let changed = Instant::now();
        Self { presence, is_ready: false, changed, version: None, absence: None, times_ready: 0 }
    }

    /// Notes that the network takes requests from now on; `version` is that of its program.
    pub(super) fn ready(&mut self, version: Option<String>) {
        self.set(true);
        self.version = version;
        self.absence = None;
        self.times_ready += 1;
    }

    /// Notes that the network takes no requests from now on.
    pub(super) fn lost(&mut self) {
        self.set(false);
    }

    /// Notes the reason for which the network takes no requests yet.
    pub(super) fn absent(&mut self, absence: Absence) {
        if let Absence::Starting { version, .. } = &absence {
            self.version = Some(version.clone());
        }
        self.absence = Some(absence);
    }

    fn set(&mut self, is_ready: bool) {
        self.is_ready = is_ready;
        self.changed = Instant::now();
        self.presence.set(is_ready);
    }

    /// True if the network takes requests.
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// The time since that last changed.
    pub(super) fn age(&self) -> Duration {
        self.changed.elapsed()
    }

    /// The version of the program that was reached last; `None` before the first, or if it is not known.
    pub(super) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The reason for which no request is carried; `None` if requests are, or if it is not known yet.
    pub(super) fn absence(&self) -> Option<&Absence> {
        self.absence.as_ref()
    }

    /// The number of times that the network became ready again.
    pub(super) fn reconnects(&self) -> u64 {
        self.times_ready.saturating_sub(1)
    }
}
