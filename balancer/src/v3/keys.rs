//! Blinded keys that were derived before. Each takes 48 µs, and each consensus asks for those of all backends and services
//! again, which change once a day.

use std::collections::HashMap;

use onionbalance_proto::v3::{BlindedKey, OnionAddress, TimePeriod};

use crate::generation;

/// The blinded keys that the last look at the network needed, and those that the present one has needed so far. About 250
/// bytes each, three for a backend and two for a service.
#[derive(Default)]
pub struct BlindedKeys {
    last: Keys,
    present: Keys,
}

/// By identity key and period.
type Keys = HashMap<([u8; 32], TimePeriod), BlindedKey>;

impl BlindedKeys {
    /// The blinded key of the service at `address` in `period`.
    pub fn get(&mut self, address: &OnionAddress, period: TimePeriod) -> &BlindedKey {
        let name = (*address.identity(), period);
        let Self { last, present } = self;
        present
            .entry(name)
            .or_insert_with(|| last.remove(&name).unwrap_or_else(|| BlindedKey::derive(address, period)))
    }
}

impl generation::Keys for BlindedKeys {
    fn end_look(&mut self) {
        self.last = std::mem::take(&mut self.present);
    }
}

#[cfg(test)]
mod tests {
    use onionbalance_proto::fixture::Backend;
    use onionbalance_proto::v3::PeriodLength;

    use super::*;
    use crate::generation::Keys as _;

    fn period(number: u64) -> TimePeriod {
        TimePeriod { length: PeriodLength::DAY, number }
    }

    #[test]
    fn a_key_is_kept_as_long_as_each_look_needs_it() {
        let [one, other] = [1, 2].map(|number| Backend::new(number).address());
        let mut keys = BlindedKeys::default();
        for (address, number) in [(&one, 7), (&one, 8), (&other, 7), (&one, 7)] {
            assert!(*keys.get(address, period(number)) == BlindedKey::derive(address, period(number)));
        }
        assert_eq!(keys.present.len(), 3);
        keys.end_look();
        keys.get(&one, period(8));
        assert_eq!((keys.last.len(), keys.present.len()), (2, 1), "it was derived again");
        keys.end_look();
        assert_eq!((keys.last.len(), keys.present.len()), (1, 0));
    }
}
