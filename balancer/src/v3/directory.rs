//! The HSDirs of v3 services by one consensus: its schedule, and the rings of both descriptors.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::thread;

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::v3::{BlindedKey, OnionAddress, TimePeriod};

use super::ring::{Replicas, Ring};
use super::schedule::{DescriptorTerm, Schedule, ScheduleError, Which};
use crate::tor::documents::consensus::{Consensus, ConsensusError, Lifetime, Parameters};
use crate::tor::documents::microdesc::{RelayIdentity, microdescriptors};

/// The HSDirs of every service's descriptors, by one consensus. About 100 bytes a relay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Directory {
    lifetime: Lifetime,
    parameters: Parameters,
    schedule: Schedule,
    first: Ring,
    second: Ring,
    missing: usize,
}

/// The reason for which there is no directory.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DirectoryError {
    /// The consensus cannot be read.
    #[error(transparent)]
    Consensus(#[from] ConsensusError),
    /// The consensus's times make no schedule.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

impl Directory {
    /// Makes the rings from tor's answers for `dir/status-vote/current/consensus-microdesc` and `md/all`.
    /// `testing` as in [`Schedule::new`].
    ///
    /// # Errors
    /// The consensus is not valid, or its times make no schedule.
    pub fn new(
        consensus: &[u8],
        microdescriptors_text: &[u8],
        testing: bool,
    ) -> Result<Self, DirectoryError> {
        let consensus = Consensus::parse(consensus)?;
        let mut awaited: HashMap<_, _> =
            consensus.hsdirs.iter().map(|hsdir| (hsdir.microdescriptor, hsdir.fingerprint)).collect();
        let mut missing = consensus.hsdirs.len();
        let mut relays = Vec::with_capacity(missing);
        for known in microdescriptors(microdescriptors_text) {
            if let Some(fingerprint) = awaited.remove(&known.digest) {
                missing -= 1;
                // A relay without an identity has no place on the ring of any tor, now or later.
                relays.extend(known.identity.map(|identity| (fingerprint, identity)));
            }
        }
        Ok(Self { missing, ..Self::of(&consensus, &relays, testing)? })
    }

    /// Makes the rings from a parsed consensus and those of its HSDirs whose identity is known.
    ///
    /// # Errors
    /// The times of the consensus make no schedule.
    pub fn of(
        consensus: &Consensus,
        relays: &[(Fingerprint, RelayIdentity)],
        testing: bool,
    ) -> Result<Self, ScheduleError> {
        let schedule = Schedule::new(consensus, testing)?;
        // The rings take half of the time, so each is computed in a thread.
        let (first, second) = thread::scope(|scope| {
            let first = scope.spawn(|| Ring::new(relays, &schedule.first));
            let second = Ring::new(relays, &schedule.second);
            (first.join().unwrap_or_else(|panic| resume_unwind(panic)), second)
        });
        let Consensus { lifetime, parameters, .. } = *consensus;
        Ok(Self { lifetime, parameters, schedule, first, second, missing: 0 })
    }

    /// The time in which the consensus is valid.
    pub fn lifetime(&self) -> &Lifetime {
        &self.lifetime
    }

    /// The network's parameters for onion services.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The terms of the two descriptors.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The number of HSDirs on the rings.
    pub fn hsdirs(&self) -> usize {
        self.first.len()
    }

    /// The number of the consensus's HSDirs that are not on the rings because tor has not fetched their
    /// microdescriptors yet. While there are any, some services have other HSDirs than their clients look at:
    /// wait for tor to fetch them.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// The first and the second descriptor of the service at `address`, each with its HSDirs.
    pub fn store(&self, address: &OnionAddress) -> [(DescriptorTerm, Vec<Fingerprint>); 2] {
        self.both()
            .map(|(which, term)| (term, self.responsible(which, &BlindedKey::derive(address, term.period))))
    }

    /// The first and the second descriptor of every service.
    pub fn both(&self) -> [(Which, DescriptorTerm); 2] {
        [(Which::First, self.schedule.first), (Which::Second, self.schedule.second)]
    }

    /// The period of the descriptor of the service at `address` that clients look for now, and its HSDirs.
    ///
    /// Clients ask only the first `spread_fetch` of each replica; these are all HSDirs that hold it.
    pub fn fetch(&self, address: &OnionAddress) -> (TimePeriod, Vec<Fingerprint>) {
        let period = self.schedule.fetched_term().period;
        (period, self.responsible(self.schedule.fetched, &BlindedKey::derive(address, period)))
    }

    /// The HSDirs of the first or the second descriptor of the service that has this blinded key in its
    /// period.
    pub fn responsible(&self, which: Which, blinded: &BlindedKey) -> Vec<Fingerprint> {
        self.ring(which).responsible(blinded, self.parameters.replicas, self.parameters.spread_store)
    }

    /// The HSDirs of the first or the second descriptor that has these replicas.
    pub fn holders(&self, which: Which, replicas: &Replicas) -> Vec<Fingerprint> {
        self.ring(which).holders(replicas, self.parameters.spread_store)
    }

    /// The ring of the first or the second descriptor.
    pub fn ring(&self, which: Which) -> &Ring {
        match which {
            Which::First => &self.first,
            Which::Second => &self.second,
        }
    }
}

#[cfg(test)]
mod tests {
    use onionbalance_proto::time::UnixTime;

    use super::*;

    // A testing network with 9 relays, and the service `backend0` in it: only relay2 did not hold its first
    // descriptor.
    const CONSENSUS: &str = include_str!("../../tests/data/consensus-microdesc.txt");
    const MICRODESCRIPTORS: &str = include_str!("../../tests/data/md-all.txt");
    const BACKEND: &str = "th4zxt6h4k7tcv2jwe7y3rid42pptskjmofdmt2tnwzd2n4gsotrjoid.onion";
    const BLINDED_KEY: &str = "1/kb54V9XS9d7lOg25nUcsl6eG5FJhR4P6RSddU3K1k";
    const RELAY2: &str = "C54881454E22399E4E2BCA58EAB85889F3B144D8";

    fn directory(consensus: &str, microdescriptors: &str) -> Directory {
        Directory::new(consensus.as_bytes(), microdescriptors.as_bytes(), true).unwrap()
    }

    #[test]
    fn finds_the_relays_that_held_a_real_descriptor() {
        let directory = directory(CONSENSUS, MICRODESCRIPTORS);
        assert_eq!((directory.hsdirs(), directory.missing()), (9, 0));
        assert_eq!(directory.schedule().second.run_start, UnixTime(1_795_335_840));

        let address: OnionAddress = BACKEND.parse().unwrap();
        let [(term, holders), _] = directory.store(&address);
        assert_eq!(format!("{:?}", BlindedKey::derive(&address, term.period)), BLINDED_KEY);
        assert_eq!(holders.len(), 8);
        assert!(!holders.contains(&RELAY2.parse().unwrap()));
    }

    #[test]
    fn fetches_where_it_stores() {
        let directory = directory(CONSENSUS, MICRODESCRIPTORS);
        let address = BACKEND.parse().unwrap();
        let [first, second] = directory.store(&address);
        assert_eq!((first.0, second.0), (directory.schedule().first, directory.schedule().second));
        let fetched = match directory.schedule().fetched {
            Which::First => first,
            Which::Second => second,
        };
        assert_eq!(directory.fetch(&address), (fetched.0.period, fetched.1));
    }

    #[test]
    fn parameters_of_the_consensus_decide_how_many() {
        let params = "\nparams hsdir_n_replicas=3 hsdir_spread_store=1\ndir-source";
        let directory = directory(&CONSENSUS.replacen("\ndir-source", params, 1), MICRODESCRIPTORS);
        assert_eq!(directory.parameters().replicas, 3);
        assert_eq!(directory.fetch(&BACKEND.parse().unwrap()).1.len(), 3);
    }

    #[test]
    fn counts_relays_that_tor_knows_too_little_of() {
        let without_first = MICRODESCRIPTORS.replacen("onion-key", "onion-kez", 1);
        let unknown = directory(CONSENSUS, &without_first);
        assert_eq!((unknown.hsdirs(), unknown.missing()), (8, 1));
        let none = directory(CONSENSUS, "");
        assert_eq!((none.hsdirs(), none.missing()), (0, 9));
        assert_eq!(none.fetch(&BACKEND.parse().unwrap()).1, []);
    }

    #[test]
    fn says_why_there_is_none() {
        let failed = |consensus: &str| Directory::new(consensus.as_bytes(), b"", true).unwrap_err();
        assert!(matches!(failed("x"), DirectoryError::Consensus(ConsensusError::Flavour)));
        let hasty = CONSENSUS.replace("fresh-until 2026-11-22 08:28:20", "fresh-until 2026-11-22 08:28:10");
        assert!(matches!(failed(&hasty), DirectoryError::Schedule(_)));
    }
}
