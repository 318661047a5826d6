//! Whether anybody else could read a key file, or put another one in its place.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

/// Read, write and execute for group and others.
const OTHERS: u32 = 0o077;
/// Write for group and others.
const OTHERS_WRITE: u32 = 0o022;
/// Only who owns a file may remove or rename it, as in `/tmp`.
const STICKY: u32 = 0o1000;

/// Who else has a hand on the key.
#[derive(Debug, thiserror::Error)]
pub enum PermissionError {
    /// The file.
    #[error("may be read or changed by others (mode {0:03o}): chmod 600 it")]
    File(u32),
    /// A directory on the way to it.
    #[error("lies below {}, which others may change (mode {mode:04o}): chmod go-w that directory", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file or a directory on the way to it.
    #[error("is not safe from the user {uid}, who owns {}: chown that to root or to the signer's user", path.display())]
    Owner {
        /// Which.
        path: PathBuf,
        /// Whose.
        uid: u32,
    },
    /// It cannot be found out.
    #[error("cannot be judged: {0}")]
    Io(#[from] io::Error),
}

/// Checks an open key file, and all directories on the way to it, for who else may change them. Root trusts every owner:
/// keys of a user that it is to become belong to that user.
///
/// The service manager's credentials are its own matter: an access list lets their user read them, which shows as a group's
/// permission.
pub(super) fn check(file: &File, path: &Path) -> Result<(), PermissionError> {
    let path = path.canonicalize()?;
    if std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|directory| path.starts_with(directory)) {
        return Ok(());
    }
    let found = file.metadata()?;
    let mode = found.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(PermissionError::File(mode));
    }
    check_owner(&found, &path)?;
    for directory in path.ancestors().skip(1) {
        let found = directory.metadata()?;
        check_owner(&found, directory)?;
        let mode = found.mode() & 0o7777;
        // What lies in a sticky directory is its owner's, who has been looked at.
        if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
            return Err(PermissionError::Directory { path: directory.to_owned(), mode });
        }
    }
    Ok(())
}

fn check_owner(found: &Metadata, path: &Path) -> Result<(), PermissionError> {
    let us = Uid::effective();
    if us.is_root() || [0, us.as_raw()].contains(&found.uid()) {
        return Ok(());
    }
    Err(PermissionError::Owner { path: path.to_owned(), uid: found.uid() })
}
