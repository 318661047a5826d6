//! The step from a key to the service's secret in secret memory. [`onionbalance_key_file`] reads and opens
//! the key file.

use std::error::Error;
use std::path::Path;

use onionbalance_key_file::Key;
use onionbalance_key_file::delegation;
use onionbalance_key_file::passphrase::Passphrases;
use onionbalance_key_file::read::read_key;
use onionbalance_proto::config::Instances;
use onionbalance_proto::v3::address::AddressError;
use onionbalance_trust::Trust;
use rsa::RsaPrivateKey;

use crate::system::stack;
use crate::v2::secret::PermanentSecret;
use crate::v3::authority::Authority;
use crate::v3::delegation::Delegation;
use crate::v3::secret::IdentitySecret;

/// The secret of a service.
#[expect(clippy::large_enum_variant, reason = "there is one for each service, at the start")]
pub enum Secret {
    /// A version 2 service's secret.
    V2(PermanentSecret),
    /// A version 3 service's secret, or a delegation from it.
    V3(Authority),
}

/// Reads the key in the file at `path`, with one of the passphrases if it is encrypted. The service with
/// these instances is to have it.
///
/// # Errors
/// The file holds no key, or no secret for a service of this version. The message follows the name of the
/// file, and has the remedy.
pub fn load(
    path: &Path,
    trust: &Trust,
    passphrases: &Passphrases,
    instances: &Instances,
) -> Result<Secret, Box<dyn Error>> {
    let key = passphrases.open(&read_key(path, trust)?, path)?;
    let [held, listed] = match (&key, instances) {
        (Key::Rsa(_), Instances::V3(_)) => [2, 3],
        (Key::Seed(_) | Key::Expanded(_) | Key::Delegation(_), Instances::V2(_)) => [3, 2],
        _ => return secret(&key),
    };
    let remedy = format!("name the key of a v{listed} service");
    Err(format!("holds the key of a v{held} service, but the instances are v{listed}: {remedy}").into())
}

/// The secret of `key`. Every certificate of a delegation is verified.
///
/// # Errors
/// `key` is not a service's key or not a valid delegation, or there is no memory for it. The message follows
/// the name of the file.
pub fn secret(key: &Key) -> Result<Secret, Box<dyn Error>> {
    let identity = |made: Result<IdentitySecret, AddressError>| {
        let identity = made.map_err(|error| format!("holds a key that makes no onion address: {error}"));
        identity.map(|identity| Secret::V3(Authority::Identity(identity)))
    };
    Ok(match key {
        Key::Rsa(key) => {
            let secret = PermanentSecret::new(RsaPrivateKey::clone(key));
            Secret::V2(secret.map_err(|error| format!("holds {error}"))?)
        }
        Key::Seed(seed) => identity(IdentitySecret::from_seed(seed))?,
        Key::Expanded(key) => identity(IdentitySecret::from_expanded(key))?,
        Key::Delegation(bytes) => {
            let read = stack::wiped(|| delegation::Delegation::decode(bytes))?;
            let held = Delegation::hold(&read).map_err(|error| format!("cannot be held: {error}"))?;
            Secret::V3(Authority::Delegation(held))
        }
    })
}

#[cfg(test)]
mod tests;
