//! Keys and configurations that service managers and orchestrators mount, with the owners, modes and mounts
//! that these make.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use needs_root::needs_root;
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::Signal;

use crate::harness::{Directory, NOBODY, Running};

/// A supplementary group of the signer: `fsGroup`, for instance.
const GROUP: u32 = 4242;
const OTHER: u32 = 1;

/// A mounted tmpfs. It is unmounted when this is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(place: PathBuf, mode: u32) -> Self {
        fs::create_dir(&place).unwrap();
        let options = format!("mode={mode:o}");
        mount(Some("tmpfs"), &place, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
        Self(place)
    }

    /// The directory or file at `from`, mounted a second time, read-only.
    fn read_only(from: &Path, place: PathBuf) -> Self {
        if from.is_dir() {
            fs::create_dir(&place).unwrap();
        } else {
            fs::write(&place, "").unwrap();
        }
        let none: Option<&str> = None;
        mount(Some(from), &place, none, MsFlags::MS_BIND, none).unwrap();
        let mounted = Self(place);
        mounted.remount(MsFlags::MS_BIND);
        mounted
    }

    /// Makes the file system read-only: this mount alone if `bound` is `MS_BIND`, else everywhere.
    fn remount(&self, bound: MsFlags) {
        let none: Option<&str> = None;
        mount(none, &self.0, none, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | bound, none).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Gives a file or directory to root and this group.
fn give(path: &Path, group: u32, mode: u32) {
    chown(path, Some(0), Some(group)).unwrap();
    set_mode(path, mode);
}

/// A configuration that takes its key from `secret/front.key`, with `more` at its end.
fn directory(more: &str) -> Directory {
    let directory = Directory::new(more);
    let config = fs::read_to_string(directory.path().join("config.yaml")).unwrap();
    directory.write("config.yaml", config.replace("front.pem", "secret/front.key"));
    directory
}

fn key(directory: &Directory) -> Vec<u8> {
    fs::read(directory.path().join("front.pem")).unwrap()
}

/// The program as a user with these groups; the first one is the primary group.
fn signer(directory: &Directory, groups: [u32; 2]) -> Running {
    let program = directory.copy(env!("CARGO_BIN_EXE_onionbalance-signer").as_ref());
    let mut command = Command::new("setpriv");
    let [first, second] = groups;
    command.args([format!("--reuid={NOBODY}"), format!("--regid={first}"), format!("--groups={second}")]);
    command.arg(program).args(["-c", "config.yaml"]).current_dir(directory.path());
    command.env_remove("ONIONBALANCE_CONFIG").stdin(Stdio::null()).stderr(Stdio::piped());
    Running::start(command)
}

fn serves(directory: &Directory, groups: [u32; 2]) {
    let _signer = signer(directory, groups).serving();
    assert!(directory.connect().is_answered());
}

fn refusal(directory: &Directory, groups: [u32; 2]) -> String {
    let (status, mut log) = signer(directory, groups).end();
    assert_eq!((status.code(), log.len()), (Some(78), 1), "{log:?}");
    log.remove(0)
}

/// A volume as kubelet's `AtomicWriter` writes it, and as `SetVolumeOwnership` gives it to `fsGroup`:
/// `front.key` is a link to `..data/front.key`, and `..data` is a link to a directory that has the time of
/// writing in its name.
fn write_volume(volume: &Path, name: &str, contents: &[u8], mode: u32) {
    let dated = volume.join("..2026_11_29_09_41_00.1");
    fs::create_dir(&dated).unwrap();
    fs::write(dated.join(name), contents).unwrap();
    give(&dated.join(name), GROUP, mode);
    give(&dated, GROUP, 0o2755);
    symlink("..2026_11_29_09_41_00.1", volume.join("..data")).unwrap();
    symlink(Path::new("..data").join(name), volume.join(name)).unwrap();
}

/// A Secret's volume: a sticky tmpfs that every user may write to; `drwxrwsrwt` with an `fsGroup`.
fn secret(directory: &Directory, mode: u32) -> [Mounted; 2] {
    let volume = Mounted::tmpfs(directory.path().join("kubelet"), 0o1777);
    write_volume(&volume.0, "front.key", &key(directory), mode);
    give(&volume.0, GROUP, 0o3777);
    let mounted = Mounted::read_only(&volume.0, directory.path().join("secret"));
    [volume, mounted]
}

#[needs_root]
#[test]
fn a_secret_of_kubernetes_is_taken_with_fs_group() {
    let directory = directory("");
    let _volume = secret(&directory, 0o440);
    serves(&directory, [NOBODY, GROUP]);
    serves(&directory, [GROUP, NOBODY]);
}

/// This mode is Kubernetes' default for `defaultMode`: any user in the container can read the key.
#[needs_root]
#[test]
fn a_secret_that_every_user_reads_is_refused_unless_it_is_allowed() {
    let directory = directory("");
    let volume = secret(&directory, 0o644);
    let told = refusal(&directory, [NOBODY, GROUP]);
    assert!(told.contains("secret/front.key may be read or changed by others (mode 644)"), "{told}");
    assert!(told.contains("defaultMode and fsGroup") && !told.contains("chmod"), "{told}");
    drop(volume);
    let allowing = self::directory("signer-allow-readable-keys: true\n");
    let _volume = secret(&allowing, 0o644);
    serves(&allowing, [NOBODY, GROUP]);
}

/// The configuration as a `ConfigMap`, whose volume is on the node's disk; every user may write to it, and it
/// is not sticky.
#[needs_root]
#[test]
fn a_config_map_of_kubernetes_is_taken_and_read_again() {
    let directory = directory("");
    let _secret = secret(&directory, 0o440);
    let config = directory.path().join("config.yaml");
    let text = fs::read(&config).unwrap();
    let volume = directory.path().join("volumes/kubernetes.io~configmap/c");
    fs::create_dir_all(&volume).unwrap();
    write_volume(&volume, "config.yaml", &text, 0o644);
    give(&volume, GROUP, 0o2777);
    let _mounted = Mounted::read_only(&volume, directory.path().join("etc"));
    fs::remove_file(&config).unwrap();
    symlink("etc/config.yaml", &config).unwrap();
    let signer = signer(&directory, [NOBODY, GROUP]).serving();
    // Kubelet writes the next version beside it, and changes the link.
    let next = volume.join("..2026_11_29_09_42_00.2");
    fs::create_dir(&next).unwrap();
    fs::write(next.join("config.yaml"), &text).unwrap();
    symlink("..2026_11_29_09_42_00.2", volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    signer.signal(Signal::SIGHUP);
    signer.expect(&["INFO reloaded config.yaml"]);
}

/// Every user can write to the directory that is mounted.
#[needs_root]
#[test]
fn a_read_only_mount_of_what_others_may_change_is_refused() {
    let directory = directory("");
    let open = directory.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::write(open.join("front.key"), key(&directory)).unwrap();
    give(&open.join("front.key"), GROUP, 0o440);
    set_mode(&open, 0o777);
    let mounted = Mounted::read_only(&open, directory.path().join("secret"));
    let told = refusal(&directory, [NOBODY, GROUP]);
    assert!(told.contains("/secret, which others may change (mode 0777): "), "{told}");
    assert!(!told.contains("chmod"), "{told}");
    drop(mounted);
    fs::remove_dir(directory.path().join("secret")).unwrap();

    // A file system that is read-only as a whole is accepted.
    let whole = Mounted::tmpfs(directory.path().join("secret"), 0o777);
    fs::write(whole.0.join("front.key"), key(&directory)).unwrap();
    give(&whole.0.join("front.key"), GROUP, 0o440);
    whole.remount(MsFlags::empty());
    serves(&directory, [NOBODY, GROUP]);
}

/// A Docker secret: a file of root's that every user may read, mounted alone.
#[needs_root]
#[test]
fn a_secret_of_docker_is_taken_where_it_is_allowed_or_has_another_mode() {
    for (more, owner, mode, is_taken) in [
        ("", 0, 0o444, false),
        ("signer-allow-readable-keys: true\n", 0, 0o444, true),
        ("", NOBODY, 0o400, true),
        ("signer-allow-readable-keys: true\n", OTHER, 0o444, false),
        ("signer-allow-readable-keys: true\n", 0, 0o446, false),
    ] {
        let directory = directory(more);
        let secrets = Mounted::tmpfs(directory.path().join("docker"), 0o755);
        let from = secrets.0.join("1");
        fs::write(&from, key(&directory)).unwrap();
        chown(&from, Some(owner), None).unwrap();
        set_mode(&from, mode);
        fs::create_dir(directory.path().join("secret")).unwrap();
        let _mounted = Mounted::read_only(&from, directory.path().join("secret/front.key"));
        if is_taken {
            serves(&directory, [NOBODY, NOBODY]);
        } else {
            let told = refusal(&directory, [NOBODY, NOBODY]);
            assert!(!told.contains("chmod") && told.contains("secret/front.key"), "{told}");
        }
    }
}

/// A directory that no other user can enter hides a readable file, unless the file is mounted there.
#[needs_root]
#[test]
fn a_directory_that_nobody_else_can_enter_hides_a_readable_key() {
    let directory = directory("");
    let secret = directory.path().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("front.key"), key(&directory)).unwrap();
    give(&secret.join("front.key"), 0, 0o444);
    chown(&secret, Some(NOBODY), None).unwrap();
    for (mode, is_taken) in [(0o700, true), (0o500, true), (0o701, false), (0o710, false)] {
        set_mode(&secret, mode);
        if is_taken {
            serves(&directory, [NOBODY, NOBODY]);
        } else {
            assert!(refusal(&directory, [NOBODY, NOBODY]).contains("(mode 444)"), "{mode:o}");
        }
    }
    set_mode(&secret, 0o700);
    let elsewhere = directory.path().join("elsewhere");
    fs::write(&elsewhere, key(&directory)).unwrap();
    give(&elsewhere, 0, 0o444);
    fs::remove_file(secret.join("front.key")).unwrap();
    let _mounted = Mounted::read_only(&elsewhere, secret.join("front.key"));
    assert!(refusal(&directory, [NOBODY, NOBODY]).contains("(mode 444)"));
}

/// The balancer can read what its groups can: those that may read the configuration, or connect to the
/// signer.
#[needs_root]
#[test]
fn a_key_that_the_balancers_group_reads_is_refused() {
    let with_key = |more: &str| {
        let directory = directory(more);
        fs::create_dir(directory.path().join("secret")).unwrap();
        fs::write(directory.path().join("secret/front.key"), key(&directory)).unwrap();
        give(&directory.path().join("secret/front.key"), GROUP, 0o640);
        directory
    };
    let alone = with_key("");
    serves(&alone, [NOBODY, GROUP]);
    assert!(refusal(&alone, [NOBODY, NOBODY]).contains("cannot be read: Permission denied"));
    let shared = with_key("signer-allowed-uids: [1]\n");
    serves(&shared, [NOBODY, GROUP]);
    assert!(refusal(&shared, [GROUP, NOBODY]).contains("(mode 640)"));
    give(&shared.path().join("config.yaml"), GROUP, 0o640);
    assert!(refusal(&shared, [NOBODY, GROUP]).contains("(mode 640)"));
}

/// An entry of an access list: tag, permissions, and the id that it names.
type Entry = (u16, u16, u32);

/// The entries of every list here: the owner may read, the group itself and others may not.
fn list(named: &[Entry]) -> Vec<u8> {
    let none = u32::MAX;
    let mut entries = vec![(0x01, 4, none)];
    entries.extend(named.iter().filter(|(tag, ..)| *tag == 0x02));
    entries.push((0x04, 0, none));
    entries.extend(named.iter().filter(|(tag, ..)| *tag == 0x08));
    entries.extend([(0x10, 4, none), (0x20, 0, none)]);
    let bytes = entries.iter().flat_map(|(tag, permissions, id)| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    });
    2_u32.to_le_bytes().into_iter().chain(bytes).collect()
}

#[expect(unsafe_code, reason = "extended attributes have no safe interface")]
fn set_list(path: &Path, list: &[u8]) {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    let name = c"system.posix_acl_access";
    // SAFETY: the kernel reads as many bytes as there are.
    let done = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), list.as_ptr().cast(), list.len(), 0) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// Credentials of systemd since version 254 (`exec-credential.c`): root's, with an access list for the unit's
/// user, which shows as a permission of the group, on a file system that is remounted read-only.
#[needs_root]
#[test]
fn a_credential_of_systemd_is_taken() {
    let user: Entry = (0x02, 4, NOBODY);
    for (named, is_taken) in [
        (vec![user], true),
        (vec![user, (0x02, 4, OTHER)], false),
        (vec![user, (0x02, 0, OTHER)], true),
        (vec![user, (0x08, 4, GROUP)], false),
        (vec![user, (0x08, 4, NOBODY)], true),
    ] {
        let directory = directory("");
        let credentials = Mounted::tmpfs(directory.path().join("secret"), 0o755);
        let key_file = credentials.0.join("front.key");
        fs::write(&key_file, key(&directory)).unwrap();
        set_mode(&key_file, 0o400);
        set_list(&key_file, &list(&named));
        assert_eq!(fs::metadata(&key_file).unwrap().permissions().mode() & 0o777, 0o440);
        credentials.remount(MsFlags::empty());
        if is_taken {
            serves(&directory, [NOBODY, NOBODY]);
        } else {
            let told = refusal(&directory, [NOBODY, NOBODY]);
            assert!(told.contains("(mode 440)") && !told.contains("chmod"), "{told}");
        }
    }
}
