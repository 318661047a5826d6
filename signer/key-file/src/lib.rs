//! Key files of onion services, from a path to a key, and their formats. This library does not use keys; its
//! callers do.
//!
//! [`read::read_key`] reads a file that no other user can read or write, by the rule of
//! [`onionbalance_trust`]. [`Passphrases::open`](passphrase::Passphrases::open) decrypts its key, with a
//! passphrase from a file or from a person at the [`terminal`].
//!
//! The formats are those of tor, openssl and Onionbalance, for v2 (RSA) and v3 (ed25519) services, and
//! those that `onionbalance-key` writes: bytes in, a key out. [`KeyFile::parse`] recognizes the format of a
//! file, and [`Encrypted::open`] tries a passphrase. A format that this crate also writes has both directions
//! in one module: [`pem`] is the wrapping, [`pkcs8`] openssl's form for keys of both versions, [`sealed`] the
//! form for keys that openssl has no form for, [`delegation`] the contents of one of these. `traditional`
//! reads the form that openssl wrote before PKCS#8.
//!
//! Secrets are on the heap, and each is wiped when it is dropped. No buffer with a secret grows, because that
//! would leave a copy behind.

pub mod delegation;
mod error;
pub mod passphrase;
pub mod pem;
pub mod pkcs8;
pub mod read;
pub mod sealed;
pub mod terminal;
mod traditional;

use rsa::RsaPrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey;
use zeroize::Zeroizing;

pub use self::error::KeyFileError;
use self::pem::Pem;

/// The longest key file, in bytes. A delegation for three years is shorter.
pub const MAX_LENGTH: usize = 6 * 1024 * 1024;

/// Tor's names of the key file in a `HiddenServiceDir`: of a v3 service, then of a v2 service.
pub const TORS_NAMES: [&str; 2] = ["hs_ed25519_secret_key", "private_key"];
/// The first 32 bytes of tor's `hs_ed25519_secret_key` (tor: `crypto_write_tagged_contents_to_file`).
pub const TOR_TAG: &[u8; 32] = b"== ed25519v1-secret: type0 ==\0\0\0";
const TOR_PUBLIC_TAG: &[u8; 32] = b"== ed25519v1-public: type0 ==\0\0\0";
/// [`TOR_TAG`] in base64, without the last character, which also holds bits of the key.
pub const TOR_TAG_BASE64: &str = "PT0gZWQyNTUxOXYxLXNlY3JldDogdHlwZTAgPT0AAA";

/// The PEM label of PKCS#1, with or without encryption.
pub const PKCS1_LABEL: &str = "RSA PRIVATE KEY";
/// The PEM label of this project's container of an encrypted key ([`sealed`]).
pub const SEALED_LABEL: &str = "ONIONBALANCE SEALED KEY";

/// Secret bytes on the heap. A move copies the pointer, not the bytes.
pub type SecretArray<const N: usize> = Box<Zeroizing<[u8; N]>>;

/// The contents of a key file.
pub enum Key {
    /// The key of a version-2 service.
    Rsa(Box<RsaPrivateKey>),
    /// The seed of 32 bytes in PKCS#8, which RFC 8032 expands.
    Seed(SecretArray<32>),
    /// The expanded key of 64 bytes in tor's file: the clamped scalar, then the prefix for nonces.
    Expanded(SecretArray<64>),
    /// A delegation, encoded.
    Delegation(Zeroizing<Vec<u8>>),
}

impl From<RsaPrivateKey> for Key {
    fn from(key: RsaPrivateKey) -> Self {
        Self::Rsa(Box::new(key))
    }
}

/// A key file that was read.
pub enum KeyFile {
    /// The key is not encrypted.
    Plain(Key),
    /// The key is encrypted under a passphrase.
    Encrypted(Encrypted),
}

/// An encrypted key.
pub enum Encrypted {
    /// PKCS#8.
    Pkcs8(pkcs8::Encrypted),
    /// PKCS#1, as openssl encrypted it.
    Traditional(traditional::Encrypted),
    /// The container of `onionbalance-key`.
    Sealed(sealed::Sealed),
}

impl KeyFile {
    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// The bytes have no known format, are damaged, or hold a key of another kind.
    pub fn parse(file: &[u8]) -> Result<Self, KeyFileError> {
        if let Some(key) = file.strip_prefix(TOR_TAG) {
            let key = secret_array(key).ok_or(KeyFileError::TorLength(file.len()))?;
            return Ok(Self::Plain(Key::Expanded(key)));
        }
        let pem = Pem::find(file).ok_or_else(|| no_key(file))?;
        Ok(match pem.label {
            pkcs8::LABEL => Self::Plain(pkcs8::parse(&pem.decode()?)?),
            pkcs8::ENCRYPTED_LABEL => {
                Self::Encrypted(Encrypted::Pkcs8(pkcs8::Encrypted::parse(pem.decode()?)?))
            }
            PKCS1_LABEL if pem.is_encrypted() => {
                Self::Encrypted(Encrypted::Traditional(traditional::Encrypted::parse(&pem)?))
            }
            PKCS1_LABEL => {
                let key = RsaPrivateKey::from_pkcs1_der(&pem.decode()?);
                Self::Plain(key.map_err(|_| KeyFileError::Damaged)?.into())
            }
            SEALED_LABEL => Self::Encrypted(Encrypted::Sealed(sealed::Sealed::parse(pem.decode()?)?)),
            public if public.ends_with("PUBLIC KEY") => return Err(KeyFileError::Public(public.to_owned())),
            other => return Err(KeyFileError::PemLabel(other.to_owned())),
        })
    }
}

impl Encrypted {
    /// The key. `None`: the passphrase is wrong.
    ///
    /// # Errors
    /// The passphrase is right, but the contents are not a key; or the encryption is not supported.
    pub fn open(&self, passphrase: &[u8]) -> Result<Option<Key>, KeyFileError> {
        match self {
            Self::Pkcs8(encrypted) => encrypted.open(passphrase),
            Self::Traditional(encrypted) => Ok(encrypted.open(passphrase).map(Key::from)),
            Self::Sealed(sealed) => sealed.open(passphrase),
        }
    }
}

/// The error for a `file` that is neither tor's nor PEM.
fn no_key(file: &[u8]) -> KeyFileError {
    match file {
        // A DER sequence with a length of two bytes, as in RSA keys, or with a number first, as in PKCS#8.
        [0x30, 0x82, ..] | [0x30, _, 0x02, 0x01, ..] => KeyFileError::Der,
        _ if file.starts_with(TOR_PUBLIC_TAG) => KeyFileError::TorPublic,
        _ if file.windows(TOR_TAG_BASE64.len()).any(|part| part == TOR_TAG_BASE64.as_bytes()) => {
            KeyFileError::Base64
        }
        _ => KeyFileError::Format,
    }
}

/// A copy of `bytes` directly on the heap; `None` if their number is not `N`.
fn secret_array<const N: usize>(bytes: &[u8]) -> Option<SecretArray<N>> {
    let bytes: &[u8; N] = bytes.try_into().ok()?;
    let mut array = Box::new(Zeroizing::new([0; N]));
    array.copy_from_slice(bytes);
    Some(array)
}

#[cfg(test)]
mod tests;
