//! The hash ring, which determines the HSDirs of a descriptor (rend-spec-v3 \[WHERE-HSDESC\]).
//!
//! The result is exactly tor's (tor: `hs_get_responsible_hsdirs`), so that descriptors are stored where
//! clients look.

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::v3::{BlindedKey, TimePeriod};
use sha3::{Digest, Sha3_256};

use super::schedule::DescriptorTerm;
use crate::tor::documents::consensus::SharedRandomValue;
use crate::tor::documents::microdesc::RelayIdentity;

/// The HSDirs of one time period and shared random value, in the order of their indices. 52 bytes a relay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ring {
    period: TimePeriod,
    places: Vec<(Index, Fingerprint)>,
}

/// A place on the ring, 32 bytes: a relay's, or that of a replica of a descriptor.
type Index = [u8; 32];

/// The places of a descriptor's replicas on the ring of its period: one hash each, which every consensus of
/// that period needs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Replicas(Vec<Index>);

impl Replicas {
    /// The places of the `count` replicas of the descriptor that is signed with `blinded` in `period`.
    pub fn new(blinded: &BlindedKey, period: TimePeriod, count: u8) -> Self {
        Self((1..=count).map(|replica| hs_index(blinded.as_bytes(), replica, period)).collect())
    }
}

impl Ring {
    /// The ring of these relays for `term`.
    pub fn new(relays: &[(Fingerprint, RelayIdentity)], term: &DescriptorTerm) -> Self {
        let place = |&(fingerprint, identity): &(Fingerprint, RelayIdentity)| {
            (hsdir_index(&identity, term.period, &term.shared_random), fingerprint)
        };
        let mut places: Vec<_> = relays.iter().map(place).collect();
        places.sort_unstable();
        Self { period: term.period, places }
    }

    /// The number of relays on the ring.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// True if the ring has no relay.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The relays, each with its place on the ring, of which the first 32 bits are returned.
    pub fn places(&self) -> impl Iterator<Item = (Fingerprint, u32)> {
        let place = |[a, b, c, d, ..]: Index| u32::from_be_bytes([a, b, c, d]);
        self.places.iter().map(move |(index, relay)| (*relay, place(*index)))
    }

    /// The HSDirs of the descriptor signed with `blinded`; see [`Ring::holders`].
    pub fn responsible(&self, blinded: &BlindedKey, replicas: u8, spread: u8) -> Vec<Fingerprint> {
        self.holders(&Replicas::new(blinded, self.period, replicas), spread)
    }

    /// The HSDirs of a descriptor of this ring's period, the first replica's first, none of them twice.
    ///
    /// Each replica takes the next `spread` relays from its place on, round the ring, and skips those of an
    /// earlier replica. A ring that is too small returns all its relays.
    pub fn holders(&self, Replicas(starts): &Replicas, spread: u8) -> Vec<Fingerprint> {
        let mut chosen = Vec::with_capacity(starts.len() * usize::from(spread));
        for start in starts {
            let (before, from) =
                self.places.split_at(self.places.partition_point(|(index, _)| index < start));
            let mut wanted = spread;
            for (_, relay) in from.iter().chain(before) {
                if wanted == 0 {
                    break;
                }
                if !chosen.contains(relay) {
                    chosen.push(*relay);
                    wanted -= 1;
                }
            }
        }
        chosen
    }
}

/// `hsdir_index`: the period's number before its length.
fn hsdir_index(relay: &RelayIdentity, period: TimePeriod, shared_random: &SharedRandomValue) -> Index {
    // One piece of 88 bytes: this is a quarter faster than five, and a new consensus spends its time here.
    let input: [&[u8]; 5] = [
        b"node-idx",
        &relay.0,
        &shared_random.0,
        &period.number.to_be_bytes(),
        &period.length.minutes().to_be_bytes(),
    ];
    Sha3_256::digest(input.concat()).into()
}

/// `hs_index`: the period's length before its number.
fn hs_index(blinded: &[u8; 32], replica: u8, period: TimePeriod) -> Index {
    Sha3_256::new()
        .chain_update(b"store-at-idx")
        .chain_update(blinded)
        .chain_update(u64::from(replica).to_be_bytes())
        .chain_update(period.length.minutes().to_be_bytes())
        .chain_update(period.number.to_be_bytes())
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use onionbalance_proto::time::UnixTime;
    use onionbalance_proto::v3::PeriodLength;
    use proptest::prelude::*;

    use super::*;

    fn period(number: u64) -> TimePeriod {
        TimePeriod { length: PeriodLength::try_from(1440).unwrap(), number }
    }

    fn term(number: u64, value: u8) -> DescriptorTerm {
        DescriptorTerm {
            period: period(number),
            shared_random: SharedRandomValue([value; 32]),
            run_start: UnixTime(0),
        }
    }

    fn hex(text: &str) -> [u8; 32] {
        data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).unwrap().try_into().unwrap()
    }

    #[test]
    fn indices_are_tors() {
        // C tor, hs_indexes.py.
        let index = hs_index(&[0x42; 32], 1, period(42));
        assert_eq!(index, hex("37e5cbbd56a22823714f18f1623ece5983a0d64c78495a8cfab854245e5f9a8a"));
        let index = hsdir_index(&RelayIdentity([0x42; 32]), period(42), &SharedRandomValue([0x43; 32]));
        assert_eq!(index, hex("db475361014a09965e7e5e4d4a25b8f8d4b8f16cb1d8a7e95eed50249cc1a2d5"));
    }

    #[test]
    fn places_are_the_first_bits_of_indices() {
        let place = |byte| ([byte; 32], Fingerprint([byte; 20]));
        let ring = Ring { period: period(1), places: [0x00, 0x40, 0x80, 0xFF].map(place).into() };
        let places: Vec<_> = ring.places().map(|(relay, place)| (relay.0[0], place)).collect();
        assert_eq!(places, [(0x00, 0), (0x40, 0x4040_4040), (0x80, 0x8080_8080), (0xFF, 0xFFFF_FFFF)]);
    }

    #[test]
    fn agrees_with_onionbalances_hash_ring() {
        // Onionbalance, test_v3_hashring.py: valid-after 10101010101, between a period's start and the next
        // value.
        let relays: Vec<_> =
            (1..=255).map(|byte| (Fingerprint([byte; 20]), RelayIdentity([byte; 32]))).collect();
        let day = TimePeriod::at(UnixTime(10_101_010_101), period(0).length, 720).number;
        let cases = [
            (
                term(day - 1, 0x2a),
                "063aec5e1fd3025098f2df71ef570b28d94b463ffccb5ec6a9c061e38f551c6a",
                [0xD1, 0x2F, 0xB0, 0x3A, 0x5A, 0xDF, 0xF7, 0x34],
            ),
            (
                term(day, 0x29),
                "5db624f2d74f103e6e8c6fbccd074586ef5a5572f90673c00b77def94ec11499",
                [0x5D, 0x9A, 0xD1, 0x7A, 0xC3, 0xC6, 0xE9, 0x86],
            ),
        ];
        for (term, blinded, expected) in cases {
            let starts = (1..=2).map(|replica| hs_index(&hex(blinded), replica, term.period));
            let chosen = Ring::new(&relays, &term).holders(&Replicas(starts.collect()), 4);
            assert_eq!(chosen, expected.map(|byte| Fingerprint([byte; 20])), "{}", term.period.number);
        }
    }

    /// The ring as the specification describes it: step by step upward, and from the top to the bottom.
    fn naive(mut places: Vec<(Index, Fingerprint)>, starts: &[Index], spread: u8) -> Vec<Fingerprint> {
        places.sort();
        let mut chosen: Vec<Fingerprint> = Vec::new();
        for start in starts {
            let mut at = places.iter().position(|(index, _)| index >= start).unwrap_or(0);
            let mut added = 0;
            for _ in 0..places.len() {
                if added < spread && !chosen.contains(&places[at].1) {
                    chosen.push(places[at].1);
                    added += 1;
                }
                at = (at + 1) % places.len();
            }
        }
        chosen
    }

    fn places() -> impl Strategy<Value = Vec<(Index, Fingerprint)>> {
        // The indices differ in one byte, so that starts fall on them, between them, below and above all.
        prop::collection::btree_set(any::<u8>(), 0..40).prop_map(|bytes| {
            bytes.into_iter().map(|byte| ([byte; 32], Fingerprint([byte.wrapping_mul(77); 20]))).collect()
        })
    }

    proptest! {
        #[test]
        fn walks_as_the_specification_says(
            places in places(),
            starts in prop::collection::vec(any::<u8>().prop_map(|byte| [byte; 32]), 1..16),
            spread in 1u8..20,
        ) {
            let ring = Ring { period: period(1), places: places.clone() };
            let chosen = ring.holders(&Replicas(starts.clone()), spread);
            prop_assert_eq!(chosen.len(), places.len().min(starts.len() * usize::from(spread)));
            prop_assert_eq!(chosen, naive(places, &starts, spread));
        }
    }
}
