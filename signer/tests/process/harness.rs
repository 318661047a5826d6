//! Starts the program in a directory of its own, reads its log, and speaks its protocol.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use onionbalance_proto::fixture::{self, Backend};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::{OnionAddress, PeriodLength, TimePeriod};
use onionbalance_proto::wire::{FrontendRequest, Header, HeldService, Page, Reply, Request, frame};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use tempfile::TempDir;

/// The time after which a test fails if an event has not come. Tests wait for events, never for this time.
const DEADLINE: Duration = Duration::from_secs(30);
/// A user that is neither root nor anybody else on the machine.
pub(crate) const NOBODY: u32 = 65_534;
/// The request for the list of services.
pub(crate) const SERVICES: Request = Request::Services { from: 0 };
const PROGRAM: &str = env!("CARGO_BIN_EXE_onionbalance-signer");
const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/testdata/v3");

/// The frontend whose key the directory holds.
pub(crate) fn frontend() -> OnionAddress {
    fs::read_to_string(Path::new(TESTDATA).join("front.hostname")).unwrap().trim().parse().unwrap()
}

pub(crate) use onionbalance_signer::now;

/// A request that the configuration of [`Directory::new`] allows, and its period.
pub(crate) fn genuine() -> (FrontendRequest, TimePeriod) {
    let now = now();
    let period = TimePeriod::at(now, PeriodLength::try_from(1440).unwrap(), 720);
    let published = [Backend::new(1).publish(period, now, 3, &mut rand::thread_rng())];
    (fixture::request(&frontend(), period, &published), period)
}

/// A configuration, key files and a place for the socket, open to every user.
pub(crate) struct Directory(TempDir);

impl Directory {
    /// One service with one backend, `front.pem` and [`Backend`] number 1; `more` is added to the
    /// configuration.
    pub(crate) fn new(more: &str) -> Self {
        let directory = Self::bare();
        let address = Backend::new(1).address();
        directory.write(
            "config.yaml",
            format!(
                "services:\n- key: front.pem\n  instances:\n  - address: {address}\n\
                 signer-socket-location: socket\n{more}"
            ),
        );
        directory
    }

    /// Key files alone.
    pub(crate) fn bare() -> Self {
        let directory = Self(tempfile::tempdir().unwrap());
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        for file in
            ["front.pem", "front-aes256.pem", "front.hs_ed25519_secret_key", "backend0.hs_ed25519_secret_key"]
        {
            directory.write(file, fs::read(Path::new(TESTDATA).join(file)).unwrap());
        }
        directory
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join("socket")
    }

    /// Writes a file; a key is readable for its owner only.
    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        fs::write(&path, contents).unwrap();
        let mode = if is_key(name) { 0o600 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The command that starts the program in this directory.
    pub(crate) fn command(&self) -> Command {
        self.command_of(PROGRAM.as_ref())
    }

    /// The same command for another user, who may not be able to reach the original program.
    pub(crate) fn command_as(&self, uid: u32) -> Command {
        self.give_keys_to(uid);
        as_user(self.command_of(&self.copy(PROGRAM.as_ref())), uid)
    }

    pub(crate) fn give_keys_to(&self, uid: u32) {
        for entry in fs::read_dir(self.path()).unwrap().map(Result::unwrap) {
            if is_key(&entry.file_name().to_string_lossy()) {
                chown(entry.path(), Some(uid), None).unwrap();
            }
        }
    }

    fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).args(["-c", "config.yaml"]).env_remove("ONIONBALANCE_CONFIG");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// A copy of a program. Another process writes it: if the file were open for writing here, a child that
    /// another test starts at this moment would have it open too, and the copy could not be executed.
    pub(crate) fn copy(&self, program: &Path) -> PathBuf {
        let copy = self.path().join(program.file_name().unwrap());
        assert!(Command::new("cp").arg(program).arg(&copy).status().unwrap().success());
        copy
    }

    /// The running program, ready to serve.
    pub(crate) fn serve(&self) -> Running {
        Running::start(self.command()).serving()
    }

    /// The running program of another user, ready to serve.
    pub(crate) fn serve_as(&self, uid: u32) -> Running {
        Running::start(self.command_as(uid)).serving()
    }

    pub(crate) fn connect(&self) -> Client {
        Client(UnixStream::connect(self.socket()).unwrap())
    }
}

fn is_key(name: &str) -> bool {
    [".pem", ".key", "_secret_key"].iter().any(|end| name.ends_with(end))
}

/// The command, to be run as if the kernel did not have these system calls.
pub(crate) fn without_calls(mut command: Command, calls: &[nix::libc::c_long]) -> Command {
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let missing = SeccompAction::Errno(nix::libc::ENOSYS.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, missing, architecture).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    #[expect(unsafe_code, reason = "between fork and exec a process may do little")]
    // SAFETY: one system call on memory that was prepared before.
    unsafe {
        command.pre_exec(move || apply_filter(&program).map_err(std::io::Error::other));
    }
    command
}

/// The command, to be run by another user; only root can do so.
pub(crate) fn as_user(mut command: Command, uid: u32) -> Command {
    command.uid(uid).gid(uid);
    command
}

/// The line without the time in front.
fn undated(line: String) -> String {
    match line.split_once("Z ") {
        Some((time, rest)) if time.replace('T', " ").parse::<UnixTime>().is_ok() => rest.to_owned(),
        _ => line,
    }
}

/// A program's whole log, without the times in front of its lines.
pub(crate) fn log(stderr: Vec<u8>) -> String {
    String::from_utf8(stderr).unwrap().lines().map(|line| undated(line.to_owned()) + "\n").collect()
}

/// The running program. It is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    log: Receiver<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (sender, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut lines = stderr.lines().map_while(Result::ok).map(undated);
        thread::spawn(move || lines.try_for_each(|line| sender.send(line)));
        Self { child, log }
    }

    /// Skips the log lines up to the one that tells that the signer serves.
    pub(crate) fn serving(self) -> Self {
        while !self.line().contains("listening on") {}
        self
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of the log.
    pub(crate) fn line(&self) -> String {
        self.log.recv_timeout(DEADLINE).expect("a line was to be logged")
    }

    /// The next line of the log, which must contain each of `parts`.
    pub(crate) fn expect(&self, parts: &[&str]) -> String {
        let line = self.line();
        assert!(parts.iter().all(|part| line.contains(part)), "{line}\nwanted {parts:?}");
        line
    }

    /// Expects the line of a serving signer, after the warning about root if it runs as root.
    pub(crate) fn expect_serving(&self) {
        self.expect_warning_of_root();
        self.expect(&["INFO listening on"]);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id().try_into().unwrap()), signal).unwrap();
    }

    /// Expects the warning about root if this test runs as root.
    pub(crate) fn expect_warning_of_root(&self) {
        if nix::unistd::Uid::effective().is_root() {
            self.expect(&["WARN running as root: set `signer-user`"]);
        }
    }

    /// Kills the program.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The exit status, and the rest of the log.
    pub(crate) fn end(&mut self) -> (ExitStatus, Vec<String>) {
        let mut lines = Vec::new();
        loop {
            match self.log.recv_timeout(DEADLINE) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => return (self.child.wait().unwrap(), lines),
                Err(RecvTimeoutError::Timeout) => panic!("the program was to end"),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The balancer's end of a connection.
pub(crate) struct Client(pub(crate) UnixStream);

impl Client {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    pub(crate) fn receive(&mut self) -> Reply {
        self.0.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut header = [0; Header::LENGTH];
        self.0.read_exact(&mut header).unwrap();
        let mut body = vec![0; Header::decode::<Reply>(header).unwrap().body_length()];
        self.0.read_exact(&mut body).unwrap();
        frame::decode(&body).unwrap()
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Reply {
        self.send(&frame::encode(request).unwrap());
        self.receive()
    }

    pub(crate) fn is_answered(&mut self) -> bool {
        matches!(self.ask(&SERVICES), Reply::Services(page) if page.services.len() == 1)
    }

    /// The services from this index on, as many as fit a reply.
    pub(crate) fn page(&mut self, from: u32) -> Page {
        match self.ask(&Request::Services { from }) {
            Reply::Services(page) => page,
            other => panic!("{other:?}"),
        }
    }

    /// The list of services, which is short enough for one reply.
    pub(crate) fn services(&mut self) -> Vec<HeldService> {
        self.page(0).services
    }

    /// True if the other end closes the connection without sending anything.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.0.set_read_timeout(Some(DEADLINE)).unwrap();
        let read = loop {
            match self.0.read(&mut [0]) {
                // A read with a time-out is not resumed after a signal, or after a stop of this process
                // (signal(7)).
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        match read {
            Ok(count) => count == 0,
            // The other end closed with unread bytes.
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
                true
            }
        }
    }
}

impl Drop for Client {
    /// The stream is shut down, because another test that starts a program at this moment holds a copy of it
    /// for a short time.
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}
