//! The assignment of events to fetches.
//!
//! A version 3 fetch is named by the service's address, since tor may look for another time period's
//! descriptor than we expect. A version 2 fetch is named by the descriptor's id, since its events name no
//! address. If a circuit fails there is no event.

use std::collections::HashMap;

use onionbalance_proto::relay::Fingerprint;
use tokio::time::Instant;

use super::GIVEN_UP;
use crate::network::{Lookup, RequestId};
use crate::tor::event::{DescriptorId, Service};

/// The fetches that are under way.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    at: HashMap<(Name, Fingerprint), Vec<Awaited>>,
}

/// The name of a descriptor in events.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Name {
    Address(Service),
    Id(DescriptorId),
}

#[derive(Debug)]
struct Awaited {
    request: RequestId,
    until: Instant,
}

impl Fetches {
    /// Notes the beginning of a fetch.
    pub(super) fn expect(&mut self, request: RequestId, lookup: &Lookup, hsdir: Fingerprint, now: Instant) {
        let awaited = Awaited { request, until: now + GIVEN_UP };
        self.at.entry((Name::of(lookup), hsdir)).or_default().push(awaited);
    }

    /// Removes a fetch that tor did not make. False if an earlier one's answer has answered it already.
    pub(super) fn withdraw(&mut self, request: RequestId) -> bool {
        let before = self.len();
        self.at.retain(|_, awaited| {
            awaited.retain(|awaited| awaited.request != request);
            !awaited.is_empty()
        });
        self.len() < before
    }

    /// Takes an HSDir's answer for a descriptor. Returns the requests that it answers: if an HSDir was asked
    /// twice for the same descriptor, one answer serves both.
    pub(super) fn answered(
        &mut self,
        address: &Service,
        descriptor: Option<&DescriptorId>,
        hsdir: Fingerprint,
    ) -> Vec<RequestId> {
        let by_id = descriptor.map(|id| Name::Id(id.clone()));
        let mut names = by_id.into_iter().chain([Name::Address(address.clone())]);
        let found = names.find_map(|name| self.at.remove(&(name, hsdir)));
        found.into_iter().flatten().map(|awaited| awaited.request).collect()
    }

    /// Takes out the fetches for which no event has come for too long.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<RequestId> {
        let mut expired = Vec::new();
        self.at.retain(|_, awaited| {
            let over = awaited.iter().filter(|awaited| awaited.until <= now);
            expired.extend(over.map(|awaited| awaited.request));
            awaited.retain(|awaited| awaited.until > now);
            !awaited.is_empty()
        });
        expired
    }

    /// The time at which [`Fetches::expire`] returns something; `None` if there are no fetches.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.at.values().flatten().map(|awaited| awaited.until).min()
    }

    /// The number of fetches.
    pub(super) fn len(&self) -> usize {
        self.at.values().map(Vec::len).sum()
    }

    /// Drops all fetches.
    pub(super) fn clear(&mut self) {
        self.at.clear();
    }
}

impl Name {
    fn of(lookup: &Lookup) -> Self {
        match lookup {
            Lookup::V3(address) => Self::Address(address.into()),
            Lookup::V2 { id, .. } => Self::Id(id.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HSDIR: Fingerprint = Fingerprint([1; 20]);
    const ADDRESS: &str = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid";
    const ID: &str = "kkj45bfm57jmgw5ryxr6zmszjje2tdey";

    fn v3() -> Lookup {
        Lookup::V3(ADDRESS.parse().unwrap())
    }

    fn v2() -> Lookup {
        Lookup::V2 { address: "lijeinqkg3odt3fl".parse().unwrap(), id: ID.parse().unwrap() }
    }

    fn requests<const N: usize>(numbers: [u64; N]) -> Vec<RequestId> {
        numbers.map(RequestId).into()
    }

    #[test]
    fn an_answer_is_that_of_all_who_asked_the_same() {
        let mut fetches = Fetches::default();
        let now = Instant::now();
        fetches.expect(RequestId(1), &v3(), HSDIR, now);
        fetches.expect(RequestId(2), &v3(), HSDIR, now);
        fetches.expect(RequestId(3), &v3(), Fingerprint([2; 20]), now);
        let other_period = DescriptorId::from("of another period");
        let answered = fetches.answered(&Service::from(ADDRESS), Some(&other_period), HSDIR);
        assert_eq!(answered, requests([1, 2]));
        assert_eq!(fetches.answered(&Service::from(ADDRESS), None, HSDIR), []);
        assert_eq!(fetches.len(), 1);
    }

    #[test]
    fn version_2_goes_by_the_id() {
        let mut fetches = Fetches::default();
        fetches.expect(RequestId(1), &v2(), HSDIR, Instant::now());
        let unknown = Service::from("UNKNOWN");
        assert_eq!(fetches.answered(&unknown, Some(&DescriptorId::from("other")), HSDIR), []);
        assert_eq!(fetches.answered(&unknown, Some(&DescriptorId::from(ID)), HSDIR), requests([1]));
    }

    #[test]
    fn nothing_is_awaited_for_ever() {
        let mut fetches = Fetches::default();
        let now = Instant::now();
        fetches.expect(RequestId(1), &v3(), HSDIR, now);
        fetches.expect(RequestId(2), &v2(), HSDIR, now + GIVEN_UP / 2);
        assert_eq!(fetches.deadline(), Some(now + GIVEN_UP));
        assert_eq!(fetches.expire(now + GIVEN_UP), requests([1]));
        assert!(fetches.withdraw(RequestId(2)) && !fetches.withdraw(RequestId(1)));
        assert_eq!((fetches.len(), fetches.deadline()), (0, None));
    }
}
