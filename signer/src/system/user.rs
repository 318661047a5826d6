//! Who the process runs as.

use std::ffi::CString;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{Uid, User, initgroups, setresgid, setresuid};

/// Why the process cannot become its user.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// No such user.
    #[error("signer-user: there is no user {0}: make one (useradd --system {0}), or name another")]
    Unknown(String),
    /// It is not root, and not that user.
    #[error(
        "signer-user is {0}, and onionbalance-signer was started by another user: start it as {0} or as root"
    )]
    NotRoot(String),
    /// The kernel refuses.
    #[error("cannot become the user {0}: {1}")]
    Refused(String, Errno),
}

/// Whether the process is root's.
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// The user of this name, which this process is or can become.
pub fn find(name: &str) -> Result<User, UserError> {
    let user = User::from_name(name).map_err(|errno| UserError::Refused(name.to_owned(), errno))?;
    let user = user.ok_or_else(|| UserError::Unknown(name.to_owned()))?;
    if is_root() || Uid::effective() == user.uid { Ok(user) } else { Err(UserError::NotRoot(user.name)) }
}

/// Makes the process this user's for good, with that user's groups and no capability.
pub fn become_user(user: &User) -> Result<(), UserError> {
    if Uid::effective() == user.uid {
        return Ok(());
    }
    let refused = |errno| UserError::Refused(user.name.clone(), errno);
    let name = CString::new(user.name.as_str()).map_err(|_| UserError::Unknown(user.name.clone()))?;
    initgroups(&name, user.gid).map_err(refused)?;
    setresgid(user.gid, user.gid, user.gid).map_err(refused)?;
    setresuid(user.uid, user.uid, user.uid).map_err(refused)?;
    // A change of user sets it to what the system has for programs with privileges.
    prctl::set_dumpable(false).map_err(refused)
}
