//! The plan of a network, and the stages of its start.

use std::time::Duration;

use onionbalance_proto::v3::address::OnionAddress;

use crate::onion::OnionVersion;

/// The plan of a network. The default is the smallest network that works like the real one.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The number of directory authorities, which are relays and HSDirs too.
    pub authorities: usize,
    /// The number of further relays. With fewer than 9 HSDirs in all, the two replicas of a descriptor share
    /// all their HSDirs.
    pub relays: usize,
    /// The number of these relays, the last ones, that are only HSDirs: circuits use them only as their end.
    /// There have to be ten others, with the authorities: for its two descriptors a service needs this number
    /// of introduction points at different relays, and would choose any relay.
    pub hsdirs_only: usize,
    /// The number of HSDirs of each replica of a descriptor, of which clients ask any. tor's default is four,
    /// of which clients ask three.
    pub hsdir_spread: Option<usize>,
    /// The number of backends: onion services with a web server that answers with the backend's name.
    pub backends: usize,
    /// Seconds between two consensuses. A time period has 24 of these intervals (tor:
    /// `get_time_period_length`).
    pub voting_interval: u32,
    /// The onion services' version. v2 needs a tor of its own, which is built the first time.
    pub version: OnionVersion,
    /// The frontends for which the backends accept introductions (`MasterOnionAddress`, v3 only).
    pub frontends: Vec<OnionAddress>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            authorities: 3,
            relays: 6,
            hsdirs_only: 0,
            hsdir_spread: None,
            backends: 3,
            voting_interval: 20,
            version: OnionVersion::V3,
            frontends: Vec::new(),
        }
    }
}

impl Plan {
    /// The same for v2. Its clients find an introduction point by its relay alone, so it has more relays.
    pub fn v2() -> Self {
        Self { relays: 9, version: OnionVersion::V2, ..Self::default() }
    }
}

/// A stage of a network's start.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its description, such as `consensus with 9 HSDirs`.
    pub what: String,
    /// The time since the start of the network.
    pub at: Duration,
}
