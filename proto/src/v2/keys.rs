//! The public RSA keys of version-2 services, in the DER form of PKCS#1 (RFC 8017). All have 1024 bits.
//!
//! With the exponent 65537 the form has 140 bytes:
//!
//! | offset | size | bytes | meaning |
//! |---|---|---|---|
//! | 0 | 3 | `30 81 89` | a sequence of 137 bytes |
//! | 3 | 3 | `02 81 81` | an integer of 129 bytes |
//! | 6 | 1 | `00` | the sign: positive |
//! | 7 | 128 | | the modulus, big-endian; its highest bit is set |
//! | 135 | 5 | `02 03 01 00 01` | the exponent, an integer of 3 bytes |
//!
//! The address is a hash of these bytes. So a key with a second encoding would have a second address, and a
//! reader accepts the one encoding of DER only.

use std::fmt;

use data_encoding::HEXLOWER;
use rsa::pkcs1::{DecodeRsaPublicKey, EncodeRsaPublicKey};
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Pkcs1v15Sign, RsaPublicKey};
use sha1::{Digest, Sha1};

use super::OnionAddress;

/// The length of every modulus, in bits (tor: `NEED_KEY_1024`).
pub const BITS: usize = 1024;
/// The length of a modulus and of a signature, in bytes.
pub const LENGTH: usize = BITS / 8;
/// The exponent that tor requires in an introduction point's keys (tor: `crypto_pk_public_exponent_ok`).
const EXPONENT: u32 = 65_537;

/// A key is not allowed in a descriptor.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are not the DER form of a public RSA key, or further bytes follow it.
    #[error("not a public RSA key in DER")]
    Form,
    /// The modulus has another length; it has this number of bits.
    #[error("an RSA key of {0} bits: v2 services have {BITS}")]
    Size(usize),
    /// The exponent is not 65537.
    #[error("an RSA key whose exponent is not {EXPONENT}")]
    Exponent,
}

/// A service's permanent key. It determines the address and signs the descriptors. With stealth
/// authorization a service has one such key for each client.
///
/// ```
/// use onionbalance_proto::netdoc::from_base64;
/// use onionbalance_proto::v2::PermanentKey;
///
/// let der = from_base64(
///     "MIGJAoGBANfM/oca2M9LLu4X06VjtmZ59NUpwUuyrSZITNCtbnBKI25hz52hJXY5bE+D7V9V7X0RLjcBSSr9tL+C\
///      MAws66c/q70Vs8OiPKHVWz/pNWp+1Lew+SVDQi2utnADCG0cLRZoTKvBgk05IIGrfCm6l1CGlHJYkWozCb36IEIb\
///      VBwlAgMBAAE=",
/// );
/// let key = PermanentKey::from_der(&der.unwrap_or_default())?;
/// assert_eq!(key.address().to_string(), "jyvfq5umznvka34v.onion");
/// assert_eq!(key.der().len(), 140);
/// assert!(!key.verifies(&[0; 20], &[0; 128]));
/// # Ok::<(), onionbalance_proto::v2::keys::KeyError>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct PermanentKey {
    key: RsaPublicKey,
    der: Vec<u8>,
}

impl PermanentKey {
    /// Reads the DER form, with any exponent, as tor does.
    ///
    /// # Errors
    /// The bytes are not the DER form of a public RSA key ([`KeyError::Form`]), or the modulus does not have
    /// 1024 bits ([`KeyError::Size`]).
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let permanent = Self::new(RsaPublicKey::from_pkcs1_der(der).map_err(|_| KeyError::Form)?)?;
        if permanent.der == der { Ok(permanent) } else { Err(KeyError::Form) }
    }

    /// The permanent key with this RSA key.
    ///
    /// # Errors
    /// The key does not have 1024 bits.
    pub fn new(key: RsaPublicKey) -> Result<Self, KeyError> {
        if key.n().bits() != BITS {
            return Err(KeyError::Size(key.n().bits()));
        }
        let der = key.to_pkcs1_der().map_err(|_| KeyError::Form)?.into_vec();
        Ok(Self { key, der })
    }

    /// The DER form: 140 bytes with the usual exponent.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The address of the service with this key: the first 10 bytes of the SHA-1 digest of the DER form.
    pub fn address(&self) -> OnionAddress {
        let [id @ .., _, _, _, _, _, _, _, _, _, _] = <[u8; 20]>::from(Sha1::digest(&self.der));
        OnionAddress::from_permanent_id(id)
    }

    /// True if `signature` is this key's over the SHA-1 digest: PKCS#1 v1.5 type 1 around the bare 20 bytes,
    /// without the usual `DigestInfo` (tor: `crypto_pk_private_sign_digest`). False for a signature of
    /// another length than 128 bytes, too.
    ///
    /// The signed number has 128 bytes: `00 01`, 105 times `FF`, `00`, and the digest.
    pub fn verifies(&self, digest: &[u8; 20], signature: &[u8]) -> bool {
        self.key.verify(Pkcs1v15Sign::new_unprefixed(), digest, signature).is_ok()
    }
}

impl fmt::Debug for PermanentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PermanentKey({})", self.address())
    }
}

/// A key of an introduction point: its relay's onion key, or the service's own at this point. Its exponent is
/// 65537.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PointKey([u8; LENGTH]);

impl PointKey {
    /// Reads the DER form.
    ///
    /// # Errors
    /// The bytes are not the DER form of a public RSA key ([`KeyError::Form`]), the modulus does not have
    /// 1024 bits ([`KeyError::Size`]), or the exponent is not 65537 ([`KeyError::Exponent`]).
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let key = RsaPublicKey::from_pkcs1_der(der).map_err(|_| KeyError::Form)?;
        if key.n().bits() != BITS {
            return Err(KeyError::Size(key.n().bits()));
        }
        if *key.e() != BigUint::from(EXPONENT) {
            return Err(KeyError::Exponent);
        }
        let modulus = key.n().to_bytes_be().try_into().map_err(|_| KeyError::Form)?;
        let point_key = Self(modulus);
        if point_key.to_der() == der { Ok(point_key) } else { Err(KeyError::Form) }
    }

    /// The DER form, 140 bytes: a sequence of the modulus, positive, and the exponent.
    pub fn to_der(&self) -> Vec<u8> {
        [&[0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00][..], &self.0, &[0x02, 0x03, 0x01, 0x00, 0x01]].concat()
    }
}

impl fmt::Debug for PointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PointKey({})", HEXLOWER.encode(&Sha1::digest(self.to_der())))
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;

    /// The key of Onionbalance's tests.
    const KEY: &str = "MIGJAoGBANfM/oca2M9LLu4X06VjtmZ59NUpwUuyrSZITNCtbnBKI25hz52hJXY5bE+D7V9V7X0RLjcBSSr9tL+C\
                       MAws66c/q70Vs8OiPKHVWz/pNWp+1Lew+SVDQi2utnADCG0cLRZoTKvBgk05IIGrfCm6l1CGlHJYkWozCb36IEIb\
                       VBwlAgMBAAE=";

    /// The signature by that key over the digest 2a447f04….
    const SIGNATURE: &str = "YYCRshFA6mSO/1mRkePy5NiRJzsaEmyA+jGmftVcCQxgptvjbOV4926TH37U5WAI\
                             5ut7/cgOmBv3ilPFRtq9ucpjlVGBPFS49wpij6g3Fse2Qtp62NiOCQ0neE4zT/KG\
                             iWEoZgWv0kL6SrK1cQ0vOCAD9guafURCO2L6JlV4aNI=";

    fn der() -> Vec<u8> {
        BASE64.decode(KEY.as_bytes()).unwrap()
    }

    fn errors(der: &[u8]) -> [Option<KeyError>; 2] {
        [PermanentKey::from_der(der).err(), PointKey::from_der(der).err()]
    }

    #[test]
    fn makes_the_known_address() {
        let key = PermanentKey::from_der(&der()).unwrap();
        assert_eq!(key.address().without_suffix(), "jyvfq5umznvka34v");
        assert_eq!(key.der(), der());
        assert_eq!(PointKey::from_der(&der()).unwrap().to_der(), der());
    }

    #[test]
    fn verifies_a_known_signature() {
        let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
        let digest: [u8; 20] = hex("2a447f044d2f8d8127e8133b2d545450bc58760e").try_into().unwrap();
        let signature = BASE64.decode(SIGNATURE.as_bytes()).unwrap();
        let key = PermanentKey::from_der(&der()).unwrap();
        assert!(key.verifies(&digest, &signature));
        assert!(!key.verifies(&[0; 20], &signature));
        assert!(!key.verifies(&digest, &signature[1..]));
        assert!(!key.verifies(&digest, &[0; 128]));
    }

    #[test]
    fn names_what_is_wrong() {
        let der = der();
        let with = |at: usize, byte: u8| {
            let mut der = der.clone();
            der[at] = byte;
            der
        };
        // 0x7F before the modulus makes 1031 bits of 1024. Without its first byte it has at most 1016.
        assert_eq!(errors(&with(6, 0x7F)), [Some(KeyError::Size(1031)); 2]);
        let short = [&[0x30, 0x81, 0x87, 0x02, 0x7F, 0x7F], &der[9..]].concat();
        assert!(
            matches!(errors(&short)[0], Some(KeyError::Size(_) | KeyError::Form)),
            "{:?}",
            errors(&short)
        );
        // Only an introduction point's key must have the exponent 65537.
        assert_eq!(errors(&with(139, 3)), [None, Some(KeyError::Exponent)]);
        for der in [&der[..139], &[&der[..], &[0]].concat(), &[], &with(0, 0x31)] {
            assert_eq!(errors(der), [Some(KeyError::Form); 2]);
        }
    }
}
