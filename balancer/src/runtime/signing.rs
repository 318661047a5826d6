//! The publications that wait for the signer, which signs one at a time.
//!
//! The signer may take longer for each than the engine takes to ask for the next. A publication is for all
//! HSDirs of its descriptor, so a later one of the same descriptor replaces it, and at most one for each
//! descriptor waits.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use tokio::time::Instant;

use crate::engine::{DescriptorSlot, PublicationId, ServiceId};
use crate::onion_version::{OnionVersion, Order, SignError, Signed};
use crate::signer::SharedSigner;

/// A publication with a new revision, which the signer determines.
pub(super) struct Publication<V: OnionVersion> {
    pub(super) id: PublicationId,
    pub(super) service: ServiceId,
    pub(super) slot: DescriptorSlot,
    pub(super) order: Order<V>,
    /// The numbers of the sets, each with the HSDirs that get it.
    pub(super) to: Vec<(usize, Vec<Fingerprint>)>,
}

impl<V: OnionVersion> Publication<V> {
    /// The service and the slot of the descriptor.
    pub(super) fn descriptor(&self) -> (ServiceId, DescriptorSlot) {
        (self.service.clone(), self.slot)
    }

    /// Has all sets signed; waits for its turn at the signer. Returns the signer's answer, and its time
    /// without the wait for that turn.
    pub(super) async fn sign(&self, signer: &SharedSigner) -> Answer<V> {
        let mut signer = signer.for_order().await;
        let asked = Instant::now();
        let outcome = V::sign(&self.order, &mut signer, onionbalance_process::now()).await;
        Answer { outcome, took: asked.elapsed() }
    }
}

/// The signer's answer to a publication.
pub(super) struct Answer<V: OnionVersion> {
    pub(super) outcome: Result<Signed, SignError<V::FrontendError>>,
    /// The time from the question to the answer.
    pub(super) took: Duration,
}

/// The line of publications before the signer.
pub(super) struct SigningLine<V: OnionVersion> {
    /// The waiting publications by their places in the line.
    waiting: BTreeMap<u64, Publication<V>>,
    places: HashMap<Descriptor, u64>,
    next_place: u64,
    under_way: Option<UnderWay>,
}

/// The name of a descriptor.
type Descriptor = (ServiceId, DescriptorSlot);

/// The publication that is being signed.
struct UnderWay {
    descriptor: Descriptor,
    /// False if a later publication replaces it.
    is_wanted: bool,
}

impl<V: OnionVersion> SigningLine<V> {
    pub(super) fn new() -> Self {
        Self { waiting: BTreeMap::new(), places: HashMap::new(), next_place: 0, under_way: None }
    }

    /// Adds a publication to the line. If an earlier one of the same descriptor waits, the new one takes its
    /// place; the earlier one, which will not be signed, is returned.
    pub(super) fn join(&mut self, publication: Publication<V>) -> Option<PublicationId> {
        let descriptor = publication.descriptor();
        if let Some(under_way) = self.under_way.as_mut().filter(|signed| signed.descriptor == descriptor) {
            under_way.is_wanted = false;
        }
        let next_place = &mut self.next_place;
        let place = *self.places.entry(descriptor).or_insert_with(|| {
            *next_place += 1;
            *next_place
        });
        self.waiting.insert(place, publication).map(|replaced| replaced.id)
    }

    /// The next publication to be signed; `None` if one is being signed. [`SigningLine::finish`] has to
    /// follow.
    pub(super) fn begin(&mut self) -> Option<Publication<V>> {
        if self.under_way.is_some() {
            return None;
        }
        let (_, publication) = self.waiting.pop_first()?;
        let descriptor = publication.descriptor();
        self.places.remove(&descriptor);
        self.under_way = Some(UnderWay { descriptor, is_wanted: true });
        Some(publication)
    }

    /// Notes that the signer is done with the present one. True if its result is still wanted.
    pub(super) fn finish(&mut self) -> bool {
        self.under_way.take().is_some_and(|under_way| under_way.is_wanted)
    }

    /// Drops all that wait. The result of the present one is no longer wanted.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.places.clear();
        if let Some(under_way) = &mut self.under_way {
            under_way.is_wanted = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::Weights;
    use crate::onion_version::Frontend;
    use crate::v2::V2;
    use crate::v2::schedule::DescriptorTerm;

    fn publication(id: u64, replica: u8) -> Publication<V2> {
        let slot = DescriptorSlot { period: 7, replica };
        let frontend = Frontend {
            address: "lijeinqkg3odt3fl".parse().unwrap(),
            backends: vec![],
            weights: Weights::default(),
            checks: BTreeMap::new(),
        };
        let term = DescriptorTerm::of_slot(slot).unwrap();
        let order = Order { frontend: Arc::new(frontend), term, sets: vec![], revision_floor: 0 };
        Publication { id: PublicationId(id), service: "front".into(), slot, order, to: vec![] }
    }

    /// Signs the next one: returns its name, and if it is still wanted.
    fn sign(line: &mut SigningLine<V2>) -> Option<(u64, bool)> {
        let publication = line.begin()?;
        Some((publication.id.0, line.finish()))
    }

    #[test]
    fn the_newest_of_a_descriptor_takes_the_place_of_the_one_that_waits() {
        let mut line = SigningLine::new();
        assert_eq!(line.join(publication(1, 0)), None);
        assert_eq!(line.join(publication(2, 1)), None);
        assert_eq!(line.join(publication(3, 0)), Some(PublicationId(1)));
        assert_eq!(sign(&mut line), Some((3, true)));
        assert_eq!(sign(&mut line), Some((2, true)));
        assert_eq!(sign(&mut line), None);
        assert!(line.places.is_empty());
    }

    #[test]
    fn one_at_a_time_is_signed_and_may_be_wanted_no_more_then() {
        let mut line = SigningLine::new();
        line.join(publication(1, 0));
        assert_eq!(line.begin().unwrap().id, PublicationId(1));
        assert_eq!(line.join(publication(2, 0)), None);
        assert!(line.begin().is_none());
        assert!(!line.finish());
        assert_eq!(line.begin().unwrap().id, PublicationId(2));
        line.join(publication(3, 1));
        line.clear();
        assert!(!line.finish());
        assert!(line.begin().is_none());
    }

    /// The bound does not depend on the number of publications that the engine asks for while the signer is
    /// busy.
    #[test]
    fn the_line_is_no_longer_than_there_are_descriptors() {
        let mut line = SigningLine::new();
        for id in 0..10_000 {
            line.join(publication(id, u8::try_from(id % 2).unwrap()));
            assert!(line.waiting.len() <= 2);
        }
    }
}
