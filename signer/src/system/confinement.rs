//! The powers that a process keeps once it serves: to read the directories of its configuration, to answer on its sockets, and
//! nothing else. Landlock says which files, seccomp which system calls.

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

/// The newest rules that are asked for; a kernel that knows fewer enforces those. The first version knows files.
const RULES: ABI = ABI::V7;

/// Gives up everything that serving does not need. Files in `directories` can still be read, so that the configuration can be
/// read again. There is no way back. False if all files can still be reached, since the kernel has no landlock.
///
/// Directories and not the file: an editor that replaces a file makes another one of the same name.
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

/// Leaves the reading of files in `directories`. One that cannot be opened is left out, and cannot be read later either.
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

/// The filter of system calls. What is not listed ends the process: it is a sign that somebody else runs it.
pub fn filter() -> Result<BpfProgram, BackendError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules()?, SeccompAction::KillProcess, SeccompAction::Allow, architecture)?.try_into()
}

/// The system calls that serving needs whatever their arguments are.
const ALWAYS: &[&[libc::c_long]] = &[
    // The conversation.
    &[libc::SYS_accept4, libc::SYS_recvmsg, libc::SYS_close, libc::SYS_geteuid],
    // The wait, by its older name, too, where there is one.
    &[libc::SYS_ppoll, libc::SYS_restart_syscall],
    #[cfg(target_arch = "x86_64")]
    &[libc::SYS_poll],
    // The log, and signals as they are read.
    &[libc::SYS_write, libc::SYS_writev, libc::SYS_read],
    // The bound of system calls.
    &[libc::SYS_timer_settime, libc::SYS_timer_delete],
    // The configuration, read again. Landlock says from where.
    &[libc::SYS_readlinkat, libc::SYS_statx, libc::SYS_fstat, libc::SYS_lseek],
    // Memory: the allocator's.
    &[libc::SYS_brk, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_futex],
    // Randomness and time.
    &[libc::SYS_getrandom, libc::SYS_clock_gettime],
    // The end: abort raises a signal in its own thread, and `std` prints where a panic was.
    &[libc::SYS_exit, libc::SYS_exit_group, libc::SYS_getpid, libc::SYS_gettid, libc::SYS_sigaltstack],
    &[libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn],
];

/// System calls with what has to hold for their arguments: one of the rules, if there are any.
pub type Rules = BTreeMap<libc::c_long, Vec<SeccompRule>>;

/// The system calls that are allowed, and why.
pub fn rules() -> Result<Rules, BackendError> {
    let mut rules: Rules = ALWAYS.concat().into_iter().map(|call| (call, Vec::new())).collect();
    let own = process::id().try_into().unwrap_or_default();
    let conditions = [
        // The allocator's too, but nothing that could be run.
        (libc::SYS_mmap, vec![without(2, libc::PROT_EXEC)?]),
        (libc::SYS_mprotect, vec![without(2, libc::PROT_EXEC)?]),
        // No out-of-band byte.
        (libc::SYS_sendto, vec![without(3, libc::MSG_OOB)?]),
        // The peer's process and user.
        (libc::SYS_getsockopt, vec![equal(1, libc::SOL_SOCKET)?, equal(2, libc::SO_PEERCRED)?]),
        // Files are read only, and none is made.
        (libc::SYS_openat, vec![without(2, libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC)?]),
        // This process aborts, and no other.
        (libc::SYS_tgkill, vec![equal(0, own)?, equal(2, libc::SIGABRT)?]),
        // The standard library's debug build asks whether a descriptor is open before it closes it.
        (libc::SYS_fcntl, vec![equal(1, libc::F_GETFD)?]),
    ];
    for (call, conditions) in conditions {
        rules.insert(call, vec![SeccompRule::new(conditions)?]);
    }
    Ok(rules)
}

/// That the argument of this number is this.
fn equal(argument: u8, value: libc::c_int) -> Result<SeccompCondition, BackendError> {
    let value = u64::from(value.unsigned_abs());
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

/// That none of these bits is set in the argument of this number.
fn without(argument: u8, bits: libc::c_int) -> Result<SeccompCondition, BackendError> {
    let bits = u64::from(bits.unsigned_abs());
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits), 0)
}
