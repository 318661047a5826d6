//! System calls, given up by seccomp. A call that is not listed ends the process: it is a sign of foreign
//! code.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use super::{ConfinementError, Reach};

/// System calls with the conditions on their arguments: one of the rules has to hold, if there are any.
pub type Rules = BTreeMap<libc::c_long, Vec<SeccompRule>>;

/// The system calls of every balancer.
const ALWAYS: &[libc::c_long] = &[
    // Waiting: the runtime's epoll, and its wake-ups.
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    // The conversations with tor and the signer, readers of the status and of the metrics, and the log on standard error.
    libc::SYS_connect,
    libc::SYS_accept4,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_shutdown,
    libc::SYS_close,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    // The sockets of the status, created again. Landlock bounds the place, and leaves no TCP port.
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_umask,
    // The configuration, tor's cookie, the log file and its older ones, and the state file. Landlock bounds
    // the place.
    libc::SYS_openat,
    libc::SYS_statx,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_lseek,
    libc::SYS_fsync,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
    // The allocator.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // Randomness and time.
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    // Its own processor time and memory, for the status.
    libc::SYS_getrusage,
    // Threads, which look names up, compute responsible HSDirs and write the state file. `clone` is allowed
    // for threads alone. A filter cannot see the arguments of `clone3`: the first filter makes it fail with
    // `ENOSYS`.
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    // Signals, and the end: abort raises one in its own thread, and `std` prints the place of a panic.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// The same system calls by older names, if this machine has such.
#[cfg(target_arch = "x86_64")]
const OLDER_NAMES: &[libc::c_long] =
    &[libc::SYS_epoll_wait, libc::SYS_rename, libc::SYS_unlink, libc::SYS_readlink];
/// `renameat`, for which `libc` has no name.
#[cfg(not(target_arch = "x86_64"))]
const OLDER_NAMES: &[libc::c_long] = &[38];

/// For the end of a signer that is our child.
const CHILD: &[libc::c_long] = &[libc::SYS_wait4, libc::SYS_waitid];

/// For the lookup of a host's name: questions to name servers, and to the kernel for its addresses.
const NAMES: &[libc::c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_recvmsg,
    libc::SYS_uname,
];

/// For giving up reading after a tor has been met.
const LANDLOCK: &[libc::c_long] =
    &[libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self];

/// Gives up every system call that is not needed within `reach`.
pub(super) fn restrict(reach: &Reach) -> Result<(), ConfinementError> {
    let [hiding, allowing] = filters(reach)?;
    apply_filter(&hiding)?;
    Ok(apply_filter(&allowing)?)
}

/// Two filters, which both have to allow a call, in the order in which they are installed: after the second
/// one no other can be. The first one hides `clone3`, so that the C library takes `clone`.
///
/// # Errors
/// A filter cannot be made for this machine.
pub fn filters(reach: &Reach) -> Result<[BpfProgram; 2], BackendError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let (kill, allow) = (SeccompAction::KillProcess, SeccompAction::Allow);
    let missing = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let clone3 = [(libc::SYS_clone3, Vec::new())].into();
    let hiding = SeccompFilter::new(clone3, allow.clone(), missing, architecture)?;
    let allowing = SeccompFilter::new(rules(reach)?, kill, allow, architecture)?;
    Ok([hiding.try_into()?, allowing.try_into()?])
}

/// The system calls that are allowed.
///
/// # Errors
/// A rule cannot be made.
pub fn rules(reach: &Reach) -> Result<Rules, BackendError> {
    let mut calls = [ALWAYS, OLDER_NAMES].concat();
    let mut families = vec![libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];
    let mut rules = Rules::new();
    if let Some(child) = reach.child {
        calls.extend(CHILD);
        rules.insert(libc::SYS_kill, vec![rule([equal(0, child)?, equal(1, libc::SIGHUP)?])?]);
    }
    if reach.has_names {
        calls.extend(NAMES);
        families.push(libc::AF_NETLINK);
        rules.insert(libc::SYS_sendmmsg, vec![rule([without(3, libc::MSG_OOB)?])?]);
        // The number of bytes of an answer that are ready.
        rules.insert(libc::SYS_ioctl, vec![rule([equal(1, FIONREAD)?])?]);
    }
    if !reach.is_complete() {
        calls.extend(LANDLOCK);
    }
    // No out-of-band byte: it would make the signer's end of the connection readable without anything to
    // read.
    rules.insert(libc::SYS_sendto, vec![rule([without(3, libc::MSG_OOB)?])?]);
    rules.insert(libc::SYS_clone, vec![rule([with(0, libc::CLONE_THREAD)?])?]);
    rules.insert(libc::SYS_prctl, vec![rule([equal(0, libc::PR_SET_NAME)?])?]);
    rules.extend(calls.into_iter().map(|call| (call, Vec::new())));
    let family = |family| rule([equal(0, family)?]);
    rules.insert(libc::SYS_socket, families.into_iter().map(family).collect::<Result<_, _>>()?);
    // The allocator's too, without executable memory: the third argument is the protection.
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![rule([without(2, libc::PROT_EXEC)?])?]);
    }
    // The standard library's debug build asks if a descriptor is open before it closes it.
    rules.insert(libc::SYS_fcntl, vec![rule([equal(1, libc::F_GETFD)?])?]);
    Ok(rules)
}

/// `FIONREAD`, which this module uses as a plain number.
const FIONREAD: libc::c_int = 0x541B;

fn rule<const N: usize>(conditions: [SeccompCondition; N]) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions.into())
}

/// The condition that the argument with this number equals `value`.
fn equal(argument: u8, value: libc::c_int) -> Result<SeccompCondition, BackendError> {
    condition(argument, SeccompCmpOp::Eq, value)
}

/// The condition that the argument with this number has this bit.
fn with(argument: u8, bit: libc::c_int) -> Result<SeccompCondition, BackendError> {
    condition(argument, SeccompCmpOp::MaskedEq(bit.unsigned_abs().into()), bit)
}

/// The condition that the argument with this number does not have this bit.
fn without(argument: u8, bit: libc::c_int) -> Result<SeccompCondition, BackendError> {
    condition(argument, SeccompCmpOp::MaskedEq(bit.unsigned_abs().into()), 0)
}

fn condition(
    argument: u8,
    operator: SeccompCmpOp,
    value: libc::c_int,
) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value.unsigned_abs().into())
}
