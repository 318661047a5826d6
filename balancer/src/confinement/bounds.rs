//! The check that a new configuration needs nothing that the process has given up.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use onionbalance_process::directory_of;

use super::reach::Reach;
use crate::endpoint::Endpoint;

/// The files and ports that a confined process can still reach.
#[derive(Clone, Debug)]
pub struct Bounds {
    readable: BTreeSet<Inode>,
    writable: BTreeSet<Inode>,
    reach: Reach,
}

/// A directory's identity under any name: the number of its file system, and its number there.
type Inode = (u64, u64);

/// The reason for which a file or a port is out of reach.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OutOfBounds {
    /// The directory of a file was given up.
    #[error(
        "{} is in a directory that onionbalance has given up, because the configuration at its start did not need it: \
         restart onionbalance",
        .0.display()
    )]
    File(PathBuf),
    /// The directory of a tor's cookie was given up: tor was started again, or after this process.
    #[error(
        "tor keeps its cookie in {}, a directory that onionbalance gave up when it was started: start onionbalance again",
        .0.display()
    )]
    Cookie(PathBuf),
    /// The kernel refuses to give up reading; its error.
    #[error("cannot confine the process (landlock): {0}")]
    Landlock(String),
    /// A control port was given up.
    #[error(
        "{0} is a control port that onionbalance has given up, because the configuration at its start did not name it: \
         restart onionbalance"
    )]
    Port(Endpoint),
    /// Tor's SOCKS port was given up, and this needs it.
    #[error(
        "{0} tor's SOCKS port, which onionbalance has given up, because the configuration at its start did not need it: \
         restart onionbalance"
    )]
    Socks(&'static str),
}

impl Bounds {
    /// The bounds of `reach`. The process must not be confined yet.
    pub(super) fn of(reach: &Reach) -> Self {
        let inodes = |paths: &BTreeSet<PathBuf>| paths.iter().filter_map(|path| inode(path).ok()).collect();
        Self { readable: inodes(&reach.readable), writable: inodes(&reach.writable), reach: reach.clone() }
    }

    /// Checks that a file can be read, apart from its own mode.
    ///
    /// # Errors
    /// [`OutOfBounds::File`] if its directory was given up.
    pub fn may_read(&self, file: &Path) -> Result<(), OutOfBounds> {
        let can = |directory: &Inode| self.readable.contains(directory) || self.writable.contains(directory);
        if lies_beneath(file, can) { Ok(()) } else { Err(OutOfBounds::File(file.to_owned())) }
    }

    /// Checks that a tor's cookie can be read, apart from its own mode. If its directory cannot be seen from
    /// here, authentication reports that.
    ///
    /// # Errors
    /// [`OutOfBounds::Cookie`] if its directory was given up.
    pub fn may_read_cookie(&self, cookie: &Path) -> Result<(), OutOfBounds> {
        if !cookie.parent().is_some_and(Path::is_dir) {
            return Ok(());
        }
        self.may_read(cookie).map_err(|_| OutOfBounds::Cookie(cookie.to_owned()))
    }

    /// Checks that a file or a socket can be created and written, apart from modes.
    ///
    /// # Errors
    /// [`OutOfBounds::File`] if its directory was given up.
    pub fn may_write(&self, file: &Path) -> Result<(), OutOfBounds> {
        let can = |directory: &Inode| self.writable.contains(directory);
        if lies_beneath(file, can) { Ok(()) } else { Err(OutOfBounds::File(file.to_owned())) }
    }

    /// Checks that a control port can be connected to. A socket always can; the cookie beside it need not be
    /// readable.
    ///
    /// # Errors
    /// [`OutOfBounds::Port`] if the port was given up.
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

    /// Checks that tor's SOCKS port can be connected to: a TCP port, or any that tor may name (`None`).
    /// `purpose` is what needs it, for the message.
    ///
    /// # Errors
    /// [`OutOfBounds::Socks`] if the port was given up.
    pub fn may_connect_to_socks(&self, port: Option<u16>, purpose: &'static str) -> Result<(), OutOfBounds> {
        let can = self.reach.has_any_port || port.is_some_and(|port| self.reach.ports.contains(&port));
        if can { Ok(()) } else { Err(OutOfBounds::Socks(purpose)) }
    }
}

/// True if any of the directories above `file` fulfils `is_one`. The file itself need not exist.
fn lies_beneath(file: &Path, is_one: impl Fn(&Inode) -> bool) -> bool {
    // The target of a link counts.
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
        // Another directory with the same name.
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
        for (port, is_open) in [(None, false), (Some(9050), false), (Some(9051), true)] {
            let wanted = if is_open { Ok(()) } else { Err(OutOfBounds::Socks("probes need")) };
            assert_eq!(bounds.may_connect_to_socks(port, "probes need"), wanted);
        }
        reach.port(9050);
        assert_eq!(Bounds::of(&reach).may_connect_to_socks(Some(9050), "probes need"), Ok(()));
        reach.any_port();
        assert_eq!(Bounds::of(&reach).may_connect_to_socks(None, "probes need"), Ok(()));
    }
}
