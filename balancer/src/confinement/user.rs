//! Who the process runs as.

use nix::errno::Errno;
use nix::unistd::{Uid, User};
use onionbalance_process::is_root;

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

/// Makes the process its user's for good, with that user's groups and no capability.
pub fn become_user(name: &str) -> Result<(), UserError> {
    let refused = |errno| UserError::Refused(name.to_owned(), errno);
    let unknown = || UserError::Unknown(name.to_owned());
    let user = User::from_name(name).map_err(refused)?.ok_or_else(unknown)?;
    if !is_root() && Uid::effective() != user.uid {
        return Err(UserError::NotRoot(name.to_owned()));
    }
    onionbalance_process::become_user(&user).map_err(refused)
}
