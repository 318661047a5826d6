//! The encryption of a descriptor's two inner layers (rend-spec-v3 \[HS-DESC-ENC\]).
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 16 | salt, random and not secret |
//! | 16 | n | ciphertext: AES-256 in counter mode, as long as the plaintext |
//! | 16 + n | 32 | SHA3-256(32 as 8 bytes, MAC key, 16 as 8 bytes, salt, ciphertext) |
//!
//! The keys are the first 80 bytes of SHAKE-256 over these fields, one behind the other:
//!
//! ```text
//! blinded key 32 | subcredential 32 | revision counter 8 | salt 16 | constant
//!     constant of the middle layer: "hsdir-superencrypted-data", of the inner one: "hsdir-encrypted-data"
//! --> key 32 | first counter 16 | MAC key 32
//! ```
//!
//! With restricted discovery a cookie of 16 bytes follows the blinded key in the inner layer's input. This
//! module has no such cookie: inner layers of services with restricted discovery do not decrypt.
//!
//! ```
//! use onionbalance_proto::time::UnixTime;
//! use onionbalance_proto::v3::layer::{Layer, LayerContext};
//! use onionbalance_proto::v3::{BlindedKey, PeriodLength, Subcredential, TimePeriod};
//!
//! let address = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid".parse()?;
//! let period = TimePeriod::at(UnixTime(1_460_545_200), PeriodLength::DAY, 720);
//! let blinded = BlindedKey::derive(&address, period);
//! let subcredential = Subcredential::derive(&address, &blinded);
//! let context = LayerContext { blinded, subcredential, revision: 7 };
//!
//! let blob = Layer::Inner.encrypt(&context, [9; 16], b"create2-formats 2\n\0\0");
//! assert_eq!(blob.len(), 16 + 20 + 32);
//! assert_eq!(Layer::Inner.decrypt(&context, &blob)?, b"create2-formats 2\n");
//! assert!(Layer::Inner.decrypt(&LayerContext { revision: 8, ..context }, &blob).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use aes::Aes256;
use ctr::cipher::{KeyIvInit, StreamCipher};
use sha3::digest::{ExtendableOutput, Update, XofReader};
use sha3::{Digest, Sha3_256, Shake256};
use subtle::ConstantTimeEq;

use super::blinding::{BlindedKey, Subcredential};

const SALT_LENGTH: usize = 16;
const MAC_LENGTH: usize = 32;

/// One of the two encrypted layers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Layer {
    /// The `superencrypted` object, which contains the authorized clients' lines.
    Middle,
    /// The `encrypted` object, which contains the introduction points.
    Inner,
}

/// The values from which the keys of a descriptor's layers are derived. The onion address is enough to
/// compute them.
#[derive(Clone, Copy)]
pub struct LayerContext {
    /// The service's blinded key.
    pub blinded: BlindedKey,
    /// The service's subcredential of the same period.
    pub subcredential: Subcredential,
    /// The descriptor's revision counter, from the outer document.
    pub revision: u64,
}

/// The layer is too short, or its authentication code is wrong; the layer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the {0:?} layer does not decrypt: altered, or encrypted for another service or period")]
pub struct LayerError(Layer);

impl Layer {
    /// Encrypts `plaintext`; the result is the salt, the ciphertext and the authentication code, 48 bytes
    /// longer than `plaintext`.
    ///
    /// The salt must be random: two plaintexts with one salt and one context would be encrypted with the same
    /// key stream. Padding is the caller's: see [`ClientLines`](super::document::middle::ClientLines).
    pub fn encrypt(self, context: &LayerContext, salt: [u8; SALT_LENGTH], plaintext: &[u8]) -> Vec<u8> {
        let mut keys = self.keys(context, &salt);
        let mut blob = Vec::with_capacity(SALT_LENGTH + plaintext.len() + MAC_LENGTH);
        blob.extend_from_slice(&salt);
        blob.extend_from_slice(plaintext);
        let (_, ciphertext) = blob.split_at_mut(SALT_LENGTH);
        keys.cipher.apply_keystream(ciphertext);
        let code = mac(&keys.mac_key, &salt, ciphertext);
        blob.extend_from_slice(&code);
        blob
    }

    /// Checks the code and decrypts. The plaintext ends before the first NUL; the rest is padding.
    ///
    /// # Errors
    /// `blob` has less than 48 bytes, or its code is wrong: it was altered, or is of another layer, service,
    /// period or revision.
    pub fn decrypt(self, context: &LayerContext, blob: &[u8]) -> Result<Vec<u8>, LayerError> {
        let (salt, rest) = blob.split_first_chunk::<SALT_LENGTH>().ok_or(LayerError(self))?;
        let (ciphertext, code) = rest.split_last_chunk::<MAC_LENGTH>().ok_or(LayerError(self))?;
        let mut keys = self.keys(context, salt);
        if !bool::from(mac(&keys.mac_key, salt, ciphertext).ct_eq(code)) {
            return Err(LayerError(self));
        }
        let mut plaintext = ciphertext.to_vec();
        keys.cipher.apply_keystream(&mut plaintext);
        let end = plaintext.iter().position(|byte| *byte == 0).unwrap_or(plaintext.len());
        plaintext.truncate(end);
        Ok(plaintext)
    }

    fn keys(self, context: &LayerContext, salt: &[u8; SALT_LENGTH]) -> Keys {
        let constant: &[u8] = match self {
            Self::Middle => b"hsdir-superencrypted-data",
            Self::Inner => b"hsdir-encrypted-data",
        };
        let mut output = Shake256::default()
            .chain(context.blinded.as_bytes())
            .chain(context.subcredential.as_bytes())
            .chain(context.revision.to_be_bytes())
            .chain(salt)
            .chain(constant)
            .finalize_xof();
        let (mut key, mut iv, mut mac_key) = ([0; 32], [0; 16], [0; 32]);
        output.read(&mut key);
        output.read(&mut iv);
        output.read(&mut mac_key);
        Keys { cipher: ctr::Ctr128BE::<Aes256>::new(&key.into(), &iv.into()), mac_key }
    }
}

struct Keys {
    cipher: ctr::Ctr128BE<Aes256>,
    mac_key: [u8; 32],
}

fn mac(key: &[u8; 32], salt: &[u8; SALT_LENGTH], ciphertext: &[u8]) -> [u8; MAC_LENGTH] {
    Sha3_256::new()
        .chain_update(32_u64.to_be_bytes())
        .chain_update(key)
        .chain_update(16_u64.to_be_bytes())
        .chain_update(salt)
        .chain_update(ciphertext)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixTime;
    use crate::v3::{OnionAddress, PeriodLength, TimePeriod};

    fn context(revision: u64) -> LayerContext {
        let key = ed25519_dalek::SigningKey::from_bytes(&[3; 32]).verifying_key();
        let address = OnionAddress::from_identity(key.to_bytes()).unwrap();
        let period = TimePeriod::at(UnixTime(1_700_000_000), PeriodLength::try_from(1440).unwrap(), 720);
        let blinded = BlindedKey::derive(&address, period);
        LayerContext { blinded, subcredential: Subcredential::derive(&address, &blinded), revision }
    }

    #[test]
    fn decrypts_what_it_encrypted_and_drops_the_padding() {
        let blob = Layer::Inner.encrypt(&context(5), [9; 16], b"create2-formats 2\n\0\0\0");
        assert_eq!(Layer::Inner.decrypt(&context(5), &blob).unwrap(), b"create2-formats 2\n");
    }

    #[test]
    fn refuses_everything_else() {
        let blob = Layer::Inner.encrypt(&context(5), [9; 16], b"text");
        assert_eq!(Layer::Middle.decrypt(&context(5), &blob), Err(LayerError(Layer::Middle)));
        assert_eq!(Layer::Inner.decrypt(&context(6), &blob), Err(LayerError(Layer::Inner)));
        for length in 0..blob.len() {
            assert!(Layer::Inner.decrypt(&context(5), &blob[..length]).is_err());
        }
        for at in 0..blob.len() {
            let mut altered = blob.clone();
            altered[at] ^= 0x80;
            assert!(Layer::Inner.decrypt(&context(5), &altered).is_err(), "byte {at}");
        }
    }
}
