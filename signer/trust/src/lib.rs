//! The rule for the files that the signer and `onionbalance-key` trust: the permitted writers of all files,
//! and the permitted readers of keys.
//!
//! The configuration lists the allowed backends, and a key file is the service. So a file is trusted only if
//! trusted users alone determine the file that its path leads to, and its contents.
//!
//! # Terms
//!
//! - A **trusted user** is root, or the one other user of [`Trust`]. A **trusted group** is one of that
//!   user's own.
//! - The **way** to a file is every directory and every symbolic link that the kernel passes when it follows
//!   the path: the directories from `/` to the file, and those from `/` to the target of each link.
//! - **Others** are all users that are not trusted.
//!
//! # The rule
//!
//! 1. The file and everything on the way to it is owned by a trusted user.
//! 2. Others cannot write to the file, nor to any directory on the way. A sticky directory such as `/tmp`
//!    counts as not writable, because only the owners of its entries can replace them. A directory that is
//!    not writable by any path counts as not writable, too, as on a read-only file system.
//! 3. Others cannot read a key. A key with read permission for others in its mode or access list is accepted
//!    in two cases: a directory on the way keeps them out; or all its readers are trusted users and, if root
//!    owns it, members of trusted groups.
//!
//! [`Trust::find`] follows the way and judges it. [`Found::open`] and [`Found::open_key`] open the file and
//! judge it. Every directory stays open, and modes and owners are those of open files: the judged file is the
//! file that is read, even if its path leads elsewhere by then.
//!
//! Below directories that others can enter, and without an access list, the rule for the file itself is:
//!
//! | owner | mode | [`Found::open`] | [`Found::open_key`] |
//! |---|---|---|---|
//! | root or the trusted user | 400, 600, 700 | trusted | trusted |
//! | root | 440, 640 | trusted | trusted if the group is |
//! | the trusted user | 440, 640 | trusted | refused |
//! | root or the trusted user | 444, 644 | trusted | refused |
//! | root or the trusted user | 620, 660, 666 | refused | refused |
//! | any other user | any | refused | refused |
//!
//! ```
//! use onionbalance_trust::{Trust, TrustError};
//!
//! let trust = Trust::in_this_process(|_| Ok(Vec::new()));
//! // Root owns this file, and root alone can write to it.
//! let found = trust.find("/etc/passwd".as_ref())?;
//! let file = found.open()?;
//! // Everybody can read it, so it would be a bad place for a key.
//! assert!(matches!(found.open_key(), Err(TrustError::File { is_key: true, .. })));
//! # Ok::<(), TrustError>(())
//! ```
//!
//! The signer and `onionbalance-key` judge their files with it before they read them. The balancer only
//! inspects them, for `onionbalance check`.
//!
//! # Limitations
//!
//! - Root is trusted with everything. Root's password, the disk and the server of a network file system are
//!   not judged.
//! - The modes and owners that a file system reports are trusted. A file system that does not store them, or
//!   that a user mounts by FUSE, can report any.
//! - The members of a trusted group are not looked up: root gave the file to the group.
//! - Without `/proc` no mount is known to be read-only, so that more files are refused.
//! - Access lists of directories are judged by the mode of the directory. The group permission in it is their
//!   mask (acl(5)): a list that lets any other user write shows as writable for the group.
//! - Security modules and capabilities of other processes are not considered.

mod access_list;
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
pub use self::walk::Found;

/// Write permission for group and others.
const OTHERS_WRITE: u32 = 0o022;
/// Only the owner of a file may remove or rename it, as in `/tmp`.
const STICKY: u32 = 0o1000;

/// A file is not trusted. The message follows the name of the file.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be reached or opened, is not a file, or is behind more than 40 links.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The mode of the file allows others too much.
    #[error("may be {} by others (mode {mode:03o}): {remedy}", if *.is_key { "read or changed" } else { "changed" })]
    File {
        /// True if the file is a key, which others must not read either.
        is_key: bool,
        /// Its permissions: the low 12 bits of its mode.
        mode: u32,
        /// The remedy, as a command or an instruction.
        remedy: &'static str,
    },
    /// A directory on the way to the file is writable for others.
    #[error("lies below {}, which others may change (mode {mode:04o}): {remedy}", path.display())]
    Directory {
        /// The directory's path, without links.
        path: PathBuf,
        /// Its permissions: the low 12 bits of its mode.
        mode: u32,
        /// The remedy, as a command or an instruction.
        remedy: &'static str,
    },
    /// The file, or a directory or a link on the way to it, has an owner that is not trusted.
    #[error("is not safe from the user {uid}, who owns {}: chown that to {owners}", path.display())]
    Owner {
        /// The path of the file, directory or link, without links.
        path: PathBuf,
        /// The user id of the owner.
        uid: u32,
        /// The permitted owners, in words.
        owners: &'static str,
    },
}

/// Reads the access list of an open file: the attribute `system.posix_acl_access`, empty if the file has
/// none. An argument, because reading it takes a system call that this crate has no safe function for.
///
/// The kernel's form of the list (`linux/posix_acl_xattr.h`) is a version of 4 bytes, which is 2, and entries
/// of 8 bytes: tag 2, permissions 2, id of the user or group 4. All numbers are little-endian.
///
/// It is called for keys alone, and only for those of root that their group may read.
///
/// # Errors
/// The attribute cannot be read. The key is then judged as readable by others.
pub type ReadAccessList = fn(&File) -> io::Result<Vec<u8>>;

/// The users and groups that are trusted with a file. A value holds the list of mounts open, so that it can
/// judge in a process that is confined meanwhile.
pub struct Trust {
    /// The one trusted user besides root.
    user: Uid,
    /// The trusted groups: all their members may read keys.
    groups: Vec<Gid>,
    /// True if others may read keys.
    allows_readers: bool,
    mounts: Mounts,
    read_access_list: ReadAccessList,
}

impl Trust {
    /// Trusts root and the user that this process runs as; the process's groups may read keys. The user is
    /// the effective one at this moment: a later change of user does not change what is trusted.
    pub fn in_this_process(read_access_list: ReadAccessList) -> Self {
        let mut groups = getgroups().unwrap_or_default();
        groups.push(getegid());
        Self {
            user: Uid::effective(),
            groups,
            allows_readers: false,
            mounts: Mounts::open(),
            read_access_list,
        }
    }

    /// Trusts this user instead of the process's own; the user's groups may read keys.
    ///
    /// # Errors
    /// The groups cannot be looked up (getgrouplist(3)). `EINVAL`: the user's name has a NUL in it.
    pub fn in_user(self, user: &User) -> Result<Self, Errno> {
        let name = CString::new(user.name.as_str()).map_err(|_| Errno::EINVAL)?;
        let groups = getgrouplist(&name, user.gid)?;
        Ok(Self { user: user.uid, groups, ..self })
    }

    /// If this process runs as root, trusts the owner of the file at `path`: root runs `onionbalance-key` on
    /// the files of other users. Without such a file root alone stays trusted.
    #[must_use]
    pub fn in_owner_of(self, path: &Path) -> Self {
        let owner = path.metadata().ok().filter(|_| self.user.is_root()).map(|found| found.uid());
        Self { user: owner.map_or(self.user, Uid::from_raw), ..self }
    }

    /// Removes these groups from the trusted ones. The signer removes the groups that the balancer's user is
    /// in.
    #[must_use]
    pub fn without_groups(mut self, groups: &[Gid]) -> Self {
        self.groups.retain(|group| !groups.contains(group));
        self
    }

    /// Lets others read keys if `allows`. They must not be able to write to them in any case.
    #[must_use]
    pub fn allowing_readers(self, allows: bool) -> Self {
        Self { allows_readers: allows, ..self }
    }

    /// Judges a directory or a link on the way. Fails if it has another owner than root or the trusted user,
    /// or if others can write to it.
    fn judge_step(&self, path: &Path, found: &Metadata) -> Result<(), TrustError> {
        self.judge_owner(path, found)?;
        let mode = found.mode() & 0o7777;
        // A link's own mode has no meaning (symlink(7)). Only its owner can replace an entry of a sticky
        // directory, and every entry's owner is judged.
        let is_writable = !found.is_symlink() && mode & OTHERS_WRITE != 0 && mode & STICKY == 0;
        if !is_writable || self.mounts.is_never_written(path) {
            return Ok(());
        }
        let remedy = if self.mounts.is_read_only(path) {
            "make it writable for its owner alone in its source (Kubernetes: mount a Secret or a projected volume)"
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
            "make it writable for its owner alone in its source (Kubernetes: defaultMode; Docker: mode)"
        } else {
            "chmod go-w it"
        }
    }

    /// The remedy for a key. Only the owner can `chmod`, and another user could not read a key of root's with
    /// mode 600.
    fn remedy_for_key(&self, path: &Path, found: &Metadata) -> &'static str {
        let user = Uid::effective();
        if (user.is_root() || user.as_raw() == found.uid()) && !self.mounts.is_read_only(path) {
            "chmod 600 it"
        } else {
            "give it mode 400 in its source, or 440 and a group of the signer's alone (Kubernetes: defaultMode and \
             fsGroup; Docker: mode and uid), or set `signer-allow-readable-keys: true`, which lets others read it"
        }
    }
}

/// The judgement of the file itself.
impl Found<'_> {
    /// Opens the file for reading.
    ///
    /// # Errors
    /// - [`TrustError::Io`]: it cannot be opened, or is not a file (see [`Found::metadata`]).
    /// - [`TrustError::Owner`]: its owner is not trusted.
    /// - [`TrustError::File`]: others can write to it.
    pub fn open(&self) -> Result<File, TrustError> {
        let (file, found) = self.open_unjudged()?;
        self.judge(&found, false, found.mode() & OTHERS_WRITE != 0)?;
        Ok(file)
    }

    /// Opens a key file for reading.
    ///
    /// # Errors
    /// Those of [`Found::open`]. [`TrustError::File`] also if others can read it, unless
    /// [`Trust::allowing_readers`] permits that.
    pub fn open_key(&self) -> Result<File, TrustError> {
        let (file, found) = self.open_unjudged()?;
        let is_readable = !self.trust.allows_readers && readers::has_others(self, &file, &found);
        self.judge(&found, true, is_readable || found.mode() & OTHERS_WRITE != 0)?;
        Ok(file)
    }

    /// Judges the file without opening it, for a program that reports on files which another one reads.
    ///
    /// # Errors
    /// [`TrustError::Owner`] and [`TrustError::File`] as of [`Found::open`], by the metadata of the moment at
    /// which the file was found. The kind of file is not checked.
    pub fn inspect(&self) -> Result<(), TrustError> {
        self.judge(self.metadata(), false, self.metadata().mode() & OTHERS_WRITE != 0)
    }

    /// Judges a key file without opening it. Its access list is not known then: a key of root's that a group
    /// may read is accepted.
    ///
    /// # Errors
    /// The same as of [`Found::open_key`], as far as the mode alone shows it.
    pub fn inspect_key(&self) -> Result<(), TrustError> {
        let found = self.metadata();
        let is_readable = !self.trust.allows_readers && readers::has_others_by_mode(self, found);
        self.judge(found, true, is_readable || found.mode() & OTHERS_WRITE != 0)
    }

    fn judge(&self, found: &Metadata, is_key: bool, is_exposed: bool) -> Result<(), TrustError> {
        let (trust, path) = (self.trust, self.path());
        trust.judge_owner(&path, found)?;
        if !is_exposed {
            return Ok(());
        }
        let remedy = if is_key { trust.remedy_for_key(&path, found) } else { trust.remedy(&path) };
        Err(TrustError::File { is_key, mode: found.mode() & 0o7777, remedy })
    }
}
