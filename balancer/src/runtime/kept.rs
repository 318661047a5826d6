//! Signed texts that are kept, since an HSDir may have to get them later.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::engine::{DescriptorSlot, ServiceId};

/// Bytes of texts that are kept at most: those of some hundred services. The oldest go first; where they are missing, the engine
/// has the descriptor published to all its HSDirs instead of one.
const MOST: usize = 16 << 20;

/// The last texts of each descriptor.
#[derive(Debug, Default)]
pub(super) struct KeptTexts {
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
    /// Keeps the texts of a descriptor by the numbers of their sets, in the place of those before.
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
        while self.bytes > MOST {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            self.forget(&oldest);
        }
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

    const SLOT: DescriptorSlot = DescriptorSlot { period: 1, replica: 0 };

    fn service(number: usize) -> ServiceId {
        ServiceId::from(format!("s{number}").as_str())
    }

    fn text(of: usize) -> Arc<str> {
        "x".repeat(of).into()
    }

    #[test]
    fn gives_what_was_signed_together_and_nothing_else() {
        let mut kept = KeptTexts::default();
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
        let mut kept = KeptTexts::default();
        for number in 0..5 {
            kept.keep(&service(number), SLOT, 1, [(0, text(MOST / 4))]);
        }
        let held = |number: usize| kept.get(&service(number), SLOT, 1, [0].into_iter()).is_some();
        assert_eq!([0, 1, 2, 3, 4].map(held), [false, true, true, true, true]);
        kept.keep(&service(5), SLOT, 1, [(0, text(MOST + 1))]);
        assert_eq!((kept.bytes, kept.of.len(), kept.order.len()), (0, 0, 0));
    }
}
