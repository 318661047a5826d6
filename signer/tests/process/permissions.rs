//! Other users that can change a key file, the configuration, or a directory on the path to them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use needs_root::needs_root;
use nix::sys::signal::Signal;
use onionbalance_proto::fixture::Backend;
use onionbalance_proto::wire::{Reply, Request};

use crate::harness::{Directory, NOBODY, Running, as_user, genuine};

/// A user that is neither root nor the signer's: the balancer's, for instance.
const OTHER: u32 = 1;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A configuration whose key is in a directory of its own.
fn with_key_in_a_directory() -> Directory {
    let directory = Directory::new("");
    name_key(&directory, "keys/front.pem");
    fs::create_dir(directory.path().join("keys")).unwrap();
    set_mode(&directory.path().join("keys"), 0o755);
    directory.write("keys/front.pem", fs::read(directory.path().join("front.pem")).unwrap());
    directory
}

fn name_key(directory: &Directory, key: &str) {
    let config = fs::read_to_string(directory.path().join("config.yaml")).unwrap();
    directory.write("config.yaml", config.replace("front.pem", key));
}

fn refusal(directory: &Directory) -> String {
    refused(Running::start(directory.command_as(NOBODY)))
}

/// The refusal by a program that is started as root.
fn refusal_of_roots(directory: &Directory) -> String {
    refused(Running::start(directory.command()))
}

fn refused(mut signer: Running) -> String {
    let (status, mut log) = signer.end();
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
    chown(&keys, Some(OTHER), None).unwrap();
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

/// Root can read every file, so the owner has to be checked.
#[needs_root]
#[test]
fn started_as_root_it_takes_keys_of_root_and_its_user_alone() {
    for (more, owner) in [("", NOBODY), ("", OTHER), ("signer-user: nobody\n", OTHER)] {
        let directory = Directory::new(more);
        chown(directory.path().join("front.pem"), Some(owner), None).unwrap();
        let wanted = format!("the key file front.pem is not safe from the user {owner}, who owns ");
        assert!(refusal_of_roots(&directory).contains(&wanted), "{more} {owner}");

        let directory = with_key_in_a_directory();
        directory
            .write("config.yaml", fs::read_to_string(directory.path().join("config.yaml")).unwrap() + more);
        chown(directory.path().join("keys"), Some(owner), None).unwrap();
        assert!(refusal_of_roots(&directory).contains("/keys: chown that to root"), "{more} {owner}");
    }
    for owner in [0, NOBODY] {
        let directory = Directory::new("signer-user: nobody\n");
        chown(directory.path().join("front.pem"), Some(owner), None).unwrap();
        let _signer = directory.serve();
        assert!(directory.connect().is_answered(), "{owner}");
    }
}

/// A link in a directory where every user may write: it leads to the right key only until a user replaces it.
#[needs_root]
#[test]
fn a_link_that_others_may_replace_is_refused() {
    for (place, key) in [("", "open/link.pem"), ("deep", "open/link/front.pem"), ("via", "safe.pem")] {
        let directory = Directory::new("");
        let open = directory.path().join("open");
        fs::create_dir(&open).unwrap();
        set_mode(&open, 0o777);
        match place {
            "deep" => symlink(directory.path(), open.join("link")).unwrap(),
            _ => symlink("../front.pem", open.join("link.pem")).unwrap(),
        }
        if place == "via" {
            symlink("open/link.pem", directory.path().join("safe.pem")).unwrap();
        }
        name_key(&directory, key);
        let refusal = refusal(&directory);
        assert!(refusal.contains("/open, which others may change (mode 0777)"), "{refusal}");
    }
    // In a sticky directory only the owner of a link can replace it: the tests' own directory is sticky.
    for (owner, is_taken) in [(0, true), (NOBODY, true), (OTHER, false)] {
        let directory = Directory::new("");
        symlink("front.pem", directory.path().join("link")).unwrap();
        lchown(directory.path().join("link"), Some(owner), None).unwrap();
        name_key(&directory, "link");
        if is_taken {
            let _signer = directory.serve_as(NOBODY);
            assert!(directory.connect().is_answered(), "{owner}");
        } else {
            assert!(refusal(&directory).contains("/link: chown that to root or to the signer's user"));
        }
    }
}

#[test]
fn links_are_followed_as_the_kernel_does_and_no_further() {
    let directory = Directory::new("");
    let path = |name: &str| directory.path().join(name);
    for place in ["a", "a/b"] {
        fs::create_dir(path(place)).unwrap();
        set_mode(&path(place), 0o755);
    }
    symlink("a/b", path("deep")).unwrap();
    symlink(directory.path(), path("a/absolute")).unwrap();
    // `..` behind a link is the directory above the link's target.
    symlink("deep/.././absolute/front.pem", path("key")).unwrap();
    name_key(&directory, "key");
    drop(directory.serve());
    symlink("loop", path("loop")).unwrap();
    directory.write(
        "config.yaml",
        fs::read_to_string(path("config.yaml")).unwrap().replace("key: key", "key: loop"),
    );
    let refusal = refusal_of_roots(&directory);
    assert!(
        refusal.contains("the key file loop cannot be read: Too many levels of symbolic links"),
        "{refusal}"
    );
}

/// The variable names the directory of the service manager's credentials. It turns off no check.
#[needs_root]
#[test]
fn a_variable_turns_no_check_off() {
    let directory = Directory::new("");
    set_mode(&directory.path().join("front.pem"), 0o644);
    for credentials in ["/", "", directory.path().to_str().unwrap()] {
        let mut command = directory.command_as(NOBODY);
        command.env("CREDENTIALS_DIRECTORY", credentials);
        let refusal = refused(Running::start(command));
        assert!(refusal.contains("may be read or changed by others"), "{refusal}");
    }
}

/// An owner and a mode that a configuration must not have, with the error.
const UNSAFE: [(u32, u32, &str); 5] = [
    (0, 0o666, "config.yaml: may be changed by others (mode 666): chmod go-w it"),
    (0, 0o664, "config.yaml: may be changed by others (mode 664): chmod go-w it"),
    (0, 0o646, "config.yaml: may be changed by others (mode 646): chmod go-w it"),
    (NOBODY, 0o622, "config.yaml: may be changed by others (mode 622): chmod go-w it"),
    (OTHER, 0o600, "config.yaml: is not safe from the user 1, who owns "),
];

#[needs_root]
#[test]
fn a_configuration_that_others_may_change_is_refused() {
    for (owner, mode, wanted) in UNSAFE {
        let directory = Directory::new("");
        let config = directory.path().join("config.yaml");
        chown(&config, Some(owner), None).unwrap();
        set_mode(&config, mode);
        // The signer's user could not read the file otherwise.
        if owner == OTHER {
            set_mode(&config, 0o644);
        }
        let refusal = refusal(&directory);
        assert!(refusal.contains(wanted), "{refusal}");
    }
    for mode in [0o777, 0o775] {
        let directory = Directory::new("");
        set_mode(directory.path(), mode);
        let refusal = refusal(&directory);
        let wanted = format!("which others may change (mode {mode:04o}): chmod go-w that directory");
        assert!(
            refusal.starts_with("ERROR config.yaml: lies below ") && refusal.contains(&wanted),
            "{refusal}"
        );
    }
}

/// The owner could name any user in the file.
#[needs_root]
#[test]
fn a_configuration_does_not_vouch_for_its_owner() {
    let directory = Directory::new("signer-user: nobody\n");
    chown(directory.path().join("config.yaml"), Some(NOBODY), None).unwrap();
    let refusal = refusal_of_roots(&directory);
    assert!(refusal.contains("config.yaml: is not safe from the user 65534, who owns "), "{refusal}");
    assert!(refusal.ends_with("/config.yaml: chown that to root"), "{refusal}");
}

#[needs_root]
#[test]
fn a_configuration_of_roots_or_of_its_user_is_taken_whoever_may_read_it() {
    for (owner, mode) in [(0, 0o644), (0, 0o604), (NOBODY, 0o400), (NOBODY, 0o644)] {
        let directory = Directory::new("");
        chown(directory.path().join("config.yaml"), Some(owner), None).unwrap();
        set_mode(&directory.path().join("config.yaml"), mode);
        let signer = directory.serve_as(NOBODY);
        assert!(directory.connect().is_answered(), "{owner} {mode:o}");
        drop(signer);
    }
}

/// Replaces the configuration by a file with this owner and mode, which allows another backend.
fn replace_configuration(directory: &Directory, owner: u32, mode: u32) {
    let [one, two] = [1, 2].map(|number| Backend::new(number).address().to_string());
    let text = fs::read_to_string(directory.path().join("config.yaml")).unwrap().replace(&one, &two);
    directory.write("config.new", text);
    let new = directory.path().join("config.new");
    chown(&new, Some(owner), None).unwrap();
    set_mode(&new, mode);
    fs::rename(new, directory.path().join("config.yaml")).unwrap();
}

#[needs_root]
#[test]
fn a_reload_takes_no_configuration_that_others_may_change() {
    for (owner, mode, wanted) in UNSAFE {
        for starter in [0, NOBODY] {
            let directory = Directory::new("signer-user: nobody\n");
            let signer = match starter {
                0 => directory.serve(),
                user => directory.serve_as(user),
            };
            replace_configuration(&directory, owner, if owner == OTHER { 0o644 } else { mode });
            signer.signal(Signal::SIGHUP);
            let line = signer.line();
            let is_known =
                line.contains(wanted) || (starter == 0 && line.contains("config.yaml: is not safe from"));
            assert!(line.starts_with("ERROR reload refused") && is_known, "{line}");
            let answer = directory.connect().ask(&Request::FrontendV3(genuine().0));
            assert!(matches!(answer, Reply::FrontendV3(_)), "{answer:?}");
        }
    }
}

/// A configuration behind symbolic links, as configuration management and `stow` make them.
fn with_linked_configuration(more: &str) -> (Directory, [PathBuf; 3]) {
    let directory = Directory::new(more);
    let text = fs::read_to_string(directory.path().join("config.yaml")).unwrap();
    let text = text.replace("front.pem", "../front.pem").replace("location: ", "location: ../");
    fs::remove_file(directory.path().join("config.yaml")).unwrap();
    let places = ["etc", "current", "store1"].map(|name| directory.path().join(name));
    for place in &places {
        fs::create_dir(place).unwrap();
        set_mode(place, 0o755);
    }
    directory.write("store1/config.yaml", text);
    symlink("../current/config.yaml", places[0].join("config.yaml")).unwrap();
    symlink("../store1/config.yaml", places[1].join("config.yaml")).unwrap();
    (directory, places)
}

#[needs_root]
#[test]
fn a_linked_configuration_is_read_again() {
    let (directory, [_, current, store]) = with_linked_configuration("");
    let mut command = directory.command_as(NOBODY);
    command.args(["-c", "etc/config.yaml"]);
    let signer = Running::start(command).serving();
    let reload = || {
        signer.signal(Signal::SIGHUP);
        signer.line()
    };
    assert!(reload().contains("INFO reloaded etc/config.yaml"));
    // Each directory on the chain may hold the file itself.
    fs::rename(store.join("config.yaml"), current.join("config.yaml")).unwrap();
    assert!(reload().contains("INFO reloaded etc/config.yaml"));
    // A directory that was not on the chain at the start cannot be read.
    let other = directory.path().join("store2");
    fs::create_dir(&other).unwrap();
    set_mode(&other, 0o755);
    fs::rename(current.join("config.yaml"), other.join("config.yaml")).unwrap();
    symlink("../store2/config.yaml", current.join("config.yaml")).unwrap();
    let line = reload();
    assert!(line.contains("if it is in another directory than at the start, restart the program"), "{line}");
}

#[needs_root]
#[test]
fn a_link_to_the_configuration_that_others_may_replace_is_refused() {
    let (directory, [etc, current, _]) = with_linked_configuration("");
    let start = || {
        let mut command = directory.command_as(NOBODY);
        command.args(["-c", "etc/config.yaml"]);
        Running::start(command)
    };
    for place in [&etc, &current] {
        set_mode(place, 0o777);
        let refusal = refused(start());
        assert!(refusal.contains("config.yaml: lies below ") && refusal.contains("(mode 0777)"), "{refusal}");
        set_mode(place, 0o755);
    }
    let signer = start().serving();
    set_mode(&current, 0o777);
    signer.signal(Signal::SIGHUP);
    signer.expect(&["ERROR reload refused", "lies below ", "/current, which others may change (mode 0777)"]);
}

#[needs_root]
#[test]
fn a_configuration_that_a_reload_cannot_read_is_told_at_the_start() {
    let unreadable = "WARN SIGHUP will be refused: config.yaml: cannot be read: Permission denied";
    let directory = Directory::new("signer-user: nobody\n");
    set_mode(&directory.path().join("config.yaml"), 0o600);
    let signer = Running::start(directory.command());
    signer.expect(&[unreadable, "let the program's user read it"]);
    let signer = signer.serving();
    signer.signal(Signal::SIGHUP);
    signer.expect(&["ERROR reload refused", "config.yaml: cannot be read: Permission denied"]);
    drop(signer);

    // A directory that the signer's user cannot enter has the same effect.
    let directory = Directory::new("signer-user: nobody\n");
    let closed = directory.path().join("closed");
    fs::create_dir(&closed).unwrap();
    let text = fs::read_to_string(directory.path().join("config.yaml")).unwrap();
    let socket = format!("location: {}/", directory.path().display());
    let text = text.replace("front.pem", "../front.pem").replace("location: ", &socket);
    directory.write("closed/config.yaml", text);
    set_mode(&closed, 0o700);
    let mut command = directory.command();
    command.args(["-c", "closed/config.yaml"]);
    let signer = Running::start(command);
    signer.expect(&["WARN SIGHUP will be refused: closed/config.yaml: cannot be read: Permission denied"]);
}

/// The balancer starts such a signer as its own user.
#[needs_root]
#[test]
fn a_signer_that_is_a_child_takes_what_its_user_owns() {
    let directory = Directory::new("");
    for file in ["config.yaml", "front.pem"] {
        chown(directory.path().join(file), Some(NOBODY), None).unwrap();
    }
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let program = directory.copy(env!("CARGO_BIN_EXE_onionbalance-signer").as_ref());
    let mut command = std::process::Command::new(program);
    command.current_dir(directory.path()).args(["-c", "config.yaml", "--inherited"]);
    command.stdin(std::os::fd::OwnedFd::from(theirs)).stderr(std::process::Stdio::piped());
    let _signer = Running::start(as_user(command, NOBODY));
    assert!(crate::harness::Client(ours).is_answered());
}
