//! The public keys in a descriptor. Each has a type of its own, so that one cannot be used as another.
//!
//! All have 32 bytes. The names in the third column are the specification's:
//!
//! | type | curve | name | its secret is held by |
//! |---|---|---|---|
//! | [`AuthKey`] | ed25519 | `KP_hs_ipt_sid` | the backend |
//! | [`EncKey`] | x25519 | `KP_hss_ntor` | the backend |
//! | [`OnionKey`] | x25519 | `KP_ntor` | the introduction relay |
//! | [`DescriptorSigningKey`] | ed25519 | `KP_hs_desc_sign` | the signer of the descriptor |
//!
//! ```
//! use onionbalance_proto::v3::keys::{EncKey, KeyError, OnionKey};
//!
//! // The base points of both curves are one point in two forms.
//! let mut base = [0; 32];
//! base[0] = 9;
//! let mut base_of_ed25519 = [0x66; 32];
//! base_of_ed25519[0] = 0x58;
//! assert_eq!(EncKey::try_from(base)?.to_ed25519(), base_of_ed25519);
//!
//! assert_eq!(OnionKey::try_from([0; 32]), Err(KeyError));
//! # Ok::<(), KeyError>(())
//! ```

use std::fmt;

use curve25519_dalek::montgomery::MontgomeryPoint;
use data_encoding::BASE64_NOPAD;
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};

/// The bytes are not a usable key: not on the curve, a point of small order (such as all zeroes), or an
/// encryption key in another form than tor's. Tor before 0.4.9.11 crashes on some of these (TROVE-2026-013),
/// so they are never listed in a frontend descriptor.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a usable key: off the curve, of small order, or in an unusual form")]
pub struct KeyError;

macro_rules! public_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(try_from = "[u8; 32]", into = "[u8; 32]")]
        pub struct $name([u8; 32]);

        impl $name {
            /// The encoded key, 32 bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl From<$name> for [u8; 32] {
            fn from(key: $name) -> [u8; 32] {
                key.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&BASE64_NOPAD.encode(&self.0))
            }
        }
    };
}

public_key! {
    /// The introduction point's authentication key (`KP_hs_ipt_sid`, ed25519), which names the point at its
    /// relay. Two entries with one such key are one point.
    AuthKey
}
public_key! {
    /// The introduction relay's own ntor onion key (`KP_ntor`, x25519).
    OnionKey
}

impl TryFrom<[u8; 32]> for AuthKey {
    type Error = KeyError;

    /// # Errors
    /// The bytes are not a point of the curve, or are one of small order.
    fn try_from(bytes: [u8; 32]) -> Result<Self, KeyError> {
        verifying_key(&bytes)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<[u8; 32]> for OnionKey {
    type Error = KeyError;

    /// Accepts any encoding, because the key is a relay's: one with an unusual encoding must not make a
    /// backend's descriptor unusable.
    ///
    /// # Errors
    /// The point has a small order.
    fn try_from(bytes: [u8; 32]) -> Result<Self, KeyError> {
        if has_small_order(&bytes) { Err(KeyError) } else { Ok(Self(bytes)) }
    }
}

/// The descriptor-signing key (`KP_hs_desc_sign`, ed25519): signs one period's descriptors and, backwards
/// (tor issue 29583), the certificates of the introduction points in them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DescriptorSigningKey(VerifyingKey);

impl DescriptorSigningKey {
    /// The key in the form that verifies signatures.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.0
    }
}

impl TryFrom<[u8; 32]> for DescriptorSigningKey {
    type Error = KeyError;

    /// # Errors
    /// The bytes are not a point of the curve, or are one of small order.
    fn try_from(bytes: [u8; 32]) -> Result<Self, KeyError> {
        verifying_key(&bytes).map(Self)
    }
}

/// The service's encryption key at one introduction point (`KP_hss_ntor`, x25519). The holder of its secret
/// can answer a client.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EncKey {
    bytes: [u8; 32],
    ed25519: [u8; 32],
}

impl EncKey {
    /// The encoded key, 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The ed25519 form that its certificate certifies: the birationally equivalent point with sign bit 0
    /// (rend-spec-v3 \[HS-DESC-SECOND-LAYER\], `enc-key-cert`; proposal 228 appendix A).
    pub fn to_ed25519(&self) -> [u8; 32] {
        self.ed25519
    }
}

impl TryFrom<[u8; 32]> for EncKey {
    type Error = KeyError;

    /// Accepts only the reduced encoding, which tor writes. Several encodings are one x25519 key, and its
    /// certificate covers all of them. But both ends of the handshake hash the encoding, so that only one of
    /// them works.
    ///
    /// # Errors
    /// The encoding is not reduced (2^255 - 19 or more), or the point is on the curve's twist or of small
    /// order.
    fn try_from(bytes: [u8; 32]) -> Result<Self, KeyError> {
        let reduced = bytes.iter().rev().lt(FIELD_PRIME.iter().rev());
        // A point on the curve's twist has no ed25519 form.
        let point = MontgomeryPoint(bytes).to_edwards(0).ok_or(KeyError)?;
        if !reduced || point.is_small_order() {
            return Err(KeyError);
        }
        Ok(Self { bytes, ed25519: point.compress().to_bytes() })
    }
}

impl fmt::Debug for EncKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_NOPAD.encode(&self.bytes))
    }
}

fn verifying_key(bytes: &[u8; 32]) -> Result<VerifyingKey, KeyError> {
    VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak()).ok_or(KeyError)
}

/// 2^255 - 19, least significant byte first.
const FIELD_PRIME: [u8; 32] = {
    let mut bytes = [0xFF; 32];
    bytes[0] = 0xED;
    bytes[31] = 0x7F;
    bytes
};

/// True if the point's order divides 8, so that its shared secret with every key is zero (RFC 7748, section
/// 6.1).
fn has_small_order(bytes: &[u8; 32]) -> bool {
    let eight = [true, false, false, false];
    MontgomeryPoint(*bytes).mul_bits_be(eight.into_iter()) == MontgomeryPoint([0; 32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_zero_and_small_order_keys() {
        let one = {
            let mut bytes = [0; 32];
            bytes[0] = 1;
            bytes
        };
        for bytes in [[0; 32], one] {
            assert_eq!(AuthKey::try_from(bytes), Err(KeyError));
            assert_eq!(EncKey::try_from(bytes), Err(KeyError));
            assert_eq!(OnionKey::try_from(bytes), Err(KeyError));
        }
    }

    #[test]
    fn an_encryption_key_has_one_text() {
        let base = curve25519_dalek::constants::X25519_BASEPOINT.to_bytes();
        let mut with_high_bit = base;
        with_high_bit[31] |= 0x80;
        // 9 plus the field's modulus.
        let mut unreduced = [0xFF; 32];
        (unreduced[0], unreduced[31]) = (0xF6, 0x7F);
        assert!(EncKey::try_from(base).is_ok());
        assert_eq!(MontgomeryPoint(base), MontgomeryPoint(with_high_bit));
        assert_eq!(MontgomeryPoint(base), MontgomeryPoint(unreduced));
        assert_eq!(EncKey::try_from(with_high_bit), Err(KeyError));
        assert_eq!(EncKey::try_from(unreduced), Err(KeyError));
        // A relay writes its own onion key. A relay with an unusual encoding must not make a backend's
        // descriptor unusable.
        assert!(OnionKey::try_from(with_high_bit).is_ok());
    }
}
