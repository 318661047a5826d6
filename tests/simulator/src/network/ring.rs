//! The HSDirs of descriptors, by the text of the specifications and by hours of the day. This is written
//! apart from the balancer's code, so that an error there shows here.
//!
//! In the public network votes are an hour apart, periods of version 3 begin at noon, and shared random
//! values change at midnight UTC.

use onionbalance::tor::documents::microdesc::RelayIdentity;
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use rustc_hash::FxHashMap;
use sha3::{Digest, Sha3_256};

use super::calendar::Calendar;
use super::id::RelayId;

/// A place on the ring of version 3, the most significant part first.
pub type Index = [u64; 4];

/// A shared random value.
pub type Value = [u8; 32];

/// The places of a period and value, sorted.
type Ring<I> = Vec<(I, RelayId)>;

/// The rings by one consensus.
pub struct Rings {
    /// The two of version 3, by their periods.
    v3: [(Term, Ring<Index>); 2],
    v2: Ring<[u8; 20]>,
    /// The index of the ring at which clients look.
    sought: usize,
}

/// The values that determine a relay's place.
#[derive(Clone, Copy, Eq, PartialEq)]
struct Term {
    period: u64,
    /// Of the period, in minutes.
    length: u64,
    value: Value,
}

impl Rings {
    /// The rings of the relays that a consensus lists, with its shared random values (of the run, of the run
    /// before). `last` saves hashing its relays again.
    pub fn new(
        calendar: Calendar,
        valid_after: UnixTime,
        [current, previous]: [Option<Value>; 2],
        listed: &[RelayId],
        identities: &[(Fingerprint, RelayIdentity)],
        last: Option<&Self>,
    ) -> Self {
        let length = calendar.period_minutes();
        // Noon is the middle of a run.
        let begun_at_noon = (valid_after.0 / 60 - length / 2) / length;
        let after_noon = valid_after.0 / calendar.interval_secs() % 24 >= 12;
        // The value of the run before belongs to the period that was half over when it was replaced.
        let first = if after_noon { begun_at_noon - 1 } else { begun_at_noon };
        let terms = [(first, previous), (first + 1, current)].map(|(period, value)| Term {
            period,
            value: value.unwrap_or_else(|| disaster(period, length)),
            length,
        });
        let ring = |term: Term| {
            let known = last.and_then(|last| last.v3.iter().find(|(known, _)| *known == term));
            let known: FxHashMap<RelayId, Index> = known
                .map(|(_, ring)| ring.iter().map(|(index, id)| (*id, *index)).collect())
                .unwrap_or_default();
            let place = |(id, (_, identity)): (&RelayId, &(Fingerprint, RelayIdentity))| {
                (known.get(id).copied().unwrap_or_else(|| node_index(identity, term)), *id)
            };
            (term, sorted(listed.iter().zip(identities).map(place).collect()))
        };
        let v2 = sorted(identities.iter().zip(listed).map(|((place, _), id)| (place.0, *id)).collect());
        Self { v3: terms.map(ring), v2, sought: usize::from(after_noon) }
    }

    /// The periods of a v3 service's two descriptors.
    pub fn periods(&self) -> [u64; 2] {
        [0, 1].map(|which| self.v3[which].0.period)
    }

    /// The period of the descriptor that v3 clients look for.
    pub fn sought_period(&self) -> u64 {
        self.periods()[self.sought]
    }

    /// For each replica's place, the next `spread` relays on that period's ring, none of them twice.
    pub fn v3(&self, period: u64, replicas: &[Index; 2], spread: usize) -> Vec<RelayId> {
        let (_, ring) = self.v3.iter().find(|(term, _)| term.period == period).expect("one of both");
        let mut chosen = Vec::with_capacity(2 * spread);
        for place in replicas {
            let end = chosen.len() + spread;
            for id in from(ring, place) {
                if chosen.len() == end {
                    break;
                }
                if !chosen.contains(&id) {
                    chosen.push(id);
                }
            }
        }
        chosen
    }

    /// The next three relays on the ring of version 2.
    pub fn v2(&self, id: &[u8; 20]) -> Vec<RelayId> {
        from(&self.v2, id).take(3).collect()
    }
}

fn sorted<I: Ord>(mut ring: Ring<I>) -> Ring<I> {
    ring.sort_unstable();
    ring
}

/// All relays once, from this place on; after the last comes the first.
fn from<'a, I: Ord>(ring: &'a Ring<I>, place: &I) -> impl Iterator<Item = RelayId> + 'a {
    let begin = ring.partition_point(|(index, _)| index < place);
    (0..ring.len()).map(move |step| ring[(begin + step) % ring.len()].1)
}

fn node_index(identity: &RelayIdentity, term: Term) -> Index {
    let mut text = b"node-idx".to_vec();
    text.extend(identity.0);
    text.extend(term.value);
    text.extend(term.period.to_be_bytes());
    text.extend(term.length.to_be_bytes());
    index(&text)
}

/// The places of both replicas of the descriptor with this blinded key, in a period of `length` minutes.
pub fn replica_indices(blinded: &[u8; 32], period: u64, length: u64) -> [Index; 2] {
    [1u64, 2].map(|replica| {
        let mut text = b"store-at-idx".to_vec();
        text.extend(blinded);
        text.extend(replica.to_be_bytes());
        text.extend(length.to_be_bytes());
        text.extend(period.to_be_bytes());
        index(&text)
    })
}

fn index(text: &[u8]) -> Index {
    let digest: [u8; 32] = Sha3_256::digest(text).into();
    let (words, _) = digest.as_chunks();
    [0, 1, 2, 3].map(|word| u64::from_be_bytes(words[word]))
}

fn disaster(period: u64, length: u64) -> Value {
    let mut text = b"shared-random-disaster".to_vec();
    text.extend(length.to_be_bytes());
    text.extend(period.to_be_bytes());
    Sha3_256::digest(text).into()
}
