//! Reads key files: those of tor, openssl and Onionbalance, of version 2 (RSA) and 3 (ed25519), and those that
//! `onionbalance-key` writes.

mod error;
mod kind;
pub mod passphrase;
pub mod pem;
pub mod pkcs8;
pub mod sealed;
pub mod terminal;
mod traditional;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use onionbalance_proto::config::Instances;
use onionbalance_trust::{Trust, TrustError};
use rsa::RsaPrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey;
use zeroize::Zeroizing;

pub use self::error::KeyFileError;
pub use self::kind::{KindError, TORS_NAMES};
use self::passphrase::Passphrases;
use self::pem::Pem;
use self::sealed::{Kind, Sealed};
use crate::v2::secret::PermanentSecret;
use crate::v3::authority::Authority;
use crate::v3::delegation::Delegation;
use crate::v3::secret::IdentitySecret;

/// Larger than any file with a key or passphrases but a delegation.
const USUAL_LENGTH: usize = 16 * 1024;
/// More is not read; a delegation for three years takes less.
pub const MAX_LENGTH: usize = 6 * 1024 * 1024;

/// The PEM label of PKCS#1, with or without encryption.
pub const PKCS1_LABEL: &str = "RSA PRIVATE KEY";
/// The first 32 bytes of tor's `hs_ed25519_secret_key` (tor: `crypto_write_tagged_contents_to_file`).
pub const TOR_TAG: &[u8; 32] = b"== ed25519v1-secret: type0 ==\0\0\0";
const TOR_PUBLIC_TAG: &[u8; 32] = b"== ed25519v1-public: type0 ==\0\0\0";
/// [`TOR_TAG`] in base64, as far as no byte of the key is in it.
pub const TOR_TAG_BASE64: &str = "PT0gZWQyNTUxOXYxLXNlY3JldDogdHlwZTAgPT0AAA";

/// Why a file with a secret in it cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A directory, or something else that is no file.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// It cannot be read.
    #[error("cannot be read: {0}; check the path and that the signer's user may read it")]
    Io(#[from] io::Error),
    /// It is not ours alone.
    #[error(transparent)]
    Trust(TrustError),
    /// Too long for a key or a passphrase.
    #[error("is too long: no file with a key or a passphrase has more than {MAX_LENGTH} bytes")]
    TooLong,
}

impl From<TrustError> for ReadError {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::Io(error) => Self::Io(error),
            error => Self::Trust(error),
        }
    }
}

/// The secret of a service.
pub enum Secret {
    /// Of version 2.
    V2(PermanentSecret),
    /// Of version 3.
    V3(Authority),
}

/// The contents of a key file, as long as it is open.
#[derive(Clone, Copy)]
pub enum Contents<'a> {
    /// The key of a version 2 service.
    Rsa(&'a RsaPrivateKey),
    /// The 32 bytes of PKCS#8, which RFC 8032 expands.
    Seed(&'a [u8; 32]),
    /// The 64 bytes of tor's file: the clamped scalar, then the prefix for nonces.
    Expanded(&'a [u8; 64]),
    /// A delegation, encoded.
    Delegation(&'a [u8]),
}

/// Reads the key of the service with these instances in the file at `path`, with one of the passphrases if it is encrypted.
pub fn load(
    path: &Path,
    trust: &Trust,
    passphrases: &Passphrases,
    instances: &Instances,
) -> Result<Secret, KeyFileError> {
    open(&read_key(path, trust)?, path, passphrases, |contents| match (contents, instances) {
        (Contents::Rsa(_), Instances::V3(_)) => Err(KeyFileError::Version(2, 3)),
        (Contents::Seed(_) | Contents::Expanded(_) | Contents::Delegation(_), Instances::V2(_)) => {
            Err(KeyFileError::Version(3, 2))
        }
        _ => secret(contents),
    })
}

/// The secret that these contents are.
pub fn secret(contents: Contents<'_>) -> Result<Secret, KeyFileError> {
    Ok(match contents {
        Contents::Rsa(key) => Secret::V2(PermanentSecret::new(key.clone())?),
        Contents::Seed(seed) => Secret::V3(IdentitySecret::from_seed(seed)?.into()),
        Contents::Expanded(key) => Secret::V3(IdentitySecret::from_expanded(key)?.into()),
        Contents::Delegation(bytes) => Secret::V3(Delegation::decode(bytes)?.into()),
    })
}

/// The result of `act` on the key in `file`, the contents of the file at `path`.
pub fn open<T>(
    file: &[u8],
    path: &Path,
    passphrases: &Passphrases,
    act: impl Fn(Contents<'_>) -> Result<T, KeyFileError>,
) -> Result<T, KeyFileError> {
    if let Some(key) = file.strip_prefix(TOR_TAG) {
        let key = key.try_into().map_err(|_| KeyFileError::TorLength(file.len()))?;
        return act(Contents::Expanded(key));
    }
    let pem = Pem::find(file).ok_or_else(|| no_key(file))?;
    match pem.label {
        pkcs8::LABEL => pkcs8::open(&pem.decode()?, act),
        pkcs8::ENCRYPTED_LABEL => pkcs8::decrypt(&pem.decode()?, path, passphrases, act),
        PKCS1_LABEL if pem.is_encrypted() => {
            let encrypted = traditional::Encrypted::parse(&pem)?;
            act(Contents::Rsa(&passphrases.open(path, |passphrase| Ok(encrypted.decrypt(passphrase)))?))
        }
        PKCS1_LABEL => {
            let key = RsaPrivateKey::from_pkcs1_der(&pem.decode()?);
            act(Contents::Rsa(&key.map_err(|_| KeyFileError::Damaged)?))
        }
        sealed::LABEL => {
            let sealed = Sealed::parse(pem.decode()?)?;
            let opened = passphrases.open(path, |passphrase| Ok(sealed.open(passphrase)))?;
            match sealed.kind() {
                Kind::ExpandedKey => {
                    act(Contents::Expanded(opened.as_slice().try_into().map_err(|_| KeyFileError::Damaged)?))
                }
                Kind::Delegation => act(Contents::Delegation(&opened)),
            }
        }
        public if public.ends_with("PUBLIC KEY") => Err(KeyFileError::Public(public.to_owned())),
        other => Err(KeyFileError::PemLabel(other.to_owned())),
    }
}

/// Why `file`, which is neither tor's nor PEM, is no key file.
fn no_key(file: &[u8]) -> KeyFileError {
    match file {
        // A sequence: of a length in two bytes, as those of RSA keys, or with a number first, as PKCS#8.
        [0x30, 0x82, ..] | [0x30, _, 0x02, 0x01, ..] => KeyFileError::Der,
        _ if file.starts_with(TOR_PUBLIC_TAG) => KeyFileError::TorPublic,
        _ if file.windows(TOR_TAG_BASE64.len()).any(|part| part == TOR_TAG_BASE64.as_bytes()) => {
            KeyFileError::Base64
        }
        _ => KeyFileError::Format,
    }
}

/// All of the key file at `path`, which nobody else may read or change.
pub fn read_key(path: &Path, trust: &Trust) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let found = trust.find(path)?;
    // Before it is opened: a device may do something then, and a socket says nothing that helps.
    kind::check(path, found.metadata())?;
    read_all(found.open_key()?)
}

/// All of the file at `path`, which is wiped when it is dropped.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    read_all(File::open(path)?)
}

fn read_all(file: File) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    // Room for the whole from the start: a buffer that grew would leave copies behind. A pipe says that it has no length.
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(MAX_LENGTH);
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.clamp(USUAL_LENGTH, MAX_LENGTH) + 1));
    file.take(MAX_LENGTH as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_LENGTH { Err(ReadError::TooLong) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests;
