//! A key file of any kind, to be read.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Problem;
use super::render::Key;
use crate::keys::passphrase::{Passphrases, Source};
use crate::keys::v3::Contents;
use crate::keys::{self, pem_label, pkcs8, sealed, v2};
use crate::trust::Trust;
use crate::v2::secret::PermanentSecret;

/// A file that was read, and is still closed.
pub(super) struct KeyFile {
    path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
    passphrases: Passphrases,
}

impl KeyFile {
    /// Reads the file at `path`, which has to be its owner's alone as for serving, and the passphrases.
    pub(super) fn read(path: &Path, passphrases: &Source) -> Result<Self, Problem> {
        let bytes = keys::read_key(path, &Trust::in_owner_of(path)).map_err(|error| problem(path, error))?;
        Ok(Self { path: path.to_owned(), bytes, passphrases: passphrases.read().map_err(Problem::new)? })
    }

    /// What `act` makes of the key.
    pub(super) fn open<T>(&self, act: impl Fn(Key<'_>) -> Result<T, Problem>) -> Result<T, Problem> {
        let Self { path, bytes, passphrases } = self;
        let act_v2 = |secret: PermanentSecret| act(Key::V2(&secret));
        let act_v3 = |contents: Contents<'_>| Ok(act(Key::V3(contents)));
        keys::parse(bytes, path, passphrases, act_v2, act_v3).map_err(|error| problem(path, error))?
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
