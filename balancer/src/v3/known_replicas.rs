//! The places of descriptors on the ring, kept from one consensus to the next. The blinded key, from which a
//! place follows, takes 48 µs to compute, and the place itself 1 µs. Each consensus needs the places of all
//! backends and services, and they change once a day.

use std::collections::HashMap;

use onionbalance_proto::v3::{BlindedKey, OnionAddress, TimePeriod};

use super::ring::Replicas;
use crate::onion_version;

/// The places that the last survey needed, and those that the present one has needed so far. About 250 bytes
/// for each descriptor: three for a backend and two for a service.
#[derive(Default)]
pub struct KnownReplicas {
    last: ByDescriptor,
    present: ByDescriptor,
}

/// The places by identity key, period and number of replicas.
type ByDescriptor = HashMap<([u8; 32], TimePeriod, u8), Replicas>;

impl KnownReplicas {
    /// The places of the descriptor of the service at `address` in `period`, one for each of its `count`
    /// replicas.
    pub fn replicas(&mut self, address: &OnionAddress, period: TimePeriod, count: u8) -> &Replicas {
        let name = (*address.identity(), period, count);
        let Self { last, present } = self;
        let new = || Replicas::new(&BlindedKey::derive(address, period), period, count);
        present.entry(name).or_insert_with(|| last.remove(&name).unwrap_or_else(new))
    }
}

impl onion_version::Known for KnownReplicas {
    fn end_look(&mut self) {
        self.last = std::mem::take(&mut self.present);
    }
}

#[cfg(test)]
mod tests {
    use onionbalance_proto::fixture::Backend;
    use onionbalance_proto::v3::PeriodLength;

    use super::*;
    use crate::onion_version::Known as _;

    fn period(number: u64) -> TimePeriod {
        TimePeriod { length: PeriodLength::DAY, number }
    }

    #[test]
    fn a_key_is_kept_as_long_as_each_look_needs_it() {
        let [one, other] = [1, 2].map(|number| Backend::new(number).address());
        let mut known = KnownReplicas::default();
        for (address, number) in [(&one, 7), (&one, 8), (&other, 7), (&one, 7)] {
            let period = period(number);
            let expected = Replicas::new(&BlindedKey::derive(address, period), period, 2);
            assert_eq!(*known.replicas(address, period, 2), expected);
        }
        assert_eq!(known.present.len(), 3);
        known.end_look();
        known.replicas(&one, period(8), 2);
        assert_eq!((known.last.len(), known.present.len()), (2, 1), "it was derived again");
        known.end_look();
        assert_eq!((known.last.len(), known.present.len()), (1, 0));
    }
}
