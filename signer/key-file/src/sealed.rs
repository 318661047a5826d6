//! The sealed container, in PEM: the encrypted form of tor's expanded keys and of delegations, for which
//! openssl has none. For contents of n bytes it has n + 50:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | version: 1 |
//! | 1 | 1 | [`Kind`] |
//! | 2 | 16 | salt, random and not secret |
//! | 18 | n | the contents: AES-256 in counter mode, from counter 0 on |
//! | 18 + n | 32 | HMAC-SHA-256 of all bytes before it |
//!
//! scrypt (RFC 7914) derives 64 bytes from passphrase and salt: the key of the cipher, then that of the code.
//! The version determines its cost, N = 16384, r = 8, p = 5: 16 MiB at a time. A container that opens is
//! whole and unaltered.

use aes::Aes256;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, Mac};
use pkcs8::pkcs5;
use pkcs8::pkcs5::pbes2::SCRYPT_OID;
use pkcs8::pkcs5::scrypt::{self, Params};
use rand_core::CryptoRngCore;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Key, KeyFileError, SEALED_LABEL, pem, secret_array};

/// The version of the container: its first byte.
const VERSION: u8 = 1;
const SALT_LENGTH: usize = 16;
/// The length of the part before the ciphertext, in bytes.
const HEAD_LENGTH: usize = 2 + SALT_LENGTH;
/// The length of the code after the ciphertext, in bytes.
const CODE_LENGTH: usize = 32;

/// The kind of contents.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Kind {
    /// The 64 bytes of tor's key file behind the tag: the clamped scalar, then the prefix for nonces.
    ExpandedKey = 1,
    /// A delegation, encoded: see [`crate::delegation`].
    Delegation = 2,
}

/// A sealed container, of a known version and kind. It is not known to be unaltered before it opens.
pub struct Sealed {
    kind: Kind,
    bytes: Zeroizing<Vec<u8>>,
}

impl Sealed {
    /// Reads the contents of the PEM. Fails for another version, and if the bytes are too few or of an
    /// unknown kind.
    pub(crate) fn parse(bytes: Zeroizing<Vec<u8>>) -> Result<Self, KeyFileError> {
        let kind = match bytes.as_slice() {
            short if short.len() < HEAD_LENGTH + CODE_LENGTH => return Err(KeyFileError::Damaged),
            [VERSION, 1, ..] => Kind::ExpandedKey,
            [VERSION, 2, ..] => Kind::Delegation,
            _ => return Err(KeyFileError::SealedVersion),
        };
        Ok(Self { kind, bytes })
    }

    /// The key. `None`: the passphrase is wrong, or the container was altered. Fails if the contents have a
    /// wrong length.
    pub(crate) fn open(&self, passphrase: &[u8]) -> Result<Option<Key>, KeyFileError> {
        let keys = self.bytes.first_chunk().and_then(|head| Keys::derive(passphrase, head));
        let Some(contents) = keys.and_then(|keys| self.contents(&keys)) else { return Ok(None) };
        match self.kind {
            Kind::ExpandedKey => secret_array(&contents).map(Key::Expanded).ok_or(KeyFileError::Damaged),
            Kind::Delegation => Ok(Key::Delegation(contents)),
        }
        .map(Some)
    }

    fn contents(&self, keys: &Keys) -> Option<Zeroizing<Vec<u8>>> {
        let (covered, code) = self.bytes.split_last_chunk::<CODE_LENGTH>()?;
        keys.code(covered)?.verify(code.into()).ok()?;
        let mut plaintext = Zeroizing::new(covered.get(HEAD_LENGTH..)?.to_vec());
        keys.apply_keystream(&mut plaintext);
        Some(plaintext)
    }
}

/// The PEM file with these contents, encrypted under the passphrase. `None` if scrypt fails on this machine.
/// `rng` gives the salt, of which no two may be equal. The length of the contents is not checked.
///
/// ```
/// use onionbalance_key_file::sealed::{Kind, seal};
/// use onionbalance_key_file::{Key, KeyFile};
///
/// let file = seal(Kind::ExpandedKey, &[7; 64], b"passphrase", &mut rand_core::OsRng).ok_or("scrypt")?;
/// assert!(file.starts_with(b"-----BEGIN ONIONBALANCE SEALED KEY-----\n"));
/// let KeyFile::Encrypted(sealed) = KeyFile::parse(&file)? else { panic!("it is sealed") };
/// assert!(matches!(sealed.open(b"passphrase")?, Some(Key::Expanded(key)) if **key == [7; 64]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn seal(
    kind: Kind,
    contents: &[u8],
    passphrase: &[u8],
    rng: &mut impl CryptoRngCore,
) -> Option<Zeroizing<Vec<u8>>> {
    let mut head = [0; HEAD_LENGTH];
    let (front, salt) = head.split_at_mut(2);
    front.copy_from_slice(&[VERSION, kind as u8]);
    rng.fill_bytes(salt);
    let keys = Keys::derive(passphrase, &head)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(HEAD_LENGTH + contents.len() + CODE_LENGTH));
    bytes.extend(head);
    bytes.extend(contents);
    keys.apply_keystream(bytes.get_mut(HEAD_LENGTH..)?);
    let code = keys.code(&bytes)?.finalize().into_bytes();
    bytes.extend(code);
    Some(pem::encode(SEALED_LABEL, &bytes))
}

/// The keys from passphrase and salt: one for AES-256-CTR, then one for HMAC-SHA-256.
struct Keys(Zeroizing<[u8; 64]>);

impl Keys {
    /// The keys of a container that begins with `head`. `None` if scrypt fails on this machine.
    fn derive(passphrase: &[u8], head: &[u8; HEAD_LENGTH]) -> Option<Self> {
        let salt = head.last_chunk::<SALT_LENGTH>()?;
        let mut keys = Zeroizing::new([0; 64]);
        scrypt::scrypt(passphrase, salt, &cost().ok()?, keys.as_mut_slice()).ok()?;
        Some(Self(keys))
    }

    /// Encrypts or decrypts. Each container has a salt and so a key of its own, so that the counter may begin
    /// at 0.
    fn apply_keystream(&self, bytes: &mut [u8]) {
        let (key, _) = self.0.split_at(32);
        ctr::Ctr128BE::<Aes256>::new(key.into(), &[0; 16].into()).apply_keystream(bytes);
    }

    /// The code of these bytes.
    fn code(&self, covered: &[u8]) -> Option<Hmac<Sha256>> {
        let (_, key) = self.0.split_at(32);
        let mut code = <Hmac<Sha256> as Mac>::new_from_slice(key).ok()?;
        code.update(covered);
        Some(code)
    }
}

/// The cost of one guess at a passphrase: 16 MiB, five times (RFC 7914: N = 2^14, r = 8, p = 5). PKCS#8 files
/// are encrypted at the same cost, and openssl would refuse more memory at a time.
pub(crate) fn cost() -> pkcs5::Result<Params> {
    Params::new(14, 8, 5, 64).map_err(|_| pkcs5::Error::AlgorithmParametersInvalid { oid: SCRYPT_OID })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::pem::Pem;

    const KEY: &[u8] = include_bytes!("../../../proto/testdata/v3/front-sealed.pem");
    const DELEGATION: &[u8] = include_bytes!("../../../proto/testdata/v3/front-delegation.pem");
    const PASSPHRASE: &[u8] = b"onion balance v3";

    fn decoded(file: &[u8]) -> Zeroizing<Vec<u8>> {
        Pem::find(file).unwrap().decode().unwrap()
    }

    /// The contents of a file; `None` if the passphrase is wrong.
    fn opened(file: &[u8], passphrase: &[u8]) -> Option<(Kind, Vec<u8>)> {
        match Sealed::parse(decoded(file)).unwrap().open(passphrase).unwrap()? {
            Key::Expanded(key) => Some((Kind::ExpandedKey, key.to_vec())),
            Key::Delegation(bytes) => Some((Kind::Delegation, bytes.to_vec())),
            _ => panic!("nothing else is ever sealed"),
        }
    }

    #[test]
    fn opens_with_its_passphrase_alone() {
        for (file, kind) in [(KEY, Kind::ExpandedKey), (DELEGATION, Kind::Delegation)] {
            assert_eq!(opened(file, PASSPHRASE).unwrap().0, kind);
            for wrong in ["", "Onion balance v3", "onion balance v3 ", "onion balance v"] {
                assert_eq!(opened(file, wrong.as_bytes()), None, "{wrong}");
            }
        }
        let key = include_bytes!("../../../proto/testdata/v3/front.hs_ed25519_secret_key");
        assert_eq!(opened(KEY, PASSPHRASE).unwrap().1, &key[32..]);
    }

    #[test]
    fn sealed_contents_open() {
        let mut rng = StdRng::seed_from_u64(1);
        for (kind, contents) in
            [(Kind::ExpandedKey, vec![7; 64]), (Kind::Delegation, (0..=255).cycle().take(9000).collect())]
        {
            let file = seal(kind, &contents, b"right", &mut rng).unwrap();
            assert_eq!(opened(&file, b"right"), Some((kind, contents)));
            assert_eq!(opened(&file, b"wrong"), None);
        }
        // The code is right, but the contents have another length.
        let file = seal(Kind::ExpandedKey, &[7; 63], b"right", &mut rng).unwrap();
        assert!(matches!(Sealed::parse(decoded(&file)).unwrap().open(b"right"), Err(KeyFileError::Damaged)));
    }

    #[test]
    fn two_of_the_same_contents_have_nothing_in_common() {
        let mut rng = StdRng::seed_from_u64(2);
        let mut bytes = || decoded(&seal(Kind::ExpandedKey, &[7; 64], b"right", &mut rng).unwrap());
        let (one, other) = (bytes(), bytes());
        let same = one.iter().zip(other.iter()).skip(2).filter(|(one, other)| one == other).count();
        assert!(same < 8, "{same} of 112 bytes");
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let whole = decoded(KEY);
        // The keys of the whole container are used for each: the code alone must show the change.
        let keys = Keys::derive(PASSPHRASE, whole.first_chunk().unwrap()).unwrap();
        let opens = |bytes: &[u8]| {
            let sealed = Sealed::parse(Zeroizing::new(bytes.to_vec()));
            sealed.map(|sealed| sealed.contents(&keys).is_some()).map_err(|error| error.to_string())
        };
        assert_eq!(opens(&whole), Ok(true));
        for at in 0..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 2;
            assert_ne!(opens(&altered), Ok(true), "byte {at}");
        }
        // The code covers the kind, too.
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
                prop_assert!(sealed.contents(&Keys(Zeroizing::new([0; 64]))).is_none());
            }
        }
    }
}
