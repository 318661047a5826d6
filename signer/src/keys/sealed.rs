//! The sealed container, in PEM: the encrypted form of tor's expanded key and of delegations, which have no other. It holds
//!
//! ```text
//! version 1 byte | kind 1 byte | salt 16 bytes | ciphertext | HMAC-SHA-256 of all before it, 32 bytes
//! ```
//!
//! scrypt (RFC 7914) makes the keys of cipher and code from passphrase and salt; the version says at what cost. A container
//! that opens is whole and unaltered. `onionbalance-key` writes them.

use aes::Aes256;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, Mac};
use pkcs8::pkcs5::scrypt::{self, Params};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::KeyFileError;

/// The PEM label.
pub const LABEL: &str = "ONIONBALANCE SEALED KEY";
/// The first byte.
pub const VERSION: u8 = 1;
const SALT_LENGTH: usize = 16;
/// Bytes before the ciphertext.
pub const HEAD_LENGTH: usize = 2 + SALT_LENGTH;
/// Bytes of the code after the ciphertext.
pub const CODE_LENGTH: usize = 32;

/// The kind of contents.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Kind {
    /// The 64 bytes of tor's key file: the clamped scalar, then the prefix for nonces.
    ExpandedKey = 1,
    /// A delegation, encoded.
    Delegation = 2,
}

/// A container that is closed.
pub struct Sealed {
    kind: Kind,
    bytes: Zeroizing<Vec<u8>>,
}

impl Sealed {
    /// Reads the contents of the PEM.
    pub fn parse(bytes: Zeroizing<Vec<u8>>) -> Result<Self, KeyFileError> {
        let kind = match bytes.as_slice() {
            short if short.len() < HEAD_LENGTH + CODE_LENGTH => return Err(KeyFileError::Damaged),
            [VERSION, 1, ..] => Kind::ExpandedKey,
            [VERSION, 2, ..] => Kind::Delegation,
            _ => return Err(KeyFileError::SealedVersion),
        };
        Ok(Self { kind, bytes })
    }

    /// The kind of its contents.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The contents, if this is the passphrase and nothing was altered.
    pub fn open(&self, passphrase: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.open_with(&Keys::derive(passphrase, self.bytes.first_chunk()?)?)
    }

    fn open_with(&self, keys: &Keys) -> Option<Zeroizing<Vec<u8>>> {
        let (covered, code) = self.bytes.split_last_chunk::<CODE_LENGTH>()?;
        keys.code(covered)?.verify(code.into()).ok()?;
        let mut plaintext = Zeroizing::new(covered.get(HEAD_LENGTH..)?.to_vec());
        keys.apply_keystream(&mut plaintext);
        Some(plaintext)
    }
}

/// The keys from passphrase and salt: one for AES-256-CTR, then one for HMAC-SHA-256.
pub struct Keys(Zeroizing<[u8; 64]>);

impl Keys {
    /// Those for a container that begins with `head`. `None` if this machine cannot derive them.
    pub fn derive(passphrase: &[u8], head: &[u8; HEAD_LENGTH]) -> Option<Self> {
        let salt = head.last_chunk::<SALT_LENGTH>()?;
        let mut keys = Zeroizing::new([0; 64]);
        scrypt::scrypt(passphrase, salt, &cost()?, keys.as_mut_slice()).ok()?;
        Some(Self(keys))
    }

    /// Encrypts or decrypts. No two containers have one key, since each has a salt of its own; so the counter may begin at 0.
    pub fn apply_keystream(&self, bytes: &mut [u8]) {
        let (key, _) = self.0.split_at(32);
        ctr::Ctr128BE::<Aes256>::new(key.into(), &[0; 16].into()).apply_keystream(bytes);
    }

    /// The code of these bytes.
    pub fn code(&self, covered: &[u8]) -> Option<Hmac<Sha256>> {
        let (_, key) = self.0.split_at(32);
        let mut code = <Hmac<Sha256> as Mac>::new_from_slice(key).ok()?;
        code.update(covered);
        Some(code)
    }
}

/// The cost of a guess at a passphrase: 16 MiB, five times over; RFC 7914's N = 2^14, r = 8, p = 5. With more memory at a time,
/// and fewer times, openssl would not open what is encrypted at this cost too.
pub fn cost() -> Option<Params> {
    Params::new(14, 8, 5, 64).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::pem::Pem;

    const KEY: &[u8] = include_bytes!("../../../proto/testdata/v3/front-sealed.pem");
    const DELEGATION: &[u8] = include_bytes!("../../../proto/testdata/v3/front-delegation.pem");
    const PASSPHRASE: &[u8] = b"onion balance v3";

    fn contents(file: &[u8]) -> Zeroizing<Vec<u8>> {
        Pem::find(file).unwrap().decode().unwrap()
    }

    #[test]
    fn opens_with_its_passphrase_alone() {
        for (file, kind) in [(KEY, Kind::ExpandedKey), (DELEGATION, Kind::Delegation)] {
            let sealed = Sealed::parse(contents(file)).unwrap();
            assert_eq!(sealed.kind(), kind);
            assert!(sealed.open(PASSPHRASE).is_some());
            for wrong in ["", "Onion balance v3", "onion balance v3 ", "onion balance v"] {
                assert!(sealed.open(wrong.as_bytes()).is_none(), "{wrong}");
            }
        }
        let key = include_bytes!("../../../proto/testdata/v3/front.hs_ed25519_secret_key");
        assert_eq!(Sealed::parse(contents(KEY)).unwrap().open(PASSPHRASE).unwrap().as_slice(), &key[32..]);
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let whole = contents(KEY);
        // The right ones for each: a code must tell even where the keys do not.
        let keys = Keys::derive(PASSPHRASE, whole.first_chunk().unwrap()).unwrap();
        let opens = |bytes: &[u8]| {
            let sealed = Sealed::parse(Zeroizing::new(bytes.to_vec()));
            sealed.map(|sealed| sealed.open_with(&keys).is_some()).map_err(|error| error.to_string())
        };
        assert_eq!(opens(&whole), Ok(true));
        for at in 0..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 2;
            assert_ne!(opens(&altered), Ok(true), "byte {at}");
        }
        // The kind is covered, too.
        let mut other = whole.clone();
        other[1] = Kind::Delegation as u8;
        assert_eq!(opens(&other), Ok(false));
        assert_eq!(opens(&whole[..whole.len() - 1]), Ok(false));
        assert!(opens(&whole[..HEAD_LENGTH + CODE_LENGTH - 1]).unwrap_err().contains("cut or damaged"));
        let mut later = whole;
        later[0] = 2;
        assert!(opens(&later).unwrap_err().contains("by another version"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_survived(bytes: Vec<u8>, kind in 1_u8..=2, front: bool) {
            let bytes = if front { [&[VERSION, kind], &bytes[..]].concat() } else { bytes };
            if let Ok(sealed) = Sealed::parse(Zeroizing::new(bytes)) {
                prop_assert!(sealed.open_with(&Keys(Zeroizing::new([0; 64]))).is_none());
            }
        }
    }
}
