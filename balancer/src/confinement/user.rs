//! The user that the process runs as.

use nix::errno::Errno;
use nix::unistd::{Uid, User};
use onionbalance_process::is_root;

/// The reason for which the process cannot become its user.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The user does not exist.
    #[error("user: there is no user {0}: make one (useradd --system {0}), or name another")]
    Unknown(String),
    /// The process runs as neither root nor this user.
    #[error("user is {0}, and onionbalance was started by another user: start it as {0} or as root")]
    NotRoot(String),
    /// The kernel refuses.
    #[error("cannot become the user {0}: {1}")]
    Refused(String, Errno),
}

/// Makes the process this user's for good, with that user's groups and without capabilities.
///
/// # Errors
/// The user does not exist, the process is neither root's nor this user's, or the kernel refuses.
pub fn become_user(name: &str) -> Result<(), UserError> {
    let refused = |errno| UserError::Refused(name.to_owned(), errno);
    let unknown = || UserError::Unknown(name.to_owned());
    let user = User::from_name(name).map_err(refused)?.ok_or_else(unknown)?;
    if !is_root() && Uid::effective() != user.uid {
        return Err(UserError::NotRoot(name.to_owned()));
    }
    onionbalance_process::become_user(&user).map_err(refused)
}
