//! The key files of version 2 services: an RSA key in PEM, as PKCS#1 (tor's `private_key`) or PKCS#8, plain or encrypted.

mod traditional;

use std::path::Path;

use ::pkcs8::PrivateKeyInfo;
use onionbalance_proto::v2::keys::{BITS, KeyError};
use rsa::RsaPrivateKey;
use rsa::pkcs1::{ALGORITHM_OID, DecodeRsaPrivateKey};

pub use self::traditional::{LABEL, is_encrypted};
use super::passphrase::{PassphraseError, Passphrases};
use super::pkcs8::{self, Pkcs8Error};
use super::{ReadError, pem_label};
use crate::trust::Trust;
use crate::v2::secret::PermanentSecret;

/// Why a key file holds no usable key. The message says what to do; whoever prints it names the file.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No PEM.
    #[error("is no key file: give a PEM file with an RSA key, such as tor's private_key")]
    Format,
    /// DER, as PEM has it inside.
    #[error("is DER: convert it to PEM with `openssl rsa -inform DER -in FILE -out KEY` and give that")]
    Der,
    /// A key of version 3.
    #[error("is tor's key of a v3 service, but the instances are v2: give the RSA key of a v2 service")]
    Version3,
    /// A public key.
    #[error("holds a PEM `{0}`, a public key: give the private one")]
    Public(String),
    /// A PEM file with something else in it.
    #[error("holds a PEM `{0}`: an RSA key is needed, as `RSA PRIVATE KEY` or `PRIVATE KEY`")]
    PemLabel(String),
    /// PKCS#8, but not RSA.
    #[error("holds a private key that is not RSA: v2 services have RSA keys of {BITS} bits")]
    NotRsa,
    /// Cut, or altered.
    #[error("holds an RSA key that is cut or damaged: give the whole file as tor or openssl wrote it")]
    Damaged,
    /// Encrypted, and the header that says how is not to be understood.
    #[error(
        "is encrypted, and its DEK-Info header is missing or malformed: give the whole file as openssl wrote it"
    )]
    Header,
    /// A key of another size.
    #[error("{}", wrong_size(.0))]
    Key(#[from] KeyError),
    /// PKCS#8 that does not open.
    #[error(transparent)]
    Pkcs8(#[from] Pkcs8Error),
    /// It is encrypted, and does not open.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
}

fn wrong_size(error: &KeyError) -> String {
    match error {
        KeyError::Size(bits) => format!("holds an RSA key of {bits} bits: v2 services have {BITS}"),
        other => format!("holds {other}"),
    }
}

/// How every DER file with an RSA key of at least 1024 bits begins: a sequence, of a length that takes two bytes.
const DER_SEQUENCE: [u8; 2] = [0x30, 0x82];

/// Reads the secret key in the file at `path`, with one of the passphrases if it is encrypted.
pub fn load(path: &Path, trust: &Trust, passphrases: &Passphrases) -> Result<PermanentSecret, KeyFileError> {
    parse(&super::read_key(path, trust)?, path, passphrases)
}

/// Reads the secret key in `bytes`, the whole of the file at `path`, with one of the passphrases if it is encrypted.
pub fn parse(bytes: &[u8], path: &Path, passphrases: &Passphrases) -> Result<PermanentSecret, KeyFileError> {
    if bytes.starts_with(b"== ed25519v1-") {
        return Err(KeyFileError::Version3);
    }
    if bytes.starts_with(&DER_SEQUENCE) {
        return Err(KeyFileError::Der);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| KeyFileError::Format)?;
    // Tor 0.4.5 ends its private_key with a NUL.
    let text = text.trim_end_matches(['\0', '\n', '\r', ' ']);
    let key = match pem_label(text).ok_or(KeyFileError::Format)? {
        LABEL if is_encrypted(text) => {
            let encrypted = traditional::Encrypted::parse(text)?;
            passphrases.open(path, |passphrase| Ok::<_, KeyFileError>(encrypted.decrypt(passphrase)))?
        }
        LABEL => RsaPrivateKey::from_pkcs1_pem(text).map_err(|_| KeyFileError::Damaged)?,
        pkcs8::LABEL => pkcs8::parse(text, rsa_key)?,
        pkcs8::ENCRYPTED_LABEL => pkcs8::decrypt(text, path, passphrases, rsa_key)?,
        public @ ("PUBLIC KEY" | "RSA PUBLIC KEY") => return Err(KeyFileError::Public(public.to_owned())),
        other => return Err(KeyFileError::PemLabel(other.to_owned())),
    };
    Ok(PermanentSecret::new(key)?)
}

/// The secret in a PKCS#8 key.
pub(crate) fn secret(info: PrivateKeyInfo<'_>) -> Result<PermanentSecret, KeyFileError> {
    Ok(PermanentSecret::new(rsa_key(info)?)?)
}

/// Whether a PKCS#8 key is RSA.
pub(crate) fn is_rsa(info: &PrivateKeyInfo<'_>) -> bool {
    info.algorithm.oid == ALGORITHM_OID
}

fn rsa_key(info: PrivateKeyInfo<'_>) -> Result<RsaPrivateKey, KeyFileError> {
    if !is_rsa(&info) {
        return Err(KeyFileError::NotRsa);
    }
    RsaPrivateKey::try_from(info).map_err(|_| KeyFileError::Damaged)
}

#[cfg(test)]
mod tests;
