//! Link specifiers: the addresses and identities of an introduction relay (tor-spec, EXTEND2; rend-spec-v3
//! \[INTRO-POINT\]).
//!
//! ```text
//! count 1 | count times: type 1 | length 1 | data
//! ```
//!
//! | type | length | data |
//! |---|---|---|
//! | 0 | 6 | IPv4 address 4, port 2 |
//! | 1 | 18 | IPv6 address 16, port 2 |
//! | 2 | 20 | RSA identity digest: the relay's fingerprint |
//! | 3 | 32 | ed25519 identity key |
//! | others | 0 to 255 | kept as they are |
//!
//! No certificate covers link specifiers. A false relay in them can deny service, but cannot read the
//! introduction, which is encrypted to the point's [`EncKey`](super::keys::EncKey).

use std::fmt;

use data_encoding::BASE64_NOPAD;
use serde::{Deserialize, Serialize};

use crate::relay::Fingerprint;

const IPV4: u8 = 0;
const IPV6: u8 = 1;
const RSA_IDENTITY: u8 = 2;
const ED25519_IDENTITY: u8 = 3;

/// A whole list of link specifiers in its binary form, known to be well-formed: at most
/// [`LinkSpecifiers::MAX_LENGTH`] bytes, each of the length its type has, exactly one RSA identity, at most
/// one ed25519 identity, and an IP address. Specifiers of unknown types are kept, because clients pass them
/// to the relay.
///
/// ```
/// use onionbalance_proto::v3::LinkSpecifiers;
/// use onionbalance_proto::v3::link::LinkError;
///
/// let ipv4 = [&[0, 6][..], &[127, 0, 0, 1], &9001_u16.to_be_bytes()].concat();
/// let identity = [&[2, 20][..], &[0xAB; 20]].concat();
/// let specifiers = LinkSpecifiers::try_from([&[2][..], &ipv4, &identity].concat())?;
/// assert_eq!(specifiers.rsa_identity().to_string(), "AB".repeat(20));
/// assert_eq!(specifiers.as_bytes().len(), 1 + 8 + 22);
///
/// let without_address = [&[1][..], &identity].concat();
/// assert_eq!(LinkSpecifiers::try_from(without_address), Err(LinkError::Address));
/// # Ok::<(), LinkError>(())
/// ```
#[derive(Clone, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct LinkSpecifiers {
    bytes: Vec<u8>,
    rsa_identity: Fingerprint,
}

/// The bytes are not usable link specifiers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LinkError {
    /// The list is truncated, has trailing bytes, or is longer than [`LinkSpecifiers::MAX_LENGTH`].
    #[error("link specifiers are truncated, too long, or have trailing bytes")]
    Length,
    /// A specifier of this type does not have the length that the type requires.
    #[error("a link specifier of type {0} has a wrong length")]
    SpecifierLength(u8),
    /// The list does not have exactly one RSA identity, or has more than one ed25519 identity.
    #[error("link specifiers do not name exactly one relay")]
    Identity,
    /// The list has no IP address.
    #[error("link specifiers hold no IP address")]
    Address,
}

impl LinkSpecifiers {
    /// The longest list, in bytes: an IPv4 and an IPv6 address, both identities, and more than the same again
    /// for future types.
    pub const MAX_LENGTH: usize = 256;

    /// The binary form, 31 to [`LinkSpecifiers::MAX_LENGTH`] bytes: a count, then type, length and data of
    /// each. It is returned as it was read, byte for byte.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The RSA identity: the relay's fingerprint.
    pub fn rsa_identity(&self) -> Fingerprint {
        self.rsa_identity
    }
}

impl TryFrom<Vec<u8>> for LinkSpecifiers {
    type Error = LinkError;

    /// Reads the binary form. The addresses themselves are not judged: one of a private network is accepted.
    ///
    /// # Errors
    /// See [`LinkError`]: the list is cut or too long, a specifier has a wrong length, or there is not one
    /// relay with an IP address.
    fn try_from(bytes: Vec<u8>) -> Result<Self, LinkError> {
        if bytes.len() > Self::MAX_LENGTH {
            return Err(LinkError::Length);
        }
        let (mut addresses, mut rsa, mut ed25519) = (0, 0, 0);
        let mut rsa_identity = Fingerprint([0; 20]);
        let (count, mut rest) = bytes.split_first().ok_or(LinkError::Length)?;
        for _ in 0..*count {
            let ([kind, length], tail) = rest.split_first_chunk::<2>().ok_or(LinkError::Length)?;
            let (data, tail) = tail.split_at_checked(usize::from(*length)).ok_or(LinkError::Length)?;
            let (counter, wanted) = match *kind {
                IPV4 => (&mut addresses, 6),
                IPV6 => (&mut addresses, 18),
                RSA_IDENTITY => (&mut rsa, 20),
                ED25519_IDENTITY => (&mut ed25519, 32),
                _ => (&mut 0, data.len()),
            };
            if data.len() != wanted {
                return Err(LinkError::SpecifierLength(*kind));
            }
            *counter += 1;
            if *kind == RSA_IDENTITY {
                rsa_identity.0.copy_from_slice(data);
            }
            rest = tail;
        }
        if !rest.is_empty() {
            return Err(LinkError::Length);
        }
        if rsa != 1 || ed25519 > 1 {
            return Err(LinkError::Identity);
        }
        if addresses == 0 {
            return Err(LinkError::Address);
        }
        Ok(Self { bytes, rsa_identity })
    }
}

impl From<LinkSpecifiers> for Vec<u8> {
    fn from(specifiers: LinkSpecifiers) -> Vec<u8> {
        specifiers.bytes
    }
}

impl fmt::Debug for LinkSpecifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_NOPAD.encode(&self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specifiers(list: &[(u8, usize)]) -> Result<LinkSpecifiers, LinkError> {
        let mut bytes = vec![u8::try_from(list.len()).unwrap()];
        for (kind, length) in list {
            bytes.extend([*kind, u8::try_from(*length).unwrap()]);
            bytes.extend(vec![1; *length]);
        }
        LinkSpecifiers::try_from(bytes)
    }

    #[test]
    fn accepts_tors_lists_and_future_types() {
        for list in [&[(0, 6), (2, 20), (3, 32)][..], &[(1, 18), (2, 20)], &[(0, 6), (2, 20), (77, 5)]] {
            assert_eq!(specifiers(list).unwrap().rsa_identity(), Fingerprint([1; 20]), "{list:?}");
        }
    }

    #[test]
    fn names_what_is_malformed() {
        assert_eq!(specifiers(&[]), Err(LinkError::Identity));
        assert_eq!(specifiers(&[(2, 20)]), Err(LinkError::Address));
        assert_eq!(specifiers(&[(0, 6), (2, 20), (2, 20)]), Err(LinkError::Identity));
        assert_eq!(specifiers(&[(0, 7), (2, 20)]), Err(LinkError::SpecifierLength(0)));
        assert_eq!(specifiers(&[(0, 6), (2, 20), (9, 255)]), Err(LinkError::Length));
        let mut bytes: Vec<u8> = specifiers(&[(0, 6), (2, 20)]).unwrap().into();
        bytes.push(0);
        assert_eq!(LinkSpecifiers::try_from(bytes.clone()), Err(LinkError::Length));
        bytes.truncate(10);
        assert_eq!(LinkSpecifiers::try_from(bytes), Err(LinkError::Length));
        assert_eq!(LinkSpecifiers::try_from(vec![]), Err(LinkError::Length));
    }
}
