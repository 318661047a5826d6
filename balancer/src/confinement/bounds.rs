//! Whether something is within what was left, for who reads a new configuration.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use onionbalance_process::directory_of;

use super::reach::Reach;
use crate::tor::Endpoint;

/// What a confined process can still reach.
#[derive(Clone, Debug)]
pub struct Bounds {
    readable: BTreeSet<Inode>,
    writable: BTreeSet<Inode>,
    reach: Reach,
}

/// A directory, whatever it is called: its file system and its number there.
type Inode = (u64, u64);

/// Something is out of reach.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OutOfBounds {
    /// A file.
    #[error(
        "{} is in a directory that onionbalance has given up, since the configuration of its start had no need of it: \
         restart onionbalance",
        .0.display()
    )]
    File(PathBuf),
    /// The cookie of a tor that was started again, or after this process.
    #[error(
        "tor keeps its cookie in {}, a directory that onionbalance gave up when it was started: start onionbalance again",
        .0.display()
    )]
    Cookie(PathBuf),
    /// The kernel does not take reading away; its words.
    #[error("cannot confine the process (landlock): {0}")]
    Landlock(String),
    /// A control port.
    #[error(
        "{0} is a control port that onionbalance has given up, since the configuration of its start did not name it: \
         restart onionbalance"
    )]
    Port(Endpoint),
    /// Tor's SOCKS port.
    #[error(
        "backends with `auth` are fetched through tor's SOCKS port, which onionbalance has given up, since the configuration \
         of its start had none: restart onionbalance"
    )]
    Socks,
}

impl Bounds {
    /// To be called before the process is confined.
    pub(super) fn of(reach: &Reach) -> Self {
        let inodes = |paths: &BTreeSet<PathBuf>| paths.iter().filter_map(|path| inode(path).ok()).collect();
        Self { readable: inodes(&reach.readable), writable: inodes(&reach.writable), reach: reach.clone() }
    }

    /// Whether a file can be read, as far as its own mode allows it.
    pub fn may_read(&self, file: &Path) -> Result<(), OutOfBounds> {
        let can = |directory: &Inode| self.readable.contains(directory) || self.writable.contains(directory);
        if lies_beneath(file, can) { Ok(()) } else { Err(OutOfBounds::File(file.to_owned())) }
    }

    /// As [`Bounds::may_read`] for a tor's cookie. One whose directory cannot be seen from here is left to authentication,
    /// which says so.
    pub fn may_read_cookie(&self, cookie: &Path) -> Result<(), OutOfBounds> {
        if !cookie.parent().is_some_and(Path::is_dir) {
            return Ok(());
        }
        self.may_read(cookie).map_err(|_| OutOfBounds::Cookie(cookie.to_owned()))
    }

    /// Whether a file or a socket can be made and written, as far as modes allow it.
    pub fn may_write(&self, file: &Path) -> Result<(), OutOfBounds> {
        let can = |directory: &Inode| self.writable.contains(directory);
        if lies_beneath(file, can) { Ok(()) } else { Err(OutOfBounds::File(file.to_owned())) }
    }

    /// Whether a control port can be connected to. A socket always can; the cookie beside it need not be readable.
    pub fn may_connect(&self, endpoint: &Endpoint) -> Result<(), OutOfBounds> {
        let can = match endpoint {
            Endpoint::Unix(_) => true,
            Endpoint::Tcp { host, port } => {
                (self.reach.has_any_port || self.reach.ports.contains(port))
                    && (self.reach.has_names || host.is_ip_address())
            }
        };
        if can { Ok(()) } else { Err(OutOfBounds::Port(endpoint.clone())) }
    }

    /// Whether every port can be connected to.
    pub fn may_connect_anywhere(&self) -> Result<(), OutOfBounds> {
        if self.reach.has_any_port { Ok(()) } else { Err(OutOfBounds::Socks) }
    }
}

/// Whether any of the directories above a file, which need not be there itself, is one of those.
fn lies_beneath(file: &Path, is_one: impl Fn(&Inode) -> bool) -> bool {
    // Where a link leads to is what counts.
    let real =
        file.canonicalize().or_else(|_| directory_of(file).canonicalize().map(|parent| parent.join("file")));
    real.is_ok_and(|real| {
        real.ancestors().skip(1).any(|directory| inode(directory).is_ok_and(|inode| is_one(&inode)))
    })
}

fn inode(path: &Path) -> io::Result<Inode> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_within_where_its_real_directory_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["read/deep", "write", "other"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        symlink(path("write"), path("other/link")).unwrap();
        let mut reach = Reach::default();
        reach.configuration(&path("read/config.yaml"));
        reach.written(&path("write/log"));
        let bounds = Bounds::of(&reach);
        for (file, read, write) in [
            ("read/config.yaml", true, false),
            ("read/deep/file", true, false),
            ("write/log", true, true),
            ("other/link/log", true, true),
            ("other/log", false, false),
            ("missing/log", false, false),
        ] {
            assert_eq!(bounds.may_read(&path(file)).is_ok(), read, "{file}");
            assert_eq!(bounds.may_write(&path(file)).is_ok(), write, "{file}");
        }
        // Of the same name, and another.
        fs::create_dir(path("write.new")).unwrap();
        fs::rename(path("write"), path("write.old")).unwrap();
        fs::rename(path("write.new"), path("write")).unwrap();
        let error = bounds.may_write(&path("write/log")).unwrap_err().to_string();
        assert!(error.ends_with("restart onionbalance"), "{error}");
    }

    #[test]
    fn ports_are_those_of_the_start() {
        let tcp = |host: &str, port| Endpoint::Tcp { host: host.parse().unwrap(), port };
        let mut reach = Reach::default();
        reach.tor(&tcp("127.0.0.1", 9051));
        let bounds = Bounds::of(&reach);
        assert!(bounds.may_connect(&tcp("::1", 9051)).is_ok());
        assert!(bounds.may_connect(&Endpoint::Unix("/anywhere".into())).is_ok());
        let error = bounds.may_connect(&tcp("127.0.0.1", 9052)).unwrap_err();
        assert!(error.to_string().starts_with("127.0.0.1:9052 is a control port that"), "{error}");
        assert!(bounds.may_connect(&tcp("localhost", 9051)).is_err());
        assert_eq!(bounds.may_connect_anywhere(), Err(OutOfBounds::Socks));
    }
}
