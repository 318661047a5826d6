//! PKCS#8 (RFC 5958) in PEM, plain, or encrypted by PBES2 (RFC 8018): what openssl writes since version 3, for keys of both
//! versions.

use std::path::Path;

use pkcs8::der::{ErrorKind, Tag};
use pkcs8::{EncryptedPrivateKeyInfo, Error, PrivateKeyInfo, SecretDocument, pkcs5};

use super::passphrase::{PassphraseError, Passphrases};

/// The PEM label of a plain key.
pub(crate) const LABEL: &str = "PRIVATE KEY";
/// The PEM label of an encrypted one.
pub(crate) const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// Why there is no key of any kind.
#[derive(Debug, thiserror::Error)]
pub enum Pkcs8Error {
    /// Cut, or altered.
    #[error("holds a key that is cut or damaged: give the whole file as openssl wrote it")]
    Damaged,
    /// It is encrypted, and does not open.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
}

/// What `key` makes of the plain key in a PEM.
pub(crate) fn parse<T, E: From<Pkcs8Error>>(
    text: &str,
    key: impl Fn(PrivateKeyInfo<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let document = document(text)?;
    key(PrivateKeyInfo::try_from(document.as_bytes()).map_err(|_| Pkcs8Error::Damaged)?)
}

/// What `key` makes of the encrypted key in a PEM, the file at `path`, with one of the passphrases.
pub(crate) fn decrypt<T, E: From<Pkcs8Error>>(
    text: &str,
    path: &Path,
    passphrases: &Passphrases,
    key: impl Fn(PrivateKeyInfo<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let document = document(text)?;
    let encrypted = EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(unreadable)?;
    passphrases.open(path, |passphrase| {
        let Some(decrypted) = try_passphrase(&encrypted, passphrase)? else { return Ok(None) };
        // One wrong passphrase in 256 leaves a good padding behind, and nonsense in front of it.
        let Ok(info) = PrivateKeyInfo::try_from(decrypted.as_bytes()) else { return Ok(None) };
        Ok::<_, Pkcs8Error>(Some(key(info)))
    })?
}

/// What is in the PEM.
fn document(text: &str) -> Result<SecretDocument, Pkcs8Error> {
    SecretDocument::from_pem(text).map(|(_, document)| document).map_err(|_| Pkcs8Error::Damaged)
}

fn unreadable(error: Error) -> Pkcs8Error {
    match error {
        // The old schemes are not even parsed.
        Error::Asn1(asn1) if matches!(asn1.kind(), ErrorKind::Value { tag: Tag::ObjectIdentifier }) => {
            PassphraseError::Cipher("a scheme older than PBES2".into()).into()
        }
        _ => Pkcs8Error::Damaged,
    }
}

fn try_passphrase(
    encrypted: &EncryptedPrivateKeyInfo<'_>,
    passphrase: &[u8],
) -> Result<Option<SecretDocument>, Pkcs8Error> {
    match encrypted.decrypt(passphrase) {
        Ok(decrypted) => Ok(Some(decrypted)),
        // `pkcs5` calls a bad padding by either name.
        Err(Error::EncryptedPrivateKey(pkcs5::Error::DecryptFailed | pkcs5::Error::EncryptFailed)) => {
            Ok(None)
        }
        Err(error) => {
            Err(PassphraseError::Cipher(format!("PBES2 in a way that is unknown ({error})")).into())
        }
    }
}
