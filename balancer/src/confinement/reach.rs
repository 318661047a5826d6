//! The files, ports and processes that a confined process needs.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use onionbalance_process::directory_of;

use crate::endpoint::Endpoint;

/// The directories in which tor's packages keep the cookie of the control port. A tor that a reload names may
/// have it there.
const USUAL_COOKIE_DIRECTORIES: [&str; 2] = ["/run/tor", "/var/lib/tor"];
/// The directories of the resolver's settings and of the links' targets.
const RESOLVER_DIRECTORIES: [&str; 2] = ["/etc", "/run/systemd/resolve"];
/// The most links that the kernel follows (`MAXSYMLINKS` in linux/namei.h).
const MAX_LINKS: usize = 40;
/// The TCP port of name servers, for answers that do not fit into a datagram.
const NAME_SERVER: u16 = 53;

/// The files, ports and processes that a confined process needs. AF_UNIX sockets are not part of it: landlock
/// does not stop a connection to them, their own modes do.
///
/// Rights are to directories, not to files: a file that is replaced is another file of the same name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reach {
    pub(super) readable: BTreeSet<PathBuf>,
    pub(super) writable: BTreeSet<PathBuf>,
    pub(super) ports: BTreeSet<u16>,
    pub(super) has_any_port: bool,
    pub(super) has_names: bool,
    /// The process id of a signer that is our child.
    pub(super) child: Option<i32>,
    /// True if no tor has named the file of its cookie yet.
    pub(super) awaits_tor: bool,
}

impl Reach {
    /// Adds the configuration at this path, which is read again: its directory, and those of links on the way
    /// to it. The signer keeps the same directories, so that at a reload either both can read it or neither.
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

    /// Adds a file or socket that is created, written, replaced and removed.
    pub fn written(&mut self, file: &Path) {
        self.writable.insert(directory_of(file).to_owned());
    }

    /// Adds a possible tor at `endpoint`.
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

    /// Adds the file with the cookie of a tor's control port.
    ///
    /// Landlock identifies a directory by its inode. A service manager removes tor's runtime directory when
    /// tor stops, and creates another one (`RuntimeDirectory=`, systemd.exec(5)), so the directory above is
    /// needed. It is added only if it is root's; another one may contain a user's home, for instance.
    pub fn cookie(&mut self, file: &Path) {
        let directory = directory_of(file);
        let above = directory.canonicalize().ok().and_then(|real| real.parent().map(Path::to_owned));
        let is_roots = |above: &PathBuf| above.metadata().is_ok_and(|found| found.uid() == 0);
        self.readable.extend(above.filter(|above| above != Path::new("/") && is_roots(above)));
        self.readable.insert(directory.to_owned());
    }

    /// Notes that no tor has named the file of its cookie yet: see
    /// [`Confinement::meet`](super::Confinement::meet).
    pub fn await_tor(&mut self) {
        self.awaits_tor = true;
    }

    /// True if all files that have to be read are known.
    pub(super) fn is_complete(&self) -> bool {
        !self.awaits_tor
    }

    /// Adds a TCP port.
    pub fn port(&mut self, port: u16) {
        self.ports.insert(port);
    }

    /// Adds all ports: tor names its SOCKS port later.
    pub fn any_port(&mut self) {
        self.has_any_port = true;
    }

    /// Adds the process `pid`, a signer that is our child: this process waits for its end, and sends it
    /// SIGHUP.
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
