//! The publications that wait for the signer, which signs one at a time.
//!
//! It may take longer for each than the engine takes to want the next. So a publication that a later one of the same descriptor
//! replaces is not signed, and at most one for each of a descriptor's HSDirs waits.

use std::collections::{BTreeMap, HashMap};

use super::publication::Publication;
use crate::engine::{DescriptorSlot, PublicationId, ServiceId};
use crate::generation::Generation;
use crate::relay::Fingerprint;

/// The line before the signer.
pub(super) struct SigningLine<G: Generation> {
    /// By their places in the line.
    waiting: BTreeMap<u64, Publication<G>>,
    places: HashMap<Descriptor, Vec<u64>>,
    next_place: u64,
    under_way: Option<UnderWay>,
}

/// Names a descriptor.
type Descriptor = (ServiceId, DescriptorSlot);

/// The publication that is being signed.
struct UnderWay {
    descriptor: Descriptor,
    /// The HSDirs that it is still wanted for.
    to: Vec<Fingerprint>,
}

impl<G: Generation> SigningLine<G> {
    pub(super) fn new() -> Self {
        Self { waiting: BTreeMap::new(), places: HashMap::new(), next_place: 0, under_way: None }
    }

    /// Puts a publication into the line. Returns those that it replaces, which will not be signed; it has the place of the first
    /// of them.
    pub(super) fn join(&mut self, publication: Publication<G>) -> Vec<PublicationId> {
        let descriptor = publication.descriptor();
        let takes_over = |to: &mut Vec<Fingerprint>| {
            to.retain(|hsdir| !publication.to.contains(hsdir));
            to.is_empty()
        };
        if let Some(under_way) = self.under_way.as_mut().filter(|signed| signed.descriptor == descriptor) {
            takes_over(&mut under_way.to);
        }
        let places = self.places.entry(descriptor).or_default();
        let (mut replaced, mut place) = (Vec::new(), None);
        places.retain(|old| {
            let Some(other) = self.waiting.get_mut(old) else { return false };
            let is_replaced = takes_over(&mut other.to);
            if is_replaced {
                replaced.push(other.id);
                self.waiting.remove(old);
                place.get_or_insert(*old);
            }
            !is_replaced
        });
        let place = place.unwrap_or_else(|| {
            self.next_place += 1;
            self.next_place
        });
        places.push(place);
        self.waiting.insert(place, publication);
        replaced
    }

    /// The next one to be signed, unless one is under way. [`SigningLine::finish`] has to follow.
    pub(super) fn begin(&mut self) -> Option<Publication<G>> {
        if self.under_way.is_some() {
            return None;
        }
        let (place, publication) = self.waiting.pop_first()?;
        let descriptor = publication.descriptor();
        if let Some(places) = self.places.get_mut(&descriptor) {
            places.retain(|other| *other != place);
            if places.is_empty() {
                self.places.remove(&descriptor);
            }
        }
        self.under_way = Some(UnderWay { descriptor, to: publication.to.clone() });
        Some(publication)
    }

    /// The signer is done with the one under way. Returns the HSDirs that it is still wanted for.
    pub(super) fn finish(&mut self) -> Vec<Fingerprint> {
        self.under_way.take().map_or(Vec::new(), |under_way| under_way.to)
    }

    /// Drops all that waits. The one under way is not wanted for any HSDir any more.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.places.clear();
        if let Some(under_way) = &mut self.under_way {
            under_way.to.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::generation::{Frontend, Order};
    use crate::v2::V2;
    use crate::v2::schedule::DescriptorTerm;

    fn publication(id: u64, replica: u8, to: &[u8]) -> Publication<V2> {
        let slot = DescriptorSlot { period: 7, replica };
        let frontend = Frontend { address: "lijeinqkg3odt3fl".parse().unwrap(), backends: vec![] };
        let term = DescriptorTerm::of_slot(slot).unwrap();
        let order = Order { frontend: Arc::new(frontend), term, points: vec![], revision_floor: 0 };
        let to = to.iter().map(|number| Fingerprint([*number; 20])).collect();
        Publication { id: PublicationId(id), service: "front".into(), slot, order, to }
    }

    fn ids(ids: &[u64]) -> Vec<PublicationId> {
        ids.iter().copied().map(PublicationId).collect()
    }

    /// Signs the next one: its name, and for how many HSDirs it is wanted.
    fn sign(line: &mut SigningLine<V2>) -> Option<(u64, usize)> {
        let publication = line.begin()?;
        Some((publication.id.0, line.finish().len()))
    }

    #[test]
    fn the_newest_of_a_descriptor_takes_the_place_of_the_one_that_waits() {
        let mut line = SigningLine::new();
        assert_eq!(line.join(publication(1, 0, &[1, 2])), []);
        assert_eq!(line.join(publication(2, 1, &[1, 2])), []);
        assert_eq!(line.join(publication(3, 0, &[1, 2, 3])), ids(&[1]));
        assert_eq!(sign(&mut line), Some((3, 3)));
        assert_eq!(sign(&mut line), Some((2, 2)));
        assert_eq!(sign(&mut line), None);
        assert!(line.places.is_empty());
    }

    #[test]
    fn sets_of_other_hsdirs_are_signed_too() {
        let mut line = SigningLine::new();
        line.join(publication(1, 0, &[1, 2]));
        line.join(publication(2, 0, &[3]));
        assert_eq!(line.join(publication(3, 0, &[2, 3])), ids(&[2]));
        assert_eq!(sign(&mut line), Some((1, 1)));
        assert_eq!(sign(&mut line), Some((3, 2)));
    }

    #[test]
    fn one_at_a_time_is_signed_and_may_be_wanted_no_more_then() {
        let mut line = SigningLine::new();
        line.join(publication(1, 0, &[1, 2]));
        assert_eq!(line.begin().unwrap().id, PublicationId(1));
        assert_eq!(line.join(publication(2, 0, &[1])), []);
        assert!(line.begin().is_none());
        assert_eq!(line.finish(), [Fingerprint([2; 20])]);
        assert_eq!(line.begin().unwrap().id, PublicationId(2));
        line.join(publication(3, 1, &[1]));
        line.clear();
        assert_eq!(line.finish(), []);
        assert!(line.begin().is_none());
    }

    /// Whatever the engine wants while the signer is held up.
    #[test]
    fn the_line_is_no_longer_than_there_are_hsdirs() {
        let mut line = SigningLine::new();
        for id in 0..10_000 {
            let first = u8::try_from(id % 8).unwrap();
            line.join(publication(id, u8::try_from(id % 2).unwrap(), &[first, (first + 1) % 8]));
            assert!(line.waiting.len() <= 2 * 8);
        }
    }
}
