//! The contents of a key file: each kind of key has one plain form and one encrypted one.

use std::path::Path;

use onionbalance_key_file::passphrase::Source;
use onionbalance_key_file::sealed::{Kind, seal};
use onionbalance_key_file::{Key, TOR_TAG, pem, pkcs8};
use rand_core::OsRng;
use rsa::pkcs8::{EncodePrivateKey, SecretDocument};
use zeroize::Zeroizing;

use crate::{Problem, new_passphrase};

/// The protection of a written file.
pub(crate) enum Protection {
    /// The file's mode alone.
    Plain,
    /// Encryption under this passphrase.
    Passphrase(Zeroizing<Vec<u8>>),
}

impl Protection {
    /// The file's mode alone with `--plain`, else the passphrase for the file at `path`. Fails if the
    /// passphrase cannot be read.
    pub(crate) fn choose(plain: bool, source: &Source, path: &Path) -> Result<Self, Problem> {
        if plain { Ok(Self::Plain) } else { new_passphrase::read(source, path).map(Self::Passphrase) }
    }
}

/// The contents of the file for a key. Fails for a delegation without encryption.
pub(crate) fn render(key: &Key, protection: &Protection) -> Result<Zeroizing<Vec<u8>>, Problem> {
    match (key, protection) {
        (Key::Rsa(key), _) => {
            key.to_pkcs8_der().map_err(Problem::new).and_then(|key| in_pkcs8(&key, protection))
        }
        (Key::Seed(seed), _) => {
            pkcs8::from_seed(seed).map_err(Problem::new).and_then(|key| in_pkcs8(&key, protection))
        }
        (Key::Expanded(key), Protection::Plain) => Ok(Zeroizing::new([&TOR_TAG[..], &key[..]].concat())),
        (Key::Expanded(key), Protection::Passphrase(passphrase)) => {
            sealed(Kind::ExpandedKey, &key[..], passphrase)
        }
        (Key::Delegation(_), Protection::Plain) => {
            Err(Problem::new("a delegation is never written without encryption: leave out --plain"))
        }
        (Key::Delegation(bytes), Protection::Passphrase(passphrase)) => {
            sealed(Kind::Delegation, bytes, passphrase)
        }
    }
}

fn in_pkcs8(key: &SecretDocument, protection: &Protection) -> Result<Zeroizing<Vec<u8>>, Problem> {
    match protection {
        Protection::Plain => Ok(pem::encode(pkcs8::LABEL, key.as_bytes())),
        Protection::Passphrase(passphrase) => {
            let encrypted = pkcs8::encrypt(key, passphrase, &mut OsRng).map_err(Problem::new)?;
            Ok(pem::encode(pkcs8::ENCRYPTED_LABEL, encrypted.as_bytes()))
        }
    }
}

fn sealed(kind: Kind, contents: &[u8], passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, Problem> {
    seal(kind, contents, passphrase, &mut OsRng)
        .ok_or_else(|| Problem::new("scrypt does not work on this machine"))
}
