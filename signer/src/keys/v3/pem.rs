//! PKCS#8 in PEM (RFC 5958, RFC 8410): what `openssl genpkey -algorithm ed25519` and Onionbalance write.

use ed25519_dalek::pkcs8::{DecodePrivateKey, KeypairBytes};

use super::KeyFileError;
use crate::keys::pem_label;
use crate::secret::IdentitySecret;

/// The key in a PEM file.
pub(super) fn parse(text: &str) -> Result<IdentitySecret, KeyFileError> {
    let label = pem_label(text).ok_or(KeyFileError::Format)?;
    if label != "PRIVATE KEY" {
        return Err(KeyFileError::PemLabel(label.to_owned()));
    }
    let key = KeypairBytes::from_pkcs8_pem(text).map_err(|_| KeyFileError::Pkcs8)?;
    Ok(IdentitySecret::from_seed(&key.secret_key)?)
}
