//! Onion addresses of services and backends.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use onionbalance_proto::v3::{BlindedKey, PeriodLength, TimePeriod};
use onionbalance_proto::{v2, v3};
use rand_core::RngCore;

use super::dice::Dice;
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
    /// What depends on the period: to blind a key anew takes most of an hour's time.
    blinded: BTreeMap<u64, Blinded>,
}

/// A service's key in one period.
#[derive(Clone, Copy)]
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
        Self {
            number,
            v3: v3::OnionAddress::from_identity(identity).expect("a point of the group"),
            v2: v2::OnionAddress::from_permanent_id(id),
            blinded: BTreeMap::new(),
        }
    }

    /// The blinded key of this period.
    pub fn blinded(&mut self, number: u64) -> Blinded {
        if let Some(blinded) = self.blinded.get(&number) {
            return *blinded;
        }
        let length = PeriodLength::try_from(1440).expect("a day");
        let key = BlindedKey::derive(&self.v3, TimePeriod { length, number });
        let blinded = Blinded { key, indices: replica_indices(key.as_bytes(), number) };
        self.blinded.insert(number, blinded);
        if self.blinded.len() > PERIODS {
            self.blinded.pop_first();
        }
        blinded
    }
}

/// More than are in use at a time.
const PERIODS: usize = 4;
