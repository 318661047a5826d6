//! Backends' descriptors that were verified before: the same ones come with every request until a backend makes another.

use std::collections::VecDeque;

use onionbalance_proto::v2::document::points::IntroductionPoint;
use onionbalance_proto::v2::{OnionAddress, TimePeriod};

/// The most that are remembered, of at most 20 480 bytes each: a frontend's request brings ten at most.
const REMEMBERED: usize = 32;

/// What was found in descriptors that are genuine, whenever it is asked.
#[derive(Debug, Default)]
pub struct KnownDescriptors(VecDeque<KnownDescriptor>);

/// A descriptor whose signature, id and points were verified.
#[derive(Clone, Debug)]
pub(crate) struct KnownDescriptor {
    pub(super) text: String,
    pub(crate) address: OnionAddress,
    pub(super) period: TimePeriod,
    pub(super) points: Vec<IntroductionPoint>,
}

impl KnownDescriptors {
    /// The descriptor with this very text, if it was verified before.
    pub(crate) fn get(&self, text: &str) -> Option<&KnownDescriptor> {
        self.0.iter().find(|known| known.text == text)
    }

    /// Remembers a descriptor, in place of the one that came first if there are too many.
    pub(super) fn remember(&mut self, descriptor: KnownDescriptor) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(descriptor);
    }
}
