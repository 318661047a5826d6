//! Onion addresses of services and backends.

use std::rc::Rc;

use ed25519_dalek::SigningKey;
use onionbalance::engine::DescriptorSlot;
use onionbalance::v3::ring::Replicas;
use onionbalance_proto::v3::{BlindedKey, PeriodLength, TimePeriod};
use onionbalance_proto::{v2, v3};
use rand_core::RngCore;

use super::dice::Dice;
use super::network::calendar::Calendar;
use super::network::id::RelayId;
use super::network::ring::{Index, replica_indices};

/// Descriptors with the HSDirs on which they belong.
pub type Places<Hsdir> = Vec<(DescriptorSlot, Vec<Hsdir>)>;

/// An onion service's addresses in both versions, of which a simulation uses one, and its number: services
/// come first, then backends.
pub struct Address {
    /// A number that no other service or backend has.
    pub number: usize,
    /// The version 3 address.
    pub v3: v3::OnionAddress,
    /// The version 2 address.
    pub v2: v2::OnionAddress,
    /// The blinded key of one period, which is used for all periods: computing one each day would take a
    /// tenth of all time, and its places on the rings differ from period to period anyway.
    pub blinded: BlindedKey,
    /// The HSDirs of its descriptors by the last consensuses that were asked for, by the numbers of these.
    places: Vec<(usize, Rc<Places<RelayId>>)>,
    /// The places of its replicas on the rings of version 3, by periods.
    indices: Vec<(u64, [Index; 2])>,
    /// The same, as the balancer works them out.
    replicas: Vec<(u64, Replicas)>,
}

impl Address {
    /// A random address.
    pub fn new(number: usize, dice: &mut Dice) -> Self {
        let (mut seed, mut id) = ([0; 32], [0; 10]);
        dice.fill_bytes(&mut seed);
        dice.fill_bytes(&mut id);
        let identity = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        let v3 = v3::OnionAddress::from_identity(identity).expect("a point of the group");
        let length = PeriodLength::try_from(1440).expect("a day");
        Self {
            number,
            blinded: BlindedKey::derive(&v3, TimePeriod { length, number: 0 }),
            v3,
            v2: v2::OnionAddress::from_permanent_id(id),
            places: Vec::new(),
            indices: Vec::new(),
            replicas: Vec::new(),
        }
    }

    /// The HSDirs of its descriptors by the consensus of this number; `places` computes them once.
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

    /// The places of its replicas on this period's ring of version 3.
    pub fn indices(&mut self, period: u64, calendar: Calendar) -> [Index; 2] {
        if let Some((_, indices)) = self.indices.iter().find(|(known, _)| *known == period) {
            return *indices;
        }
        let indices = replica_indices(self.blinded.as_bytes(), period, calendar.period_minutes());
        self.indices.truncate(PERIODS - 1);
        self.indices.insert(0, (period, indices));
        indices
    }

    /// The places of its replicas on this period's ring of version 3, as the balancer works them out.
    pub fn replicas(&mut self, period: TimePeriod) -> &Replicas {
        let known = self.replicas.iter().position(|(known, _)| *known == period.number);
        let place = known.unwrap_or_else(|| {
            self.replicas.truncate(PERIODS - 1);
            self.replicas.insert(0, (period.number, Replicas::new(&self.blinded, period, REPLICAS)));
            0
        });
        &self.replicas[place].1
    }
}

/// The number of consensuses that are in use at a time: tor's, the balancer's, and the newest.
const CONSENSUSES: usize = 3;
/// The number of replicas (`hsdir_n_replicas`), unless a consensus has another one.
const REPLICAS: u8 = 2;
/// The number of periods that are remembered; fewer are in use at a time.
const PERIODS: usize = 4;
