//! What the process needs once it is confined.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::tor::Endpoint;

/// Where tor's packages keep the cookie of the control port. A tor that a reload names may have it there.
const USUAL_COOKIE_DIRECTORIES: [&str; 2] = ["/run/tor", "/var/lib/tor"];
/// Where the resolver's settings are, and where they link to.
const RESOLVER_DIRECTORIES: [&str; 2] = ["/etc", "/run/systemd/resolve"];
/// Of a name server, where an answer does not fit into a datagram.
const NAME_SERVER: u16 = 53;

/// What the process needs once it is confined. AF_UNIX sockets are not among it: landlock does not stop a connection to
/// them, their own modes do.
///
/// Directories and not files: whoever replaces a file makes another one of the same name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reach {
    pub(super) readable: BTreeSet<PathBuf>,
    pub(super) writable: BTreeSet<PathBuf>,
    pub(super) ports: BTreeSet<u16>,
    pub(super) has_any_port: bool,
    pub(super) has_names: bool,
    /// The process id of a signer that is our child.
    pub(super) child: Option<i32>,
    /// No tor has said yet where its cookie is.
    pub(super) awaits_tor: bool,
}

impl Reach {
    /// The configuration at this path is read anew; a link leads to its directory, too.
    pub fn configuration(&mut self, file: &Path) {
        self.readable.insert(directory(file));
        self.readable.extend(file.canonicalize().ok().as_deref().map(directory));
    }

    /// This file or socket is made, written, replaced and removed.
    pub fn written(&mut self, file: &Path) {
        self.writable.insert(directory(file));
    }

    /// There may be a tor at `endpoint`.
    pub fn tor(&mut self, endpoint: &Endpoint) {
        self.readable.extend(USUAL_COOKIE_DIRECTORIES.map(PathBuf::from));
        match endpoint {
            Endpoint::Unix(path) => {
                self.readable.insert(directory(path));
            }
            Endpoint::Tcp { host, port } => {
                self.ports.insert(*port);
                if !host.is_ip_address() {
                    self.has_names = true;
                    self.ports.insert(NAME_SERVER);
                    self.readable.extend(RESOLVER_DIRECTORIES.map(PathBuf::from));
                }
            }
        }
    }

    /// A tor keeps the cookie of its control port in this file.
    ///
    /// Landlock knows a directory by its inode. A service manager removes tor's runtime directory when tor stops, and makes
    /// another one (`RuntimeDirectory=`, systemd.exec(5)), so the directory above is needed. It does so in root's directories
    /// only; above others there is no telling what else lies, such as a home.
    pub fn cookie(&mut self, file: &Path) {
        let directory = directory(file);
        let above = directory.canonicalize().ok().and_then(|real| real.parent().map(Path::to_owned));
        let is_roots = |above: &PathBuf| above.metadata().is_ok_and(|found| found.uid() == 0);
        self.readable.extend(above.filter(|above| above != Path::new("/") && is_roots(above)));
        self.readable.insert(directory);
    }

    /// No tor has said yet where its cookie is: see [`Confinement::meet`](super::Confinement::meet).
    pub fn await_tor(&mut self) {
        self.awaits_tor = true;
    }

    /// Whether everything that has to be read is known.
    pub(super) fn is_complete(&self) -> bool {
        !self.awaits_tor
    }

    /// Tor's SOCKS port is needed, which tor names later.
    pub fn any_port(&mut self) {
        self.has_any_port = true;
    }

    /// A signer with this process id is our child: its end is waited for, and it is told to read its configuration anew.
    pub fn child(&mut self, pid: i32) {
        self.child = Some(pid);
    }
}

/// The directory that a file is in.
fn directory(file: &Path) -> PathBuf {
    file.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new(".")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str) -> Endpoint {
        Endpoint::Tcp { host: host.parse().unwrap(), port: 9051 }
    }

    #[test]
    fn only_a_name_needs_the_resolver() {
        let mut reach = Reach::default();
        reach.tor(&tcp("127.0.0.1"));
        reach.tor(&tcp("::1"));
        assert!(!reach.has_names && reach.ports == [9051].into());
        assert!(!reach.readable.contains(Path::new("/etc")));
        reach.tor(&tcp("localhost"));
        assert!(reach.has_names && reach.ports == [53, 9051].into());
        assert!(reach.readable.contains(Path::new("/etc")));
    }

    #[test]
    fn a_file_without_a_directory_is_in_the_present_one() {
        let mut reach = Reach::default();
        reach.written(Path::new("log"));
        assert_eq!(reach.writable, [PathBuf::from(".")].into());
    }
}
