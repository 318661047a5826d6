//! Writes a file completely or not at all, readable for its owner alone from the start, and never over
//! another file.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use onionbalance_process::directory_of;
use rand_core::{OsRng, RngCore};

use crate::Problem;

/// The place of a key file whose address is not known yet.
pub(crate) enum Place {
    /// At this path.
    File(PathBuf),
    /// In this directory, named after the address.
    Directory(PathBuf),
}

impl Place {
    /// The directory `output`, or else a file there. Fails if something that is not a directory exists there.
    pub(crate) fn new(output: &Path) -> Result<Self, Problem> {
        if output.is_dir() {
            return Ok(Self::Directory(output.to_owned()));
        }
        must_be_absent(output)?;
        Ok(Self::File(output.to_owned()))
    }

    /// The path of the file for the key of `address`, which ends with `.onion`. Fails if something exists
    /// there.
    pub(crate) fn file(&self, address: &str) -> Result<PathBuf, Problem> {
        let path = match self {
            Self::File(path) => path.clone(),
            Self::Directory(path) => {
                path.join(address.strip_suffix(".onion").unwrap_or(address)).with_extension("key")
            }
        };
        must_be_absent(&path)?;
        Ok(path)
    }
}

/// Fails if something exists at `path`. It is checked early, so that no passphrase is typed in vain;
/// [`create`] checks it again.
pub(crate) fn must_be_absent(path: &Path) -> Result<(), Problem> {
    // A dangling link counts as existing.
    if fs::symlink_metadata(path).is_ok() { Err(taken(path)) } else { Ok(()) }
}

/// Writes the file at `path`, and syncs it. Fails if something exists there, or if the directory cannot be
/// written.
pub(crate) fn create(path: &Path, contents: &[u8]) -> Result<(), Problem> {
    let directory = directory_of(path);
    let temporary = Temporary::write(directory, contents).map_err(|error| failed(path, &error))?;
    // `link` never replaces a file, even if another process creates one of this name at this moment.
    fs::hard_link(&temporary.0, path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => taken(path),
        ErrorKind::PermissionDenied => Problem::new(format_args!(
            "cannot write {}: {error}; if the filesystem has no hard links (FAT), write elsewhere and copy the file",
            path.display()
        )),
        _ => failed(path, &error),
    })?;
    drop(temporary);
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| failed(path, &error))
}

fn taken(path: &Path) -> Problem {
    Problem::new(format_args!(
        "{} exists, and nothing is ever overwritten: name another file",
        path.display()
    ))
}

fn failed(path: &Path, error: &io::Error) -> Problem {
    Problem::new(format_args!("cannot write {}: {error}", path.display()))
}

/// A temporary file with a random name, which is removed when this is dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn write(directory: &Path, contents: &[u8]) -> io::Result<Self> {
        let mut suffix = [0; 8];
        OsRng.fill_bytes(&mut suffix);
        let path = directory.join(format!(".onionbalance-key-{}", HEXLOWER.encode(&suffix)));
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        let temporary = Self(path);
        file.write_all(contents)?;
        file.sync_all()?;
        Ok(temporary)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // If it cannot be removed, it exposes no more than the file itself.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn one_of_many_simultaneous_writers_succeeds_completely() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let start = Barrier::new(16);
        let written: Vec<Option<u8>> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..16_u8)
                .map(|number| {
                    let (path, start) = (&path, &start);
                    scope.spawn(move || {
                        start.wait();
                        create(path, &vec![number; 50_000]).is_ok().then_some(number)
                    })
                })
                .collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let [winner] = written.iter().flatten().collect::<Vec<_>>()[..] else { panic!("{written:?}") };
        assert_eq!(fs::read(&path).unwrap(), vec![*winner; 50_000]);
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.mode() & 0o7777, found.nlink()), (0o600, 1));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn nothing_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("key"), directory.path().join("link"));
        fs::write(&path, "mine").unwrap();
        symlink("nowhere", &link).unwrap();
        for taken in [&path, &link] {
            for refused in [must_be_absent(taken), create(taken, b"theirs")] {
                assert!(refused.unwrap_err().to_string().contains("exists, and nothing is ever overwritten"));
            }
        }
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert!(must_be_absent(&directory.path().join("nowhere")).is_ok());
        assert!(create(Path::new("/nonexistent/key"), b"").unwrap_err().to_string().contains("cannot write"));
    }
}
