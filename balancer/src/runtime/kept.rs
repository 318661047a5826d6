//! Signed texts that are kept, because an HSDir may need them later.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::engine::{DescriptorSlot, ServiceId};

/// The most bytes of texts that all runtimes of a version keep together: with a thousand services, those of
/// some minutes. Most uploads that fail are retried within seconds.
pub(super) const MOST_BYTES: usize = 4 << 20;

/// The last texts of each descriptor. The oldest are dropped first; if they are needed, the engine publishes
/// the descriptor to all its HSDirs instead of one.
#[derive(Debug)]
pub(super) struct KeptTexts {
    /// The most bytes of texts that are kept.
    most: usize,
    of: HashMap<(ServiceId, DescriptorSlot), Texts>,
    /// The descriptors, by the numbers of their texts: the oldest has the lowest.
    order: BTreeMap<u64, (ServiceId, DescriptorSlot)>,
    next: u64,
    bytes: usize,
}

/// The texts of one request to the signer.
#[derive(Debug)]
struct Texts {
    number: u64,
    revision: u64,
    by_set: BTreeMap<usize, Arc<str>>,
}

impl Texts {
    fn bytes(&self) -> usize {
        self.by_set.values().map(|text| text.len()).sum()
    }
}

impl KeptTexts {
    /// No texts, and at most `most` bytes later.
    pub(super) fn new(most: usize) -> Self {
        Self { most, of: HashMap::new(), order: BTreeMap::new(), next: 0, bytes: 0 }
    }

    /// Keeps at most `most` bytes from now on.
    pub(super) fn limit(&mut self, most: usize) {
        self.most = most;
        self.make_room();
    }

    /// Keeps the texts of a descriptor by the numbers of their sets, in place of the earlier ones.
    pub(super) fn keep(
        &mut self,
        service: &ServiceId,
        slot: DescriptorSlot,
        revision: u64,
        texts: impl IntoIterator<Item = (usize, Arc<str>)>,
    ) {
        let key = (service.clone(), slot);
        self.forget(&key);
        let texts = Texts { number: self.next, revision, by_set: texts.into_iter().collect() };
        self.next += 1;
        self.bytes += texts.bytes();
        self.order.insert(texts.number, key.clone());
        self.of.insert(key, texts);
        self.make_room();
    }

    /// The texts that these sets of a descriptor had with this revision; `None` if one of them is not kept.
    pub(super) fn get(
        &self,
        service: &ServiceId,
        slot: DescriptorSlot,
        revision: u64,
        sets: impl Iterator<Item = usize>,
    ) -> Option<Vec<Arc<str>>> {
        let texts = self.of.get(&(service.clone(), slot)).filter(|texts| texts.revision == revision)?;
        sets.map(|set| texts.by_set.get(&set).cloned()).collect()
    }

    fn make_room(&mut self) {
        while self.bytes > self.most {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, key: &(ServiceId, DescriptorSlot)) {
        if let Some(texts) = self.of.remove(key) {
            self.bytes -= texts.bytes();
            self.order.remove(&texts.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 1000;
    const SLOT: DescriptorSlot = DescriptorSlot { period: 1, replica: 0 };

    fn service(number: usize) -> ServiceId {
        ServiceId::from(format!("s{number}").as_str())
    }

    fn text(of: usize) -> Arc<str> {
        "x".repeat(of).into()
    }

    #[test]
    fn gives_what_was_signed_together_and_nothing_else() {
        let mut kept = KeptTexts::new(MOST);
        kept.keep(&service(1), SLOT, 7, [(0, text(1)), (3, text(2))]);
        let get = |kept: &KeptTexts, revision, sets: &[usize]| {
            kept.get(&service(1), SLOT, revision, sets.iter().copied())
        };
        assert_eq!(get(&kept, 7, &[3, 0]), Some(vec![text(2), text(1)]));
        assert_eq!(get(&kept, 7, &[0, 1]), None);
        assert_eq!(get(&kept, 8, &[0]), None);
        kept.keep(&service(1), SLOT, 8, [(0, text(5))]);
        assert_eq!((get(&kept, 7, &[3]), get(&kept, 8, &[0])), (None, Some(vec![text(5)])));
        assert_eq!((kept.bytes, kept.order.len()), (5, 1));
    }

    #[test]
    fn the_oldest_make_room() {
        let mut kept = KeptTexts::new(MOST);
        for number in 0..5 {
            kept.keep(&service(number), SLOT, 1, [(0, text(MOST / 4))]);
        }
        let held = |kept: &KeptTexts| {
            [0, 1, 2, 3, 4].map(|number| kept.get(&service(number), SLOT, 1, [0].into_iter()).is_some())
        };
        assert_eq!(held(&kept), [false, true, true, true, true]);
        kept.limit(MOST / 2);
        assert_eq!(held(&kept), [false, false, false, true, true]);
        kept.keep(&service(5), SLOT, 1, [(0, text(MOST))]);
        assert_eq!((kept.bytes, kept.of.len(), kept.order.len()), (0, 0, 0));
    }
}
