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
//! | format | recognized by | holds | encrypted |
//! |---|---|---|---|
//! | tor's `hs_ed25519_secret_key` | [`TOR_TAG`] | [`Key::Expanded`] | no |
//! | tor's `private_key`; PKCS#1 | [`PKCS1_LABEL`] | [`Key::Rsa`] | with a header `Proc-Type: 4,ENCRYPTED` |
//! | PKCS#8 | [`pkcs8::LABEL`] | [`Key::Seed`] or [`Key::Rsa`] | no |
//! | PKCS#8 with PBES2 | [`pkcs8::ENCRYPTED_LABEL`] | [`Key::Seed`] or [`Key::Rsa`] | yes |
//! | sealed container | [`SEALED_LABEL`] | [`Key::Expanded`] or [`Key::Delegation`] | yes |
//!
//! All but the first are PEM. Tor's file of 96 bytes is the tag of 32, then the clamped scalar and the prefix
//! for nonces of 32 each.
//!
//! ```
//! use onionbalance_key_file::{Key, KeyFile};
//!
//! let plain = std::fs::read("../../proto/testdata/v3/front.hs_ed25519_secret_key")?;
//! assert!(matches!(KeyFile::parse(&plain)?, KeyFile::Plain(Key::Expanded(_))));
//!
//! let file = std::fs::read("../../proto/testdata/v2/pem-aes256.key")?;
//! let KeyFile::Encrypted(encrypted) = KeyFile::parse(&file)? else { panic!("it is encrypted") };
//! assert!(encrypted.open(b"wrong")?.is_none());
//! assert!(matches!(encrypted.open(b"onion balance v2")?, Some(Key::Rsa(_))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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

/// Secret bytes on the heap, wiped when they are dropped. A move copies the pointer, not the bytes.
pub type SecretArray<const N: usize> = Box<Zeroizing<[u8; N]>>;

/// The contents of a key file. The address of the service is not known yet, and a key may be unusable for
/// one: an RSA key can have any length. The type has no `Debug` form.
pub enum Key {
    /// The key of a version-2 service, of any length: [`PermanentKey::new`] demands 1024 bits.
    ///
    /// [`PermanentKey::new`]: onionbalance_proto::v2::PermanentKey::new
    Rsa(Box<RsaPrivateKey>),
    /// The key of a version-3 service: the seed of 32 bytes in PKCS#8, which RFC 8032 expands.
    Seed(SecretArray<32>),
    /// The key of a version-3 service: the expanded key of 64 bytes in tor's file, the clamped scalar before
    /// the prefix for nonces.
    Expanded(SecretArray<64>),
    /// A delegation of a version-3 service, encoded: [`delegation::Delegation::decode`] reads it.
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

/// An encrypted key. It keeps the ciphertext, so that several passphrases can be tried.
pub enum Encrypted {
    /// PKCS#8 with PBES2.
    Pkcs8(pkcs8::Encrypted),
    /// PKCS#1, as openssl encrypted it.
    Traditional(traditional::Encrypted),
    /// The container of `onionbalance-key`.
    Sealed(sealed::Sealed),
}

impl KeyFile {
    /// Reads the bytes of a file. In PEM the first block with a secret key counts, and text around it is
    /// ignored.
    ///
    /// # Errors
    /// - The format is not known, or is one that has to be converted: [`KeyFileError::Format`],
    ///   [`KeyFileError::Der`], [`KeyFileError::Base64`], [`KeyFileError::PemLabel`].
    /// - The file holds another key: [`KeyFileError::TorPublic`], [`KeyFileError::Public`],
    ///   [`KeyFileError::Algorithm`].
    /// - The file is cut or altered: [`KeyFileError::TorLength`], [`KeyFileError::Damaged`],
    ///   [`KeyFileError::Header`].
    /// - The encryption is not supported: [`KeyFileError::Cipher`], [`KeyFileError::SealedVersion`].
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
    /// The key. `None`: the passphrase is wrong. Formats without an authentication code cannot tell a wrong
    /// passphrase from altered bytes.
    ///
    /// The file's own parameters determine how long a call takes. Those of scrypt are bounded to some
    /// seconds.
    ///
    /// # Errors
    /// [`KeyFileError::Damaged`], [`KeyFileError::Algorithm`]: the passphrase is right, but the contents are
    /// not a key. [`KeyFileError::Cipher`]: the encryption is not supported.
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
