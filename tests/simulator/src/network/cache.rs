//! The descriptors that HSDirs keep.

use std::rc::Rc;
use std::time::Duration;

use onionbalance::engine::DescriptorSlot;

use super::super::time::Moment;
use super::relay::RelayId;

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
pub struct Cache<P>(Vec<Owned<P>>);

/// The descriptors of one owner that all HSDirs keep, in any order.
struct Owned<P> {
    places: Vec<Place>,
    kept: Vec<Kept<P>>,
}

/// An HSDir and one of the owner's descriptors as one number, which is cheaper to find than both.
#[derive(Clone, Copy, Eq, PartialEq)]
struct Place(u64);

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
        let owned = self.0.get(key.owner)?;
        Some(&owned.kept[owned.find(Place::new(relay, key.slot))?])
    }

    /// Puts a descriptor in its place, and removes an earlier one.
    pub fn put(&mut self, relay: RelayId, key: Key, kept: Kept<P>) {
        if self.0.len() <= key.owner {
            self.0.resize_with(key.owner + 1, || Owned { places: Vec::new(), kept: Vec::new() });
        }
        let (owned, place) = (&mut self.0[key.owner], Place::new(relay, key.slot));
        if let Some(found) = owned.find(place) {
            owned.kept[found] = kept;
        } else {
            owned.places.push(place);
            owned.kept.push(kept);
        }
    }

    /// Removes everything that an HSDir keeps.
    pub fn clear(&mut self, relay: RelayId) {
        self.retain(|keeper, _| keeper != relay);
    }

    /// Removes the older half of what an HSDir keeps.
    pub fn drop_older_half(&mut self, relay: RelayId) {
        let mut made: Vec<Moment> = Vec::new();
        for Owned { places, kept } in &self.0 {
            let own = places.iter().zip(kept).filter(|(place, _)| place.relay() == relay);
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
        for Owned { places, kept } in &mut self.0 {
            for index in (0..places.len()).rev() {
                if !stays(places[index].relay(), &kept[index]) {
                    places.swap_remove(index);
                    kept.swap_remove(index);
                }
            }
        }
    }
}

impl<P> Owned<P> {
    fn find(&self, place: Place) -> Option<usize> {
        self.places.iter().position(|known| *known == place)
    }
}

impl Place {
    fn new(relay: RelayId, DescriptorSlot { period, replica }: DescriptorSlot) -> Self {
        let (relay, period) = (u64::try_from(relay).ok(), u32::try_from(period).ok());
        let (relay, period) = relay.zip(period).expect("a century has fewer periods");
        Self(relay << 40 | u64::from(period) << 8 | u64::from(replica))
    }

    fn relay(self) -> RelayId {
        usize::try_from(self.0 >> 40).expect("it was one")
    }
}

/// The time for which an expired descriptor is remembered: longer than a renewal may be late.
const EXPIRED: Duration = Duration::from_hours(8);
/// The time for which HSDirs of version 3 keep a descriptor: it is in the descriptor, and tor's always have
/// this one.
pub const KEPT_V3: Duration = Duration::from_hours(3);
/// The time for which HSDirs of version 2 keep a descriptor (`REND_CACHE_MAX_AGE` and `REND_CACHE_MAX_SKEW`).
pub const KEPT_V2: Duration = Duration::from_hours(72);
