//! Our rings against the text of the specifications, on random networks: distances are computed and relays
//! are sorted by them, without any search.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

use onionbalance::tor::documents::consensus::SharedRandomValue;
use onionbalance::tor::documents::microdesc::RelayIdentity;
use onionbalance::v2;
use onionbalance::v3::ring::Ring;
use onionbalance::v3::schedule::DescriptorTerm;
use onionbalance_proto::fixture::Backend;
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::{DescriptorId, OnionAddress, Replica, SecretIdPart};
use onionbalance_proto::v3::{BlindedKey, PeriodLength, TimePeriod};
use proptest::collection::vec;
use proptest::prelude::*;
use sha3::{Digest, Sha3_256};

type Relay = (Fingerprint, RelayIdentity);

/// The distance from `start` to `place`, round the ring.
fn distance<const N: usize>(start: [u8; N], place: [u8; N]) -> [u8; N] {
    let mut distance = [0; N];
    let mut borrow = false;
    for digit in (0..N).rev() {
        let (difference, first) = place[digit].overflowing_sub(start[digit]);
        let (difference, second) = difference.overflowing_sub(borrow.into());
        distance[digit] = difference;
        borrow = first || second;
    }
    distance
}

/// The HSDirs by rend-spec-v3 \[WHERE-HSDESC\].
fn model(
    relays: &[Relay],
    term: &DescriptorTerm,
    blinded: &BlindedKey,
    replicas: u8,
    spread: u8,
) -> Vec<Fingerprint> {
    let TimePeriod { length, number } = term.period;
    let (length, number) = (length.minutes().to_be_bytes(), number.to_be_bytes());
    let hash = |parts: &[&[u8]]| -> [u8; 32] { Sha3_256::digest(parts.concat()).into() };
    let place = |relay: &Relay| hash(&[b"node-idx", &relay.1.0, &term.shared_random.0, &number, &length]);
    let mut chosen = Vec::new();
    for replica in 1..=u64::from(replicas) {
        let start = hash(&[b"store-at-idx", blinded.as_bytes(), &replica.to_be_bytes(), &length, &number]);
        let mut relays: Vec<&Relay> = relays.iter().collect();
        relays.sort_by_key(|relay| (distance(start, place(relay)), relay.0));
        let mut added = 0;
        for (fingerprint, _) in relays {
            if added < spread && !chosen.contains(fingerprint) {
                chosen.push(*fingerprint);
                added += 1;
            }
        }
    }
    chosen
}

/// No relay, fewer than one replica takes, or many; some fingerprints occur twice.
fn relays() -> impl Strategy<Value = Vec<Relay>> {
    let relay = (any::<u8>(), any::<[u8; 32]>())
        .prop_map(|(fingerprint, identity)| (Fingerprint([fingerprint; 20]), RelayIdentity(identity)));
    prop_oneof![vec(relay.clone(), 0..6), vec(relay, 0..80)]
}

fn term(minutes: u16, number: u64, value: [u8; 32]) -> DescriptorTerm {
    let period = TimePeriod { length: PeriodLength::try_from(minutes).unwrap(), number };
    DescriptorTerm { period, shared_random: SharedRandomValue(value), run_start: UnixTime(0) }
}

proptest! {
    #[test]
    fn version_3_chooses_as_the_specification_says(
        relays in relays(),
        (minutes, number, value) in (5_u16..=14400, any::<u64>(), any::<[u8; 32]>()),
        service in 0_u64..1000,
        (replicas, spread) in (1_u8..=16, 1_u8..=128),
    ) {
        let term = term(minutes, number, value);
        let blinded = BlindedKey::derive(&Backend::new(service).address(), term.period);
        let chosen = Ring::new(&relays, &term).responsible(&blinded, replicas, spread);
        prop_assert_eq!(chosen, model(&relays, &term, &blinded, replicas, spread));
    }

    /// A new consensus moves a descriptor no further than it must.
    #[test]
    fn who_is_not_responsible_does_not_matter(relays in relays(), service in 0_u64..1000, spread in 1_u8..=8) {
        let term = term(1440, 20_000, [7; 32]);
        let blinded = BlindedKey::derive(&Backend::new(service).address(), term.period);
        let chosen = Ring::new(&relays, &term).responsible(&blinded, 2, spread);
        let left: Vec<Relay> = relays.into_iter().filter(|relay| chosen.contains(&relay.0)).collect();
        prop_assert_eq!(Ring::new(&left, &term).responsible(&blinded, 2, spread), chosen);
    }

    #[test]
    fn version_2_chooses_as_the_specification_says(
        fingerprints in vec(any::<[u8; 20]>(), 0..40),
        twice in any::<bool>(),
        id in any::<[u8; 10]>(),
        period in any::<u32>(),
    ) {
        let service = OnionAddress::from_permanent_id(id);
        let part = SecretIdPart::derive(onionbalance_proto::v2::TimePeriod(period), Replica::First, None);
        let id = DescriptorId::derive(&service, part);
        let mut relays: Vec<Fingerprint> = fingerprints.into_iter().map(Fingerprint).collect();
        if twice {
            relays.extend(relays.clone());
        }
        let chosen = v2::ring::Ring::new(relays.clone()).responsible(&id);
        relays.sort_by_key(|relay| distance(*id.as_bytes(), relay.0));
        relays.dedup();
        relays.truncate(3);
        prop_assert_eq!(chosen, relays);
    }
}
