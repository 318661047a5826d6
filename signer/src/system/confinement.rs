//! The powers that a process keeps while it serves: to read the directories of its configuration and to
//! answer on its sockets, nothing else. Landlock bounds the files, seccomp the system calls.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

/// The newest landlock version that is asked for; a kernel that has an older one enforces that. Version 1
/// bounds files.
const RULES: ABI = ABI::V7;

/// Gives up everything that serving does not need. Files in `directories` can still be read, so that the
/// configuration can be read again. There is no way back. False if the kernel has no landlock, and so all
/// files can still be reached.
///
/// Rights are to directories, not to the file: an editor replaces a file by another one of the same name.
///
/// # Errors
/// The kernel refuses, or the filter cannot be made for this machine.
pub fn confine(directories: &[impl AsRef<Path>]) -> io::Result<bool> {
    let has_landlock = restrict_files(directories)
        .map_err(|error| io::Error::other(format!("cannot confine the process (landlock): {error}")))?;
    filter()
        .map_err(seccompiler::Error::from)
        .and_then(|filter| apply_filter(&filter))
        .map_err(|error| io::Error::other(format!("cannot filter system calls (seccomp): {error}")))?;
    Ok(has_landlock)
}

/// Leaves only the right to read files in `directories`. A directory that cannot be opened is left out, and
/// cannot be read later either.
fn restrict_files(directories: &[impl AsRef<Path>]) -> Result<bool, RulesetError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RULES))?
        .handle_access(AccessNet::from_all(RULES))?
        .scope(Scope::from_all(RULES))?
        .create()?
        .add_rules(path_beneath_rules(directories, AccessFs::ReadFile))?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// The filter of system calls. A call that is not listed ends the process: it is a sign of foreign code.
///
/// # Errors
/// The filter cannot be made for this machine.
pub fn filter() -> Result<BpfProgram, BackendError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules()?, SeccompAction::KillProcess, SeccompAction::Allow, architecture)?.try_into()
}

/// The system calls that serving needs with any arguments.
const ALWAYS: &[&[libc::c_long]] = &[
    // The conversation.
    &[libc::SYS_accept4, libc::SYS_recvmsg, libc::SYS_close, libc::SYS_geteuid],
    // The wait; on some machines also by its older name.
    &[libc::SYS_ppoll, libc::SYS_restart_syscall],
    #[cfg(target_arch = "x86_64")]
    &[libc::SYS_poll],
    // The log, and reading signals.
    &[libc::SYS_write, libc::SYS_writev, libc::SYS_read],
    // The guard's timer.
    &[libc::SYS_timer_settime, libc::SYS_timer_delete],
    // The configuration, read again. Landlock bounds the place.
    &[libc::SYS_readlinkat, libc::SYS_statx, libc::SYS_fstat, libc::SYS_lseek],
    // The allocator.
    &[libc::SYS_brk, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_futex],
    // Randomness and time.
    &[libc::SYS_getrandom, libc::SYS_clock_gettime],
    // The end: abort raises a signal in its own thread, and `std` prints the place of a panic.
    &[libc::SYS_exit, libc::SYS_exit_group, libc::SYS_getpid, libc::SYS_gettid, libc::SYS_sigaltstack],
    &[libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn],
];

/// System calls with the conditions on their arguments: one of the rules has to hold, if there are any.
pub type Rules = BTreeMap<libc::c_long, Vec<SeccompRule>>;

/// The system calls that are allowed, with their reasons.
///
/// # Errors
/// A rule cannot be made.
pub fn rules() -> Result<Rules, BackendError> {
    let mut rules: Rules = ALWAYS.concat().into_iter().map(|call| (call, Vec::new())).collect();
    let own = process::id().try_into().unwrap_or_default();
    let conditions = [
        // The allocator's too, without executable memory.
        (libc::SYS_mmap, vec![without(2, libc::PROT_EXEC)?]),
        (libc::SYS_mprotect, vec![without(2, libc::PROT_EXEC)?]),
        // Without out-of-band bytes.
        (libc::SYS_sendto, vec![without(3, libc::MSG_OOB)?]),
        // For the peer's process and user only.
        (libc::SYS_getsockopt, vec![equal(1, libc::SOL_SOCKET)?, equal(2, libc::SO_PEERCRED)?]),
        // For reading only; no file is made.
        (libc::SYS_openat, vec![without(2, libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC)?]),
        // For the abort of this process only.
        (libc::SYS_tgkill, vec![equal(0, own)?, equal(2, libc::SIGABRT)?]),
        // The standard library's debug build asks if a descriptor is open before it closes it.
        (libc::SYS_fcntl, vec![equal(1, libc::F_GETFD)?]),
    ];
    for (call, conditions) in conditions {
        rules.insert(call, vec![SeccompRule::new(conditions)?]);
    }
    Ok(rules)
}

/// The condition that the argument with this number equals `value`.
fn equal(argument: u8, value: libc::c_int) -> Result<SeccompCondition, BackendError> {
    let value = u64::from(value.unsigned_abs());
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

/// The condition that the argument with this number has none of these bits.
fn without(argument: u8, bits: libc::c_int) -> Result<SeccompCondition, BackendError> {
    let bits = u64::from(bits.unsigned_abs());
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits), 0)
}
