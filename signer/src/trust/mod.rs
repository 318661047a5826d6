//! The writers of the files that the signer believes, and the readers of its keys.
//!
//! The configuration says which backends are allowed, and a key file is the service. So only root and the signer's own user
//! may own them, the directories on the way to them and the links on that way; nobody else may write to any of these. A
//! key may be read by nobody else either. [`walk`] follows a path as the kernel does, [`readers`] judges the readers of a key,
//! [`mounts`] knows what is mounted read-only.
//!
//! The judged file is the file that is read: modes and owners are those of open files, each found in a directory that was opened
//! and judged before. Root's password, the medium and the server of a network file system are not judged.

mod mounts;
mod readers;
mod walk;

use std::ffi::CString;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, User, getegid, getgrouplist, getgroups};

use self::mounts::Mounts;
use self::walk::End;

/// Write for group and others.
const OTHERS_WRITE: u32 = 0o022;
/// Only who owns a file may remove or rename it, as in `/tmp`.
const STICKY: u32 = 0o1000;

/// Why a file is not taken. To be printed behind the file's name.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It cannot be reached or opened.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Its own mode.
    #[error("may be {} by others (mode {mode:03o}): {remedy}", if *.is_key { "read or changed" } else { "changed" })]
    File {
        /// Whether it is to be secret, too.
        is_key: bool,
        /// Its permissions.
        mode: u32,
        /// The remedy.
        remedy: &'static str,
    },
    /// A directory on the way to it.
    #[error("lies below {}, which others may change (mode {mode:04o}): {remedy}", path.display())]
    Directory {
        /// Its path, without links.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// The remedy.
        remedy: &'static str,
    },
    /// The owner of the file, or of a directory or a link on the way to it.
    #[error("is not safe from the user {uid}, who owns {}: chown that to {owners}", path.display())]
    Owner {
        /// The file, directory or link.
        path: PathBuf,
        /// The owner.
        uid: u32,
        /// Those who may own it.
        owners: &'static str,
    },
}

/// The users and groups that the signer trusts with a file.
pub struct Trust {
    /// Besides root.
    user: Uid,
    /// Groups with nobody in them who may not read keys.
    groups: Vec<Gid>,
    /// Whether others may read keys.
    allows_readers: bool,
    mounts: Mounts,
}

impl Trust {
    /// Trusts root, the user that this process runs as, and its groups with reading.
    pub fn in_this_process() -> Self {
        let mut groups = getgroups().unwrap_or_default();
        groups.push(getegid());
        Self { user: Uid::effective(), groups, allows_readers: false, mounts: Mounts::open() }
    }

    /// Trusts root, the user that this process is to become, and the groups of that user with reading.
    pub fn in_user(user: &User) -> Result<Self, Errno> {
        let name = CString::new(user.name.as_str()).map_err(|_| Errno::EINVAL)?;
        let groups = getgrouplist(&name, user.gid)?;
        Ok(Self { user: user.uid, groups, ..Self::in_this_process() })
    }

    /// Trusts root and, if this process is root's, the owner of the file at `path`: root works on the files of others by
    /// hand.
    pub fn in_owner_of(path: &Path) -> Self {
        let trust = Self::in_this_process();
        let owner = path.metadata().ok().filter(|_| trust.user.is_root()).map(|found| found.uid());
        Self { user: owner.map_or(trust.user, Uid::from_raw), ..trust }
    }

    /// Trusts these groups no longer.
    pub(crate) fn without_groups(mut self, groups: &[Gid]) -> Self {
        self.groups.retain(|group| !groups.contains(group));
        self
    }

    /// Lets others read keys, if `allows`. Nobody else may write to them all the same.
    pub(crate) fn allowing_readers(mut self, allows: bool) -> Self {
        self.allows_readers = allows;
        self
    }

    /// Finds what is at `path`, as the kernel does, and judges every directory and link on the way.
    pub fn find(&self, path: &Path) -> Result<Found<'_>, TrustError> {
        let end = walk::walk(&std::path::absolute(path)?, |path, found| self.judge_step(path, found))?;
        Ok(Found { trust: self, end })
    }

    fn judge_step(&self, path: &Path, found: &Metadata) -> Result<(), TrustError> {
        self.judge_owner(path, found)?;
        let mode = found.mode() & 0o7777;
        // A link's own mode says nothing (symlink(7)). An entry of a sticky directory is safe in its owner's hands, and
        // every entry's owner is judged.
        let is_writable = !found.is_symlink() && mode & OTHERS_WRITE != 0 && mode & STICKY == 0;
        if !is_writable || self.mounts.is_never_written(path) {
            return Ok(());
        }
        let remedy = if self.mounts.is_read_only(path) {
            "let its owner alone write to it, where it comes from (Kubernetes: mount a Secret or a projected volume)"
        } else {
            "chmod go-w that directory"
        };
        Err(TrustError::Directory { path: path.to_owned(), mode, remedy })
    }

    fn judge_owner(&self, path: &Path, found: &Metadata) -> Result<(), TrustError> {
        if [0, self.user.as_raw()].contains(&found.uid()) {
            return Ok(());
        }
        let owners = if self.user.is_root() { "root" } else { "root or to the signer's user" };
        Err(TrustError::Owner { path: path.to_owned(), uid: found.uid(), owners })
    }

    fn remedy(&self, path: &Path) -> &'static str {
        if self.mounts.is_read_only(path) {
            "let its owner alone write to it, where it comes from (Kubernetes: defaultMode; Docker: mode)"
        } else {
            "chmod go-w it"
        }
    }

    /// The remedy for a key. The owner alone can `chmod`, and a key of root's with mode 600 could not be read by another user.
    fn remedy_for_key(&self, path: &Path, found: &Metadata) -> &'static str {
        let user = Uid::effective();
        if (user.is_root() || user.as_raw() == found.uid()) && !self.mounts.is_read_only(path) {
            "chmod 600 it"
        } else {
            "give it mode 400 where it comes from, or 440 and a group of the signer's alone (Kubernetes: defaultMode and \
             fsGroup; Docker: mode and uid), or set `signer-allow-readable-keys: true`, which lets others read it"
        }
    }
}

/// The end of a path on which nobody but root and a trusted user decides what it leads to.
pub struct Found<'a> {
    trust: &'a Trust,
    end: End,
}

impl Found<'_> {
    /// The metadata of the end of the path, which may be no file. It is not judged.
    pub fn metadata(&self) -> &Metadata {
        self.end.metadata()
    }

    /// The directory that the file is in, and those of the links that lead from the path's own last name to it.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.end.directories()
    }

    /// The directory that it is in.
    pub fn directory(&self) -> &Metadata {
        self.end.directory()
    }

    /// Opens the file to read what nobody else may have written. It must be a file: see [`Found::metadata`].
    pub fn open(&self) -> Result<File, TrustError> {
        let (file, found) = self.end.open()?;
        self.judge(&found, false, found.mode() & OTHERS_WRITE != 0)?;
        Ok(file)
    }

    /// Opens the file to read a key, which nobody else may read either.
    pub fn open_key(&self) -> Result<File, TrustError> {
        let (file, found) = self.end.open()?;
        let is_open = !self.trust.allows_readers && readers::has_others(self, &file, &found);
        self.judge(&found, true, is_open || found.mode() & OTHERS_WRITE != 0)?;
        Ok(file)
    }

    fn judge(&self, found: &Metadata, is_key: bool, is_exposed: bool) -> Result<(), TrustError> {
        let path = self.end.path();
        self.trust.judge_owner(&path, found)?;
        if !is_exposed {
            return Ok(());
        }
        let remedy = if is_key { self.trust.remedy_for_key(&path, found) } else { self.trust.remedy(&path) };
        Err(TrustError::File { is_key, mode: found.mode() & 0o7777, remedy })
    }
}
