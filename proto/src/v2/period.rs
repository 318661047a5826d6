//! Time periods: the spans in which a descriptor has one id (rend-spec-v2 §1.3). They last a day. Each
//! service's periods begin at another time of day, so that not all descriptors move at once.
//!
//! ```text
//! offset = first byte of the permanent id * 86 400 / 256     0 to 86 062 seconds before midnight UTC
//! period = (seconds since the epoch + offset) / 86 400       rounded down, a number of 4 bytes
//! ```
//!
//! In the last hour of a period ([`OVERLAP`]) the descriptors of the next one are published too.

use serde::{Deserialize, Serialize};

use super::OnionAddress;
use crate::time::UnixTime;

/// The length of a period, in seconds (tor: `REND_TIME_PERIOD_V2_DESC_VALIDITY`).
pub const LENGTH: u64 = 86_400;
/// The time before a period begins in which its descriptors are published beside those of the present one, in
/// seconds (tor: `REND_TIME_PERIOD_OVERLAPPING_V2_DESCS`). It allows for the differences between clients'
/// clocks.
pub const OVERLAP: u64 = 3600;

/// The number of a service's time period. The same number begins at another second for each service, unless
/// their permanent ids have the same first byte.
///
/// ```
/// use onionbalance_proto::time::UnixTime;
/// use onionbalance_proto::v2::TimePeriod;
/// use onionbalance_proto::v2::period::seconds_left;
///
/// let service = "jyvfq5umznvka34v".parse()?;
/// let now = UnixTime(1_435_229_421);
/// let period = TimePeriod::at(now, &service);
/// assert_eq!(period, TimePeriod(16_611));
/// assert_eq!(seconds_left(now, &service), 21_054);
/// assert_eq!(period.next().start(&service), now.plus(21_054));
/// # Ok::<(), onionbalance_proto::v2::address::AddressError>(())
/// ```
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct TimePeriod(pub u32);

impl TimePeriod {
    /// The period of the service that contains `moment` (tor: `get_time_period`); the last possible one for
    /// any later moment.
    pub fn at(moment: UnixTime, service: &OnionAddress) -> Self {
        let number = moment.0.saturating_add(offset(service)) / LENGTH;
        Self(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// The period after this one; the last possible one is its own next.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The period before this one; the first one, 0, is its own previous.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The beginning of this period of the service; the epoch if it began before that.
    pub fn start(self, service: &OnionAddress) -> UnixTime {
        UnixTime(u64::from(self.0).saturating_mul(LENGTH).saturating_sub(offset(service)))
    }
}

/// Seconds from `moment` until the service's next period begins: 1 to 86400 (tor: `get_seconds_valid`).
pub fn seconds_left(moment: UnixTime, service: &OnionAddress) -> u64 {
    LENGTH - moment.0.saturating_add(offset(service)) % LENGTH
}

/// The time between the beginning of the service's periods and the next midnight UTC, in seconds. As in tor,
/// half a second is rounded down.
fn offset(service: &OnionAddress) -> u64 {
    let [first, ..] = service.permanent_id();
    u64::from(*first) * LENGTH / 256
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn service(first: u8) -> OnionAddress {
        let mut id = [7; 10];
        id[0] = first;
        OnionAddress::from_permanent_id(id)
    }

    #[test]
    fn agrees_with_the_specifications_example() {
        assert_eq!(TimePeriod::at(UnixTime(1_188_241_957), &service(143)), TimePeriod(0x35B9));
    }

    #[test]
    fn agrees_with_onionbalances_values() {
        let service = "jyvfq5umznvka34v".parse().unwrap();
        let now = UnixTime(1_435_229_421);
        assert_eq!(TimePeriod::at(now, &service), TimePeriod(16_611));
        assert_eq!(seconds_left(now, &service), 21_054);
    }

    #[test]
    fn begins_at_each_services_own_second() {
        for first in 0..=255 {
            let service = service(first);
            let period = TimePeriod(20_000);
            let start = period.start(&service);
            assert_eq!(TimePeriod::at(start, &service), period, "{first}");
            assert_eq!(TimePeriod::at(start.minus(1), &service), period.previous(), "{first}");
            assert_eq!((seconds_left(start.minus(1), &service), seconds_left(start, &service)), (1, LENGTH));
        }
    }

    proptest! {
        #[test]
        fn the_next_period_begins_when_this_one_is_over(now in 0_u64..200_000_000_000_000, first in any::<u8>()) {
            let (now, service) = (UnixTime(now), service(first));
            let period = TimePeriod::at(now, &service);
            prop_assert_eq!(period.next().start(&service), now.plus(seconds_left(now, &service)));
            prop_assert!(period.start(&service) <= now);
        }

        #[test]
        fn no_moment_overflows(now in any::<u64>(), first in any::<u8>(), number in any::<u32>()) {
            let service = service(first);
            prop_assert!((1..=LENGTH).contains(&seconds_left(UnixTime(now), &service)));
            let _ = TimePeriod::at(UnixTime(now), &service);
            let _ = TimePeriod(number).start(&service);
        }
    }
}
