//! Who the process runs as.

use std::ffi::CString;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{Uid, User, initgroups, setresgid, setresuid};

/// Why the process cannot become its user.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// No such user.
    #[error("user: there is no user {0}: make one (useradd --system {0}), or name another")]
    Unknown(String),
    /// It is not root, and not that user.
    #[error("user is {0}, and onionbalance was started by another user: start it as {0} or as root")]
    NotRoot(String),
    /// The kernel refuses.
    #[error("cannot become the user {0}: {1}")]
    Refused(String, Errno),
}

/// Whether the process is root's.
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Makes the process its user's for good, with that user's groups and no capability.
pub fn become_user(name: &str) -> Result<(), UserError> {
    let refused = |errno| UserError::Refused(name.to_owned(), errno);
    let unknown = || UserError::Unknown(name.to_owned());
    let user = User::from_name(name).map_err(refused)?.ok_or_else(unknown)?;
    if Uid::effective() == user.uid {
        return Ok(());
    }
    if !is_root() {
        return Err(UserError::NotRoot(name.to_owned()));
    }
    let name_for_groups = CString::new(name).map_err(|_| unknown())?;
    initgroups(&name_for_groups, user.gid).map_err(refused)?;
    setresgid(user.gid, user.gid, user.gid).map_err(refused)?;
    setresuid(user.uid, user.uid, user.uid).map_err(refused)?;
    // A change of user sets it to what the system has for programs with privileges.
    prctl::set_dumpable(false).map_err(refused)
}
