//! Reads files with secrets, whole and without a copy that is not wiped. [`onionbalance_trust`] has the rule
//! for the writers and the readers of a key.
//!
//! ```
//! use std::fs::{self, Permissions};
//! use std::os::unix::fs::PermissionsExt;
//!
//! use onionbalance_key_file::read::{ReadError, read_key};
//! use onionbalance_trust::Trust;
//!
//! # let directory = std::env::temp_dir().join(format!("onionbalance-read-key-{}", std::process::id()));
//! # fs::create_dir(&directory)?;
//! let path = directory.join("front.pem");
//! fs::copy("../../proto/testdata/v3/front.pem", &path)?;
//! let trust = Trust::in_this_process(|_| Ok(Vec::new()));
//!
//! fs::set_permissions(&path, Permissions::from_mode(0o666))?;
//! assert!(matches!(read_key(&path, &trust), Err(ReadError::Trust(_))));
//! fs::set_permissions(&path, Permissions::from_mode(0o600))?;
//! assert_eq!(read_key(&path, &trust)?.len(), 119);
//! assert!(matches!(read_key(&directory, &trust), Err(ReadError::Directory(None))));
//! # fs::remove_dir_all(&directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use onionbalance_trust::{Trust, TrustError};
use zeroize::Zeroizing;

use crate::{MAX_LENGTH, TORS_NAMES};

/// The first capacity of a buffer, in bytes. Only a delegation is larger.
const USUAL_LENGTH: usize = 16 * 1024;

/// A file with a secret cannot be read. The message follows the name of the file.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The path is a directory; the path of the key file in it if it is tor's `HiddenServiceDir`, else
    /// `None`.
    #[error("is a directory: name the key file in it{}", .0.as_ref().map(|path| format!(", {}", path.display())).unwrap_or_default())]
    Directory(Option<PathBuf>),
    /// The path is something else that is not a file: a socket, a pipe or a device.
    #[error("is {0}: name a key file")]
    Kind(&'static str),
    /// The file cannot be read.
    #[error("cannot be read: {0}; check the path and that the signer's user may read it")]
    Io(#[from] io::Error),
    /// The file, or a directory or link on the way to it, can be changed or read by other users.
    #[error(transparent)]
    Trust(TrustError),
    /// The file is longer than [`MAX_LENGTH`].
    #[error("is too long: a file with a key or passphrases has at most {MAX_LENGTH} bytes")]
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

/// The contents of the key file at `path`, at most [`MAX_LENGTH`] bytes, for [`KeyFile::parse`]. The file
/// that was judged is the file that is read.
///
/// # Errors
/// - [`ReadError::Directory`], [`ReadError::Kind`]: it is not a file.
/// - [`ReadError::Trust`]: other users can read or change it.
/// - [`ReadError::TooLong`]: it has more than [`MAX_LENGTH`] bytes.
/// - [`ReadError::Io`]: it is missing or cannot be read.
///
/// [`KeyFile::parse`]: crate::KeyFile::parse
pub fn read_key(path: &Path, trust: &Trust) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let found = trust.find(path)?;
    // Judged before it is opened: to open a device may have effects, and the error of a socket does not help.
    must_be_file(path, found.metadata())?;
    read_all(found.open_key()?)
}

fn must_be_file(path: &Path, found: &Metadata) -> Result<(), ReadError> {
    let kind = found.file_type();
    if kind.is_file() {
        return Ok(());
    }
    if kind.is_dir() {
        let inside = TORS_NAMES.map(|name| path.join(name)).into_iter().find(|path| path.is_file());
        return Err(ReadError::Directory(inside));
    }
    Err(ReadError::Kind(if kind.is_socket() {
        "a socket"
    } else if kind.is_fifo() {
        "a pipe"
    } else {
        "a device"
    }))
}

/// The contents of the file at `path`. Its owner and mode are not judged. Fails if it cannot be read or is
/// too long.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    read_all(File::open(path)?)
}

fn read_all(file: File) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    // Room for the whole from the start: a buffer that grew would leave copies behind. A pipe reports the
    // length 0.
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(MAX_LENGTH);
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.clamp(USUAL_LENGTH, MAX_LENGTH) + 1));
    file.take(MAX_LENGTH as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_LENGTH { Err(ReadError::TooLong) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_a_device_and_a_directory_are_refused() {
        let read = |path: &str| {
            read_key(Path::new(path), &Trust::in_this_process(|_| Ok(Vec::new()))).map(drop).unwrap_err()
        };
        assert!(matches!(read("/nonexistent"), ReadError::Io(_)));
        assert!(matches!(read("/dev/zero"), ReadError::Kind(_)));
        assert!(matches!(read("/proc"), ReadError::Directory(None)));
    }
}
