//! Started by a service manager that listens for it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};

use crate::harness::{Client, Directory, Running};

/// The program with a file where the first handed-over descriptor is, as `sd_listen_fds(3)` has it.
fn activated(directory: &Directory, count: &str, handed_over: impl Into<OwnedFd>) -> Command {
    let program = directory.command();
    let mut shell = Command::new("sh");
    // The process id is known when it runs: `exec` keeps it.
    shell.args(["-c", "exec 3<&0 0</dev/null; export LISTEN_PID=$$; exec \"$0\" \"$@\""]);
    shell.arg(program.get_program()).args(program.get_args()).current_dir(directory.path());
    shell.env("LISTEN_FDS", count).env_remove("ONIONBALANCE_CONFIG");
    shell.stdin(Stdio::from(handed_over.into())).stdout(Stdio::null()).stderr(Stdio::piped());
    shell
}

#[test]
fn serves_at_the_socket_that_is_handed_over_and_says_when_it_is_ready() {
    let directory = Directory::new("");
    let listener = UnixListener::bind(directory.path().join("handed-over")).unwrap();
    let notified = UnixDatagram::bind(directory.path().join("notify")).unwrap();
    let mut command = activated(&directory, "1", listener.try_clone().unwrap());
    command.env("NOTIFY_SOCKET", directory.path().join("notify"));
    let signer = Running::start(command);
    let mut said = [0; 64];
    let length = notified.recv(&mut said).unwrap();
    assert_eq!(said.get(..length), Some(b"READY=1".as_slice()));
    signer.expect(&["<6>holding"]);
    signer.expect(&["<4>runs as root"]);
    signer.expect(&["<6>serving at the service manager's socket"]);
    let connected = UnixStream::connect(directory.path().join("handed-over")).unwrap();
    assert!(Client(connected).is_answered());
    assert!(!directory.socket().exists());
}

#[test]
fn a_restart_behind_the_socket_loses_no_request() {
    let directory = Directory::new("");
    let path = directory.path().join("handed-over");
    let listener = UnixListener::bind(&path).unwrap();
    let first = Running::start(activated(&directory, "1", listener.try_clone().unwrap())).serving();
    assert!(Client(UnixStream::connect(&path).unwrap()).is_answered());
    drop(first);
    let mut waiting = Client(UnixStream::connect(&path).unwrap());
    let _second = Running::start(activated(&directory, "1", listener.try_clone().unwrap()));
    assert!(waiting.is_answered());
}

#[test]
fn anything_but_one_listening_stream_is_refused() {
    let directory = Directory::new("");
    let listener = || OwnedFd::from(UnixListener::bind(directory.path().join("a")).unwrap());
    let datagram = || OwnedFd::from(UnixDatagram::bind(directory.path().join("b")).unwrap());
    let connected = || OwnedFd::from(UnixStream::pair().unwrap().0);
    let tcp = || OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let file = || OwnedFd::from(File::open(directory.path().join("config.yaml")).unwrap());
    let cases: [(&str, OwnedFd, &str); 6] = [
        ("2", listener(), "handed over 2 sockets"),
        ("0", connected(), "handed over 0 sockets"),
        ("1", datagram(), "no listening AF_UNIX stream"),
        ("1", connected(), "no listening AF_UNIX stream"),
        ("1", tcp(), "no listening AF_UNIX stream"),
        ("1", file(), "no listening AF_UNIX stream"),
    ];
    for (count, handed_over, wanted) in cases {
        let (status, log) = Running::start(activated(&directory, count, handed_over)).end();
        assert_eq!((status.code(), log.len()), (Some(78), 1), "{log:?}");
        assert!(log[0].starts_with("<3>") && log[0].contains(wanted), "{log:?}\nwanted {wanted}");
    }
}

#[test]
fn what_is_meant_for_another_process_is_not_taken() {
    let directory = Directory::new("");
    let mut command = directory.command();
    command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    let _signer = Running::start(command).serving();
    assert!(directory.connect().is_answered());
}
