//! The readers of a key file, from its mode, its access list and the directories above it.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;

use nix::unistd::Gid;

use super::{Found, Trust, access_list};

const GROUP_READ: u32 = 0o040;
const OTHERS_READ: u32 = 0o004;
/// Search permission for group and others: without it only the owner can enter a directory. The group's
/// permission is the mask of an access list, so that none of its entries has more.
const OTHERS_SEARCH: u32 = 0o011;

/// True if others than root, the trusted user and, if root owns the file, members of trusted groups can read
/// it. The members of these groups are root's decision, because root gave the file to the group.
pub(crate) fn has_others(found: &Found<'_>, file: &File, metadata: &Metadata) -> bool {
    has_others_by_mode(found, metadata)
        || metadata.mode() & GROUP_READ != 0
            && !is_enclosed(found)
            && !is_groups_alone(found.trust, file, metadata)
}

/// The same as far as the mode alone shows it: true if every user can read the file, or the group of a file
/// that root does not own.
pub(crate) fn has_others_by_mode(found: &Found<'_>, metadata: &Metadata) -> bool {
    let mode = metadata.mode();
    let is_exposed = mode & OTHERS_READ != 0 || mode & GROUP_READ != 0 && metadata.uid() != 0;
    is_exposed && !is_enclosed(found)
}

/// True if only the owner, which was judged, can enter a directory on the way. A directory above the file's
/// mount does not count, because the file can be reached in the place that is mounted, too.
fn is_enclosed(found: &Found<'_>) -> bool {
    let file = found.path();
    let mut closed = found.way().filter(|directory| directory.found.mode() & OTHERS_SEARCH == 0);
    closed.any(|directory| found.trust.mounts.are_together(&directory.path, &file))
}

/// True if all users that the group's permission applies to are trusted. With an access list this permission
/// is the mask of all groups and of all users besides the owner (acl(5)). Since version 254, systemd uses it
/// to let a unit's user read its credentials (`fd_acl_add_user` in exec-credential.c).
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
