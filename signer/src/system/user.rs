//! The user that the process runs as.

use std::ffi::CString;
use std::io;

use nix::sys::prctl;
use nix::unistd::{Uid, User, initgroups, setresgid, setresuid};

/// True if the process runs as root.
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// The user `name`, which this process is or can become.
///
/// # Errors
/// The user does not exist or cannot be looked up, or this process runs as neither this user nor root.
pub fn find(name: &str) -> io::Result<User> {
    let what = match User::from_name(name) {
        Ok(Some(user)) if is_root() || Uid::effective() == user.uid => return Ok(user),
        Ok(Some(_)) => {
            format!("onionbalance-signer was started by another user: start it as {name} or as root")
        }
        Ok(None) => format!("there is no user {name}: make one (useradd --system {name}), or name another"),
        Err(errno) => format!("the user {name} cannot be looked up: {errno}"),
    };
    Err(io::Error::other(format!("signer-user: {what}")))
}

/// Makes the process this user's for good, with that user's groups and without capabilities.
///
/// # Errors
/// The kernel refuses, or the name has a NUL.
pub fn become_user(user: &User) -> io::Result<()> {
    if Uid::effective() == user.uid {
        return Ok(());
    }
    initgroups(&CString::new(user.name.as_str())?, user.gid)?;
    setresgid(user.gid, user.gid, user.gid)?;
    setresuid(user.uid, user.uid, user.uid)?;
    // A change of user resets this flag to `fs.suid_dumpable` (prctl(2), `PR_SET_DUMPABLE`).
    Ok(prctl::set_dumpable(false)?)
}
