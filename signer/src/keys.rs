//! The step from a key to the service's secret in secret memory. [`onionbalance_key_file`] reads and opens the key file.

use std::path::Path;

use onionbalance_key_file::Key;
use onionbalance_key_file::delegation::{self, DelegationError};
use onionbalance_key_file::passphrase::{OpenError, Passphrases};
use onionbalance_key_file::read::{ReadError, read_key};
use onionbalance_proto::config::Instances;
use onionbalance_proto::v2::keys::KeyError;
use onionbalance_proto::v3::address::AddressError;
use onionbalance_trust::Trust;
use rsa::RsaPrivateKey;

use crate::system::secret_memory::MemoryError;
use crate::system::stack;
use crate::v2::secret::PermanentSecret;
use crate::v3::authority::Authority;
use crate::v3::delegation::Delegation;
use crate::v3::secret::IdentitySecret;

/// The secret of a service.
pub enum Secret {
    /// Of version 2.
    V2(PermanentSecret),
    /// Of version 3.
    V3(Authority),
}

/// Why there is no secret in a file for a service. The message follows the name of the file, and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is not a key file, or is encrypted and does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// An RSA key of another size.
    #[error("holds {0}")]
    Rsa(#[from] KeyError),
    /// An ed25519 secret whose public half is no onion address.
    #[error("holds a key that makes no onion address: {0}")]
    Address(#[from] AddressError),
    /// A delegation that is none.
    #[error(transparent)]
    Delegation(#[from] DelegationError),
    /// There is no place for the secrets of a delegation.
    #[error("cannot be held: {0}")]
    Memory(#[from] MemoryError),
    /// The key of a service of another version than its backends'.
    #[error("holds the key of a v{0} service, but the instances are v{1}: name the key of a v{1} service")]
    Version(u8, u8),
}

/// Reads the key of the service with these instances in the file at `path`, with one of the passphrases if it is encrypted.
pub fn load(
    path: &Path,
    trust: &Trust,
    passphrases: &Passphrases,
    instances: &Instances,
) -> Result<Secret, LoadError> {
    let key = passphrases.open(&read_key(path, trust)?, path)?;
    match (&key, instances) {
        (Key::Rsa(_), Instances::V3(_)) => Err(LoadError::Version(2, 3)),
        (Key::Seed(_) | Key::Expanded(_) | Key::Delegation(_), Instances::V2(_)) => {
            Err(LoadError::Version(3, 2))
        }
        _ => secret(&key),
    }
}

/// The secret that a key is. Of a delegation every certificate is verified.
pub fn secret(key: &Key) -> Result<Secret, LoadError> {
    Ok(match key {
        Key::Rsa(key) => Secret::V2(PermanentSecret::new(RsaPrivateKey::clone(key))?),
        Key::Seed(seed) => Secret::V3(Authority::Identity(IdentitySecret::from_seed(seed)?)),
        Key::Expanded(key) => Secret::V3(Authority::Identity(IdentitySecret::from_expanded(key)?)),
        Key::Delegation(bytes) => {
            let read = stack::wiped(|| delegation::Delegation::decode(bytes))?;
            Secret::V3(Authority::Delegation(Delegation::hold(&read)?))
        }
    })
}

#[cfg(test)]
mod tests;
