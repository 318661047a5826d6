//! The onion address: a hash of the permanent key, cut short (rend-spec-v2 §1.3).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base32::lower_base32;
use crate::text;

/// Characters of base32 before `.onion`.
pub(crate) const TEXT_LENGTH: usize = 16;

/// The permanent id of an onion service: the first 10 bytes of the SHA-1 digest of its permanent key. There
/// is no checksum, so that any 10 bytes are the address of some service: a mistyped address is noticed only
/// because no HSDir has its descriptor.
///
/// The text form is 16 characters of base32 (a-z, 2-7) in lower case, and `.onion`.
///
/// ```
/// use onionbalance_proto::v2::OnionAddress;
/// use onionbalance_proto::v2::address::AddressError;
///
/// let address: OnionAddress = "JYVFQ5UMZNVKA34V".parse()?;
/// assert_eq!(address.to_string(), "jyvfq5umznvka34v.onion");
/// assert_eq!(address.permanent_id(), b"\x4e\x2a\x58\x76\x8c\xcb\x6a\xa0\x6f\x95");
/// assert_eq!("jyvfq5umznvka34".parse::<OnionAddress>(), Err(AddressError::Length(15)));
/// # Ok::<(), AddressError>(())
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OnionAddress([u8; 10]);

/// The text is not a version-2 onion address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddressError {
    /// The text does not have 16 characters before `.onion`; it has this number. 56 are a version-3 address.
    #[error("a v2 onion address has 16 characters before .onion, this one has {0}")]
    Length(usize),
    /// The text has a character outside a-z, 2-7.
    #[error("an onion address consists of the letters a-z and the digits 2-7")]
    Alphabet,
}

impl OnionAddress {
    /// The address of the service with this permanent id.
    /// [`PermanentKey::address`](super::PermanentKey::address) is the one of a key.
    pub fn from_permanent_id(id: [u8; 10]) -> Self {
        Self(id)
    }

    /// The permanent id, 10 bytes.
    pub fn permanent_id(&self) -> &[u8; 10] {
        &self.0
    }

    /// The 16 characters before `.onion`, the form of tor's control port.
    pub fn without_suffix(&self) -> String {
        lower_base32().encode(&self.0)
    }
}

impl FromStr for OnionAddress {
    type Err = AddressError;

    /// Reads the address with or without `.onion`, in lower or upper case.
    ///
    /// # Errors
    /// The address does not have 16 characters, or one of them is not of base32.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.to_ascii_lowercase();
        let text = text.strip_suffix(".onion").unwrap_or(&text);
        if text.len() != TEXT_LENGTH {
            return Err(AddressError::Length(text.chars().count()));
        }
        let bytes = lower_base32().decode(text.as_bytes()).map_err(|_| AddressError::Alphabet)?;
        bytes.try_into().map(Self).map_err(|_| AddressError::Alphabet)
    }
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
        text::deserialize(deserializer, "a v2 onion address")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "jyvfq5umznvka34v";
    const ID: [u8; 10] = [0x4e, 0x2a, 0x58, 0x76, 0x8c, 0xcb, 0x6a, 0xa0, 0x6f, 0x95];

    #[test]
    fn renders_the_known_id() {
        let address = OnionAddress::from_permanent_id(ID);
        assert_eq!(address.without_suffix(), ADDRESS);
        assert_eq!(address.to_string(), format!("{ADDRESS}.onion"));
    }

    #[test]
    fn reads_either_case_and_an_optional_suffix() {
        for text in [ADDRESS.to_owned(), format!("{ADDRESS}.onion"), ADDRESS.to_uppercase()] {
            assert_eq!(text.parse(), Ok(OnionAddress::from_permanent_id(ID)), "{text}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        let parse = |text: &str| text.parse::<OnionAddress>();
        assert_eq!(parse("jyvfq5umznvka34"), Err(AddressError::Length(15)));
        assert_eq!(parse(".onion"), Err(AddressError::Length(0)));
        assert_eq!(parse("jyvfq5umznvka341"), Err(AddressError::Alphabet));
        assert_eq!(parse("jyvfq5umznvkaä4"), Err(AddressError::Alphabet));
        let v3 = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.onion";
        assert_eq!(parse(v3), Err(AddressError::Length(56)));
    }
}
