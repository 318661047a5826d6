//! The powers that the process keeps while it serves. The program itself cannot be made to try what it must
//! not do, so a copy of this test confines itself in the same way and tries.

use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use needs_root::needs_root;
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socket};
use nix::unistd::{ForkResult, fork};
use onionbalance_proto::time::UnixTime;
use onionbalance_signer::system::confinement::confine;

use crate::harness::{Directory, NOBODY, Running, as_user};

/// The variable with the attempt that the copy of this program is to make.
const ATTEMPT: &str = "ONIONBALANCE_TEST_ATTEMPT";
const DONE: &str = "the attempt was made";

/// Attempts that must end the process, with their names.
const FORBIDDEN: [(&str, fn()); 18] = [
    ("a socket of the internet", || new_socket(AddressFamily::Inet)),
    ("a socket of any other kind", || new_socket(AddressFamily::Unix)),
    ("another program", || drop(Command::new("/bin/true").status())),
    ("another process", fork_once),
    ("another thread", || drop(std::thread::Builder::new().spawn(|| ()))),
    ("memory that can be executed", || map(ProtFlags::PROT_READ | ProtFlags::PROT_EXEC)),
    ("tracing", || call(libc::SYS_ptrace)),
    ("io_uring", || call(libc::SYS_io_uring_setup)),
    ("a BPF program", || call(libc::SYS_bpf)),
    ("another process's memory", || call(libc::SYS_process_vm_readv)),
    ("another user", || call(libc::SYS_setresuid)),
    ("a signal to another process", || call(libc::SYS_kill)),
    ("a signal to a thread of another process", || call_with(libc::SYS_tgkill, [1, 1, libc::SIGABRT.into()])),
    ("a file to be written", || drop(File::options().write(true).open("config.yaml"))),
    ("a new file", || drop(File::create("new"))),
    ("a socket option to be set", || call(libc::SYS_setsockopt)),
    ("a socket option of no use", || call(libc::SYS_getsockopt)),
    ("an out-of-band byte", || assert!(send(0, b"!", MsgFlags::MSG_OOB).is_err())),
];

fn new_socket(family: AddressFamily) {
    drop(socket(family, SockType::Stream, SockFlag::empty(), None));
}

fn call(number: libc::c_long) {
    call_with(number, [0; 3]);
}

#[expect(unsafe_code, reason = "a system call by its number")]
fn call_with(number: libc::c_long, [first, second, third]: [libc::c_long; 3]) {
    // SAFETY: with these arguments it does nothing to this process, and it is to be refused.
    unsafe { libc::syscall(number, first, second, third, 0, 0, 0) };
}

#[expect(unsafe_code, reason = "fork")]
fn fork_once() {
    // SAFETY: the child ends at once.
    if let Ok(ForkResult::Child) = unsafe { fork() } {
        std::process::exit(0);
    }
}

#[expect(unsafe_code, reason = "mmap")]
fn map(protection: ProtFlags) {
    // SAFETY: a new mapping, which nobody uses.
    let mapped = unsafe { mmap_anonymous(None, 4096.try_into().unwrap(), protection, MapFlags::MAP_PRIVATE) };
    assert!(mapped.is_ok());
}

/// Runs a test of this program again, in the role of the one that tries.
fn attempt(test: &str, directory: &Directory, what: &str) -> Output {
    let mut command = Command::new(directory.copy(&env::current_exe().unwrap()));
    command.args(["--exact", &format!("confinement::{test}"), "--nocapture", "--test-threads=1"]);
    command.env(ATTEMPT, what).current_dir(directory.path());
    as_user(command, NOBODY).output().unwrap()
}

#[needs_root]
#[test]
fn what_serving_does_not_need_ends_the_process() {
    if let Ok(attempt) = env::var(ATTEMPT) {
        let (_, act) = FORBIDDEN.into_iter().find(|(name, _)| *name == attempt).unwrap();
        assert!(confine(&["."]).unwrap(), "the kernel has landlock");
        act();
        println!("{DONE}");
        return;
    }
    let directory = Directory::new("");
    for (what, _) in FORBIDDEN {
        let output = attempt("what_serving_does_not_need_ends_the_process", &directory, what);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{what}: {said}");
        assert!(!said.contains(DONE), "{what}");
    }
}

#[needs_root]
#[test]
fn what_serving_needs_goes_on() {
    if env::var(ATTEMPT).is_ok() {
        assert!(confine(&["."]).unwrap(), "the kernel has landlock");
        let mut text = String::new();
        File::open("config.yaml").unwrap().read_to_string(&mut text).unwrap();
        assert!(text.contains("services:"));
        map(ProtFlags::PROT_READ | ProtFlags::PROT_WRITE);
        let large = vec![1_u8; 1 << 22];
        assert_eq!(large.iter().map(|byte| u64::from(*byte)).sum::<u64>(), 1 << 22);
        let mut random = [0; 32];
        rand_core::RngCore::fill_bytes(&mut rand_core::OsRng, &mut random);
        assert_ne!(random, [0; 32]);
        assert!(onionbalance_signer::now() > UnixTime(0));
        println!("{DONE}");
        return;
    }
    let directory = Directory::new("");
    let output = attempt("what_serving_needs_goes_on", &directory, "all of it");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(DONE), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[needs_root]
#[test]
fn no_file_but_those_beside_the_configuration_can_be_read_and_none_written() {
    if env::var(ATTEMPT).is_ok() {
        assert!(confine(&["."]).unwrap(), "the kernel has landlock");
        for elsewhere in ["/etc/passwd", "/proc/self/maps", "/dev/null", ".."] {
            let error = File::open(elsewhere).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{elsewhere}");
        }
        println!("{DONE}");
        return;
    }
    let directory = Directory::new("");
    let test = "no_file_but_those_beside_the_configuration_can_be_read_and_none_written";
    let output = attempt(test, &directory, "all of it");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(DONE), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

fn status(signer: &Running) -> Vec<(String, String)> {
    let text = fs::read_to_string(format!("/proc/{}/status", signer.id())).unwrap();
    let line =
        |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    text.lines().filter_map(line).collect()
}

#[needs_root]
#[test]
fn started_as_root_it_becomes_its_user_and_keeps_nothing() {
    let directory = Directory::new("signer-user: nobody\n");
    let signer = directory.serve();
    let status = status(&signer);
    let field = |name: &str| status.iter().find(|(found, _)| found == name).unwrap().1.clone();
    for (name, value) in [
        ("Uid", "65534\t65534\t65534\t65534"),
        ("Gid", "65534\t65534\t65534\t65534"),
        ("Groups", "65534"),
        ("CapInh", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("Seccomp_filters", "1"),
        ("Threads", "1"),
    ] {
        assert_eq!(field(name), value, "{name}");
    }
    assert!(directory.connect().is_answered());
}

#[needs_root]
#[test]
fn a_user_that_it_cannot_become_is_an_error() {
    let directory = Directory::new("signer-user: nobody-of-that-name\n");
    let (code, log) = Running::start(directory.command()).end();
    assert_eq!((code.code(), log.len()), (Some(78), 1), "{log:?}");
    assert!(log[0].starts_with("ERROR signer-user: there is no user nobody-of-that-name"), "{log:?}");
    let directory = Directory::new("signer-user: daemon\n");
    let (code, log) = Running::start(directory.command_as(NOBODY)).end();
    assert_eq!((code.code(), log.len()), (Some(78), 1), "{log:?}");
    assert!(log[0].contains("start it as daemon or as root"), "{log:?}");
}
