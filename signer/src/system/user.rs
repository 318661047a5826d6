//! The user that the process is to run as.

use std::io;

use nix::unistd::{Uid, User};
use onionbalance_process::is_root;

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
