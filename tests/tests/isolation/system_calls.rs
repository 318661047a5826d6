//! Every system call of the machine is tried under each filter, in a process of its own. An unlisted call
//! ends the process, and a listed one reaches the kernel.

use std::collections::BTreeSet;
use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use onionbalance::confinement::{Reach, system_calls};
use onionbalance::endpoint::Endpoint;
use onionbalance_signer::system::confinement as signer;
use seccompiler::{BpfProgram, apply_filter};

/// The variable that gives a copy of this program, which has one thread, its filter.
const SUBJECT: &str = "ONIONBALANCE_TEST_SUBJECT";
const DONE: &str = "all were tried";

/// Beyond the last system call of any machine; the kernel has some 470.
const LAST: libc::c_long = 1023;
/// `__X32_SYSCALL_BIT`: the same calls by a second door.
#[cfg(target_arch = "x86_64")]
const X32: libc::c_long = 0x4000_0000;

/// `uretprobe` and `uprobe`: the kernel's own breakpoints make them, and they pass all filters since Linux
/// 6.14. They do nothing elsewhere.
#[cfg(target_arch = "x86_64")]
const UNFILTERABLE: &[libc::c_long] = &[335, 336];
#[cfg(not(target_arch = "x86_64"))]
const UNFILTERABLE: &[libc::c_long] = &[];

/// The process id of a child signer: larger than any in the kernel.
const CHILD: i32 = i32::MAX;

/// Arguments without effect in the kernel: no such descriptor, no such address, no such flag.
const NONSENSE: [libc::c_long; 6] = [-1; 6];

/// The tested programs, by name, and their filters.
fn subject(name: &str) -> Result<(Vec<BpfProgram>, BTreeSet<libc::c_long>)> {
    let mut reach = Reach::default();
    match name {
        "signer" => return Ok((vec![signer::filter()?], signer::rules()?.into_keys().collect())),
        "balancer" => {}
        "balancer with a child" => reach.child(CHILD),
        "balancer with names" => reach.tor(&Endpoint::Tcp { host: "localhost".parse()?, port: 9051 }),
        "balancer that awaits tor" => reach.await_tor(),
        _ => bail!("nobody is called {name}"),
    }
    let listed = system_calls::rules(&reach)?.into_keys().collect();
    Ok((system_calls::filters(&reach)?.into(), listed))
}

#[test]
fn every_system_call_is_refused_but_those_that_are_listed() -> Result<()> {
    if let Ok(name) = env::var(SUBJECT) {
        try_all(&name)?;
        println!("{DONE}");
        return Ok(());
    }
    for name in
        ["signer", "balancer", "balancer with a child", "balancer with names", "balancer that awaits tor"]
    {
        let mut command = Command::new(env::current_exe()?);
        command.args(["--exact", "system_calls::every_system_call_is_refused_but_those_that_are_listed"]);
        let output = command.args(["--nocapture", "--test-threads=1"]).env(SUBJECT, name).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(said.contains(DONE), "{name}: {said}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn try_all(name: &str) -> Result<()> {
    let (filters, listed) = subject(name)?;
    ensure!(listed.len() > 30 && listed.len() < 80, "{name}: {} are listed", listed.len());
    let passed = |number, arguments| -> Result<bool> { attempt(&filters, number, arguments) };
    for number in 0..=LAST {
        // Those that are listed with conditions have their turn below.
        if UNFILTERABLE.contains(&number) || CONDITIONAL.contains(&number) && listed.contains(&number) {
            continue;
        }
        let wanted = listed.contains(&number);
        ensure!(passed(number, NONSENSE)? == wanted, "{name}: the system call {number}: not {wanted}");
        #[cfg(target_arch = "x86_64")]
        ensure!(
            !wanted || !passed(number | X32, NONSENSE)?,
            "{name}: the system call {number} of x32 passes"
        );
    }
    for (number, argument, value, by) in conditions() {
        let mut arguments = NONSENSE;
        *arguments.get_mut(argument).context("an argument")? = value;
        let wanted = by.contains(&name);
        ensure!(passed(number, arguments)? == wanted, "{name}: {number} with {value:#x}: not {wanted}");
    }
    let is_balancer = name != "signer";
    let own = libc::c_int::try_from(std::process::id())?;
    for (number, arguments, wanted) in [
        (libc::SYS_getsockopt, [-1, libc::SOL_SOCKET, libc::SO_PEERCRED], true),
        (libc::SYS_getsockopt, [-1, libc::SOL_SOCKET, libc::SO_ERROR], is_balancer),
        (libc::SYS_getsockopt, [-1, libc::IPPROTO_TCP, libc::SO_PEERCRED], is_balancer),
        (libc::SYS_tgkill, [own, -1, libc::SIGABRT], true),
        (libc::SYS_tgkill, [own, -1, libc::SIGHUP], is_balancer),
        (libc::SYS_tgkill, [-1, -1, libc::SIGABRT], is_balancer),
    ] {
        let [first, second, third] = arguments.map(libc::c_long::from);
        let is_allowed = passed(number, [first, second, third, -1, -1, -1])?;
        ensure!(is_allowed == wanted, "{name}: {number} with {arguments:?}: not {wanted}");
    }
    for (pid, signal, wanted) in [
        (CHILD, libc::SIGHUP, name == "balancer with a child"),
        (CHILD, libc::SIGKILL, false),
        (CHILD - 1, libc::SIGHUP, false),
    ] {
        let arguments = [libc::c_long::from(pid), libc::c_long::from(signal), -1, -1, -1, -1];
        ensure!(
            passed(libc::SYS_kill, arguments)? == wanted,
            "{name}: signal {signal} to {pid}: not {wanted}"
        );
    }
    Ok(())
}

const CONDITIONAL: [libc::c_long; 13] = [
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_fcntl,
    libc::SYS_socket,
    libc::SYS_clone,
    libc::SYS_prctl,
    libc::SYS_ioctl,
    libc::SYS_kill,
    libc::SYS_sendto,
    libc::SYS_sendmmsg,
    libc::SYS_openat,
    libc::SYS_getsockopt,
    libc::SYS_tgkill,
];

/// A system call, the judged argument, its value, and the programs for which it passes.
type Condition = (libc::c_long, usize, libc::c_long, &'static [&'static str]);

fn conditions() -> Vec<Condition> {
    const NOBODY: &[&str] = &[];
    const EVERYONE: &[&str] =
        &["signer", "balancer", "balancer with a child", "balancer with names", "balancer that awaits tor"];
    const BALANCERS: &[&str] =
        &["balancer", "balancer with a child", "balancer with names", "balancer that awaits tor"];
    const NAMES: &[&str] = &["balancer with names"];
    let long = libc::c_long::from;
    vec![
        (libc::SYS_mmap, 2, long(libc::PROT_READ | libc::PROT_WRITE), EVERYONE),
        (libc::SYS_mmap, 2, long(libc::PROT_READ | libc::PROT_EXEC), NOBODY),
        (libc::SYS_mprotect, 2, long(libc::PROT_READ), EVERYONE),
        (libc::SYS_mprotect, 2, long(libc::PROT_READ | libc::PROT_EXEC), NOBODY),
        (libc::SYS_fcntl, 1, long(libc::F_GETFD), EVERYONE),
        (libc::SYS_fcntl, 1, long(libc::F_SETFL), NOBODY),
        (libc::SYS_sendto, 3, long(libc::MSG_NOSIGNAL), EVERYONE),
        (libc::SYS_sendto, 3, long(libc::MSG_OOB | libc::MSG_NOSIGNAL), NOBODY),
        (libc::SYS_sendmmsg, 3, long(libc::MSG_NOSIGNAL), NAMES),
        (libc::SYS_sendmmsg, 3, long(libc::MSG_OOB), NOBODY),
        (libc::SYS_openat, 2, long(libc::O_RDONLY | libc::O_NONBLOCK), EVERYONE),
        (libc::SYS_openat, 2, long(libc::O_RDWR), BALANCERS),
        (libc::SYS_openat, 2, long(libc::O_WRONLY | libc::O_CREAT), BALANCERS),
        (libc::SYS_socket, 0, long(libc::AF_UNIX), BALANCERS),
        (libc::SYS_socket, 0, long(libc::AF_INET), BALANCERS),
        (libc::SYS_socket, 0, long(libc::AF_INET6), BALANCERS),
        (libc::SYS_socket, 0, long(libc::AF_NETLINK), NAMES),
        (libc::SYS_socket, 0, long(libc::AF_PACKET), NOBODY),
        // With nonsense besides: the kernel refuses it, and nothing is made.
        (libc::SYS_clone, 0, long(libc::CLONE_THREAD), BALANCERS),
        (libc::SYS_clone, 0, long(libc::SIGCHLD), NOBODY),
        (libc::SYS_prctl, 0, long(libc::PR_SET_NAME), BALANCERS),
        (libc::SYS_prctl, 0, long(libc::PR_SET_DUMPABLE), NOBODY),
        (libc::SYS_prctl, 0, long(libc::PR_SET_SECCOMP), NOBODY),
        (libc::SYS_ioctl, 1, 0x541B, NAMES),
        (libc::SYS_ioctl, 1, 0x5412, NOBODY),
    ]
}

/// True if a process under these filters survives the system call, or ends itself by it.
#[expect(unsafe_code, reason = "fork, and a system call by its number")]
fn attempt(filters: &[BpfProgram], number: libc::c_long, arguments: [libc::c_long; 6]) -> Result<bool> {
    // SAFETY: the child makes system calls only, on memory that was prepared before, and ends.
    let child = match unsafe { fork()? } {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let put_on = filters.iter().all(|filter| apply_filter(filter).is_ok());
            let [first, second, third, fourth, fifth, sixth] = arguments;
            // SAFETY: the kernel finds nothing at such an address.
            unsafe {
                if put_on {
                    libc::syscall(number, first, second, third, fourth, fifth, sixth);
                }
                libc::_exit(if put_on { 0 } else { UNFILTERED })
            }
        }
    };
    match waitpid(child, None)? {
        WaitStatus::Signaled(_, Signal::SIGSYS, _) => Ok(false),
        WaitStatus::Exited(_, UNFILTERED) => bail!("the filter could not be put on"),
        // `exit` ends the process, and `rt_sigreturn` without a signal's frame does, too.
        WaitStatus::Exited(..) | WaitStatus::Signaled(_, Signal::SIGSEGV, _) => Ok(true),
        other => bail!("the system call {number}: {other:?}"),
    }
}

/// The exit status of a child that has not reached the attempt.
const UNFILTERED: i32 = 77;
