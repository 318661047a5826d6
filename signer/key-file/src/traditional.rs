//! The encryption of PEM files that openssl used before PKCS#8: `Proc-Type: 4,ENCRYPTED` (RFC 1421), with one
//! round of MD5 from the passphrase to the key.

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipher, BlockDecryptMut, KeyInit, KeyIvInit};
use data_encoding::HEXUPPER_PERMISSIVE;
use des::{Des, TdesEde3};
use md5::{Digest, Md5};
use rsa::RsaPrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey;
use zeroize::Zeroizing;

use super::KeyFileError;
use super::pem::Pem;

/// The length of the salt, the beginning of the initialization vector, in bytes (openssl: `PKCS5_SALT_LEN`).
const SALT_LENGTH: usize = 8;

/// An encrypted key.
pub struct Encrypted {
    cipher: Cipher,
    iv: Vec<u8>,
    ciphertext: Zeroizing<Vec<u8>>,
}

impl Encrypted {
    /// Reads the header with the cipher and the initialization vector, and the ciphertext. Fails if the
    /// header is malformed, names another cipher, or if the base64 is damaged.
    pub(crate) fn parse(pem: &Pem<'_>) -> Result<Self, KeyFileError> {
        let info = pem.header("DEK-Info").and_then(|info| info.split_once(','));
        let (name, iv) = info.ok_or(KeyFileError::Header)?;
        let cipher = Cipher::named(name).ok_or_else(|| KeyFileError::Cipher(name.to_owned()))?;
        let iv = HEXUPPER_PERMISSIVE
            .decode(iv.trim().as_bytes())
            .ok()
            .filter(|iv| iv.len() == cipher.block_length)
            .ok_or(KeyFileError::Header)?;
        Ok(Self { cipher, iv, ciphertext: pem.decode()? })
    }

    /// The key. `None`: the passphrase is wrong, because the padding is bad or the contents are not a key.
    pub(crate) fn open(&self, passphrase: &[u8]) -> Option<RsaPrivateKey> {
        let key = bytes_to_key(passphrase, self.iv.get(..SALT_LENGTH)?, self.cipher.key_length);
        let mut text = self.ciphertext.clone();
        let length = (self.cipher.decrypt)(&key, &self.iv, &mut text)?;
        RsaPrivateKey::from_pkcs1_der(text.get(..length)?).ok()
    }
}

/// Decrypts in place with a key and an initialization vector. The result is the length of the plaintext
/// without its padding, in bytes; `None`: the padding is bad.
type Decrypt = fn(&[u8], &[u8], &mut [u8]) -> Option<usize>;

/// A cipher in CBC mode. Lengths are in bytes.
struct Cipher {
    key_length: usize,
    block_length: usize,
    decrypt: Decrypt,
}

impl Cipher {
    /// The cipher of openssl's `-des`, `-des3` or `-aes…`; `None` for any other name.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "DES-CBC" => Self::new::<Des>(),
            "DES-EDE3-CBC" => Self::new::<TdesEde3>(),
            "AES-128-CBC" => Self::new::<Aes128>(),
            "AES-192-CBC" => Self::new::<Aes192>(),
            "AES-256-CBC" => Self::new::<Aes256>(),
            _ => return None,
        })
    }

    fn new<C: BlockCipher + BlockDecryptMut + KeyInit>() -> Self {
        Self { key_length: C::key_size(), block_length: C::block_size(), decrypt: decrypt::<C> }
    }
}

fn decrypt<C: BlockCipher + BlockDecryptMut + KeyInit>(
    key: &[u8],
    iv: &[u8],
    text: &mut [u8],
) -> Option<usize> {
    let cipher = cbc::Decryptor::<C>::new_from_slices(key, iv).ok()?;
    cipher.decrypt_padded_mut::<Pkcs7>(text).ok().map(<[u8]>::len)
}

/// The key of `length` bytes that openssl derives (`EVP_BytesToKey` with MD5 and one iteration).
fn bytes_to_key(passphrase: &[u8], salt: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(length + 16));
    let mut block: Zeroizing<Vec<u8>> = Zeroizing::default();
    while key.len() < length {
        let digest = Md5::new().chain_update(&block).chain_update(passphrase).chain_update(salt).finalize();
        block = Zeroizing::new(digest.to_vec());
        key.extend_from_slice(&block);
    }
    key.truncate(length);
    key
}
