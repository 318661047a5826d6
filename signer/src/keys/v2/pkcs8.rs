//! PKCS#8 (RFC 5958), plain, or encrypted by PBES2 (RFC 8018): what openssl writes since version 3.

use pkcs8::der::{ErrorKind, Tag};
use pkcs8::{EncryptedPrivateKeyInfo, Error, PrivateKeyInfo, SecretDocument, pkcs5};
use rsa::RsaPrivateKey;
use rsa::pkcs1::ALGORITHM_OID;

use super::KeyFileError;

/// The PEM label of a plain key.
pub(super) const LABEL: &str = "PRIVATE KEY";
/// The PEM label of an encrypted one.
pub(super) const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// What is in the PEM.
pub(super) fn document(text: &str) -> Result<SecretDocument, KeyFileError> {
    SecretDocument::from_pem(text).map(|(_, document)| document).map_err(|_| KeyFileError::Damaged)
}

/// The key in a PEM that is not encrypted.
pub(super) fn parse(text: &str) -> Result<RsaPrivateKey, KeyFileError> {
    key(&document(text)?)
}

/// The key in an encrypted document, if this is its passphrase.
pub(super) fn decrypt(
    document: &SecretDocument,
    passphrase: &[u8],
) -> Result<Option<RsaPrivateKey>, KeyFileError> {
    let encrypted = EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(|error| match &error {
        // The old schemes are not even parsed.
        Error::Asn1(asn1) if matches!(asn1.kind(), ErrorKind::Value { tag: Tag::ObjectIdentifier }) => {
            KeyFileError::Cipher("a scheme older than PBES2".into())
        }
        _ => KeyFileError::Damaged,
    })?;
    match encrypted.decrypt(passphrase) {
        Ok(decrypted) => match key(&decrypted) {
            // One wrong passphrase in 256 leaves a good padding behind, and nonsense in front of it.
            Err(KeyFileError::Damaged) => Ok(None),
            key => key.map(Some),
        },
        // `pkcs5` calls a bad padding by either name.
        Err(Error::EncryptedPrivateKey(pkcs5::Error::DecryptFailed | pkcs5::Error::EncryptFailed)) => {
            Ok(None)
        }
        Err(error) => Err(KeyFileError::Cipher(format!("PBES2 in a way that is unknown ({error})"))),
    }
}

fn key(document: &SecretDocument) -> Result<RsaPrivateKey, KeyFileError> {
    let info = PrivateKeyInfo::try_from(document.as_bytes()).map_err(|_| KeyFileError::Damaged)?;
    if info.algorithm.oid != ALGORITHM_OID {
        return Err(KeyFileError::NotRsa);
    }
    RsaPrivateKey::try_from(info).map_err(|_| KeyFileError::Damaged)
}
