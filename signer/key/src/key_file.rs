//! A key file of any kind, to be read.

use std::path::{Path, PathBuf};

use onionbalance_signer::keys::passphrase::{Passphrases, Source};
use onionbalance_signer::keys::v3::Contents;
use onionbalance_signer::keys::{self, pem_label, pkcs8, sealed, v2};
use onionbalance_signer::trust::Trust;
use onionbalance_signer::v2::secret::PermanentSecret;
use zeroize::Zeroizing;

use crate::Problem;
use crate::render::Key;

/// A file that was read, and is still closed.
pub(crate) struct KeyFile {
    path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
    passphrases: Passphrases,
}

impl KeyFile {
    /// Reads the file at `path`, which has to be its owner's alone as for serving, and the passphrases.
    pub(crate) fn read(path: &Path, passphrases: &Source) -> Result<Self, Problem> {
        let bytes = keys::read_key(path, &Trust::in_owner_of(path)).map_err(|error| problem(path, error))?;
        Ok(Self { path: path.to_owned(), bytes, passphrases: passphrases.read().map_err(Problem::new)? })
    }

    /// What `act` makes of the key.
    pub(crate) fn open<T>(&self, act: impl Fn(Key<'_>) -> Result<T, Problem>) -> Result<T, Problem> {
        let Self { path, bytes, passphrases } = self;
        let act_v2 = |secret: PermanentSecret| act(Key::V2(&secret));
        let act_v3 = |contents: Contents<'_>| Ok(act(Key::V3(contents)));
        keys::parse(bytes, path, passphrases, act_v2, act_v3).map_err(|error| problem(path, error))?
    }

    /// The name of its form, and whether that is an encrypted one.
    pub(crate) fn form(&self) -> (&'static str, bool) {
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
