//! Follows a path as the kernel does (`path_resolution(7)`): one name after the other, from `/` on, and each link's target in
//! turn. Every directory stays open: a name is looked up in the directory that was judged, whatever its path leads to by then.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::sys::stat::Mode;

use super::TrustError;

/// As many links as the kernel follows (`MAXSYMLINKS` in linux/namei.h).
const MAX_LINKS: usize = 40;

/// The end of a path.
pub(super) struct End {
    way: Way,
    name: OsString,
    found: Metadata,
    /// Directories with links that the last name of the path, or of a link in its place, led to.
    links: Vec<PathBuf>,
}

/// Follows `path`, which is absolute. `judge` is asked about each directory and each link, with its path without links, but
/// not about the end.
pub(super) fn walk(
    path: &Path,
    judge: impl Fn(&Path, &Metadata) -> Result<(), TrustError>,
) -> Result<End, TrustError> {
    let mut way = Way { root: Step::open(AT_FDCWD, "/".into(), "/".as_ref())?, below: Vec::new() };
    judge(&way.root.path, &way.root.found)?;
    let mut names: Vec<OsString> = names(path).collect();
    let (mut links, mut followed) = (Vec::new(), 0);
    while let Some(name) = names.pop() {
        if name == ".." {
            way.below.pop();
            continue;
        }
        let directory = way.last();
        let step = Step::open(&directory.file, directory.path.join(&name), &name)?;
        if names.is_empty() && !step.found.is_symlink() {
            return Ok(End { way, name, found: step.found, links });
        }
        judge(&step.path, &step.found)?;
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
    let found = way.last().found.clone();
    Ok(End { way, name: ".".into(), found, links })
}

/// The names in a path, the last one first.
fn names(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

impl End {
    pub(super) fn metadata(&self) -> &Metadata {
        &self.found
    }

    pub(super) fn directory(&self) -> &Metadata {
        &self.way.last().found
    }

    /// The path without links.
    pub(super) fn path(&self) -> PathBuf {
        self.way.last().path.join(&self.name)
    }

    pub(super) fn directories(&self) -> Vec<PathBuf> {
        let own = self.way.last().path.clone();
        self.links.iter().cloned().chain([own]).collect()
    }

    /// The directories on the way, without links: `/` first, the file's own last.
    pub(super) fn way(&self) -> impl Iterator<Item = (&Path, &Metadata)> {
        let steps = [&self.way.root].into_iter().chain(&self.way.below);
        steps.map(|step| (step.path.as_path(), &step.found))
    }

    /// Opens the file, and tells of the open file what has to be judged.
    pub(super) fn open(&self) -> io::Result<(File, Metadata)> {
        // A file may have been replaced by a pipe just now, which would be waited for (fifo(7)), or by a link.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.way.last().file, self.name.as_os_str(), flags, Mode::empty())?);
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        Ok((file, found))
    }
}

/// The directories from `/` to where the walk is.
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
struct Step {
    /// Without links.
    path: PathBuf,
    file: File,
    found: Metadata,
}

impl Step {
    fn open(directory: impl AsFd, path: PathBuf, name: &OsStr) -> io::Result<Self> {
        // `O_PATH`: nothing of it is read, and a link is not followed but opened itself (open(2)).
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = File::from(openat(directory, name, flags, Mode::empty())?);
        let found = file.metadata()?;
        Ok(Self { path, file, found })
    }
}
