//! Frontend services, as they are configured and as they should be found.

use std::collections::BTreeSet;
use std::rc::Rc;

use onionbalance::engine::{DescriptorSlot, ServiceId};

use super::generation::Places;
use super::invariants::LookUps;
use super::network::relay::RelayId;
use super::time::Moment;

/// One service.
pub struct Service {
    /// Its name.
    pub id: ServiceId,
    /// Since when it has been configured as it is; it is not at all without.
    pub configured: Option<Moment>,
    /// The numbers of its backends.
    pub backends: BTreeSet<usize>,
    /// Whether its HSDirs may get different introduction points.
    pub distinct: bool,
    /// Whether the signer refuses everything of it.
    pub poisoned: bool,
    /// Since when nothing but time stands in the way of its being published.
    pub undisturbed: Moment,
    /// Where its descriptors should be, by the consensus that the balancer goes by.
    pub spots: Vec<Spot>,
    /// Where clients look for it, by the numbers of the consensuses that they hold.
    pub sought: Vec<(usize, Rc<Places<RelayId>>)>,
    /// Whether anything has happened to it since it was last looked at.
    pub touched: bool,
    /// When it has to be looked at even if nothing happens to it.
    pub look_at: Moment,
    /// Since when one of its backends at least has been where the balancer looks.
    pub supplied: Option<Moment>,
    /// When it last had been supplied for long enough, in the life of the present balancer.
    pub last_supplied: Option<Moment>,
    /// Until when it was as it should be: never over as long as it is.
    pub steady_until: Option<Moment>,
    /// What clients get who look for it, as of the last look.
    pub look_ups: LookUps,
}

/// Where one descriptor should be.
#[derive(Debug)]
pub struct Spot {
    /// Which of them.
    pub slot: DescriptorSlot,
    /// Its HSDirs, and since when they are.
    pub hsdirs: Vec<(RelayId, Moment)>,
}

impl Service {
    /// A service of this number.
    pub fn new(number: usize, distinct: bool, backends: BTreeSet<usize>) -> Self {
        Self {
            id: format!("s{number:04}").as_str().into(),
            configured: Some(Moment::ZERO),
            backends,
            distinct,
            poisoned: false,
            undisturbed: Moment::ZERO,
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
}

/// Moves descriptors to other places; an HSDir that stays one keeps the time since when it has been.
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
