//! PKCS#8 (RFC 5958), plain, or encrypted by PBES2 (RFC 8018): the form that openssl 3 writes, for keys of
//! both versions.
//!
//! Of an ed25519 key it holds the seed (RFC 8410). Tor's expanded key has no such form, because the seed
//! cannot be computed from it.
//!
//! The reader takes PBES2 with PBKDF2 or scrypt, and with AES or 3DES in CBC mode. The writer uses scrypt
//! with AES-256-CBC.
//!
//! ```
//! use onionbalance_key_file::{Key, KeyFile, pem, pkcs8};
//!
//! let der = pkcs8::from_seed(&[7; 32])?;
//! let file = pem::encode(pkcs8::LABEL, der.as_bytes());
//! assert!(matches!(KeyFile::parse(&file)?, KeyFile::Plain(Key::Seed(seed)) if **seed == [7; 32]));
//!
//! let encrypted = pkcs8::encrypt(&der, b"passphrase", &mut rand_core::OsRng)?;
//! let file = pem::encode(pkcs8::ENCRYPTED_LABEL, encrypted.as_bytes());
//! assert!(matches!(KeyFile::parse(&file)?, KeyFile::Encrypted(_)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use ed25519_dalek::pkcs8::ALGORITHM_OID as ED25519;
use pkcs8::der::{ErrorKind, Tag};
use pkcs8::pkcs5::pbes2::Parameters;
use pkcs8::{AlgorithmIdentifierRef, EncryptedPrivateKeyInfo, Error, PrivateKeyInfo, SecretDocument, pkcs5};
use rand_core::CryptoRngCore;
use rsa::RsaPrivateKey;
use rsa::pkcs1::ALGORITHM_OID as RSA;
use zeroize::Zeroizing;

use super::{Key, KeyFileError, sealed, secret_array};

/// The PEM label of a plain key.
pub const LABEL: &str = "PRIVATE KEY";
/// The PEM label of an encrypted one.
pub const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// The most memory that scrypt may use, in bytes: eight times openssl's limit.
const MAX_SCRYPT_MEMORY: u64 = 1 << 28;
/// The most work that scrypt may do, in bytes that it processes: some seconds.
const MAX_SCRYPT_WORK: u64 = 1 << 30;

/// The bytes before a seed of 32 octets (RFC 8410, section 7).
const SEED_TAG: [u8; 2] = [0x04, 0x20];

/// Reads a key in DER. Fails if it is damaged, or neither ed25519 nor RSA.
pub(crate) fn parse(der: &[u8]) -> Result<Key, KeyFileError> {
    key(PrivateKeyInfo::try_from(der).map_err(|_| KeyFileError::Damaged)?)
}

fn key(info: PrivateKeyInfo<'_>) -> Result<Key, KeyFileError> {
    match info.algorithm.oid {
        ED25519 => {
            // Copied from the bytes that were read: `ed25519`'s own type would be a copy that is not wiped.
            let seed = info.private_key.strip_prefix(&SEED_TAG).and_then(secret_array);
            seed.map(Key::Seed).ok_or(KeyFileError::Damaged)
        }
        RSA => RsaPrivateKey::try_from(info).map(Key::from).map_err(|_| KeyFileError::Damaged),
        _ => Err(KeyFileError::Algorithm),
    }
}

/// An encrypted key, in DER. Its parameters are known to be bounded: scrypt takes at most 256 MiB.
pub struct Encrypted(Zeroizing<Vec<u8>>);

impl Encrypted {
    pub(crate) fn parse(der: Zeroizing<Vec<u8>>) -> Result<Self, KeyFileError> {
        info(&der)?;
        Ok(Self(der))
    }

    pub(crate) fn open(&self, passphrase: &[u8]) -> Result<Option<Key>, KeyFileError> {
        let decrypted = match info(&self.0)?.decrypt(passphrase) {
            Ok(decrypted) => decrypted,
            // `pkcs5` uses both errors for a bad padding. One wrong passphrase in 256 yields a good padding;
            // the bytes before it are not DER then.
            Err(
                Error::EncryptedPrivateKey(pkcs5::Error::DecryptFailed | pkcs5::Error::EncryptFailed)
                | Error::Asn1(_),
            ) => return Ok(None),
            Err(error) => {
                return Err(KeyFileError::Cipher(format!("PBES2 in a way that is unknown ({error})")));
            }
        };
        // DER of something else is a wrong passphrase, too.
        PrivateKeyInfo::try_from(decrypted.as_bytes()).ok().map(key).transpose()
    }
}

/// The parameters of encryption, and the ciphertext.
fn info(der: &[u8]) -> Result<EncryptedPrivateKeyInfo<'_>, KeyFileError> {
    let info = EncryptedPrivateKeyInfo::try_from(der).map_err(|error| match error {
        // `pkcs8` does not parse schemes older than PBES2.
        Error::Asn1(asn1) if matches!(asn1.kind(), ErrorKind::Value { tag: Tag::ObjectIdentifier }) => {
            KeyFileError::Cipher("a scheme older than PBES2".into())
        }
        _ => KeyFileError::Damaged,
    })?;
    check_cost(&info)?;
    Ok(info)
}

/// Fails if scrypt's cost is too high: in a damaged file it can be any number. `pkcs5` bounds the iterations
/// of PBKDF2 itself.
fn check_cost(encrypted: &EncryptedPrivateKeyInfo<'_>) -> Result<(), KeyFileError> {
    let Some(scrypt) = encrypted.encryption_algorithm.pbes2().and_then(|pbes2| pbes2.kdf.scrypt()) else {
        return Ok(());
    };
    let memory = scrypt.cost_parameter.saturating_mul(128 * u64::from(scrypt.block_size));
    let work = memory.saturating_mul(scrypt.parallelization.into());
    if !scrypt.cost_parameter.is_power_of_two() {
        return Err(KeyFileError::Damaged);
    }
    if memory > MAX_SCRYPT_MEMORY || work > MAX_SCRYPT_WORK {
        return Err(KeyFileError::Cipher("scrypt at a cost of more than 256 MiB".into()));
    }
    Ok(())
}

/// The DER of a seed (RFC 8410), 48 bytes, without the public key: openssl 3.0 does not read a key that has
/// it.
///
/// # Errors
/// The DER encoder fails.
pub fn from_seed(seed: &[u8; 32]) -> pkcs8::Result<SecretDocument> {
    let octets = Zeroizing::new([&SEED_TAG[..], &seed[..]].concat());
    let algorithm = AlgorithmIdentifierRef { oid: ED25519, parameters: None };
    PrivateKeyInfo::new(algorithm, &octets).try_into()
}

/// Encrypts a key: PBES2 with scrypt and AES-256-CBC (RFC 8018, RFC 7914), at the cost of
/// [`sealed`] containers. `rng` gives a salt and an IV of 16 bytes each.
///
/// # Errors
/// `key` is not PKCS#8, or scrypt fails on this machine.
pub fn encrypt(
    key: &SecretDocument,
    passphrase: &[u8],
    rng: &mut impl CryptoRngCore,
) -> pkcs8::Result<SecretDocument> {
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    rng.fill_bytes(&mut salt);
    rng.fill_bytes(&mut iv);
    let parameters = Parameters::scrypt_aes256cbc(sealed::cost()?, &salt, &iv)?;
    PrivateKeyInfo::try_from(key.as_bytes())?.encrypt_with_params(parameters, passphrase)
}

#[cfg(test)]
mod tests {
    use pkcs8::pkcs5::pbes2::{Kdf, ScryptParams};
    use pkcs8::pkcs5::scrypt::Params;

    use super::*;

    /// True if an encrypted key with these N, r and p of scrypt opens.
    fn opens(cost: u64, block_size: u16, parallelization: u16) -> Result<bool, String> {
        let params = Params::new(14, 8, 1, 32).unwrap();
        let mut pbes2 = Parameters::scrypt_aes256cbc(params, b"salt", &[0; 16]).unwrap();
        let salt = b"salt";
        pbes2.kdf = Kdf::Scrypt(ScryptParams {
            salt,
            cost_parameter: cost,
            block_size,
            parallelization,
            key_length: None,
        });
        encrypted(pbes2)?.open(b"x").map(|key| key.is_some()).map_err(|error| error.to_string())
    }

    /// A key file with these parameters, and a ciphertext of no key.
    fn encrypted(pbes2: Parameters<'_>) -> Result<Encrypted, String> {
        let info = EncryptedPrivateKeyInfo { encryption_algorithm: pbes2.into(), encrypted_data: &[1; 48] };
        let der = SecretDocument::encode_msg(&info).unwrap();
        Encrypted::parse(der.to_bytes()).map_err(|error| error.to_string())
    }

    /// Of 2000 wrong passphrases about eight yield a good padding, before which `pkcs8` finds bytes that are
    /// not DER.
    #[test]
    fn a_wrong_passphrase_with_a_good_padding_is_a_wrong_passphrase() {
        let pbes2 = Parameters::pbkdf2_sha256_aes256cbc(1, b"saltsalt", &[0; 16]).unwrap();
        let encrypted = encrypted(pbes2).unwrap();
        for number in 0..2000 {
            assert!(matches!(encrypted.open(number.to_string().as_bytes()), Ok(None)), "{number}");
        }
    }

    #[test]
    fn no_cost_in_a_damaged_file_ends_the_process() {
        for (cost, block_size, parallelization) in [(1 << 14, 8, 1), (1 << 17, 8, 1)] {
            assert_eq!(opens(cost, block_size, parallelization), Ok(false));
        }
        for (cost, block_size, parallelization) in [
            (1 << 19, 8, 1),
            (1 << 60, 8, 1),
            (1 << 63, 8, 1),
            (1 << 14, u16::MAX, 1),
            (1 << 14, 8, u16::MAX),
        ] {
            let error = opens(cost, block_size, parallelization).unwrap_err();
            assert!(error.starts_with("is encrypted with scrypt at a cost"), "{error}");
        }
        for cost in [0, 3, u64::MAX] {
            assert!(
                opens(cost, 8, 1).unwrap_err().starts_with("holds a key that is cut or damaged"),
                "{cost}"
            );
        }
    }
}
