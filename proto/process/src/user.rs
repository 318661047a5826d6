//! The user that the process runs as.

use std::ffi::CString;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{Uid, User, initgroups, setresgid, setresuid};

/// True if the process runs as root.
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Makes the process this user's for good, with that user's groups and without capabilities. Nothing happens
/// if it is that user's already.
///
/// # Errors
/// `EPERM`: the process is not root's. `EINVAL`: the user's name has a NUL in it. The others are those of
/// setgroups(2), setresgid(2) and setresuid(2). The process may have changed its groups before an error: the
/// caller ends it.
pub fn become_user(user: &User) -> nix::Result<()> {
    if Uid::effective() == user.uid {
        return Ok(());
    }
    let name = CString::new(user.name.as_str()).map_err(|_| Errno::EINVAL)?;
    initgroups(&name, user.gid)?;
    setresgid(user.gid, user.gid, user.gid)?;
    setresuid(user.uid, user.uid, user.uid)?;
    // A change of user resets this flag to `fs.suid_dumpable` (prctl(2), `PR_SET_DUMPABLE`).
    prctl::set_dumpable(false)
}
