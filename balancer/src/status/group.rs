//! The group whose members may read the status.

use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, getegid, getgroups};
use onionbalance_process::is_root;
use onionbalance_proto::config::STATUS_GROUP;
use tracing::warn;

/// The reason for which a socket cannot be given to its group.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The machine does not know the group.
    #[error("status-socket-group: there is no group {0}: make it (groupadd --system {0}), or name another")]
    Unknown(String),
    /// The process may not give files to the group.
    #[error(
        "cannot give the status socket to the group {0}: this process is not a member; add its user to the group and start it \
         again (in a unit with PrivateUsers=yes: Group={0})"
    )]
    NotMember(String),
    /// The kernel refuses.
    #[error("cannot give the status socket {} to the group {group}: {source}", .path.display())]
    Refused {
        /// The path of the socket.
        path: PathBuf,
        /// The name of the group.
        group: String,
        /// The error of `chown`.
        source: io::Error,
    },
}

/// The group of the sockets, looked up once.
#[derive(Clone, Debug)]
pub(super) struct SocketGroup {
    gid: Gid,
    name: String,
}

impl SocketGroup {
    /// The group with this name; without one that of the package. `None`: the process's own.
    ///
    /// # Errors
    /// The named group does not exist, or the process may not give files to it.
    pub(super) fn of(named: Option<&str>) -> Result<Option<Self>, GroupError> {
        let find = |name: &str| {
            let gid = Group::from_name(name).ok().flatten()?.gid;
            Some(Self { gid, name: name.to_owned() })
        };
        match named {
            Some(name) => {
                let group = find(name).ok_or_else(|| GroupError::Unknown(name.to_owned()))?;
                if group.is_ours() { Ok(Some(group)) } else { Err(GroupError::NotMember(group.name)) }
            }
            None => Ok(find(STATUS_GROUP).filter(|group| {
                let is_ours = group.is_ours();
                if !is_ours {
                    warn!(
                        "the group {STATUS_GROUP} may not read the status: onionbalance is not a member of it"
                    );
                }
                is_ours
            })),
        }
    }

    /// True if the kernel allows this process to give its own files to the group.
    fn is_ours(&self) -> bool {
        let groups = getgroups().unwrap_or_default();
        is_root() || getegid() == self.gid || groups.contains(&self.gid)
    }

    /// Gives the socket at `path` to the group. A socket that has it from its directory or from the process
    /// is left alone: units forbid the system call.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn take(&self, path: &Path) -> Result<(), GroupError> {
        let given = path.symlink_metadata().and_then(|found| {
            if found.gid() == self.gid.as_raw() { Ok(()) } else { chown(path, None, Some(self.gid.as_raw())) }
        });
        let refused =
            |source| GroupError::Refused { path: path.to_owned(), group: self.name.clone(), source };
        given.map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_group_is_named_with_the_remedy() {
        let error = SocketGroup::of(Some("no-such-group")).unwrap_err().to_string();
        let wanted =
            "status-socket-group: there is no group no-such-group: make it (groupadd --system no-such-group)";
        assert!(error.starts_with(wanted), "{error}");
    }

    #[test]
    fn a_socket_of_the_own_group_is_left_alone() {
        let own = Group::from_gid(getegid()).unwrap().unwrap();
        let group = SocketGroup::of(Some(&own.name)).unwrap().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        group.take(file.path()).unwrap();
        assert_eq!(file.path().metadata().unwrap().gid(), own.gid.as_raw());
        let error = group.take(Path::new("/nonexistent/socket")).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot give the status socket /nonexistent/socket to the group"),
            "{error}"
        );
    }
}
