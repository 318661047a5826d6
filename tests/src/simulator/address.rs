//! Onion addresses of services and backends.

use std::rc::Rc;

use ed25519_dalek::SigningKey;
use onionbalance_proto::v3::{BlindedKey, PeriodLength, TimePeriod};
use onionbalance_proto::{v2, v3};
use rand_core::RngCore;

use super::dice::Dice;
use super::generation::Places;
use super::network::relay::RelayId;
use super::network::ring::{Index, replica_indices};

/// An onion service's addresses in both versions, of which a simulation uses one, and its number: services come first,
/// backends after them.
pub struct Address {
    /// Unlike any other service's or backend's.
    pub number: usize,
    /// In version 3.
    pub v3: v3::OnionAddress,
    /// In version 2.
    pub v2: v2::OnionAddress,
    /// The key of one period, which stands for those of all: to blind it anew each day takes a tenth of all time, and its
    /// places on the rings differ from period to period all the same.
    key: BlindedKey,
    /// Where its descriptors are by the last consensuses that were asked, by the numbers of these.
    places: Vec<(usize, Rc<Places<RelayId>>)>,
    /// What depends on the period.
    blinded: Vec<(u64, Blinded)>,
}

/// A service's key in one period.
pub struct Blinded {
    /// The key.
    pub key: BlindedKey,
    /// The places of its replicas on the ring.
    pub indices: [Index; 2],
}

impl Address {
    /// A new address.
    pub fn new(number: usize, dice: &mut Dice) -> Self {
        let (mut seed, mut id) = ([0; 32], [0; 10]);
        dice.fill_bytes(&mut seed);
        dice.fill_bytes(&mut id);
        let identity = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        let v3 = v3::OnionAddress::from_identity(identity).expect("a point of the group");
        let length = PeriodLength::try_from(1440).expect("a day");
        Self {
            number,
            key: BlindedKey::derive(&v3, TimePeriod { length, number: 0 }),
            v3,
            v2: v2::OnionAddress::from_permanent_id(id),
            places: Vec::new(),
            blinded: Vec::new(),
        }
    }

    /// Where its descriptors are by the consensus of this number, as `places` says, who is asked once.
    pub fn places(
        &mut self,
        consensus: usize,
        places: impl FnOnce(&mut Self) -> Places<RelayId>,
    ) -> Rc<Places<RelayId>> {
        if let Some((_, known)) = self.places.iter().find(|(known, _)| *known == consensus) {
            return known.clone();
        }
        let places = Rc::new(places(self));
        self.places.truncate(CONSENSUSES - 1);
        self.places.insert(0, (consensus, places.clone()));
        places
    }

    /// The blinded key of this period.
    pub fn blinded(&mut self, number: u64) -> &Blinded {
        if let Some(known) = self.blinded.iter().position(|(known, _)| *known == number) {
            return &self.blinded[known].1;
        }
        let blinded = Blinded { key: self.key, indices: replica_indices(self.key.as_bytes(), number) };
        self.blinded.truncate(PERIODS);
        self.blinded.insert(0, (number, blinded));
        &self.blinded[0].1
    }
}

/// As many as are in use at a time: the one that its tor has, the one that the balancer has, and the newest.
const CONSENSUSES: usize = 3;
/// As many as are in use at a time, or more.
const PERIODS: usize = 3;
