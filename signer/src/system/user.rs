//! Who the process runs as.

use std::ffi::CString;
use std::io;

use nix::sys::prctl;
use nix::unistd::{Uid, User, initgroups, setresgid, setresuid};

/// Whether the process is root's.
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// The user of this name, which this process is or can become.
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

/// Makes the process this user's for good, with that user's groups and no capability.
pub fn become_user(user: &User) -> io::Result<()> {
    if Uid::effective() == user.uid {
        return Ok(());
    }
    initgroups(&CString::new(user.name.as_str())?, user.gid)?;
    setresgid(user.gid, user.gid, user.gid)?;
    setresuid(user.uid, user.uid, user.uid)?;
    // A change of user sets it to what the system has for programs with privileges.
    Ok(prctl::set_dumpable(false)?)
}
