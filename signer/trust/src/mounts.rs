//! Read-only mounts, from `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

/// The place of a `ConfigMap` in a kubelet's directories: a directory that is writable for everybody, below
/// one that only root can enter (`/var/lib/kubelet/pods`).
const CONFIG_MAP: &str = "/volumes/kubernetes.io~configmap/";

/// The list of mounts, held open. A confined process can read it again, but cannot open it.
pub(crate) struct Mounts(Option<File>);

impl Mounts {
    /// Opens the list. Without `/proc` no mount is known to be read-only.
    pub(crate) fn open() -> Self {
        Self(File::open("/proc/self/mountinfo").ok())
    }

    /// True if the mount at this path is read-only.
    pub(crate) fn is_read_only(&self, path: &Path) -> bool {
        let list = self.list();
        find(&list, path).is_some_and(|mount| mount.is_read_only || mount.is_whole_read_only)
    }

    /// True if no process can write to the file at this path, by this path or another. A read-only mount
    /// alone is not a proof: its files may be writable in the place that it is mounted from, as with
    /// `BindReadOnlyPaths=` (systemd.exec(5)). So the file system has to be read-only, or the mount has to be
    /// a `ConfigMap`.
    pub(crate) fn is_never_written(&self, path: &Path) -> bool {
        let list = self.list();
        let is_config_map = |mount: &Mount<'_>| mount.is_read_only && mount.root.contains(CONFIG_MAP);
        find(&list, path).is_some_and(|mount| mount.is_whole_read_only || is_config_map(&mount))
    }

    /// True if both paths are in one mount, so that neither can be reached through another mount without the
    /// other.
    pub(crate) fn are_together(&self, one: &Path, other: &Path) -> bool {
        let list = self.list();
        let point = |path| find(&list, path).map(|mount| mount.point);
        point(one).is_some_and(|found| point(other) == Some(found))
    }

    fn list(&self) -> String {
        let mut list = String::new();
        let Some(mut file) = self.0.as_ref() else { return list };
        let read = file.rewind().and_then(|()| file.read_to_string(&mut list));
        if read.is_ok() { list } else { String::new() }
    }
}

/// A line of the list.
struct Mount<'a> {
    /// The directory of the file system that is mounted.
    root: &'a str,
    point: &'a Path,
    is_read_only: bool,
    /// True if the file system itself is read-only, not only this mount.
    is_whole_read_only: bool,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point, options) = (fields.next()?, fields.next()?, fields.next()?);
        let has_ro = |options: &str| options.split(',').any(|option| option == "ro");
        let is_whole_read_only = file_system.rsplit(' ').next().is_some_and(has_ro);
        Some(Self { root, point: Path::new(point), is_read_only: has_ro(options), is_whole_read_only })
    }
}

/// The mount that contains a path without links: the innermost one, and the last one of several at one place.
/// A mount point with a blank is written with `\040` and is not found: files below it seem to be in the mount
/// around it.
fn find<'a>(list: &'a str, path: &Path) -> Option<Mount<'a>> {
    let mounts = list.lines().filter_map(Mount::parse).filter(|mount| path.starts_with(mount.point));
    mounts.max_by_key(|mount| mount.point.as_os_str().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
22 1 0:20 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=/ro
30 22 8:1 /var/lib/kubelet/pods/1/volumes/kubernetes.io~configmap/c /etc/onionbalance ro,relatime - ext4 /dev/sda1 rw
31 22 8:1 /etc/onionbalance /etc/bound ro,relatime - ext4 /dev/sda1 rw,errors=remount-ro
32 22 0:40 / /run/credentials/a.service ro,nosuid - ramfs ramfs rw,mode=700
33 22 0:41 / /mnt rw,nosuid - tmpfs tmpfs ro,size=4k
";

    #[test]
    fn the_innermost_mount_counts() {
        let told = |path| {
            let mount = find(LIST, Path::new(path)).unwrap();
            (mount.is_read_only, mount.is_whole_read_only)
        };
        assert_eq!(told("/etc"), (false, false));
        assert_eq!(told("/etc/onionbalance"), (true, false));
        assert_eq!(told("/etc/onionbalance/..data/x"), (true, false));
        assert_eq!(told("/etc/onionbalance.d"), (false, false));
        assert_eq!(told("/run/credentials/a.service/front.key"), (true, false));
        assert_eq!(told("/mnt/a"), (false, true));
        let over = format!("{LIST}34 33 0:42 / /mnt rw - tmpfs tmpfs rw\n");
        assert!(!find(&over, Path::new("/mnt/a")).unwrap().is_whole_read_only);
    }
}
