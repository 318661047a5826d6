//! What the process needs once it is confined.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use onionbalance_process::directory_of;

use crate::tor::Endpoint;

/// Where tor's packages keep the cookie of the control port. A tor that a reload names may have it there.
const USUAL_COOKIE_DIRECTORIES: [&str; 2] = ["/run/tor", "/var/lib/tor"];
/// Where the resolver's settings are, and where they link to.
const RESOLVER_DIRECTORIES: [&str; 2] = ["/etc", "/run/systemd/resolve"];
/// As many links as the kernel follows (`MAXSYMLINKS` in linux/namei.h).
const MAX_LINKS: usize = 40;
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
    /// The configuration at this path is read again, from its directory or from those of the links in its place. The signer
    /// keeps the same directories, so that a reload finds both able to read it, or neither.
    pub fn configuration(&mut self, file: &Path) {
        let mut file = file.to_owned();
        for _ in 0..=MAX_LINKS {
            let directory = directory_of(&file).to_owned();
            let target = file.read_link().map(|target| directory.join(target));
            self.readable.insert(directory);
            match target {
                Ok(target) => file = target,
                Err(_) => return,
            }
        }
    }

    /// This file or socket is made, written, replaced and removed.
    pub fn written(&mut self, file: &Path) {
        self.writable.insert(directory_of(file).to_owned());
    }

    /// There may be a tor at `endpoint`.
    pub fn tor(&mut self, endpoint: &Endpoint) {
        self.readable.extend(USUAL_COOKIE_DIRECTORIES.map(PathBuf::from));
        match endpoint {
            Endpoint::Unix(path) => {
                self.readable.insert(directory_of(path).to_owned());
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
        let directory = directory_of(file);
        let above = directory.canonicalize().ok().and_then(|real| real.parent().map(Path::to_owned));
        let is_roots = |above: &PathBuf| above.metadata().is_ok_and(|found| found.uid() == 0);
        self.readable.extend(above.filter(|above| above != Path::new("/") && is_roots(above)));
        self.readable.insert(directory.to_owned());
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

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
    fn a_linked_configuration_is_read_from_each_place_on_its_way() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        for directory in ["etc", "current", "store"] {
            std::fs::create_dir(path(directory)).unwrap();
        }
        symlink("../current/config.yaml", path("etc/config.yaml")).unwrap();
        symlink(path("store/config.yaml"), path("current/config.yaml")).unwrap();
        std::fs::write(path("store/config.yaml"), "").unwrap();
        let mut reach = Reach::default();
        reach.configuration(&path("etc/config.yaml"));
        let mut found: Vec<_> = reach.readable.iter().map(|path| path.canonicalize().unwrap()).collect();
        found.sort();
        assert_eq!(found, ["current", "etc", "store"].map(|name| path(name).canonicalize().unwrap()));
        symlink("loop", path("loop")).unwrap();
        reach.configuration(&path("loop"));
    }

    #[test]
    fn a_file_without_a_directory_is_in_the_present_one() {
        let mut reach = Reach::default();
        reach.written(Path::new("log"));
        assert_eq!(reach.writable, [PathBuf::from(".")].into());
    }
}
