//! The onion address: an identity key with a checksum (rend-spec-v3 \[ONIONADDRESS\]).
//!
//! The 56 characters before `.onion` are the base32 of 35 bytes:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 32 | the ed25519 identity key |
//! | 32 | 2 | the beginning of SHA3-256(`.onion checksum`, key, version) |
//! | 34 | 1 | the version: 3 |
//!
//! The last character is the low five bits of the version: every address ends in `d`.

use std::fmt;
use std::str::FromStr;

use curve25519_dalek::EdwardsPoint;
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha3::{Digest, Sha3_256};

use crate::base32::lower_base32;
use crate::text;

const VERSION: u8 = 3;
/// 32 bytes of key, 2 of checksum, 1 of version: 56 characters of base32.
const DECODED_LENGTH: usize = 35;

/// The public identity key of an onion service, known to be a point of the prime-order subgroup. It is kept
/// as 32 bytes: the point takes 160 more, and a balancer knows thousands of addresses.
///
/// ```
/// use onionbalance_proto::v3::OnionAddress;
/// use onionbalance_proto::v3::address::AddressError;
///
/// let text = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid";
/// let address: OnionAddress = text.parse()?;
/// assert_eq!(address.to_string(), format!("{text}.onion"));
/// assert_eq!(address.identity()[..4], [0xD7, 0x5A, 0x98, 0x01]);
/// assert_eq!(OnionAddress::from_identity(*address.identity())?, address);
///
/// let mistyped = text.replacen('2', "3", 1);
/// assert_eq!(mistyped.parse::<OnionAddress>(), Err(AddressError::Checksum));
/// # Ok::<(), AddressError>(())
/// ```
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct OnionAddress([u8; 32]);

/// The text or the key is not a version-3 onion address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddressError {
    /// The text does not have 56 characters before `.onion`; it has this number. 16 are a version-2 address.
    #[error("a v3 onion address has 56 characters before .onion, this one has {0}")]
    Length(usize),
    /// The text has a character outside a-z, 2-7.
    #[error("an onion address consists of the letters a-z and the digits 2-7")]
    Alphabet,
    /// The last byte, the version, is not 3; the byte.
    #[error("the address has version {0}, not 3: it was mistyped or is not a v3 address")]
    Version(u8),
    /// The checksum does not match the key.
    #[error("the address's checksum is wrong: it was mistyped or cut")]
    Checksum,
    /// The key is not a point of the curve's prime-order subgroup, which tor requires
    /// (tor: `ed25519_validate_pubkey`).
    #[error("the address holds no valid ed25519 key")]
    Key,
}

impl OnionAddress {
    /// The address of the service with this identity key.
    ///
    /// # Errors
    /// [`AddressError::Key`]: the key is not a point of the curve's prime-order subgroup. Otherwise one
    /// service would have several addresses: those of its key plus each point of small order.
    pub fn from_identity(identity: [u8; 32]) -> Result<Self, AddressError> {
        let key = VerifyingKey::from_bytes(&identity).map_err(|_| AddressError::Key)?;
        if key.is_weak() || !key.to_edwards().is_torsion_free() {
            return Err(AddressError::Key);
        }
        Ok(Self(identity))
    }

    /// The identity key, 32 bytes.
    pub fn identity(&self) -> &[u8; 32] {
        &self.0
    }

    /// The identity key as a point. It was one when the address was made: there is no other case.
    pub(super) fn point(&self) -> EdwardsPoint {
        VerifyingKey::from_bytes(&self.0).map(|key| key.to_edwards()).unwrap_or_default()
    }

    /// The 56 characters before `.onion`, the form of tor's control port.
    pub fn without_suffix(&self) -> String {
        let mut bytes = [0; DECODED_LENGTH];
        let (key, rest) = bytes.split_at_mut(32);
        let (sum, version) = rest.split_at_mut(2);
        key.copy_from_slice(self.identity());
        sum.copy_from_slice(&checksum(self.identity()));
        version.fill(VERSION);
        lower_base32().encode(&bytes)
    }
}

impl FromStr for OnionAddress {
    type Err = AddressError;

    /// Reads the address with or without `.onion`, in lower or upper case.
    ///
    /// # Errors
    /// The length, a character, the version, the checksum or the key is wrong, checked in this order.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.to_ascii_lowercase();
        let text = text.strip_suffix(".onion").unwrap_or(&text);
        if text.len() != 56 {
            return Err(AddressError::Length(text.chars().count()));
        }
        let bytes = lower_base32().decode(text.as_bytes()).map_err(|_| AddressError::Alphabet)?;
        let bytes = <[u8; DECODED_LENGTH]>::try_from(bytes).map_err(|_| AddressError::Alphabet)?;
        let [key @ .., sum0, sum1, version] = bytes;
        if version != VERSION {
            return Err(AddressError::Version(version));
        }
        if checksum(&key) != [sum0, sum1] {
            return Err(AddressError::Checksum);
        }
        Self::from_identity(key)
    }
}

fn checksum(identity: &[u8; 32]) -> [u8; 2] {
    let digest = Sha3_256::new()
        .chain_update(b".onion checksum")
        .chain_update(identity)
        .chain_update([VERSION])
        .finalize();
    let [first, second, ..] = <[u8; 32]>::from(digest);
    [first, second]
}

impl fmt::Display for OnionAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.onion", self.without_suffix())
    }
}

impl fmt::Debug for OnionAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Serialized in its text form, so that configuration and wire share one parser.
impl Serialize for OnionAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OnionAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "a v3 onion address")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // C tor, src/test/hs_build_address.py.
    const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    const ADDRESS: &str = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid";

    fn known() -> OnionAddress {
        let key = data_encoding::HEXLOWER.decode(KEY.as_bytes()).unwrap();
        OnionAddress::from_identity(key.try_into().unwrap()).unwrap()
    }

    #[test]
    fn renders_tors_vector() {
        assert_eq!(known().without_suffix(), ADDRESS);
        assert_eq!(known().to_string(), format!("{ADDRESS}.onion"));
    }

    #[test]
    fn reads_either_case_and_an_optional_suffix() {
        for text in [ADDRESS.to_owned(), format!("{ADDRESS}.onion"), ADDRESS.to_uppercase()] {
            assert_eq!(text.parse(), Ok(known()), "{text}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        let altered = |from: usize, to: &str| {
            let mut text = ADDRESS.to_owned();
            text.replace_range(from..from + to.len(), to);
            text.parse::<OnionAddress>()
        };
        assert_eq!(altered(0, "3"), Err(AddressError::Checksum));
        assert_eq!(altered(55, "e"), Err(AddressError::Version(4)));
        assert_eq!(altered(3, "1"), Err(AddressError::Alphabet));
        assert_eq!("expyuzz4wqqyqhjn.onion".parse::<OnionAddress>(), Err(AddressError::Length(16)));
    }

    #[test]
    fn refuses_keys_of_small_order() {
        assert_eq!(OnionAddress::from_identity([0; 32]), Err(AddressError::Key));
    }
}
