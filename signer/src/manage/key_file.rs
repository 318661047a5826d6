//! A key file of any kind, to be read.

use std::path::{Path, PathBuf};

use ::pkcs8::PrivateKeyInfo;
use zeroize::Zeroizing;

use super::Problem;
use super::render::Key;
use crate::keys::passphrase::{Passphrases, Source};
use crate::keys::v3::Contents;
use crate::keys::{self, KeyFileError, pem_label, pkcs8, sealed, v2, v3};

/// A file that was read, and is still closed.
pub(super) struct KeyFile {
    path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
    passphrases: Passphrases,
}

impl KeyFile {
    /// Reads the file at `path`, which has to be its owner's alone as for serving, and the passphrases.
    pub(super) fn read(path: &Path, passphrases: &Source) -> Result<Self, Problem> {
        let bytes = keys::read_key(path).map_err(|error| problem(path, error))?;
        Ok(Self { path: path.to_owned(), bytes, passphrases: passphrases.read().map_err(Problem::new)? })
    }

    /// What `act` makes of the key.
    pub(super) fn open<T>(&self, act: impl Fn(Key<'_>) -> Result<T, Problem>) -> Result<T, Problem> {
        self.parse(act).map_err(|error| problem(&self.path, error))?
    }

    fn parse<T>(&self, act: impl Fn(Key<'_>) -> T) -> Result<T, KeyFileError> {
        let Self { path, bytes, passphrases } = self;
        let act_v3 = |contents: Contents<'_>| Ok(act(Key::V3(contents)));
        let either = |info: PrivateKeyInfo<'_>| {
            if v2::is_rsa(&info) {
                Ok(act(Key::V2(&v2::secret(info)?)))
            } else {
                Ok::<_, KeyFileError>(v3::pem::with_seed(&info, act_v3)?)
            }
        };
        match (self.label(), std::str::from_utf8(bytes)) {
            (Some(pkcs8::LABEL), Ok(text)) => pkcs8::parse(text, either),
            (Some(pkcs8::ENCRYPTED_LABEL), Ok(text)) => pkcs8::decrypt(text, path, passphrases, either),
            (Some(v2::LABEL), _) => Ok(act(Key::V2(&v2::parse(bytes, path, passphrases)?))),
            _ => Ok(v3::parse(bytes, path, passphrases, act_v3)?),
        }
    }

    /// The name of its form, and whether that is an encrypted one.
    pub(super) fn form(&self) -> (&'static str, bool) {
        match self.label() {
            Some(pkcs8::LABEL) => ("PKCS#8", false),
            Some(pkcs8::ENCRYPTED_LABEL) => ("PKCS#8", true),
            Some(sealed::LABEL) => ("sealed", true),
            Some(v2::LABEL) => ("PKCS#1, as in tor's private_key", self.is_encrypted_pkcs1()),
            _ => ("tor's hs_ed25519_secret_key", false),
        }
    }

    fn label(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok().and_then(pem_label)
    }

    fn is_encrypted_pkcs1(&self) -> bool {
        std::str::from_utf8(&self.bytes).is_ok_and(v2::is_encrypted)
    }
}

fn problem(path: &Path, error: impl std::fmt::Display) -> Problem {
    Problem::new(format_args!("the key file {} {error}", path.display()))
}
