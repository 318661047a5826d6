//! The readers of a key file, as far as its mode, its access list and the directories above it tell.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;

use nix::unistd::Gid;

use super::{Found, Trust, access_list};

const GROUP_READ: u32 = 0o040;
const OTHERS_READ: u32 = 0o004;
/// A directory that only its owner can enter. Without a permission for the group there is none for anybody in an access list.
const OTHERS_SEARCH: u32 = 0o011;

/// Whether anybody can read the file but root, the trusted user and, if root owns it, members of trusted groups. That other
/// users are in none of these groups is up to root, who gave the file to the group.
pub(crate) fn has_others(found: &Found<'_>, file: &File, metadata: &Metadata) -> bool {
    let mode = metadata.mode();
    if mode & (GROUP_READ | OTHERS_READ) == 0 || is_enclosed(found) {
        return false;
    }
    mode & OTHERS_READ != 0 || metadata.uid() != 0 || !is_groups_alone(found.trust, file, metadata)
}

/// Whether a directory on the way keeps everybody out but its owner, who was judged. One above the mount that the file is in
/// does not count: the file can be reached where it is mounted from, too.
fn is_enclosed(found: &Found<'_>) -> bool {
    let file = found.path();
    let mut closed = found.way().filter(|directory| directory.found.mode() & OTHERS_SEARCH == 0);
    closed.any(|directory| found.trust.mounts.are_together(&directory.path, &file))
}

/// True if all users behind the group's permission are trusted. With an access list the permission is the most that the list
/// gives to any group and to any user besides the owner (acl(5)). systemd lets a unit's user read its credentials in this way since
/// version 254 (`fd_acl_add_user` in exec-credential.c).
fn is_groups_alone(trust: &Trust, file: &File, metadata: &Metadata) -> bool {
    let is_trusted = |group: u32| trust.groups.contains(&Gid::from_raw(group));
    let Ok(list) = (trust.read_access_list)(file) else { return false };
    if list.is_empty() {
        return is_trusted(metadata.gid());
    }
    let Some(readers) = access_list::readers(&list) else { return false };
    readers.iter().all(|entry| match entry.tag {
        access_list::USER => [0, trust.user.as_raw()].contains(&entry.id),
        access_list::GROUP_OBJ => is_trusted(metadata.gid()),
        access_list::GROUP => is_trusted(entry.id),
        tag => [access_list::USER_OBJ, access_list::MASK].contains(&tag),
    })
}
