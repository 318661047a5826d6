//! PKCS#8 (RFC 5958), plain, or encrypted by PBES2 (RFC 8018): the form that openssl 3 writes, for keys of both versions.

use std::path::Path;

use pkcs8::der::{ErrorKind, Tag};
use pkcs8::{EncryptedPrivateKeyInfo, Error, PrivateKeyInfo, SecretDocument, pkcs5};
use rsa::RsaPrivateKey;

use super::passphrase::{PassphraseError, Passphrases};
use super::{Contents, KeyFileError};

/// The PEM label of a plain key.
pub const LABEL: &str = "PRIVATE KEY";
/// The PEM label of an encrypted one.
pub const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// Bytes that scrypt may take: eight times as many as openssl lets it have.
const MAX_SCRYPT_MEMORY: u64 = 1 << 28;
/// Bytes that it may go through: some seconds.
const MAX_SCRYPT_WORK: u64 = 1 << 30;

/// The bytes before a seed: 32 octets follow (RFC 8410, section 7).
pub const SEED_TAG: [u8; 2] = [0x04, 0x20];

/// The result of `act` on a plain key.
pub(super) fn open<T>(
    der: &[u8],
    act: impl Fn(Contents<'_>) -> Result<T, KeyFileError>,
) -> Result<T, KeyFileError> {
    open_info(PrivateKeyInfo::try_from(der).map_err(|_| KeyFileError::Damaged)?, act)
}

/// The result of `act` on the encrypted key in the file at `path`, opened with one of the passphrases.
pub(super) fn decrypt<T>(
    der: &[u8],
    path: &Path,
    passphrases: &Passphrases,
    act: impl Fn(Contents<'_>) -> Result<T, KeyFileError>,
) -> Result<T, KeyFileError> {
    let encrypted = EncryptedPrivateKeyInfo::try_from(der).map_err(unreadable)?;
    check_cost(&encrypted)?;
    passphrases.open(path, |passphrase| {
        let Some(decrypted) = try_passphrase(&encrypted, passphrase)? else { return Ok(None) };
        // DER of something else: a wrong passphrase, too.
        let Ok(info) = PrivateKeyInfo::try_from(decrypted.as_bytes()) else { return Ok(None) };
        open_info(info, &act).map(Some)
    })
}

fn open_info<T>(
    info: PrivateKeyInfo<'_>,
    act: impl Fn(Contents<'_>) -> Result<T, KeyFileError>,
) -> Result<T, KeyFileError> {
    match info.algorithm.oid {
        ed25519_dalek::pkcs8::ALGORITHM_OID => {
            // In the place where it was read: `ed25519`'s own type would be a copy that nobody wipes.
            let seed = info.private_key.strip_prefix(&SEED_TAG).and_then(|seed| seed.try_into().ok());
            act(Contents::Seed(seed.ok_or(KeyFileError::Damaged)?))
        }
        rsa::pkcs1::ALGORITHM_OID => {
            act(Contents::Rsa(&RsaPrivateKey::try_from(info).map_err(|_| KeyFileError::Damaged)?))
        }
        _ => Err(KeyFileError::Algorithm),
    }
}

fn unreadable(error: Error) -> KeyFileError {
    match error {
        // The old schemes are not even parsed.
        Error::Asn1(asn1) if matches!(asn1.kind(), ErrorKind::Value { tag: Tag::ObjectIdentifier }) => {
            PassphraseError::Cipher("a scheme older than PBES2".into()).into()
        }
        _ => KeyFileError::Damaged,
    }
}

/// scrypt's cost in a damaged file can be any number. `pkcs5` bounds the iterations of PBKDF2 itself.
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
        return Err(PassphraseError::Cipher("scrypt at a cost of more than 256 MiB".into()).into());
    }
    Ok(())
}

fn try_passphrase(
    encrypted: &EncryptedPrivateKeyInfo<'_>,
    passphrase: &[u8],
) -> Result<Option<SecretDocument>, KeyFileError> {
    match encrypted.decrypt(passphrase) {
        Ok(decrypted) => Ok(Some(decrypted)),
        // `pkcs5` calls a bad padding by either name. One wrong passphrase in 256 leaves a good padding behind; the bytes before
        // it are not even DER then.
        Err(
            Error::EncryptedPrivateKey(pkcs5::Error::DecryptFailed | pkcs5::Error::EncryptFailed)
            | Error::Asn1(_),
        ) => Ok(None),
        Err(error) => {
            Err(PassphraseError::Cipher(format!("PBES2 in a way that is unknown ({error})")).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use pkcs8::pkcs5::pbes2::{Kdf, Parameters, ScryptParams};
    use pkcs8::pkcs5::scrypt::Params;
    use zeroize::Zeroizing;

    use super::*;

    /// What becomes of an encrypted key whose scrypt has this N, r and p.
    fn open(cost: u64, block_size: u16, parallelization: u16) -> String {
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
        open_with(pbes2, "x")
    }

    /// What becomes of nonsense that is said to be encrypted in this way.
    fn open_with(pbes2: Parameters<'_>, passphrases: &str) -> String {
        let encrypted =
            EncryptedPrivateKeyInfo { encryption_algorithm: pbes2.into(), encrypted_data: &[1; 48] };
        let der = SecretDocument::encode_msg(&encrypted).unwrap();
        let passphrases = Passphrases::File { path: "pass".into(), text: Zeroizing::new(passphrases.into()) };
        decrypt(der.as_bytes(), Path::new("key"), &passphrases, |_| Ok(())).unwrap_err().to_string()
    }

    /// Of 2000 some eight leave a good padding behind; `pkcs8` finds that what is in front of it is no DER.
    #[test]
    fn a_wrong_passphrase_with_a_good_padding_is_a_wrong_passphrase() {
        let passphrases: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
        let pbes2 = Parameters::pbkdf2_sha256_aes256cbc(1, b"saltsalt", &[0; 16]).unwrap();
        let error = open_with(pbes2, &passphrases.join("\n"));
        assert!(error.starts_with("does not open with any passphrase"), "{error}");
    }

    #[test]
    fn no_cost_in_a_damaged_file_ends_the_process() {
        for (cost, block_size, parallelization) in [(1 << 14, 8, 1), (1 << 17, 8, 1)] {
            let error = open(cost, block_size, parallelization);
            assert!(error.starts_with("does not open with any passphrase"), "{error}");
        }
        for (cost, block_size, parallelization) in [
            (1 << 19, 8, 1),
            (1 << 60, 8, 1),
            (1 << 63, 8, 1),
            (1 << 14, u16::MAX, 1),
            (1 << 14, 8, u16::MAX),
        ] {
            let error = open(cost, block_size, parallelization);
            assert!(error.starts_with("is encrypted with scrypt at a cost"), "{error}");
        }
        for cost in [0, 3, u64::MAX] {
            assert!(open(cost, 8, 1).starts_with("holds a key that is cut or damaged"), "{cost}");
        }
    }
}
