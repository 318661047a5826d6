//! Ed25519 certificates (cert-spec; proposal 220), in the one form that tor uses for onion services: 140
//! bytes with a single extension that names the signing key.
//!
//! | offset | size | value | field |
//! |---|---|---|---|
//! | 0 | 1 | `01` | version of the form |
//! | 1 | 1 | `08`, `09` or `0B` | [`CertType`] |
//! | 2 | 4 | | expiry, in hours since the epoch, big-endian |
//! | 6 | 1 | `01` | type of the certified key |
//! | 7 | 32 | | the certified key |
//! | 39 | 1 | `01` | number of extensions |
//! | 40 | 2 | `00 20` | length of the extension's data |
//! | 42 | 1 | `04` | type of the extension: signed-with-ed25519-key |
//! | 43 | 1 | `00` | flags of the extension |
//! | 44 | 32 | | the signing key |
//! | 76 | 64 | | ed25519 signature of bytes 0 to 75, by the signing key |
//!
//! Certificates with further extensions are valid by cert-spec, and refused here: the signer rebuilds each
//! certificate from its parts ([`CertProof`](crate::wire::CertProof)), and tor writes none in descriptors.
//!
//! ```
//! use ed25519_dalek::{Signer, SigningKey};
//! use onionbalance_proto::time::UnixTime;
//! use onionbalance_proto::v3::cert::{CertError, CertType, Certificate, Claim, ExpiryHour};
//!
//! let key = SigningKey::from_bytes(&[1; 32]);
//! let expires = ExpiryHour(498_000);
//! let signed_by = key.verifying_key().to_bytes();
//! let claim = Claim { kind: CertType::AuthKey, expires, certified: [7; 32], signed_by };
//! let bytes = Certificate { claim, signature: key.sign(&claim.signed_bytes()) }.encode();
//! assert_eq!((bytes.len(), bytes[..2].to_vec()), (140, vec![0x01, 0x09]));
//!
//! let cert = Certificate::decode(&bytes, CertType::AuthKey)?;
//! let verified = |now| cert.verify(&[7; 32], &key.verifying_key(), now);
//! assert_eq!(verified(UnixTime(498_000 * 3600 - 1)), Ok(()));
//! assert_eq!(verified(expires.moment()), Err(CertError::Expired));
//! # Ok::<(), CertError>(())
//! ```

use ed25519_dalek::{Signature, VerifyingKey};

use crate::time::UnixTime;

/// Tor's lifetime of all certificates in a descriptor, in seconds (`HS_DESC_CERT_LIFETIME`). Tor rounds the
/// expiry of type 08 up to a whole hour, and that of the other types down.
pub const CERT_LIFETIME_SECS: u64 = 54 * 3600;

const SIGNED_LENGTH: usize = 76;
const LENGTH: usize = SIGNED_LENGTH + 64;
const VERSION: u8 = 1;
/// `CERTIFIED_KEY_TYPE` "ed25519 key"; tor uses it for the type-0B certificate's converted key too.
const KEY_TYPE: u8 = 1;
/// One extension: 32 bytes, type 04 (signed-with-ed25519-key), no flags.
const EXTENSION: [u8; 5] = [1, 0, 32, 4, 0];

/// The type of a certificate (cert-spec, list of certificate types). It determines the kinds of both keys, so
/// that a certificate of one place is of no use in another.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum CertType {
    /// 08: the blinded key certifies the descriptor-signing key.
    DescriptorSigning = 0x08,
    /// 09: the descriptor-signing key certifies an introduction point's authentication key.
    AuthKey = 0x09,
    /// 0B: the descriptor-signing key certifies an introduction point's encryption key, in its ed25519 form:
    /// see [`EncKey::to_ed25519`](super::keys::EncKey::to_ed25519).
    EncKey = 0x0B,
}

/// The expiry of a certificate, in hours since the epoch. On the wire it is a number of 4 bytes.
///
/// ```
/// use onionbalance_proto::time::UnixTime;
/// use onionbalance_proto::v3::cert::ExpiryHour;
///
/// let moment = UnixTime(7199);
/// assert_eq!(ExpiryHour::not_after(moment).moment(), UnixTime(3600));
/// assert_eq!(ExpiryHour::not_before(moment).moment(), UnixTime(7200));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize)]
pub struct ExpiryHour(pub u32);

impl ExpiryHour {
    /// The first moment at which the certificate is not valid.
    pub fn moment(self) -> UnixTime {
        UnixTime(u64::from(self.0) * 3600)
    }

    /// The last whole hour that is not after `moment`; `u32::MAX` for later moments.
    pub fn not_after(moment: UnixTime) -> Self {
        Self(u32::try_from(moment.hours()).unwrap_or(u32::MAX))
    }

    /// The first whole hour that is not before `moment`; `u32::MAX` for later moments.
    pub fn not_before(moment: UnixTime) -> Self {
        Self::not_after(moment.plus(3599))
    }
}

/// The certificate does not prove the claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CertError {
    /// The bytes do not have the form that tor writes: another length, version, key type or extension.
    #[error("certificate is not in tor's form")]
    Form,
    /// The certificate has another type than its place requires.
    #[error("certificate has type {found:02X}, not {wanted:02X}")]
    Type {
        /// The type that its place requires.
        wanted: u8,
        /// The type that it has.
        found: u8,
    },
    /// The certificate has expired: the moment is its expiry or later.
    #[error("certificate has expired")]
    Expired,
    /// The certificate certifies another key than its place requires, or is signed by another.
    #[error("certificate certifies another key or is signed by another key")]
    OtherKey,
    /// The signature is wrong.
    #[error("certificate's signature is wrong")]
    Signature,
}

/// All of a certificate but its signature. The signer signs [`Claim::signed_bytes`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Claim {
    /// The type, which determines the kinds of both keys.
    pub kind: CertType,
    /// The hour at which the certificate expires: it is not valid from its first second on.
    pub expires: ExpiryHour,
    /// The certified key, 32 bytes.
    pub certified: [u8; 32],
    /// The ed25519 key that signs the certificate, 32 bytes.
    pub signed_by: [u8; 32],
}

impl Claim {
    /// The claim of a type-08 certificate, by which a blinded key certifies a descriptor-signing key.
    pub fn of_signing_key(signing: &VerifyingKey, blinded: &VerifyingKey, expires: ExpiryHour) -> Self {
        Self {
            kind: CertType::DescriptorSigning,
            expires,
            certified: signing.to_bytes(),
            signed_by: blinded.to_bytes(),
        }
    }

    /// The 76 bytes that the signature covers: the first 76 of the table in [the module](self).
    pub fn signed_bytes(&self) -> [u8; SIGNED_LENGTH] {
        let mut bytes = [0; SIGNED_LENGTH];
        let (head, rest) = bytes.split_at_mut(7);
        let (certified, rest) = rest.split_at_mut(32);
        let (extension, signed_by) = rest.split_at_mut(EXTENSION.len());
        let [e0, e1, e2, e3] = self.expires.0.to_be_bytes();
        head.copy_from_slice(&[VERSION, self.kind as u8, e0, e1, e2, e3, KEY_TYPE]);
        certified.copy_from_slice(&self.certified);
        extension.copy_from_slice(&EXTENSION);
        signed_by.copy_from_slice(&self.signed_by);
        bytes
    }

    /// Verifies the claim at `now`.
    ///
    /// # Errors
    /// - [`CertError::OtherKey`]: the claim names another key than `signer`.
    /// - [`CertError::Expired`]: `now` is the expiry or later.
    /// - [`CertError::Signature`]: `signature` is not `signer`'s over this claim.
    pub fn verify(
        &self,
        signature: &Signature,
        signer: &VerifyingKey,
        now: UnixTime,
    ) -> Result<(), CertError> {
        if self.signed_by != *signer.as_bytes() {
            return Err(CertError::OtherKey);
        }
        if now >= self.expires.moment() {
            return Err(CertError::Expired);
        }
        // `verify` is cofactorless like tor's; keys of small order are refused where they are parsed.
        ed25519_dalek::Verifier::verify(signer, &self.signed_bytes(), signature)
            .map_err(|_| CertError::Signature)
    }
}

/// A certificate: a claim and its signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Certificate {
    /// The signed contents.
    pub claim: Claim,
    /// The signature by the key [`Claim::signed_by`].
    pub signature: Signature,
}

impl Certificate {
    /// The 140 bytes of the binary form.
    pub fn encode(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let (claim, signature) = bytes.split_at_mut(SIGNED_LENGTH);
        claim.copy_from_slice(&self.claim.signed_bytes());
        signature.copy_from_slice(&self.signature.to_bytes());
        bytes
    }

    /// Reads the binary form of a certificate, and verifies nothing.
    ///
    /// # Errors
    /// [`CertError::Form`]: the form is not tor's. [`CertError::Type`]: the type is not `kind`.
    pub fn decode(bytes: &[u8], kind: CertType) -> Result<Self, CertError> {
        let (head, rest) = bytes.split_first_chunk::<7>().ok_or(CertError::Form)?;
        let (certified, rest) = rest.split_first_chunk::<32>().ok_or(CertError::Form)?;
        let (extension, rest) = rest.split_first_chunk::<5>().ok_or(CertError::Form)?;
        let (signed_by, rest) = rest.split_first_chunk::<32>().ok_or(CertError::Form)?;
        let signature = Signature::from_slice(rest).map_err(|_| CertError::Form)?;
        let [version, found, e0, e1, e2, e3, key_type] = *head;
        if version != VERSION || key_type != KEY_TYPE || *extension != EXTENSION {
            return Err(CertError::Form);
        }
        if found != kind as u8 {
            return Err(CertError::Type { wanted: kind as u8, found });
        }
        let expires = ExpiryHour(u32::from_be_bytes([e0, e1, e2, e3]));
        Ok(Self { claim: Claim { kind, expires, certified: *certified, signed_by: *signed_by }, signature })
    }

    /// Verifies that `signer` certifies the key `certified` at `now`.
    ///
    /// # Errors
    /// [`CertError::OtherKey`]: the certificate is about another key than `certified`. The others are those
    /// of [`Claim::verify`].
    pub fn verify(
        &self,
        certified: &[u8; 32],
        signer: &VerifyingKey,
        now: UnixTime,
    ) -> Result<(), CertError> {
        if self.claim.certified != *certified {
            return Err(CertError::OtherKey);
        }
        self.claim.verify(&self.signature, signer, now)
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    fn signed(claim: Claim, key: &SigningKey) -> Certificate {
        Certificate { claim, signature: key.sign(&claim.signed_bytes()) }
    }

    fn example(key: &SigningKey) -> Certificate {
        let claim = Claim {
            kind: CertType::AuthKey,
            expires: ExpiryHour(498_000),
            certified: [7; 32],
            signed_by: key.verifying_key().to_bytes(),
        };
        signed(claim, key)
    }

    #[test]
    fn decode_undoes_encode() {
        let certificate = example(&SigningKey::from_bytes(&[1; 32]));
        assert_eq!(Certificate::decode(&certificate.encode(), CertType::AuthKey), Ok(certificate));
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let now = UnixTime(498_000 * 3600 - 1);
        let bytes = example(&key).encode();
        let check = |bytes: &[u8]| {
            Certificate::decode(bytes, CertType::AuthKey)
                .and_then(|certificate| certificate.verify(&[7; 32], &key.verifying_key(), now))
        };
        assert_eq!(check(&bytes), Ok(()));
        for at in 0..bytes.len() {
            let mut altered = bytes;
            altered[at] ^= 1;
            assert!(check(&altered).is_err(), "byte {at}");
        }
        assert_eq!(check(&bytes[..139]), Err(CertError::Form));
        assert_eq!(check(&[&bytes[..], &[0]].concat()), Err(CertError::Form));
    }

    #[test]
    fn expires_on_its_hour() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let certificate = example(&key);
        let at = |now| certificate.verify(&[7; 32], &key.verifying_key(), now);
        assert_eq!(at(UnixTime(498_000 * 3600 - 1)), Ok(()));
        assert_eq!(at(UnixTime(498_000 * 3600)), Err(CertError::Expired));
    }

    #[test]
    fn hours_round_as_named() {
        assert_eq!(ExpiryHour::not_after(UnixTime(7199)), ExpiryHour(1));
        assert_eq!(ExpiryHour::not_before(UnixTime(7199)), ExpiryHour(2));
        assert_eq!(ExpiryHour::not_before(UnixTime(7200)), ExpiryHour(2));
    }
}
