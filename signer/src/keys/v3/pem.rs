//! PKCS#8 in PEM with an ed25519 key (RFC 8410): what `openssl genpkey -algorithm ed25519` and Onionbalance write.

use std::path::Path;

use ::pkcs8::PrivateKeyInfo;
use ed25519_dalek::pkcs8::{ALGORITHM_OID, KeypairBytes};

use super::KeyFileError;
use crate::keys::passphrase::Passphrases;
use crate::keys::pem_label;
use crate::keys::pkcs8::{self, Pkcs8Error};
use crate::secret::IdentitySecret;

/// The key in the PEM file at `path`, whose text this is, opened with one of the passphrases if it is encrypted.
pub(super) fn parse(
    text: &str,
    path: &Path,
    passphrases: &Passphrases,
) -> Result<IdentitySecret, KeyFileError> {
    match pem_label(text).ok_or(KeyFileError::Format)? {
        pkcs8::LABEL => pkcs8::parse(text, key),
        pkcs8::ENCRYPTED_LABEL => pkcs8::decrypt(text, path, passphrases, key),
        other => Err(KeyFileError::PemLabel(other.to_owned())),
    }
}

fn key(info: PrivateKeyInfo<'_>) -> Result<IdentitySecret, KeyFileError> {
    if info.algorithm.oid != ALGORITHM_OID {
        return Err(KeyFileError::NotEd25519);
    }
    let key = KeypairBytes::try_from(info).map_err(|_| Pkcs8Error::Damaged)?;
    Ok(IdentitySecret::from_seed(&key.secret_key)?)
}
