//! The contents of a key file: each kind of key has one plain form and one encrypted one.

use std::path::Path;

use ed25519_dalek::pkcs8::ALGORITHM_OID;
use onionbalance_signer::keys::passphrase::Source;
use onionbalance_signer::keys::pkcs8::{self as files, SEED_TAG};
use onionbalance_signer::keys::sealed::{self, Kind};
use onionbalance_signer::keys::{Contents, TOR_TAG};
use pkcs8::der::pem::LineEnding;
use pkcs8::pkcs5::pbes2::Parameters;
use pkcs8::{AlgorithmIdentifierRef, PrivateKeyInfo, SecretDocument};
use rand_core::{OsRng, RngCore};
use rsa::pkcs8::EncodePrivateKey;
use zeroize::Zeroizing;

use crate::{Problem, new_passphrase};

/// How a file is to be protected.
pub(crate) enum Protection {
    /// By its mode alone.
    Plain,
    /// By a passphrase.
    Passphrase(Zeroizing<Vec<u8>>),
}

impl Protection {
    /// None with `--plain`, else the passphrase for the file at `path`.
    pub(crate) fn choose(plain: bool, source: &Source, path: &Path) -> Result<Self, Problem> {
        if plain { Ok(Self::Plain) } else { new_passphrase::read(source, path).map(Self::Passphrase) }
    }
}

/// The file for a key.
pub(crate) fn render(contents: Contents<'_>, protection: &Protection) -> Result<Zeroizing<Vec<u8>>, Problem> {
    match contents {
        Contents::Rsa(key) => {
            key.to_pkcs8_der().map_err(Problem::new).and_then(|key| pkcs8(&key, protection))
        }
        Contents::Seed(seed) => from_seed(seed).and_then(|key| pkcs8(&key, protection)),
        Contents::Expanded(key) => match protection {
            Protection::Plain => Ok(Zeroizing::new([&TOR_TAG[..], &key[..]].concat())),
            Protection::Passphrase(passphrase) => seal(Kind::ExpandedKey, &key[..], passphrase),
        },
        Contents::Delegation(bytes) => match protection {
            Protection::Plain => {
                Err(Problem::new("a delegation is never written without encryption: leave out --plain"))
            }
            Protection::Passphrase(passphrase) => seal(Kind::Delegation, bytes, passphrase),
        },
    }
}

/// The seed as RFC 8410 has it, without the public key: openssl 3.0 does not read what has that.
fn from_seed(seed: &[u8; 32]) -> Result<SecretDocument, Problem> {
    let octets = Zeroizing::new([&SEED_TAG[..], &seed[..]].concat());
    let algorithm = AlgorithmIdentifierRef { oid: ALGORITHM_OID, parameters: None };
    PrivateKeyInfo::new(algorithm, &octets).try_into().map_err(|error: ::pkcs8::Error| Problem::new(error))
}

fn seal(kind: Kind, plaintext: &[u8], passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let sealed = crate::seal::seal(kind, plaintext, passphrase, &mut OsRng);
    sealed.map(|text| Zeroizing::new(text.into_bytes())).ok_or_else(no_encryption)
}

fn pkcs8(key: &SecretDocument, protection: &Protection) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let pem = match protection {
        Protection::Plain => key.to_pem(files::LABEL, LineEnding::LF),
        Protection::Passphrase(passphrase) => {
            encrypt(key, passphrase)?.to_pem(files::ENCRYPTED_LABEL, LineEnding::LF)
        }
    };
    pem.map(|pem| Zeroizing::new(pem.as_bytes().to_vec())).map_err(Problem::new)
}

/// PBES2 with scrypt and AES-256-CBC (RFC 8018, RFC 7914).
fn encrypt(key: &SecretDocument, passphrase: &[u8]) -> Result<SecretDocument, Problem> {
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    OsRng.fill_bytes(&mut salt);
    OsRng.fill_bytes(&mut iv);
    let cost = sealed::cost().ok_or_else(no_encryption)?;
    let parameters = Parameters::scrypt_aes256cbc(cost, &salt, &iv)
        .map_err(|error| Problem::new(format_args!("{error}")))?;
    let info = PrivateKeyInfo::try_from(key.as_bytes()).map_err(Problem::new)?;
    info.encrypt_with_params(parameters, passphrase).map_err(Problem::new)
}

fn no_encryption() -> Problem {
    Problem::new("scrypt does not work on this machine")
}
