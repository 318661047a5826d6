//! The descriptors that a service publishes, by the clock (rend-spec-v2 §1.3).
//!
//! A period's two descriptors, one for each replica, are kept published from an hour before the period's
//! beginning to its end. Periods last a day. They begin at a time of day that depends on the service.

use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::period::{OVERLAP, seconds_left};
use onionbalance_proto::v2::{Cookie, DescriptorId, OnionAddress, Replica, SecretIdPart, TimePeriod};

use crate::engine::DescriptorSlot;

/// One of a service's descriptors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DescriptorTerm {
    /// The descriptor's time period.
    pub period: TimePeriod,
    /// The replica, one of two.
    pub replica: Replica,
}

impl DescriptorTerm {
    /// Both descriptors of a period.
    pub fn both(period: TimePeriod) -> [Self; 2] {
        Replica::ALL.map(|replica| Self { period, replica })
    }

    /// The descriptor's id, for a service without stealth authorization.
    pub fn id(self, service: &OnionAddress) -> DescriptorId {
        DescriptorId::derive(service, SecretIdPart::derive(self.period, self.replica, None))
    }

    /// The slot by which the engine names the descriptor.
    pub fn slot(self) -> DescriptorSlot {
        DescriptorSlot { period: self.period.0.into(), replica: self.replica.into() }
    }

    /// The descriptor in the engine's slot; `None` if version 2 has no such slot.
    pub fn of_slot(slot: DescriptorSlot) -> Option<Self> {
        let period = TimePeriod(slot.period.try_into().ok()?);
        Some(Self { period, replica: slot.replica.try_into().ok()? })
    }
}

/// The ids that a backend's descriptor may have. With stealth authorization the cookie of its client is part
/// of the id, and not every form of a cookie tells its kind of authorization.
pub fn ids(backend: &OnionAddress, term: DescriptorTerm, cookie: Option<&Cookie>) -> Vec<DescriptorId> {
    let cookies = [None, cookie];
    let cookies = cookies.iter().take(1 + usize::from(cookie.is_some()));
    cookies
        .map(|cookie| DescriptorId::derive(backend, SecretIdPart::derive(term.period, term.replica, *cookie)))
        .collect()
}

/// The descriptors that the service keeps published at `now`: those of the present period, and within the
/// overlap also those of the next.
pub fn published(service: &OnionAddress, now: UnixTime) -> Vec<DescriptorTerm> {
    let present = TimePeriod::at(now, service);
    let mut terms = DescriptorTerm::both(present).to_vec();
    if seconds_left(now, service) <= OVERLAP {
        terms.extend(DescriptorTerm::both(present.next()));
    }
    terms
}

/// The next time at which [`published`] has another result than at `now`.
pub fn changes_at(service: &OnionAddress, now: UnixTime) -> UnixTime {
    let left = seconds_left(now, service);
    now.plus(if left > OVERLAP { left - OVERLAP } else { left })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn service() -> OnionAddress {
        // The first byte is 0x4e: a period begins 26325 s before midnight UTC.
        "jyvfq5umznvka34v".parse().unwrap()
    }

    fn periods(now: UnixTime) -> Vec<(u32, u8)> {
        published(&service(), now).iter().map(|term| (term.period.0, term.replica.into())).collect()
    }

    #[test]
    fn the_next_period_joins_an_hour_before_it_begins() {
        let begin = TimePeriod(20_000).start(&service());
        let present = [(19_999, 0), (19_999, 1)];
        let both = [(19_999, 0), (19_999, 1), (20_000, 0), (20_000, 1)];
        let next = [(20_000, 0), (20_000, 1)];
        assert_eq!(periods(begin.minus(3601)), present);
        assert_eq!(periods(begin.minus(3600)), both);
        assert_eq!(periods(begin.minus(1)), both);
        assert_eq!(periods(begin), next);
    }

    #[test]
    fn says_to_the_second_when_it_changes() {
        let begin = TimePeriod(20_000).start(&service());
        let mut at = begin.minus(DAY - 7);
        for expected in [begin.minus(3600), begin, begin.plus(DAY - 3600), begin.plus(DAY)] {
            let next = changes_at(&service(), at);
            assert_eq!(next, expected);
            assert_ne!(periods(next), periods(next.minus(1)));
            assert_eq!(periods(next.minus(1)), periods(at));
            at = next;
        }
    }

    #[test]
    fn at_every_minute_of_three_days_clients_find_what_they_look_for() {
        // Services whose periods change before, between and behind the days' ends, and at them.
        for first in [0, 1, 0x4e, 0x80, 0xFF] {
            let mut id = [7; 10];
            id[0] = first;
            let service = OnionAddress::from_permanent_id(id);
            for minute in 0..3 * 24 * 60 {
                let now = UnixTime(1_795_305_607 + minute * 60);
                let terms = published(&service, now);
                // Clients' clocks may be an hour ahead: the descriptor that they look for is there before its
                // period begins.
                for ahead in [0, 1800, OVERLAP - 1] {
                    let wanted = DescriptorTerm::both(TimePeriod::at(now.plus(ahead), &service));
                    assert!(wanted.iter().all(|term| terms.contains(term)), "{first} {minute} {ahead}");
                }
                let begin = TimePeriod::at(now, &service).next().start(&service);
                assert_eq!(terms.len(), if begin.since(now) <= OVERLAP { 4 } else { 2 });
                let next = changes_at(&service, now);
                assert!(next > now && published(&service, next.minus(1)) == terms);
                assert_ne!(published(&service, next), terms);
            }
        }
    }

    #[test]
    fn ids_are_those_of_rend_spec() {
        let terms = DescriptorTerm::both(TimePeriod(16_611));
        let ids = terms.map(|term| term.id(&service()).to_string());
        assert_eq!(ids, ["6wgohrr64y2od75psnrfdkbc74ddqx2v", "he35m4nouhkz6thymvhdvc3y5htqs422"]);
    }

    #[test]
    fn slots_and_terms_are_the_same_thing() {
        for term in published(&service(), UnixTime(1_795_336_111)) {
            assert_eq!(DescriptorTerm::of_slot(term.slot()), Some(term));
        }
        assert_eq!(DescriptorTerm::of_slot(DescriptorSlot { period: 1, replica: 2 }), None);
        assert_eq!(DescriptorTerm::of_slot(DescriptorSlot { period: 1 << 32, replica: 0 }), None);
    }
}
