//! Keys of v3 frontends.

use anyhow::{Context, Result};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey, KeypairBytes};
use onionbalance_proto::v3::address::OnionAddress;
use rand_core::{OsRng, RngCore};

/// An identity key.
#[derive(Clone, Debug)]
pub struct KeyV3(SigningKey);

impl KeyV3 {
    /// Makes a fresh key.
    pub fn generate() -> Self {
        let mut seed = [0; 32];
        OsRng.fill_bytes(&mut seed);
        Self(SigningKey::from_bytes(&seed))
    }

    /// The key that is derived from a name of up to 32 bytes. It is always the same, so that backends can be
    /// configured with its address first.
    pub fn named(name: &str) -> Self {
        let mut seed = [0xF0; 32];
        seed.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        Self(SigningKey::from_bytes(&seed))
    }

    /// The address of the service with this key.
    pub fn address(&self) -> Result<OnionAddress> {
        Ok(OnionAddress::from_identity(self.0.verifying_key().to_bytes())?)
    }

    /// The key itself.
    pub fn signing_key(&self) -> &SigningKey {
        &self.0
    }

    /// PKCS#8 in PEM without the public key, as OpenSSL writes it.
    pub fn pem(&self) -> Result<String> {
        let key = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        Ok(key.to_pkcs8_pem(LineEnding::LF).context("cannot encode the key")?.to_string())
    }
}
