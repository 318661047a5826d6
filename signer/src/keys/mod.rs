//! Reads key files.

mod kind;
pub mod passphrase;
pub mod pkcs8;
pub mod sealed;
pub mod terminal;
pub mod v2;
pub mod v3;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ::pkcs8::PrivateKeyInfo;
use zeroize::Zeroizing;

pub use self::kind::KindError;
use self::passphrase::Passphrases;
use self::v3::Contents;
use crate::trust::{Trust, TrustError};
use crate::v2::secret::PermanentSecret;
use crate::v3::authority::Authority;

/// Larger than any file with a key or passphrases but a delegation.
const USUAL_LENGTH: usize = 16 * 1024;
/// More is not read; a delegation for three years takes less.
pub const MAX_LENGTH: usize = 6 * 1024 * 1024;

/// Why a file with a secret in it cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A directory, or something else that is no file.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// It cannot be read.
    #[error("cannot be read: {0}; check the path and that the signer's user may read it")]
    Io(#[from] io::Error),
    /// It is not ours alone.
    #[error(transparent)]
    Trust(TrustError),
    /// Too long for a key or a passphrase.
    #[error("is too long: no file with a key or a passphrase has more than {MAX_LENGTH} bytes")]
    TooLong,
}

impl From<TrustError> for ReadError {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::Io(error) => Self::Io(error),
            error => Self::Trust(error),
        }
    }
}

/// Why a key file of either version holds no usable key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Of version 2.
    #[error(transparent)]
    V2(#[from] v2::KeyFileError),
    /// Of version 3.
    #[error(transparent)]
    V3(#[from] v3::KeyFileError),
    /// PKCS#8, of which it is not known yet.
    #[error(transparent)]
    Pkcs8(#[from] pkcs8::Pkcs8Error),
}

/// A service's secret, whose version is the service's.
pub enum Secret {
    /// Of version 2.
    V2(PermanentSecret),
    /// Of version 3.
    V3(Authority),
}

/// Reads the key in the file at `path`, which may be of either version, with one of the passphrases if it is encrypted.
pub fn load(path: &Path, trust: &Trust, passphrases: &Passphrases) -> Result<Secret, KeyFileError> {
    let act_v3 = |contents: Contents<'_>| v3::authority(contents).map(Secret::V3);
    parse(&read_key(path, trust)?, path, passphrases, Secret::V2, act_v3)
}

/// What `act_v2` or `act_v3` makes of the key in the file at `path`, which holds these bytes.
pub fn parse<T>(
    bytes: &[u8],
    path: &Path,
    passphrases: &Passphrases,
    act_v2: impl Fn(PermanentSecret) -> T,
    act_v3: impl Fn(Contents<'_>) -> Result<T, v3::KeyFileError>,
) -> Result<T, KeyFileError> {
    let either = |info: PrivateKeyInfo<'_>| {
        if v2::is_rsa(&info) {
            Ok(act_v2(v2::secret(info)?))
        } else {
            Ok::<_, KeyFileError>(v3::pem::with_seed(&info, &act_v3)?)
        }
    };
    let text = std::str::from_utf8(bytes).ok();
    match (text.and_then(pem_label), text) {
        (Some(pkcs8::LABEL), Some(text)) => pkcs8::parse(text, either),
        (Some(pkcs8::ENCRYPTED_LABEL), Some(text)) => pkcs8::decrypt(text, path, passphrases, either),
        (Some(v2::LABEL), _) => Ok(act_v2(v2::parse(bytes, path, passphrases)?)),
        _ => Ok(v3::parse(bytes, path, passphrases, act_v3)?),
    }
}

/// All of the key file at `path`, which nobody else may read or change.
pub fn read_key(path: &Path, trust: &Trust) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let found = trust.find(path)?;
    // Before it is opened: a device may do something then, and a socket says nothing that helps.
    kind::check(path, found.metadata())?;
    read_all(found.open_key()?)
}

/// All of the file at `path`, which is wiped when it is dropped.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    read_all(File::open(path)?)
}

fn read_all(file: File) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    // Room for the whole from the start: a buffer that grew would leave copies behind. A pipe says that it has no length.
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(MAX_LENGTH);
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.clamp(USUAL_LENGTH, MAX_LENGTH) + 1));
    file.take(MAX_LENGTH as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_LENGTH { Err(ReadError::TooLong) } else { Ok(bytes) }
}

/// A copy of a key file that nobody else may read: those of the tests' data are everybody's.
#[cfg(test)]
pub(crate) fn private_copy(path: &Path) -> tempfile::NamedTempFile {
    let copy = tempfile::NamedTempFile::new().unwrap_or_else(|error| panic!("no temporary file: {error}"));
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    std::fs::write(copy.path(), bytes).unwrap_or_else(|error| panic!("{}: {error}", copy.path().display()));
    copy
}

/// What stands behind `BEGIN` in the first line of a PEM file.
pub fn pem_label(text: &str) -> Option<&str> {
    text.trim_start().strip_prefix("-----BEGIN ")?.split_once("-----").map(|(label, _)| label)
}
