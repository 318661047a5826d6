//! Who else has a hand on a key file.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use needs_root::needs_root;

use crate::harness::{Directory, NOBODY, Running};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A configuration whose key lies in a directory of its own.
fn with_key_in_a_directory() -> Directory {
    let directory = Directory::new("");
    let config = fs::read_to_string(directory.path().join("config.yaml")).unwrap();
    directory.write("config.yaml", config.replace("front.pem", "keys/front.pem"));
    fs::create_dir(directory.path().join("keys")).unwrap();
    set_mode(&directory.path().join("keys"), 0o755);
    directory.write("keys/front.pem", fs::read(directory.path().join("front.pem")).unwrap());
    directory
}

fn refusal(directory: &Directory) -> String {
    let (status, mut log) = Running::start(directory.command_as(NOBODY)).end();
    assert_eq!((status.code(), log.len()), (Some(78), 1), "{log:?}");
    log.remove(0)
}

#[needs_root]
#[test]
fn a_key_that_others_may_read_is_refused() {
    for mode in [0o640, 0o604, 0o620, 0o644, 0o660] {
        let directory = Directory::new("");
        set_mode(&directory.path().join("front.pem"), mode);
        let wanted = format!(
            "the key file front.pem may be read or changed by others (mode {mode:03o}): chmod 600 it"
        );
        assert!(refusal(&directory).contains(&wanted), "{mode:o}");
    }
}

#[needs_root]
#[test]
fn a_directory_that_others_may_change_is_refused() {
    for mode in [0o777, 0o775, 0o757] {
        let directory = with_key_in_a_directory();
        let keys = directory.path().join("keys");
        set_mode(&keys, mode);
        chown(keys.join("front.pem"), Some(NOBODY), None).unwrap();
        let wanted = format!("which others may change (mode {mode:04o}): chmod go-w that directory");
        assert!(refusal(&directory).contains(&wanted), "{mode:o}");
    }
}

#[needs_root]
#[test]
fn another_users_directory_is_refused() {
    let directory = with_key_in_a_directory();
    let keys = directory.path().join("keys");
    chown(keys.join("front.pem"), Some(NOBODY), None).unwrap();
    chown(&keys, Some(1), None).unwrap();
    assert!(refusal(&directory).contains("is not safe from the user 1, who owns "));
}

#[needs_root]
#[test]
fn a_key_in_a_safe_place_is_taken() {
    let directory = with_key_in_a_directory();
    chown(directory.path().join("keys/front.pem"), Some(NOBODY), None).unwrap();
    let _signer = directory.serve_as(NOBODY);
    assert!(directory.connect().is_answered());
}
