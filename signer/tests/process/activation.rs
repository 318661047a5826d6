//! A signer that is started by a service manager with a listening socket.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};

use nix::libc;
use onionbalance_proto::wire::{Reply, Request, frame};

use crate::harness::{Client, Directory, Running, genuine, without_calls};

/// The program with `handed_over` as the first handed-over descriptor (`sd_listen_fds(3)`).
pub(crate) fn activated(directory: &Directory, count: &str, handed_over: impl Into<OwnedFd>) -> Command {
    let program = directory.command();
    let mut shell = Command::new("sh");
    // The process id is known only in the process: `exec` keeps it.
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
    signer.expect(&["INFO holding"]);
    signer.expect_warning_of_root();
    signer.expect(&["INFO listening on the socket from the service manager"]);
    let connected = UnixStream::connect(directory.path().join("handed-over")).unwrap();
    assert!(Client(connected).is_answered());
    assert!(!directory.socket().try_exists().unwrap());
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
        ("1", datagram(), "not a listening AF_UNIX stream"),
        ("1", connected(), "not a listening AF_UNIX stream"),
        ("1", tcp(), "not a listening AF_UNIX stream"),
        ("1", file(), "not a listening AF_UNIX stream"),
    ];
    for (count, handed_over, wanted) in cases {
        let (status, log) = Running::start(activated(&directory, count, handed_over)).end();
        assert_eq!((status.code(), log.len()), (Some(78), 1), "{log:?}");
        assert!(log[0].starts_with("ERROR ") && log[0].contains(wanted), "{log:?}\nwanted {wanted}");
    }
}

/// A configuration, arguments, system calls that the kernel lacks; the exit status, and the beginning of the
/// reason.
type Failure<'a> = (&'a str, &'a [&'a str], &'a [libc::c_long], i32, &'a str);

/// A connection that nobody accepts would start the next signer at once, so each of these failures has to
/// accept it.
#[test]
fn whoever_waits_for_a_signer_that_cannot_start_is_told_why() {
    let config = fs::read_to_string(Directory::new("").path().join("config.yaml")).unwrap();
    let no_key = config.replace("front.pem", "none.pem");
    let no_user = format!("{config}signer-user: nobody-of-this-name\n");
    let secret_memory = libc::SYS_memfd_secret;
    let cases: [Failure; 7] = [
        ("services: [\n", &[], &[], 78, "config.yaml:"),
        (&no_key, &[], &[], 78, "config.yaml:2: the key file none.pem cannot be read: No such file"),
        (&no_user, &[], &[], 78, "signer-user: there is no user nobody-of-this-name"),
        (&config, &["--passphrase-file", "none"], &[], 78, "the passphrase file none cannot be read"),
        (&config, &["--nonsense"], &[], 2, "invalid option '--nonsense'; see --help"),
        (&config, &[], &[secret_memory], 78, "the kernel has no secret memory for keys"),
        (&config, &[], &[libc::SYS_seccomp], 78, "cannot filter system calls (seccomp)"),
    ];
    for (config, arguments, missing, status, reason) in cases {
        let directory = Directory::new("");
        directory.write("config.yaml", config);
        let path = directory.path().join("handed-over");
        let listener = UnixListener::bind(&path).unwrap();
        // One balancer has sent a request, one has not yet, and one is gone.
        let mut waiting = [(); 3].map(|()| Client(UnixStream::connect(&path).unwrap()));
        waiting[0].send(&frame::encode(&Request::FrontendV3(genuine().0)).unwrap());
        let [asked, silent, gone] = waiting;
        drop(gone);
        let mut command = activated(&directory, "1", listener.try_clone().unwrap());
        command.args(arguments);
        let (ended, log) = Running::start(without_calls(command, missing)).end();
        assert_eq!((ended.code(), log.len()), (Some(status), 1), "{log:?}");
        for mut client in [asked, silent] {
            let Reply::NotReady(told) = client.receive() else { panic!("another reply") };
            let told = String::from(told);
            assert!(told.starts_with(reason), "{told}\nwanted {reason}");
            assert!(log[0].ends_with(&told), "{log:?}\n{told}");
            assert!(client.is_closed());
        }
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "nobody waits any more");
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

/// A hang would end the pings, and then the service manager would end the process.
#[test]
fn the_watchdog_hears_from_it_though_nobody_asks() {
    let directory = Directory::new("");
    let notified = UnixDatagram::bind(directory.path().join("notify")).unwrap();
    let mut command = directory.command();
    command.env("NOTIFY_SOCKET", directory.path().join("notify")).env("WATCHDOG_USEC", "300000");
    let signer = Running::start(command);
    let mut said = [0; 64];
    for wanted in ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"] {
        let length = notified.recv(&mut said).unwrap();
        assert_eq!(said.get(..length), Some(wanted.as_bytes()));
    }
    drop(signer);

    // These variables are meant for another process.
    let mut command = directory.command();
    command.env("NOTIFY_SOCKET", directory.path().join("notify"));
    command.env("WATCHDOG_USEC", "1").env("WATCHDOG_PID", "1");
    let _signer = Running::start(command).serving();
    let length = notified.recv(&mut said).unwrap();
    assert_eq!(said.get(..length), Some(b"READY=1".as_slice()));
    notified.set_nonblocking(true).unwrap();
    assert_eq!(notified.recv(&mut said).unwrap_err().kind(), ErrorKind::WouldBlock);
}
