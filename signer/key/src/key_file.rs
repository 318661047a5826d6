//! Reading a key file of any kind.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use onionbalance_key_file::passphrase::{Passphrases, Source};
use onionbalance_key_file::pem::Pem;
use onionbalance_key_file::read::read_key;
use onionbalance_key_file::{Key, PKCS1_LABEL, SEALED_LABEL, pkcs8};
use onionbalance_signer::system::access_list;
use onionbalance_trust::Trust;
use zeroize::Zeroizing;

use crate::Problem;
use crate::encoded::Encoded;

/// A key file that was read but not decrypted.
pub(crate) struct KeyFile {
    path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
    passphrases: Passphrases,
    /// True if the file held tor's key in base64.
    is_encoded: bool,
    hostname: Option<String>,
}

impl KeyFile {
    /// Reads the file at `path` and the passphrases. Fails if either cannot be read, or if others than its
    /// owner can read or write the key file, as for the signer.
    pub(crate) fn read(path: &Path, passphrases: &Source) -> Result<Self, Problem> {
        let trust = Trust::in_this_process(access_list::read).in_owner_of(path);
        let bytes = read_key(path, &trust).map_err(|error| problem(path, error))?;
        let passphrases = passphrases.read().map_err(Problem::new)?;
        let path = path.to_owned();
        Ok(match Encoded::find(&bytes).map_err(|error| problem(&path, error))? {
            None => Self { path, bytes, passphrases, is_encoded: false, hostname: None },
            Some(Encoded { file, hostname }) => {
                Self { path, bytes: file, passphrases, is_encoded: true, hostname }
            }
        })
    }

    /// The key. Fails if the file is not a key file, or if no passphrase opens it.
    pub(crate) fn open(&self) -> Result<Key, Problem> {
        self.passphrases.open(&self.bytes, &self.path).map_err(|error| problem(&self.path, error))
    }

    /// The address in the file's own text; `None`: there is none.
    pub(crate) fn hostname(&self) -> Option<&str> {
        self.hostname.as_deref()
    }

    /// The name of its form, and true if that is encrypted.
    pub(crate) fn form(&self) -> (&'static str, bool) {
        let pem = match Pem::find(&self.bytes) {
            Some(pem) => pem,
            None if self.is_encoded => return ("tor's hs_ed25519_secret_key, in base64", false),
            None => return ("tor's hs_ed25519_secret_key", false),
        };
        match pem.label {
            pkcs8::LABEL => ("PKCS#8", false),
            pkcs8::ENCRYPTED_LABEL => ("PKCS#8", true),
            PKCS1_LABEL => ("PKCS#1, as in tor's private_key", pem.is_encrypted()),
            SEALED_LABEL => ("sealed", true),
            _ => ("unknown", false),
        }
    }
}

fn problem(path: &Path, error: impl Display) -> Problem {
    Problem::new(format_args!("the key file {} {error}", path.display()))
}
