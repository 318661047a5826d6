//! The sockets from which connections come.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use needs_root::needs_root;

use crate::harness::{Client, Directory, NOBODY, Running};

#[test]
fn the_socket_is_for_owner_and_group_from_its_first_moment() {
    let directory = Directory::new("");
    let signer = Running::start(directory.command());
    let found = loop {
        if let Ok(found) = directory.socket().symlink_metadata() {
            break found;
        }
        std::thread::yield_now();
    };
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o7777, 0o660);
    signer.expect(&["INFO holding", ": 1 backend allowed"]);
    signer.expect_serving();
    assert_eq!(directory.socket().symlink_metadata().unwrap().permissions().mode() & 0o7777, 0o660);
}

#[test]
fn a_socket_that_was_left_behind_is_replaced() {
    let directory = Directory::new("");
    drop(UnixListener::bind(directory.socket()).unwrap());
    let _signer = directory.serve();
    assert!(directory.connect().is_answered());
}

#[test]
fn another_signers_socket_is_left_alone() {
    let directory = Directory::new("");
    let _first = directory.serve();
    let (status, log) = Running::start(directory.command()).end();
    assert_eq!(status.code(), Some(1));
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].starts_with("ERROR ") && log[0].contains("is in use"), "{log:?}");
    assert!(directory.connect().is_answered());
}

/// The directory's owner may remove the socket, but may not connect to it: that alone does not mean that its
/// signer is gone.
#[needs_root]
#[test]
fn another_users_live_socket_is_left_alone() {
    let directory = Directory::new("");
    let listener = UnixListener::bind(directory.socket()).unwrap();
    fs::set_permissions(directory.socket(), fs::Permissions::from_mode(0o600)).unwrap();
    let (status, log) = Running::start(directory.command_as(NOBODY)).end();
    assert_eq!(status.code(), Some(1));
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].starts_with("ERROR cannot listen at"), "{log:?}");
    let _connected = UnixStream::connect(directory.socket()).unwrap();
    assert!(listener.accept().is_ok());
}

#[test]
fn a_plain_file_is_left_alone() {
    let directory = Directory::new("");
    directory.write("socket", "precious");
    let (status, log) = Running::start(directory.command()).end();
    assert_eq!(status.code(), Some(1));
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].starts_with("ERROR ") && log[0].contains("exists and is not a socket"), "{log:?}");
    assert_eq!(fs::read_to_string(directory.socket()).unwrap(), "precious");
}

#[test]
fn serves_the_stream_it_inherits_until_its_end() {
    let directory = Directory::new("");
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut command = directory.command();
    command.arg("--inherited").stdin(Stdio::from(OwnedFd::from(theirs)));
    let mut signer = Running::start(command);
    let mut client = Client(ours);
    assert!(client.is_answered());
    assert!(client.is_answered());
    drop(client);
    let (status, log) = signer.end();
    assert_eq!(status.code(), Some(0));
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].starts_with("INFO disconnected"), "{log:?}");
    assert!(!directory.socket().try_exists().unwrap());
}

#[test]
fn inherits_nothing_but_a_stream() {
    let directory = Directory::new("");
    let mut command = directory.command();
    command.arg("--inherited");
    let (status, log) = Running::start(command).end();
    assert_eq!(status.code(), Some(1));
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].starts_with("ERROR standard input is not a connected AF_UNIX stream"), "{log:?}");
}
