//! The frontend's own descriptor, fetched back from an HSDir that refused a newer one.

use std::collections::HashMap;

use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::document::{PeriodKeys, open_outer};
use onionbalance_proto::v3::{OnionAddress, TimePeriod};

use crate::engine::DescriptorSlot;
use crate::relay::Fingerprint;

/// The read-backs under way.
#[derive(Debug, Default)]
pub(super) struct ReadBacks(HashMap<(OnionAddress, Fingerprint), DescriptorSlot>);

impl ReadBacks {
    pub(super) fn expect(&mut self, service: OnionAddress, hsdir: Fingerprint, slot: DescriptorSlot) {
        self.0.insert((service, hsdir), slot);
    }

    pub(super) fn is_expected(&self, service: OnionAddress, hsdir: Fingerprint) -> bool {
        self.0.contains_key(&(service, hsdir))
    }

    /// Which descriptor was being read back.
    pub(super) fn end(&mut self, service: OnionAddress, hsdir: Fingerprint) -> Option<DescriptorSlot> {
        self.0.remove(&(service, hsdir))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The revision counter of the service's descriptor `text`, if it really is one.
pub(super) fn revision(service: &OnionAddress, period: TimePeriod, text: &str, now: UnixTime) -> Option<u64> {
    open_outer(text, &PeriodKeys::derive(service, period), now).ok().map(|outer| outer.revision)
}
