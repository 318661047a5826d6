//! Floods of requests and of log lines: they cost other peers little time and the disk little space, and do
//! not end the signer.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe2};
use onionbalance_process::monotonic;
use onionbalance_proto::wire::{Refusal, Reply, Request};

use crate::harness::{Client, Directory, frontend, genuine};

/// A connection to a signer whose log nobody reads.
fn connect_as_soon_as_it_listens(directory: &Directory) -> Client {
    loop {
        if let Ok(stream) = UnixStream::connect(directory.socket()) {
            return Client(stream);
        }
        thread::yield_now();
    }
}

#[test]
fn a_flood_of_refusals_is_slowed_and_its_log_is_counted() {
    let directory = Directory::new("signer-requests-per-minute: 1\n");
    let signer = directory.serve();
    let mut client = directory.connect();
    let (mut refused, _) = genuine();
    refused.sets = vec![vec![]];
    refused.service = *frontend().identity();
    let request = Request::FrontendV3(refused);
    // The first request takes the only permission of this minute, and the next one exceeds it.
    assert_eq!(client.ask(&request), Reply::Refused(Refusal::EmptySet));
    assert_eq!(client.ask(&request), Reply::Refused(Refusal::RateLimit));
    assert!(client.is_closed(), "no honest balancer asks for so much");
    let begun = monotonic();
    let mut answers = 0_u32;
    while begun.elapsed() < Duration::from_secs(3) {
        let mut client = directory.connect();
        if matches!(client.ask(&request), Reply::Refused(Refusal::RateLimit)) {
            answers += 1;
        }
    }
    // At most 8 turns in 50 ms; each connection needs at least one.
    assert!(answers < 600, "{answers}");
    let mut lines = 0;
    signer.signal(Signal::SIGTERM);
    while !signer.line().contains("ending") {
        lines += 1;
    }
    assert!(lines < 200, "{lines} lines for {answers} answers");
}

#[test]
fn lines_that_were_left_out_are_counted() {
    let directory = Directory::new("");
    let signer = directory.serve();
    for _ in 0..100 {
        drop(directory.connect());
    }
    // Two lines for each request: a minute's worth is used up, and more is allowed as time passes.
    let line = loop {
        let line = signer.line();
        if line.contains("left out") {
            break line;
        }
    };
    assert!(line.starts_with("WARN left out") && line.contains("more than 120 a minute"), "{line}");
    assert!(matches!(directory.connect().ask(&Request::FrontendV3(genuine().0)), Reply::FrontendV3(_)));
    // A signature is always logged.
    while !signer.line().contains("INFO signed") {}
}

/// The log on a pipe that nobody reads.
#[test]
fn a_log_that_nobody_reads_holds_nobody() {
    let directory = Directory::new("signer-requests-per-minute: 100000\n");
    let (read, write) = pipe2(OFlag::O_CLOEXEC).unwrap();
    fcntl(&write, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let mut command = directory.command();
    command.stderr(Stdio::from(write));
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut client = connect_as_soon_as_it_listens(&directory);
    let request = Request::FrontendV3(genuine().0);
    for _ in 0..100 {
        assert!(matches!(client.ask(&request), Reply::FrontendV3(_)));
    }
    // The log goes on as soon as its reader reads.
    let reader = thread::spawn(move || {
        let mut log = String::new();
        File::from(read).read_to_string(&mut log).map(|_| log)
    });
    assert!(client.is_answered());
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
    let log = reader.join().unwrap().unwrap();
    assert_eq!(log.matches("INFO signed").count(), 100, "{log}");
    assert!(log.contains("ending: SIGTERM"));
}

/// As with `LimitFSIZE=` in a unit, and standard error on a file.
#[test]
fn a_log_file_that_may_not_grow_ends_nothing() {
    let directory = Directory::new("signer-requests-per-minute: 100000\n");
    let mut command = directory.command();
    let log = directory.path().join("log");
    command.stderr(File::create(&log).unwrap());
    #[expect(unsafe_code, reason = "between fork and exec a process may do little")]
    // SAFETY: one system call.
    unsafe {
        command.pre_exec(|| Ok(setrlimit(Resource::RLIMIT_FSIZE, 65_536, 65_536)?));
    }
    let mut child = command.spawn().unwrap();
    let mut client = connect_as_soon_as_it_listens(&directory);
    let request = Request::FrontendV3(genuine().0);
    while fs::metadata(&log).unwrap().len() < 65_536 {
        assert!(matches!(client.ask(&request), Reply::FrontendV3(_)));
    }
    for _ in 0..10 {
        assert!(matches!(client.ask(&request), Reply::FrontendV3(_)));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
