//! The signer is closed to other users, and to other processes of the same user.

use std::env;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use needs_root::needs_root;
use nix::sys::ptrace;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use onionbalance_proto::wire::frame;

use crate::harness::{Client, Directory, NOBODY, SERVICES, as_user};

/// The variable with the socket to which the copy of this program, in the role of the other user, connects.
const CONNECT_TO: &str = "ONIONBALANCE_TEST_CONNECT_TO";
const ANSWERED: &str = "the signer answered";
const REFUSED: &str = "the signer refused";

#[needs_root]
#[test]
fn only_listed_users_are_answered() {
    if let Some(socket) = env::var_os(CONNECT_TO) {
        let mut client = Client(UnixStream::connect(socket).expect("everyone may connect"));
        let _ = std::io::Write::write_all(&mut client.0, &frame::encode(&SERVICES).unwrap());
        println!("{}", if client.is_closed() { REFUSED } else { ANSWERED });
        return;
    }
    for (more, outcome, logged) in [
        ("", REFUSED, "WARN refused a connection"),
        ("signer-allowed-uids: [7]\n", REFUSED, "WARN refused a connection"),
        ("signer-allowed-uids: [7, 65534]\n", ANSWERED, "INFO connected"),
        ("signer-allowed-uids: [nobody]\n", ANSWERED, "INFO connected"),
    ] {
        let directory = Directory::new(more);
        let signer = directory.serve();
        // Only the uid may be the reason of a refusal.
        fs::set_permissions(directory.socket(), fs::Permissions::from_mode(0o666)).unwrap();
        let mut command = Command::new(directory.copy(&env::current_exe().unwrap()));
        command.args(["--exact", "isolation::only_listed_users_are_answered", "--nocapture"]);
        command.env(CONNECT_TO, directory.socket()).current_dir(directory.path());
        let output = as_user(command, NOBODY).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(outcome), "{more}: {said}{}", String::from_utf8_lossy(&output.stderr));
        signer.expect(&[logged, "peer_uid=65534"]);
    }
}

fn read_as_nobody(file: &str) -> Output {
    let mut command = Command::new("cat");
    command.arg(file);
    as_user(command, NOBODY).output().unwrap()
}

#[needs_root]
#[test]
fn its_memory_is_closed_to_its_own_user() {
    // A process that does not protect itself: its user may read its memory.
    let mut ordinary = Command::new("cat");
    ordinary.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut ordinary = as_user(ordinary, NOBODY).spawn().unwrap();
    let readable = read_as_nobody(&format!("/proc/{}/environ", ordinary.id()));
    drop(ordinary.stdin.take());
    ordinary.wait().unwrap();
    assert!(readable.status.success() && !readable.stdout.is_empty(), "{readable:?}");

    let directory = Directory::new("");
    let signer = directory.serve_as(NOBODY);
    for file in ["mem", "environ", "maps", "auxv"] {
        let refused = read_as_nobody(&format!("/proc/{}/{file}", signer.id()));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("Permission denied"), "{file}: {said}");
    }
}

#[test]
fn it_leaves_no_core_and_gains_no_privilege() {
    let directory = Directory::new("");
    let signer = directory.serve();
    let proc = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", signer.id())).unwrap();
    let core = proc("limits").lines().find(|line| line.starts_with("Max core file size")).unwrap().to_owned();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    assert!(proc("status").lines().any(|line| line == "NoNewPrivs:\t1"));
}

/// A tracer that was there from the start could read the memory.
#[test]
fn it_does_not_start_under_a_tracer() {
    let directory = Directory::new("");
    let mut command = directory.command();
    #[expect(unsafe_code, reason = "between fork and exec a process may do little")]
    // SAFETY: one system call. The parent of the process, which is this one, traces it.
    unsafe {
        command.pre_exec(|| Ok(ptrace::traceme()?));
    }
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    // The process stops at its start and at each signal.
    let end = loop {
        match waitpid(pid, None).unwrap() {
            WaitStatus::Stopped(..) => ptrace::cont(pid, None).unwrap(),
            end => break end,
        }
    };
    assert_eq!(end, WaitStatus::Exited(pid, 78));
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("traces it: end that, and start again"), "{log}");
    // The loop above has already waited for it.
    assert!(child.wait().is_err());
}
