//! Whether a path leads to a file at all.

use std::fs::Metadata;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Tor's names of the key file in the directory of a v3 service, and of a v2 service.
pub const TORS_NAMES: [&str; 2] = ["hs_ed25519_secret_key", "private_key"];

/// The kind of thing, other than a file, to which a path leads.
#[derive(Debug, thiserror::Error)]
pub enum KindError {
    /// A directory, such as tor's `HiddenServiceDir`.
    #[error("is a directory: name the key file in it{}", .0.as_ref().map(|path| format!(", {}", path.display())).unwrap_or_default())]
    Directory(
        /// The key file in it, if it is tor's.
        Option<PathBuf>,
    ),
    /// Something else.
    #[error("is {0}: name a key file")]
    Other(&'static str),
}

/// Checks what was found at `path`.
pub(super) fn check(path: &Path, found: &Metadata) -> Result<(), KindError> {
    let kind = found.file_type();
    if kind.is_file() {
        return Ok(());
    }
    if kind.is_dir() {
        let inside = TORS_NAMES.map(|name| path.join(name)).into_iter().find(|path| path.is_file());
        return Err(KindError::Directory(inside));
    }
    Err(KindError::Other(if kind.is_socket() {
        "a socket"
    } else if kind.is_fifo() {
        "a pipe"
    } else {
        "a device"
    }))
}
