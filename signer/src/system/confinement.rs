//! The powers that a process keeps once it serves: to read the directories of its configuration, to answer on its sockets, and
//! nothing else. Landlock says which files, seccomp which system calls.

use std::collections::BTreeMap;
use std::path::Path;
use std::process;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, PathFdError, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

/// The newest rules that are asked for; a kernel that knows fewer enforces those. The first version knows files.
const RULES: ABI = ABI::V7;

/// Why the process is not confined.
#[derive(Debug, thiserror::Error)]
pub enum ConfinementError {
    /// A directory of the configuration cannot be opened.
    #[error("cannot confine the process to the directories of its configuration: {0}")]
    Directory(#[from] PathFdError),
    /// Landlock refuses.
    #[error("cannot confine the process (landlock): {0}")]
    Landlock(#[from] RulesetError),
    /// The filter cannot be made for this machine.
    #[error("cannot filter system calls on this machine: {0}")]
    Filter(#[from] BackendError),
    /// The kernel refuses the filter.
    #[error("cannot filter system calls (seccomp): {0}")]
    Seccomp(#[from] seccompiler::Error),
}

/// Gives up everything that serving does not need. Files in `directories` can still be read, so that the configuration can be
/// read again. There is no way back. False if all files can still be reached, since the kernel has no landlock.
///
/// Directories and not the file: an editor that replaces a file makes another one of the same name.
pub fn confine(directories: &[impl AsRef<Path>]) -> Result<bool, ConfinementError> {
    let has_landlock = restrict_files(directories)?;
    apply_filter(&filter()?)?;
    Ok(has_landlock)
}

fn restrict_files(directories: &[impl AsRef<Path>]) -> Result<bool, ConfinementError> {
    let rule = |directory| -> Result<_, ConfinementError> {
        Ok(PathBeneath::new(PathFd::new(directory)?, AccessFs::ReadFile))
    };
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RULES))?
        .handle_access(AccessNet::from_all(RULES))?
        .scope(Scope::from_all(RULES))?
        .create()?
        .add_rules(directories.iter().map(rule))?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// The filter of system calls. What is not listed ends the process: it is a sign that somebody else runs it.
pub fn filter() -> Result<BpfProgram, BackendError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules()?, SeccompAction::KillProcess, SeccompAction::Allow, architecture)?.try_into()
}

/// System calls with what has to hold for their arguments: one of the rules, if there are any.
pub type Rules = BTreeMap<libc::c_long, Vec<SeccompRule>>;

/// The system calls that are allowed, and why.
pub fn rules() -> Result<Rules, BackendError> {
    let always = [
        // The conversation, the log, and the word to the service manager.
        libc::SYS_accept4,
        libc::SYS_read,
        libc::SYS_recvmsg,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_ppoll,
        libc::SYS_geteuid,
        // The bound of system calls.
        libc::SYS_timer_settime,
        libc::SYS_timer_delete,
        // The configuration, read again. Landlock says from where.
        libc::SYS_readlinkat,
        libc::SYS_statx,
        libc::SYS_fstat,
        libc::SYS_lseek,
        // Memory: the allocator's.
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_futex,
        // Randomness and time.
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        // The end: abort raises a signal in its own thread, and `std` prints where a panic was.
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
    ];
    let mut rules: Rules = always.into_iter().map(|call| (call, Vec::new())).collect();
    // `poll` by its older name, where there is one.
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_poll, Vec::new());
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
