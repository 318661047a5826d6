//! Frontends: their configuration, and the places at which they should be found.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use onionbalance::engine::{DescriptorSlot, Drain, ServiceId};
use onionbalance_proto::config::HealthCheck;

use super::address::Places;
use super::invariants::LookUps;
use super::network::id::RelayId;
use super::time::Moment;

/// The state of one service.
pub struct Service {
    /// The service's name.
    pub id: ServiceId,
    /// The time since which it has been configured as it is; `None` if it is not configured.
    pub configured: Option<Moment>,
    /// The numbers of its backends.
    pub backends: BTreeSet<usize>,
    /// The weights of those of them that have another one than 1.
    pub weights: BTreeMap<usize, u8>,
    /// Its drains by command.
    pub drains: BTreeMap<usize, Drain>,
    /// The health checks of those of them that have one, or would if they were listed.
    pub checks: BTreeMap<usize, Arc<HealthCheck>>,
    /// True if its HSDirs may get different introduction points.
    pub distinct: bool,
    /// True if the signer refuses every request for it.
    pub poisoned: bool,
    /// The time since which only time has prevented its publication.
    pub undisturbed: Moment,
    /// The last time at which a stranger put descriptors in the place of its own.
    pub overwritten: Option<Moment>,
    /// The places of its descriptors, by the balancer's consensus.
    pub spots: Vec<Spot>,
    /// The HSDirs at which clients look for it, by the numbers of the consensuses that they hold.
    pub sought: Vec<(usize, Rc<Places<RelayId>>)>,
    /// True if anything has happened to it since the last check.
    pub touched: bool,
    /// The next time at which it has to be checked even if nothing happens to it.
    pub look_at: Moment,
    /// The time since which at least one of its backends has been where the balancer looks; `None` if none
    /// is.
    pub supplied: Option<Moment>,
    /// The last time at which it had been supplied for long enough, in the life of the present balancer.
    pub last_supplied: Option<Moment>,
    /// The time until which its state was right; not in the past while it is.
    pub steady_until: Option<Moment>,
    /// The results of clients that look for it, at the last check.
    pub look_ups: LookUps,
}

/// The place of one descriptor.
#[derive(Debug)]
pub struct Spot {
    /// The slot of the descriptor.
    pub slot: DescriptorSlot,
    /// Its HSDirs, each with the time since which it has been one.
    pub hsdirs: Vec<(RelayId, Moment)>,
}

impl Service {
    /// The service of this number.
    pub fn new(number: usize, distinct: bool, backends: BTreeSet<usize>) -> Self {
        Self {
            id: format!("s{number:04}").as_str().into(),
            configured: Some(Moment::ZERO),
            backends,
            weights: BTreeMap::new(),
            drains: BTreeMap::new(),
            checks: BTreeMap::new(),
            distinct,
            poisoned: false,
            undisturbed: Moment::ZERO,
            overwritten: None,
            spots: Vec::new(),
            sought: Vec::new(),
            touched: true,
            look_at: Moment::ZERO,
            supplied: None,
            last_supplied: None,
            steady_until: None,
            look_ups: LookUps::default(),
        }
    }

    /// The weight of a backend; 0 if it is drained by command.
    pub fn weight(&self, backend: usize) -> u8 {
        if self.drains.contains_key(&backend) {
            return 0;
        }
        self.weights.get(&backend).copied().unwrap_or(1)
    }

    /// True if its backends that are not drained have different weights.
    pub fn has_different_weights(&self) -> bool {
        let mut weights = self.serving().map(|backend| self.weight(*backend));
        let first = weights.next();
        weights.any(|weight| Some(weight) != first)
    }

    /// Its backends that are not drained.
    pub fn serving(&self) -> impl Iterator<Item = &usize> {
        self.backends.iter().filter(|backend| self.weight(**backend) > 0)
    }
}

/// Moves descriptors to other places; an HSDir that remains keeps its time.
pub fn move_spots<'a>(
    spots: &mut Vec<Spot>,
    places: impl Iterator<Item = &'a (DescriptorSlot, Vec<RelayId>)>,
    now: Moment,
) {
    let since = |slot: DescriptorSlot, hsdir: RelayId| {
        let spot = spots.iter().find(|spot| spot.slot == slot);
        let known = spot.and_then(|spot| spot.hsdirs.iter().find(|(known, _)| *known == hsdir));
        known.map_or(now, |(_, since)| *since)
    };
    let spot = |(slot, hsdirs): &(DescriptorSlot, Vec<RelayId>)| Spot {
        slot: *slot,
        hsdirs: hsdirs.iter().map(|hsdir| (*hsdir, since(*slot, *hsdir))).collect(),
    };
    *spots = places.map(spot).collect();
}
