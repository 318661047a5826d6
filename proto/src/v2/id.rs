//! Descriptor ids: the places of descriptors on the ring of HSDirs (rend-spec-v2 §1.3).
//!
//! Both hashes are SHA-1, over these fields without anything between them:
//!
//! | hash | input | size of the input |
//! |---|---|---|
//! | secret-id-part | time period 4, big-endian; cookie 16, with stealth only; replica 1 | 5 or 21 |
//! | descriptor id | permanent id 10, secret-id-part 20 | 30 |
//!
//! A descriptor lists the secret-id-part and the key, so that an HSDir can compute the id and compare it. The
//! HSDir does not check the period: it stores a descriptor of any one.
//!
//! The id that tor reports in the event `HS_DESC RECEIVED` may be another one: after a fetch by address it
//! can be that of the first replica with a cookie of zeroes. `HS_DESC_CONTENT` has the right one.

use std::fmt;
use std::str::FromStr;

use sha1::{Digest, Sha1};

use super::{Cookie, OnionAddress, TimePeriod};
use crate::base32::lower_base32;

/// One of the two descriptors of a period; tor refuses other numbers
/// (`REND_NUMBER_OF_NON_CONSECUTIVE_REPLICAS`). Each has an id of its own, which determines its HSDirs.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Replica {
    /// Replica 0, a byte 0 in the secret-id-part's hash.
    First = 0,
    /// Replica 1, a byte 1 in the secret-id-part's hash.
    Second = 1,
}

/// The number is neither 0 nor 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("there is no replica {0}: replicas are 0 and 1")]
pub struct ReplicaError(u8);

impl Replica {
    /// Both replicas, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::First, Self::Second];
}

impl From<Replica> for u8 {
    fn from(replica: Replica) -> u8 {
        replica as u8
    }
}

impl TryFrom<u8> for Replica {
    type Error = ReplicaError;

    /// The replica with this number.
    ///
    /// # Errors
    /// The number is neither 0 nor 1.
    fn try_from(number: u8) -> Result<Self, ReplicaError> {
        match number {
            0 => Ok(Self::First),
            1 => Ok(Self::Second),
            _ => Err(ReplicaError(number)),
        }
    }
}

/// The text is not 32 characters of base32 in lower case.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not 32 of the characters a-z, 2-7")]
pub struct IdError;

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name([u8; 20]);

        impl $name {
            /// The digest, 20 bytes.
            pub fn as_bytes(&self) -> &[u8; 20] {
                &self.0
            }
        }

        /// As 32 characters of base32.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&lower_base32().encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            /// Reads 32 characters of lower-case base32, as tor does.
            ///
            /// # Errors
            /// The text has another length, or a character other than a-z and 2-7.
            fn from_str(text: &str) -> Result<Self, IdError> {
                let bytes = lower_base32().decode(text.as_bytes()).map_err(|_| IdError)?;
                bytes.try_into().map(Self).map_err(|_| IdError)
            }
        }
    };
}

digest! {
    /// The hash of period and replica in a descriptor: H(period | cookie | replica). 20 bytes.
    SecretIdPart
}
digest! {
    /// The place of the descriptor on the ring: H(permanent id | secret-id-part). 20 bytes.
    ///
    /// The ring is ordered by the bytes, as fingerprints of relays are. The three HSDirs with the next
    /// fingerprints from the id on are responsible for the descriptor (rend-spec-v2 §1.4).
    DescriptorId
}

impl SecretIdPart {
    /// The secret-id-part of the period and replica. `cookie` is the client's if the service has stealth
    /// authorization; `None` for all other services, also for those with basic authorization.
    ///
    /// ```
    /// # use onionbalance_proto::v2::{Cookie, Replica, SecretIdPart, TimePeriod};
    /// let cookie: Cookie = "dCmx3qIvArbil8A0KM4KgQ==".parse()?;
    /// let [basic, stealth] = [None, Some(&cookie)]
    ///     .map(|cookie| SecretIdPart::derive(TimePeriod(16_611), Replica::First, cookie));
    /// assert_eq!(basic.to_string(), "udmoj3e2ykfp73kpvauoq4t4p7kkwsjq");
    /// assert_eq!(stealth.as_bytes()[..4], [0xEA, 0x4E, 0x24, 0xB1]);
    /// # Ok::<(), onionbalance_proto::v2::cookie::CookieError>(())
    /// ```
    pub fn derive(period: TimePeriod, replica: Replica, cookie: Option<&Cookie>) -> Self {
        let digest = Sha1::new()
            .chain_update(period.0.to_be_bytes())
            .chain_update(cookie.map_or(&[][..], |cookie| cookie.secret()))
            .chain_update([u8::from(replica)])
            .finalize();
        Self(digest.into())
    }
}

impl DescriptorId {
    /// The id of the service's descriptor with this secret-id-part.
    pub fn derive(service: &OnionAddress, secret_id_part: SecretIdPart) -> Self {
        let digest =
            Sha1::new().chain_update(service.permanent_id()).chain_update(secret_id_part.0).finalize();
        Self(digest.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::UnixTime;
    use crate::v2::AuthType;

    fn ids(address: &str, period: TimePeriod, replica: Replica, cookie: Option<&Cookie>) -> [String; 2] {
        let secret = SecretIdPart::derive(period, replica, cookie);
        let id = DescriptorId::derive(&address.parse().unwrap(), secret);
        [secret.to_string(), id.to_string()]
    }

    /// Address, moment, replica, secret-id-part, descriptor-id.
    type Known = (&'static str, u64, Replica, &'static str, &'static str);

    /// Values from Onionbalance's tests, from tor's (`test_hs.c`), and from descriptors of the public network
    /// of 2014 and 2015.
    const KNOWN: &[Known] = &[
        (
            "jyvfq5umznvka34v",
            1_435_229_421,
            Replica::First,
            "udmoj3e2ykfp73kpvauoq4t4p7kkwsjq",
            "6wgohrr64y2od75psnrfdkbc74ddqx2v",
        ),
        (
            "jyvfq5umznvka34v",
            1_435_229_421,
            Replica::Second,
            "5izlpkrdw6uan6kr4iyemprpzyo3ub6k",
            "he35m4nouhkz6thymvhdvc3y5htqs422",
        ),
        (
            "jyvfq5umznvka34v",
            1_435_229_421 + 21_054,
            Replica::First,
            "u3rltfvti6cuvo43g5edpvteu4zmw2y3",
            "esnnz2q6dnfwprvc4qhsgsfzz6r6ksrt",
        ),
        (
            "jyvfq5umznvka34v",
            1_435_229_421 + 21_054,
            Replica::Second,
            "uykltcbbb2p4zu7qzu4e3pkkszho56tv",
            "tticwgvx3g3hspeeto5oxpfpwx3rhdc6",
        ),
        (
            "3g2upl4pq6kufc4m",
            1_426_100_400,
            Replica::First,
            "anmjoxxwiupreyajjt5yasimfmwcnxlf",
            "g5ojobzupf275beh5ra72uyhb3dkpxwg",
        ),
        (
            "3g2upl4pq6kufc4m",
            1_424_721_600,
            Replica::First,
            "e24kgecavwsznj7gpbktqsiwgvngsf4e",
            "y3olqqblqw2gbh6phimfuiroechjjafa",
        ),
        (
            "fbcdn23dssr3jqnq",
            1_414_796_400,
            Replica::First,
            "6355jaerje3bqozopwq2qmpf4iviizdn",
            "utjk4arxqg6s6zzo7n6cjnq6ot34udhr",
        ),
        (
            "xpe5atmz5d26k26e",
            1_424_808_000,
            Replica::Second,
            "fluw7z3s5cghuuirq3imh5jjj5ljips6",
            "yfmvdrkdbyquyqk5vygyeylgj2qmrvrd",
        ),
    ];

    #[test]
    fn agrees_with_known_descriptors() {
        for (address, moment, replica, secret, id) in KNOWN {
            let period = TimePeriod::at(UnixTime(*moment), &address.parse().unwrap());
            assert_eq!(ids(address, period, *replica, None), [*secret, *id], "{address} {replica:?}");
        }
    }

    #[test]
    fn agrees_with_tors_ids_at_the_epoch() {
        let address = "ajhb7kljbiru65qo";
        let period = TimePeriod::at(UnixTime(0), &address.parse().unwrap());
        let [first, second] = Replica::ALL.map(|replica| ids(address, period, replica, None)[1].clone());
        assert_eq!(first, "hba3gmcgpfivzfhx5rtfqkfdhv65yrj3");
        assert_eq!(second, "s7plfxwvdtaqoenya5db7v3yf2mtnmpq");
    }

    #[test]
    fn a_stealth_cookie_is_part_of_the_id() {
        let cookie: Cookie = "dCmx3qIvArbil8A0KM4KgQ==".parse().unwrap();
        let [secret, id] = ids("jyvfq5umznvka34v", TimePeriod(16_611), Replica::First, Some(&cookie));
        let bytes = *secret.parse::<SecretIdPart>().unwrap().as_bytes();
        assert_eq!(data_encoding::HEXLOWER.encode(&bytes), "ea4e24b1a832f1da687f874b40fa9ecfe5221dd9");
        assert_eq!(id, "kntjmwtqrh27kzrj3x7vbtcdz36uodlg");
        let stealth = ids("tosbmbgysyldansp", TimePeriod(16_491), Replica::Second, Some(&cookie));
        assert_eq!(stealth, ["jczvydhzetbpdiylj3d5nsnjvaigs7xm", "ubf3xeibzlfil6s4larq6y5peup2z3oj"]);
    }

    /// Tor reports this id in RECEIVED for a fetch by address: the id with a cookie of zeroes.
    #[test]
    fn names_tors_bogus_id() {
        let address = "btw3fzsvt7ge6pvn";
        let moment: UnixTime = "2026-11-22 00:00:00".parse().unwrap();
        let period = TimePeriod::at(moment, &address.parse().unwrap());
        let zeroes = Cookie::new([0; 16], AuthType::Stealth);
        let id = |replica, cookie| ids(address, period, replica, cookie)[1].clone();
        assert_eq!(id(Replica::First, None), "wpi7mjmg6r66iy57tgj7bdxnv27dvhsm");
        assert_eq!(id(Replica::Second, None), "fwz4g3gythl34t6jzc3nz4bh75yqvjv7");
        assert_eq!(id(Replica::First, Some(&zeroes)), "yfh5ckahu2vohgsbgjgfywg7u4djtgxn");
    }

    #[test]
    fn there_are_two_replicas() {
        for number in 0..=255 {
            let replica = Replica::try_from(number);
            assert_eq!(replica.map(u8::from).ok(), Some(number).filter(|number| *number < 2));
        }
    }

    proptest! {
        #[test]
        fn text_comes_back(bytes in any::<[u8; 20]>(), other in any::<String>()) {
            let id = DescriptorId(bytes);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert!(other.parse::<SecretIdPart>().is_err() || other.len() == 32);
        }
    }
}
