//! The hash ring, which determines the HSDirs of a descriptor (rend-spec-v2 §1.4).
//!
//! The result is exactly tor's (tor: `hid_serv_get_responsible_directories`), so that descriptors are stored
//! where clients look.

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::v2::DescriptorId;

/// The number of relays that keep each replica (`REND_NUMBER_OF_CONSECUTIVE_REPLICAS`).
const SPREAD: usize = 3;

/// The HSDirs in the order of their fingerprints, which are their places on the ring; 20 bytes each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ring(Vec<Fingerprint>);

impl Ring {
    /// A ring of these HSDirs.
    pub fn new(mut hsdirs: Vec<Fingerprint>) -> Self {
        hsdirs.sort_unstable();
        hsdirs.dedup();
        Self(hsdirs)
    }

    /// The number of relays on the ring.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if the ring has no relay.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The relays, each with its place on the ring, of which the first 32 bits are returned.
    pub fn places(&self) -> impl Iterator<Item = (Fingerprint, u32)> {
        let place = |Fingerprint([a, b, c, d, ..]): &Fingerprint| u32::from_be_bytes([*a, *b, *c, *d]);
        self.0.iter().map(move |relay| (*relay, place(relay)))
    }

    /// The HSDirs of the descriptor: the next three from its id on, round the ring. A smaller ring returns
    /// all its relays.
    pub fn responsible(&self, id: &DescriptorId) -> Vec<Fingerprint> {
        let place = self.0.partition_point(|hsdir| hsdir.0 < *id.as_bytes());
        let (before, from) = self.0.split_at(place);
        from.iter().chain(before).take(SPREAD).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn hsdir(digit: char) -> Fingerprint {
        digit.to_string().repeat(40).parse().unwrap()
    }

    fn ring(digits: &str) -> Ring {
        Ring::new(digits.chars().map(hsdir).collect())
    }

    /// The first digits of the fingerprints that are responsible for an id with these first characters.
    fn responsible(ring: &Ring, id: &str) -> String {
        let id = format!("{id:a<32}").parse().unwrap();
        ring.responsible(&id).iter().map(|hsdir| hsdir.to_string().remove(0)).collect()
    }

    #[test]
    fn takes_the_next_three_and_wraps_around() {
        let ring = ring("615243");
        // 222000… and 666000… in hexadecimal digits.
        assert_eq!(responsible(&ring, "eiq"), "234");
        assert_eq!(responsible(&ring, "mzq"), "612");
        assert_eq!(responsible(&ring, "7"), "123");
        assert_eq!(responsible(&ring, "a"), "123");
    }

    #[test]
    fn places_are_the_first_bits_of_fingerprints() {
        let places: Vec<_> = ring("08F").places().map(|(_, place)| place).collect();
        assert_eq!(places, [0, 0x8888_8888, 0xFFFF_FFFF]);
    }

    #[test]
    fn a_small_ring_gives_each_relay_once() {
        assert_eq!(responsible(&ring("12"), "cei"), "12");
        assert_eq!(responsible(&ring("11"), "cei"), "1");
        assert_eq!(responsible(&ring(""), "cei"), "");
        assert!(ring("").is_empty() && ring("12").len() == 2);
    }

    #[test]
    fn a_relay_at_the_very_place_is_the_first() {
        let id: DescriptorId = "kkj45bfm57jmgw5ryxr6zmszjje2tdey".parse().unwrap();
        let at = Fingerprint(*id.as_bytes());
        let ring = Ring::new(vec![hsdir('0'), at, hsdir('F')]);
        assert_eq!(ring.responsible(&id), [at, hsdir('F'), hsdir('0')]);
    }

    proptest! {
        #[test]
        fn no_relay_between_is_passed_over(raw in vec(any::<[u8; 20]>(), 0..12), at in any::<[u8; 20]>()) {
            let id: DescriptorId = data_encoding::BASE32_NOPAD.encode(&at).to_lowercase().parse().unwrap();
            let distance = |hsdir: &Fingerprint| -> Vec<u8> {
                // The distance (place − id) modulo 2^160, digit by digit.
                let mut borrow = 0_i16;
                let digits = hsdir.0.iter().zip(at).rev().map(|(place, at)| {
                    let digit = i16::from(*place) - i16::from(at) - borrow;
                    borrow = i16::from(digit < 0);
                    u8::try_from(digit.rem_euclid(256)).unwrap()
                });
                let mut digits: Vec<u8> = digits.collect();
                digits.reverse();
                digits
            };
            let mut naive: Vec<Fingerprint> = raw.into_iter().map(Fingerprint).collect();
            let ring = Ring::new(naive.clone());
            naive.sort_by_key(distance);
            naive.dedup();
            naive.truncate(3);
            prop_assert_eq!(ring.responsible(&id), naive);
        }
    }
}
