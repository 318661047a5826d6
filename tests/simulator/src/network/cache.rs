//! The descriptors that HSDirs keep.

use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::DescriptorSlot;

use super::super::time::Moment;
use super::id::RelayId;

/// The name of a descriptor: its owner and its slot.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Key {
    /// The number of a service or a backend; see [`super::super::address::Address`].
    pub owner: usize,
    /// The slot of the descriptor.
    pub slot: DescriptorSlot,
}

/// A descriptor's text.
#[derive(Debug)]
pub struct Text<P> {
    /// Its revision counter (v2: its publication time).
    pub revision: u64,
    /// The time at which it was made.
    pub made: Moment,
    /// Its introduction points.
    pub points: Rc<[P]>,
}

/// A descriptor as an HSDir keeps it.
#[derive(Debug)]
pub struct Kept<P> {
    /// The text that it keeps.
    pub text: Rc<Text<P>>,
    /// The time until which it keeps it.
    pub until: Moment,
    /// The time since which it has had these introduction points.
    pub same_since: Moment,
    /// The text that it goes on handing out for a while, with the end of that time.
    pub lagging: Option<(Rc<Text<P>>, Moment)>,
}

/// The descriptors that all HSDirs keep, by owner: everything of a service is in one place.
pub struct Cache<P>(Vec<Vec<InSlot<P>>>);

/// The descriptors of one slot that all HSDirs keep, in any order.
pub struct InSlot<P> {
    slot: DescriptorSlot,
    /// The HSDirs, which are so few that a search among all of them costs less than an order would.
    keepers: Vec<RelayId>,
    kept: Vec<Kept<P>>,
}

impl<P> Kept<P> {
    /// True if it is still kept.
    pub fn lasts(&self, now: Moment) -> bool {
        self.until > now
    }
}

/// A cache without descriptors.
impl<P> Default for Cache<P> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<P> Cache<P> {
    /// The descriptor that an HSDir keeps under this name, or kept until a short time ago.
    pub fn last(&self, relay: RelayId, key: Key) -> Option<&Kept<P>> {
        self.in_slot(key)?.last(relay)
    }

    /// The descriptors under this name; `None` if no HSDir keeps one.
    pub fn in_slot(&self, key: Key) -> Option<&InSlot<P>> {
        self.0.get(key.owner)?.iter().find(|in_slot| in_slot.slot == key.slot)
    }

    /// Puts a descriptor in its place, and removes an earlier one.
    pub fn put(&mut self, relay: RelayId, key: Key, kept: Kept<P>) {
        if self.0.len() <= key.owner {
            self.0.resize_with(key.owner + 1, Vec::new);
        }
        let owned = &mut self.0[key.owner];
        let known = owned.iter().position(|in_slot| in_slot.slot == key.slot);
        let index = known.unwrap_or_else(|| {
            owned.push(InSlot { slot: key.slot, keepers: Vec::new(), kept: Vec::new() });
            owned.len() - 1
        });
        let in_slot = &mut owned[index];
        if let Some(found) = in_slot.find(relay) {
            in_slot.kept[found] = kept;
        } else {
            in_slot.keepers.push(relay);
            in_slot.kept.push(kept);
        }
    }

    /// Removes everything that an HSDir keeps.
    pub fn clear(&mut self, relay: RelayId) {
        self.retain(|keeper, _| keeper != relay);
    }

    /// Removes the older half of what an HSDir keeps.
    pub fn drop_older_half(&mut self, relay: RelayId) {
        let mut made: Vec<Moment> = Vec::new();
        for InSlot { keepers, kept, .. } in self.0.iter().flatten() {
            let own = keepers.iter().zip(kept).filter(|(keeper, _)| **keeper == relay);
            made.extend(own.map(|(_, kept)| kept.text.made));
        }
        made.sort_unstable();
        let Some(median) = made.get(made.len() / 2).copied() else { return };
        self.retain(|keeper, kept| keeper != relay || kept.text.made >= median);
    }

    /// Removes descriptors that expired a while ago, except those of HSDirs for which `replayed` is true.
    pub fn clean(&mut self, now: Moment, replayed: impl Fn(RelayId) -> bool) {
        self.retain(|keeper, kept| kept.until.after(EXPIRED) > now || replayed(keeper));
    }

    fn retain(&mut self, stays: impl Fn(RelayId, &Kept<P>) -> bool) {
        for owned in &mut self.0 {
            for InSlot { keepers, kept, .. } in &mut *owned {
                for index in (0..keepers.len()).rev() {
                    if !stays(keepers[index], &kept[index]) {
                        keepers.swap_remove(index);
                        kept.swap_remove(index);
                    }
                }
            }
            owned.retain(|in_slot| !in_slot.keepers.is_empty());
        }
    }
}

impl<P> InSlot<P> {
    /// The descriptor that an HSDir keeps, or kept until a short time ago.
    pub fn last(&self, relay: RelayId) -> Option<&Kept<P>> {
        Some(&self.kept[self.find(relay)?])
    }

    fn find(&self, relay: RelayId) -> Option<usize> {
        self.keepers.iter().position(|keeper| *keeper == relay)
    }
}

/// The time for which an expired descriptor is remembered: longer than a renewal may be late.
const EXPIRED: Duration = Duration::from_hours(8);
/// The time for which HSDirs of version 3 keep a descriptor: it is in the descriptor, and tor's always have
/// this one.
pub const KEPT_V3: Duration = Duration::from_hours(3);
/// The time for which HSDirs of version 2 keep a descriptor (`REND_CACHE_MAX_AGE` and `REND_CACHE_MAX_SKEW`).
pub const KEPT_V2: Duration = Duration::from_hours(72);
