//! Backends' descriptors that were verified before: each request repeats them until a backend publishes the
//! next one.

use std::collections::VecDeque;

use onionbalance_proto::v2::document::points::IntroductionPoint;
use onionbalance_proto::v2::{OnionAddress, TimePeriod};

/// The most descriptors that are remembered, of at most 20 480 bytes each: a frontend's request has ten at
/// most.
const REMEMBERED: usize = 32;

/// The contents of genuine descriptors. They do not depend on the time.
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
    /// The descriptor with exactly this text; `None` if it was not verified before.
    pub(crate) fn get(&self, text: &str) -> Option<&KnownDescriptor> {
        self.0.iter().find(|known| known.text == text)
    }

    /// Remembers a descriptor. If there are too many, the oldest one is forgotten.
    pub(super) fn remember(&mut self, descriptor: KnownDescriptor) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(descriptor);
    }
}
