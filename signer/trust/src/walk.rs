//! Follows a path as the kernel does (`path_resolution(7)`): one name after the other, from `/` on, and each
//! link's target in turn. Every directory stays open, so that a name is looked up in the directory that was
//! judged, even if its path leads elsewhere by then.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::iter::once;
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::sys::stat::Mode;

use super::{Trust, TrustError};

/// The most links that are followed, as in the kernel (`MAXSYMLINKS` in linux/namei.h).
const MAX_LINKS: usize = 40;

/// The end of a path that only root and the trusted user can redirect. The directories on the way stay open
/// until it is dropped: one descriptor each.
pub struct Found<'a> {
    pub(crate) trust: &'a Trust,
    way: Way,
    /// The name of the end in the way's last directory.
    name: OsString,
    metadata: Metadata,
    /// The directories of the links at the end of the path: of the path's own last name, and of each link
    /// that it leads to.
    links: Vec<PathBuf>,
}

impl Trust {
    /// Finds the end of `path`, as the kernel does, and judges every directory and link on the way, but not
    /// the end. A relative path begins in the working directory.
    ///
    /// # Errors
    /// - [`TrustError::Io`]: a part of the way is missing or cannot be entered, or there are more than 40
    ///   links (`ELOOP`).
    /// - [`TrustError::Owner`]: another user owns a directory or a link on the way.
    /// - [`TrustError::Directory`]: others can write to a directory on the way.
    ///
    /// ```
    /// # use onionbalance_trust::{Trust, TrustError};
    /// let trust = Trust::in_this_process(|_| Ok(Vec::new()));
    /// assert!(matches!(trust.find("/nonexistent".as_ref()), Err(TrustError::Io(_))));
    /// // Everybody can write to this one, and it is sticky.
    /// assert!(trust.find("/tmp/../etc/passwd".as_ref())?.metadata().is_file());
    /// # Ok::<(), TrustError>(())
    /// ```
    pub fn find(&self, path: &Path) -> Result<Found<'_>, TrustError> {
        let root = Step::open(AT_FDCWD, "/".into(), "/".as_ref())?;
        self.judge_step(&root.path, &root.found)?;
        let mut way = Way { root, below: Vec::new() };
        let mut names: Vec<OsString> = names(&std::path::absolute(path)?).collect();
        let (mut links, mut followed) = (Vec::new(), 0);
        while let Some(name) = names.pop() {
            if name == ".." {
                way.below.pop();
                continue;
            }
            let directory = way.last();
            let step = Step::open(&directory.file, directory.path.join(&name), &name)?;
            if names.is_empty() && !step.found.is_symlink() {
                return Ok(Found { trust: self, way, name, metadata: step.found, links });
            }
            self.judge_step(&step.path, &step.found)?;
            if !step.found.is_symlink() {
                way.below.push(step);
                continue;
            }
            followed += 1;
            if followed > MAX_LINKS {
                return Err(io::Error::from(Errno::ELOOP).into());
            }
            if names.is_empty() {
                links.push(directory.path.clone());
            }
            let target = PathBuf::from(readlinkat(&step.file, "").map_err(io::Error::from)?);
            if target.is_absolute() {
                way.below.clear();
            }
            names.extend(self::names(&target));
        }
        // The path is `/`, or ends in `..`.
        let metadata = way.last().found.clone();
        Ok(Found { trust: self, way, name: ".".into(), metadata, links })
    }
}

/// The names in a path, the last one first.
fn names(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

impl Found<'_> {
    /// The metadata of the end of the path, which may be something else than a file. It is not judged.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The metadata of the directory that the file is in.
    pub fn directory(&self) -> &Metadata {
        &self.way.last().found
    }

    /// The directory that the file is in, and those of the links that lead from the path's own last name to
    /// it, without links. A process that confines itself keeps access to them if it is to find the file
    /// again.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.links.iter().chain(once(&self.way.last().path)).cloned().collect()
    }

    /// The path without links.
    pub(crate) fn path(&self) -> PathBuf {
        self.way.last().path.join(&self.name)
    }

    /// The directories on the way, without links: `/` first, the file's own last.
    pub(crate) fn way(&self) -> impl Iterator<Item = &Step> {
        once(&self.way.root).chain(&self.way.below)
    }

    /// Opens the file, and returns the metadata of the open file for judgement. Fails if it is not a file.
    pub(crate) fn open_unjudged(&self) -> io::Result<(File, Metadata)> {
        // The file may have been replaced meanwhile by a pipe, on which `open` would wait (fifo(7)), or by a
        // link.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.way.last().file, self.name.as_os_str(), flags, Mode::empty())?);
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        Ok((file, found))
    }
}

/// The directories from `/` to the present one.
struct Way {
    root: Step,
    below: Vec<Step>,
}

impl Way {
    fn last(&self) -> &Step {
        self.below.last().unwrap_or(&self.root)
    }
}

/// A directory or a link on the way.
pub(crate) struct Step {
    /// The path, without links.
    pub(crate) path: PathBuf,
    file: File,
    pub(crate) found: Metadata,
}

impl Step {
    fn open(directory: impl AsFd, path: PathBuf, name: &OsStr) -> io::Result<Self> {
        // `O_PATH`: the contents are not read, and a link itself is opened instead of its target (open(2)).
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = File::from(openat(directory, name, flags, Mode::empty())?);
        let found = file.metadata()?;
        Ok(Self { path, file, found })
    }
}
