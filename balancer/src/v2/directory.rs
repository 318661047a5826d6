//! The HSDirs of v2 services by one consensus.

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::{OnionAddress, TimePeriod};

use super::ring::Ring;
use super::schedule::{self, DescriptorTerm};
use crate::tor::documents::consensus::Lifetime;
use crate::tor::documents::router_status::{self, RouterStatusError};

/// The HSDirs of every service's descriptors, by one consensus.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Directory {
    lifetime: Lifetime,
    ring: Ring,
}

/// The reason for which there is no directory.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DirectoryError {
    /// The list of relays cannot be read.
    #[error(transparent)]
    RouterStatus(#[from] RouterStatusError),
    /// The consensus's times are not valid, or not in their order.
    #[error("tor says of its consensus that it is valid from `{0}`, fresh until `{1}` and valid until `{2}`")]
    Times(String, String, String),
}

impl Directory {
    /// Makes the ring from tor's answers for `ns/all`, and for `consensus/valid-after`,
    /// `consensus/fresh-until` and `consensus/valid-until`.
    ///
    /// # Errors
    /// The list of relays or a time is not valid, or the times are not in their order.
    pub fn new(router_statuses: &[u8], times: [&str; 3]) -> Result<Self, DirectoryError> {
        let lifetime = match times.map(str::parse) {
            [Ok(valid_after), Ok(fresh_until), Ok(valid_until)] => {
                Lifetime::new(valid_after, fresh_until, valid_until)
            }
            _ => None,
        };
        let [valid_after, fresh_until, valid_until] = times.map(str::to_owned);
        let lifetime = lifetime.ok_or(DirectoryError::Times(valid_after, fresh_until, valid_until))?;
        Ok(Self::of(lifetime, router_status::hsdirs(router_statuses)?))
    }

    /// Makes the ring from the HSDirs of a parsed consensus.
    pub fn of(lifetime: Lifetime, hsdirs: Vec<Fingerprint>) -> Self {
        Self { lifetime, ring: Ring::new(hsdirs) }
    }

    /// The time in which the consensus is valid.
    pub fn lifetime(&self) -> &Lifetime {
        &self.lifetime
    }

    /// The number of HSDirs on the ring.
    pub fn hsdirs(&self) -> usize {
        self.ring.len()
    }

    /// The ring of all descriptors.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The descriptors that the service at `address` publishes at `now`, each with its HSDirs.
    pub fn store(&self, address: &OnionAddress, now: UnixTime) -> Vec<(DescriptorTerm, Vec<Fingerprint>)> {
        let terms = schedule::published(address, now).into_iter();
        terms.map(|term| (term, self.ring.responsible(&term.id(address)))).collect()
    }

    /// The descriptors of the service at `address` that clients look for at `now`, each with its HSDirs.
    pub fn fetch(&self, address: &OnionAddress, now: UnixTime) -> [(DescriptorTerm, Vec<Fingerprint>); 2] {
        DescriptorTerm::both(TimePeriod::at(now, address))
            .map(|term| (term, self.ring.responsible(&term.id(address))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The consensus of a testing network of tor 0.4.5.9, and the descriptors that its HSDirs held.
    const ROUTER_STATUSES: &str = include_str!("../../tests/data/ns-all.txt");
    const TIMES: [&str; 3] = ["2026-11-22 07:53:20", "2026-11-22 07:53:40", "2026-11-22 07:54:00"];
    const VECTORS: &str = include_str!("../../../proto/testdata/v2/vectors.json");

    fn directory() -> Directory {
        Directory::new(ROUTER_STATUSES.as_bytes(), TIMES).unwrap()
    }

    #[test]
    fn says_why_there_is_none() {
        let [after, fresh, until] = TIMES;
        let failed = |times| Directory::new(ROUTER_STATUSES.as_bytes(), times).unwrap_err().to_string();
        assert_eq!(
            failed([after, "", until]),
            format!(
                "tor says of its consensus that it is valid from `{after}`, fresh until `` and valid until `{until}`"
            )
        );
        assert!(failed([until, fresh, after]).starts_with("tor says"));
        assert_eq!(Directory::new(b"", TIMES).unwrap_err(), RouterStatusError::Empty.into());
    }

    #[test]
    fn finds_the_relays_that_held_real_descriptors() {
        let vectors: serde_json::Value = serde_json::from_str(VECTORS).unwrap();
        let known =
            vectors["descriptors"].as_array().unwrap().iter().filter(|vector| vector["hsdirs"].is_array());
        let mut compared = 0;
        for vector in known {
            let address: OnionAddress = vector["address"].as_str().unwrap().parse().unwrap();
            let now = UnixTime(vector["fetched_at"].as_u64().unwrap());
            let replica = usize::try_from(vector["replica"].as_u64().unwrap()).unwrap();
            let [(term, mut holders)] = [directory().fetch(&address, now)[replica].clone()];
            assert_eq!(term.id(&address).to_string(), vector["desc_id"].as_str().unwrap());
            holders.sort_unstable();
            let held: Vec<Fingerprint> = vector["hsdirs"]
                .as_array()
                .unwrap()
                .iter()
                .map(|held| held.as_str().unwrap().parse().unwrap())
                .collect();
            assert_eq!(holders, held);
            compared += 1;
        }
        assert_eq!(compared, 4);
    }

    #[test]
    fn stores_what_clients_fetch() {
        let address = "lijeinqkg3odt3fl".parse().unwrap();
        let begin = TimePeriod(20_000).start(&address);
        for now in [begin, begin.plus(50_000), begin.plus(86_399)] {
            let stored = directory().store(&address, now);
            assert_eq!(stored[..2], directory().fetch(&address, now));
        }
        // In the overlap the HSDirs are already those at which clients will look.
        let stored = directory().store(&address, begin.minus(3600));
        assert_eq!(stored[2..], directory().fetch(&address, begin));
    }
}
