//! PEM files with a key of version 3: PKCS#8 with an ed25519 key (RFC 8410), as `openssl genpkey -algorithm ed25519` and
//! Onionbalance write it, and what is sealed.

use std::path::Path;

use ::pkcs8::PrivateKeyInfo;
use ed25519_dalek::pkcs8::ALGORITHM_OID;

use super::{Contents, KeyFileError};
use crate::keys::passphrase::Passphrases;
use crate::keys::pem_label;
use crate::keys::pkcs8::{self, Pkcs8Error};
use crate::keys::sealed::{self, Kind, Sealed, SealedError};

/// What stands before a seed: that 32 octets follow (RFC 8410, section 7).
pub const SEED_TAG: [u8; 2] = [0x04, 0x20];

/// What `act` makes of the key in the PEM file at `path`, whose text this is, opened with one of the passphrases if it is
/// encrypted.
pub(super) fn parse<T>(
    text: &str,
    path: &Path,
    passphrases: &Passphrases,
    act: impl Fn(Contents<'_>) -> Result<T, KeyFileError>,
) -> Result<T, KeyFileError> {
    match pem_label(text).ok_or(KeyFileError::Format)? {
        pkcs8::LABEL => pkcs8::parse(text, |info| with_seed(&info, &act)),
        pkcs8::ENCRYPTED_LABEL => pkcs8::decrypt(text, path, passphrases, |info| with_seed(&info, &act)),
        sealed::LABEL => unseal(text, path, passphrases, act),
        other => Err(KeyFileError::PemLabel(other.to_owned())),
    }
}

/// What `act` makes of the seed in a PKCS#8 key.
pub(crate) fn with_seed<T>(
    info: &PrivateKeyInfo<'_>,
    act: impl Fn(Contents<'_>) -> Result<T, KeyFileError>,
) -> Result<T, KeyFileError> {
    if info.algorithm.oid != ALGORITHM_OID {
        return Err(KeyFileError::NotEd25519);
    }
    // In the place where it was read: `ed25519`'s own type would be a copy that nobody wipes.
    let seed = info.private_key.strip_prefix(&SEED_TAG).and_then(|seed| seed.try_into().ok());
    act(Contents::Seed(seed.ok_or(Pkcs8Error::Damaged)?))
}

fn unseal<T>(
    text: &str,
    path: &Path,
    passphrases: &Passphrases,
    act: impl Fn(Contents<'_>) -> Result<T, KeyFileError>,
) -> Result<T, KeyFileError> {
    let sealed = Sealed::parse(text)?;
    let opened = passphrases.open(path, |passphrase| Ok::<_, Pkcs8Error>(sealed.open(passphrase)))?;
    match sealed.kind() {
        Kind::ExpandedKey => {
            let key = opened.as_slice().try_into().map_err(|_| SealedError::Damaged)?;
            act(Contents::Expanded(key))
        }
        Kind::Delegation => act(Contents::Delegation(&opened)),
    }
}
