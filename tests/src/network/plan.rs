//! What a network shall consist of, and how its start is told.

use std::time::Duration;

use onionbalance_proto::v3::address::OnionAddress;

use super::onion::OnionVersion;

/// The make-up of a network. The default is the smallest in which everything works as in the real one.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Directory authorities, which are relays and HSDirs too.
    pub authorities: usize,
    /// Further relays. With fewer than 9 HSDirs in all, the two replicas of a descriptor share all of theirs.
    pub relays: usize,
    /// How many of these, the last ones, are HSDirs and nothing else: they stand in no circuit but as its end. There have
    /// to be ten others, authorities included: for its two descriptors a service wants as many introduction points, all at
    /// different relays, and takes whom it finds.
    pub hsdirs_only: usize,
    /// How many HSDirs each replica of a descriptor has, of which clients ask any. tor's default is four, and three of these.
    pub hsdir_spread: Option<usize>,
    /// Onion services with a web server behind them, each of which answers with its own name.
    pub backends: usize,
    /// Seconds between two consensuses. A time period has 24 of these intervals (tor, `get_time_period_length`).
    pub voting_interval: u32,
    /// The onion services' version. Version 2 needs a tor of its own, which is built the first time.
    pub version: OnionVersion,
    /// The frontends whose introductions the backends accept (`MasterOnionAddress`, version 3 only).
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
    /// The same for version 2. Its clients find an introduction point by its relay alone, hence more of these.
    pub fn v2() -> Self {
        Self { relays: 9, version: OnionVersion::V2, ..Self::default() }
    }
}

/// Something that has been reached on the way up.
#[derive(Clone, Debug)]
pub struct Stage {
    /// For people, such as `consensus with 9 HSDirs`.
    pub what: String,
    /// Time since the start of the network.
    pub at: Duration,
}
