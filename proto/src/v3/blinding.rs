//! Key blinding: a service's key for one time period (rend-spec-v3 \[KEYBLIND\]).
//!
//! An HSDir that does not know the address learns neither the address from a blinded key, nor that the keys
//! of two periods are of one service. With A the identity key, B the base point in decimal digits, and
//! numbers of 8 bytes:
//!
//! ```text
//! h = clamp(SHA3-256("Derive temporary signing key" 00 | A | B | "key-blind" | number | length in minutes))
//! blinded key    = h * A
//! blinded secret = h * a                     with a the secret scalar of A
//! subcredential  = SHA3-256("subcredential" | SHA3-256("credential" | A) | blinded key)
//! ```
//!
//! The specification allows a further secret in the hash of h. Tor uses none, so this module has none.
//!
//! ```
//! use onionbalance_proto::time::UnixTime;
//! use onionbalance_proto::v3::document::outer::Outer;
//! use onionbalance_proto::v3::{BlindedKey, PeriodLength, TimePeriod};
//!
//! let address = "th4zxt6h4k7tcv2jwe7y3rid42pptskjmofdmt2tnwzd2n4gsotrjoid".parse()?;
//! let period = TimePeriod::at(UnixTime(1_795_336_050), PeriodLength::try_from(8)?, 4);
//! let blinded = BlindedKey::derive(&address, period);
//!
//! // The key that signed the first certificate of this service's descriptor.
//! let text = std::fs::read_to_string("testdata/v3/backend0.desc")?;
//! assert_eq!(Outer::decode(&text)?.signing_cert.claim.signed_by, *blinded.as_bytes());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;

use curve25519_dalek::Scalar;
use curve25519_dalek::scalar::clamp_integer;
use ed25519_dalek::VerifyingKey;
use sha3::{Digest, Sha3_256};

use super::address::OnionAddress;
use super::period::TimePeriod;

/// The ed25519 base point as the specification spells it out in the hash's input.
const BASE_POINT: &[u8] = b"(15112221349535400772501151409588531511454012693041857206046113283949847762202, \
46316835694926478169428394003475163141307993866256225615783033603165251855960)";

/// A service's public key for one time period, an ed25519 key of 32 bytes. It determines the descriptor's
/// HSDirs, and certifies the descriptor-signing key.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct BlindedKey(VerifyingKey);

impl BlindedKey {
    /// The blinded key of the service at `address` in `period`.
    pub fn derive(address: &OnionAddress, period: TimePeriod) -> Self {
        let point = blinding_factor(address, period) * address.point();
        Self(VerifyingKey::from(point))
    }

    /// The encoded point, 32 bytes. Tor's control port writes it in base64 without padding.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The key that verifies this period's certificate of the descriptor-signing key.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.0
    }
}

impl fmt::Debug for BlindedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::BASE64_NOPAD.encode(self.as_bytes()))
    }
}

/// The factor that turns the identity key pair of `address` into its blinded one for `period`. It is public:
/// the address is enough to compute it, so that a blinded secret scalar is worth as much as the identity's.
pub fn blinding_factor(address: &OnionAddress, period: TimePeriod) -> Scalar {
    let hash = Sha3_256::new()
        .chain_update(b"Derive temporary signing key\0")
        .chain_update(address.identity())
        .chain_update(BASE_POINT)
        .chain_update(b"key-blind")
        .chain_update(period.number.to_be_bytes())
        .chain_update(period.length.minutes().to_be_bytes())
        .finalize();
    Scalar::from_bytes_mod_order(clamp_integer(hash.into()))
}

/// The value that a client needs, beside the blinded key, to decrypt a descriptor (rend-spec-v3 \[SUBCRED\]).
/// An HSDir that does not know the address cannot compute it. 32 bytes.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Subcredential([u8; 32]);

impl Subcredential {
    /// The subcredential of the service at `address` in the period of `blinded`.
    pub fn derive(address: &OnionAddress, blinded: &BlindedKey) -> Self {
        let credential =
            Sha3_256::new().chain_update(b"credential").chain_update(address.identity()).finalize();
        let subcredential = Sha3_256::new()
            .chain_update(b"subcredential")
            .chain_update(credential)
            .chain_update(blinded.as_bytes())
            .finalize();
        Self(subcredential.into())
    }

    /// The 32 bytes that go into the layers' keys.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixTime;
    use crate::v3::period::PeriodLength;

    fn hex(bytes: &[u8]) -> String {
        data_encoding::HEXUPPER.encode(bytes)
    }

    fn random_address() -> OnionAddress {
        let secret: [u8; 32] = rand::random();
        let key = ed25519_dalek::SigningKey::from_bytes(&secret).verifying_key();
        OnionAddress::from_identity(key.to_bytes()).unwrap()
    }

    #[test]
    fn agrees_with_arti_on_random_services_and_periods() {
        use tor_hscrypto::pk::{HsId, HsIdKey};
        use tor_hscrypto::time::TimePeriod as ArtiPeriod;

        for _ in 0..50 {
            let address = random_address();
            let minutes = rand::random::<u16>() % 14000 + 5;
            let length = PeriodLength::try_from(minutes).unwrap();
            let period = TimePeriod::at(UnixTime(u64::from(rand::random::<u32>())), length, 0);
            let theirs = ArtiPeriod::from_parts(u32::from(minutes), period.number, 0);
            let (key, subcredential) = HsIdKey::try_from(HsId::from(*address.identity()))
                .unwrap()
                .compute_blinded_key(theirs)
                .unwrap();

            let blinded = BlindedKey::derive(&address, period);
            assert_eq!(hex(blinded.as_bytes()), hex(key.id().as_ref()));
            let ours = Subcredential::derive(&address, &blinded);
            assert_eq!(hex(ours.as_bytes()), hex(subcredential.as_ref()));
        }
    }
}
