//! The keys of services: reads a key file that nobody else may write or read, opens it with a passphrase, and makes the
//! service's secret of it. [`onionbalance_key_file`] knows the formats, [`onionbalance_trust`] the rule.

pub mod passphrase;
mod read;
pub mod terminal;

use std::path::Path;

use onionbalance_key_file::delegation::DelegationError;
use onionbalance_key_file::{Key, KeyFile, KeyFileError};
use onionbalance_proto::config::Instances;
use onionbalance_proto::v2::keys::KeyError;
use onionbalance_proto::v3::address::AddressError;
use onionbalance_trust::Trust;
use rsa::RsaPrivateKey;

use self::passphrase::{PassphraseError, Passphrases};
pub use self::read::{ReadError, read_key};
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
    /// It is not a key file, or a damaged one.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// It is encrypted, and does not open.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
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
    let key = open(&read_key(path, trust)?, path, passphrases)?;
    match (&key, instances) {
        (Key::Rsa(_), Instances::V3(_)) => Err(LoadError::Version(2, 3)),
        (Key::Seed(_) | Key::Expanded(_) | Key::Delegation(_), Instances::V2(_)) => {
            Err(LoadError::Version(3, 2))
        }
        _ => secret(&key),
    }
}

/// The key in `file`, the contents of the file at `path`.
pub fn open(file: &[u8], path: &Path, passphrases: &Passphrases) -> Result<Key, LoadError> {
    match KeyFile::parse(file)? {
        KeyFile::Plain(key) => Ok(key),
        KeyFile::Encrypted(encrypted) => passphrases.open(path, |passphrase| encrypted.open(passphrase)),
    }
}

/// The secret that a key is.
pub fn secret(key: &Key) -> Result<Secret, LoadError> {
    Ok(match key {
        Key::Rsa(key) => Secret::V2(PermanentSecret::new(RsaPrivateKey::clone(key))?),
        Key::Seed(seed) => Secret::V3(IdentitySecret::from_seed(seed)?.into()),
        Key::Expanded(key) => Secret::V3(IdentitySecret::from_expanded(key)?.into()),
        Key::Delegation(bytes) => Secret::V3(delegation(bytes)?.into()),
    })
}

/// Reads and verifies a delegation, and takes its secrets to the place for them.
pub fn delegation(bytes: &[u8]) -> Result<Delegation, LoadError> {
    let delegation = stack::wiped(|| onionbalance_key_file::delegation::Delegation::decode(bytes))?;
    Ok(Delegation::hold(&delegation)?)
}

#[cfg(test)]
mod tests;
